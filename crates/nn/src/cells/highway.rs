//! Several layers of transition within a step.

use crate::cell::Cell;
use crate::cx::Cx;
use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Param, Var};

/// The recurrent highway network (Zilly et al. 2017, arXiv 1607.03474) with coupled gates: `depth` small layers take the state through one step.
///
/// ```text
/// s = h, and for each layer l:
///     [n t] = s·U_l + b_l, for the first layer + x·W
///     s = σ(t)·tanh(n) + (1 − σ(t))·s
/// h' = s
/// ```
///
/// A clone shares the parameters.
#[derive(Clone, Debug, Module)]
pub struct HighwayCell {
    /// Input weights `[I, 2H]`, for n, t.
    pub w: Param,
    /// Recurrent weights `[H, 2H]` of each layer.
    pub u: Vec<Param>,
    /// Biases `[2H]` of each layer.
    pub b: Vec<Param>,
    hidden: usize,
}

impl HighwayCell {
    /// A cell of `depth` layers, all weights drawn from `uniform(±1/√hidden)`. Of depth 0 it ignores its input and keeps its state.
    pub fn new(input: usize, hidden: usize, depth: usize, rng: &mut impl Rng) -> HighwayCell {
        let mut draw = init::recurrent(hidden, rng);
        let w = draw(&[input, 2 * hidden]);
        let (u, b) = (0..depth).map(|_| (draw(&[hidden, 2 * hidden]), draw(&[2 * hidden]))).unzip();
        HighwayCell { w, u, b, hidden }
    }

    /// The cell with `bias` added to the biases of its gates t. A negative one lets the state pass at first, and deep cells be trained.
    pub fn with_transform_bias(self, bias: f64) -> HighwayCell {
        self.b.iter().for_each(|b| init::change(b, self.hidden..2 * self.hidden, |_, b| b + bias));
        self
    }
}

impl Cell for HighwayCell {
    /// `h` `[B, H]`.
    type State<'t> = Var<'t>;

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Var<'t> {
        cx.zeros([batch, self.hidden])
    }

    fn step<'t>(&self, x: Var<'t>, h: Var<'t>) -> (Var<'t>, Var<'t>) {
        let mut s = h;
        for (l, (u, b)) in self.u.iter().zip(&self.b).enumerate() {
            let z = s.matmul(u) + b;
            let [n, t] = if l == 0 { x.matmul(&self.w) + z } else { z }.chunk();
            let t = t.sigmoid();
            s = t * n.tanh() + (1 - t) * s;
        }
        (s, s)
    }
}
