//! The LSTM whose gates see the cell's content (Gers & Schmidhuber 2000).

use super::drawn;
use rand::rngs::StdRng;
use wengert::prelude::*;

#[derive(Module)]
pub(crate) struct Peephole {
    w: Param,
    u: Param,
    b: Param,
    pi: Param,
    pf: Param,
    po: Param,
    hidden: usize,
}

impl Peephole {
    pub(crate) fn new(input: usize, hidden: usize, rng: &mut StdRng) -> Peephole {
        let mut draw = drawn(hidden, rng);
        let (w, u, b) = (draw(&[input, 4 * hidden]), draw(&[hidden, 4 * hidden]), draw(&[4 * hidden]));
        Peephole { w, u, b, pi: draw(&[hidden]), pf: draw(&[hidden]), po: draw(&[hidden]), hidden }
    }
}

impl Cell for Peephole {
    type State<'t> = (Var<'t>, Var<'t>);
    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        (cx.zeros([batch, self.hidden]), cx.zeros([batch, self.hidden]))
    }
    fn step<'t>(&self, x: Var<'t>, (h, c): Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        let z = x.matmul(&self.w) + h.matmul(&self.u) + &self.b;
        let [i, f, g, o] = z.chunk();
        let (i, f) = ((i + c * &self.pi).sigmoid(), (f + c * &self.pf).sigmoid());
        let c = f * c + i * g.tanh();
        let h = (o + c * &self.po).sigmoid() * c.tanh();
        (h, (h, c))
    }
}
