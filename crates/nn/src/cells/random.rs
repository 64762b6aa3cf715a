//! The random cells of the gradient checks, as cells.

use crate::cell::Cell;
use crate::cx::Cx;
use wengert_autograd::Var;
use wengert_autograd::check::RandomCell;

impl Cell for RandomCell {
    type State<'t> = Vec<Var<'t>>;

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Vec<Var<'t>> {
        RandomCell::init(self, cx.tape(), batch)
    }

    #[track_caller]
    fn step<'t>(&self, x: Var<'t>, state: Vec<Var<'t>>) -> (Var<'t>, Vec<Var<'t>>) {
        RandomCell::step(self, x, state)
    }
}
