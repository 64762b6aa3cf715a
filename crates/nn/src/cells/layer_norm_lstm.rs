//! The LSTM with layer normalisation.

use crate::cell::Cell;
use crate::cx::Cx;
use crate::dropout::{Gated, Product, plain};
use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Param, Var};

/// The LSTM with layer normalisation (Ba, Kiros & Hinton 2016, arXiv 1607.06450), `LN(v) = (v − mean) / √(var + 1e-5)` over the units:
///
/// ```text
/// [i f g o] = γ_x·LN(x·W) + γ_h·LN(h·U) + b
/// c̃ = σ(f)·c + σ(i)·tanh(g)
/// ĉ = γ_c·LN(c̃) + β_c            h' = σ(o)·tanh(ĉ)
/// c' = c̃, or ĉ where the memory is normalised
/// ```
///
/// The two forms in use differ in what is carried on. In the paper's and Haste's the memory is `c̃`, and only what is read out of it is
/// normalised. In PyTorch's `fastrnns` the memory is `ĉ` itself. The order of the gates is i, f, g, o; a bias inside of `LN` would
/// drop out of it or add to `b`. A clone shares the parameters.
#[derive(Clone, Debug, Module)]
pub struct LayerNormLstmCell {
    /// Input weights `[I, 4H]`.
    pub w: Param,
    /// Recurrent weights `[H, 4H]`.
    pub u: Param,
    /// Biases `[4H]`.
    pub b: Param,
    /// Gain of the normalised inputs `[4H]`.
    pub gain_x: Param,
    /// Gain of the normalised recurrent sums `[4H]`.
    pub gain_h: Param,
    /// Gain of the normalised cell `[H]`.
    pub gain_c: Param,
    /// Bias of the normalised cell `[H]`.
    pub b_c: Param,
    normed_memory: bool,
    pub(super) hidden: usize,
}

impl LayerNormLstmCell {
    /// A cell in Haste's form; weights from `uniform(±1/√hidden)`, gains 1.
    pub fn new(input: usize, hidden: usize, rng: &mut impl Rng) -> LayerNormLstmCell {
        let mut draw = init::recurrent(hidden, rng);
        let (w, u, b) = (draw(&[input, 4 * hidden]), draw(&[hidden, 4 * hidden]), draw(&[4 * hidden]));
        let [gain_x, gain_h, gain_c] = [4 * hidden, 4 * hidden, hidden].map(|n| Param::new(init::ones(&[n])));
        let b_c = Param::new(init::zeros(&[hidden]));
        LayerNormLstmCell { w, u, b, gain_x, gain_h, gain_c, b_c, normed_memory: false, hidden }
    }

    /// The cell in the form of `fastrnns`: the memory is normalised in every step.
    pub fn with_normed_memory(self) -> LayerNormLstmCell {
        LayerNormLstmCell { normed_memory: true, ..self }
    }
}

impl Cell for LayerNormLstmCell {
    /// `(h, c)`, each `[B, H]`.
    type State<'t> = (Var<'t>, Var<'t>);

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        (cx.zeros([batch, self.hidden]), cx.zeros([batch, self.hidden]))
    }

    fn step<'t>(&self, x: Var<'t>, state: Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        self.step_by(x, state, plain)
    }
}

impl Gated for LayerNormLstmCell {
    const GATES: usize = 4;

    fn step_by<'t>(&self, x: Var<'t>, (h, c): Self::State<'t>, times: impl Product<'t>) -> (Var<'t>, Self::State<'t>) {
        let inputs = x.matmul(&self.w).layer_norm(1e-5) * &self.gain_x;
        let z = inputs + times(h, &self.u).layer_norm(1e-5) * &self.gain_h + &self.b;
        let [i, f, g, o] = z.chunk();
        let c = f.sigmoid() * c + i.sigmoid() * g.tanh();
        let normed = c.layer_norm(1e-5) * &self.gain_c + &self.b_c;
        let h = o.sigmoid() * normed.tanh();
        (h, (h, if self.normed_memory { normed } else { c }))
    }
}
