//! Quantiles in place of means.

use super::Reduction;
use super::reduction::{elementwise, refused};
use wengert_autograd::{DType, Operand, Tensor, Var};

/// The mean pinball loss, which the `quantile` of the target's distribution minimises (Koenker & Bassett 1978); arguments as for
/// [`mse`](super::mse):
///
/// ```text
/// d = target − prediction      loss = max(quantile·d, (quantile − 1)·d)
/// ```
#[track_caller]
pub fn pinball<'t>(prediction: Var<'t>, target: impl Operand<'t>, quantile: f64) -> Var<'t> {
    pinball_with(prediction, target, quantile, Reduction::Mean)
}

/// [`pinball`] with a choice of [`Reduction`].
#[track_caller]
pub fn pinball_with<'t>(
    prediction: Var<'t>,
    target: impl Operand<'t>,
    quantile: f64,
    reduction: Reduction<'t>,
) -> Var<'t> {
    let _named = prediction.tape().composition("pinball");
    if let Some(broken) = outside(prediction, "pinball", quantile) {
        return broken;
    }
    elementwise("pinball", prediction, target, reduction, |p, t| {
        let d = t - p;
        (d * quantile).maximum(d * (quantile - 1.0))
    })
}

/// The mean [`pinball`] loss of several quantiles at once: predictions `[.., Q]`, one target `[..]` for all of them.
///
/// ```
/// use wengert_autograd::{Tape, Tensor};
/// use wengert_nn::loss;
/// let tape = Tape::new();
/// let bands = tape.var(Tensor::from_slice(&[1.0f64, 2.0, 4.0], [1, 3])?);
/// let loss = loss::quantiles(bands, &Tensor::from_slice(&[3.0f64], [1])?, &[0.1, 0.5, 0.9]);
/// assert!((loss.item()? - (0.2 + 0.5 + 0.1) / 3.0).abs() < 1e-15);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[track_caller]
pub fn quantiles<'t>(predictions: Var<'t>, target: impl Operand<'t>, quantiles: &[f64]) -> Var<'t> {
    quantiles_with(predictions, target, quantiles, Reduction::Mean)
}

/// [`quantiles`] with a choice of [`Reduction`]; without reduction the losses are `[.., Q]`.
#[track_caller]
pub fn quantiles_with<'t>(
    predictions: Var<'t>,
    target: impl Operand<'t>,
    quantiles: &[f64],
    reduction: Reduction<'t>,
) -> Var<'t> {
    let tape = predictions.tape();
    let _named = tape.composition("quantiles");
    let target = target.resolve(tape, predictions.dtype().ok());
    let (Ok(shape), Ok(own), Ok(dtype)) = (predictions.shape(), target.shape(), predictions.dtype()) else {
        return if predictions.shape().is_err() { predictions } else { target };
    };
    if let Some(broken) = quantiles.iter().find_map(|q| outside(predictions, "quantiles", *q)) {
        return broken;
    }
    if shape.last() != Some(&quantiles.len()) || own[..] != shape[..shape.rank() - 1] {
        let found = format!("the predictions are {shape}, the target {own}, for {} quantiles", quantiles.len());
        return predictions.invalid("quantiles", found, "give predictions [.., Q] and a target [..]");
    }
    let levels = Tensor::from_slice(quantiles, [quantiles.len()]).expect("one entry for each quantile");
    let levels = tape.constant(levels.cast(if dtype.is_float() { dtype } else { DType::F32 }));
    elementwise("quantiles", predictions, target.unsqueeze(-1).expand(shape), reduction, |p, t| {
        let d = t - p;
        (d * levels).maximum(d * (levels - 1.0))
    })
}

#[track_caller]
fn outside<'t>(like: Var<'t>, name: &str, quantile: f64) -> Option<Var<'t>> {
    let fine = quantile > 0.0 && quantile < 1.0;
    refused(like, name, "quantile", quantile, fine, "a number between 0 and 1")
}
