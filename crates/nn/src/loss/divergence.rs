//! Distances between distributions.

use super::Reduction;
use super::reduction::elementwise;
use wengert_autograd::{Operand, Var};

/// The pointwise Kullback-Leibler divergence `target·(log target − input)` of log-probabilities from a target distribution, as PyTorch's
/// `KLDivLoss`; 0 where the target is.
///
/// The divergence of two distributions is the *sum* over their axis. Its mean over a batch (PyTorch's `batchmean`) is
/// `Reduction::None`, then `.sum_axes(-1).mean()`.
#[derive(Clone, Copy, Debug, Default)]
pub struct KlDiv<'t> {
    /// The reduction.
    pub reduction: Reduction<'t>,
    /// Whether the target is given by log-probabilities as well.
    pub log_target: bool,
}

impl<'t> KlDiv<'t> {
    /// The loss of log-probabilities `input` against `target`, of one shape.
    #[track_caller]
    pub fn loss(&self, input: Var<'t>, target: impl Operand<'t>) -> Var<'t> {
        let _named = input.tape().composition("kl_div");
        elementwise("kl_div", input, target, self.reduction, |x, t| {
            if self.log_target {
                // An impossible outcome counts 0, and not 0·∞.
                let never = t.eq(f64::NEG_INFINITY);
                return never.select(0.0, t.exp() * (never.select(0.0, t) - never.select(0.0, x)));
            }
            let never = t.eq(0.0);
            never.select(0.0, t * (never.select(1.0, t).log() - never.select(0.0, x)))
        })
    }
}

/// The mean over all elements of the pointwise Kullback-Leibler divergence; see [`KlDiv`].
#[track_caller]
pub fn kl_div<'t>(input: Var<'t>, target: impl Operand<'t>) -> Var<'t> {
    KlDiv::default().loss(input, target)
}
