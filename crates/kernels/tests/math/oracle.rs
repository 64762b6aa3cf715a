//! The functions to compare with, and distances.

/// erf for the `f32` oracle: 2/√π e^-x² Σ 2^n x^(2n+1) / (2n+1)!!, whose terms are all positive.
pub(crate) fn erf_series(x: f64) -> f64 {
    let a = x.abs();
    if a > 5.0 {
        return 1f64.copysign(x);
    }
    let (mut term, mut sum, mut n) = (a, a, 1.0);
    while term > sum * 1e-17 {
        term *= 2.0 * a * a / (2.0 * n + 1.0);
        sum += term;
        n += 1.0;
    }
    (sum * (-a * a).exp() * std::f64::consts::FRAC_2_SQRT_PI).copysign(x)
}

pub(crate) fn oracle(name: &str) -> fn(f64) -> f64 {
    match name {
        "exp" => f64::exp,
        "expm1" => f64::exp_m1,
        "tanh" => f64::tanh,
        "sigmoid" => |x| 1.0 / (1.0 + (-x).exp()),
        "ln" => f64::ln,
        "ln_1p" => f64::ln_1p,
        "log2" => f64::log2,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "atan" => f64::atan,
        "erf" => erf_series,
        "sqrt" => f64::sqrt,
        "floor" => f64::floor,
        "ceil" => f64::ceil,
        "trunc" => f64::trunc,
        "round" => f64::round_ties_even,
        _ => unreachable!("{name}"),
    }
}

/// The distance of `got` from `want` in units in the last place of an `f32` at `want`; 0 if `got` is
/// `want` rounded.
pub(crate) fn ulps32(got: f32, want: f64) -> f64 {
    let rounded = want as f32;
    if rounded.is_nan() || got.is_nan() {
        return if rounded.is_nan() == got.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if got == rounded {
        // Right to the last bit, if the sign of a zero is.
        let sign = got.is_sign_negative() == rounded.is_sign_negative();
        return if sign { 0.0 } else { f64::INFINITY };
    }
    let exponent = ((rounded.to_bits() >> 23 & 0xff) as i32).max(1) - 150;
    (got as f64 - want).abs() / 2f64.powi(exponent)
}

/// The distance between two `f64` in representable numbers.
pub(crate) fn ulps64(got: f64, want: f64) -> u64 {
    if got.is_nan() || want.is_nan() {
        return if got.is_nan() == want.is_nan() { 0 } else { u64::MAX };
    }
    let order = |v: f64| {
        let b = v.to_bits() as i64;
        if b < 0 { i64::MIN - b } else { b }
    };
    order(got).abs_diff(order(want))
}

/// The same bits, or both NaN (of which the payload is not promised).
pub(crate) fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}
