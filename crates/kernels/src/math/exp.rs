//! Exponentials and the squashing functions made of them: `exp`, `expm1`, `tanh`, `sigmoid`.
//!
//! All rest on x = n ln 2 + r with |r| ≤ ln(2)/2 and the polynomial p(r) = e^r - 1, so that
//! e^x = 2^n + 2^n p. Keeping p apart from 1 is what makes `expm1` and `tanh` accurate near 0.

use super::poly;

macro_rules! exponentials {
    (
        $f:ident, $u:ident, mantissa $mantissa:literal, bias $bias:literal,
        ln2 $hi:literal + $lo:literal,
        exp on $exp_min:literal .. $exp_max:literal,
        saturates at $one:literal,
        identity below $tiny:literal,
        q [$($q:literal),*]
    ) => {
        /// For this type.
        pub(crate) mod $f {
            use super::poly;
            use super::super::$f::{at_least, at_most, fma};
            use std::$f::consts::LOG2_E;

            pub(crate) const BIAS: $u = $bias;
            /// Adding this rounds to an integer, found in the low bits of the sum.
            const ROUNDER: $f = 1.5 * (1u64 << $mantissa) as $f;
            // ln 2 in two parts; the first is short, so that its product with n is exact.
            const LN2_HI: $f = $hi;
            const LN2_LO: $f = $lo;

            /// r and the bits of the float n + `offset` + `ROUNDER`, for x = n ln 2 + r.
            #[inline(always)]
            pub(crate) fn split<const FMA: bool>(x: $f, offset: $u) -> ($f, $u) {
                let rounder = ROUNDER + offset as $f;
                let t = fma::<FMA>(x, LOG2_E, rounder);
                let n = t - rounder;
                let r = fma::<FMA>(n, -LN2_HI, x);
                (fma::<FMA>(n, -LN2_LO, r), t.to_bits())
            }

            /// e^r - 1 = p instead of r.
            #[inline(always)]
            pub(crate) fn reduce<const FMA: bool>(x: $f, offset: $u) -> ($f, $u) {
                let (r, n) = split::<FMA>(x, offset);
                (fma::<FMA>(r * r, poly!(r; $($q),*), r), n)
            }

            /// 2^n of the bits of n + bias + `ROUNDER`, if that is a normal number.
            #[inline(always)]
            pub(crate) fn power(n: $u) -> $f {
                $f::from_bits(n << $mantissa)
            }

            /// Two powers of two whose product is 2^n, for the bits of n + 2 bias + `ROUNDER`. As 2^n
            /// can lie outside the exponents of floats, one is 2^⌊n/2⌋ and the other the rest; their
            /// exponent fields are the halves of n + 2 bias. Of two products only the last rounds.
            #[inline(always)]
            pub(crate) fn two_powers(n: $u) -> ($f, $f) {
                let half = n >> 1;
                let rest = n - half;
                (power(half), power(rest))
            }

            /// e^x for a result that is a normal number.
            #[inline(always)]
            pub(crate) fn exp_normal<const FMA: bool>(x: $f) -> $f {
                let (p, n) = reduce::<FMA>(x, BIAS);
                let s = power(n);
                fma::<FMA>(s, p, s)
            }

            #[inline(always)]
            pub(crate) fn exp<const FMA: bool>(x: $f) -> $f {
                let (p, n) = reduce::<FMA>(at_least(at_most(x, $exp_max), $exp_min), 2 * BIAS);
                let (s1, s2) = two_powers(n);
                fma::<FMA>(s1, p, s1) * s2
            }

            #[inline(always)]
            pub(crate) fn expm1<const FMA: bool>(x: $f) -> $f {
                let y = at_least(at_most(x, $exp_max), -$one);
                // With 2^(n-1), as 2^n overflows before the result does.
                let (p, n) = reduce::<FMA>(y, BIAS - 1);
                let h = power(n);
                let r = 2.0 * fma::<FMA>(h, p, h - 0.5);
                // Keeps the sign of zero and the last bit of denormals.
                if x.abs() < $tiny { x } else { r }
            }

            #[inline(always)]
            pub(crate) fn tanh<const FMA: bool>(x: $f) -> $f {
                // tanh |x| = m / (m + 2) with m = e^(2|x|) - 1 loses nothing near 0.
                let y = at_most(2.0 * x.abs(), $one);
                let (p, n) = reduce::<FMA>(y, BIAS);
                let s = power(n);
                let m = fma::<FMA>(s, p, s - 1.0);
                (m / (m + 2.0)).copysign(x)
            }

            #[inline(always)]
            pub(crate) fn sigmoid<const FMA: bool>(x: $f) -> $f {
                // With e = e^|x| it is 1/(1 + e) for negative x, which keeps tiny results accurate, and
                // e/(1 + e) for others. As e can be too large for a float, e and 1 are 2^64 times smaller.
                const ONE: $f = 1.0 / (1u128 << 64) as $f;
                let (p, n) = reduce::<FMA>(at_most(x.abs(), -$exp_min), BIAS - 64);
                let s = power(n);
                let e = fma::<FMA>(s, p, s);
                (if x < 0.0 { ONE } else { e }) / (ONE + e)
            }
        }
    };
}

exponentials! {
    f32, u32, mantissa 23, bias 127,
    ln2 0.693_145_75 + 1.428_606_8e-6,
    exp on -104.0 .. 89.0,
    saturates at 20.0,
    identity below 2e-8,
    // (e^r - 1 - r) / r² on |r| ≤ 0.3472, error 2^-26 of p.
    q [0.5, 0.166_665_39, 0.041_666_605, 0.008_367_123, 0.001_391_805]
}

exponentials! {
    f64, u64, mantissa 52, bias 1023,
    ln2 0.693_147_180_559_208_2 + 7.371_002_565_167_799e-13,
    exp on -746.0 .. 710.0,
    saturates at 40.0,
    identity below 4e-17,
    // (e^r - 1 - r) / r² on |r| ≤ 0.3472, error 2^-61 of p.
    q [
        0.5, 0.166_666_666_666_666_77, 0.041_666_666_666_666_67, 0.008_333_333_333_321_449,
        0.001_388_888_888_889_077, 0.000_198_412_698_867_280_02, 2.480_158_729_728_936e-5,
        2.755_724_346_257_506_6e-6, 2.755_731_045_008_376e-7, 2.510_934_140_470_505e-8,
        2.089_926_592_579_246e-9
    ]
}
