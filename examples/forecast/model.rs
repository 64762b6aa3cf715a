//! The network, and a cell of one's own.

use crate::failure::Result;
use crate::task::Task;
use rand::Rng;
use wengert::prelude::*;

/// A minimal gated unit (Zhou et al. 2016): one gate decides both what is forgotten and what is let in.
#[derive(Module)]
pub struct MinimalGatedUnit {
    w: Param,
    u: Param,
    b: Param,
    hidden: usize,
}

impl Cell for MinimalGatedUnit {
    type State<'t> = Var<'t>;
    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Var<'t> {
        cx.zeros([batch, self.hidden])
    }
    fn step<'t>(&self, x: Var<'t>, h: Var<'t>) -> (Var<'t>, Var<'t>) {
        let [x_gate, x_new] = (x.matmul(&self.w) + &self.b).chunk();
        let [h_gate, h_new] = h.matmul(&self.u).chunk();
        let f = (x_gate + h_gate).sigmoid();
        let h = (1.0 - f) * h + f * (x_new + f * h_new).tanh();
        (h, h)
    }
}

impl MinimalGatedUnit {
    pub fn new(input: usize, hidden: usize, rng: &mut impl Rng) -> MinimalGatedUnit {
        let bound = 1.0 / (hidden as f64).sqrt();
        let mut draw = |shape: &[usize]| Param::new(init::uniform(shape, bound, rng));
        MinimalGatedUnit {
            w: draw(&[input, 2 * hidden]),
            u: draw(&[hidden, 2 * hidden]),
            b: draw(&[2 * hidden]),
            hidden,
        }
    }
}

/// Recurrent layers over the window, and a linear layer from the last output to all steps of the forecast.
#[derive(Module)]
pub struct Forecaster<C> {
    rnn: Rnn<C>,
    head: Linear,
}

impl<C: Cell> Forecaster<C> {
    /// The head starts at zero, so the untrained network forecasts no change: training starts at persistence.
    pub fn new(rnn: Rnn<C>, hidden: usize, horizon: usize, rng: &mut impl Rng) -> Result<Forecaster<C>> {
        let head = Linear::new(hidden, horizon, rng);
        for (_, param) in head.params() {
            param.set(Tensor::zeros(param.value().shape(), DType::F32))?;
        }
        Ok(Forecaster { rnn, head })
    }

    /// `[T, B, I]` to `[B, H]`.
    pub fn forward<'t>(&self, cx: &Cx<'t>, x: Var<'t>) -> Var<'t> {
        let (y, _) = self.rnn.forward(cx, x);
        self.head.forward(y.last(0))
    }

    /// The forecasts of windows, in the units of the series.
    pub fn forecast(&self, task: &Task, origins: &[usize]) -> Result<Vec<Vec<f64>>> {
        let mut forecasts = Vec::with_capacity(origins.len());
        for batch in origins.chunks(256) {
            let tape = Tape::inference();
            let moves = self.forward(&Cx::eval(&tape), tape.constant(task.input(batch)?)).value()?.to_f64_vec();
            for (origin, moves) in batch.iter().zip(moves.chunks(task.horizon)) {
                forecasts.push(moves.iter().map(|y| task.last(*origin) + y * task.scale).collect());
            }
        }
        Ok(forecasts)
    }
}
