//! Operations that are compositions of others.

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

    /// `x` minus its maximum along an axis; the maximum takes no part in the derivative, which is the same without it.
    #[track_caller]
    fn shifted(self, axis: isize) -> Var<'t> {
        self - self.max_axes(axis).unsqueeze(axis).detach()
    }
}
