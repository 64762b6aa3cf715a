//! A projection of an LSTM's output.

use crate::cell::Cell;
use crate::cells::{CoupledLstmCell, LayerNormLstmCell, LstmCell, PeepholeLstmCell};
use crate::cx::Cx;
use crate::dropout::{Gated, Noise, Product};
use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Param, Var};

/// A cell with state `(h, c)` whose step reads `h` only in a product with one matrix, which can have any number of rows.
pub trait Recurrent: for<'t> Cell<State<'t> = (Var<'t>, Var<'t>)> {
    /// That matrix, `[H, ..]`, and after it `H`, the number of units.
    fn recurrent(&mut self) -> (&mut Param, usize);
}

macro_rules! recurrent {
    ($($cell:ident),*) => {$(
        impl Recurrent for $cell {
            fn recurrent(&mut self) -> (&mut Param, usize) {
                (&mut self.u, self.hidden)
            }
        }
    )*};
}
recurrent!(LstmCell, PeepholeLstmCell, CoupledLstmCell, LayerNormLstmCell);

/// A cell that gives, and reads in the next step, a projection of its units (Sak, Senior & Beaufays 2014, arXiv 1402.1128; PyTorch's
/// `proj_size`):
///
/// ```text
/// (h̃, c') = cell(x, (h, c))      h' = h̃·P
/// ```
///
/// ```
/// use rand::{SeedableRng, rngs::StdRng};
/// use wengert_nn::{PeepholeLstmCell, Projected};
/// let rng = &mut StdRng::seed_from_u64(0);
/// let cell = Projected::new(PeepholeLstmCell::new(10, 64, rng), 16, rng);
/// assert_eq!(cell.cell.u.value().shape()[..], [16, 256]);
/// ```
#[derive(Clone, Debug, Module)]
#[module(kind = "projected")]
pub struct Projected<C> {
    /// The cell, with recurrent weights of P rows.
    pub cell: C,
    /// The projection `[H, P]`.
    pub p: Param,
    size: usize,
}

impl<C: Recurrent> Projected<C> {
    /// `cell` with outputs of `size`: its recurrent weights are drawn anew, and with the projection, from `uniform(±1/√hidden)`.
    pub fn new(mut cell: C, size: usize, rng: &mut impl Rng) -> Projected<C> {
        let (u, hidden) = cell.recurrent();
        let mut draw = init::recurrent(hidden, rng);
        let columns = u.value().shape().last().copied().unwrap_or(0);
        *u = draw(&[size, columns]);
        Projected { p: draw(&[hidden, size]), cell, size }
    }

    fn project<'t>(&self, (h, (_, c)): (Var<'t>, (Var<'t>, Var<'t>))) -> (Var<'t>, (Var<'t>, Var<'t>)) {
        let h = h.matmul(&self.p);
        (h, (h, c))
    }
}

impl<C: Recurrent> Cell for Projected<C> {
    /// `(h, c)`, `[B, P]` and `[B, H]`.
    type State<'t> = (Var<'t>, Var<'t>);

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        let (_, c) = self.cell.init(cx, batch);
        (cx.zeros([batch, self.size]), c)
    }

    fn step<'t>(&self, x: Var<'t>, state: Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        self.noisy_step(x, state, Noise::none())
    }

    #[track_caller]
    fn noise<'t>(&self, cx: &Cx<'t>, steps: usize, batch: usize) -> Noise<'t> {
        self.cell.noise(cx, steps, batch)
    }

    fn noisy_step<'t>(&self, x: Var<'t>, state: Self::State<'t>, noise: Noise<'t>) -> (Var<'t>, Self::State<'t>) {
        self.project(self.cell.noisy_step(x, state, noise))
    }
}

impl<C: Recurrent + Gated> Gated for Projected<C> {
    const GATES: usize = C::GATES;

    fn step_by<'t>(&self, x: Var<'t>, state: Self::State<'t>, times: impl Product<'t>) -> (Var<'t>, Self::State<'t>) {
        self.project(self.cell.step_by(x, state, times))
    }
}
