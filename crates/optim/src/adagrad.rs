//! Adagrad.

use crate::optimizer::Optimizer;
use crate::settings;
use crate::transform::{At, Transform, root};
use wengert_autograd::{Result, Var};
use wengert_derive::Tree;

/// Adagrad (Duchi, Hazan & Singer 2011), as PyTorch's `Adagrad`:
///
/// ```text
/// s ← s + g²                               (s = initial before the first step)
/// p ← p − lr / (1 + (t − 1)·lr_decay)·g / (√s + eps)
/// ```
pub type Adagrad = Optimizer<AdagradRule>;

/// The transform of [`Adagrad`].
#[derive(Clone, Debug)]
pub struct AdagradRule {
    /// How fast the learning rate falls.
    pub lr_decay: f64,
    /// The sum of squares before the first step.
    pub initial: f64,
    /// Added to the root.
    pub eps: f64,
}

impl Default for AdagradRule {
    fn default() -> AdagradRule {
        AdagradRule { lr_decay: 0.0, initial: 0.0, eps: 1e-10 }
    }
}

impl Adagrad {
    /// With eps = 1e-10, from 0, without decay of the rate. A rate of 0.01 is usual.
    pub fn new(lr: f64) -> Adagrad {
        Optimizer::chain(lr, AdagradRule::default())
    }

    /// With a learning rate that falls.
    pub fn lr_decay(mut self, lr_decay: f64) -> Adagrad {
        self.rule.lr_decay = lr_decay;
        self
    }

    /// With another sum of squares before the first step.
    pub fn initial(mut self, initial: f64) -> Adagrad {
        self.rule.initial = initial;
        self
    }

    /// With another addend to the root.
    pub fn eps(mut self, eps: f64) -> Adagrad {
        self.rule.eps = eps;
        self
    }
}

/// The state of [`Adagrad`].
#[derive(Clone, Copy, Debug, Tree)]
pub struct AdagradState<'t> {
    /// The sum of squared gradients.
    pub sum: Var<'t>,
}

impl Transform for AdagradRule {
    type State<'t> = AdagradState<'t>;

    settings::of_fields!(AdagradRule { lr_decay, initial, eps });

    fn name(&self) -> &'static str {
        "Adagrad"
    }

    #[track_caller]
    fn check(&self) -> Result<()> {
        let settings =
            [("decay of the learning rate", self.lr_decay), ("initial sum", self.initial), ("eps", self.eps)];
        settings::from_zero("Adagrad", &settings)
    }

    fn init<'t>(&self, at: &At<'t>) -> AdagradState<'t> {
        AdagradState { sum: at.full(self.initial) }
    }

    fn update<'t>(&self, at: &At<'t>, g: Var<'t>, state: AdagradState<'t>) -> (Var<'t>, AdagradState<'t>) {
        let sum = state.sum + g.square();
        let rate = 1.0 / (1.0 + (at.step - 1) as f64 * self.lr_decay);
        (g * rate / (root(sum) + self.eps), AdagradState { sum })
    }
}
