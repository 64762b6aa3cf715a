//! The LSTM that is only its forget gate.

use crate::cell::Cell;
use crate::cx::Cx;
use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Param, Var};

/// JANET, "just another network" (van der Westhuizen & Lasenby 2018, arXiv 1804.04849): the LSTM's forget gate without its other gates.
///
/// ```text
/// s = x·W_f + h·U_f + b_f      n = tanh(x·W_n + h·U_n + b_n)
/// h' = σ(s)·h + (1 − σ(s − 1))·n
/// ```
///
/// The 1 in `s − 1` is the paper's β: the cell takes in a little more than it forgets. A clone shares the parameters.
#[derive(Clone, Debug, Module)]
pub struct JanetCell {
    /// Input weights `[I, 2H]`, for f, n.
    pub w: Param,
    /// Recurrent weights `[H, 2H]`.
    pub u: Param,
    /// Biases `[2H]`.
    pub b: Param,
    hidden: usize,
}

impl JanetCell {
    /// A cell with all weights drawn from `uniform(±1/√hidden)`.
    pub fn new(input: usize, hidden: usize, rng: &mut impl Rng) -> JanetCell {
        let mut draw = init::recurrent(hidden, rng);
        let (w, u, b) = (draw(&[input, 2 * hidden]), draw(&[hidden, 2 * hidden]), draw(&[2 * hidden]));
        JanetCell { w, u, b, hidden }
    }

    /// The cell with biases of the forget gate drawn for memories of 1 to `longest` steps, as in the paper, and the others 0; see
    /// [`init::chrono`].
    pub fn with_chrono(self, longest: f64, rng: &mut impl Rng) -> JanetCell {
        let bias = init::chrono(self.hidden, longest, rng).to_f64_vec();
        init::change(&self.b, 0..2 * self.hidden, |i, _| bias.get(i).copied().unwrap_or(0.0));
        self
    }
}

impl Cell for JanetCell {
    /// `h` `[B, H]`.
    type State<'t> = Var<'t>;

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Var<'t> {
        cx.zeros([batch, self.hidden])
    }

    fn step<'t>(&self, x: Var<'t>, h: Var<'t>) -> (Var<'t>, Var<'t>) {
        let [s, n] = (x.matmul(&self.w) + h.matmul(&self.u) + &self.b).chunk();
        let h = s.sigmoid() * h + (1 - (s - 1).sigmoid()) * n.tanh();
        (h, h)
    }
}
