//! Lion.

use crate::optimizer::Optimizer;
use crate::settings;
use crate::transform::{At, Transform, average};
use wengert_autograd::{Result, Var};
use wengert_derive::Tree;

/// Lion (Chen et al. 2023, "Symbolic discovery of optimization algorithms", program 1; the decay of the paper is
/// [`decoupled_decay`](Optimizer::decoupled_decay)):
///
/// ```text
/// p ← p − lr·sign(β₁·m + (1 − β₁)·g)
/// m ← β₂·m + (1 − β₂)·g
/// ```
pub type Lion = Optimizer<LionRule>;

/// The transform of [`Lion`].
#[derive(Clone, Debug)]
pub struct LionRule {
    /// The rates β₁ and β₂.
    pub betas: (f64, f64),
}

impl Default for LionRule {
    fn default() -> LionRule {
        LionRule { betas: (0.9, 0.99) }
    }
}

impl Lion {
    /// With β = (0.9, 0.99). A third to a tenth of Adam's rate is usual.
    pub fn new(lr: f64) -> Lion {
        Optimizer::chain(lr, LionRule::default())
    }

    /// With other rates.
    pub fn betas(mut self, beta1: f64, beta2: f64) -> Lion {
        self.rule.betas = (beta1, beta2);
        self
    }
}

/// The state of [`Lion`].
#[derive(Clone, Copy, Debug, Tree)]
pub struct LionState<'t> {
    /// The running mean of gradients.
    pub m: Var<'t>,
}

impl Transform for LionRule {
    type State<'t> = LionState<'t>;

    settings::of_fields!(LionRule { betas });

    fn name(&self) -> &'static str {
        "Lion"
    }

    #[track_caller]
    fn check(&self) -> Result<()> {
        settings::rates("Lion", &[("beta1", self.betas.0), ("beta2", self.betas.1)])
    }

    fn init<'t>(&self, at: &At<'t>) -> LionState<'t> {
        LionState { m: at.zeros() }
    }

    fn update<'t>(&self, _: &At<'t>, g: Var<'t>, state: LionState<'t>) -> (Var<'t>, LionState<'t>) {
        let u = average(state.m, self.betas.0, g).sign();
        (u, LionState { m: average(state.m, self.betas.1, g) })
    }
}
