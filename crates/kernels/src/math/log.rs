//! Logarithms: `ln`, `ln_1p`, `log2`.
//!
//! A positive x is 2^e (1 + f) with 1 + f in [√½, √2), found by integer arithmetic on its bits, and
//! ln x = e ln 2 + ln(1 + f). The series f - f²/2 + … is summed smallest first, with f exact.

use super::poly;

macro_rules! logarithms {
    (
        $f:ident, $u:ident, mantissa $mantissa:literal, bias $bias:literal, sqrt_half $sqrt_half:literal,
        ln2 $hi:literal + $lo:literal, log2e tail $log2e_lo:literal, own argument below $tiny:literal,
        |$x:ident, $half_square:ident, $low:ident| $series:expr
    ) => {
        /// For this type.
        pub(crate) mod $f {
            use super::super::$f::fma;
            use super::poly;
            use std::$f::consts::LOG2_E;

            const BIAS: $u = $bias;
            /// The bits of √½.
            const SQRT_HALF: $u = $sqrt_half;
            const INTEGERS: $f = (1u64 << $mantissa) as $f;
            /// Two powers of two whose product is 1, to lift denormals into the normal range.
            const LIFT: $u = $mantissa + 2;
            // ln 2 in two parts; the first is short, so that its product with e is exact.
            pub(crate) const LN2_HI: $f = $hi;
            pub(crate) const LN2_LO: $f = $lo;

            /// For positive normal x = 2^e m with m in [√½, √2): the biased e as an integer, and m.
            #[inline(always)]
            pub(crate) fn decompose(x: $f) -> ($u, $f) {
                let k = x.to_bits().wrapping_add((BIAS << $mantissa) - SQRT_HALF);
                let m = (k & ((1 << $mantissa) - 1)).wrapping_add(SQRT_HALF);
                (k >> $mantissa, $f::from_bits(m))
            }

            /// The float of a biased exponent, without the bias.
            #[inline(always)]
            pub(crate) fn unbias(e: $u) -> $f {
                $f::from_bits(INTEGERS.to_bits() | e) - (INTEGERS + BIAS as $f)
            }

            /// e and f of a positive x = 2^e (1 + f), denormals included; rubbish for other x.
            #[inline(always)]
            pub(crate) fn split(x: $f) -> ($f, $f) {
                let denormal = x < $f::MIN_POSITIVE;
                let lifted = if denormal { x * (1u64 << LIFT) as $f } else { x };
                let (e, m) = decompose(lifted);
                (unbias(e) - if denormal { LIFT as $f } else { 0.0 }, m - 1.0)
            }

            /// e ln 2 + ln(1 + f).
            #[inline(always)]
            fn combine<const FMA: bool>(e: $f, $x: $f) -> $f {
                let $half_square = 0.5 * $x * $x;
                let $low = e * LN2_LO;
                let tail = $series;
                fma::<FMA>(e, LN2_HI, $x - ($half_square - tail))
            }

            /// Puts the special values of a logarithm at x into its result `r`.
            #[inline(always)]
            pub(crate) fn special(x: $f, r: $f) -> $f {
                let positive = if x < $f::INFINITY { r } else { x };
                let other = if x == 0.0 { $f::NEG_INFINITY } else { $f::NAN };
                if x > 0.0 { positive } else { other }
            }

            #[inline(always)]
            pub(crate) fn ln<const FMA: bool>(x: $f) -> $f {
                let (e, f) = split(x);
                special(x, combine::<FMA>(e, f))
            }

            #[inline(always)]
            pub(crate) fn log2<const FMA: bool>(x: $f) -> $f {
                let (e, f) = split(x);
                let l = combine::<FMA>(0.0, f);
                special(x, fma::<FMA>(l, LOG2_E, fma::<FMA>(l, $log2e_lo, e)))
            }

            #[inline(always)]
            pub(crate) fn ln_1p<const FMA: bool>(x: $f) -> $f {
                // u = 1 + x is rounded, but gives e; then f = x 2^-e + (2^-e - 1) anew from x. With
                // 2^(2-e), as 2^-e can be denormal.
                let u = 1.0 + x;
                let (e, _) = decompose(u);
                let s = $f::from_bits((2 * BIAS + 2).wrapping_sub(e) << $mantissa);
                let f = fma::<FMA>(0.25 * x, s, 0.25 * s - 1.0);
                let r = special(u, combine::<FMA>(unbias(e), f));
                // Keeps the sign of zero and the last bit of denormals.
                if x.abs() < $tiny { x } else { r }
            }
        }
    };
}

logarithms! {
    f32, u32, mantissa 23, bias 127, sqrt_half 0x3f35_04f3,
    ln2 0.693_145_75 + 1.428_606_8e-6, log2e tail 1.925_963e-8, own argument below 2e-8,
    // (ln(1 + f) - f + f²/2) / f³ on [√½ - 1, √2 - 1], error 2^-27 of ln(1 + f).
    |f, half_square, low| fma::<FMA>(
        f * (2.0 * half_square),
        poly!(f; 0.333_333_16, -0.250_008_14, 0.200_023_13, -0.166_244_49, 0.141_804_89,
              -0.131_291_46, 0.128_870_35, -0.078_653_88),
        low,
    )
}

logarithms! {
    f64, u64, mantissa 52, bias 1023, sqrt_half 0x3fe6_a09e_667f_3bcd,
    ln2 0.693_147_180_559_208_2 + 7.371_002_565_167_799e-13,
    log2e tail 2.035_527_374_093_103_3e-17, own argument below 4e-17,
    // With s = f / (2 + f), ln(1 + f) = 2 artanh s = f - s (f - R) and s f = f²/2 - s f²/2, where
    // R = 2 artanh(s)/s - 2 has half the terms of the series in f: R / s² for s² ≤ 0.0295, error
    // 2^-58 of ln(1 + f).
    |f, half_square, low| {
        let s = f / (2.0 + f);
        let z = s * s;
        let r = z * poly!(z; 0.666_666_666_666_673_5, 0.399_999_999_994_093_4,
            0.285_714_287_436_899_97, 0.222_221_984_288_570_12, 0.181_835_723_428_570_18,
            0.153_138_329_462_868_87, 0.147_982_467_430_034_35);
        fma::<FMA>(s, half_square + r, low)
    }
}
