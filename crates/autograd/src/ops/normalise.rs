//! Moments, norms and normalisation.

use super::Axes;
use super::reduce::reduced;
use crate::operand::Operand;
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

    /// The square root of [`var_axes`](Var::var_axes); derivative 0 where it is 0.
    #[track_caller]
    pub fn std_axes(self, axes: impl Axes, correction: usize) -> Var<'t> {
        let _named = self.tape().composition("std_axes");
        self.var_axes(axes, correction).root()
    }

    /// The 2-norm `√(Σ x²)` over some axes, which are dropped; derivative 0 where it is 0.
    #[track_caller]
    pub fn norm(self, axes: impl Axes) -> Var<'t> {
        let _named = self.tape().composition("norm");
        self.square().sum_axes(axes).root()
    }

    /// `(x − mean) / √(var + eps)` over the last axis, with the population's variance (Ba et al. 2016, arXiv 1607.06450).
    /// Gain and bias are the caller's: `x.layer_norm(1e-5) * &gain + &bias`.
    #[track_caller]
    pub fn layer_norm(self, eps: f64) -> Var<'t> {
        let _named = self.tape().composition("layer_norm");
        let centred = self - self.mean_keep(-1);
        centred / (centred.square().mean_keep(-1) + eps).sqrt()
    }

    /// `x / √(mean(x²) + eps)` over the last axis (Zhang and Sennrich 2019, arXiv 1910.07467).
    #[track_caller]
    pub fn rms_norm(self, eps: f64) -> Var<'t> {
        let _named = self.tape().composition("rms_norm");
        self / (self.square().mean_keep(-1) + eps).sqrt()
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

    /// The square root, with derivative 0 at 0.
    #[track_caller]
    fn root(self) -> Var<'t> {
        let zero = self.eq(0.0);
        zero.select(0.0, zero.select(1.0, self).sqrt())
    }
}
