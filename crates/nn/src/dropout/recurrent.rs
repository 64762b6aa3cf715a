//! Dropout where the state enters the gates.

use super::Noise;
use crate::Module;
use crate::cell::Cell;
use crate::cx::Cx;
use wengert_autograd::{Param, Tree, Var};

/// The product of a state `[B, H]` and recurrent weights `[H, G·H]`.
pub trait Product<'t>: Fn(Var<'t>, &Param) -> Var<'t> {}

impl<'t, F: Fn(Var<'t>, &Param) -> Var<'t>> Product<'t> for F {}

/// The product as it is.
pub(crate) fn plain<'t>(h: Var<'t>, u: &Param) -> Var<'t> {
    h.matmul(u)
}

/// A cell whose gates read the state in one product, with recurrent weights for each gate side by side. That is its first component, and
/// the cell draws nothing at random itself.
pub trait Gated: Cell {
    /// The number of gates, G.
    const GATES: usize;

    /// The step, with `times(h, &u)` in place of `h·u` for that product.
    fn step_by<'t>(&self, x: Var<'t>, state: Self::State<'t>, times: impl Product<'t>) -> (Var<'t>, Self::State<'t>);
}

/// A cell whose state is dropped where it enters the gates: a mask for each gate, the same at all steps (Gal & Ghahramani 2016, arXiv
/// 1512.05287; Keras' `recurrent_dropout`):
///
/// ```text
/// h·U  becomes  [(h∘m_1)·U_1, .., (h∘m_G)·U_G]        m = 0 with probability `rate`, else 1 / (1 − rate)
/// ```
///
/// Where the formulas use the state otherwise, as in `z·h` of a GRU, it is whole.
#[derive(Clone, Debug, Module)]
pub struct RecurrentDropout<C> {
    /// The cell.
    pub cell: C,
    /// The probability that an entry is dropped.
    pub rate: f64,
}

impl<C> RecurrentDropout<C> {
    /// `cell` with recurrent dropout at a rate.
    pub fn new(cell: C, rate: f64) -> RecurrentDropout<C> {
        RecurrentDropout { cell, rate }
    }
}

impl<C: Gated> Cell for RecurrentDropout<C> {
    type State<'t> = C::State<'t>;

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        self.cell.init(cx, batch)
    }

    #[track_caller]
    fn noise<'t>(&self, cx: &Cx<'t>, _: usize, batch: usize) -> Noise<'t> {
        let mut noise = Noise::none();
        if let Some(shape) = self.cell.init(cx, batch).leaves().first().and_then(|h| h.shape().ok()) {
            for _ in 0..C::GATES {
                noise.fixed.extend(cx.dropout_mask(self.rate, shape.clone()));
            }
        }
        noise
    }

    fn step<'t>(&self, x: Var<'t>, state: Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        self.cell.step(x, state)
    }

    fn noisy_step<'t>(&self, x: Var<'t>, state: Self::State<'t>, noise: Noise<'t>) -> (Var<'t>, Self::State<'t>) {
        if noise.fixed.is_empty() {
            return self.cell.step(x, state);
        }
        self.cell.step_by(x, state, |h: Var<'t>, u: &Param| {
            let tape = h.tape();
            let u = tape.param(u);
            let size = u.shape().ok().and_then(|shape| shape.last().copied()).unwrap_or(0) / C::GATES;
            let gate = |(gate, mask): (usize, &Var<'t>)| (h * *mask).matmul(u.narrow(-1, gate * size, size));
            tape.concat(&noise.fixed.iter().enumerate().map(gate).collect::<Vec<_>>(), -1)
        })
    }
}
