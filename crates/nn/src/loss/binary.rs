//! Yes or no.

use super::Reduction;
use super::reduction::elementwise;
use wengert_autograd::{Operand, Var};

/// The cross-entropy of truth values against logits, finite wherever these are, as PyTorch's `BCEWithLogitsLoss`:
///
/// ```text
/// loss = −(w·y·log σ(x) + (1 − y)·log(1 − σ(x)))
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct BceWithLogits<'t> {
    /// The reduction.
    pub reduction: Reduction<'t>,
    /// The weight `w` of what is true; broadcasts to the logits, 1 by default.
    pub pos_weight: Option<Var<'t>>,
}

impl<'t> BceWithLogits<'t> {
    /// The loss of `logits` against `targets` of their shape and element type (or a number), from 0 to 1.
    #[track_caller]
    pub fn loss(&self, logits: Var<'t>, targets: impl Operand<'t>) -> Var<'t> {
        let name = "bce_with_logits";
        let _named = logits.tape().composition(name);
        // A weight of other axes would be an error of the losses, or none.
        let wide = |weight: Var<'t>| logits.shape().map_or(logits, |shape| weight.expand(shape));
        let weight = self.pos_weight.map(wide);
        elementwise(name, logits, targets, self.reduction, |x, y| {
            let closeness = x.log_sigmoid();
            (1.0 - y) * x - weight.map_or(closeness, |w| ((w - 1.0) * y + 1.0) * closeness)
        })
    }
}

/// The mean cross-entropy of truth values against logits; see [`BceWithLogits`].
#[track_caller]
pub fn bce_with_logits<'t>(logits: Var<'t>, targets: impl Operand<'t>) -> Var<'t> {
    BceWithLogits::default().loss(logits, targets)
}
