//! The multiplicative LSTM (Krause et al. 2016, arXiv 1609.07959).

use super::drawn;
use rand::rngs::StdRng;
use wengert::prelude::*;

#[derive(Module)]
pub(crate) struct Multiplicative {
    wm: Param,
    um: Param,
    w: Param,
    u: Param,
    b: Param,
    hidden: usize,
}

impl Multiplicative {
    pub(crate) fn new(input: usize, hidden: usize, rng: &mut StdRng) -> Multiplicative {
        let mut draw = drawn(hidden, rng);
        let (wm, um) = (draw(&[input, hidden]), draw(&[hidden, hidden]));
        let (w, u, b) = (draw(&[input, 4 * hidden]), draw(&[hidden, 4 * hidden]), draw(&[4 * hidden]));
        Multiplicative { wm, um, w, u, b, hidden }
    }
}

impl Cell for Multiplicative {
    type State<'t> = (Var<'t>, Var<'t>);
    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        (cx.zeros([batch, self.hidden]), cx.zeros([batch, self.hidden]))
    }
    fn step<'t>(&self, x: Var<'t>, (h, c): Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        let m = x.matmul(&self.wm) * h.matmul(&self.um);
        let z = x.matmul(&self.w) + m.matmul(&self.u) + &self.b;
        let [i, f, g, o] = z.chunk();
        let c = f.sigmoid() * c + i.sigmoid() * g.tanh();
        let h = o.sigmoid() * c.tanh();
        (h, (h, c))
    }
}
