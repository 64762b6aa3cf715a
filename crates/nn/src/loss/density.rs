//! Likelihoods of densities that a network gives.

use super::Reduction;
use super::reduction::{elementwise, refused};
use wengert_autograd::{Operand, Var};

/// `log √(2π)`.
const LOG_ROOT_TAU: f64 = 0.918_938_533_204_672_7;

/// The negative log-likelihood of a normal distribution, as PyTorch's `GaussianNLLLoss` (Nix & Weigend 1994):
///
/// ```text
/// v = max(var, eps)      loss = (log v + (target − mean)²/v) / 2      (+ log √(2π), if full)
/// ```
#[derive(Clone, Copy, Debug)]
pub struct GaussianNll<'t> {
    /// The reduction.
    pub reduction: Reduction<'t>,
    /// Whether the constant is part of the loss; not by default.
    pub full: bool,
    /// The smallest variance, 1e-6 by default. A gradient passes where it takes effect.
    pub eps: f64,
}

impl Default for GaussianNll<'_> {
    fn default() -> Self {
        GaussianNll { reduction: Reduction::Mean, full: false, eps: 1e-6 }
    }
}

impl<'t> GaussianNll<'t> {
    /// The loss of `target` under means and variances of its shape; target or variance may be a number. A negative variance counts as
    /// `eps`.
    #[track_caller]
    pub fn loss(&self, mean: Var<'t>, target: impl Operand<'t>, var: impl Operand<'t>) -> Var<'t> {
        let (name, tape) = ("gaussian_nll", mean.tape());
        let _named = tape.composition(name);
        if let Some(broken) = refused(mean, name, "eps", self.eps, self.eps > 0.0, "a positive number") {
            return broken;
        }
        let var = var.resolve(tape, mean.dtype().ok());
        if let (Ok(mean_shape), Ok(shape)) = (mean.shape(), var.shape())
            && shape != mean_shape
            && shape.rank() > 0
        {
            let found = format!("the mean is {mean_shape}, the variance {shape}");
            return mean.invalid(name, found, "give both the same shape (reshape, expand)");
        }
        elementwise(name, mean, target, self.reduction, |mean, target| {
            let var = self.reduction.guard(var, 1.0);
            let v = var + (var.maximum(self.eps) - var).detach();
            let loss = (v.log() + (mean - target).square() / v) / 2.0;
            if self.full { loss + LOG_ROOT_TAU } else { loss }
        })
    }
}

/// The mean negative log-likelihood of a normal distribution; see [`GaussianNll`].
#[track_caller]
pub fn gaussian_nll<'t>(mean: Var<'t>, target: impl Operand<'t>, var: impl Operand<'t>) -> Var<'t> {
    GaussianNll::default().loss(mean, target, var)
}

/// The mean negative log-likelihood of a mixture of `K` normal distributions without correlations (mixture density networks, Bishop
/// 1994):
///
/// ```text
/// loss = −log Σ_k softmax(logits)_k · Π_d N(target_d; mean_kd, exp(log_std_kd)²)
/// ```
///
/// `logits` `[.., K]`, `mean` and `log_std` `[.., K, D]`, `target` `[.., D]`. Computed in logarithms, so that components far from the target
/// vanish without NaN.
#[track_caller]
pub fn mixture_nll<'t>(logits: Var<'t>, mean: Var<'t>, log_std: Var<'t>, target: impl Operand<'t>) -> Var<'t> {
    mixture_nll_with(logits, mean, log_std, target, Reduction::Mean)
}

/// [`mixture_nll`] with a choice of [`Reduction`]; without reduction the losses are `[..]`.
#[track_caller]
pub fn mixture_nll_with<'t>(
    logits: Var<'t>,
    mean: Var<'t>,
    log_std: Var<'t>,
    target: impl Operand<'t>,
    reduction: Reduction<'t>,
) -> Var<'t> {
    let (name, tape) = ("mixture_nll", logits.tape());
    let _named = tape.composition(name);
    let target = target.resolve(tape, mean.dtype().ok());
    let mut shapes = Vec::new();
    for part in [logits, mean, log_std, target] {
        match part.shape() {
            Ok(shape) => shapes.push(shape),
            Err(_) => return part,
        }
    }
    let fits = match (&shapes[0][..], &shapes[1][..]) {
        ([batch @ .., k], [other @ .., components, d]) => {
            let wanted: Vec<usize> = batch.iter().copied().chain([*d]).collect();
            batch == other && k == components && shapes[2] == shapes[1] && shapes[3][..] == wanted[..]
        }
        _ => false,
    };
    if !fits {
        let [logits_, mean_, log_std_, target_] = [0, 1, 2, 3].map(|i| &shapes[i]);
        let found = format!("the logits are {logits_}, the means {mean_}, log_std {log_std_}, the target {target_}");
        return logits.invalid(name, found, "give logits [.., K], means and log_std [.., K, D], a target [.., D]");
    }
    let batch = shapes[0].iter().copied().take(shapes[0].rank() - 1).collect();
    if let Some(broken) = reduction.misfit(name, &batch) {
        return broken;
    }
    let [logits, mean, log_std, target] = [logits, mean, log_std, target].map(|part| reduction.guard(part, 0.0));
    let z = (target.unsqueeze(-2) - mean) * (-log_std).exp();
    let component = -(z.square() / 2.0 + log_std + LOG_ROOT_TAU).sum_axes(-1);
    reduction.of(-(logits.log_softmax(-1) + component).logsumexp(-1))
}
