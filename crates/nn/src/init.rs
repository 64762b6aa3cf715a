//! Initial values of parameters, and random data: F32, drawn from a generator of the caller's.

use rand::Rng;
use wengert_autograd::{DType, Tensor};

/// Values uniform in `[-bound, bound)`.
///
/// ```
/// use rand::{SeedableRng, rngs::StdRng};
/// use wengert_nn::init;
/// let w = init::uniform(&[3, 4], 0.5, &mut StdRng::seed_from_u64(0));
/// assert!(w.to_f64_vec().iter().all(|v| v.abs() <= 0.5));
/// ```
pub fn uniform(shape: &[usize], bound: f64, rng: &mut impl Rng) -> Tensor {
    draw(shape, || (rng.random::<f64>() * 2.0 - 1.0) * bound)
}

/// Values from the normal distribution with mean 0 and standard deviation `std` (Box & Muller 1958).
pub fn normal(shape: &[usize], std: f64, rng: &mut impl Rng) -> Tensor {
    draw(shape, || {
        // 1 - u is in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
        std * radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
    })
}

/// Zeros.
pub fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F32)
}

fn draw(shape: &[usize], mut value: impl FnMut() -> f64) -> Tensor {
    let n = shape.iter().product();
    let values: Vec<f32> = (0..n).map(|_| value() as f32).collect();
    Tensor::from_vec(values, shape).expect("as many values as the shape holds were drawn")
}
