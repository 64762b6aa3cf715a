use rand::Rng;
use wengert::prelude::*;

/// Two waves, one on the other, with noise: `[N, 1]`.
pub fn waves(n: usize, rng: &mut impl Rng) -> Result<Tensor> {
    let noise = init::normal(&[n], 0.1, rng).to_f64_vec();
    let value = |(t, noise): (usize, f64)| (t as f64 * 0.3).sin() + (t as f64 * 0.19).sin() + noise;
    Tensor::from_vec(noise.into_iter().enumerate().map(|tn| value(tn) as f32).collect(), [n, 1])
}

/// From a window of a series to the value that follows it.
#[derive(Module)]
pub struct Net {
    rnn: Rnn<LstmCell>,
    head: Linear,
}

impl Net {
    pub fn new(hidden: usize, rng: &mut impl Rng) -> Net {
        Net { rnn: Rnn::new(LstmCell::new(1, hidden, rng)), head: Linear::new(hidden, 1, rng) }
    }

    /// Of windows `[T, B, 1]` and the values that follow them, `[1, B, 1]`.
    pub fn loss<'t>(&self, cx: &Cx<'t>, (x, y): (Tensor, Tensor)) -> Var<'t> {
        let (h, _state) = self.rnn.forward(cx, cx.tape().constant(x));
        loss::mse(self.head.forward(h.last(0)), cx.tape().constant(y).squeeze(0))
    }
}
