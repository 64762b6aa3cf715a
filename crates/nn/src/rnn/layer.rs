//! What a network is stacked of.

use super::time::Time;
use crate::cell::Cell;
use crate::cx::Cx;
use wengert_autograd::{ParamTree, Tree, Var};

/// A part of a network that runs over whole sequences: any [`Cell`], or both directions of one
/// ([`Bidirectional`](super::Bidirectional)).
pub trait Layer: ParamTree {
    /// The state that a run begins with and hands on: a tree of values `[B, ..]`.
    type State<'t>: Tree<'t>;

    /// The state to begin with, for `batch` sequences.
    fn start<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t>;

    /// From the input `[T, B, I]` and a state to the outputs `[T, B, O]` and the last state.
    fn run<'t>(&self, cx: &Cx<'t>, x: Var<'t>, state: Self::State<'t>, time: &Time<'t>) -> (Var<'t>, Self::State<'t>);
}

impl<C: Cell> Layer for C {
    type State<'t> = <C as Cell>::State<'t>;

    #[track_caller]
    fn start<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        self.init(cx, batch)
    }

    #[track_caller]
    fn run<'t>(&self, cx: &Cx<'t>, x: Var<'t>, state: Self::State<'t>, time: &Time<'t>) -> (Var<'t>, Self::State<'t>) {
        time.scan(self, cx, x, state)
    }
}
