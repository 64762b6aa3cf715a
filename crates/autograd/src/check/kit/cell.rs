//! Random recurrent cells.

use crate::check::random::Random;
use crate::dtype::DType;
use crate::param::{Param, ParamTree, Path};
use crate::shape::Shape;
use crate::tape::Tape;
use crate::tensor::Tensor;
use crate::var::Var;
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::strategy::Strategy;

/// Random recurrent cells, as a strategy: one or two components of state, gates, products with parameters, normalised and
/// pooled values, in any combination. For tests of what takes any cell: a driver, an optimizer, a transformation.
///
/// They are smooth, and bounded over any number of steps. A failing cell is made small: operations are left out, sizes
/// shrink. The nn crate's `Cell` is implemented for them, so `Rnn::new(cell)` runs one.
///
/// ```
/// use wengert_autograd::{Tape, check::{assert_gradients, cells, floats, proptest}};
/// proptest::proptest!(proptest::test_runner::Config::with_cases(2), |(cell in cells())| {
///     let x = floats([2, 2, cell.input()]); // [T, B, I]
///     let options = wengert_autograd::check::GradientOptions::default().cases(1);
///     assert_gradients!(|x| x.tape().scan(cell.init(x.tape(), 2), x, |s, x| {
///         let (y, s) = cell.step(x, s);
///         (s, y)
///     }).1, x, params: cell, options: options);
/// });
/// ```
pub fn cells() -> impl Strategy<Value = RandomCell> {
    let sizes = (1..=3usize, 1..=3usize, 1..=2usize);
    let ops = vec((0..OPS, any::<[u8; 2]>()), 0..=6);
    (sizes, ops, any::<[u8; 3]>(), any::<u64>().no_shrink()).prop_map(
        |((input, hidden, components), ops, ends, seed)| {
            let mut random = Random::new(seed);
            let mut draw = |shape: &[usize]| Param::new(random.tensor(&Shape::from(shape)));
            let input_weights = draw(&[input, hidden]);
            let layers = (0..=ops.iter().filter(|(op, _)| *op == PRODUCT).count())
                .map(|_| (draw(&[hidden, hidden]), draw(&[hidden])))
                .collect();
            RandomCell { input_weights, layers, ops, ends, components, input, hidden }
        },
    )
}

/// A random cell with parameters of F64; see [`cells`].
#[derive(Clone, Debug)]
pub struct RandomCell {
    /// `[I, H]`.
    input_weights: Param,
    /// Recurrent weights `[H, H]` and biases `[H]`, one pair for each product.
    layers: Vec<(Param, Param)>,
    /// The operations, with numbers that choose their operands.
    ops: Vec<(u8, [u8; 2])>,
    /// The numbers that choose the output and the next state.
    ends: [u8; 3],
    components: usize,
    input: usize,
    hidden: usize,
}

const OPS: u8 = 11;
const PRODUCT: u8 = 1;

impl RandomCell {
    /// The size of the input: a step takes `[B, I]`.
    pub fn input(&self) -> usize {
        self.input
    }

    /// The size of the output and of each component of the state: `[B, H]`.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// A state of zeros, one `[B, H]` for each component, in the parameters' element type.
    pub fn init<'t>(&self, tape: &'t Tape, batch: usize) -> Vec<Var<'t>> {
        vec![tape.zeros([batch, self.hidden], self.dtype()); self.components]
    }

    /// An input `[B, I]` for it, in the parameters' element type.
    pub fn example(&self, batch: usize) -> Tensor {
        Random::new(1).tensor(&Shape::from([batch, self.input])).cast(self.dtype())
    }

    fn dtype(&self) -> DType {
        self.input_weights.value().dtype()
    }

    /// One step: input `[B, I]` and state to output `[B, H]` and state.
    #[track_caller]
    pub fn step<'t>(&self, x: Var<'t>, state: Vec<Var<'t>>) -> (Var<'t>, Vec<Var<'t>>) {
        let mut layers = self.layers.iter();
        // One pair was drawn for each product and one for the first line.
        let mut affine = |v: Var<'t>| layers.next().map_or(v, |(u, b)| v.matmul(u) + b);
        let Some(h) = state.first() else { return (x, state) };
        let mut pool = state.clone();
        pool.push((x.matmul(&self.input_weights) + affine(*h)).tanh());
        for (op, picks) in &self.ops {
            let pick = |i: usize| pool[pool.len() - 1 - picks[i] as usize % pool.len()];
            let (a, b) = (pick(0), pick(1));
            pool.push(match *op {
                0 => a.tanh(),
                PRODUCT => affine(a).tanh(),
                2 => a.sigmoid() * b,
                3 => a + a.sigmoid() * (b - a),
                4 => (a + b) * 0.5,
                5 => a * b.tanh(),
                6 => a.sin(),
                7 => (a.square() + 1.0).log(),
                8 => a.softmax(-1) * b,
                9 => a - b.mean_keep(-1),
                _ => a / (b.square() + 1.0),
            });
        }
        let pick = |i: usize| pool[pool.len() - 1 - self.ends[i] as usize % pool.len()];
        let next = state.iter().enumerate().map(|(k, s)| *s * 0.5 + pick(k + 1).tanh() * 0.5).collect();
        (pick(0), next)
    }
}

impl ParamTree for RandomCell {
    fn visit_params(&self, path: &mut Path, visit: &mut dyn FnMut(&Path, &Param)) {
        path.within("w", |path| self.input_weights.visit_params(path, visit));
        path.within("layers", |path| self.layers.visit_params(path, visit));
    }
}
