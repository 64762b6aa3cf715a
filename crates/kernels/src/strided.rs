//! Copies between strided layouts.

use crate::memory::Pod;

/// The most axes an operand of a kernel can have after adjacent axes are merged.
pub const MAX_AXES: usize = 12;

/// Walks the offsets of several operands over one index space in row-major order.
///
/// `step` is called once per run along the last axis, with the operands' element offsets.
#[inline]
pub fn for_each_row<const N: usize>(dims: &[usize], strides: [&[usize]; N], mut step: impl FnMut([usize; N])) {
    if dims.contains(&0) {
        return;
    }
    let outer = dims.len().saturating_sub(1);
    assert!(outer < MAX_AXES, "at most {MAX_AXES} axes");
    let mut index = [0usize; MAX_AXES];
    let mut at = [0usize; N];
    loop {
        step(at);
        let mut axis = outer;
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            for (at, strides) in at.iter_mut().zip(&strides) {
                *at += strides[axis];
            }
            if index[axis] < dims[axis] {
                break;
            }
            for (at, strides) in at.iter_mut().zip(&strides) {
                *at -= strides[axis] * dims[axis];
            }
            index[axis] = 0;
        }
    }
}

/// `dst[i·dst_strides] = src[i·src_strides]` for every index `i` below `dims`.
///
/// # Panics
/// If an index leaves a slice.
pub fn copy<T: Pod>(dims: &[usize], dst: &mut [T], dst_strides: &[usize], src: &[T], src_strides: &[usize]) {
    let Some(last) = dims.len().checked_sub(1) else {
        dst[0] = src[0];
        return;
    };
    let (n, ds, ss) = (dims[last], dst_strides[last], src_strides[last]);
    for_each_row(dims, [dst_strides, src_strides], |[d, s]| match (ds, ss) {
        (1, 1) => dst[d..d + n].copy_from_slice(&src[s..s + n]),
        (1, 0) => dst[d..d + n].fill(src[s]),
        _ => {
            for i in 0..n {
                dst[d + i * ds] = src[s + i * ss];
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_copy() {
        let src: Vec<f32> = (0..6).map(|v| v as f32).collect();
        let mut dst = vec![0.0f32; 6];
        copy(&[3, 2], &mut dst, &[2, 1], &src, &[1, 3]);
        assert_eq!(dst, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    }

    #[test]
    fn scalars_and_empty_axes() {
        let mut dst = [0.0f64; 1];
        copy(&[], &mut dst, &[], &[7.0], &[]);
        assert_eq!(dst, [7.0]);
        copy(&[0, 3], &mut dst, &[3, 1], &[], &[3, 1]);
        assert_eq!(dst, [7.0]);
    }
}
