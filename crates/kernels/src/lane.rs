//! The element types of elementwise code, and the operations that code is written in.

use crate::math::{erf, exp, log, pow, round, trig};
use std::fmt::Debug;

mod sealed {
    pub trait Sealed {}
}
use sealed::Sealed;

/// A number of an elementwise op: `f32`, `f64` or `i64`.
///
/// Elementwise ops are written once against this trait (or [`Lane`]) as straight-line code. There is
/// no `bool`: comparisons give 1 or 0 and [`select`](Num::select) chooses, so that the code
/// vectorises. Integer arithmetic wraps. The trait is sealed.
pub trait Num: Sealed + Copy + Default + PartialEq + PartialOrd + Send + Sync + Debug + 'static {
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// `self + o`.
    fn add(self, o: Self) -> Self;
    /// `self - o`.
    fn sub(self, o: Self) -> Self;
    /// `self * o`.
    fn mul(self, o: Self) -> Self;
    /// `-self`; of a zero float, the zero of the other sign.
    fn neg(self) -> Self;
    /// `|self|`.
    fn abs(self) -> Self;
    /// -1, 0 or 1; 0 for either zero, NaN for NaN.
    fn sign(self) -> Self;
    /// The smaller; NaN if either is. Of two zeros of different sign, `o`.
    fn min(self, o: Self) -> Self;
    /// The larger; NaN if either is. Of two zeros of different sign, `o`.
    fn max(self, o: Self) -> Self;
    /// 1 if `self < o`, else 0 (0 with a NaN).
    fn lt(self, o: Self) -> Self;
    /// 1 if `self <= o`, else 0 (0 with a NaN).
    fn le(self, o: Self) -> Self;
    /// 1 if `self == o`, else 0 (0 with a NaN).
    fn eq(self, o: Self) -> Self;
    /// `a` if `cond` is not 0 (a NaN is not), else `b`, bit by bit: the one not taken leaves no trace.
    fn select(cond: Self, a: Self, b: Self) -> Self;
    /// The nearest value; integers truncate and saturate, and take NaN as 0.
    fn from_f64(v: f64) -> Self;
    /// The nearest `f64`.
    fn to_f64(self) -> f64;
}

/// A float of an elementwise op: `f32` or `f64` (and [`Unfused`], which portable kernels use).
///
/// The vector functions keep within 4 units in the last place of the true value unless their line
/// says otherwise (`tests/math` measures it); special values are those of IEEE 754. Bits are the
/// same at every position of a slice and in every fused instruction set, but may differ between
/// fused and portable code.
pub trait Lane: Num {
    /// The same float without fused multiply-add, for targets that lack the instruction.
    #[doc(hidden)]
    type Portable: Lane;

    /// A constant of the formula.
    #[inline(always)]
    fn lit(v: f64) -> Self {
        Self::from_f64(v)
    }
    /// `self / o`.
    fn div(self, o: Self) -> Self;
    /// `self * b + c`, rounded once (twice on portable code).
    fn fma(self, b: Self, c: Self) -> Self;
    /// Square root, correctly rounded.
    fn sqrt(self) -> Self;
    /// The largest integer not above.
    fn floor(self) -> Self;
    /// The smallest integer not below.
    fn ceil(self) -> Self;
    /// The integer part.
    fn trunc(self) -> Self;
    /// The nearest integer, ties to even.
    fn round(self) -> Self;
    /// `e^self`.
    fn exp(self) -> Self;
    /// `e^self - 1`, accurate near 0.
    fn expm1(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// `ln(1 + self)`, accurate near 0.
    fn ln_1p(self) -> Self;
    /// Logarithm to base 2.
    fn log2(self) -> Self;
    /// Sine; accurate for `|self|` up to 2^40 (f32; portable code 2^20) or 2^20 (f64). Beyond, the
    /// error grows, and the result stays within [-1, 1].
    fn sin(self) -> Self;
    /// Cosine, with the range of [`sin`](Lane::sin).
    fn cos(self) -> Self;
    /// Arc tangent.
    fn atan(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// `1 / (1 + e^-self)`, relatively accurate down to the smallest denormal.
    fn sigmoid(self) -> Self;
    /// The error function `2/√π ∫₀ˣ e^-t² dt`.
    fn erf(self) -> Self;
    /// `self^e` with the special values of IEEE 754 `pow`; in f64 within 1e-13 relative.
    fn pow(self, e: Self) -> Self;
}

/// A float whose multiply-add rounds twice: what portable kernels run on.
///
/// Without the instruction a fused multiply-add is a call of some forty times the cost, and a kernel
/// cannot ask `cfg!(target_feature)` about the function it is inlined into; so the type says it. It
/// also computes `floor` and its kin by arithmetic, since plain x86-64 has no instruction for them.
/// As the kernels of `f32` on [`Isa::Portable`](crate::Isa) are those of `Unfused<f32>`, this type is
/// their scalar reference, as `f32` is that of the other instruction sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
#[repr(transparent)]
pub struct Unfused<T>(pub T);

impl Sealed for i64 {}
impl Num for i64 {
    const ZERO: Self = 0;
    const ONE: Self = 1;
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        self.wrapping_add(o)
    }
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        self.wrapping_sub(o)
    }
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        self.wrapping_mul(o)
    }
    #[inline(always)]
    fn neg(self) -> Self {
        self.wrapping_neg()
    }
    #[inline(always)]
    fn abs(self) -> Self {
        self.wrapping_abs()
    }
    #[inline(always)]
    fn sign(self) -> Self {
        self.signum()
    }
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        Ord::min(self, o)
    }
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        Ord::max(self, o)
    }
    #[inline(always)]
    fn lt(self, o: Self) -> Self {
        (self < o) as i64
    }
    #[inline(always)]
    fn le(self, o: Self) -> Self {
        (self <= o) as i64
    }
    #[inline(always)]
    fn eq(self, o: Self) -> Self {
        (self == o) as i64
    }
    #[inline(always)]
    fn select(cond: Self, a: Self, b: Self) -> Self {
        if cond != 0 { a } else { b }
    }
    #[inline(always)]
    fn from_f64(v: f64) -> Self {
        v as i64
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self as f64
    }
}

/// A float type seen as the machine float in it.
trait Raw: Copy {
    type Float;
    fn get(self) -> Self::Float;
    fn new(v: Self::Float) -> Self;
}

macro_rules! raw {
    ($($f:ty),*) => {$(
        impl Raw for $f {
            type Float = $f;
            #[inline(always)]
            fn get(self) -> $f {
                self
            }
            #[inline(always)]
            fn new(v: $f) -> Self {
                v
            }
        }
        impl Raw for Unfused<$f> {
            type Float = $f;
            #[inline(always)]
            fn get(self) -> $f {
                self.0
            }
            #[inline(always)]
            fn new(v: $f) -> Self {
                Self(v)
            }
        }
    )*};
}
raw!(f32, f64);

/// Defines methods on floats by expressions over machine floats: arguments are unwrapped, the value
/// is wrapped.
macro_rules! methods {
    ($($name:ident($x:ident $(, $y:ident)*) = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name(self $(, $y: Self)*) -> Self {
            let $x = self.get();
            $(let $y = $y.get();)*
            Self::new($body)
        }
    )*};
}

/// Implements `Num` and `Lane` for `$t`, a float over `$f` with (`$fma`) or without fused
/// multiply-add; `$wrap` is its constructor.
macro_rules! float {
    ($t:ty, $f:ident, $fma:literal, $wrap:expr) => {
        impl Sealed for $t {}

        // The `if`s choose between values already at hand, which compiles to compare-and-blend.
        impl Num for $t {
            const ZERO: Self = $wrap(0.0);
            const ONE: Self = $wrap(1.0);
            methods! {
                add(x, o) = x + o;
                sub(x, o) = x - o;
                mul(x, o) = x * o;
                neg(x) = -x;
                abs(x) = x.abs();
                sign(x) = if x > 0.0 { 1.0 } else if x < 0.0 { -1.0 } else if x == 0.0 { 0.0 } else { x };
                min(x, o) = if (x < o) | x.is_nan() { x } else { o };
                max(x, o) = if (x > o) | x.is_nan() { x } else { o };
                lt(x, o) = if x < o { 1.0 } else { 0.0 };
                le(x, o) = if x <= o { 1.0 } else { 0.0 };
                eq(x, o) = if x == o { 1.0 } else { 0.0 };
            }
            #[inline(always)]
            fn select(cond: Self, a: Self, b: Self) -> Self {
                if cond.get() != 0.0 { a } else { b }
            }
            #[inline(always)]
            fn from_f64(v: f64) -> Self {
                Self::new(v as $f)
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self.get() as f64
            }
        }

        impl Lane for $t {
            // `Self` is `$f` or the transparent wrapper of it.
            type Portable = Unfused<$f>;
            methods! {
                div(x, o) = x / o;
                fma(x, b, c) = crate::math::$f::fma::<$fma>(x, b, c);
                sqrt(x) = x.sqrt();
                floor(x) = round::$f::floor::<$fma>(x);
                ceil(x) = round::$f::ceil::<$fma>(x);
                trunc(x) = round::$f::trunc::<$fma>(x);
                round(x) = round::$f::round::<$fma>(x);
                exp(x) = exp::$f::exp::<$fma>(x);
                expm1(x) = exp::$f::expm1::<$fma>(x);
                tanh(x) = exp::$f::tanh::<$fma>(x);
                sigmoid(x) = exp::$f::sigmoid::<$fma>(x);
                ln(x) = log::$f::ln::<$fma>(x);
                ln_1p(x) = log::$f::ln_1p::<$fma>(x);
                log2(x) = log::$f::log2::<$fma>(x);
                sin(x) = trig::$f::sin::<$fma>(x);
                cos(x) = trig::$f::cos::<$fma>(x);
                atan(x) = trig::$f::atan::<$fma>(x);
                erf(x) = erf::$f::erf::<$fma>(x);
                pow(x, e) = pow::$f::pow::<$fma>(x, e);
            }
        }
    };
}

float!(f32, f32, true, std::convert::identity);
float!(f64, f64, true, std::convert::identity);
float!(Unfused<f32>, f32, false, Unfused);
float!(Unfused<f64>, f64, false, Unfused);
