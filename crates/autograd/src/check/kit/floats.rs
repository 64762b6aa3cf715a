//! Tensors of random numbers.

use super::shapes::Shapes;
use crate::check::index;
use crate::check::random::Random;
use crate::dtype::DType;
use crate::shape::Shape;
use crate::tensor::Tensor;
use proptest::num::u8::BinarySearch;
use proptest::prelude::any;
use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use std::ops::{Range, RangeInclusive};

/// Tensors with entries from -2 to 2, as a strategy: the value is a list with a tensor for each of `shapes`.
///
/// ```
/// use wengert_autograd::check::{assert_gradients, floats};
/// // Any product of matrices that fit: extents from 1 to 4, the columns of the left shared with the rows of the right.
/// assert_gradients!(|x, w| x.matmul(w).tanh(), floats("B I, I H"));
/// // Logarithms of positive numbers, read through views; the second operand broadcasts.
/// assert_gradients!(|x, y| x.log() * y, floats("B I, B? I?").within(0.1..3.0).strided());
/// ```
///
/// A failing case is made small: extents first, then layouts, then the digits of the numbers.
///
/// # Panics
/// If `shapes` is text and not of the form described at [`Shapes`].
pub fn floats(shapes: impl Into<Shapes>) -> Floats {
    let values = Values { low: -2.0, high: 2.0, avoid: Vec::new(), special: false };
    let own = Vec::new();
    Floats { shapes: shapes.into(), values, own, distinct: false, strided: false, dtype: DType::F64 }
}

/// The strategy that [`floats`] gives.
#[derive(Clone, Debug)]
pub struct Floats {
    shapes: Shapes,
    values: Values,
    /// What differs for single tensors.
    own: Vec<(usize, Values)>,
    distinct: bool,
    strided: bool,
    dtype: DType,
}

/// The numbers that an entry is drawn from.
#[derive(Clone, Debug)]
pub struct Values {
    low: f64,
    high: f64,
    avoid: Vec<f64>,
    special: bool,
}

impl Values {
    /// From this range.
    ///
    /// # Panics
    /// If the range is empty or not finite.
    pub fn within(self, range: Range<f64>) -> Values {
        let Range { start: low, end: high } = range;
        assert!(low < high && low.is_finite() && high.is_finite(), "{low}..{high} is not a range of numbers");
        Values { low, high, ..self }
    }

    /// Not near `kink`, where the function has no derivative (or a difference would reach across): no nearer than a
    /// fiftieth of the range. May be repeated.
    pub fn avoiding(mut self, kink: f64) -> Values {
        self.avoid.push(kink);
        self
    }

    /// Also NaN, infinities, zeros of both signs, denormal numbers, and the largest ones. Not for gradients: for tests
    /// that compare values.
    pub fn special(self) -> Values {
        Values { special: true, ..self }
    }
}

impl Floats {
    /// See [`Values::within`].
    ///
    /// # Panics
    /// If the range is empty or not finite.
    pub fn within(self, range: Range<f64>) -> Floats {
        Floats { values: self.values.within(range), ..self }
    }

    /// See [`Values::avoiding`].
    pub fn avoiding(self, kink: f64) -> Floats {
        Floats { values: self.values.avoiding(kink), ..self }
    }

    /// See [`Values::special`].
    pub fn special(self) -> Floats {
        Floats { values: self.values.special(), ..self }
    }

    /// Other numbers for tensor `i`, starting from those said so far for all: `.input(1, |v| v.within(0.1..2.0))`.
    pub fn input(mut self, i: usize, values: impl FnOnce(Values) -> Values) -> Floats {
        let now = self.numbers(i).clone();
        self.own.push((i, values(now)));
        self
    }

    /// No two entries close to each other, in one tensor or in different ones: for maxima, sorting, comparisons, which have no
    /// derivative at ties.
    pub fn distinct(self) -> Floats {
        Floats { distinct: true, ..self }
    }

    /// Also views: transposed, cut from larger tensors, with a repeated axis.
    pub fn strided(self) -> Floats {
        Floats { strided: true, ..self }
    }

    /// Another element type: F32 is rounded, I64 is three times the number, rounded, and Bool whether it is positive.
    pub fn dtype(self, dtype: DType) -> Floats {
        Floats { dtype, ..self }
    }

    /// See [`Shapes::extent`].
    ///
    /// # Panics
    /// If no axis has the name, or the range is empty.
    pub fn extent(self, name: &str, extents: RangeInclusive<usize>) -> Floats {
        Floats { shapes: self.shapes.extent(name, extents), ..self }
    }

    fn numbers(&self, i: usize) -> &Values {
        self.own.iter().rev().find(|(own, _)| *own == i).map_or(&self.values, |(_, values)| values)
    }

    /// The tensors that `knobs` (of the shapes, then of the layouts) and a seed stand for.
    fn build(&self, knobs: &[usize], digits: u8, seed: u64) -> Vec<Tensor> {
        let count = self.shapes.count();
        let layouts = if self.strided { count } else { 0 };
        let (knobs, layouts) = knobs.split_at(knobs.len() - layouts);
        let shapes = self.shapes.resolve(knobs);
        let total: usize = shapes.iter().map(Shape::numel).sum();
        let mut taken: Vec<f64> = Vec::new();
        let mut all = Vec::new();
        for (i, shape) in shapes.iter().enumerate() {
            let numbers = self.numbers(i);
            let mut values = Vec::with_capacity(shape.numel());
            for flat in 0..shape.numel() {
                // By index, so that a smaller tensor keeps the numbers of its entries.
                let place = index(shape, flat).iter().fold(i as u64 + 1, |h, n| h.wrapping_mul(1_000_003) ^ *n as u64);
                let mut random = Random::new(seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let gap = (numbers.high - numbers.low) / (4 * total) as f64;
                let near = |x: f64| self.distinct && taken.iter().any(|y| (x - y).abs() < gap);
                let value = numbers.draw(&mut random, digits, near);
                taken.extend(self.distinct.then_some(value));
                values.push(value);
            }
            let layout = layouts.get(i).copied().unwrap_or(0);
            all.push(laid_out(values, shape, layout, self.dtype));
        }
        all
    }
}

impl Values {
    fn draw(&self, random: &mut Random, digits: u8, near: impl Fn(f64) -> bool) -> f64 {
        const SPECIAL: [f64; 9] =
            [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 5e-324, -1e-310, f64::MAX, f64::MIN];
        if self.special && random.unit() < 0.3 {
            return SPECIAL[(random.unit() * SPECIAL.len() as f64) as usize % SPECIAL.len()];
        }
        let margin = (self.high - self.low) / 50.0;
        let fits = |x: f64| {
            let kink = self.avoid.iter().any(|kink| (x - kink).abs() < margin);
            !kink && !near(x) && x >= self.low && x < self.high
        };
        // Most of the range is free, so this ends early; a rounded number may not fit where a full one does.
        for attempt in 0..1000 {
            let x = self.low + (self.high - self.low) * random.unit();
            let rounded = (x * 100.0).round() / 100.0;
            let x = if digits == 0 && attempt < 100 && rounded != 0.0 { rounded } else { x };
            if fits(x) {
                return x;
            }
        }
        panic!("no number from {} to {} keeps away from {:?}: avoid fewer", self.low, self.high, self.avoid)
    }
}

/// The number of layouts besides row-major order.
const VIEWS: usize = 4;

/// A tensor in layout `layout`: row-major, transposed, cut from the middle of rows, both, or with a repeated axis.
fn laid_out(values: Vec<f64>, shape: &Shape, layout: usize, dtype: DType) -> Tensor {
    let plain = Tensor::from_vec(values, shape).expect("as many values as the shape holds");
    let plain = typed(&plain, dtype);
    let view = match layout {
        1 => turned(&plain).and_then(|turned| turned_view(&turned)),
        2 => cut(&plain),
        3 => turned(&plain).and_then(|turned| turned_view(&cut(&turned)?)),
        4 => {
            let axis = (0..shape.rank()).rev().find(|axis| shape[*axis] > 1);
            axis.and_then(|axis| plain.narrow(axis, 0, 1).ok()?.expand(shape).ok())
        }
        _ => None,
    };
    view.unwrap_or(plain)
}

fn typed(tensor: &Tensor, dtype: DType) -> Tensor {
    if dtype.is_float() {
        return tensor.cast(dtype);
    }
    let scale = if dtype == DType::I64 { 3.0 } else { 1.0 };
    let whole = |x: f64| if dtype == DType::Bool { (x > 0.0) as u8 as f64 } else { (x * scale).round() };
    let values = tensor.to_f64_vec().into_iter().map(whole).collect();
    Tensor::from_vec::<f64>(values, tensor.shape()).expect("as many values as before").cast(dtype)
}

/// A view with the axes in the opposite order.
fn turned_view(tensor: &Tensor) -> Option<Tensor> {
    let order: Vec<usize> = (0..tensor.shape().rank()).rev().collect();
    tensor.permute(&order).ok()
}

/// The tensor with the axes in the opposite order, row-major.
fn turned(tensor: &Tensor) -> Option<Tensor> {
    turned_view(tensor).map(|view| view.contiguous())
}

/// The same tensor, as the middle of longer rows.
fn cut(tensor: &Tensor) -> Option<Tensor> {
    let axis = tensor.shape().rank().checked_sub(1)?;
    let n = tensor.shape()[axis];
    let wide = tensor.shape().with_axis(axis, n + 2);
    let rows = tensor.to_f64_vec();
    let padded = (0..wide.numel()).map(|at| match at % (n + 2) {
        0 => 0.0,
        place if place > n => 0.0,
        place => rows[at / (n + 2) * n + place - 1],
    });
    Tensor::from_vec::<f64>(padded.collect(), &wide).ok()?.cast(tensor.dtype()).narrow(axis, 1, n).ok()
}

/// A number that starts large and only ever gets smaller.
#[derive(Clone, Debug)]
struct Shrinking(u8);

impl Strategy for Shrinking {
    type Tree = BinarySearch;
    type Value = u8;

    fn new_tree(&self, _: &mut TestRunner) -> NewTree<Self> {
        Ok(BinarySearch::new(self.0))
    }
}

impl Strategy for Floats {
    type Tree = Box<dyn ValueTree<Value = Vec<Tensor>>>;
    type Value = Vec<Tensor>;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let this = self.clone();
        let mut knobs = self.shapes.knobs();
        if self.strided {
            // A repeated axis, the last of the layouts, is a tie.
            let views = if self.distinct { VIEWS - 1 } else { VIEWS };
            knobs.extend(std::iter::repeat_n(0..=views, self.shapes.count()));
        }
        let parts = (knobs, Shrinking(1), any::<u64>().no_shrink());
        Ok(Box::new(parts.prop_map(move |(knobs, digits, seed)| this.build(&knobs, digits, seed)).new_tree(runner)?))
    }
}
