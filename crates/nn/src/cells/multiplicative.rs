//! The LSTM with a recurrent matrix for each input.

use crate::cell::Cell;
use crate::cells::LstmCell;
use crate::cx::Cx;
use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Param, Var};

/// The multiplicative LSTM (Krause et al. 2016, arXiv 1609.07959): an LSTM that sees, in place of `h`,
///
/// ```text
/// m = (x·W_m)·(h·U_m)
/// ```
///
/// element by element, so the input chooses how the state is read. A clone shares the parameters.
#[derive(Clone, Debug, Module)]
pub struct MultiplicativeLstmCell {
    /// Input weights of m `[I, H]`.
    pub w_m: Param,
    /// Recurrent weights of m `[H, H]`.
    pub u_m: Param,
    /// The LSTM that reads x and m.
    pub lstm: LstmCell,
}

impl MultiplicativeLstmCell {
    /// A cell with all weights drawn from `uniform(±1/√hidden)`.
    pub fn new(input: usize, hidden: usize, rng: &mut impl Rng) -> MultiplicativeLstmCell {
        let lstm = LstmCell::new(input, hidden, rng);
        let mut draw = init::recurrent(hidden, rng);
        MultiplicativeLstmCell { w_m: draw(&[input, hidden]), u_m: draw(&[hidden, hidden]), lstm }
    }
}

impl Cell for MultiplicativeLstmCell {
    /// `(h, c)`, each `[B, H]`.
    type State<'t> = (Var<'t>, Var<'t>);

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        self.lstm.init(cx, batch)
    }

    fn step<'t>(&self, x: Var<'t>, (h, c): Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        let m = x.matmul(&self.w_m) * h.matmul(&self.u_m);
        self.lstm.step(x, (m, c))
    }
}
