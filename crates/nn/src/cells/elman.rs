//! The simple recurrent cell.

use crate::cell::Cell;
use crate::cx::Cx;
use crate::dropout::{Gated, Product, plain};
use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Param, Var};

/// What an [`ElmanCell`] does to its sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Module)]
pub enum Activation {
    /// `tanh`.
    #[default]
    Tanh,
    /// `max(·, 0)`.
    Relu,
}

/// The simple recurrent network (Elman 1990), `φ` being tanh or ReLU:
///
/// ```text
/// h' = φ(x·W + h·U + b)
/// ```
///
/// It is PyTorch's `nn.RNN`, with `b = bias_ih + bias_hh`. A clone shares the parameters.
#[derive(Clone, Debug, Module)]
#[module(kind = "elman")]
pub struct ElmanCell {
    /// Input weights `[I, H]`.
    pub w: Param,
    /// Recurrent weights `[H, H]`.
    pub u: Param,
    /// Biases `[H]`.
    pub b: Param,
    activation: Activation,
    hidden: usize,
}

impl ElmanCell {
    /// A cell with tanh and all weights drawn from `uniform(±1/√hidden)`, as PyTorch draws them.
    pub fn new(input: usize, hidden: usize, rng: &mut impl Rng) -> ElmanCell {
        let mut draw = init::recurrent(hidden, rng);
        let (w, u, b) = (draw(&[input, hidden]), draw(&[hidden, hidden]), draw(&[hidden]));
        ElmanCell { w, u, b, activation: Activation::Tanh, hidden }
    }

    /// The IRNN (Le, Jaitly & Hinton 2015, arXiv 1504.00941): ReLU, and recurrent weights that start as `scale` times the identity,
    /// so that the cell first sums its inputs. Input weights are normal with deviation 0.001, biases 0. The paper's scale is 1, and 0.01
    /// for speech.
    pub fn irnn(input: usize, hidden: usize, scale: f64, rng: &mut impl Rng) -> ElmanCell {
        let [w, u, b] =
            [init::normal(&[input, hidden], 0.001, rng), init::identity(hidden, scale), init::zeros(&[hidden])]
                .map(Param::new);
        ElmanCell { w, u, b, activation: Activation::Relu, hidden }
    }

    /// The cell with another activation.
    pub fn with_activation(self, activation: Activation) -> ElmanCell {
        ElmanCell { activation, ..self }
    }
}

impl Cell for ElmanCell {
    /// `h` `[B, H]`.
    type State<'t> = Var<'t>;

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Var<'t> {
        cx.zeros([batch, self.hidden])
    }

    fn step<'t>(&self, x: Var<'t>, state: Var<'t>) -> (Var<'t>, Var<'t>) {
        self.step_by(x, state, plain)
    }
}

impl Gated for ElmanCell {
    const GATES: usize = 1;

    fn step_by<'t>(&self, x: Var<'t>, h: Var<'t>, times: impl Product<'t>) -> (Var<'t>, Var<'t>) {
        let z = x.matmul(&self.w) + times(h, &self.u) + &self.b;
        let h = match self.activation {
            Activation::Tanh => z.tanh(),
            Activation::Relu => z.relu(),
        };
        (h, h)
    }
}
