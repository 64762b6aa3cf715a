//! Both directions of time.

use super::layer::Layer;
use super::time::Time;
use crate::Module;
use crate::cell::Cell;
use crate::cx::Cx;
use wengert_autograd::Var;

/// Two cells over the same sequences, one from the first step to the last, one from the last to the first (Schuster & Paliwal 1997). The
/// outputs of a step are joined, the forward ones first: `[T, B, 2·O]`, as in PyTorch.
#[derive(Clone, Debug, Module)]
pub struct Bidirectional<C> {
    /// The cell from the first step to the last.
    pub forward: C,
    /// The cell from the last step to the first.
    pub backward: C,
}

impl<C: Cell> Layer for Bidirectional<C> {
    /// Of the forward and of the backward cell.
    type State<'t> = [C::State<'t>; 2];

    #[track_caller]
    fn start<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        [self.forward.init(cx, batch), self.backward.init(cx, batch)]
    }

    #[track_caller]
    fn run<'t>(&self, cx: &Cx<'t>, x: Var<'t>, states: Self::State<'t>, time: &Time<'t>) -> (Var<'t>, Self::State<'t>) {
        let [forward, backward] = states;
        let (there, first) = time.scan(&self.forward, cx, x, forward);
        let (back, second) = time.reversed().scan(&self.backward, cx, x, backward);
        (there.concat([back], -1), [first, second])
    }
}
