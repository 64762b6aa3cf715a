//! The LSTM with layer normalisation of Ba et al. (2016, arXiv 1607.06450).

use super::{drawn, ones};
use rand::rngs::StdRng;
use wengert::prelude::*;

const EPS: f64 = 1e-5;

#[derive(Module)]
pub(crate) struct LayerNormLstm {
    w: Param,
    u: Param,
    b: Param,
    gain_x: Param,
    gain_h: Param,
    gain_c: Param,
    bias_c: Param,
    hidden: usize,
}

impl LayerNormLstm {
    pub(crate) fn new(input: usize, hidden: usize, rng: &mut StdRng) -> LayerNormLstm {
        let mut draw = drawn(hidden, rng);
        LayerNormLstm {
            w: draw(&[input, 4 * hidden]),
            u: draw(&[hidden, 4 * hidden]),
            b: draw(&[4 * hidden]),
            gain_x: ones(4 * hidden),
            gain_h: ones(4 * hidden),
            gain_c: ones(hidden),
            bias_c: draw(&[hidden]),
            hidden,
        }
    }
}

impl Cell for LayerNormLstm {
    type State<'t> = (Var<'t>, Var<'t>);
    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        (cx.zeros([batch, self.hidden]), cx.zeros([batch, self.hidden]))
    }
    fn step<'t>(&self, x: Var<'t>, (h, c): Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        let x = x.matmul(&self.w).layer_norm(EPS) * &self.gain_x;
        let z = x + h.matmul(&self.u).layer_norm(EPS) * &self.gain_h + &self.b;
        let [i, f, g, o] = z.chunk();
        let c = f.sigmoid() * c + i.sigmoid() * g.tanh();
        let h = o.sigmoid() * (c.layer_norm(EPS) * &self.gain_c + &self.bias_c).tanh();
        (h, (h, c))
    }
}
