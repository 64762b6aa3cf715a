//! The network.

use crate::failure::Result;
use rand::{Rng, rngs::StdRng};
use wengert::prelude::*;

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
    pub fn new(classes: usize, hidden: usize, rng: &mut StdRng) -> CharLm {
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
    pub fn bits(&self, text: &[usize]) -> Result<f64> {
        let (rows, length) = (8, text.len() / 8);
        let (mut carried, mut sum, mut count) = (None, 0.0, 0.0);
        let mut from = 0;
        while from + 1 < length {
            let steps = (length - 1 - from).min(128);
            let tape = Tape::inference();
            let cx = Cx::eval(&tape);
            let state = resume(&self.rnn, &cx, rows, &carried)?;
            let (x, next) = pieces(text, rows, from, steps)?;
            let (scores, state) = self.forward(&cx, &x, state);
            let n = (steps * rows) as f64;
            let loss = loss::cross_entropy(scores, &next).keep();
            carried = Some(Carried::of(&state)?);
            (sum, count, from) = (sum + n * loss.item()?, count + n, from + steps);
        }
        Ok(sum / count / std::f64::consts::LN_2)
    }

    /// A prompt, and `length` characters drawn one after the other with probabilities `softmax(scores / temperature)`.
    pub fn write(&self, prompt: &[usize], length: usize, temperature: f64, rng: &mut StdRng) -> Result<Vec<usize>> {
        let mut text = prompt.to_vec();
        let (mut carried, mut read) = (None, 0);
        for _ in 0..length {
            let tape = Tape::inference();
            let cx = Cx::eval(&tape);
            let state = resume(&self.rnn, &cx, 1, &carried)?;
            let new: Vec<i64> = text[read..].iter().map(|index| *index as i64).collect();
            let x = Tensor::from_slice(&new, [new.len(), 1])?;
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
            text.push(drawn.unwrap_or(0));
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

/// The text in `rows` parts side by side: `steps` characters of each `[T, B]`, from the place `from` on, and those that follow them.
pub fn pieces(text: &[usize], rows: usize, from: usize, steps: usize) -> Result<(Tensor, Tensor)> {
    let length = text.len() / rows;
    let at = |shift: usize| -> Result<Tensor> {
        let place = |i: usize| text[i % rows * length + from + i / rows + shift] as i64;
        Ok(Tensor::from_vec((0..steps * rows).map(place).collect(), [steps, rows])?)
    };
    Ok((at(0)?, at(1)?))
}
