//! The LSTM before there was a forget gate.

use crate::cell::Cell;
use crate::cx::Cx;
use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Param, Var};

/// Long short-term memory as first published (Hochreiter & Schmidhuber 1997, appendix A.1), without forget gate: the cell only adds.
///
/// ```text
/// i = σ(x·W_i + h·U_i + b_i)              o = σ(x·W_o + h·U_o + b_o)
/// g = 4·σ(x·W_g + h·U_g + b_g) − 2        c' = c + i·g
/// h' = o·(2·σ(c') − 1)
/// ```
///
/// The squashing functions are written `4·σ(z) − 2 = 2·tanh(z/2)` and `2·σ(c) − 1 = tanh(c/2)`. Derivatives are complete, where the paper cuts
/// those through gates. The order of the gates is i, g, o. A clone shares the parameters.
#[derive(Clone, Debug, Module)]
pub struct Lstm1997Cell {
    /// Input weights `[I, 3H]`.
    pub w: Param,
    /// Recurrent weights `[H, 3H]`.
    pub u: Param,
    /// Biases `[3H]`.
    pub b: Param,
    hidden: usize,
}

impl Lstm1997Cell {
    /// A cell with all weights drawn from `uniform(±1/√hidden)`.
    pub fn new(input: usize, hidden: usize, rng: &mut impl Rng) -> Lstm1997Cell {
        let mut draw = init::recurrent(hidden, rng);
        let (w, u, b) = (draw(&[input, 3 * hidden]), draw(&[hidden, 3 * hidden]), draw(&[3 * hidden]));
        Lstm1997Cell { w, u, b, hidden }
    }
}

impl Cell for Lstm1997Cell {
    /// `(h, c)`, each `[B, H]`.
    type State<'t> = (Var<'t>, Var<'t>);

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        (cx.zeros([batch, self.hidden]), cx.zeros([batch, self.hidden]))
    }

    fn step<'t>(&self, x: Var<'t>, (h, c): Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        let [i, g, o] = (x.matmul(&self.w) + h.matmul(&self.u) + &self.b).chunk();
        let c = c + i.sigmoid() * 2 * (g / 2).tanh();
        let h = o.sigmoid() * (c / 2).tanh();
        (h, (h, c))
    }
}
