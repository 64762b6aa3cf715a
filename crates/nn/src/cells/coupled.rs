//! The LSTM that forgets as much as it takes in.

use crate::cell::Cell;
use crate::cx::Cx;
use crate::dropout::{Gated, Product, plain};
use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Param, Var};

/// The LSTM with coupled input and forget gates (Greff et al. 2017, arXiv 1503.04069, "CIFG"): three quarters of the weights.
///
/// ```text
/// f = σ(x·W_f + h·U_f + b_f)      g = tanh(x·W_g + h·U_g + b_g)
/// o = σ(x·W_o + h·U_o + b_o)
/// c' = f·c + (1 − f)·g            h' = o·tanh(c')
/// ```
///
/// The gates are columns of one matrix, in the order f, g, o. A clone shares the parameters.
#[derive(Clone, Debug, Module)]
pub struct CoupledLstmCell {
    /// Input weights `[I, 3H]`.
    pub w: Param,
    /// Recurrent weights `[H, 3H]`.
    pub u: Param,
    /// Biases `[3H]`.
    pub b: Param,
    pub(super) hidden: usize,
}

impl CoupledLstmCell {
    /// A cell with all weights drawn from `uniform(±1/√hidden)`.
    pub fn new(input: usize, hidden: usize, rng: &mut impl Rng) -> CoupledLstmCell {
        let mut draw = init::recurrent(hidden, rng);
        let (w, u, b) = (draw(&[input, 3 * hidden]), draw(&[hidden, 3 * hidden]), draw(&[3 * hidden]));
        CoupledLstmCell { w, u, b, hidden }
    }
}

impl Cell for CoupledLstmCell {
    /// `(h, c)`, each `[B, H]`.
    type State<'t> = (Var<'t>, Var<'t>);

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        (cx.zeros([batch, self.hidden]), cx.zeros([batch, self.hidden]))
    }

    fn step<'t>(&self, x: Var<'t>, state: Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        self.step_by(x, state, plain)
    }
}

impl Gated for CoupledLstmCell {
    const GATES: usize = 3;

    fn step_by<'t>(&self, x: Var<'t>, (h, c): Self::State<'t>, times: impl Product<'t>) -> (Var<'t>, Self::State<'t>) {
        let [f, g, o] = (x.matmul(&self.w) + times(h, &self.u) + &self.b).chunk();
        let f = f.sigmoid();
        let c = f * c + (1 - f) * g.tanh();
        let h = o.sigmoid() * c.tanh();
        (h, (h, c))
    }
}
