//! Initial values of parameters.

use rand::Rng;
use wengert_autograd::{DType, Tensor};

/// Values uniform in `[-bound, bound)`, F32.
pub fn uniform(shape: &[usize], bound: f64, rng: &mut impl Rng) -> Tensor {
    let n = shape.iter().product();
    let values: Vec<f32> = (0..n).map(|_| ((rng.random::<f64>() * 2.0 - 1.0) * bound) as f32).collect();
    // As many values as the shape holds were drawn.
    Tensor::from_vec(values, shape).unwrap_or_else(|_| Tensor::zeros(shape, DType::F32))
}

/// Zeros, F32.
pub fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F32)
}
