//! RMSprop.

use crate::optimizer::Optimizer;
use crate::settings;
use crate::transform::{At, Transform, average, average_square, root};
use wengert_autograd::{Result, Var};
use wengert_derive::Tree;

/// RMSprop (Tieleman & Hinton 2012, lecture 6.5; centered: Graves 2013), as PyTorch's `RMSprop`:
///
/// ```text
/// v ← α·v + (1 − α)·g²
/// a ← α·a + (1 − α)·g                      (0 unless centered)
/// b ← momentum·b + g / (√(v − a²) + eps)
/// p ← p − lr·b
/// ```
pub type RmsProp = Optimizer<RmsPropRule>;

/// The transform of [`RmsProp`].
#[derive(Clone, Debug)]
pub struct RmsPropRule {
    /// The rate α of the running averages.
    pub alpha: f64,
    /// Added to the root.
    pub eps: f64,
    /// The share of an update that stays.
    pub momentum: f64,
    /// Whether the variance counts instead of the second moment.
    pub centered: bool,
}

impl Default for RmsPropRule {
    fn default() -> RmsPropRule {
        RmsPropRule { alpha: 0.99, eps: 1e-8, momentum: 0.0, centered: false }
    }
}

impl RmsProp {
    /// With α = 0.99 and eps = 1e-8, neither momentum nor centered. A rate of 0.01 is usual.
    pub fn new(lr: f64) -> RmsProp {
        Optimizer::chain(lr, RmsPropRule::default())
    }

    /// With another rate of the running averages.
    pub fn alpha(mut self, alpha: f64) -> RmsProp {
        self.rule.alpha = alpha;
        self
    }

    /// With another addend to the root.
    pub fn eps(mut self, eps: f64) -> RmsProp {
        self.rule.eps = eps;
        self
    }

    /// With momentum.
    pub fn momentum(mut self, momentum: f64) -> RmsProp {
        self.rule.momentum = momentum;
        self
    }

    /// With the variance of gradients in place of their second moment.
    pub fn centered(mut self) -> RmsProp {
        self.rule.centered = true;
        self
    }
}

/// The state of [`RmsProp`].
#[derive(Clone, Copy, Debug, Tree)]
pub struct RmsPropState<'t> {
    /// The running mean of squared gradients.
    pub v: Var<'t>,
    /// The running mean of gradients, if centered.
    pub mean: Option<Var<'t>>,
    /// The momentum, if there is one.
    pub momentum: Option<Var<'t>>,
}

impl Transform for RmsPropRule {
    type State<'t> = RmsPropState<'t>;

    settings::of_fields!(RmsPropRule { alpha, eps, momentum, centered });

    fn name(&self) -> &'static str {
        "RmsProp"
    }

    #[track_caller]
    fn check(&self) -> Result<()> {
        settings::rates("RmsProp", &[("alpha", self.alpha)])?;
        settings::from_zero("RmsProp", &[("eps", self.eps), ("momentum", self.momentum)])
    }

    fn init<'t>(&self, at: &At<'t>) -> RmsPropState<'t> {
        let zeros = |wanted: bool| wanted.then(|| at.zeros());
        RmsPropState { v: at.zeros(), mean: zeros(self.centered), momentum: zeros(self.momentum != 0.0) }
    }

    fn update<'t>(&self, _: &At<'t>, g: Var<'t>, state: RmsPropState<'t>) -> (Var<'t>, RmsPropState<'t>) {
        let v = average_square(state.v, self.alpha, g);
        let mean = state.mean.map(|mean| average(mean, self.alpha, g));
        let spread = mean.map_or(v, |mean| v - mean.square());
        let scaled = g / (root(spread) + self.eps);
        let momentum = state.momentum.map(|b| b * self.momentum + scaled);
        (momentum.unwrap_or(scaled), RmsPropState { v, mean, momentum })
    }
}
