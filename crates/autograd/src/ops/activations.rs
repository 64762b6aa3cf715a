//! Activation functions that are compositions. Derivatives at kinks are PyTorch's.

use crate::dtype::DType;
use crate::record::Fault;
use crate::var::Var;
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

impl<'t> Var<'t> {
    /// `x` where `x > 0`, else `slope · x`; derivative `slope` at 0.
    #[track_caller]
    pub fn leaky_relu(self, slope: f64) -> Var<'t> {
        let _named = self.tape().composition("leaky_relu");
        if let Some(invalid) = self.not_a_float() {
            return invalid;
        }
        self.gt(0.0).select(self, self * slope)
    }

    /// `x` where `x > 0`, else `alpha · (e^x − 1)`; derivative `alpha` at 0 (Clevert et al. 2015, arXiv 1511.07289).
    #[track_caller]
    pub fn elu(self, alpha: f64) -> Var<'t> {
        let _named = self.tape().composition("elu");
        let positive = self.gt(0.0);
        // The exponential sees no positive x: an infinity in the branch not taken would become NaN in the derivative.
        positive.select(self, positive.select(0.0, self).expm1() * alpha)
    }

    /// `λ · elu(x, α)` with the constants that keep mean 0 and variance 1, λ ≈ 1.0507 and α ≈ 1.6733; derivative `λα` at 0
    /// (Klambauer et al. 2017, arXiv 1706.02515).
    #[track_caller]
    pub fn selu(self) -> Var<'t> {
        let _named = self.tape().composition("selu");
        self.elu(1.673_263_242_354_377_2) * 1.050_700_987_355_480_5
    }

    #[doc(alias = "swish")]
    /// `x · sigmoid(x)`, also called swish; NaN at −∞, as PyTorch's.
    #[track_caller]
    pub fn silu(self) -> Var<'t> {
        let _named = self.tape().composition("silu");
        self * self.sigmoid()
    }

    /// `x · tanh(softplus(x))` (Misra 2019, arXiv 1908.08681); NaN at −∞.
    #[track_caller]
    pub fn mish(self) -> Var<'t> {
        let _named = self.tape().composition("mish");
        self * self.softplus().tanh()
    }

    /// `x / (1 + |x|)`; derivative 1 at 0.
    #[track_caller]
    pub fn softsign(self) -> Var<'t> {
        let _named = self.tape().composition("softsign");
        self / (self.abs() + 1)
    }

    /// `x/2 · (1 + erf(x/√2))`: x times the probability that a standard normal number is below it
    /// (Hendrycks and Gimpel 2016, arXiv 1606.08415); NaN at −∞, as PyTorch's.
    #[track_caller]
    pub fn gelu(self) -> Var<'t> {
        let _named = self.tape().composition("gelu");
        if let Some(invalid) = self.not_a_float() {
            return invalid;
        }
        self * 0.5 * ((self * FRAC_1_SQRT_2).erf() + 1)
    }

    /// `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`, the approximation of [`gelu`](Var::gelu) of many
    /// published models; NaN at −∞.
    #[track_caller]
    pub fn gelu_tanh(self) -> Var<'t> {
        let _named = self.tape().composition("gelu_tanh");
        if let Some(invalid) = self.not_a_float() {
            return invalid;
        }
        let inner = (self + self * self.square() * 0.044715) * (FRAC_2_SQRT_PI * FRAC_1_SQRT_2);
        self * 0.5 * (inner.tanh() + 1)
    }

    #[doc(alias = "hardsigmoid")]
    /// `min(max(x + 3, 0), 6) / 6`; derivative 0 at ±3. (PyTorch's form; Keras before 3 has slope 0.2.)
    #[track_caller]
    pub fn hard_sigmoid(self) -> Var<'t> {
        let _named = self.tape().composition("hard_sigmoid");
        (self + 3).clamp(0.0, 6.0) / 6
    }

    #[doc(alias = "hardswish")]
    /// `x · min(max(x + 3, 0), 6) / 6`; derivative 0 at −3, 1 at 3; NaN at −∞ (Howard et al. 2019, arXiv 1905.02244).
    #[track_caller]
    pub fn hard_swish(self) -> Var<'t> {
        let _named = self.tape().composition("hard_swish");
        self * self.hard_sigmoid()
    }

    #[doc(alias = "hardtanh")]
    /// `min(max(x, −1), 1)`; derivative 0 at ±1.
    #[track_caller]
    pub fn hard_tanh(self) -> Var<'t> {
        let _named = self.tape().composition("hard_tanh");
        self.clamp(-1.0, 1.0)
    }

    /// `min(max(x, 0), 6)`; derivative 0 at 0 and 6.
    #[track_caller]
    pub fn relu6(self) -> Var<'t> {
        let _named = self.tape().composition("relu6");
        self.clamp(0.0, 6.0)
    }

    /// `min(max(x, low), high)`, NaN where x is; derivative 1 between the bounds and at NaN, 0 outside and at them (PyTorch 2.15;
    /// earlier releases had 1 at the bounds). One side stays open with an infinite bound. Integers take integer bounds.
    #[track_caller]
    pub fn clamp(self, low: f64, high: f64) -> Var<'t> {
        let _named = self.tape().composition("clamp");
        if low.is_nan() || high.is_nan() || low > high {
            let found = format!("nothing lies between {low} and {high}");
            return self.tape().fail("clamp", Fault::value(found, "give the lower bound first; neither may be NaN"));
        }
        if self.dtype().is_ok_and(|dtype| dtype == DType::Bool) {
            let fault = Fault::dtype("the operand is bool, expected a number", "convert it: .cast(DType::F32)");
            return self.tape().fail("clamp", fault);
        }
        // A side without bound has no kink, at infinity neither.
        let below = if high == f64::INFINITY { self } else { self.ge(high).select(high, self) };
        if low == f64::NEG_INFINITY { below } else { self.le(low).select(low, below) }
    }

    /// An invalid value if this one is not a float: else its error would be about a constant of the formula.
    #[track_caller]
    fn not_a_float(self) -> Option<Var<'t>> {
        let dtype = self.dtype().ok().filter(|dtype| !dtype.is_float())?;
        let found = format!("the operand is {dtype}, expected f32 or f64");
        Some(self.tape().fail("activation", Fault::dtype(found, "convert it: .cast(DType::F32)")))
    }
}
