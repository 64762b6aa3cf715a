//! Losses: scalars to be minimised, composed of recorded operations.

use wengert_autograd::{DType, Operand, Var};

/// How a loss is made of the losses of single elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// Their mean; NaN if there are none.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// None: one loss for each element.
    None,
}

impl Reduction {
    #[track_caller]
    fn of(self, losses: Var<'_>) -> Var<'_> {
        match self {
            Reduction::Mean => losses.mean(),
            Reduction::Sum => losses.sum(),
            Reduction::None => losses,
        }
    }
}

/// The mean squared error over all elements:
///
/// ```text
/// mse = 1/n · Σ_i (prediction_i − target_i)²
/// ```
///
/// The target has the prediction's shape and element type, or is a number. Another shape is an error, even where
/// it would broadcast: `[N]` against `[N, 1]` would silently compare everything with everything.
///
/// ```
/// use wengert_autograd::{Tape, Tensor};
/// use wengert_nn::loss;
/// let tape = Tape::new();
/// let prediction = tape.var(Tensor::from_slice(&[1.0f32, 2.0, 3.0], [3])?);
/// let target = Tensor::from_slice(&[1.0f32, 2.0, 6.0], [3])?;
/// assert_eq!(loss::mse(prediction, &target).item()?, 3.0);
/// let error = loss::mse(prediction, &target.reshape([3, 1])?).item().unwrap_err();
/// assert!(error.to_string().contains("the prediction is [3], the target [3, 1]"));
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[track_caller]
pub fn mse<'t>(prediction: Var<'t>, target: impl Operand<'t>) -> Var<'t> {
    mse_with(prediction, target, Reduction::Mean)
}

/// The squared error `(prediction − target)²` with a choice of [`Reduction`]; see [`mse`].
#[track_caller]
pub fn mse_with<'t>(prediction: Var<'t>, target: impl Operand<'t>, reduction: Reduction) -> Var<'t> {
    let _named = prediction.tape().composition("mse");
    let target = target.resolve(prediction.tape(), prediction.dtype().ok());
    if let (Ok(p), Ok(t)) = (prediction.shape(), target.shape())
        && p != t
        && t.rank() > 0
    {
        let found = format!("the prediction is {p}, the target {t}");
        return prediction.invalid("mse", found, "give both the same shape (reshape, squeeze)");
    }
    reduction.of((prediction - target).square())
}

/// The cross-entropy of class logits against class indices, computed stably (the largest logit is subtracted first):
///
/// ```text
/// loss_i = −log softmax(logits_i)[target_i] = log Σ_c exp(logits_ic) − logits_i,target
/// mean   = Σ_i loss_i / (number of targets that are not ignored)
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
pub struct CrossEntropy {
    /// The reduction; the mean is over the targets that count.
    pub reduction: Reduction,
    /// Targets of this value contribute nothing. PyTorch's default is −100.
    pub ignore_index: i64,
}

impl Default for CrossEntropy {
    fn default() -> Self {
        CrossEntropy { reduction: Reduction::Mean, ignore_index: -100 }
    }
}

impl CrossEntropy {
    /// The loss of `logits` `[.., C]` against `targets` `[..]` (I64, in `0..C`, or `ignore_index`). Without reduction
    /// it has the shape of the targets, and 0 at those that are ignored.
    ///
    /// A target outside of the classes is an error when the program runs. If every target is ignored, the mean is NaN, as
    /// in PyTorch.
    #[track_caller]
    pub fn loss<'t>(&self, logits: Var<'t>, targets: impl Operand<'t>) -> Var<'t> {
        let _named = logits.tape().composition("cross_entropy");
        let targets = targets.resolve(logits.tape(), Some(DType::I64));
        let (Ok(shape), Ok(dtype)) = (logits.shape(), logits.dtype()) else { return logits };
        let Ok(found) = targets.shape() else { return targets };
        if shape.rank() == 0 || shape[..shape.rank() - 1] != found[..] || targets.dtype().ok() != Some(DType::I64) {
            let found = format!(
                "the logits are {shape}, the targets {} {found}",
                targets.dtype().map_or(String::new(), |d| d.to_string())
            );
            return logits.invalid("cross_entropy", found, "give logits [.., C] and i64 class indices [..]");
        }
        let counts = targets.ne(self.ignore_index);
        let chosen = counts.select(targets, 0).unsqueeze(-1);
        let picked = logits.log_softmax(-1).gather(-1, chosen).squeeze(-1);
        let losses = counts.select(-picked, 0.0);
        match self.reduction {
            Reduction::Mean => losses.sum() / counts.cast(dtype).sum(),
            other => other.of(losses),
        }
    }
}

/// The mean cross-entropy of `logits` `[.., C]` against class indices `targets` `[..]`; see [`CrossEntropy`].
#[track_caller]
pub fn cross_entropy<'t>(logits: Var<'t>, targets: impl Operand<'t>) -> Var<'t> {
    CrossEntropy::default().loss(logits, targets)
}
