//! Running sums along one axis.

use crate::isa::{Task, dispatch};
use crate::lane::Num;
use crate::lines::Lines;
use crate::memory::Pod;

/// `y_i = 0 + x_0 + .. + x_i` along each line, added in order; from the last entry to the first if `reverse`.
///
/// # Panics
/// If a slice is shorter than the extents.
pub fn cumsum<E: Num + Pod>(lines: Lines, reverse: bool, dst: &mut [E], src: &[E]) {
    let (dst, src) = (&mut dst[..lines.len()], &src[..lines.len()]);
    if dst.is_empty() {
        return;
    }
    if lines.inner > 1 {
        return dispatch(Rows { lines, reverse, dst, src });
    }
    /// Lines that go side by side: one alone would wait for its last addition again and again.
    const SIDE: usize = 8;
    let mut many = dst.chunks_exact_mut(SIDE * lines.line);
    let whole = many.len() * SIDE * lines.line;
    for (dst, src) in (&mut many).zip(src.chunks_exact(SIDE * lines.line)) {
        side::<E, SIDE>(lines.line, reverse, dst, src);
    }
    for (dst, src) in many.into_remainder().chunks_exact_mut(lines.line).zip(src[whole..].chunks_exact(lines.line)) {
        side::<E, 1>(lines.line, reverse, dst, src);
    }
}

/// Entries that are copied out of a line and back, so that lines which compete for a place in the cache meet once.
const BLOCK: usize = 16;

/// Running sums of `N` adjacent lines.
fn side<E: Num, const N: usize>(line: usize, reverse: bool, dst: &mut [E], src: &[E]) {
    let mut sums = [E::ZERO; N];
    let mut block = [[E::ZERO; BLOCK]; N];
    let mut step = |at: usize, width: usize| {
        for (i, block) in block.iter_mut().enumerate() {
            block[..width].copy_from_slice(&src[i * line + at..][..width]);
        }
        let mut add = |at: usize| {
            for (sum, block) in sums.iter_mut().zip(&mut block) {
                *sum = sum.add(block[at]);
                block[at] = *sum;
            }
        };
        match reverse {
            true => (0..width).rev().for_each(&mut add),
            false => (0..width).for_each(&mut add),
        }
        for (i, block) in block.iter().enumerate() {
            dst[i * line + at..][..width].copy_from_slice(&block[..width]);
        }
    };
    let whole = line - line % BLOCK;
    let blocks = (0..whole).step_by(BLOCK);
    if reverse {
        step(whole, line - whole);
        blocks.rev().for_each(|at| step(at, BLOCK));
    } else {
        blocks.for_each(|at| step(at, BLOCK));
        step(whole, line - whole);
    }
}

/// Running sums over rows, each a row onto the one before.
struct Rows<'a, E> {
    lines: Lines,
    reverse: bool,
    dst: &'a mut [E],
    src: &'a [E],
}

impl<E: Num> Task for Rows<'_, E> {
    type Out = ();
    #[inline(always)]
    fn run(self) {
        let Rows { lines: Lines { line, inner, .. }, reverse, dst, src } = self;
        for (dst, src) in dst.chunks_exact_mut(line * inner).zip(src.chunks_exact(line * inner)) {
            let first = if reverse { (line - 1) * inner } else { 0 };
            let start = &mut dst[first..first + inner];
            start.iter_mut().zip(&src[first..]).for_each(|(sum, x)| *sum = E::ZERO.add(*x));
            for row in 1..line {
                let at = if reverse { (line - 1 - row) * inner } else { row * inner };
                let (before, own) = if reverse {
                    let (own, before) = dst[at..].split_at_mut(inner);
                    (&before[..inner], own)
                } else {
                    let (before, own) = dst[at - inner..].split_at_mut(inner);
                    (&*before, &mut own[..inner])
                };
                for ((own, before), x) in own.iter_mut().zip(before).zip(&src[at..at + inner]) {
                    *own = before.add(*x);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_sums_are_those_of_a_plain_loop() {
        for [outer, line, inner] in [[1, 1, 1], [3, 7, 1], [19, 33, 1], [2, 5, 3], [1, 40, 17], [2, 0, 3], [0, 4, 1]] {
            let lines = Lines { outer, line, inner };
            let src: Vec<f32> = (0..lines.len()).map(|i| ((i * 7919) % 1013) as f32 / 7.0 - 60.0).collect();
            for reverse in [false, true] {
                let mut found = vec![f32::NAN; lines.len()];
                cumsum(lines, reverse, &mut found, &src);
                for (o, i) in (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))) {
                    let mut sum = 0.0f32;
                    for step in 0..line {
                        let at = (o * line + if reverse { line - 1 - step } else { step }) * inner + i;
                        sum += src[at];
                        assert_eq!(found[at].to_bits(), sum.to_bits(), "{lines:?} {reverse} {at}");
                    }
                }
            }
        }
        let mut found = [0.0; 2];
        cumsum(Lines { outer: 1, line: 2, inner: 1 }, false, &mut found, &[-0.0, -0.0]);
        assert!(found.iter().all(|sum: &f64| sum.is_sign_positive()), "a sum starts from zero");
    }
}
