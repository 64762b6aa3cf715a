//! What the property tests share: samples, layouts, and the comparisons that hold for every function.

use crate::check::{self, CheckOptions};
use crate::ops::Sample;
use crate::program::{PlanOptions, evaluate_with};
use crate::{DType, Result, Shape, Tape, Tensor, Var};

/// A reproducible source of choices (SplitMix64).
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678)
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `0..n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.bits() % n.max(1) as u64) as usize
    }

    /// Uniform in [0, 1).
    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// An element from a row's domain, at a distance from its jumps that a finite difference does not cross.
pub(super) fn draw(sample: &Sample, rng: &mut Rng) -> f64 {
    loop {
        let x = sample.low + (sample.high - sample.low) * rng.unit();
        if sample.avoid.iter().all(|jump| (x - jump).abs() > 0.05) {
            return x;
        }
    }
}

/// A tensor from a domain; integers and truth values are rounded from it.
pub(super) fn sampled(shape: impl Into<Shape>, dtype: DType, sample: &Sample, rng: &mut Rng) -> Tensor {
    let shape = shape.into();
    let values: Vec<f64> = (0..shape.numel()).map(|_| draw(sample, rng)).collect();
    typed(&values, shape, dtype)
}

pub(super) const WIDE: Sample = Sample { low: -2.0, high: 2.0, avoid: &[] };

/// Doubles as another type: integers keep small distinct values, truth is positivity.
pub(super) fn typed(values: &[f64], shape: impl Into<Shape>, dtype: DType) -> Tensor {
    match dtype {
        DType::F64 => Tensor::from_vec(values.to_vec(), shape),
        DType::F32 => Tensor::from_vec(values.iter().map(|v| *v as f32).collect(), shape),
        DType::I64 => Tensor::from_vec(values.iter().map(|v| (v * 3.0).round() as i64).collect(), shape),
        DType::Bool => Tensor::from_vec(values.iter().map(|v| *v > 0.0).collect(), shape),
    }
    .unwrap()
}

/// How an input reaches an operation: in row-major order, or as a view with other strides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Plain,
    /// A transposed view of a transposed copy.
    Transposed,
    /// A transposed view that was asked for, and is held as it came.
    Kept,
    /// The middle of a larger value.
    Sliced,
    /// One entry of the first axis, repeated: the strides hold a zero.
    Expanded,
    /// Turned round along the last axis, twice.
    Flipped,
    /// An intermediate value: the producer may be fused or computed in place.
    Computed,
}

pub(super) const LAYOUTS: [Layout; 7] = [
    Layout::Plain,
    Layout::Transposed,
    Layout::Kept,
    Layout::Sliced,
    Layout::Expanded,
    Layout::Flipped,
    Layout::Computed,
];

impl Layout {
    /// The value, or the nearest one that can have the layout.
    pub(super) fn suited(self, value: Tensor) -> Tensor {
        let shape = value.shape().clone();
        if self != Layout::Expanded || shape.rank() == 0 || shape.numel() == 0 {
            return value;
        }
        let row = value.narrow(0, 0, 1).unwrap().to_f64_vec();
        let rows: Vec<f64> = (0..shape[0]).flat_map(|_| row.iter().copied()).collect();
        Tensor::from_vec(rows, shape).unwrap().cast(value.dtype())
    }
}

/// Records `value`, which [suits](Layout::suited) the layout, so that the operation under test sees it.
pub(super) fn laid_out<'t>(tape: &'t Tape, value: &Tensor, layout: Layout) -> Var<'t> {
    let rank = value.shape().rank();
    match layout {
        Layout::Transposed if rank >= 2 => {
            let copy = value.transpose(0, rank - 1).unwrap().contiguous();
            tape.var(copy).transpose(0, -1)
        }
        Layout::Kept if rank >= 2 => {
            let copy = tape.var(value.transpose(0, rank - 1).unwrap().contiguous());
            let yes = tape.constant(true);
            computed(yes.select(copy, copy).transpose(0, -1))
        }
        Layout::Sliced if rank >= 1 => {
            let plain = tape.var(value);
            let other = plain.select_other();
            let axis = rank as isize - 1;
            let extent = value.shape()[rank - 1];
            // Kept, so that the operation reads a strided leaf and not the parts of a concat.
            let wide = computed(tape.concat(&[other, plain, other], axis));
            wide.narrow(axis, extent, extent)
        }
        Layout::Expanded if rank >= 1 && value.numel() > 0 => {
            tape.var(value.narrow(0, 0, 1).unwrap().contiguous()).expand(value.shape())
        }
        Layout::Flipped if rank >= 1 => {
            let turned = tape.var(value).flip(-1);
            computed(turned).flip(-1)
        }
        Layout::Computed => {
            let plain = tape.var(value);
            let yes = tape.constant(true);
            yes.select(plain, plain)
        }
        _ => tape.var(value),
    }
}

/// Asks for the value, so that what is recorded later reads the held copy.
pub(super) fn computed(var: Var<'_>) -> Var<'_> {
    var.value().unwrap();
    var
}

impl<'t> Var<'t> {
    /// Other numbers of the same shape and type, to stand around a slice.
    fn select_other(self) -> Var<'t> {
        match self.dtype().unwrap() {
            DType::Bool => self.not(),
            _ => self + self,
        }
    }
}

/// The values as the optimised program and as node-by-node execution give them; fails where bits differ.
pub(super) fn same_bits(tape: &Tape, asked: &[Var<'_>], what: &str) -> Vec<Tensor> {
    match try_same_bits(tape, asked, what) {
        Ok(values) => values,
        Err(error) => panic!("{what}: {error}"),
    }
}

pub(super) fn try_same_bits(tape: &Tape, asked: &[Var<'_>], what: &str) -> Result<Vec<Tensor>> {
    for var in asked {
        var.shape()?;
    }
    let ids: Vec<u32> = asked.iter().map(|v| v.id).collect();
    let plain = evaluate_with(tape, &ids, PlanOptions::default())?;
    let fast = evaluate_with(tape, &ids, PlanOptions { optimise: true, ..PlanOptions::default() })?;
    for (i, (a, b)) in fast.iter().zip(&plain).enumerate() {
        assert!(equal(a, b), "{what}: value {i} of the optimised program\n{a:?}\nis not that of its nodes\n{b:?}");
    }
    Ok(fast)
}

/// Equal to the bit, except that any NaN is as good as another.
pub(super) fn equal(a: &Tensor, b: &Tensor) -> bool {
    let same = |x: &f64, y: &f64| x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan());
    a.bit_eq(b)
        || (a.dtype() == b.dtype()
            && a.dtype().is_float()
            && a.shape() == b.shape()
            && a.to_f64_vec().iter().zip(&b.to_f64_vec()).all(|(x, y)| same(x, y)))
}

#[track_caller]
pub(super) fn assert_equal(a: &Tensor, b: &Tensor, what: &str) {
    assert!(equal(a, b), "{what}:\n{a:?}\nis not\n{b:?}");
}

/// Gradients at order one and two against differences.
#[track_caller]
pub(super) fn assert_gradients(f: impl for<'t> Fn(&[Var<'t>]) -> Var<'t>, inputs: &[Tensor], what: &str) {
    // A fourth-root step suits values of order one better than 1e-6, at which rounding costs ten digits.
    let options = CheckOptions { eps: 1e-5, rtol: 1e-5, atol: 1e-6, ..Default::default() };
    if let Err(failure) = check::gradcheck(&f, inputs, options) {
        panic!("{what}: {failure}");
    }
    if let Err(failure) = check::gradgradcheck(&f, inputs, options) {
        panic!("{what}: {failure}");
    }
}

/// A function run in a scan whose items are copies of the inputs, step by step different, must give what it gives
/// outside for each step's inputs. `held` inputs are captured instead of scanned.
pub(super) fn scan_agrees(
    f: &dyn for<'t> Fn(&[Var<'t>]) -> Var<'t>,
    steps: &[Vec<Tensor>],
    held: &[bool],
    reverse: bool,
    what: &str,
) {
    let tape = Tape::new();
    let count = held.len();
    let stacked: Vec<Var<'_>> = (0..count)
        .map(|i| {
            let rows: Vec<Var<'_>> = steps.iter().map(|inputs| tape.var(&inputs[i])).collect();
            computed(tape.stack(&rows, 0))
        })
        .collect();
    let items: Vec<Var<'_>> = (0..count).filter(|i| !held[*i]).map(|i| stacked[i]).collect();
    let captured: Vec<Var<'_>> = (0..count).map(|i| tape.var(&steps[0][i])).collect();
    let options = crate::ScanOptions { reverse, length: Some(steps.len()), ..Default::default() };
    let ((), ys) = tape.scan_with(options, (), items, |(), items| {
        let mut items = items.into_iter();
        let inputs: Vec<Var<'_>> =
            (0..count).map(|i| if held[i] { captured[i] } else { items.next().unwrap() }).collect();
        ((), f(&inputs))
    });
    let inside = same_bits(&tape, &[ys], what).remove(0);
    for (t, inputs) in steps.iter().enumerate() {
        let tape = Tape::new();
        let vars: Vec<Var<'_>> =
            (0..count).map(|i| tape.var(if held[i] { &steps[0][i] } else { &inputs[i] })).collect();
        let outside = f(&vars).value().unwrap();
        let step = inside.narrow(0, t, 1).unwrap().reshape(outside.shape()).unwrap();
        assert_equal(&step, &outside, &format!("{what}: step {t} of a scan"));
    }
}
