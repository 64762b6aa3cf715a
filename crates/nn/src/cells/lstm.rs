//! The long short-term memory cell with forget gate.

use crate::cell::Cell;
use crate::cx::Cx;
use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Param, Var};

/// Long short-term memory (Hochreiter & Schmidhuber 1997) with forget gate (Gers, Schmidhuber & Cummins 2000):
///
/// ```text
/// i = σ(x·W_i + h·U_i + b_i)      f = σ(x·W_f + h·U_f + b_f)
/// g = tanh(x·W_g + h·U_g + b_g)   o = σ(x·W_o + h·U_o + b_o)
/// c' = f·c + i·g                  h' = o·tanh(c')
/// ```
///
/// The gates are columns of one matrix, in PyTorch's order i, f, g, o.
#[derive(Clone, Debug, Module)]
pub struct LstmCell {
    /// Input weights `[I, 4H]`.
    pub w: Param,
    /// Recurrent weights `[H, 4H]`.
    pub u: Param,
    /// Biases `[4H]`.
    pub b: Param,
    hidden: usize,
}

impl LstmCell {
    /// A cell with all weights drawn from `uniform(±1/√hidden)`, as PyTorch draws them.
    pub fn new(input: usize, hidden: usize, rng: &mut impl Rng) -> LstmCell {
        let bound = 1.0 / (hidden.max(1) as f64).sqrt();
        let mut draw = |shape: &[usize]| Param::new(init::uniform(shape, bound, rng));
        LstmCell { w: draw(&[input, 4 * hidden]), u: draw(&[hidden, 4 * hidden]), b: draw(&[4 * hidden]), hidden }
    }

    /// The number of units, H.
    pub fn hidden(&self) -> usize {
        self.hidden
    }
}

impl Cell for LstmCell {
    /// `(h, c)`, each `[B, H]`.
    type State<'t> = (Var<'t>, Var<'t>);

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        (cx.zeros([batch, self.hidden]), cx.zeros([batch, self.hidden]))
    }

    fn step<'t>(&self, x: Var<'t>, (h, c): Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        let z = x.matmul(&self.w) + h.matmul(&self.u) + &self.b;
        let [i, f, g, o] = z.chunk();
        let c = f.sigmoid() * c + i.sigmoid() * g.tanh();
        let h = o.sigmoid() * c.tanh();
        (h, (h, c))
    }
}
