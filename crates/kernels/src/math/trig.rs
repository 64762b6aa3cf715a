//! `sin`, `cos` and `atan`.
//!
//! x = n π/2 + r with |r| ≤ π/4, where π/2 is taken in three parts (33, 33 and 53 bits: the products
//! of the first two with n < 2^20 are exact). Then n mod 4 says which of ±sin r, ±cos r to take.

use super::poly;

/// π/2 in parts.
const HALF_PI: [f64; 3] = [1.570_796_326_734_125_6, 6.077_100_506_303_966e-11, 2.022_266_248_795_950_6e-21];

/// n of x = n π/2 + r, as a float and as an integer of which the lowest two bits count.
#[inline(always)]
fn quarter_turns<const FMA: bool>(x: f64) -> (f64, u64) {
    const ROUNDER: f64 = 1.5 * (1u64 << 52) as f64;
    let t = super::f64::fma::<FMA>(x, std::f64::consts::FRAC_2_PI, ROUNDER);
    (t - ROUNDER, t.to_bits())
}

/// The functions of one type: `$reduced` gives sin r, cos r and the quarter turns of x, `$atan` is
/// (atan t - t)/t³ in z = t².
macro_rules! trigonometry {
    ($f:ident, $u:ident, sign $sign:literal, |$x:ident| $reduced:expr, half_pi tail $pi_lo:literal, |$z:ident| $atan:expr) => {
        /// For this type.
        pub(crate) mod $f {
            use super::super::f64 as wide;
            use super::super::$f::{at_least, at_most, fma};
            use super::{HALF_PI, poly, quarter_turns};

            #[inline(always)]
            fn reduced<const FMA: bool>($x: $f) -> ($f, $f, $u) {
                $reduced
            }

            #[inline(always)]
            pub(crate) fn sin<const FMA: bool>(x: $f) -> $f {
                // Of |x|, so that the sine is odd, of zeros and of huge arguments too.
                let (sin, cos, q) = reduced::<FMA>(x.abs());
                let v = if q & 1 == 0 { sin } else { cos };
                let sign = ((q & 2) << $sign) ^ (x.to_bits() & (2 << $sign));
                $f::from_bits(v.to_bits() ^ sign)
            }

            #[inline(always)]
            pub(crate) fn cos<const FMA: bool>(x: $f) -> $f {
                let (sin, cos, q) = reduced::<FMA>(x.abs());
                let v = if q & 1 == 0 { cos } else { sin };
                $f::from_bits(v.to_bits() ^ ((q.wrapping_add(1) & 2) << $sign))
            }

            #[inline(always)]
            pub(crate) fn atan<const FMA: bool>(x: $f) -> $f {
                // With t = (a - tan b)/(1 + a tan b) for b = 0, π/4 or π/2, |t| ≤ tan(π/8) and
                // atan a = b + atan t. One division serves all three.
                let a = x.abs();
                let (middle, far) = (a > 0.414_213_56, a > 2.414_213_6);
                let num = if middle { a - 1.0 } else { a };
                let num = if far { -1.0 } else { num };
                let den = if middle { a + 1.0 } else { 1.0 };
                let den = if far { a } else { den };
                // π/2 with its rounding error, times b / (π/2).
                let b = if middle { 0.5 } else { 0.0 };
                let b = if far { 1.0 } else { b };
                let t = num / den;
                let $z = t * t;
                let p = fma::<FMA>($z * t, $atan, b * $pi_lo);
                fma::<FMA>(b, std::$f::consts::FRAC_PI_2, t + p).copysign(x)
            }
        }
    };
}

trigonometry! {
    f32, u32, sign 30,
    // Reducing in `f64` leaves r correct to the last bit even where it cancels.
    |x| {
        let (n, q) = quarter_turns::<FMA>(x as f64);
        let r = wide::fma::<FMA>(n, -HALF_PI[0], x as f64);
        let r = wide::fma::<FMA>(n, -HALF_PI[1], r);
        let r = wide::fma::<FMA>(n, -HALF_PI[2], r) as f32;
        // For an x beyond the range of the reduction.
        let r = at_least(at_most(r, 0.8), -0.8);
        let z = r * r;
        // (sin r - r)/r³ and (cos r - 1 + r²/2)/r⁴ on |r| ≤ π/4, errors 2^-28 and 2^-33.
        let s = poly!(z; -0.166_666_55, 0.008_332_191, -0.000_195_186_05);
        let c = poly!(z; 0.041_666_646, -0.001_388_730_1, 2.443_068_8e-5);
        let sin = fma::<FMA>(z * r, s, r);
        let cos = fma::<FMA>(z * z, c, fma::<FMA>(-0.5, z, 1.0));
        (sin, cos, q as u32)
    },
    half_pi tail -4.371_139e-8,
    // On |t| ≤ tan(π/8), error 2^-30.
    |z| poly!(z; -0.333_333_16, 0.199_985_3, -0.142_444_24, 0.105_993_8, -0.060_904_406)
}

trigonometry! {
    f64, u64, sign 62,
    |x| {
        let (n, q) = quarter_turns::<FMA>(x);
        // r in two parts, as it cancels near the multiples of π/2: `a` is exact and so is the error
        // of `b`.
        let a = wide::fma::<FMA>(n, -HALF_PI[0], x);
        let w = n * HALF_PI[1];
        let b = a - w;
        let error = (a - b) - w;
        let low = wide::fma::<FMA>(n, -HALF_PI[2], error);
        let r = b + low;
        let low = (b - r) + low;
        // For an x beyond the range of the reduction.
        let r = at_least(at_most(r, 0.8), -0.8);
        let low = at_least(at_most(low, 1e-15), -1e-15);
        let z = r * r;
        // (sin r - r)/r³ and (cos r - 1 + r²/2)/r⁴ on |r| ≤ π/4, errors 2^-58 and 2^-64.
        let s = poly!(z; -0.166_666_666_666_666_32, 0.008_333_333_333_322_472,
            -0.000_198_412_698_298_341_19, 2.755_731_369_621_133e-6, -2.505_075_822_994_755e-8,
            1.589_677_722_821_282e-10);
        let c = poly!(z; 0.041_666_666_666_666_6, -0.001_388_888_888_887_446_3,
            2.480_158_728_965_878_4e-5, -2.755_731_439_579_317_3e-7, 2.087_572_837_921_808e-9,
            -1.135_987_865_587_331_1e-11);
        // sin(r + low) = sin r + low cos r, cos(r + low) = cos r - low sin r.
        let half = 0.5 * z;
        let sin = r + fma::<FMA>(z * r, s, fma::<FMA>(-low, half, low));
        let one = 1.0 - half;
        // The error of 1 - z/2 is exact too.
        let rest = fma::<FMA>(-r, low, (1.0 - one) - half);
        let cos = one + fma::<FMA>(z * z, c, rest);
        (sin, cos, q)
    },
    half_pi tail 6.123_233_995_736_766e-17,
    // On |t| ≤ tan(π/8), error 2^-59.
    |z| poly!(z; -0.333_333_333_333_332, 0.199_999_999_999_537_7, -0.142_857_142_802_125_03,
        0.111_111_107_841_702_56, -0.090_908_977_759_758_65, 0.076_920_605_028_585_18,
        -0.066_631_069_107_902_12, 0.058_479_071_253_125_36, -0.050_393_715_376_449_14,
        0.038_065_922_145_924_906, -0.017_908_340_211_462_27)
}
