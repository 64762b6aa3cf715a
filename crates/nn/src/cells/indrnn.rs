//! The recurrent network of independent units.

use crate::cell::Cell;
use crate::cx::Cx;
use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Param, Var};

/// The independently recurrent network (Li et al. 2018, arXiv 1803.04831): a unit sees its own past and nobody else's.
///
/// ```text
/// h' = relu(x·W + u·h + b)
/// ```
///
/// Units meet in the input weights of the next layer. The paper bounds `|u|` by `2^(1/T)` for sequences of T steps. A clone shares the
/// parameters.
#[derive(Clone, Debug, Module)]
pub struct IndRnnCell {
    /// Input weights `[I, H]`.
    pub w: Param,
    /// Recurrent weights `[H]`.
    pub u: Param,
    /// Biases `[H]`.
    pub b: Param,
    hidden: usize,
}

impl IndRnnCell {
    /// A cell with input weights and biases from `uniform(±1/√hidden)`, and recurrent weights from `uniform(0, 1)`: memories of all
    /// lengths.
    pub fn new(input: usize, hidden: usize, rng: &mut impl Rng) -> IndRnnCell {
        let u = Param::new(init::between(&[hidden], 0.0, 1.0, rng));
        let mut draw = init::recurrent(hidden, rng);
        IndRnnCell { w: draw(&[input, hidden]), u, b: draw(&[hidden]), hidden }
    }
}

impl Cell for IndRnnCell {
    /// `h` `[B, H]`.
    type State<'t> = Var<'t>;

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Var<'t> {
        cx.zeros([batch, self.hidden])
    }

    fn step<'t>(&self, x: Var<'t>, h: Var<'t>) -> (Var<'t>, Var<'t>) {
        let h = (x.matmul(&self.w) + h * &self.u + &self.b).relu();
        (h, h)
    }
}
