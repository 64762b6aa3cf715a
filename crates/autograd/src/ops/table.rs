//! The table of elementwise operations.
//!
//! A row gives the operation's code over one lane, its partial derivatives as recorded
//! operations, and where its inputs are sampled by the tests. The method of [`Var`], shape
//! inference, both derivative modes, the fused kernels and the property tests follow from the row.
//! At kinks the derivatives are PyTorch's: 0 for `abs` and `relu` at 0, one half to each side of a tied maximum, 0 for steps.
//! `tests/pytorch_ops.rs` at the root of the workspace compares every row with PyTorch.

use super::elementwise::Slope::{MinusOne, One, Over, Times, Unless, Where, Zero};
use super::elementwise::{Kernels, Row, Sample, Type};
use crate::grad::Local;
use crate::operand::Operand;
use crate::var::Var;
use wengert_kernels::{Arith, Lane, LaneMap, Num, NumMap, lane_kernel, num_kernel};

const ANY: Sample = Sample { low: -2.0, high: 2.0, avoid: &[] };
const OFF_ZERO: Sample = Sample { low: -2.0, high: 2.0, avoid: &[0.0] };
const POSITIVE: Sample = Sample { low: 0.2, high: 3.0, avoid: &[] };
const ABOVE_MINUS_ONE: Sample = Sample { low: -0.8, high: 3.0, avoid: &[] };
const STEPS: Sample = Sample { low: -2.4, high: 2.4, avoid: &[-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0] };

/// The operations that the kernels have in pairs.
const fn arith(name: &str) -> Option<Arith> {
    match name.as_bytes() {
        b"add" => Some(Arith::Add),
        b"sub" => Some(Arith::Sub),
        b"mul" => Some(Arith::Mul),
        _ => None,
    }
}

/// Defines a row's code, its static, and its method.
macro_rules! row {
    (@kernels numeric $code:ty, $n:literal) => {
        Kernels {
            f32: || num_kernel::<$code, f32, $n>(),
            f64: || num_kernel::<$code, f64, $n>(),
            i64: Some(|| num_kernel::<$code, i64, $n>()),
        }
    };
    (@kernels float $code:ty, $n:literal) => {
        Kernels { f32: || lane_kernel::<$code, f32, $n>(), f64: || lane_kernel::<$code, f64, $n>(), i64: None }
    };
    (@code numeric $code:ident, $n:literal, [$($x:ident),*], $body:expr) => {
        struct $code;
        impl NumMap<$n> for $code {
            #[inline(always)]
            fn eval<L: Num>([$($x),*]: [L; $n]) -> L {
                $body
            }
        }
    };
    (@code float $code:ident, $n:literal, [$($x:ident),*], $body:expr) => {
        struct $code;
        impl LaneMap<$n> for $code {
            #[inline(always)]
            fn eval<L: Lane>([$($x),*]: [L; $n]) -> L {
                $body
            }
        }
    };
    (@method $(#[$doc:meta])* 1 $name:ident $row:ident) => {
        impl<'t> Var<'t> {
            $(#[$doc])*
            #[track_caller]
            #[allow(clippy::should_implement_trait)]
            pub fn $name(self) -> Var<'t> {
                self.map1(&$row)
            }
        }
    };
    (@method $(#[$doc:meta])* 2 $name:ident $row:ident) => {
        impl<'t> Var<'t> {
            $(#[$doc])*
            /// Shapes broadcast; a bare number takes this value's element type.
            #[track_caller]
            #[allow(clippy::should_implement_trait)]
            pub fn $name(self, rhs: impl Operand<'t>) -> Var<'t> {
                self.map2(&$row, rhs)
            }
        }
    };
    (@method $(#[$doc:meta])* 3 $name:ident $row:ident) => {};
}

macro_rules! table {
    ($(
        $(#[$doc:meta])*
        $row:ident = $lanes:ident $name:ident $n:tt [$($x:ident),*] $body:expr;
        result $result:ident; partials [$($partial:expr),*]; samples [$($sample:expr),*];
    )*) => {
        $(
            pub(crate) static $row: Row = {
                row!(@code $lanes Code, $n, [$($x),*], $body);
                Row {
                    name: stringify!($name),
                    kernels: row!(@kernels $lanes Code, $n),
                    arith: arith(stringify!($name)),
                    result: Type::$result,
                    partials: &[$($partial),*],
                    samples: &[$($sample),*],
                }
            };
            row!(@method $(#[$doc])* $n $name $row);
        )*
        /// Every elementwise operation; the property tests iterate it.
        pub(crate) static TABLE: &[&Row] = &[$(&$row),*];
    };
}

table! {
    /// `self + rhs`.
    ADD = numeric add 2 [x, y] x.add(y);
        result Same; partials [|_| One, |_| One]; samples [ANY, ANY];
    /// `self - rhs`.
    SUB = numeric sub 2 [x, y] x.sub(y);
        result Same; partials [|_| One, |_| MinusOne]; samples [ANY, ANY];
    /// `self · rhs`, element by element.
    MUL = numeric mul 2 [x, y] x.mul(y);
        result Same; partials [|at| Times(at.input(1)), |at| Times(at.input(0))]; samples [ANY, ANY];
    /// `self / rhs`.
    DIV = float div 2 [x, y] x.div(y);
        result Same;
        partials [|at| Over(at.input(1)), |at| Times(-(at.output() / at.input(1)))];
        samples [ANY, POSITIVE];
    /// `self ^ rhs`. The derivative with respect to the exponent is 0 where the base is 0 and the exponent is not negative.
    POW = float pow 2 [x, y] x.pow(y);
        result Same; partials [pow_base, pow_exponent]; samples [POSITIVE, ANY];
    /// The larger of both, NaN if either is. Where they tie, each receives half of the derivative; where one is NaN, both all of it.
    MAXIMUM = numeric maximum 2 [x, y] x.max(y);
        result Same;
        partials [|at| tied(at, Var::lt, 0, 1), |at| tied(at, Var::lt, 1, 0)];
        samples [Sample { low: -2.0, high: 0.9, avoid: &[] }, Sample { low: 1.0, high: 2.0, avoid: &[] }];
    /// The smaller of both, NaN if either is. Where they tie, each receives half of the derivative; where one is NaN, both all of it.
    MINIMUM = numeric minimum 2 [x, y] x.min(y);
        result Same;
        partials [|at| tied(at, Var::gt, 0, 1), |at| tied(at, Var::gt, 1, 0)];
        samples [Sample { low: -2.0, high: 0.9, avoid: &[] }, Sample { low: 1.0, high: 2.0, avoid: &[] }];
    /// `-self`.
    NEG = numeric neg 1 [x] x.neg();
        result Same; partials [|_| MinusOne]; samples [ANY];
    /// `|self|`; derivative 0 at 0, NaN at NaN (PyTorch: 0).
    ABS = numeric abs 1 [x] x.abs();
        result Same; partials [|at| Times(at.input(0).sign())]; samples [OFF_ZERO];
    /// −1, 0 or 1, NaN for NaN (PyTorch: 0); its derivative is zero everywhere.
    SIGN = numeric sign 1 [x] x.sign();
        result Same; partials []; samples [OFF_ZERO];
    /// `self²`.
    SQUARE = numeric square 1 [x] x.mul(x);
        result Same; partials [|at| Times(at.lit(2.0) * at.input(0))]; samples [ANY];
    /// `1 / self`.
    #[doc(alias = "reciprocal")]
    RECIP = float recip 1 [x] L::ONE.div(x);
        result Same; partials [|at| Times(-at.output().square())]; samples [POSITIVE];
    /// `√self`.
    SQRT = float sqrt 1 [x] x.sqrt();
        result Same; partials [|at| Over(at.lit(2.0) * at.output())]; samples [POSITIVE];
    /// `1 / √self`.
    RSQRT = float rsqrt 1 [x] L::ONE.div(x.sqrt());
        result Same; partials [|at| Times(at.lit(-0.5) * at.output() * at.output().square())]; samples [POSITIVE];
    /// `e^self`.
    EXP = float exp 1 [x] x.exp();
        result Same; partials [|at| Times(at.output())]; samples [ANY];
    /// `e^self − 1`, exact near 0.
    EXPM1 = float expm1 1 [x] x.expm1();
        result Same; partials [|at| Times(at.output() + at.lit(1.0))]; samples [ANY];
    /// The natural logarithm.
    #[doc(alias = "ln")]
    LOG = float log 1 [x] x.ln();
        result Same; partials [|at| Over(at.input(0))]; samples [POSITIVE];
    /// The logarithm to base 2.
    LOG2 = float log2 1 [x] x.log2();
        result Same; partials [|at| Over(at.lit(std::f64::consts::LN_2) * at.input(0))]; samples [POSITIVE];
    /// `log(1 + self)`, exact near 0.
    LOG1P = float log1p 1 [x] x.ln_1p();
        result Same; partials [|at| Over(at.input(0) + at.lit(1.0))]; samples [ABOVE_MINUS_ONE];
    /// The sine.
    SIN = float sin 1 [x] x.sin();
        result Same; partials [|at| Times(at.input(0).cos())]; samples [ANY];
    /// The cosine.
    COS = float cos 1 [x] x.cos();
        result Same; partials [|at| Times(-at.input(0).sin())]; samples [ANY];
    /// The inverse tangent, in `[−π/2, π/2]`.
    ATAN = float atan 1 [x] x.atan();
        result Same; partials [|at| Over(at.input(0).square() + at.lit(1.0))]; samples [ANY];
    /// The hyperbolic tangent.
    TANH = float tanh 1 [x] x.tanh();
        result Same; partials [|at| Times(at.lit(1.0) - at.output().square())]; samples [ANY];
    /// The logistic function `1 / (1 + e^−self)`.
    SIGMOID = float sigmoid 1 [x] x.sigmoid();
        result Same; partials [|at| Times(at.output() * (at.lit(1.0) - at.output()))]; samples [ANY];
    /// `log sigmoid(self) = min(self, 0) − log(1 + e^−|self|)`, finite wherever `self` is.
    LOG_SIGMOID = float log_sigmoid 1 [x] x.min(L::ZERO).sub(x.abs().neg().exp().ln_1p());
        result Same; partials [|at| Times((-at.input(0)).sigmoid())]; samples [ANY];
    /// `log(1 + e^self) = max(self, 0) + log(1 + e^−|self|)`, finite wherever `self` is.
    SOFTPLUS = float softplus 1 [x] x.max(L::ZERO).add(x.abs().neg().exp().ln_1p());
        result Same; partials [|at| Times(at.input(0).sigmoid())]; samples [ANY];
    /// The error function `2/√π ∫₀ˣ e^−t² dt`.
    ERF = float erf 1 [x] x.erf();
        result Same;
        partials [|at| Times(at.lit(std::f64::consts::FRAC_2_SQRT_PI) * (-at.input(0).square()).exp())];
        samples [ANY];
    /// `max(self, 0)`; derivative 0 at 0, 1 at NaN.
    RELU = numeric relu 1 [x] L::select(L::ZERO.lt(x), x, L::select(x.eq(x), L::ZERO, x));
        result Same; partials [|at| Unless(at.input(0).le(at.lit(0.0)))]; samples [OFF_ZERO];
    /// The largest integer not above; its derivative is zero everywhere.
    FLOOR = float floor 1 [x] x.floor();
        result Same; partials []; samples [STEPS];
    /// The smallest integer not below; its derivative is zero everywhere.
    CEIL = float ceil 1 [x] x.ceil();
        result Same; partials []; samples [STEPS];
    /// The integer part, towards zero; its derivative is zero everywhere.
    TRUNC = float trunc 1 [x] x.trunc();
        result Same; partials []; samples [STEPS];
    /// The nearest integer, ties to even; its derivative is zero everywhere.
    ROUND = float round 1 [x] x.round();
        result Same; partials []; samples [STEPS];
    /// Elements of the second operand where the first holds, of the third elsewhere.
    SELECT = numeric select 3 [c, x, y] L::select(c, x, y);
        result Select; partials [|_| Zero, |at| Where(at.input(0)), |at| Unless(at.input(0))];
        samples [OFF_ZERO, ANY, ANY];
    /// Whether `self < rhs`.
    LT = numeric lt 2 [x, y] x.lt(y);
        result Truth; partials []; samples [ANY, ANY];
    /// Whether `self <= rhs`.
    LE = numeric le 2 [x, y] x.le(y);
        result Truth; partials []; samples [ANY, ANY];
    /// Whether `self > rhs`.
    GT = numeric gt 2 [x, y] y.lt(x);
        result Truth; partials []; samples [ANY, ANY];
    /// Whether `self >= rhs`.
    GE = numeric ge 2 [x, y] y.le(x);
        result Truth; partials []; samples [ANY, ANY];
    /// Whether `self == rhs`.
    EQ = numeric eq 2 [x, y] x.eq(y);
        result Truth; partials []; samples [ANY, ANY];
    /// Whether `self != rhs`.
    NE = numeric ne 2 [x, y] L::select(x.eq(y), L::ZERO, L::ONE);
        result Truth; partials []; samples [ANY, ANY];
    /// Whether both hold.
    AND = numeric and 2 [x, y] L::select(x, y, L::ZERO);
        result Logic; partials []; samples [OFF_ZERO, OFF_ZERO];
    /// Whether at least one holds.
    OR = numeric or 2 [x, y] L::select(x, L::ONE, y);
        result Logic; partials []; samples [OFF_ZERO, OFF_ZERO];
    /// Whether it does not hold.
    NOT = numeric not 1 [x] L::select(x, L::ZERO, L::ONE);
        result Logic; partials []; samples [OFF_ZERO];
}

/// ∂(x^y)/∂x = y·x^(y−1). Where y = 0 it is 0, also where the other factor is no number; elsewhere the product stays, because it has a
/// derivative by y.
fn pow_base<'t>(at: &Local<'_, 't>) -> super::elementwise::Slope<'t> {
    let (x, y) = (at.input(0), at.input(1));
    let slope = y * x.map2(&POW, y - at.lit(1.0));
    let flat = y.eq(at.lit(0.0)).and(x.eq(at.lit(0.0)).or(x.ne(x)));
    Times(flat.select(at.lit(0.0), slope))
}

/// ∂(x^y)/∂y = x^y·log x, 0 where x = 0 and y ≥ 0.
fn pow_exponent<'t>(at: &Local<'_, 't>) -> super::elementwise::Slope<'t> {
    let (x, y) = (at.input(0), at.input(1));
    let flat = x.eq(at.lit(0.0)).and(y.ge(at.lit(0.0)));
    Times(flat.select(at.lit(0.0), at.output() * x.log()))
}

/// 0 where input `own` loses against input `other`, one half at a tie, else 1: also where one of them is NaN.
fn tied<'t>(
    at: &Local<'_, 't>,
    loses: fn(Var<'t>, Var<'t>) -> Var<'t>,
    own: usize,
    other: usize,
) -> super::elementwise::Slope<'t> {
    let (a, b) = (at.input(own), at.input(other));
    Times(a.eq(b).select(at.lit(0.5), loses(a, b).select(at.lit(0.0), at.lit(1.0))))
}

impl<'t> Var<'t> {
    /// `self ^ exponent`, exactly `self·self` for 2 and `self` for 1.
    #[track_caller]
    pub fn powf(self, exponent: f64) -> Var<'t> {
        let _named = self.tape().composition("powf");
        match exponent {
            1.0 => self,
            2.0 => self.square(),
            _ => self.pow(exponent),
        }
    }
}
