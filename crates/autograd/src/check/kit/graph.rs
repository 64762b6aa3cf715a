//! Random graphs of operations.

use super::shapes::broadcastable;
use crate::check::random::Random;
use crate::scan::ScanOptions;
use crate::shape::Shape;
use crate::tape::Tape;
use crate::tensor::Tensor;
use crate::var::Var;
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::prop_oneof;
use proptest::strategy::{BoxedStrategy, Just, Strategy};
use std::fmt;

/// Random functions, as a strategy: graphs of elementwise operations, products, reductions, views, joins, gathers, and loops
/// over time, nested up to twice, with values that are used several times.
///
/// They are smooth, and their values and derivatives are of order one, so that differences are accurate. A failing graph
/// is made small: steps are left out, shapes shrink. For tests of what takes any function: a transformation of tapes, a
/// derivative, a way to run them.
///
/// ```
/// use wengert_autograd::{Tape, check::{graphs, proptest}};
/// proptest::proptest!(proptest::test_runner::Config::with_cases(8), |(graph in graphs())| {
///     // A sum may be taken before or after a derivative.
///     let tape = Tape::new();
///     let inputs: Vec<_> = graph.inputs().iter().map(|x| tape.var(x)).collect();
///     let y = graph.record(&inputs);
///     let [a] = y.sum().grad_or_none([inputs[0]]);
///     let [b] = (y * 2.0).sum().grad_or_none([inputs[0]]);
///     if let (Some(a), Some(b)) = (a, b) {
///         let (a, b) = (a.value().unwrap().to_f64_vec(), b.value().unwrap().to_f64_vec());
///         assert!(a.iter().zip(&b).all(|(a, b)| (2.0 * a - b).abs() < 1e-9));
///     }
/// });
/// ```
pub fn graphs() -> impl Strategy<Value = Graph> {
    let shapes = (1..=3usize).prop_flat_map(broadcastable);
    (shapes, any::<u64>().no_shrink(), steps(2, 12)).prop_map(|(shapes, seed, steps)| {
        let mut random = Random::new(seed);
        Graph { inputs: shapes.iter().map(|shape| random.tensor(shape)).collect(), steps }
    })
}

/// A random function of some inputs; see [`graphs`]. Its `{:?}` lists the operations.
#[derive(Clone)]
pub struct Graph {
    inputs: Vec<Tensor>,
    steps: Vec<Step>,
}

/// One operation: which one, and numbers that choose operands and axes among those there are.
#[derive(Clone, Debug)]
struct Step {
    op: u8,
    picks: [u8; 3],
    /// The steps of a loop.
    body: Option<Vec<Step>>,
}

/// Larger values are averaged, so that a graph stays quick to differentiate.
const LARGEST: usize = 48;
const OPS: u8 = 32;

fn steps(depth: usize, most: usize) -> BoxedStrategy<Vec<Step>> {
    let picks = any::<[u8; 3]>();
    let plain = (0..OPS, picks, Just(None));
    let step = match depth.checked_sub(1) {
        None => plain.boxed(),
        Some(inner) => prop_oneof![6 => plain, 1 => (Just(0), picks, steps(inner, 5).prop_map(Some))].boxed(),
    };
    vec(step.prop_map(|(op, picks, body)| Step { op, picks, body }), 0..=most).boxed()
}

impl Graph {
    /// Inputs of the right shapes, of F64.
    pub fn inputs(&self) -> &[Tensor] {
        &self.inputs
    }

    /// Records the function over values of the [inputs](Graph::inputs)' shapes, of either float type. The value may
    /// have any shape; an input may have no part in it.
    pub fn record<'t>(&self, inputs: &[Var<'t>]) -> Var<'t> {
        Recorder { loops: false }.all(&self.steps, inputs)
    }

    /// As [`record`](Graph::record), with each loop as its steps one after the other: the same function, to rounding.
    pub fn record_unrolled<'t>(&self, inputs: &[Var<'t>]) -> Var<'t> {
        Recorder { loops: true }.all(&self.steps, inputs)
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tape = Tape::new();
        let inputs: Vec<Var<'_>> = self.inputs.iter().map(|x| tape.var(x)).collect();
        let value = self.record(&inputs);
        write!(f, "the value is {value:?} of inputs {:?} on\n{tape:?}", self.inputs)
    }
}

struct Recorder {
    /// Whether loops are recorded as Rust loops.
    loops: bool,
}

/// Entry `pick` of those there are, from the last one; later ones are picked more often.
fn pick<T: Copy>(pool: &[T], pick: u8) -> T {
    let back = pick as usize * pick as usize * pool.len() / (256 * 256);
    pool[pool.len() - 1 - back]
}

/// The shape of a value that the recorder made, or was given: an invalid one is the caller's.
fn dims(v: Var<'_>) -> Shape {
    v.shape().unwrap_or_default()
}

impl Recorder {
    fn all<'t>(&self, steps: &[Step], inputs: &[Var<'t>]) -> Var<'t> {
        let mut pool = inputs.to_vec();
        self.grow(steps, &mut pool);
        // The inputs are there, and at least one is.
        pool.last().copied().expect("a graph has inputs")
    }

    fn grow<'t>(&self, steps: &[Step], pool: &mut Vec<Var<'t>>) {
        for step in steps {
            let [a, b, c] = step.picks;
            let x = pick(pool, a);
            let mut y = match &step.body {
                Some(body) => self.time(body, x, pool, b, c),
                None => self.plain(step.op, x, pool, b, c),
            };
            if dims(y).numel() > LARGEST {
                y = y.mean_axes(0);
            }
            pool.push(y);
        }
    }

    fn plain<'t>(&self, op: u8, x: Var<'t>, pool: &[Var<'t>], b: u8, c: u8) -> Var<'t> {
        let shape = dims(x);
        let rank = shape.rank();
        let axis = c as isize % rank.max(1) as isize;
        let y = pick(pool, b);
        let fits = shape.broadcast(&dims(y)).is_some_and(|s| s.numel() <= 4 * LARGEST);
        match op {
            0 => x * 0.5 + 0.25,
            1 => x.tanh(),
            2 => x.sigmoid(),
            3 => x.sin(),
            4 => x.atan(),
            5 => x.softplus(),
            6 => (x.square() + 1.5).log(),
            7 => (x.square() + 1).sqrt(),
            8 => (x.square() + 2).recip(),
            9 => x.tanh().expm1(),
            10 => x.square().tanh(),
            11 | 12 if fits => (x + y) * 0.5,
            13 if fits => x - y * 0.5,
            14 | 15 if fits => x.tanh() * y,
            16 if fits => x / (y.square() + 1),
            17 if fits => (x.square() + 0.5).pow(y.tanh()),
            18 | 19 if rank >= 2 => {
                let other = dims(y);
                let matrix = other.rank() == 2 && other[0] == shape[rank - 1];
                if matrix { x.matmul(y) * 0.5 } else { x.matmul(x.t()) * 0.5 }
            }
            20 if rank >= 1 => x.sum_axes(axis) * 0.5,
            21 if rank >= 1 => x.mean_axes(axis),
            22 if rank >= 1 => x.tanh().prod_axes(axis),
            23 if rank >= 1 => x.cumsum(axis) * 0.5,
            24 if rank >= 1 => x.softmax(axis),
            25 if rank >= 1 => x.transpose(axis, b as isize % rank as isize),
            26 if rank >= 1 => {
                let extent = shape[axis as usize];
                let start = b as usize % extent.max(1);
                x.narrow(axis, start, extent - start)
            }
            27 if rank >= 1 => {
                let y = if dims(y) == shape { y } else { x.tanh() };
                x.concat([y, x * 0.5], axis)
            }
            28 => x.unsqueeze(c as isize % (rank + 1) as isize),
            29 => x.expand(shape.with_front(1 + c as usize % 3)),
            30 if rank >= 1 => {
                let index: Vec<i64> = (1..4).map(|i| i * b as i64 % shape[axis as usize].max(1) as i64).collect();
                let some = if shape[axis as usize] > 0 { &index[..] } else { &[] };
                // As many entries as the shape says.
                Tensor::from_slice(some, [some.len()]).map_or(x, |index| x.index_select(axis, &index))
            }
            31 => x.reshape([shape.numel()]),
            _ => x.cos(),
        }
    }

    /// A loop over the leading axis of `x`, if it is short, or else over nothing; one or two carries.
    fn time<'t>(&self, steps: &[Step], x: Var<'t>, pool: &[Var<'t>], b: u8, c: u8) -> Var<'t> {
        let shape = dims(x);
        let scanned = shape.rank() > 0 && shape[0] <= 5;
        let length = if scanned { shape[0] } else { 1 + c as usize % 3 };
        let init: Vec<Var<'t>> = [b, c][..1 + c as usize % 2].iter().map(|p| pick(pool, *p)).collect();
        let captured = pick(pool, b / 2);
        let items = if scanned { vec![x] } else { Vec::new() };
        let options = ScanOptions { reverse: b % 2 == 1, length: Some(length), ..Default::default() };
        let body = |state: Vec<Var<'t>>, items: Vec<Var<'t>>| {
            let mut pool: Vec<Var<'t>> = [&[captured], &items[..], &state].concat();
            self.grow(steps, &mut pool);
            let last = pick(&pool, 0);
            let next = state.iter().enumerate().map(|(k, carry)| {
                let v = pick(&pool, b.rotate_left(k as u32));
                let fits = dims(v).broadcast(&dims(*carry)).is_some_and(|s| s == dims(*carry));
                *carry * 0.5 + if fits { v.tanh() } else { v.tanh().mean() }
            });
            (next.collect::<Vec<_>>(), last)
        };
        let (last, ys) = if self.loops && length > 0 {
            let mut state = init;
            let mut rows = vec![x; length];
            for step in 0..length {
                let t = if options.reverse { length - 1 - step } else { step };
                (state, rows[t]) = body(state, items.iter().map(|x| x.get(0, t)).collect());
            }
            (state, x.tape().stack(&rows, 0))
        } else {
            x.tape().scan_with(options, init, items, body)
        };
        // The state and what the steps gave; both, where they fit.
        match dims(last[0]).broadcast(&dims(ys)) {
            Some(s) if s.numel() <= LARGEST => last[0] * 0.5 + ys.tanh(),
            _ if c.is_multiple_of(3) => last[0],
            _ => ys,
        }
    }
}
