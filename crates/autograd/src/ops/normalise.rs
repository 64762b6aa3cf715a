//! Moments, norms and normalisation.

use super::Axes;
use super::reduce::reduced;
use crate::error::ErrorKind;
use crate::operand::Operand;
use crate::record::Fault;
use crate::var::Var;

impl<'t> Var<'t> {
    /// The variance over some axes, which are dropped: `Σ (x − mean)² / (N − correction)`. A correction of 1 is Bessel's
    /// (PyTorch's default), 0 gives the population's. NaN or ∞ if `N ≤ correction`.
    #[track_caller]
    pub fn var_axes(self, axes: impl Axes, correction: usize) -> Var<'t> {
        let _named = self.tape().composition("var_axes");
        let squares = (self - self.mean_keep(&axes)).square().sum_axes(&axes);
        let (Ok(full), Ok(dtype)) = (self.shape(), squares.dtype()) else { return squares };
        let free = reduced(&full, axes).saturating_sub(correction);
        squares / self.tape().literal(free as f64, dtype)
    }

    /// As [`var_axes`](Var::var_axes), with the axes kept as extent 1.
    #[track_caller]
    pub fn var_keep(self, axes: impl Axes, correction: usize) -> Var<'t> {
        let _named = self.tape().composition("var_keep");
        self.var_axes(&axes, correction).kept(self, &axes)
    }

    /// The square root of [`var_axes`](Var::var_axes); derivative 0 where it is 0.
    #[track_caller]
    pub fn std_axes(self, axes: impl Axes, correction: usize) -> Var<'t> {
        let _named = self.tape().composition("std_axes");
        self.var_axes(axes, correction).root()
    }

    /// As [`std_axes`](Var::std_axes), with the axes kept as extent 1.
    #[track_caller]
    pub fn std_keep(self, axes: impl Axes, correction: usize) -> Var<'t> {
        let _named = self.tape().composition("std_keep");
        self.std_axes(&axes, correction).kept(self, &axes)
    }

    /// The 2-norm `√(Σ x²)` over some axes, which are dropped; derivative 0 where it is 0.
    #[track_caller]
    pub fn norm(self, axes: impl Axes) -> Var<'t> {
        let _named = self.tape().composition("norm");
        self.square().sum_axes(axes).root()
    }

    /// As [`norm`](Var::norm), with the axes kept as extent 1.
    #[track_caller]
    pub fn norm_keep(self, axes: impl Axes) -> Var<'t> {
        let _named = self.tape().composition("norm_keep");
        self.norm(&axes).kept(self, &axes)
    }

    /// The `ord`-norm `(Σ |x|^ord)^(1/ord)` over some axes, which are dropped: the largest `|x|` for an infinite `ord`, the number of
    /// elements that are not 0 for 0. As `torch.linalg.vector_norm`. Derivatives: of an element that is 0, 0 for every `ord`; for an
    /// infinite one, tied elements share evenly.
    #[track_caller]
    pub fn vector_norm(self, ord: f64, axes: impl Axes) -> Var<'t> {
        let _named = self.tape().composition("vector_norm");
        if ord.is_nan() || ord < 0.0 {
            let found = format!("the order is {ord}, expected a number from 0 to infinity");
            let remedy = "give 2.0 for the Euclidean norm".into();
            return self.tape().fail("vector_norm", Fault { kind: ErrorKind::Value, found, remedy });
        }
        let Ok(dtype) = self.dtype() else { return self };
        match ord {
            0.0 => self.ne(0.0).cast(dtype).sum_axes(axes),
            1.0 => self.abs().sum_axes(axes),
            2.0 => self.norm(axes),
            f64::INFINITY => self.abs().max_axes(axes),
            _ => self.abs().guarded_pow(ord).sum_axes(axes).guarded_pow(1.0 / ord),
        }
    }

    /// As [`vector_norm`](Var::vector_norm), with the axes kept as extent 1.
    #[track_caller]
    pub fn vector_norm_keep(self, ord: f64, axes: impl Axes) -> Var<'t> {
        let _named = self.tape().composition("vector_norm_keep");
        self.vector_norm(ord, &axes).kept(self, &axes)
    }

    /// `(x − mean) / √(var + eps)` over the last axis, with the population's variance (Ba et al. 2016, arXiv 1607.06450).
    /// Gain and bias are the caller's: `x.layer_norm(1e-5) * &gain + &bias`.
    #[track_caller]
    pub fn layer_norm(self, eps: f64) -> Var<'t> {
        let _named = self.tape().composition("layer_norm");
        let centred = self - self.mean_keep(-1);
        // One division a row, not one an element.
        centred * (centred.square().mean_keep(-1) + eps).rsqrt()
    }

    /// `x / √(mean(x²) + eps)` over the last axis (Zhang and Sennrich 2019, arXiv 1910.07467).
    #[track_caller]
    pub fn rms_norm(self, eps: f64) -> Var<'t> {
        let _named = self.tape().composition("rms_norm");
        self * (self.square().mean_keep(-1) + eps).rsqrt()
    }

    /// `Σ x·y / (max(‖x‖, 1e-8) · max(‖y‖, 1e-8))` along an axis, which is dropped; `x` and `y` broadcast.
    #[track_caller]
    pub fn cosine_similarity(self, other: impl Operand<'t>, axis: isize) -> Var<'t> {
        let _named = self.tape().composition("cosine_similarity");
        let other = other.resolve(self.tape(), self.dtype().ok());
        let product = self * other;
        let Ok(shape) = product.shape() else { return product };
        // Both at the full shape: an axis is one of the product's.
        let (x, y) = (self.expand(shape.clone()), other.expand(shape));
        product.sum_axes(axis) / (x.norm(axis).clamp(1e-8, f64::INFINITY) * y.norm(axis).clamp(1e-8, f64::INFINITY))
    }

    /// A power with a positive exponent, with derivative 0 at 0.
    #[track_caller]
    fn guarded_pow(self, exponent: f64) -> Var<'t> {
        let zero = self.eq(0.0);
        zero.select(0.0, zero.select(1.0, self).pow(exponent))
    }

    /// The square root, with derivative 0 at 0.
    #[track_caller]
    fn root(self) -> Var<'t> {
        let zero = self.eq(0.0);
        zero.select(0.0, zero.select(1.0, self).sqrt())
    }
}
