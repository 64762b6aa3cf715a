//! The gated unit with one gate.

use crate::cell::Cell;
use crate::cx::Cx;
use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Param, Var};

/// The minimal gated unit (Zhou et al. 2016, arXiv 1603.09420): a GRU whose gate resets and updates.
///
/// ```text
/// f = σ(x·W_f + h·U_f + b_f)      n = tanh(x·W_n + (f·h)·U_n + b_n)
/// h' = (1 − f)·h + f·n
/// ```
///
/// A clone shares the parameters.
#[derive(Clone, Debug, Module)]
pub struct MguCell {
    /// Input weights `[I, 2H]`, for f, n.
    pub w: Param,
    /// Recurrent weights of the gate `[H, H]`.
    pub u_f: Param,
    /// Recurrent weights of the candidate `[H, H]`.
    pub u_n: Param,
    /// Biases `[2H]`.
    pub b: Param,
    hidden: usize,
}

impl MguCell {
    /// A cell with all weights drawn from `uniform(±1/√hidden)`.
    pub fn new(input: usize, hidden: usize, rng: &mut impl Rng) -> MguCell {
        let mut draw = init::recurrent(hidden, rng);
        let (w, b) = (draw(&[input, 2 * hidden]), draw(&[2 * hidden]));
        MguCell { w, u_f: draw(&[hidden, hidden]), u_n: draw(&[hidden, hidden]), b, hidden }
    }
}

impl Cell for MguCell {
    /// `h` `[B, H]`.
    type State<'t> = Var<'t>;

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Var<'t> {
        cx.zeros([batch, self.hidden])
    }

    fn step<'t>(&self, x: Var<'t>, h: Var<'t>) -> (Var<'t>, Var<'t>) {
        let [f, n] = (x.matmul(&self.w) + &self.b).chunk();
        let f = (f + h.matmul(&self.u_f)).sigmoid();
        let n = (n + (f * h).matmul(&self.u_n)).tanh();
        let h = (1 - f) * h + f * n;
        (h, h)
    }
}
