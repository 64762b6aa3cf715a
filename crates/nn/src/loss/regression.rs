//! Distances between numbers.

use super::Reduction;
use super::reduction::{elementwise, refused};
use wengert_autograd::{Operand, Var};

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
pub fn mse_with<'t>(prediction: Var<'t>, target: impl Operand<'t>, reduction: Reduction<'t>) -> Var<'t> {
    let _named = prediction.tape().composition("mse");
    elementwise("mse", prediction, target, reduction, |p, t| (p - t).square())
}

/// The mean absolute error, `1/n · Σ_i |prediction_i − target_i|`; arguments as for [`mse`].
#[track_caller]
pub fn l1<'t>(prediction: Var<'t>, target: impl Operand<'t>) -> Var<'t> {
    l1_with(prediction, target, Reduction::Mean)
}

/// The absolute error with a choice of [`Reduction`]; see [`l1`].
#[track_caller]
pub fn l1_with<'t>(prediction: Var<'t>, target: impl Operand<'t>, reduction: Reduction<'t>) -> Var<'t> {
    let _named = prediction.tape().composition("l1");
    elementwise("l1", prediction, target, reduction, |p, t| (p - t).abs())
}

/// The mean of Huber's loss (1964), quadratic up to `delta` and linear beyond; arguments as for [`mse`]:
///
/// ```text
/// d = prediction − target      loss = d²/2 if |d| ≤ delta, else delta·(|d| − delta/2)
/// ```
#[track_caller]
pub fn huber<'t>(prediction: Var<'t>, target: impl Operand<'t>, delta: f64) -> Var<'t> {
    huber_with(prediction, target, delta, Reduction::Mean)
}

/// Huber's loss with a choice of [`Reduction`]; see [`huber`].
#[track_caller]
pub fn huber_with<'t>(prediction: Var<'t>, target: impl Operand<'t>, delta: f64, reduction: Reduction<'t>) -> Var<'t> {
    let _named = prediction.tape().composition("huber");
    if let Some(broken) = refused(prediction, "huber", "delta", delta, delta > 0.0, "a positive number") {
        return broken;
    }
    elementwise("huber", prediction, target, reduction, |p, t| bent(p - t, delta))
}

/// The mean of Huber's loss divided by `beta`, so that its linear part has slope 1 (PyTorch's `SmoothL1Loss`); for `beta` 0 it is
/// [`l1`].
#[track_caller]
pub fn smooth_l1<'t>(prediction: Var<'t>, target: impl Operand<'t>, beta: f64) -> Var<'t> {
    smooth_l1_with(prediction, target, beta, Reduction::Mean)
}

/// [`smooth_l1`] with a choice of [`Reduction`].
#[track_caller]
pub fn smooth_l1_with<'t>(
    prediction: Var<'t>,
    target: impl Operand<'t>,
    beta: f64,
    reduction: Reduction<'t>,
) -> Var<'t> {
    let _named = prediction.tape().composition("smooth_l1");
    if let Some(broken) = refused(prediction, "smooth_l1", "beta", beta, beta >= 0.0, "0 or a positive number") {
        return broken;
    }
    elementwise("smooth_l1", prediction, target, reduction, |p, t| match beta {
        0.0 => (p - t).abs(),
        _ => bent(p - t, beta) / beta,
    })
}

/// `d²/2` up to `|d| = delta`, from there on the tangent.
#[track_caller]
fn bent(d: Var<'_>, delta: f64) -> Var<'_> {
    let near = d.clamp(-delta, delta);
    near * (d - near / 2.0)
}
