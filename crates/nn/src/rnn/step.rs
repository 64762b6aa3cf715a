//! Single steps, for streaming.

use super::Rnn;
use super::checks::{grown, placed, spoil, spoiled};
use crate::cell::Cell;
use wengert_autograd::{Tree, Var};

impl<C: Cell> Rnn<C> {
    /// One step, for streaming: input `[B, I]` and the states to output `[B, O]` and states, as in an evaluation. A
    /// step that changes the shape of a state, as a whole sequence `[T, B, I]` would, is an error that all results
    /// carry.
    #[track_caller]
    pub fn step<'t>(&self, x: Var<'t>, states: Vec<C::State<'t>>) -> (Var<'t>, Vec<C::State<'t>>) {
        let mut y = match self.check(x, &["B", "I"], &states) {
            Ok(x) => x,
            Err(broken) => return (broken, spoiled(&states, broken)),
        };
        let first = y;
        let mut next = Vec::with_capacity(states.len());
        for (layer, (cell, state)) in self.layers.iter().zip(states).enumerate() {
            let before = state.leaves();
            y = self.joined(layer, y, first);
            let (output, state) = cell.step(y, state);
            let (output, state) = match grown(layer, y, &before, &state) {
                Some(broken) => (broken, spoil(&state, broken)),
                None => placed(layer, y, output, state),
            };
            next.push(state);
            y = self.connected(y, output);
        }
        (y, next)
    }
}
