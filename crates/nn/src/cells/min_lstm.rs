//! The LSTM whose gates do not see the state.

use crate::cell::Cell;
use crate::cx::Cx;
use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Param, Var};

/// The minimal LSTM of Feng et al. 2024 (arXiv 2410.01201), in its linear form:
///
/// ```text
/// f = σ(x·W_f + b_f)      i = σ(x·W_i + b_i)      n = x·W_n + b_n
/// f' = f / (f + i)        i' = i / (f + i)        h' = f'·h + i'·n
/// ```
///
/// Gates and candidate read the input alone, so all of their sums are one product ahead of the loop. The ratio is computed as
/// `f' = σ(log f − log i)`, which holds where both gates underflow. A clone shares the parameters.
#[derive(Clone, Debug, Module)]
pub struct MinLstmCell {
    /// Input weights `[I, 3H]`, for f, i, n.
    pub w: Param,
    /// Biases `[3H]`.
    pub b: Param,
    hidden: usize,
}

impl MinLstmCell {
    /// A cell with all weights drawn from `uniform(±1/√hidden)`.
    pub fn new(input: usize, hidden: usize, rng: &mut impl Rng) -> MinLstmCell {
        let mut draw = init::recurrent(hidden, rng);
        MinLstmCell { w: draw(&[input, 3 * hidden]), b: draw(&[3 * hidden]), hidden }
    }
}

impl Cell for MinLstmCell {
    /// `h` `[B, H]`.
    type State<'t> = Var<'t>;

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Var<'t> {
        cx.zeros([batch, self.hidden])
    }

    fn step<'t>(&self, x: Var<'t>, h: Var<'t>) -> (Var<'t>, Var<'t>) {
        let [f, i, n] = (x.matmul(&self.w) + &self.b).chunk();
        let f = (f.log_sigmoid() - i.log_sigmoid()).sigmoid();
        let h = f * h + (1 - f) * n;
        (h, h)
    }
}
