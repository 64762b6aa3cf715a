//! Adamax.

use crate::optimizer::Optimizer;
use crate::settings;
use crate::transform::{At, Transform, average};
use wengert_autograd::{Result, Var};
use wengert_derive::Tree;

/// Adamax, Adam with the infinity norm (Kingma & Ba 2015, section 7.1), as PyTorch's `Adamax`:
///
/// ```text
/// m ← β₁·m + (1 − β₁)·g
/// n ← max(β₂·n, |g| + eps)
/// p ← p − lr / (1 − β₁ᵗ)·m / n
/// ```
pub type Adamax = Optimizer<AdamaxRule>;

/// The transform of [`Adamax`].
#[derive(Clone, Debug)]
pub struct AdamaxRule {
    /// The rates β₁ and β₂.
    pub betas: (f64, f64),
    /// Added to the gradient's absolute value.
    pub eps: f64,
}

impl Default for AdamaxRule {
    fn default() -> AdamaxRule {
        AdamaxRule { betas: (0.9, 0.999), eps: 1e-8 }
    }
}

impl Adamax {
    /// With β = (0.9, 0.999) and eps = 1e-8. A rate of 0.002 is usual.
    pub fn new(lr: f64) -> Adamax {
        Optimizer::chain(lr, AdamaxRule::default())
    }

    /// With other rates.
    pub fn betas(mut self, beta1: f64, beta2: f64) -> Adamax {
        self.rule.betas = (beta1, beta2);
        self
    }

    /// With another addend to the gradient's absolute value.
    pub fn eps(mut self, eps: f64) -> Adamax {
        self.rule.eps = eps;
        self
    }
}

/// The state of [`Adamax`].
#[derive(Clone, Copy, Debug, Tree)]
pub struct AdamaxState<'t> {
    /// The running mean of gradients.
    pub m: Var<'t>,
    /// Their decaying largest absolute value.
    pub n: Var<'t>,
}

impl Transform for AdamaxRule {
    type State<'t> = AdamaxState<'t>;

    settings::of_fields!(AdamaxRule { betas, eps });

    fn name(&self) -> &'static str {
        "Adamax"
    }

    #[track_caller]
    fn check(&self) -> Result<()> {
        settings::rates("Adamax", &[("beta1", self.betas.0), ("beta2", self.betas.1)])?;
        settings::from_zero("Adamax", &[("eps", self.eps)])
    }

    fn init<'t>(&self, at: &At<'t>) -> AdamaxState<'t> {
        AdamaxState { m: at.zeros(), n: at.zeros() }
    }

    fn update<'t>(&self, at: &At<'t>, g: Var<'t>, state: AdamaxState<'t>) -> (Var<'t>, AdamaxState<'t>) {
        let (beta1, beta2) = self.betas;
        let m = average(state.m, beta1, g);
        let n = (state.n * beta2).maximum(g.abs() + self.eps);
        let u = m * (1.0 / (1.0 - beta1.powf(at.step as f64))) / n;
        (u, AdamaxState { m, n })
    }
}
