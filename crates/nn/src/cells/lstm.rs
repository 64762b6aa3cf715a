//! The long short-term memory cell with forget gate.

use crate::cell::Cell;
use crate::cx::Cx;
use crate::dropout::{Gated, Product, plain};
use crate::{Gate, Module, init};
use rand::Rng;
use wengert_autograd::{Error, ErrorKind, Param, Result, Tensor, Var};

/// Long short-term memory (Hochreiter & Schmidhuber 1997) with forget gate (Gers, Schmidhuber & Cummins 2000):
///
/// ```text
/// i = σ(x·W_i + h·U_i + b_i)      f = σ(x·W_f + h·U_f + b_f)
/// g = tanh(x·W_g + h·U_g + b_g)   o = σ(x·W_o + h·U_o + b_o)
/// c' = f·c + i·g                  h' = o·tanh(c')
/// ```
///
/// The gates are columns of one matrix, in PyTorch's order i, f, g, o: `w = [W_i W_f W_g W_o]`. A clone shares the parameters.
#[derive(Clone, Debug, Module)]
#[module(kind = "lstm")]
pub struct LstmCell {
    /// Input weights `[I, 4H]`.
    pub w: Param,
    /// Recurrent weights `[H, 4H]`.
    pub u: Param,
    /// Biases `[4H]`.
    pub b: Param,
    gate: Gate,
    clip: f64,
    pub(super) hidden: usize,
}

impl LstmCell {
    /// A cell with all weights drawn from `uniform(±1/√hidden)`, as PyTorch draws them.
    pub fn new(input: usize, hidden: usize, rng: &mut impl Rng) -> LstmCell {
        let mut draw = init::recurrent(hidden, rng);
        LstmCell::of(draw(&[input, 4 * hidden]), draw(&[hidden, 4 * hidden]), draw(&[4 * hidden]), hidden)
    }

    /// The cell with `bias` added to the biases of its forget gate; see [`init::forget_bias`].
    pub fn with_forget_bias(self, bias: f64) -> LstmCell {
        init::forget_bias(&self.b, self.hidden..2 * self.hidden, bias);
        self
    }

    /// The cell with forget and input gates biased for memories of 1 to `longest` steps; see [`init::chrono`].
    pub fn with_chrono(self, longest: f64, rng: &mut impl Rng) -> LstmCell {
        let bias = init::chrono(self.hidden, longest, rng).to_f64_vec();
        init::change(&self.b, self.hidden..2 * self.hidden, |i, _| bias[i]);
        init::change(&self.b, 0..self.hidden, |i, _| -bias[i]);
        self
    }

    /// The cell with another function for its gates i, f, o.
    pub fn with_gate(self, gate: Gate) -> LstmCell {
        LstmCell { gate, ..self }
    }

    /// The cell with `c'` clamped to `±bound` before it is read out (Sak, Senior & Beaufays 2014; TensorFlow's `cell_clip`).
    /// Where it is clamped, no derivative flows.
    pub fn with_cell_clip(self, bound: f64) -> LstmCell {
        LstmCell { clip: bound, ..self }
    }

    /// A cell with given weights: `w` `[I, 4H]`, `u` `[H, 4H]`, `b` `[4H]`, all F32 or all F64.
    /// Of PyTorch's tensors `w` is `weight_ih` transposed, `u` is `weight_hh` transposed, and `b` is `bias_ih + bias_hh`.
    ///
    /// # Errors
    /// If shapes or element types do not fit.
    #[track_caller]
    pub fn from_tensors(w: Tensor, u: Tensor, b: Tensor) -> Result<LstmCell> {
        let hidden = u.shape().first().copied().unwrap_or(0);
        let all = [("w", &w), ("u", &u), ("b", &b)];
        let shapes = w.shape().rank() == 2 && w.shape()[1] == 4 * hidden && *u.shape() == [hidden, 4 * hidden];
        let one_type = u.dtype().is_float() && all.iter().all(|(_, t)| t.dtype() == u.dtype());
        if !shapes || *b.shape() != [4 * hidden] || !one_type {
            let found = all.map(|(name, t)| format!("{name} {} {}", t.dtype(), t.shape())).join(", ");
            let remedy = "expected w [I, 4H], u [H, 4H], b [4H], all f32 or all f64";
            return Err(Error::new(ErrorKind::Shape, "LstmCell::from_tensors", format!("found {found}"), remedy));
        }
        Ok(LstmCell::of(Param::new(w), Param::new(u), Param::new(b), hidden))
    }

    fn of(w: Param, u: Param, b: Param, hidden: usize) -> LstmCell {
        LstmCell { w, u, b, gate: Gate::Sigmoid, clip: f64::INFINITY, hidden }
    }

    /// The number of units, H.
    pub fn hidden(&self) -> usize {
        self.hidden
    }
}

impl Cell for LstmCell {
    /// `(h, c)`, each `[B, H]`.
    type State<'t> = (Var<'t>, Var<'t>);

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        (cx.zeros([batch, self.hidden]), cx.zeros([batch, self.hidden]))
    }

    fn step<'t>(&self, x: Var<'t>, state: Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        self.step_by(x, state, plain)
    }
}

impl Gated for LstmCell {
    const GATES: usize = 4;

    fn step_by<'t>(&self, x: Var<'t>, (h, c): Self::State<'t>, times: impl Product<'t>) -> (Var<'t>, Self::State<'t>) {
        let z = x.matmul(&self.w) + times(h, &self.u) + &self.b;
        let [i, f, g, o] = z.chunk();
        let [i, f, o] = [(i, "i"), (f, "f"), (o, "o")].map(|(z, name)| self.gate.apply(z).named(name));
        let c = (f * c + i * g.tanh()).clamp(-self.clip, self.clip);
        let h = o * c.tanh();
        (h, (h, c))
    }
}
