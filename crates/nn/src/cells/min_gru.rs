//! The gated unit whose gates do not see the state.

use crate::cell::Cell;
use crate::cx::Cx;
use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Param, Var};

/// The minimal gated recurrent unit of Feng et al. 2024 (arXiv 2410.01201), in its linear form:
///
/// ```text
/// z = σ(x·W_z + b_z)      n = x·W_n + b_n      h' = (1 − z)·h + z·n
/// ```
///
/// Gate and candidate read the input alone, so all of their sums are one product ahead of the loop. (With candidates kept positive by
/// `g(n) = n + 1/2` for `n ≥ 0`, else `σ(n)`, it is the form that the paper computes in logarithms.) A clone shares the parameters.
#[derive(Clone, Debug, Module)]
pub struct MinGruCell {
    /// Input weights `[I, 2H]`, for z, n.
    pub w: Param,
    /// Biases `[2H]`.
    pub b: Param,
    hidden: usize,
}

impl MinGruCell {
    /// A cell with all weights drawn from `uniform(±1/√hidden)`.
    pub fn new(input: usize, hidden: usize, rng: &mut impl Rng) -> MinGruCell {
        let mut draw = init::recurrent(hidden, rng);
        MinGruCell { w: draw(&[input, 2 * hidden]), b: draw(&[2 * hidden]), hidden }
    }
}

impl Cell for MinGruCell {
    /// `h` `[B, H]`.
    type State<'t> = Var<'t>;

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Var<'t> {
        cx.zeros([batch, self.hidden])
    }

    fn step<'t>(&self, x: Var<'t>, h: Var<'t>) -> (Var<'t>, Var<'t>) {
        let [z, n] = (x.matmul(&self.w) + &self.b).chunk();
        let z = z.sigmoid();
        let h = (1 - z) * h + z * n;
        (h, h)
    }
}
