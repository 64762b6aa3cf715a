//! Sorting along one axis.

use crate::isa::{Task, dispatch};
use crate::lines::Lines;
use crate::memory::Pod;

/// An element type that has an order.
pub trait SortKey: Pod {
    /// Keys have so many bits.
    const BITS: u32;

    /// A number whose order is that of the values: equal values have one key, NaN the greatest.
    fn key(self) -> u64;
}

impl SortKey for u8 {
    const BITS: u32 = 8;
    #[inline(always)]
    fn key(self) -> u64 {
        self as u64
    }
}

impl SortKey for i64 {
    const BITS: u32 = 64;
    #[inline(always)]
    fn key(self) -> u64 {
        self as u64 ^ (1 << 63)
    }
}

macro_rules! float_key {
    ($f:ident, $bits:ident) => {
        impl SortKey for $f {
            const BITS: u32 = $bits::BITS;
            #[inline(always)]
            fn key(self) -> u64 {
                const SIGN: $bits = 1 << ($bits::BITS - 1);
                // Zeros of either sign are the positive one.
                let bits = (self + 0.0).to_bits();
                let ordered = if bits & SIGN != 0 { !bits } else { bits | SIGN };
                (if self.is_nan() { $bits::MAX } else { ordered }) as u64
            }
        }
    };
}
float_key!(f32, u32);
float_key!(f64, u64);

/// A key and the place that breaks ties, in one number: an unstable sort of them is stable.
trait Word: Copy + Ord {
    fn new(key: u64, place: usize) -> Self;
    fn key(self) -> u64;
    fn place(self) -> i64;
}

macro_rules! word {
    ($w:ident, $half:literal) => {
        impl Word for $w {
            #[inline(always)]
            fn new(key: u64, place: usize) -> Self {
                (key as $w) << $half | place as $w
            }
            #[inline(always)]
            fn key(self) -> u64 {
                (self >> $half) as u64
            }
            #[inline(always)]
            fn place(self) -> i64 {
                (self & ((1 << $half) - 1)) as i64
            }
        }
    };
}
word!(u64, 32);
word!(u128, 64);

/// Writes, for each line of `src`, the indices of its first `kept` entries in sorted order to `dst`, `[outer, kept, inner]`.
///
/// Equal entries (of which zeros of either sign are) keep their order, in both directions. NaN is greater than any number.
///
/// # Panics
/// If a slice is shorter than the extents, or more are kept than there are.
pub fn argsort<T: SortKey>(lines: Lines, kept: usize, descending: bool, dst: &mut [i64], src: &[T]) {
    assert!(kept <= lines.line, "more entries are asked than a line has");
    if kept * lines.count() == 0 {
        return;
    }
    // The greatest key first is the least of the mirrored ones.
    let mirror = if descending { u64::MAX >> (64 - T::BITS) } else { 0 };
    if T::BITS <= 32 && u32::try_from(lines.line).is_ok() {
        sorted::<T, u64>(lines, kept, mirror, dst, src);
    } else {
        sorted::<T, u128>(lines, kept, mirror, dst, src);
    }
}

fn sorted<T: SortKey, W: Word>(Lines { line, inner, .. }: Lines, kept: usize, mirror: u64, dst: &mut [i64], src: &[T]) {
    let (mut gathered, mut words): (Vec<T>, Vec<W>) = (Vec::new(), Vec::new());
    for (dst, src) in dst.chunks_exact_mut(kept * inner).zip(src.chunks_exact(line * inner)) {
        for i in 0..inner {
            let values = if inner == 1 {
                src
            } else {
                gathered.clear();
                gathered.extend(src[i..].iter().step_by(inner));
                &gathered[..]
            };
            first(values, kept, mirror, &mut words);
            words.iter().enumerate().for_each(|(to, word)| dst[to * inner + i] = word.place());
        }
    }
}

/// The words of the first `kept` values in sorted order.
fn first<T: SortKey, W: Word>(values: &[T], kept: usize, mirror: u64, words: &mut Vec<W>) {
    /// The most entries that are kept in order while the others pass by.
    const FEW: usize = 64;
    let some = if kept <= FEW.min(values.len() / 8) { kept } else { values.len() };
    words.clear();
    words.extend(values[..some].iter().enumerate().map(|(place, v)| W::new(v.key() ^ mirror, place)));
    if some == values.len() && kept < some {
        words.select_nth_unstable(kept);
        words.truncate(kept);
    }
    words.sort_unstable();
    if some < values.len() {
        dispatch(Passing { values, mirror, words });
    }
}

/// The values behind the first few, which are sorted: each that is better takes its place among them.
struct Passing<'a, T, W> {
    values: &'a [T],
    mirror: u64,
    words: &'a mut Vec<W>,
}

impl<T: SortKey, W: Word> Task for Passing<'_, T, W> {
    type Out = ();
    #[inline(always)]
    fn run(self) {
        /// Values that are looked at together: most have none that is better.
        const CHUNK: usize = 64;
        let Passing { values, mirror, words } = self;
        let kept = words.len();
        let mut worst = words[kept - 1].key();
        for (number, chunk) in values[kept..].chunks(CHUNK).enumerate() {
            if !chunk.iter().fold(false, |any, v| any | (v.key() ^ mirror < worst)) {
                continue;
            }
            for (at, v) in chunk.iter().enumerate() {
                let key = v.key() ^ mirror;
                if key < worst {
                    let word = W::new(key, kept + number * CHUNK + at);
                    let to = words.partition_point(|before| *before < word);
                    words.copy_within(to..kept - 1, to + 1);
                    words[to] = word;
                    worst = words[kept - 1].key();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted<T: SortKey>(src: &[T], [outer, line, inner]: [usize; 3], descending: bool) -> Vec<i64> {
        let mut dst = vec![-1; src.len()];
        argsort(Lines { outer, line, inner }, line, descending, &mut dst, src);
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

    #[test]
    fn the_first_entries_are_those_of_the_whole_order() {
        let [outer, line, inner] = [2, 1500, 2];
        let value = |i: usize| match (i * 7919) % 1013 {
            1 => f64::NAN,
            2 => f64::NEG_INFINITY,
            v => (v % 300) as f64 - 150.0,
        };
        let doubles: Vec<f64> = (0..outer * line * inner).map(value).collect();
        let singles: Vec<f32> = doubles.iter().map(|v| *v as f32).collect();
        for descending in [false, true] {
            let whole = sorted(&doubles, [outer, line, inner], descending);
            assert_eq!(sorted(&singles, [outer, line, inner], descending), whole);
            for kept in [0, 1, 2, 64, 65, 700, 1499] {
                let mut found = [(); 2].map(|()| vec![-1; outer * kept * inner]);
                argsort(Lines { outer, line, inner }, kept, descending, &mut found[0], &doubles);
                argsort(Lines { outer, line, inner }, kept, descending, &mut found[1], &singles);
                assert_eq!(found[0], found[1]);
                for (o, at) in (0..outer).flat_map(|o| (0..kept * inner).map(move |at| (o, at))) {
                    assert_eq!(found[0][o * kept * inner + at], whole[o * line * inner + at], "{descending} {kept}");
                }
            }
        }
    }

    #[test]
    fn values_in_the_worst_order_pass_by() {
        let x: Vec<f32> = (0..2000).map(|i| (i / 2) as f32).collect();
        let mut found = [0; 5];
        argsort(Lines { outer: 1, line: 2000, inner: 1 }, 5, true, &mut found, &x);
        assert_eq!(found, [1998, 1999, 1996, 1997, 1994]);
    }
}
