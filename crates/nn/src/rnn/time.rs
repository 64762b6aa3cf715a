//! One run of a cell over time.

use super::checks::{copied, each_with, float_type, spoil};
use crate::cell::Cell;
use crate::cx::Cx;
use wengert_autograd::{Checkpoint, DType, Path, ScanOptions, Shape, Tree, Var};

/// How the layers of a network run: the steps that sequences have, where they begin anew, and in which direction.
#[derive(Clone, Debug, Default)]
pub struct Time<'t> {
    /// Where sequences have not ended, `[T, B]`.
    pub(super) alive: Option<Var<'t>>,
    /// Before which steps the state is set back, `[T, B]`.
    pub(super) resets: Option<Var<'t>>,
    pub(super) after: Option<usize>,
    pub(super) checkpoint: Checkpoint,
    pub(super) reverse: bool,
}

impl<'t> Time<'t> {
    /// The same sequences from their last steps to their first.
    pub fn reversed(&self) -> Time<'t> {
        Time { reverse: !self.reverse, ..self.clone() }
    }

    /// Before which steps the state is set back, going in this direction.
    #[track_caller]
    fn entries(&self, steps: usize) -> Option<Var<'t>> {
        let resets = self.resets?;
        if !self.reverse || steps == 0 {
            return Some(resets);
        }
        // Going back, a sequence is entered by its last step: the one before that in which the next begins.
        Some(resets.cast(DType::I64).narrow(0, 1, steps - 1).pad(0, 0, 1, 0.0).ne(0))
    }

    /// Runs a cell over `x` `[T, B, ..]`: outputs `[T, B, O]` and the state after the last step.
    #[track_caller]
    pub fn scan<C: Cell>(&self, cell: &C, cx: &Cx<'t>, x: Var<'t>, state: C::State<'t>) -> (Var<'t>, C::State<'t>) {
        let Ok(shape) = x.shape() else { return (x, copied(&state)) };
        let (steps, batch) = (shape.first().copied().unwrap_or(0), shape.get(1).copied().unwrap_or(0));
        if self.after.is_some() && self.reverse {
            let found = "states after some steps are asked of a layer that goes back in time";
            let broken = x.invalid("rnn", found, "take a network of one direction");
            return (broken, spoil(&state, broken));
        }
        let resets = self.entries(steps);
        let (noise, fresh) = {
            let _named = cx.tape().composition("rnn");
            let cx = cx.with_dtype(float_type(cell).unwrap_or(cx.dtype()));
            let fresh = resets.map(|_| cell.init(&cx, batch).leaves());
            (cell.noise(&cx, steps, batch), fresh)
        };
        let begin = copied(&state);
        let options = ScanOptions { reverse: self.reverse, checkpoint: self.checkpoint, ..ScanOptions::default() };
        let items = (x, self.alive, resets, noise);
        let (last, (y, states)) = cx.tape().scan_with(options, state, items, |state, (x, alive, reset, noise)| {
            let before = match (reset, &fresh) {
                (Some(reset), Some(fresh)) => each_with(&state, fresh, |old, fresh| either(reset, fresh, old)),
                _ => copied(&state),
            };
            let (mut y, mut next) = cell.noisy_step(x, before, noise);
            if let Some(alive) = alive {
                next = each_with(&next, &state.leaves(), |new, old| either(alive, new, old));
                y = emptied(alive, y);
            }
            let states = self.after.map(|_| copied(&next));
            (next, (y, states))
        });
        let state = match (self.after, states) {
            (Some(0), _) => begin,
            (Some(after), Some(states)) => states.map_vars(&mut Path::unnamed(), &mut |_, all| all.get(0, after - 1)),
            _ => last,
        };
        (y, state)
    }
}

/// `a` in the rows `[B]` where the condition holds, else `b`.
fn either<'t>(rows: Var<'t>, a: Var<'t>, b: Var<'t>) -> Var<'t> {
    match (a.shape(), b.shape()) {
        // The loop reports a step that changes shapes.
        (Ok(shape), Ok(other)) if shape == other && !a.is(b) => of_rank(rows, shape.rank()).select(a, b),
        _ => a,
    }
}

/// `v` with zeros where the condition does not hold, which has the leading axes of `v`. They replace, so that a NaN does not stay.
#[track_caller]
pub(super) fn emptied<'t>(condition: Var<'t>, v: Var<'t>) -> Var<'t> {
    match v.shape() {
        Ok(shape) => of_rank(condition, shape.rank()).select(v, 0.0),
        Err(_) => v,
    }
}

/// A condition with axes of extent 1 behind, as many axes as the value it is for.
#[track_caller]
fn of_rank<'t>(condition: Var<'t>, rank: usize) -> Var<'t> {
    let Ok(shape) = condition.shape() else { return condition };
    let wide: Shape = shape.iter().copied().chain((shape.rank()..rank).map(|_| 1)).collect();
    condition.reshape(wide)
}
