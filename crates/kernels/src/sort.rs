//! Sorting along one axis.

use crate::memory::Pod;
use std::cmp::Ordering;

/// The extents of a sort: contiguous lines `[outer, line, inner]`, sorted along the middle axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortShape {
    /// Positions outside of the sorted axis.
    pub outer: usize,
    /// Entries that are sorted.
    pub line: usize,
    /// Positions inside of the sorted axis.
    pub inner: usize,
}

impl SortShape {
    /// The number of elements.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.outer * self.line * self.inner
    }
}

/// Writes, for each line of `src`, the indices of its entries in sorted order to `dst` (same layout).
///
/// Equal entries (of which zeros of either sign are) keep their order, in both directions. NaN is greater than any number.
///
/// # Panics
/// If a slice is shorter than the extents.
pub fn argsort<T: Pod + PartialOrd>(shape: SortShape, descending: bool, dst: &mut [i64], src: &[T]) {
    let SortShape { outer, line, inner } = shape;
    let mut order: Vec<i64> = Vec::with_capacity(line);
    for o in 0..outer {
        let (src, dst) = (&src[o * line * inner..][..line * inner], &mut dst[o * line * inner..][..line * inner]);
        for i in 0..inner {
            let value = |at: i64| src[at as usize * inner + i];
            order.clear();
            order.extend(0..line as i64);
            // The place breaks ties, so that an unstable sort is stable.
            order.sort_unstable_by(|a, b| {
                let by_value = compare(value(*a), value(*b));
                (if descending { by_value.reverse() } else { by_value }).then(a.cmp(b))
            });
            order.iter().enumerate().for_each(|(to, from)| dst[to * inner + i] = *from);
        }
    }
}

/// The order of numbers, with NaN behind all of them.
#[inline(always)]
fn compare<T: Copy + PartialOrd>(a: T, b: T) -> Ordering {
    // Only a NaN is not comparable with itself.
    let is_nan = |v: T| v.partial_cmp(&v).is_none();
    a.partial_cmp(&b).unwrap_or_else(|| is_nan(a).cmp(&is_nan(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted<T: Pod + PartialOrd>(src: &[T], [outer, line, inner]: [usize; 3], descending: bool) -> Vec<i64> {
        let mut dst = vec![-1; src.len()];
        argsort(SortShape { outer, line, inner }, descending, &mut dst, src);
        dst
    }

    #[test]
    fn ties_keep_their_order_and_nan_is_greatest() {
        let x = [2.0, f32::NAN, -1.0, 2.0, -0.0, 0.0, f32::INFINITY, -f32::NAN];
        assert_eq!(sorted(&x, [1, 8, 1], false), [2, 4, 5, 0, 3, 6, 1, 7]);
        assert_eq!(sorted(&x, [1, 8, 1], true), [1, 7, 6, 0, 3, 4, 5, 2]);
        assert_eq!(sorted(&[1u8, 0, 1, 0], [1, 4, 1], true), [0, 2, 1, 3]);
        assert_eq!(sorted(&[i64::MAX, i64::MIN, 0], [1, 3, 1], false), [1, 2, 0]);
    }

    #[test]
    fn lines_of_any_axis() {
        // [2, 3, 2], along the middle axis.
        let x = [3.0, 1.0, 2.0, 2.0, 1.0, 3.0, 5.0, 5.0, 5.0, 4.0, 4.0, 6.0];
        assert_eq!(sorted(&x, [2, 3, 2], false), [2, 0, 1, 1, 0, 2, 2, 1, 0, 0, 1, 2]);
        assert_eq!(sorted::<f64>(&[], [3, 0, 2], false), [0i64; 0]);
        assert_eq!(sorted(&[7.0, 8.0], [2, 1, 1], false), [0, 0]);
    }

    #[test]
    fn a_long_line() {
        let x: Vec<i64> = (0..5000).map(|i| (i * 7919) % 613).collect();
        let found = sorted(&x, [1, 5000, 1], false);
        assert!(found.windows(2).all(|w| (x[w[0] as usize], w[0]) < (x[w[1] as usize], w[1])));
    }
}
