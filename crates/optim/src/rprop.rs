//! Rprop.

use crate::optimizer::Optimizer;
use crate::settings;
use crate::transform::{At, Transform};
use wengert_autograd::{Error, ErrorKind, Result, Var};
use wengert_derive::Tree;

/// Resilient backpropagation (Riedmiller & Braun 1993, without weight-backtracking), as PyTorch's `Rprop`:
///
/// ```text
/// s ← clamp(s·η⁺)  where g·g' > 0,   clamp(s·η⁻) and g ← 0 where g·g' < 0,   s elsewhere
/// p ← p − lr·s·sign(g)                     g' ← g
/// ```
///
/// It is for whole batches: only the signs of the gradients count. PyTorch's `lr` is the first step size here; the
/// learning rate is 1 and scales all steps.
pub type Rprop = Optimizer<RpropRule>;

/// The transform of [`Rprop`].
#[derive(Clone, Debug)]
pub struct RpropRule {
    /// The step size of every element before the first step.
    pub first: f64,
    /// The factors η⁻ and η⁺ of the step size.
    pub etas: (f64, f64),
    /// The least and the greatest step size.
    pub steps: (f64, f64),
}

impl Rprop {
    /// With a first step size (0.01 is usual), η = (0.5, 1.2) and step sizes from 1e-6 to 50.
    pub fn new(first: f64) -> Rprop {
        Optimizer::chain(1.0, RpropRule { first, etas: (0.5, 1.2), steps: (1e-6, 50.0) })
    }

    /// With other factors, `0 < minus < 1 < plus`.
    pub fn etas(mut self, minus: f64, plus: f64) -> Rprop {
        self.rule.etas = (minus, plus);
        self
    }

    /// With other bounds of the step size.
    pub fn steps(mut self, least: f64, greatest: f64) -> Rprop {
        self.rule.steps = (least, greatest);
        self
    }
}

/// The state of [`Rprop`].
#[derive(Clone, Copy, Debug, Tree)]
pub struct RpropState<'t> {
    /// The last gradient, 0 where its sign had changed.
    pub last: Var<'t>,
    /// The step sizes.
    pub size: Var<'t>,
}

impl Transform for RpropRule {
    type State<'t> = RpropState<'t>;

    settings::of_fields!(RpropRule { first, etas, steps });

    fn name(&self) -> &'static str {
        "Rprop"
    }

    #[track_caller]
    fn check(&self) -> Result<()> {
        let (minus, plus) = self.etas;
        let (least, greatest) = self.steps;
        settings::from_zero(
            "Rprop",
            &[("first step", self.first), ("least step", least), ("greatest step", greatest)],
        )?;
        if least > greatest {
            let found = format!("the least step is {least}, the greatest {greatest}");
            return Err(Error::new(ErrorKind::Value, "Rprop", found, "give the least first"));
        }
        if 0.0 < minus && minus < 1.0 && 1.0 < plus && plus.is_finite() {
            return Ok(());
        }
        let found = format!("the factors of the step size are {minus} and {plus}");
        Err(Error::new(ErrorKind::Value, "Rprop", found, "expected 0 < minus < 1 < plus"))
    }

    fn init<'t>(&self, at: &At<'t>) -> RpropState<'t> {
        RpropState { last: at.zeros(), size: at.full(self.first) }
    }

    fn update<'t>(&self, _: &At<'t>, g: Var<'t>, state: RpropState<'t>) -> (Var<'t>, RpropState<'t>) {
        let product = g * state.last;
        let (same, turned) = (product.gt(0.0), product.lt(0.0));
        let grown = state.size * self.etas.1;
        let size = same.select(grown, turned.select(state.size * self.etas.0, state.size));
        let size = size.clamp(self.steps.0, self.steps.1);
        let last = turned.select(0.0, g);
        (last.sign() * size, RpropState { last, size })
    }
}
