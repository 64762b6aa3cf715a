//! An LSTM that reads a memory at each step, by scaled dot-product attention.

use super::drawn;
use rand::rngs::StdRng;
use wengert::prelude::*;

#[derive(Module)]
pub(crate) struct Attention {
    w: Param,
    u: Param,
    v: Param,
    b: Param,
    query: Param,
    /// Given, as the outputs of an encoder are.
    #[module(skip)]
    memory: Tensor,
    hidden: usize,
}

impl Attention {
    /// With a memory `[B, S, H]`, for each sequence its own.
    pub(crate) fn new(input: usize, hidden: usize, memory: Tensor, rng: &mut StdRng) -> Attention {
        let mut draw = drawn(hidden, rng);
        let (w, u, v) = (draw(&[input, 4 * hidden]), draw(&[hidden, 4 * hidden]), draw(&[hidden, 4 * hidden]));
        Attention { w, u, v, b: draw(&[4 * hidden]), query: draw(&[hidden, hidden]), memory, hidden }
    }
}

impl Cell for Attention {
    type State<'t> = (Var<'t>, Var<'t>);
    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        (cx.zeros([batch, self.hidden]), cx.zeros([batch, self.hidden]))
    }
    fn step<'t>(&self, x: Var<'t>, (h, c): Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        let memory = x.tape().constant(&self.memory);
        let query = h.matmul(&self.query).unsqueeze(1);
        let scores = query.matmul(memory.transpose(1, 2)) * (self.hidden as f64).powf(-0.5);
        let read = scores.softmax(-1).matmul(memory).squeeze(1);
        let z = x.matmul(&self.w) + h.matmul(&self.u) + read.matmul(&self.v) + &self.b;
        let [i, f, g, o] = z.chunk();
        let c = f.sigmoid() * c + i.sigmoid() * g.tanh();
        let h = o.sigmoid() * c.tanh();
        (h, (h, c))
    }
}
