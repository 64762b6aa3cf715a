//! The scalar cell of xLSTM.

use crate::cell::Cell;
use crate::cx::Cx;
use crate::{Module, Tree, init};
use rand::Rng;
use wengert_autograd::{Param, Var};

/// The sLSTM of xLSTM (Beck et al. 2024, arXiv 2405.04517, equations 8 to 17), one head: an LSTM with an exponential input gate, whose content `c` is
/// read relative to the weight `n` that it has gathered.
///
/// ```text
/// i = x·W_i + h·U_i + b_i                 f = log σ(x·W_f + h·U_f + b_f)
/// z = tanh(x·W_z + h·U_z + b_z)           o = σ(x·W_o + h·U_o + b_o)
/// m' = max(f + m, i)                      the scale of both gates, in logarithms
/// c' = exp(f + m − m')·c + exp(i − m')·z
/// n' = exp(f + m − m')·n + exp(i − m')    h' = o·c'/n'
/// ```
///
/// `m` cancels in `c/n` and keeps both from overflow. It starts so low that the first input alone decides the first output.
/// The order of the gates is i, f, z, o. A clone shares the parameters.
#[derive(Clone, Debug, Module)]
pub struct SLstmCell {
    /// Input weights `[I, 4H]`.
    pub w: Param,
    /// Recurrent weights `[H, 4H]`.
    pub u: Param,
    /// Biases `[4H]`.
    pub b: Param,
    hidden: usize,
}

impl SLstmCell {
    /// A cell with all weights drawn from `uniform(±1/√hidden)`.
    pub fn new(input: usize, hidden: usize, rng: &mut impl Rng) -> SLstmCell {
        let mut draw = init::recurrent(hidden, rng);
        let (w, u, b) = (draw(&[input, 4 * hidden]), draw(&[hidden, 4 * hidden]), draw(&[4 * hidden]));
        SLstmCell { w, u, b, hidden }
    }
}

impl Cell for SLstmCell {
    type State<'t> = SLstmState<'t>;

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> SLstmState<'t> {
        let zeros = cx.zeros([batch, self.hidden]);
        // Of finite size, since differences of infinities are NaN.
        SLstmState { h: zeros, c: zeros, n: zeros, m: zeros - 1e30 }
    }

    fn step<'t>(&self, x: Var<'t>, s: SLstmState<'t>) -> (Var<'t>, SLstmState<'t>) {
        let gates = x.matmul(&self.w) + s.h.matmul(&self.u) + &self.b;
        let [i, f, z, o] = gates.chunk();
        let kept = f.log_sigmoid() + s.m;
        let m = kept.maximum(i);
        let (f, i) = ((kept - m).exp(), (i - m).exp());
        let c = f * s.c + i * z.tanh();
        let n = f * s.n + i;
        let h = o.sigmoid() * c / n;
        (h, SLstmState { h, c, n, m })
    }
}

/// The state of an [`SLstmCell`], each `[B, H]`.
#[derive(Clone, Copy, Debug, Tree)]
pub struct SLstmState<'t> {
    /// The output.
    pub h: Var<'t>,
    /// The content, scaled by `exp(−m)`.
    pub c: Var<'t>,
    /// The gathered weight, scaled by `exp(−m)`.
    pub n: Var<'t>,
    /// The logarithm of the scale.
    pub m: Var<'t>,
}
