//! Copies between strided layouts.

use crate::memory::Pod;
use smallvec::SmallVec;

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
    if let Some(axis) = turned(dims, dst_strides, src_strides) {
        // A block for each index of the other axes.
        let mut others: SmallVec<[usize; MAX_AXES]> = dims.into();
        (others[axis], others[last]) = (1, 1);
        let (rows, from) = (dims[axis], (dst_strides[axis], ss));
        return for_each_row(&others, [dst_strides, src_strides], |[d, s]| {
            transpose(&mut dst[d..], &src[s..], (rows, n), from);
        });
    }
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

/// The axis along which the source is adjacent, if it is worth to go along it and the last axis of the destination together.
fn turned(dims: &[usize], dst_strides: &[usize], src_strides: &[usize]) -> Option<usize> {
    let last = dims.len() - 1;
    if dst_strides[last] != 1 || src_strides[last] <= 1 || dims[last] < BLOCK {
        return None;
    }
    (0..last).find(|axis| src_strides[*axis] == 1 && dims[*axis] >= BLOCK)
}

/// Rows and columns of a block: a cache line of 4-byte elements.
const BLOCK: usize = 16;

/// `dst[r·to + c] = src[r + c·from]`, by blocks, so that each line of memory is read and written once.
fn transpose<T: Pod>(dst: &mut [T], src: &[T], (rows, cols): (usize, usize), (to, from): (usize, usize)) {
    let mut block = [[T::default(); BLOCK]; BLOCK];
    for col in (0..cols).step_by(BLOCK) {
        let width = BLOCK.min(cols - col);
        for row in (0..rows).step_by(BLOCK) {
            let height = BLOCK.min(rows - row);
            if (height, width) != (BLOCK, BLOCK) {
                for r in row..row + height {
                    (col..col + width).for_each(|c| dst[r * to + c] = src[r + c * from]);
                }
                continue;
            }
            for (c, line) in block.iter_mut().enumerate() {
                line.copy_from_slice(&src[row + (col + c) * from..][..BLOCK]);
            }
            for r in 0..BLOCK {
                let line = &mut dst[(row + r) * to + col..][..BLOCK];
                (0..BLOCK).for_each(|c| line[c] = block[c][r]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_transposes_are_those_of_a_plain_loop() {
        for [outer, rows, cols] in [[1, 16, 16], [2, 33, 47], [3, 16, 100], [1, 70, 15], [2, 5, 64]] {
            let src: Vec<i64> = (0..(outer * rows * cols) as i64).collect();
            let mut dst = vec![-1; src.len() + 3 * outer * rows];
            // [outer, cols, rows] to [outer, rows, cols], whose rows lie 3 apart.
            let to = [rows * (cols + 3), cols + 3, 1];
            copy(&[outer, rows, cols], &mut dst, &to, &src, &[rows * cols, 1, rows]);
            for (at, found) in dst.iter().enumerate() {
                let (line, c) = (at / (cols + 3), at % (cols + 3));
                let (o, r) = (line / rows, line % rows);
                let expected = if c < cols { src[(o * cols + c) * rows + r] } else { -1 };
                assert_eq!(*found, expected, "{outer} {rows} {cols}: {at}");
            }
        }
    }

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
