//! Initial values of parameters, and random data: F32, drawn from a generator of the caller's.
//!
//! Matrices are `[in, out]`: the fan-in is the number of rows. A matrix of several gates side by side is drawn gate by
//! gate with [`blocks`], so that its fan-out is that of one gate.

use rand::Rng;
use std::ops::Range;
use wengert_autograd::{DType, Param, Result, Tape, Tensor, Var};

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

/// Values uniform in `[low, high)`.
pub fn between(shape: &[usize], low: f64, high: f64, rng: &mut impl Rng) -> Tensor {
    draw(shape, || low + rng.random::<f64>() * (high - low))
}

/// Values from the normal distribution with mean 0 and standard deviation `std` (Box & Muller 1958).
pub fn normal(shape: &[usize], std: f64, rng: &mut impl Rng) -> Tensor {
    draw(shape, || std * gaussian(rng))
}

/// Zeros.
pub fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F32)
}

/// Ones.
pub fn ones(shape: &[usize]) -> Tensor {
    Tensor::full(shape, 1.0, DType::F32)
}

/// Draws the parameters of a layer with `hidden` units from `uniform(±1/√hidden)`, as PyTorch's recurrent layers do.
///
/// ```
/// use rand::{SeedableRng, rngs::StdRng};
/// use wengert_nn::init;
/// let mut rng = StdRng::seed_from_u64(0);
/// let mut draw = init::recurrent(16, &mut rng);
/// let (u, b) = (draw(&[16, 64]), draw(&[64]));
/// assert!(u.value().to_f64_vec().iter().chain(&b.value().to_f64_vec()).all(|v| v.abs() <= 0.25));
/// ```
pub fn recurrent(hidden: usize, rng: &mut impl Rng) -> impl FnMut(&[usize]) -> Param {
    let bound = 1.0 / (hidden.max(1) as f64).sqrt();
    move |shape| Param::new(uniform(shape, bound, rng))
}

/// `uniform(±gain·√(6 / (in + out)))`: keeps the variance of values and of derivatives through a linear layer
/// (Glorot & Bengio 2010). The gain is 1 for linear, 5/3 for tanh in PyTorch.
pub fn xavier_uniform(shape: &[usize], gain: f64, rng: &mut impl Rng) -> Tensor {
    uniform(shape, 3f64.sqrt() * xavier(shape, gain), rng)
}

/// The normal distribution with standard deviation `gain·√(2 / (in + out))` (Glorot & Bengio 2010).
pub fn xavier_normal(shape: &[usize], gain: f64, rng: &mut impl Rng) -> Tensor {
    normal(shape, xavier(shape, gain), rng)
}

/// `uniform(±√(6 / in))`: keeps the variance through a linear layer and ReLU (He et al. 2015, arXiv 1502.01852).
pub fn he_uniform(shape: &[usize], rng: &mut impl Rng) -> Tensor {
    uniform(shape, 3f64.sqrt() * he(shape), rng)
}

/// The normal distribution with standard deviation `√(2 / in)` (He et al. 2015, arXiv 1502.01852).
pub fn he_normal(shape: &[usize], rng: &mut impl Rng) -> Tensor {
    normal(shape, he(shape), rng)
}

/// A random matrix whose columns, or whose rows if these are fewer, are orthogonal with norm `gain`, uniform among all such
/// (Saxe, McClelland & Ganguli 2014, arXiv 1312.6120).
pub fn orthogonal([rows, columns]: [usize; 2], gain: f64, rng: &mut impl Rng) -> Tensor {
    let (count, length) = (rows.min(columns), rows.max(columns));
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(count);
    while basis.len() < count {
        let mut v: Vec<f64> = (0..length).map(|_| gaussian(rng)).collect();
        // Twice, since one pass of Gram and Schmidt leaves what rounding left.
        for b in basis.iter().chain(&basis) {
            let along = dot(&v, b);
            v.iter_mut().zip(b).for_each(|(v, b)| *v -= along * b);
        }
        let norm = dot(&v, &v).sqrt();
        // A draw in the span of the others has no direction left; there is another.
        if norm > 1e-6 {
            basis.push(v.into_iter().map(|v| v / norm).collect());
        }
    }
    matrix([rows, columns], |i, j| gain * if rows >= columns { basis[j][i] } else { basis[i][j] })
}

/// `scale` on the diagonal of an `[n, n]` matrix, else 0 (Le, Jaitly & Hinton 2015, arXiv 1504.00941).
pub fn identity(n: usize, scale: f64) -> Tensor {
    matrix([n, n], |i, j| if i == j { scale } else { 0.0 })
}

/// Every column, thus the input of every unit, has `nonzero` entries from the normal distribution with standard deviation `std`;
/// all others are 0 (Martens 2010: 15 of them). All are drawn if the column is no longer than that.
pub fn sparse([rows, columns]: [usize; 2], nonzero: usize, std: f64, rng: &mut impl Rng) -> Tensor {
    let mut picked = vec![vec![0.0; rows]; columns];
    for column in &mut picked {
        for row in rand::seq::index::sample(rng, rows, nonzero.min(rows)) {
            column[row] = std * gaussian(rng);
        }
    }
    matrix([rows, columns], |i, j| picked[j][i])
}

/// Several matrices of the same number of rows side by side: one for each gate.
///
/// ```
/// use rand::{SeedableRng, rngs::StdRng};
/// use wengert_nn::{LstmCell, init};
/// let mut rng = StdRng::seed_from_u64(0);
/// let cell = LstmCell::new(3, 8, &mut rng);
/// cell.u.set(init::blocks(4, || init::orthogonal([8, 8], 1.0, &mut rng))?)?;
/// cell.w.set(init::blocks(4, || init::xavier_uniform(&[3, 8], 1.0, &mut rng))?)?;
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
///
/// # Errors
/// If the drawn tensors do not have as many rows.
#[track_caller]
pub fn blocks(n: usize, mut one: impl FnMut() -> Tensor) -> Result<Tensor> {
    let tape = Tape::inference();
    let parts: Vec<Var<'_>> = (0..n).map(|_| tape.constant(one())).collect();
    tape.concat(&parts, -1).value()
}

/// Biases of forget gates for memories of 1 to `longest` steps, `log(uniform(1, longest − 1))` of shape `[hidden]`: a unit whose gate
/// is `σ(b)` keeps its content about `1 + eᵇ` steps (Tallec & Ollivier 2018, arXiv 1804.11188). An input gate gets the negative.
pub fn chrono(hidden: usize, longest: f64, rng: &mut impl Rng) -> Tensor {
    draw(&[hidden], || (1.0 + rng.random::<f64>() * (longest - 2.0).max(0.0)).ln())
}

/// Changes some entries of a bias vector in place, such as those of one gate: `change(i, value)` is the i-th one's new value.
///
/// ```
/// use wengert_autograd::Param;
/// use wengert_nn::init;
/// // The second gate of four starts by remembering.
/// let b = Param::new(init::zeros(&[8]));
/// init::change(&b, 2..4, |_, b| b + 1.0);
/// assert_eq!(b.value().to_f64_vec(), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
/// ```
pub fn change(bias: &Param, entries: Range<usize>, mut change: impl FnMut(usize, f64) -> f64) {
    let old = bias.value();
    let mut values = old.to_f64_vec();
    for (i, value) in values.iter_mut().skip(entries.start).take(entries.len()).enumerate() {
        *value = change(i, *value);
    }
    let new = Tensor::from_vec(values, old.shape()).map(|new| new.cast(old.dtype()));
    // The shape and type are those that the parameter has.
    let set = new.and_then(|new| bias.set(new));
    debug_assert!(set.is_ok());
}

/// Adds `by` to the biases of a forget gate. 1 is usual: a cell then starts by remembering (Gers, Schmidhuber & Cummins 2000;
/// Jozefowicz, Zaremba & Sutskever 2015).
pub fn forget_bias(bias: &Param, gate: Range<usize>, by: f64) {
    change(bias, gate, |_, b| b + by);
}

fn xavier(shape: &[usize], gain: f64) -> f64 {
    let [fan_in, fan_out] = fans(shape);
    gain * (2.0 / (fan_in + fan_out)).sqrt()
}

fn he(shape: &[usize]) -> f64 {
    let [fan_in, _] = fans(shape);
    (2.0 / fan_in).sqrt()
}

/// The extents of the first and the last axis, at least 1.
fn fans(shape: &[usize]) -> [f64; 2] {
    [shape.first(), shape.last()].map(|n| n.copied().unwrap_or(1).max(1) as f64)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn gaussian(rng: &mut impl Rng) -> f64 {
    // 1 - u is in (0, 1], where the logarithm is finite.
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

fn matrix([rows, columns]: [usize; 2], value: impl Fn(usize, usize) -> f64) -> Tensor {
    let mut entries = (0..rows * columns).map(|n| value(n / columns, n % columns));
    draw(&[rows, columns], || entries.next().expect("one entry for each place"))
}

fn draw(shape: &[usize], mut value: impl FnMut() -> f64) -> Tensor {
    let n = shape.iter().product();
    let values: Vec<f32> = (0..n).map(|_| value() as f32).collect();
    Tensor::from_vec(values, shape).expect("as many values as the shape holds were drawn")
}
