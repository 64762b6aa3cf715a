//! The LSTM whose gates see the cell.

use crate::cell::Cell;
use crate::cx::Cx;
use crate::dropout::{Gated, Product, plain};
use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Param, Var};

/// The LSTM with peephole connections (Gers & Schmidhuber 2000; Gers, Schraudolph & Schmidhuber 2002): the gates see the cell's content as
/// well, the output gate the new one.
///
/// ```text
/// i = σ(x·W_i + h·U_i + p_i·c + b_i)      f = σ(x·W_f + h·U_f + p_f·c + b_f)
/// g = tanh(x·W_g + h·U_g + b_g)           c' = f·c + i·g
/// o = σ(x·W_o + h·U_o + p_o·c' + b_o)     h' = o·tanh(c')
/// ```
///
/// The gates are columns of one matrix, in the order i, f, g, o. A clone shares the parameters.
#[derive(Clone, Debug, Module)]
pub struct PeepholeLstmCell {
    /// Input weights `[I, 4H]`.
    pub w: Param,
    /// Recurrent weights `[H, 4H]`.
    pub u: Param,
    /// Biases `[4H]`.
    pub b: Param,
    /// Peephole weights of the input gate `[H]`.
    pub p_i: Param,
    /// Peephole weights of the forget gate `[H]`.
    pub p_f: Param,
    /// Peephole weights of the output gate `[H]`.
    pub p_o: Param,
    pub(super) hidden: usize,
}

impl PeepholeLstmCell {
    /// A cell with all weights drawn from `uniform(±1/√hidden)`.
    pub fn new(input: usize, hidden: usize, rng: &mut impl Rng) -> PeepholeLstmCell {
        let mut draw = init::recurrent(hidden, rng);
        let (w, u, b) = (draw(&[input, 4 * hidden]), draw(&[hidden, 4 * hidden]), draw(&[4 * hidden]));
        let [p_i, p_f, p_o] = [(); 3].map(|()| draw(&[hidden]));
        PeepholeLstmCell { w, u, b, p_i, p_f, p_o, hidden }
    }
}

impl Cell for PeepholeLstmCell {
    /// `(h, c)`, each `[B, H]`.
    type State<'t> = (Var<'t>, Var<'t>);

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        (cx.zeros([batch, self.hidden]), cx.zeros([batch, self.hidden]))
    }

    fn step<'t>(&self, x: Var<'t>, state: Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        self.step_by(x, state, plain)
    }
}

impl Gated for PeepholeLstmCell {
    const GATES: usize = 4;

    fn step_by<'t>(&self, x: Var<'t>, (h, c): Self::State<'t>, times: impl Product<'t>) -> (Var<'t>, Self::State<'t>) {
        let [i, f, g, o] = (x.matmul(&self.w) + times(h, &self.u) + &self.b).chunk();
        let (i, f) = ((i + c * &self.p_i).sigmoid(), (f + c * &self.p_f).sigmoid());
        let c = f * c + i * g.tanh();
        let h = (o + c * &self.p_o).sigmoid() * c.tanh();
        (h, (h, c))
    }
}
