//! Reductions along one axis, in an order that depends on the extents alone.
//!
//! A sum's bits are a function of the logical sequence of its addends: the same for every layout,
//! shard and thread count. Along the last axis, addend `r` goes to lane `r mod 16` of its block of
//! 1,024, the lanes are added as a balanced tree, and block totals are added in order. Along any other axis,
//! rows are added in order within blocks of 64, and block totals are added in order: rounding
//! errors grow with the block size plus the number of blocks, not with the length.

use crate::blocks::Blocks;
use crate::isa::{Task, dispatch};
use crate::lane::Num;
use crate::memory::Pod;
use crate::threads::{at_hand, for_each, threads};

/// What a reduction does with its addends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// Σ x; 0 for no addends.
    Sum,
    /// Π x; 1 for no factors.
    Prod,
    /// max x, NaN if any is NaN.
    Max,
    /// min x, NaN if any is NaN.
    Min,
}

const LANES: usize = 16;
const RUN: usize = 1024;
const ROWS: usize = 64;

/// What is done with two addends.
pub(crate) trait Fold: Copy + Default {
    fn neutral<E: Num>() -> Option<E>;
    fn fold<E: Num>(a: E, b: E) -> E;
}

macro_rules! fold {
    ($name:ident, $neutral:expr, $method:ident) => {
        #[derive(Clone, Copy, Default)]
        pub(crate) struct $name;
        impl Fold for $name {
            #[inline(always)]
            fn neutral<E: Num>() -> Option<E> {
                $neutral
            }
            #[inline(always)]
            fn fold<E: Num>(a: E, b: E) -> E {
                a.$method(b)
            }
        }
    };
}
fold!(Sum, Some(E::ZERO), add);
fold!(Prod, Some(E::ONE), mul);
fold!(Max, None, max);
fold!(Min, None, min);

/// The extents and input strides of a reduction `[outer, reduced, inner] -> [outer, inner]`.
///
/// The innermost extent that is larger than one has unit stride.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReduceShape {
    /// Kept positions outside of the reduced axis, and their stride.
    pub outer: (usize, usize),
    /// Addends, and their stride.
    pub reduced: (usize, usize),
    /// Kept positions inside of the reduced axis (stride 1).
    pub inner: usize,
}

/// Addends of a block, whose totals are added one after the other, if a reduction leaves `inner` adjacent elements.
pub fn reduce_block(inner: usize) -> usize {
    if inner == 1 { RUN } else { ROWS }
}

/// [`reduce`] whose columns several [threads](fn@crate::threads) share, if they are many: the same bits. The totals of
/// blocks are put together as [`Blocks`] says, for sums; other reductions give the same in any order.
///
/// # Panics
/// If the extents leave a slice, or a maximum or minimum has no elements.
pub fn reduce_shared<E: Num + Pod>(kind: Reduction, shape: ReduceShape, blocks: Blocks, dst: &mut [E], src: &[E]) {
    /// Addends that are worth waking another thread, and that are worth a share of one that is awake: three microseconds.
    const WORTHWHILE: usize = 1 << 17;
    const WORTH_A_SHARE: usize = 1 << 15;
    /// Columns are split at multiples of this, so that every part runs along rows.
    const GRAIN: usize = 32;
    let grains = shape.inner.div_ceil(GRAIN);
    let addends = shape.reduced.0 * shape.inner;
    let splits = shape.outer.0 == 1 && grains > 1 && shape.inner.is_multiple_of(GRAIN);
    let parts = match threads().min(addends / WORTHWHILE) {
        _ if !splits => 1,
        0 | 1 => at_hand(addends / WORTH_A_SHARE).min(grains),
        parts => parts.min(grains),
    };
    if parts < 2 {
        return in_order(kind, shape, blocks, dst, src);
    }
    let (mut rest, mut from) = (&mut dst[..shape.inner], 0);
    let mut tasks = Vec::with_capacity(parts);
    for part in 1..=parts {
        let to = grains * part / parts * GRAIN;
        let (task, after) = std::mem::take(&mut rest).split_at_mut(to - from);
        tasks.push((ReduceShape { inner: to - from, ..shape }, task, &src[from..]));
        (rest, from) = (after, to);
    }
    for_each(tasks, |(shape, dst, src)| in_order(kind, shape, blocks, dst, src));
}

/// A reduction whose blocks are added in either direction.
fn in_order<E: Num + Pod>(kind: Reduction, shape: ReduceShape, blocks: Blocks, dst: &mut [E], src: &[E]) {
    if blocks == Blocks::default() || kind != Reduction::Sum {
        return reduce(kind, shape, dst, src);
    }
    let (n, stride) = shape.reduced;
    let kept = shape.outer.0 * shape.inner;
    if n == 0 && !blocks.onto {
        return reduce(kind, shape, dst, src);
    }
    let mut total = vec![E::default(); kept];
    blocks.for_each(n, reduce_block(shape.inner), |at, add| {
        let part = ReduceShape { reduced: (at.len(), stride), ..shape };
        if !add {
            return reduce(kind, part, dst, &src[at.start * stride..]);
        }
        reduce(kind, part, &mut total, &src[at.start * stride..]);
        dst.iter_mut().zip(&total).for_each(|(sum, total)| *sum = sum.add(*total));
    });
}

/// Reduces `src` into `dst` (`[outer, inner]`, contiguous).
///
/// # Panics
/// If the extents leave a slice, or a maximum or minimum has no elements.
pub fn reduce<E: Num + Pod>(kind: Reduction, shape: ReduceShape, dst: &mut [E], src: &[E]) {
    match kind {
        Reduction::Sum => reduce_by::<Sum, E>(shape, dst, src),
        Reduction::Prod => reduce_by::<Prod, E>(shape, dst, src),
        Reduction::Max => reduce_by::<Max, E>(shape, dst, src),
        Reduction::Min => reduce_by::<Min, E>(shape, dst, src),
    }
}

/// [`reduce`] of a known kind.
pub(crate) fn reduce_by<F: Fold, E: Num + Pod>(shape: ReduceShape, dst: &mut [E], src: &[E]) {
    dispatch(Job { shape, dst, src, fold: F::default() });
}

struct Job<'a, E, F> {
    shape: ReduceShape,
    dst: &'a mut [E],
    src: &'a [E],
    fold: F,
}

impl<E: Num + Pod, F: Fold> Task for Job<'_, E, F> {
    type Out = ();
    #[inline(always)]
    fn run(self) {
        let Job { shape: ReduceShape { outer, reduced, inner }, dst, src, fold } = self;
        if outer.0 * inner == 0 {
            return;
        }
        if reduced.0 == 0 {
            dst.fill(F::neutral().expect("the recording refuses a maximum over nothing"));
            return;
        }
        if inner == 1 && reduced.1 == 1 {
            return rows(fold, dst, src, outer.1, reduced.0);
        }
        for o in 0..outer.0 {
            let src = &src[o * outer.1..];
            let dst = &mut dst[o * inner..(o + 1) * inner];
            if inner == 1 {
                dst[0] = gathered(fold, src, reduced);
            } else {
                across(fold, dst, src, reduced);
            }
        }
    }
}

/// Runs that are reduced side by side: one alone would wait for its last addition again and again.
pub(crate) const SIDE: usize = 4;

/// Reduces rows of `n` adjacent elements, `stride` apart.
#[inline(always)]
fn rows<E: Num, F: Fold>(fold: F, dst: &mut [E], src: &[E], stride: usize, n: usize) {
    let mut groups = dst.chunks_exact_mut(SIDE);
    let mut row = 0;
    for dst in &mut groups {
        let rows: [&[E]; SIDE] = std::array::from_fn(|i| &src[(row + i) * stride..][..n]);
        for start in (0..n).step_by(RUN) {
            let parts = four(fold, rows.map(|row| &row[start..n.min(start + RUN)]));
            for (total, part) in dst.iter_mut().zip(parts) {
                *total = if start == 0 { part } else { F::fold(*total, part) };
            }
        }
        row += SIDE;
    }
    for (i, total) in groups.into_remainder().iter_mut().enumerate() {
        *total = along(fold, &src[(row + i) * stride..][..n]);
    }
}

/// Reduces adjacent elements.
#[inline(always)]
fn along<E: Num, F: Fold>(fold: F, src: &[E]) -> E {
    let mut total: Option<E> = None;
    let mut onto = |part: E| total = Some(total.map_or(part, |total| F::fold(total, part)));
    let mut groups = src.chunks_exact(SIDE * RUN);
    for group in &mut groups {
        four(fold, std::array::from_fn(|i| &group[i * RUN..][..RUN])).into_iter().for_each(&mut onto);
    }
    for run in groups.remainder().chunks(RUN) {
        onto(one(fold, run));
    }
    total.expect("a run has elements")
}

/// Reduces four runs of one length.
#[inline(always)]
fn four<E: Num, F: Fold>(fold: F, runs: [&[E]; SIDE]) -> [E; SIDE] {
    let n = runs[0].len();
    if n < 2 * LANES {
        return runs.map(|run| one(fold, run));
    }
    let [w, x, y, z] = runs.map(|run| run[..n].as_chunks::<LANES>());
    // Four variables: an array of them would not stay in registers.
    let (mut a, mut b, mut c, mut d) = (w.0[0], x.0[0], y.0[0], z.0[0]);
    for (((w, x), y), z) in w.0[1..].iter().zip(&x.0[1..]).zip(&y.0[1..]).zip(&z.0[1..]) {
        onto::<E, F>(&mut a, w);
        onto::<E, F>(&mut b, x);
        onto::<E, F>(&mut c, y);
        onto::<E, F>(&mut d, z);
    }
    onto::<E, F>(&mut a, w.1);
    onto::<E, F>(&mut b, x.1);
    onto::<E, F>(&mut c, y.1);
    onto::<E, F>(&mut d, z.1);
    [a, b, c, d].map(|mut lanes| tree::<E, F>(&mut lanes, LANES))
}

/// Reduces a run.
#[inline(always)]
fn one<E: Num, F: Fold>(_: F, run: &[E]) -> E {
    let (chunks, rest) = run.as_chunks::<LANES>();
    let Some((first, chunks)) = chunks.split_first() else {
        let mut lanes = [run[0]; LANES];
        lanes[..run.len()].copy_from_slice(run);
        return tree::<E, F>(&mut lanes, run.len());
    };
    let mut lanes = *first;
    chunks.iter().for_each(|chunk| onto::<E, F>(&mut lanes, chunk));
    onto::<E, F>(&mut lanes, rest);
    tree::<E, F>(&mut lanes, LANES)
}

/// Adds at most [`LANES`] values to the lanes.
#[inline(always)]
fn onto<E: Num, F: Fold>(lanes: &mut [E; LANES], values: &[E]) {
    lanes.iter_mut().zip(values).for_each(|(lane, value)| *lane = F::fold(*lane, *value));
}

/// Adds the first `width` lanes as a balanced tree.
#[inline(always)]
fn tree<E: Num, F: Fold>(lanes: &mut [E; LANES], mut width: usize) -> E {
    while width > 1 {
        let half = width.div_ceil(2);
        for i in 0..width - half {
            lanes[i] = F::fold(lanes[i], lanes[i + half]);
        }
        width = half;
    }
    lanes[0]
}

/// As [`along`], for elements with a stride.
#[inline(always)]
fn gathered<E: Num + Pod, F: Fold>(fold: F, src: &[E], (n, stride): (usize, usize)) -> E {
    let mut total: Option<E> = None;
    let mut run = [E::default(); RUN];
    let mut at = 0;
    while at < n {
        let len = RUN.min(n - at);
        for (i, slot) in run[..len].iter_mut().enumerate() {
            *slot = src[(at + i) * stride];
        }
        let part = along(fold, &run[..len]);
        total = Some(total.map_or(part, |t| F::fold(t, part)));
        at += len;
    }
    total.expect("a run has elements")
}

/// Reduces rows into a row, which are read as they lie.
#[inline(always)]
fn across<E: Num, F: Fold>(_: F, dst: &mut [E], src: &[E], (n, stride): (usize, usize)) {
    /// Totals that stay in L1.
    const STRIP: usize = 1024;
    /// Rows that go onto the totals at once, one after the other.
    const AT_ONCE: usize = 4;
    let mut block = [E::default(); STRIP];
    let width = dst.len();
    let mut col = 0;
    while col < width {
        let len = STRIP.min(width - col);
        let (dst, block) = (&mut dst[col..col + len], &mut block[..len]);
        let mut row = 0;
        while row < n {
            let (first, end) = (row == 0, (row + ROWS).min(n));
            let at = |row: usize| &src[row * stride + col..][..len];
            block.copy_from_slice(at(row));
            row += 1;
            while row + AT_ONCE <= end {
                let rows: [&[E]; AT_ONCE] = std::array::from_fn(|i| at(row + i));
                for (i, acc) in block.iter_mut().enumerate() {
                    *acc = rows.iter().fold(*acc, |acc, row| F::fold(acc, row[i]));
                }
                row += AT_ONCE;
            }
            for row in row..end {
                block.iter_mut().zip(at(row)).for_each(|(acc, value)| *acc = F::fold(*acc, *value));
            }
            if first {
                dst.copy_from_slice(block);
            } else {
                for (acc, value) in dst.iter_mut().zip(block.iter()) {
                    *acc = F::fold(*acc, *value);
                }
            }
            row = end;
        }
        col += len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(n: usize) -> Vec<f64> {
        (0..n).map(|i| ((i * 7919) % 1013) as f64 / 7.0 - 60.0).collect()
    }

    #[test]
    fn sums_match_a_plain_loop() {
        for n in [1, 2, 15, 16, 17, 100, 1023, 1024, 1025, 5000] {
            let x = data(n);
            let mut out = [0.0];
            reduce(Reduction::Sum, ReduceShape { outer: (1, 0), reduced: (n, 1), inner: 1 }, &mut out, &x);
            let plain: f64 = x.iter().sum();
            assert!((out[0] - plain).abs() <= 1e-9 * plain.abs().max(1.0), "{n}: {} {plain}", out[0]);
        }
    }

    #[test]
    fn strided_addends_give_the_same_bits() {
        let n = 2500;
        let x = data(n);
        let wide: Vec<f64> = x.iter().flat_map(|v| [*v, 1e9, -3.0]).collect();
        let (mut a, mut b) = ([0.0], [0.0]);
        reduce(Reduction::Sum, ReduceShape { outer: (1, 0), reduced: (n, 1), inner: 1 }, &mut a, &x);
        reduce(Reduction::Sum, ReduceShape { outer: (1, 0), reduced: (n, 3), inner: 1 }, &mut b, &wide);
        assert_eq!(a[0].to_bits(), b[0].to_bits());
    }

    #[test]
    fn rows_do_not_depend_on_their_neighbours() {
        let (n, width) = (200, 130);
        let x = data(n * width);
        let mut all = vec![0.0; width];
        reduce(Reduction::Sum, ReduceShape { outer: (1, 0), reduced: (n, width), inner: width }, &mut all, &x);
        for start in [0, 1, 63, 100] {
            let mut some = vec![0.0; 30];
            let shape = ReduceShape { outer: (1, 0), reduced: (n, width), inner: 30 };
            reduce(Reduction::Sum, shape, &mut some, &x[start..]);
            assert_eq!(some, all[start..start + 30]);
        }
    }

    #[test]
    fn extrema_and_products() {
        let x = [3.0f32, -1.0, 2.0, 5.0, 0.5, -7.0];
        let shape = ReduceShape { outer: (2, 3), reduced: (3, 1), inner: 1 };
        let mut out = [0.0; 2];
        reduce(Reduction::Max, shape, &mut out, &x);
        assert_eq!(out, [3.0, 5.0]);
        reduce(Reduction::Min, shape, &mut out, &x);
        assert_eq!(out, [-1.0, -7.0]);
        reduce(Reduction::Prod, shape, &mut out, &x);
        assert_eq!(out, [-6.0, -17.5]);
        let nan = [1.0, f32::NAN, 3.0];
        let mut out = [0.0];
        reduce(Reduction::Max, ReduceShape { outer: (1, 0), reduced: (3, 1), inner: 1 }, &mut out, &nan);
        assert!(out[0].is_nan());
    }

    /// The rows `at` of a matrix of `width` columns, summed.
    fn summed(x: &[f64], at: std::ops::Range<usize>, width: usize, blocks: Blocks, out: &mut [f64]) {
        let shape = ReduceShape { outer: (1, 0), reduced: (at.len(), width), inner: width };
        reduce_shared(Reduction::Sum, shape, blocks, out, &x[at.start * width..at.end * width]);
    }

    #[test]
    fn pieces_added_in_the_direction_of_a_sum_give_its_bits() {
        for (width, block) in [(1, RUN), (3, ROWS), (64, ROWS)] {
            let n = 5 * block + 17;
            let x = data(n * width);
            for backward in [false, true] {
                let mut whole = vec![f64::NAN; width];
                summed(&x, 0..n, width, Blocks { backward, onto: false }, &mut whole);
                let mut pieces = [0..2 * block, 2 * block..3 * block, 3 * block..n];
                if backward {
                    pieces.reverse();
                }
                let mut sum = vec![-0.0; width];
                for piece in pieces {
                    summed(&x, piece, width, Blocks { backward, onto: true }, &mut sum);
                }
                assert_eq!(
                    sum.iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
                    whole.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
                );
            }
            let sums = [false, true].map(|backward| {
                let mut sum = vec![0.0; width];
                summed(&x, 0..n, width, Blocks { backward, onto: false }, &mut sum);
                sum
            });
            assert_ne!(sums[0], sums[1], "the order shows in the bits");
        }
    }

    #[test]
    fn no_addends() {
        let mut out = [9.0f32; 2];
        reduce(Reduction::Sum, ReduceShape { outer: (1, 0), reduced: (0, 2), inner: 2 }, &mut out, &[]);
        assert_eq!(out, [0.0; 2]);
    }
}
