//! The functions of [`Lane`](crate::Lane), one file per family, each for `f32` and `f64`.
//!
//! All are straight-line code over adds, multiplies, divisions, comparisons and integer operations on
//! the bits, so that a loop over them vectorises: both sides of a case are computed and one is
//! selected. Integers are made from floats by adding 1.5·2^52 (2^23) and reading the low mantissa
//! bits, since Rust's saturating casts do not vectorise well. The const parameter `FMA` says whether
//! the target fuses multiply-add (and has rounding instructions); reductions are arranged so that
//! their products are exact either way. Polynomials are minimax fits of our own (Remez exchange in
//! 50-digit arithmetic, coefficients rounded one by one with the rest refitted); the comment at each
//! gives its argument, interval and error.

pub(crate) mod erf;
pub(crate) mod exp;
pub(crate) mod log;
pub(crate) mod pow;
pub(crate) mod round;
pub(crate) mod trig;

/// Horner's scheme, lowest coefficient first: `poly!(x; c0, c1, c2)` is `c0 + x (c1 + x c2)`. Uses
/// the `fma::<FMA>` in scope.
macro_rules! poly {
    ($x:expr; $c:expr $(,)?) => { $c };
    ($x:expr; $c:expr, $($rest:expr),+ $(,)?) => {
        fma::<FMA>($x, poly!($x; $($rest),+), $c)
    };
}
pub(crate) use poly;

macro_rules! basics {
    ($f:ident) => {
        /// Basics of this type.
        pub(crate) mod $f {
            /// `a b + c`, rounded once with `FMA` and twice without.
            #[inline(always)]
            pub(crate) fn fma<const FMA: bool>(a: $f, b: $f, c: $f) -> $f {
                if FMA { a.mul_add(b, c) } else { a * b + c }
            }

            /// The smaller of a bound and `x`, which may be NaN and then stays so.
            #[inline(always)]
            pub(crate) fn at_most(x: $f, bound: $f) -> $f {
                if bound < x { bound } else { x }
            }

            /// The larger of a bound and `x`, which may be NaN and then stays so.
            #[inline(always)]
            pub(crate) fn at_least(x: $f, bound: $f) -> $f {
                if bound > x { bound } else { x }
            }
        }
    };
}
basics!(f32);
basics!(f64);
