//! The cell of a stable differential equation.

use crate::cell::Cell;
use crate::cx::Cx;
use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Param, Var};

/// The antisymmetric network (Chang et al. 2019, arXiv 1902.09689): a step `ε` of Euler's method through an equation whose Jacobian has
/// eigenvalues close to the imaginary axis, so that values neither explode nor vanish.
///
/// ```text
/// h' = h + ε·tanh(x·W + h·(U − Uᵀ − γ·1) + b)
/// ```
///
/// The diffusion `γ` makes up for the error of Euler's method. A clone shares the parameters.
#[derive(Clone, Debug, Module)]
pub struct AntisymmetricCell {
    /// Input weights `[I, H]`.
    pub w: Param,
    /// Recurrent weights `[H, H]`, of which the antisymmetric part counts.
    pub u: Param,
    /// Biases `[H]`.
    pub b: Param,
    /// The step size ε.
    pub epsilon: f64,
    /// The diffusion γ.
    pub gamma: f64,
    hidden: usize,
}

impl AntisymmetricCell {
    /// A cell with all weights drawn from `uniform(±1/√hidden)`. The paper takes `epsilon` and `gamma` between 0.001 and 1.
    pub fn new(input: usize, hidden: usize, epsilon: f64, gamma: f64, rng: &mut impl Rng) -> AntisymmetricCell {
        let mut draw = init::recurrent(hidden, rng);
        let (w, u, b) = (draw(&[input, hidden]), draw(&[hidden, hidden]), draw(&[hidden]));
        AntisymmetricCell { w, u, b, epsilon, gamma, hidden }
    }
}

impl Cell for AntisymmetricCell {
    /// `h` `[B, H]`.
    type State<'t> = Var<'t>;

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Var<'t> {
        cx.zeros([batch, self.hidden])
    }

    fn step<'t>(&self, x: Var<'t>, h: Var<'t>) -> (Var<'t>, Var<'t>) {
        let u = x.tape().param(&self.u);
        let h = h + self.epsilon * (x.matmul(&self.w) + h.matmul(u - u.t()) - self.gamma * h + &self.b).tanh();
        (h, h)
    }
}
