//! Adam, AdamW and AMSGrad.

use crate::optimizer::Optimizer;
use crate::settings;
use crate::transform::{At, Transform, average, average_square, root};
use wengert_autograd::{Result, Var};
use wengert_derive::Tree;

/// Adam (Kingma & Ba 2015), as PyTorch's `Adam`:
///
/// ```text
/// m ← β₁·m + (1 − β₁)·g            m̂ = m / (1 − β₁ᵗ)
/// v ← β₂·v + (1 − β₂)·g²           v̂ = v / (1 − β₂ᵗ)
/// p ← p − lr·m̂ / (√v̂ + eps)
/// ```
///
/// With [`amsgrad`](Adam::amsgrad) `v̂` is made of the largest `v` so far (Reddi, Kale & Kumar 2018). With
/// [`decoupled_decay`](Optimizer::decoupled_decay) it is AdamW (Loshchilov & Hutter 2019; PyTorch's default is a decay of 0.01), with
/// [`l2`](Optimizer::l2) PyTorch's `Adam` with weight decay.
///
/// ```
/// use wengert_optim::Adam;
/// let adam = Adam::new(1e-3).betas(0.9, 0.98).eps(1e-9);
/// let adamw = Adam::new(1e-3).decoupled_decay(1e-2);
/// ```
#[doc(alias = "AdamW")]
#[doc(alias = "AMSGrad")]
pub type Adam = Optimizer<AdamRule>;

/// The transform of [`Adam`].
#[derive(Clone, Debug)]
pub struct AdamRule {
    /// The rates β₁ and β₂ of the running averages.
    pub betas: (f64, f64),
    /// Added to the root.
    pub eps: f64,
    /// Whether the largest second moment counts.
    pub amsgrad: bool,
}

impl Default for AdamRule {
    fn default() -> AdamRule {
        AdamRule { betas: (0.9, 0.999), eps: 1e-8, amsgrad: false }
    }
}

impl Adam {
    /// With β = (0.9, 0.999) and eps = 1e-8.
    pub fn new(lr: f64) -> Adam {
        Optimizer::chain(lr, AdamRule::default())
    }

    /// With other rates of the running averages.
    pub fn betas(mut self, beta1: f64, beta2: f64) -> Adam {
        self.rule.betas = (beta1, beta2);
        self
    }

    /// With another addend to the root.
    pub fn eps(mut self, eps: f64) -> Adam {
        self.rule.eps = eps;
        self
    }

    /// With the largest second moment so far.
    pub fn amsgrad(mut self) -> Adam {
        self.rule.amsgrad = true;
        self
    }
}

/// The state of [`Adam`].
#[derive(Clone, Copy, Debug, Tree)]
pub struct AdamState<'t> {
    /// The running mean of gradients.
    pub m: Var<'t>,
    /// The running mean of their squares.
    pub v: Var<'t>,
    /// The largest `v`, of AMSGrad.
    pub largest: Option<Var<'t>>,
}

impl Transform for AdamRule {
    type State<'t> = AdamState<'t>;

    settings::of_fields!(AdamRule { betas, eps, amsgrad });

    fn name(&self) -> &'static str {
        "Adam"
    }

    #[track_caller]
    fn check(&self) -> Result<()> {
        settings::rates("Adam", &[("beta1", self.betas.0), ("beta2", self.betas.1)])?;
        settings::from_zero("Adam", &[("eps", self.eps)])
    }

    fn init<'t>(&self, at: &At<'t>) -> AdamState<'t> {
        AdamState { m: at.zeros(), v: at.zeros(), largest: self.amsgrad.then(|| at.zeros()) }
    }

    fn update<'t>(&self, at: &At<'t>, g: Var<'t>, state: AdamState<'t>) -> (Var<'t>, AdamState<'t>) {
        let (beta1, beta2) = self.betas;
        let m = average(state.m, beta1, g);
        let v = average_square(state.v, beta2, g);
        let largest = state.largest.map(|largest| largest.maximum(v));
        let t = at.step as f64;
        let (of_m, of_v) = (1.0 / (1.0 - beta1.powf(t)), 1.0 / (1.0 - beta2.powf(t)).sqrt());
        // Not the mean, but the divisor is corrected, by numbers: one pass over the elements less.
        let u = m / (root(largest.unwrap_or(v)) * (of_v / of_m) + self.eps / of_m);
        (u, AdamState { m, v, largest })
    }
}
