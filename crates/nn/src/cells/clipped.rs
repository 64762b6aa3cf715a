//! Bounds for what a cell remembers.

use crate::Module;
use crate::cell::Cell;
use crate::cx::Cx;
use crate::dropout::Noise;
use wengert_autograd::{Path, Tree, Var};

/// Any cell, with every float component of the state that it carries on clamped to `±bound` (recurrent clipping). The output is
/// the cell's own. Where a value is clamped, no derivative flows.
///
/// ```
/// use rand::{SeedableRng, rngs::StdRng};
/// use wengert_nn::{Clipped, GruCell, Rnn};
/// let rng = &mut StdRng::seed_from_u64(0);
/// let net = Rnn::stack(2, 10, |_, input| Clipped { cell: GruCell::new(input, 20, rng), bound: 0.5 });
/// ```
#[derive(Clone, Debug, Module)]
pub struct Clipped<C> {
    /// The cell.
    pub cell: C,
    /// The bound, not negative.
    pub bound: f64,
}

impl<C: Cell> Cell for Clipped<C> {
    type State<'t> = C::State<'t>;

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        self.cell.init(cx, batch)
    }

    #[track_caller]
    fn noise<'t>(&self, cx: &Cx<'t>, steps: usize, batch: usize) -> Noise<'t> {
        self.cell.noise(cx, steps, batch)
    }

    #[track_caller]
    fn step<'t>(&self, x: Var<'t>, state: Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        self.noisy_step(x, state, Noise::none())
    }

    #[track_caller]
    fn noisy_step<'t>(&self, x: Var<'t>, state: Self::State<'t>, noise: Noise<'t>) -> (Var<'t>, Self::State<'t>) {
        let (y, state) = self.cell.noisy_step(x, state, noise);
        let clamp = |v: Var<'t>| match v.dtype() {
            Ok(dtype) if !dtype.is_float() => v,
            _ => v.clamp(-self.bound, self.bound),
        };
        (y, state.map_vars(&mut Path::unnamed(), &mut |_, v| clamp(v)))
    }
}
