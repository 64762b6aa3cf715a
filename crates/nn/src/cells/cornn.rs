//! The cell of coupled oscillators.

use crate::cell::Cell;
use crate::cx::Cx;
use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Param, Var};

/// The coupled oscillatory network (Rusch & Mishra 2021, arXiv 2010.00951, equation 3 with n̄ = n − 1): positions `y` and velocities `v` of damped, driven
/// oscillators, a step `Δ` further.
///
/// ```text
/// v' = v + Δ·(tanh(x·W + y·U + v·V + b) − γ·y − ε·v)
/// y' = y + Δ·v'
/// ```
///
/// The output is `y'`. A clone shares the parameters.
#[derive(Clone, Debug, Module)]
pub struct CoRnnCell {
    /// Input weights `[I, H]`.
    pub w: Param,
    /// Weights of the positions `[H, H]`.
    pub u: Param,
    /// Weights of the velocities `[H, H]`.
    pub v: Param,
    /// Biases `[H]`.
    pub b: Param,
    /// The step of time Δ.
    pub delta: f64,
    /// The stiffness γ: squared frequency of an oscillator by itself.
    pub gamma: f64,
    /// The damping ε.
    pub epsilon: f64,
    hidden: usize,
}

impl CoRnnCell {
    /// A cell with all weights drawn from `uniform(±1/√hidden)`. The paper takes `delta` between 0.01 and 0.1, `gamma` and `epsilon` between
    /// 1 and 10.
    pub fn new(input: usize, hidden: usize, [delta, gamma, epsilon]: [f64; 3], rng: &mut impl Rng) -> CoRnnCell {
        let mut draw = init::recurrent(hidden, rng);
        let (w, u, v) = (draw(&[input, hidden]), draw(&[hidden, hidden]), draw(&[hidden, hidden]));
        CoRnnCell { w, u, v, b: draw(&[hidden]), delta, gamma, epsilon, hidden }
    }
}

impl Cell for CoRnnCell {
    /// `(y, v)`, each `[B, H]`.
    type State<'t> = (Var<'t>, Var<'t>);

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        (cx.zeros([batch, self.hidden]), cx.zeros([batch, self.hidden]))
    }

    fn step<'t>(&self, x: Var<'t>, (y, v): Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        let drive = (x.matmul(&self.w) + y.matmul(&self.u) + v.matmul(&self.v) + &self.b).tanh();
        let v = v + self.delta * (drive - self.gamma * y - self.epsilon * v);
        let y = y + self.delta * v;
        (y, (y, v))
    }
}
