//! Softmax and its kin.

use super::Axes;
use crate::var::Var;

impl<'t> Var<'t> {
    /// `softmax(x)_i = exp(x_i) / Σ_j exp(x_j)` along an axis, computed stably. An axis without entries stays one.
    #[track_caller]
    pub fn softmax(self, axis: isize) -> Var<'t> {
        let _named = self.tape().composition("softmax");
        let e = match self.shifted("softmax", axis) {
            Ok(shifted) => shifted.exp(),
            Err(found) => return found,
        };
        e / e.sum_axes(axis).unsqueeze(axis)
    }

    /// `log softmax(x)` along an axis, computed stably. An axis without entries stays one.
    #[track_caller]
    pub fn log_softmax(self, axis: isize) -> Var<'t> {
        let _named = self.tape().composition("log_softmax");
        let shifted = match self.shifted("log_softmax", axis) {
            Ok(shifted) => shifted,
            Err(found) => return found,
        };
        shifted - shifted.exp().sum_axes(axis).unsqueeze(axis).log()
    }

    /// `log Σ exp(x)` over some axes, which are dropped, computed stably; its derivative is the softmax. −∞ if all elements
    /// are or there are none, where the derivative is NaN.
    #[track_caller]
    pub fn logsumexp(self, axes: impl Axes) -> Var<'t> {
        let _named = self.tape().composition("logsumexp");
        if self.shape().is_ok_and(|shape| shape.numel() == 0) {
            return self.exp().sum_axes(axes).log();
        }
        let top = self.max_keep(&axes).detach();
        // An infinite maximum is not subtracted: ∞ − ∞ would be NaN.
        let top = top.abs().eq(f64::INFINITY).select(0.0, top);
        let sum = (self - top).exp().sum_keep(&axes);
        (sum.log() + top).dropped(self, &axes)
    }

    /// As [`logsumexp`](Var::logsumexp), with the axes kept as extent 1.
    #[track_caller]
    pub fn logsumexp_keep(self, axes: impl Axes) -> Var<'t> {
        let _named = self.tape().composition("logsumexp_keep");
        self.logsumexp(&axes).kept(self, &axes)
    }

    /// `x` minus its maximum along an axis; the maximum takes no part in the derivative, which is the same without it.
    /// Nothing to choose a maximum from is the result as it is.
    #[track_caller]
    fn shifted(self, name: &str, axis: isize) -> Result<Var<'t>, Var<'t>> {
        let (_, shape) = self.with_axis(name, axis)?;
        if shape.numel() == 0 {
            // An operation on floats: other element types stay an error.
            return Err(self.exp());
        }
        Ok(self - self.max_axes(axis).unsqueeze(axis).detach())
    }
}
