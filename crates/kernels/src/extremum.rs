//! Where the extremum of each line is.

use crate::isa::{Task, dispatch};
use crate::lane::Num;
use crate::lines::Lines;
use crate::memory::Pod;
use crate::reduce::{ReduceShape, Reduction, reduce};

/// Writes the place of the greatest entry of each line (the least, if `least`) to `dst`, `[outer, inner]`: the first of equals, that
/// of the first NaN if there is one.
///
/// # Panics
/// If the lines have no entries, or a slice is shorter than the extents.
pub fn arg_extremum<E: Num + Pod>(lines: Lines, least: bool, dst: &mut [i64], src: &[E]) {
    let Lines { line, inner, .. } = lines;
    let (dst, src) = (&mut dst[..lines.count()], &src[..lines.len()]);
    if dst.is_empty() {
        return;
    }
    assert!(line > 0, "the recording refuses an extremum of nothing");
    if inner > 1 {
        return dispatch(Across { lines, least, dst, src });
    }
    /// Lines whose extrema are found before their places: they are still in the cache then.
    const GROUP: usize = 16;
    let kind = if least { Reduction::Min } else { Reduction::Max };
    let mut tops = [E::ZERO; GROUP];
    for (dst, src) in dst.chunks_mut(GROUP).zip(src.chunks(GROUP * line)) {
        let tops = &mut tops[..dst.len()];
        reduce(kind, ReduceShape { outer: (dst.len(), line), reduced: (line, 1), inner: 1 }, tops, src);
        dispatch(Along { line, dst, tops, src });
    }
}

#[inline(always)]
fn is_nan<E: Num>(v: E) -> bool {
    v.partial_cmp(&v).is_none()
}

/// Places of known extrema in lines of adjacent entries.
struct Along<'a, E> {
    line: usize,
    dst: &'a mut [i64],
    tops: &'a [E],
    src: &'a [E],
}

impl<E: Num> Task for Along<'_, E> {
    type Out = ();
    #[inline(always)]
    fn run(self) {
        /// Entries that are looked at together.
        const CHUNK: usize = 64;
        for ((place, line), top) in self.dst.iter_mut().zip(self.src.chunks(self.line)).zip(self.tops) {
            // If any entry is NaN, the extremum is, which equals nothing.
            let hit = |v: E| (v == *top) | is_nan(v);
            let chunk = line.chunks(CHUNK).position(|chunk| chunk.iter().fold(false, |any, v| any | hit(*v)));
            let start = chunk.expect("the extremum is an entry") * CHUNK;
            let within = line[start..].iter().position(|v| hit(*v)).expect("the chunk has a hit");
            *place = (start + within) as i64;
        }
    }
}

/// Places of extrema over rows.
struct Across<'a, E> {
    lines: Lines,
    least: bool,
    dst: &'a mut [i64],
    src: &'a [E],
}

impl<E: Num> Task for Across<'_, E> {
    type Out = ();
    #[inline(always)]
    fn run(self) {
        if self.least { self.go(|v, best| v < best) } else { self.go(|v, best| v > best) }
    }
}

impl<E: Num> Across<'_, E> {
    #[inline(always)]
    fn go(self, better: impl Fn(E, E) -> bool) {
        /// Columns whose extrema stay in the first-level cache.
        const STRIP: usize = 512;
        let Across { lines: Lines { line, inner, .. }, dst, src, .. } = self;
        let mut best = [E::ZERO; STRIP];
        for (dst, src) in dst.chunks_exact_mut(inner).zip(src.chunks_exact(line * inner)) {
            for col in (0..inner).step_by(STRIP) {
                let width = STRIP.min(inner - col);
                let (dst, best) = (&mut dst[col..col + width], &mut best[..width]);
                dst.fill(0);
                best.copy_from_slice(&src[col..col + width]);
                for row in 1..line {
                    let values = &src[row * inner + col..][..width];
                    for ((place, best), v) in dst.iter_mut().zip(best.iter_mut()).zip(values) {
                        let take = (better(*v, *best) | is_nan(*v)) & !is_nan(*best);
                        *best = if take { *v } else { *best };
                        *place = if take { row as i64 } else { *place };
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_a_plain_loop() {
        for [outer, line, inner] in [[1, 1, 1], [3, 7, 1], [40, 130, 1], [2, 5, 3], [1, 40, 600], [3, 9, 2]] {
            let lines = Lines { outer, line, inner };
            for nans in [false, true] {
                let value = |i: usize| match (i * 7919) % 101 {
                    7 if nans => f32::NAN,
                    v => (v % 23) as f32 - if v % 2 == 0 { 0.0 } else { 11.0 },
                };
                let src: Vec<f32> = (0..lines.len()).map(value).collect();
                for least in [false, true] {
                    let mut found = vec![-1; lines.count()];
                    arg_extremum(lines, least, &mut found, &src);
                    for (at, place) in found.iter().enumerate() {
                        let (o, i) = (at / inner, at % inner);
                        let entry = |l: usize| src[(o * line + l) * inner + i];
                        let beats = |a: f32, b: f32| !b.is_nan() && (a.is_nan() || if least { a < b } else { a > b });
                        let plain = (1..line).fold(0, |best, l| if beats(entry(l), entry(best)) { l } else { best });
                        assert_eq!(*place, plain as i64, "{lines:?} {nans} {least} {at}");
                    }
                }
            }
        }
        let mut found = [9i64; 2];
        arg_extremum(Lines { outer: 2, line: 3, inner: 1 }, true, &mut found, &[3i64, 1, 1, i64::MIN, 0, i64::MIN]);
        assert_eq!(found, [1, 0]);
        arg_extremum(Lines { outer: 1, line: 3, inner: 1 }, false, &mut found, &[-0.0, 0.0, 0.0]);
        assert_eq!(found[0], 0, "zeros of either sign are equal");
    }
}
