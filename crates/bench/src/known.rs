//! Weights and inputs that any system can make, and what is told of the results: those who do the same work find the same.

use wengert::prelude::*;

/// `amplitude · sin(k + 1)` in element `k`.
pub(crate) fn wave(shape: &[usize], amplitude: f64, dtype: DType) -> Result<Tensor> {
    let n = shape.iter().product::<usize>();
    let values = (1..=n).map(|k| amplitude * (k as f64).sin()).collect();
    Ok(Tensor::from_vec(values, shape)?.cast(dtype))
}

/// Sets every parameter to a [wave] of amplitude 0.3.
pub(crate) fn set<'p>(params: impl IntoIterator<Item = &'p Param>) -> Result<()> {
    params.into_iter().try_for_each(|param| {
        let value = param.value();
        param.set(wave(value.shape(), 0.3, value.dtype())?)
    })
}

/// The 2-norm of all elements.
pub(crate) fn norm<'t>(tensors: impl IntoIterator<Item = &'t Tensor>) -> f64 {
    let squares = |tensor: &Tensor| tensor.to_f64_vec().iter().map(|v| v * v).sum::<f64>();
    tensors.into_iter().map(squares).sum::<f64>().sqrt()
}
