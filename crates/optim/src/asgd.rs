//! Averaged stochastic gradient descent.

use crate::optimizer::Optimizer;
use crate::settings;
use crate::transform::{At, Transform};
use wengert_autograd::{Result, Var};
use wengert_derive::Tree;

/// Averaged stochastic gradient descent (Polyak & Juditsky 1992; Bottou 2010), as PyTorch's `ASGD`:
///
/// ```text
/// η = lr / (1 + λ·lr·(t − 1))^α            μ = 1 / max(1, t − 1 − t₀)
/// p ← p − η·(g + λ·p)
/// a ← a + μ·(p − a)
/// ```
///
/// The average `a` is part of the [state](Optimizer::state); [`Average`](crate::Average) gives any optimizer one that can
/// take the place of the parameters.
pub type Asgd = Optimizer<AsgdRule>;

/// The transform of [`Asgd`].
#[derive(Clone, Debug)]
pub struct AsgdRule {
    /// The decay λ.
    pub lambda: f64,
    /// The power α.
    pub alpha: f64,
    /// The step t₀ from which on is averaged.
    pub start: f64,
}

impl Default for AsgdRule {
    fn default() -> AsgdRule {
        AsgdRule { lambda: 1e-4, alpha: 0.75, start: 1e6 }
    }
}

impl Asgd {
    /// With λ = 1e-4, α = 0.75 and t₀ = 1e6. A rate of 0.01 is usual.
    pub fn new(lr: f64) -> Asgd {
        Optimizer::chain(lr, AsgdRule::default())
    }

    /// With another decay.
    pub fn lambda(mut self, lambda: f64) -> Asgd {
        self.rule.lambda = lambda;
        self
    }

    /// With another power.
    pub fn alpha(mut self, alpha: f64) -> Asgd {
        self.rule.alpha = alpha;
        self
    }

    /// With averages from another step on.
    pub fn start(mut self, start: f64) -> Asgd {
        self.rule.start = start;
        self
    }
}

/// The state of [`Asgd`].
#[derive(Clone, Copy, Debug, Tree)]
pub struct AsgdState<'t> {
    /// The average of the parameter.
    pub average: Var<'t>,
}

impl Transform for AsgdRule {
    type State<'t> = AsgdState<'t>;

    settings::of_fields!(AsgdRule { lambda, alpha, start });

    fn name(&self) -> &'static str {
        "Asgd"
    }

    #[track_caller]
    fn check(&self) -> Result<()> {
        settings::from_zero(
            "Asgd",
            &[("lambda", self.lambda), ("alpha", self.alpha), ("first averaged step", self.start)],
        )
    }

    fn init<'t>(&self, at: &At<'t>) -> AsgdState<'t> {
        AsgdState { average: at.zeros() }
    }

    fn update<'t>(&self, at: &At<'t>, g: Var<'t>, state: AsgdState<'t>) -> (Var<'t>, AsgdState<'t>) {
        let done = (at.step - 1) as f64;
        let falling = (at.lr * (self.lambda * done) + 1.0).pow(-self.alpha);
        let u = (g + at.param * self.lambda) * falling;
        let next = at.param - u * at.lr;
        let share = 1.0 / (done - self.start).max(1.0);
        let average = if share == 1.0 { next } else { state.average + (next - state.average) * share };
        (u, AsgdState { average })
    }
}
