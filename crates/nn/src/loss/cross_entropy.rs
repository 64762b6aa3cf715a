//! Classes: logits or log-probabilities against indices.

use super::Reduction;
use super::reduction::refused;
use wengert_autograd::{DType, Operand, Var};

/// The cross-entropy of class logits against class indices, computed stably (the largest logit is subtracted first), as PyTorch's:
///
/// ```text
/// loss_i = −log softmax(logits_i)[target_i] = log Σ_c exp(logits_ic) − logits_i,target
/// mean   = Σ_i loss_i / (number of targets that are not ignored)
/// ```
///
/// With class weights `w` and label smoothing `ε`, of `C` classes:
///
/// ```text
/// loss_i = −(1 − ε)·w_target·log p_i,target − ε/C · Σ_c w_c·log p_ic
/// mean   = Σ_i loss_i / Σ_i w_target
/// ```
///
/// ```
/// use wengert_autograd::{Tape, Tensor};
/// use wengert_nn::loss::CrossEntropy;
/// let tape = Tape::new();
/// let logits = tape.var(Tensor::from_slice(&[2.0f32, 0.0, 0.0, 3.0], [2, 2])?);
/// let targets = tape.constant(Tensor::from_slice(&[0i64, -100], [2])?);
/// let loss = CrossEntropy::default().loss(logits, targets);
/// assert!((loss.item()? - (1.0 + (-2.0f64).exp()).ln()).abs() < 1e-6);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy<'t> {
    /// The reduction; the mean is over the targets that count.
    pub reduction: Reduction<'t>,
    /// Targets of this value contribute nothing. PyTorch's default is −100.
    pub ignore_index: i64,
    /// A weight for each class, `[C]`; none by default.
    pub weight: Option<Var<'t>>,
    /// The part `ε` of a target that is spread over all classes, from 0 (the default) to 1 (Szegedy et al. 2016).
    pub label_smoothing: f64,
}

impl Default for CrossEntropy<'_> {
    fn default() -> Self {
        CrossEntropy { reduction: Reduction::Mean, ignore_index: -100, weight: None, label_smoothing: 0.0 }
    }
}

impl<'t> CrossEntropy<'t> {
    /// The loss of `logits` `[.., C]` against `targets` `[..]` (I64, in `0..C`, or `ignore_index`). Without reduction
    /// it has the shape of the targets, and 0 at those that are ignored.
    ///
    /// A target outside of the classes is an error when the program runs. If every target is ignored, the mean is NaN, as
    /// in PyTorch.
    #[track_caller]
    pub fn loss(&self, logits: Var<'t>, targets: impl Operand<'t>) -> Var<'t> {
        let (name, smoothing) = ("cross_entropy", self.label_smoothing);
        let _named = logits.tape().composition(name);
        let fine = (0.0..=1.0).contains(&smoothing);
        if let Some(broken) = refused(logits, name, "label smoothing", smoothing, fine, "a number from 0 to 1") {
            return broken;
        }
        let labels = Labels { name, reduction: self.reduction, ignore_index: self.ignore_index, weight: self.weight };
        labels.loss("logits", logits, targets, |logits, negative| {
            let log_p = logits.log_softmax(-1);
            let hard = negative(log_p);
            if smoothing == 0.0 {
                return hard;
            }
            let classes = log_p.shape().map_or(1, |shape| shape.last().copied().unwrap_or(1).max(1));
            let soft = self.weight.map_or(log_p, |weight| log_p * weight).sum_axes(-1);
            hard * (1.0 - smoothing) - soft * (smoothing / classes as f64)
        })
    }
}

/// The mean cross-entropy of `logits` `[.., C]` against class indices `targets` `[..]`; see [`CrossEntropy`].
#[track_caller]
pub fn cross_entropy<'t>(logits: Var<'t>, targets: impl Operand<'t>) -> Var<'t> {
    CrossEntropy::default().loss(logits, targets)
}

/// The negative log-likelihood `−w_target·log p_i,target` of class indices, given log-probabilities: what [`CrossEntropy`] is of logits.
#[derive(Clone, Copy, Debug)]
pub struct Nll<'t> {
    /// The reduction; the mean is over the targets that count, by their weights.
    pub reduction: Reduction<'t>,
    /// Targets of this value contribute nothing. PyTorch's default is −100.
    pub ignore_index: i64,
    /// A weight for each class, `[C]`; none by default.
    pub weight: Option<Var<'t>>,
}

impl Default for Nll<'_> {
    fn default() -> Self {
        Nll { reduction: Reduction::Mean, ignore_index: -100, weight: None }
    }
}

impl<'t> Nll<'t> {
    /// The loss of log-probabilities `[.., C]` against `targets` `[..]`; see [`CrossEntropy::loss`].
    #[track_caller]
    pub fn loss(&self, log_probs: Var<'t>, targets: impl Operand<'t>) -> Var<'t> {
        let _named = log_probs.tape().composition("nll");
        let Nll { reduction, ignore_index, weight } = *self;
        let labels = Labels { name: "nll", reduction, ignore_index, weight };
        labels.loss("log-probabilities", log_probs, targets, |log_p, negative| negative(log_p))
    }
}

/// The mean negative log-likelihood of class indices `targets` `[..]`, given log-probabilities `[.., C]`; see [`Nll`].
#[track_caller]
pub fn nll<'t>(log_probs: Var<'t>, targets: impl Operand<'t>) -> Var<'t> {
    Nll::default().loss(log_probs, targets)
}

/// Which targets count, and how much.
struct Labels<'t> {
    name: &'static str,
    reduction: Reduction<'t>,
    ignore_index: i64,
    weight: Option<Var<'t>>,
}

impl<'t> Labels<'t> {
    /// The losses that `each` makes of `scores` (and of a function that gives `−w·log p` at the targets), reduced.
    #[track_caller]
    fn loss(
        &self,
        what: &str,
        scores: Var<'t>,
        targets: impl Operand<'t>,
        each: impl FnOnce(Var<'t>, &dyn Fn(Var<'t>) -> Var<'t>) -> Var<'t>,
    ) -> Var<'t> {
        let targets = targets.resolve(scores.tape(), Some(DType::I64));
        let (Ok(shape), Ok(dtype)) = (scores.shape(), scores.dtype()) else { return scores };
        let Ok(found) = targets.shape() else { return targets };
        if shape.rank() == 0 || shape[..shape.rank() - 1] != found[..] || targets.dtype().ok() != Some(DType::I64) {
            let own = targets.dtype().map_or(String::new(), |d| d.to_string());
            let found = format!("the {what} are {shape}, the targets {own} {found}");
            let remedy = format!("give {what} [.., C] and i64 class indices [..]");
            return scores.invalid(self.name, found, &remedy);
        }
        let classes = shape[shape.rank() - 1];
        if let Some(own) = self.weight.and_then(|weight| weight.shape().ok()).filter(|own| own[..] != [classes]) {
            let found = format!("the class weights are {own}, the {what} {shape}");
            return scores.invalid(self.name, found, "give one weight for each class, [C]");
        }
        if let Some(broken) = self.reduction.misfit(self.name, &found) {
            return broken;
        }
        let mut counts = targets.ne(self.ignore_index);
        if let Some(mask) = self.reduction.mask() {
            let own = mask.shape().map_or(0, |own| own.rank());
            counts = counts.and((own..found.rank()).fold(mask, |mask, _| mask.unsqueeze(-1)));
        }
        let chosen = counts.select(targets, 0).unsqueeze(-1);
        let pick = |values: Var<'t>| values.gather(-1, chosen).squeeze(-1);
        let weights = self.weight.map(|weight| pick(weight.expand(shape)));
        let negative = |log_p: Var<'t>| -weights.map_or(pick(log_p), |w| w * pick(log_p));
        let losses = counts.select(each(self.reduction.guard(scores, 0.0), &negative), 0.0);
        match self.reduction {
            Reduction::Mean | Reduction::MeanOver(_) => {
                let parts = weights.map_or(counts.cast(dtype), |w| counts.select(w, 0.0));
                losses.sum() / parts.sum()
            }
            Reduction::Sum | Reduction::SumOver(_) => losses.sum(),
            Reduction::None | Reduction::NoneOver(_) => losses,
        }
    }
}
