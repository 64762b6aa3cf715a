//! Powers, as e^(e ln |x|) with the logarithm in more digits than the result.

/// The special cases of IEEE 754 `pow`, given the power `r` of |x|.
macro_rules! specials {
    ($f:ident) => {
        /// Puts sign and special values of x^e into `r` = |x|^e.
        #[inline(always)]
        fn specials<const FMA: bool>(x: $f, e: $f, r: $f) -> $f {
            use super::super::round::$f::trunc;
            let integer = trunc::<FMA>(e) == e;
            // Infinity and every large float count as even.
            let half = 0.5 * e;
            let odd = integer & (trunc::<FMA>(half) != half);
            let r = if odd { r.copysign(x) } else { r };
            let r = if (x < 0.0) & (x > $f::NEG_INFINITY) & !integer { $f::NAN } else { r };
            let unit = (e == 0.0) | (x == 1.0) | ((x == -1.0) & (e.abs() == $f::INFINITY));
            if unit { 1.0 } else { r }
        }
    };
}

/// For this type.
pub(crate) mod f32 {
    use super::super::f64::{at_least, at_most, fma};
    use super::super::{exp, log, poly};
    specials!(f32);

    /// In `f64`, with polynomials just good enough for `f32`.
    #[inline(always)]
    pub(crate) fn pow<const FMA: bool>(x: f32, e: f32) -> f32 {
        let a = x.abs() as f64;
        let (k, m) = log::f64::decompose(a);
        let s = (m - 1.0) / (m + 1.0);
        let z = s * s;
        // (2 artanh(s)/s - 2)/s² for s² ≤ 0.0295, error 2^-36 of the logarithm.
        let r = poly!(z; 2.0, 0.666_666_656_393_839_9, 0.400_003_367_501_635_45,
            0.285_371_997_702_198_57, 0.235_843_709_472_304_96);
        let l = fma::<FMA>(log::f64::unbias(k), std::f64::consts::LN_2, s * r);
        let l = log::f64::special(a, l);
        // Within the clamps is all that an `f32` can hold; the conversion rounds it, to a denormal or
        // infinity too.
        let t = at_least(at_most(e as f64 * l, 200.0), -200.0);
        let (r, n) = exp::f64::split::<FMA>(t, exp::f64::BIAS);
        // (e^r - 1 - r)/r² on |r| ≤ 0.3472, error 2^-34 of e^r.
        let p = poly!(r; 1.0, 1.0, 0.500_000_007_668_896_5, 0.166_666_668_607_946_57,
            0.041_666_272_055_942_95, 0.008_333_264_271_052_134, 0.001_394_600_026_947_309,
            0.000_199_184_575_222_843_14);
        specials::<FMA>(x, e, (p * exp::f64::power(n)) as f32)
    }
}

/// For this type.
pub(crate) mod f64 {
    use super::super::f64::{at_least, at_most, fma};
    use super::super::{exp, log, poly};
    specials!(f64);

    /// a b as the rounded product and its error.
    #[inline(always)]
    fn product<const FMA: bool>(a: f64, b: f64) -> (f64, f64) {
        let p = a * b;
        if FMA {
            return (p, a.mul_add(b, -p));
        }
        // Dekker: halves of 26 bits have exact products.
        let halves = |v: f64| {
            let t = v * 134_217_729.0;
            let hi = t - (t - v);
            (hi, v - hi)
        };
        let ((ah, al), (bh, bl)) = (halves(a), halves(b));
        (p, ((ah * bh - p) + ah * bl + al * bh) + al * bl)
    }

    /// a + b as the rounded sum and its error.
    #[inline(always)]
    fn sum(a: f64, b: f64) -> (f64, f64) {
        let s = a + b;
        let v = s - a;
        (s, (a - (s - v)) + (b - v))
    }

    /// The logarithm of a positive x as the sum of two floats, with relative error around 2^-58.
    #[inline(always)]
    fn ln<const FMA: bool>(x: f64) -> (f64, f64) {
        let (e, f) = log::f64::split(x);
        // e ln 2 + f - f²/2 in two parts, the remaining terms of the series in one.
        let (square, square_low) = product::<FMA>(f, f);
        let s = f / (2.0 + f);
        let z = s * s;
        let r = z * poly!(z; 0.666_666_666_666_666_6, 0.400_000_000_000_049_4,
            0.285_714_285_694_012_5, 0.222_222_226_088_476_67, 0.181_817_781_822_480_2,
            0.153_869_971_689_289_62, 0.132_519_475_585_49, 0.132_366_934_771_299_93);
        let tail = fma::<FMA>(s, fma::<FMA>(0.5, square, r), e * log::f64::LN2_LO);
        let (a, a_low) = sum(e * log::f64::LN2_HI, f);
        let (b, b_low) = sum(a, -0.5 * square);
        let low = (a_low + b_low) + (tail - 0.5 * square_low);
        let hi = b + low;
        (hi, (b - hi) + low)
    }

    #[inline(always)]
    pub(crate) fn pow<const FMA: bool>(x: f64, e: f64) -> f64 {
        let a = x.abs();
        let (hi, low) = ln::<FMA>(a);
        let hi = log::f64::special(a, hi);
        // A larger exponent gives the same power, but its halves would overflow. A NaN stays.
        let near = if e.abs() > 1e30 { 1e30f64.copysign(e) } else { e };
        let (p, p_low) = product::<FMA>(near, hi);
        let p_low = fma::<FMA>(near, low, p_low);
        // Beyond these the power overflows or vanishes and the low part may be NaN.
        let inside = p.abs() < 1000.0;
        let p = at_least(at_most(p, 1000.0), -1000.0);
        let p_low = if inside { p_low } else { 0.0 };
        let (m, n) = exp::f64::reduce::<FMA>(p, 2 * exp::f64::BIAS);
        // e^(p + p_low) = e^p (1 + p_low), applied before an overflow.
        let m = 1.0 + m;
        let (s1, s2) = exp::f64::two_powers(n);
        let r = fma::<FMA>(m, p_low, m) * s1 * s2;
        specials::<FMA>(x, e, r)
    }
}
