//! The network.

use crate::failure::Result;
use rand::Rng;
use wengert::prelude::*;
use wengert::train::Stream;

/// Features of a character.
const FEATURES: usize = 64;

/// From characters to what may follow each: features, an LSTM, and a score for every character.
#[derive(Module)]
pub struct CharLm {
    features: Param,
    pub rnn: Rnn<LstmCell>,
    head: Linear,
}

impl CharLm {
    pub fn new(classes: usize, hidden: usize, rng: &mut impl Rng) -> CharLm {
        CharLm {
            features: Param::new(init::normal(&[classes, FEATURES], 0.3, rng)),
            rnn: Rnn::new(LstmCell::new(FEATURES, hidden, rng).with_forget_bias(1.0)),
            head: Linear::new(hidden, classes, rng),
        }
    }

    /// Characters `[T, B]` and a state to scores `[T, B, C]` and the state after them.
    pub fn forward<'t>(&self, cx: &Cx<'t>, x: &Tensor, state: State<'t>) -> (Var<'t>, State<'t>) {
        let [steps, rows] = [x.shape()[0], x.shape()[1]];
        let flat = cx.tape().constant(x).reshape([steps * rows]);
        let x = cx.tape().param(&self.features).index_select(0, flat).reshape([steps, rows, FEATURES]);
        let (y, state) = self.rnn.forward_from(cx, x, state);
        (self.head.forward(y), state)
    }

    /// Bits for each character of a text, but for the first of each of 8 parts that are read side by side.
    pub fn bits(&self, text: &[i64]) -> Result<f64> {
        let rows = 8;
        let (mut carried, mut loss) = (None, metrics::LogLoss::new());
        for piece in Stream::next_step(&Tensor::from_slice(text, [text.len()])?, rows, 128)? {
            let tape = Tape::inference();
            let cx = Cx::eval(&tape);
            let (scores, state) = self.forward(&cx, &piece.x, resume(&self.rnn, &cx, rows, &carried)?);
            let mean = loss::cross_entropy(scores, &piece.y).keep();
            carried = Some(Carried::of(&state)?);
            loss.add(mean.item()?, piece.x.numel());
        }
        Ok(loss.bits_per_character())
    }

    /// A prompt, and `length` characters drawn one after the other with probabilities `softmax(scores / temperature)`.
    pub fn write(&self, prompt: &[i64], length: usize, temperature: f64, rng: &mut impl Rng) -> Result<Vec<i64>> {
        let mut text = prompt.to_vec();
        let (mut carried, mut read) = (None, 0);
        for _ in 0..length {
            let tape = Tape::inference();
            let cx = Cx::eval(&tape);
            let state = resume(&self.rnn, &cx, 1, &carried)?;
            let x = Tensor::from_slice(&text[read..], [text.len() - read, 1])?;
            let (scores, state) = self.forward(&cx, &x, state);
            let likely = (scores.last(0).squeeze(0) / temperature).softmax(-1).keep();
            carried = Some(Carried::of(&state)?);
            read = text.len();
            let mut left = rng.random::<f64>();
            let likely = likely.value()?.to_f64_vec();
            // Rounding can leave a little after the last one.
            let drawn = likely.iter().position(|p| {
                left -= p;
                left < 0.0
            });
            text.push(drawn.unwrap_or(0) as i64);
        }
        Ok(text)
    }
}

pub type State<'t> = Vec<(Var<'t>, Var<'t>)>;

/// The carried state, or zeros.
pub fn resume<'t>(rnn: &Rnn<LstmCell>, cx: &Cx<'t>, batch: usize, carried: &Option<Carried>) -> Result<State<'t>> {
    Ok(match carried {
        Some(carried) => rnn.resume(cx, batch, carried)?,
        None => rnn.init(cx, batch),
    })
}
