//! NAdam.

use crate::optimizer::Optimizer;
use crate::settings;
use crate::transform::{At, Transform, average, average_square, root};
use wengert_autograd::{DType, Result, Var};
use wengert_derive::Tree;

/// NAdam, Adam with Nesterov's momentum (Dozat 2016), as PyTorch's `NAdam`:
///
/// ```text
/// μₜ = β₁·(1 − 0.96^(t·momentum_decay) / 2)        Πₜ = μ₁·..·μₜ
/// m ← β₁·m + (1 − β₁)·g
/// v ← β₂·v + (1 − β₂)·g²
/// p ← p − lr·(μₜ₊₁·m / (1 − Πₜ₊₁) + (1 − μₜ)·g / (1 − Πₜ)) / (√(v / (1 − β₂ᵗ)) + eps)
/// ```
pub type NAdam = Optimizer<NAdamRule>;

/// The transform of [`NAdam`].
#[derive(Clone, Debug)]
pub struct NAdamRule {
    /// The rates β₁ and β₂ of the running averages.
    pub betas: (f64, f64),
    /// Added to the root.
    pub eps: f64,
    /// How fast the momentum approaches β₁.
    pub momentum_decay: f64,
}

impl Default for NAdamRule {
    fn default() -> NAdamRule {
        NAdamRule { betas: (0.9, 0.999), eps: 1e-8, momentum_decay: 4e-3 }
    }
}

impl NAdam {
    /// With β = (0.9, 0.999), eps = 1e-8 and a momentum decay of 0.004. A rate of 0.002 is usual.
    pub fn new(lr: f64) -> NAdam {
        Optimizer::chain(lr, NAdamRule::default())
    }

    /// With other rates of the running averages.
    pub fn betas(mut self, beta1: f64, beta2: f64) -> NAdam {
        self.rule.betas = (beta1, beta2);
        self
    }

    /// With another addend to the root.
    pub fn eps(mut self, eps: f64) -> NAdam {
        self.rule.eps = eps;
        self
    }

    /// With another momentum decay.
    pub fn momentum_decay(mut self, momentum_decay: f64) -> NAdam {
        self.rule.momentum_decay = momentum_decay;
        self
    }
}

/// The state of [`NAdam`].
#[derive(Clone, Copy, Debug, Tree)]
pub struct NAdamState<'t> {
    /// The running mean of gradients.
    pub m: Var<'t>,
    /// The running mean of their squares.
    pub v: Var<'t>,
    /// The product of all momenta, no axes.
    pub product: Var<'t>,
}

impl Transform for NAdamRule {
    type State<'t> = NAdamState<'t>;

    settings::of_fields!(NAdamRule { betas, eps, momentum_decay });

    fn name(&self) -> &'static str {
        "NAdam"
    }

    #[track_caller]
    fn check(&self) -> Result<()> {
        settings::rates("NAdam", &[("beta1", self.betas.0), ("beta2", self.betas.1)])?;
        settings::from_zero("NAdam", &[("eps", self.eps), ("momentum decay", self.momentum_decay)])
    }

    fn init<'t>(&self, at: &At<'t>) -> NAdamState<'t> {
        let dtype = at.param.dtype().unwrap_or(DType::F32);
        NAdamState { m: at.zeros(), v: at.zeros(), product: at.param.tape().ones([], dtype) }
    }

    fn update<'t>(&self, at: &At<'t>, g: Var<'t>, state: NAdamState<'t>) -> (Var<'t>, NAdamState<'t>) {
        let (beta1, beta2) = self.betas;
        let t = at.step as f64;
        let momentum = |t: f64| beta1 * (1.0 - 0.5 * 0.96f64.powf(t * self.momentum_decay));
        let (now, next) = (momentum(t), momentum(t + 1.0));
        let product = state.product * now;
        let m = average(state.m, beta1, g);
        let v = average_square(state.v, beta2, g);
        let ahead = m * (next / (1.0 - product * next)) + g * ((1.0 - now) / (1.0 - product));
        let u = ahead / (root(v * (1.0 / (1.0 - beta2.powf(t)))) + self.eps);
        (u, NAdamState { m, v, product })
    }
}
