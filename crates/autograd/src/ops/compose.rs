//! Softmax and its kin.

use super::Axes;
use crate::var::Var;

impl<'t> Var<'t> {
    /// `softmax(x)_i = exp(x_i) / Σ_j exp(x_j)` along an axis, computed stably.
    #[track_caller]
    pub fn softmax(self, axis: isize) -> Var<'t> {
        let e = self.shifted(axis).exp();
        e / e.sum_axes(axis).unsqueeze(axis)
    }

    /// `log softmax(x)` along an axis, computed stably.
    #[track_caller]
    pub fn log_softmax(self, axis: isize) -> Var<'t> {
        let shifted = self.shifted(axis);
        shifted - shifted.exp().sum_axes(axis).unsqueeze(axis).log()
    }

    /// `log Σ exp(x)` over some axes, which are dropped, computed stably; its derivative is the softmax. −∞ if all elements
    /// are, where the derivative is NaN.
    #[track_caller]
    pub fn logsumexp(self, axes: impl Axes) -> Var<'t> {
        let top = self.max_keep(&axes).detach();
        // An infinite maximum is not subtracted: ∞ − ∞ would be NaN.
        let top = top.abs().eq(f64::INFINITY).select(0.0, top);
        let sum = (self - top).exp().sum_keep(&axes);
        (sum.log() + top).dropped(self, &axes)
    }

    /// `x` minus its maximum along an axis; the maximum takes no part in the derivative, which is the same without it.
    #[track_caller]
    fn shifted(self, axis: isize) -> Var<'t> {
        self - self.max_axes(axis).unsqueeze(axis).detach()
    }
}
