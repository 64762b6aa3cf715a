//! Adadelta.

use crate::optimizer::Optimizer;
use crate::settings;
use crate::transform::{At, Transform, average_square};
use wengert_autograd::{Result, Var};
use wengert_derive::Tree;

/// Adadelta (Zeiler 2012), as PyTorch's `Adadelta`:
///
/// ```text
/// v ← ρ·v + (1 − ρ)·g²
/// u = √(d + eps) / √(v + eps)·g
/// d ← ρ·d + (1 − ρ)·u²
/// p ← p − lr·u
/// ```
pub type Adadelta = Optimizer<AdadeltaRule>;

/// The transform of [`Adadelta`].
#[derive(Clone, Debug)]
pub struct AdadeltaRule {
    /// The rate ρ of the running averages.
    pub rho: f64,
    /// Added below both roots.
    pub eps: f64,
}

impl Default for AdadeltaRule {
    fn default() -> AdadeltaRule {
        AdadeltaRule { rho: 0.9, eps: 1e-6 }
    }
}

impl Adadelta {
    /// With ρ = 0.9 and eps = 1e-6. A rate of 1 is usual.
    pub fn new(lr: f64) -> Adadelta {
        Optimizer::chain(lr, AdadeltaRule::default())
    }

    /// With another rate of the running averages.
    pub fn rho(mut self, rho: f64) -> Adadelta {
        self.rule.rho = rho;
        self
    }

    /// With another addend below the roots.
    pub fn eps(mut self, eps: f64) -> Adadelta {
        self.rule.eps = eps;
        self
    }
}

/// The state of [`Adadelta`].
#[derive(Clone, Copy, Debug, Tree)]
pub struct AdadeltaState<'t> {
    /// The running mean of squared gradients.
    pub v: Var<'t>,
    /// The running mean of squared updates.
    pub d: Var<'t>,
}

impl Transform for AdadeltaRule {
    type State<'t> = AdadeltaState<'t>;

    settings::of_fields!(AdadeltaRule { rho, eps });

    fn name(&self) -> &'static str {
        "Adadelta"
    }

    #[track_caller]
    fn check(&self) -> Result<()> {
        settings::rates("Adadelta", &[("rho", self.rho)])?;
        settings::from_zero("Adadelta", &[("eps", self.eps)])
    }

    fn init<'t>(&self, at: &At<'t>) -> AdadeltaState<'t> {
        AdadeltaState { v: at.zeros(), d: at.zeros() }
    }

    fn update<'t>(&self, _: &At<'t>, g: Var<'t>, state: AdadeltaState<'t>) -> (Var<'t>, AdadeltaState<'t>) {
        let v = average_square(state.v, self.rho, g);
        let u = (state.d + self.eps).sqrt() / (v + self.eps).sqrt() * g;
        let d = average_square(state.d, self.rho, u);
        (u, AdadeltaState { v, d })
    }
}
