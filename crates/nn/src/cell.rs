//! The interface of a recurrent cell.

use crate::cx::Cx;
use crate::dropout::Noise;
use wengert_autograd::{ParamTree, Tree, Var};

/// One step of a recurrent network: `(y_t, s_t) = step(x_t, s_{t-1})`.
///
/// `step` is pure: it reads its arguments and parameters and returns values. The driver records it once
/// and runs it over time; a mistake in it is an error with the line it stands on.
///
/// ```
/// extern crate wengert_nn as wengert;
/// use wengert_autograd::{Param, Var};
/// use wengert_nn::{Cell, Cx, Module};
///
/// /// h_t = tanh(x_t·W + h_{t-1}·U + b)
/// #[derive(Module)]
/// struct Elman { w: Param, u: Param, b: Param, hidden: usize }
///
/// impl Cell for Elman {
///     type State<'t> = Var<'t>;
///     fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Var<'t> {
///         cx.zeros([batch, self.hidden])
///     }
///     fn step<'t>(&self, x: Var<'t>, h: Var<'t>) -> (Var<'t>, Var<'t>) {
///         let h = (x.matmul(&self.w) + h.matmul(&self.u) + &self.b).tanh();
///         (h, h)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a recurrent cell",
    label = "`Cell` is not implemented",
    note = "derive `Module` for it and implement `Cell`: the type of its state, `init` and `step`"
)]
pub trait Cell: ParamTree {
    /// The state carried from step to step: a tree of values `[B, ..]`.
    type State<'t>: Tree<'t>;

    /// The state before the first step, for `batch` sequences.
    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t>;

    /// One step: input `[B, I]` and state to output `[B, O]` and state.
    fn step<'t>(&self, x: Var<'t>, state: Self::State<'t>) -> (Var<'t>, Self::State<'t>);

    /// What a step draws at random, for a run over `steps` steps of `batch` sequences: drawn before the loop, with
    /// [`Cx::dropout_mask`] and the like. Nothing, unless a cell has dropout of its own. A cell around another passes on the inner one's.
    #[track_caller]
    fn noise<'t>(&self, cx: &Cx<'t>, steps: usize, batch: usize) -> Noise<'t> {
        let _ = (cx, steps, batch);
        Noise::none()
    }

    /// One step of a run that has [`noise`](Cell::noise), of which it gets what belongs to the step. Without noise it is
    /// [`step`](Cell::step).
    fn noisy_step<'t>(&self, x: Var<'t>, state: Self::State<'t>, noise: Noise<'t>) -> (Var<'t>, Self::State<'t>) {
        let _ = noise;
        self.step(x, state)
    }
}
