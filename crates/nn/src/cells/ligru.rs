//! The light gated unit.

use crate::cell::Cell;
use crate::cx::Cx;
use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Param, Var};

/// The light gated recurrent unit (Ravanelli et al. 2018, arXiv 1803.10225): a GRU without reset gate, whose candidate is a ReLU.
///
/// ```text
/// [z n] = γ·LN(x·W) + b + h·U
/// h' = σ(z)·h + (1 − σ(z))·relu(n)
/// ```
///
/// The candidate has no bound, so the inputs are normalised: in the paper over the batch, here over the units, by
/// `LN(v) = (v − mean) / √(var + 1e-5)` for z and n together, which needs no statistics. A clone shares the parameters.
#[derive(Clone, Debug, Module)]
pub struct LiGruCell {
    /// Input weights `[I, 2H]`, for z, n.
    pub w: Param,
    /// Recurrent weights `[H, 2H]`.
    pub u: Param,
    /// Gain of the normalised inputs `[2H]`.
    pub gain: Param,
    /// Biases `[2H]`.
    pub b: Param,
    hidden: usize,
}

impl LiGruCell {
    /// A cell with weights drawn from `uniform(±1/√hidden)`, gains 1.
    pub fn new(input: usize, hidden: usize, rng: &mut impl Rng) -> LiGruCell {
        let mut draw = init::recurrent(hidden, rng);
        let (w, b) = (draw(&[input, 2 * hidden]), draw(&[2 * hidden]));
        LiGruCell { w, u: draw(&[hidden, 2 * hidden]), gain: Param::new(init::ones(&[2 * hidden])), b, hidden }
    }
}

impl Cell for LiGruCell {
    /// `h` `[B, H]`.
    type State<'t> = Var<'t>;

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Var<'t> {
        cx.zeros([batch, self.hidden])
    }

    fn step<'t>(&self, x: Var<'t>, h: Var<'t>) -> (Var<'t>, Var<'t>) {
        let inputs = x.matmul(&self.w).layer_norm(1e-5) * &self.gain + &self.b;
        let [z, n] = (inputs + h.matmul(&self.u)).chunk();
        let z = z.sigmoid();
        let h = z * h + (1 - z) * n.relu();
        (h, h)
    }
}
