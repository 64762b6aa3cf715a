//! RAdam.

use crate::optimizer::Optimizer;
use crate::settings;
use crate::transform::{At, Transform, average, average_square, root};
use wengert_autograd::{Result, Var};
use wengert_derive::Tree;

/// RAdam, Adam that waits until its second moment can be trusted (Liu et al. 2020, "On the variance of the adaptive learning rate
/// and beyond"), as PyTorch's `RAdam`:
///
/// ```text
/// m ← β₁·m + (1 − β₁)·g            m̂ = m / (1 − β₁ᵗ)
/// v ← β₂·v + (1 − β₂)·g²
/// ρ∞ = 2 / (1 − β₂) − 1            ρ = ρ∞ − 2t·β₂ᵗ / (1 − β₂ᵗ)
/// r  = √((ρ − 4)(ρ − 2)ρ∞ / ((ρ∞ − 4)(ρ∞ − 2)ρ))
/// p ← p − lr·m̂·r·√(1 − β₂ᵗ) / (√v + eps)  if ρ > 5, else p − lr·m̂
/// ```
pub type RAdam = Optimizer<RAdamRule>;

/// The transform of [`RAdam`].
#[derive(Clone, Debug)]
pub struct RAdamRule {
    /// The rates β₁ and β₂ of the running averages.
    pub betas: (f64, f64),
    /// Added to the root.
    pub eps: f64,
}

impl Default for RAdamRule {
    fn default() -> RAdamRule {
        RAdamRule { betas: (0.9, 0.999), eps: 1e-8 }
    }
}

impl RAdam {
    /// With β = (0.9, 0.999) and eps = 1e-8.
    pub fn new(lr: f64) -> RAdam {
        Optimizer::chain(lr, RAdamRule::default())
    }

    /// With other rates of the running averages.
    pub fn betas(mut self, beta1: f64, beta2: f64) -> RAdam {
        self.rule.betas = (beta1, beta2);
        self
    }

    /// With another addend to the root.
    pub fn eps(mut self, eps: f64) -> RAdam {
        self.rule.eps = eps;
        self
    }
}

/// The state of [`RAdam`].
#[derive(Clone, Copy, Debug, Tree)]
pub struct RAdamState<'t> {
    /// The running mean of gradients.
    pub m: Var<'t>,
    /// The running mean of their squares.
    pub v: Var<'t>,
}

impl Transform for RAdamRule {
    type State<'t> = RAdamState<'t>;

    settings::of_fields!(RAdamRule { betas, eps });

    fn name(&self) -> &'static str {
        "RAdam"
    }

    #[track_caller]
    fn check(&self) -> Result<()> {
        settings::rates("RAdam", &[("beta1", self.betas.0), ("beta2", self.betas.1)])?;
        settings::from_zero("RAdam", &[("eps", self.eps)])
    }

    fn init<'t>(&self, at: &At<'t>) -> RAdamState<'t> {
        RAdamState { m: at.zeros(), v: at.zeros() }
    }

    fn update<'t>(&self, at: &At<'t>, g: Var<'t>, state: RAdamState<'t>) -> (Var<'t>, RAdamState<'t>) {
        let (beta1, beta2) = self.betas;
        let t = at.step as f64;
        let m = average(state.m, beta1, g);
        let v = average_square(state.v, beta2, g);
        let mean = m * (1.0 / (1.0 - beta1.powf(t)));
        let of_v = 1.0 - beta2.powf(t);
        let most = 2.0 / (1.0 - beta2) - 1.0;
        let length = most - 2.0 * t * beta2.powf(t) / of_v;
        if length <= 5.0 {
            return (mean, RAdamState { m, v });
        }
        let rectified = (length - 4.0) * (length - 2.0) * most / ((most - 4.0) * (most - 2.0) * length);
        let u = mean * (rectified * of_v).sqrt() / (root(v) + self.eps);
        (u, RAdamState { m, v })
    }
}
