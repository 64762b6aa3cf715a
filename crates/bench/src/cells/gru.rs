//! The gated recurrent unit (Cho et al. 2014) as PyTorch computes it: the reset gate acts on the product with the state.

use super::drawn;
use rand::rngs::StdRng;
use wengert::prelude::*;

#[derive(Module)]
pub(crate) struct Gru {
    w: Param,
    u: Param,
    bx: Param,
    bh: Param,
    hidden: usize,
}

impl Gru {
    pub(crate) fn new(input: usize, hidden: usize, rng: &mut StdRng) -> Gru {
        let mut draw = drawn(hidden, rng);
        let (w, u) = (draw(&[input, 3 * hidden]), draw(&[hidden, 3 * hidden]));
        Gru { w, u, bx: draw(&[3 * hidden]), bh: draw(&[3 * hidden]), hidden }
    }
}

impl Cell for Gru {
    type State<'t> = Var<'t>;
    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Var<'t> {
        cx.zeros([batch, self.hidden])
    }
    fn step<'t>(&self, x: Var<'t>, h: Var<'t>) -> (Var<'t>, Var<'t>) {
        let [rx, zx, nx] = (x.matmul(&self.w) + &self.bx).chunk();
        let [rh, zh, nh] = (h.matmul(&self.u) + &self.bh).chunk();
        let z = (zx + zh).sigmoid();
        let n = (nx + (rx + rh).sigmoid() * nh).tanh();
        let h = (1.0 - z) * n + z * h;
        (h, h)
    }
}
