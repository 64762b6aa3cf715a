//! The matrix cell of xLSTM.

use crate::cell::Cell;
use crate::cx::Cx;
use crate::{Module, Tree, init};
use rand::Rng;
use wengert_autograd::{Param, Var};

/// The mLSTM of xLSTM (Beck et al. 2024, arXiv 2405.04517, equations 19 to 27), one head: a memory `C` of `[H, H]` into which values are written under
/// keys, and read by queries.
///
/// ```text
/// q = x·W_q + b_q      k = (x·W_k + b_k)/√H      v = x·W_v + b_v      o = σ(x·W_o + b_o)
/// i = x·w_i + b_i      f = log σ(x·w_f + b_f)    one number for each sequence
/// m' = max(f + m, i)                             the scale of both gates, in logarithms
/// C' = exp(f + m − m')·C + exp(i − m')·vᵀk
/// n' = exp(f + m − m')·n + exp(i − m')·k
/// h' = o·(C'·q) / max(|n'·q|, exp(−m'))
/// ```
///
/// No gate reads the state, so all sums over x are products ahead of the loop. `m` cancels, and keeps C and n from overflow; it starts so low
/// that the first input alone decides the first output. A clone shares the parameters.
#[derive(Clone, Debug, Module)]
pub struct MLstmCell {
    /// Input weights `[I, 4H]`, for q, k, v, o.
    pub w: Param,
    /// Biases `[4H]`.
    pub b: Param,
    /// Input weights of the gates `[I, 2]`, for i, f.
    pub w_gates: Param,
    /// Biases of the gates `[2]`.
    pub b_gates: Param,
    hidden: usize,
}

impl MLstmCell {
    /// A cell with all weights drawn from `uniform(±1/√hidden)`.
    pub fn new(input: usize, hidden: usize, rng: &mut impl Rng) -> MLstmCell {
        let mut draw = init::recurrent(hidden, rng);
        let (w, b) = (draw(&[input, 4 * hidden]), draw(&[4 * hidden]));
        MLstmCell { w, b, w_gates: draw(&[input, 2]), b_gates: draw(&[2]), hidden }
    }
}

impl Cell for MLstmCell {
    type State<'t> = MLstmState<'t>;

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> MLstmState<'t> {
        let (c, n) = (cx.zeros([batch, self.hidden, self.hidden]), cx.zeros([batch, self.hidden]));
        // Of finite size, since differences of infinities are NaN.
        MLstmState { c, n, m: cx.zeros([batch, 1]) - 1e30 }
    }

    fn step<'t>(&self, x: Var<'t>, s: MLstmState<'t>) -> (Var<'t>, MLstmState<'t>) {
        let [q, k, v, o] = (x.matmul(&self.w) + &self.b).chunk();
        let k = k / (self.hidden as f64).sqrt();
        let [i, f] = (x.matmul(&self.w_gates) + &self.b_gates).chunk();
        let kept = f.log_sigmoid() + s.m;
        let m = kept.maximum(i);
        let (f, i) = ((kept - m).exp(), (i - m).exp());
        let c = f.unsqueeze(-1) * s.c + (i * v).unsqueeze(-1) * k.unsqueeze(-2);
        let n = f * s.n + i * k;
        // A bound of e^60 is as good as no output, and the derivative divides by its square.
        let bound = (-m).minimum(60.0).exp();
        let h = o.sigmoid() * c.matmul(q.unsqueeze(-1)).squeeze(-1) / (n * q).sum_keep(-1).abs().maximum(bound);
        (h, MLstmState { c, n, m })
    }
}

/// The state of an [`MLstmCell`].
#[derive(Clone, Copy, Debug, Tree)]
pub struct MLstmState<'t> {
    /// The memory `[B, H, H]`, values by keys, scaled by `exp(−m)`.
    pub c: Var<'t>,
    /// The weighted sum of keys `[B, H]`, scaled by `exp(−m)`.
    pub n: Var<'t>,
    /// The logarithm of the scale `[B, 1]`.
    pub m: Var<'t>,
}
