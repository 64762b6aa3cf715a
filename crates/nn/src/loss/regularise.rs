//! What AWD-LSTM adds to a loss.

use wengert_autograd::Var;

/// The mean square of activations, small where they are small (AR of AWD-LSTM: Merity, Keskar & Socher 2018, arXiv 1708.02182, which adds
/// it for the dropped outputs of the last layer, times α = 2).
#[track_caller]
pub fn activation_regularization(y: Var<'_>) -> Var<'_> {
    let _named = y.tape().composition("activation_regularization");
    y.square().mean()
}

/// The mean squared difference of outputs `[T, ..]` from one step to the next, small where they change slowly (TAR of AWD-LSTM,
/// which adds it times β = 1); 0 for fewer than two steps.
#[track_caller]
pub fn temporal_activation_regularization(y: Var<'_>) -> Var<'_> {
    let name = "temporal_activation_regularization";
    let _named = y.tape().composition(name);
    let Ok(shape) = y.shape() else { return y };
    let Some(steps) = shape.first() else {
        return y.invalid(name, format!("the outputs are {shape}"), "give outputs with a leading time axis, [T, ..]");
    };
    let pairs = steps.saturating_sub(1);
    let change = y.narrow(0, steps - pairs, pairs) - y.narrow(0, 0, pairs);
    let count = (shape.numel() / (*steps).max(1) * pairs).max(1);
    change.square().sum() / count as f64
}
