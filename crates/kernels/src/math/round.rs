//! Rounding to integers.
//!
//! Plain x86-64 has no rounding instruction; there, adding and subtracting 2^23 (2^52), at which
//! floats are integers, rounds to nearest even, and a correction by one gives the other modes.

macro_rules! rounding {
    ($f:ident, $mantissa:literal) => {
        /// For this type.
        pub(crate) mod $f {
            /// From here on every float is an integer.
            const INTEGERS: $f = (1u64 << $mantissa) as $f;

            /// To nearest even by arithmetic, with the sign of `x`.
            #[inline(always)]
            fn nearest(x: $f) -> $f {
                let a = x.abs();
                let r = (a + INTEGERS) - INTEGERS;
                (if a < INTEGERS { r } else { a }).copysign(x)
            }

            #[inline(always)]
            pub(crate) fn round<const FMA: bool>(x: $f) -> $f {
                if FMA { x.round_ties_even() } else { nearest(x) }
            }

            #[inline(always)]
            pub(crate) fn floor<const FMA: bool>(x: $f) -> $f {
                if FMA {
                    return x.floor();
                }
                let r = nearest(x);
                (if r > x { r - 1.0 } else { r }).copysign(x)
            }

            #[inline(always)]
            pub(crate) fn ceil<const FMA: bool>(x: $f) -> $f {
                if FMA {
                    return x.ceil();
                }
                let r = nearest(x);
                (if r < x { r + 1.0 } else { r }).copysign(x)
            }

            #[inline(always)]
            pub(crate) fn trunc<const FMA: bool>(x: $f) -> $f {
                if FMA {
                    return x.trunc();
                }
                let (r, a) = (nearest(x).abs(), x.abs());
                (if r > a { r - 1.0 } else { r }).copysign(x)
            }
        }
    };
}

rounding!(f32, 23);
rounding!(f64, 52);
