//! The LSTM of the library, written once more.

use super::drawn;
use rand::rngs::StdRng;
use wengert::prelude::*;

#[derive(Module)]
pub(crate) struct Custom {
    w: Param,
    u: Param,
    b: Param,
    hidden: usize,
}

impl Custom {
    pub(crate) fn new(input: usize, hidden: usize, rng: &mut StdRng) -> Custom {
        let mut draw = drawn(hidden, rng);
        Custom { w: draw(&[input, 4 * hidden]), u: draw(&[hidden, 4 * hidden]), b: draw(&[4 * hidden]), hidden }
    }
}

impl Cell for Custom {
    type State<'t> = (Var<'t>, Var<'t>);
    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        (cx.zeros([batch, self.hidden]), cx.zeros([batch, self.hidden]))
    }
    fn step<'t>(&self, x: Var<'t>, (h, c): Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        let z = x.matmul(&self.w) + h.matmul(&self.u) + &self.b;
        let [i, f, g, o] = z.chunk();
        let c = f.sigmoid() * c + i.sigmoid() * g.tanh();
        let h = o.sigmoid() * c.tanh();
        (h, (h, c))
    }
}
