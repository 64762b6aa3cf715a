//! Gated recurrent units.

use crate::cell::Cell;
use crate::cx::Cx;
use crate::dropout::{Gated, Product, plain};
use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Param, Var};

/// The gated recurrent unit with its reset after the product, as in PyTorch and cuDNN (Cho et al. 2014, arXiv 1406.1078v1):
///
/// ```text
/// r = σ(x·W_r + h·U_r + b_r)      z = σ(x·W_z + h·U_z + b_z)
/// n = tanh(x·W_n + b_n + r·(h·U_n + b_u))
/// h' = (1 − z)·n + z·h
/// ```
///
/// The gates are columns of one matrix, in PyTorch's order r, z, n. Of PyTorch's biases `b` is `bias_ih`, with the r and z
/// entries of `bias_hh` added, and `b_u` is the n entries of `bias_hh`. A clone shares the parameters.
#[derive(Clone, Debug, Module)]
#[module(kind = "gru")]
pub struct GruCell {
    /// Input weights `[I, 3H]`.
    pub w: Param,
    /// Recurrent weights `[H, 3H]`.
    pub u: Param,
    /// Biases `[3H]`.
    pub b: Param,
    /// The bias inside of the reset `[H]`.
    pub b_u: Param,
    hidden: usize,
}

impl GruCell {
    /// A cell with all weights drawn from `uniform(±1/√hidden)`, as PyTorch draws them.
    pub fn new(input: usize, hidden: usize, rng: &mut impl Rng) -> GruCell {
        let mut draw = init::recurrent(hidden, rng);
        let (w, u) = (draw(&[input, 3 * hidden]), draw(&[hidden, 3 * hidden]));
        GruCell { w, u, b: draw(&[3 * hidden]), b_u: draw(&[hidden]), hidden }
    }
}

impl Cell for GruCell {
    /// `h` `[B, H]`.
    type State<'t> = Var<'t>;

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Var<'t> {
        cx.zeros([batch, self.hidden])
    }

    fn step<'t>(&self, x: Var<'t>, state: Var<'t>) -> (Var<'t>, Var<'t>) {
        self.step_by(x, state, plain)
    }
}

impl Gated for GruCell {
    const GATES: usize = 3;

    fn step_by<'t>(&self, x: Var<'t>, h: Var<'t>, times: impl Product<'t>) -> (Var<'t>, Var<'t>) {
        let [xr, xz, xn] = (x.matmul(&self.w) + &self.b).chunk();
        let [hr, hz, hn] = times(h, &self.u).chunk();
        let (r, z) = ((xr + hr).sigmoid().named("r"), (xz + hz).sigmoid().named("z"));
        let n = (xn + r * (hn + &self.b_u)).tanh();
        let h = (1 - z) * n + z * h;
        (h, h)
    }
}

/// The gated recurrent unit with its reset before the product (Cho et al. 2014, arXiv 1406.1078v3; Chung et al. 2014, arXiv 1412.3555):
///
/// ```text
/// r = σ(x·W_r + h·U_r + b_r)      z = σ(x·W_z + h·U_z + b_z)
/// n = tanh(x·W_n + (r·h)·U_n + b_n)
/// h' = (1 − z)·n + z·h
/// ```
///
/// A step has two products, one after the other. A clone shares the parameters.
#[derive(Clone, Debug, Module)]
pub struct ResetBeforeGruCell {
    /// Input weights `[I, 3H]`, for r, z, n.
    pub w: Param,
    /// Recurrent weights of the gates `[H, 2H]`, for r, z.
    pub u: Param,
    /// Recurrent weights of the candidate `[H, H]`.
    pub u_n: Param,
    /// Biases `[3H]`.
    pub b: Param,
    hidden: usize,
}

impl ResetBeforeGruCell {
    /// A cell with all weights drawn from `uniform(±1/√hidden)`.
    pub fn new(input: usize, hidden: usize, rng: &mut impl Rng) -> ResetBeforeGruCell {
        let mut draw = init::recurrent(hidden, rng);
        let (w, u, u_n) = (draw(&[input, 3 * hidden]), draw(&[hidden, 2 * hidden]), draw(&[hidden, hidden]));
        ResetBeforeGruCell { w, u, u_n, b: draw(&[3 * hidden]), hidden }
    }
}

impl Cell for ResetBeforeGruCell {
    /// `h` `[B, H]`.
    type State<'t> = Var<'t>;

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Var<'t> {
        cx.zeros([batch, self.hidden])
    }

    fn step<'t>(&self, x: Var<'t>, h: Var<'t>) -> (Var<'t>, Var<'t>) {
        let [xr, xz, xn] = (x.matmul(&self.w) + &self.b).chunk();
        let [hr, hz] = h.matmul(&self.u).chunk();
        let (r, z) = ((xr + hr).sigmoid().named("r"), (xz + hz).sigmoid().named("z"));
        let n = (xn + (r * h).matmul(&self.u_n)).tanh();
        let h = (1 - z) * n + z * h;
        (h, h)
    }
}
