//! A training that can be interrupted at any moment.

use crate::corpus::Corpus;
use crate::failure::{Failure, Result};
use crate::model::{CharLm, resume};
use wengert::optim::schedule::{Cosine, WarmUp};
use wengert::prelude::*;
use wengert::train::{Checkpointed, Parts, Stream};

/// Parts of the text that are read side by side.
const ROWS: usize = 16;
/// Steps of time between two updates. Derivatives end there, the state goes on.
const LENGTH: usize = 64;

/// The network, its optimizer, the state of its units, and how far it has read.
pub struct Session {
    pub net: CharLm,
    /// Updates so far.
    pub step: u64,
    adam: Adam,
    carried: Option<Carried>,
    text: Stream,
    rates: WarmUp<Cosine>,
}

impl Session {
    /// For a training of `steps` updates.
    pub fn new(net: CharLm, corpus: &Corpus, steps: u64) -> Result<Session> {
        let text = Tensor::from_slice(&corpus.train, [corpus.train.len()])?;
        Ok(Session {
            net,
            step: 0,
            adam: Adam::new(0.0).betas(0.9, 0.99),
            carried: None,
            text: Stream::next_step(&text, ROWS, LENGTH)?,
            rates: Cosine { from: 4e-3, to: 1e-4, steps: steps as usize }.warm_up(20),
        })
    }

    /// One update. Gives the loss before it, in nats per character.
    pub fn advance(&mut self) -> Result<f64> {
        // Between two epochs there is no piece, once.
        let piece = self.text.next().or_else(|| self.text.next());
        let piece = piece.ok_or_else(|| Failure::new("the text is too short"))?;
        if piece.first {
            self.carried = None;
        }
        let tape = Tape::new();
        let cx = Cx::train(&tape);
        let state = resume(&self.net.rnn, &cx, ROWS, &self.carried)?;
        let (scores, state) = self.net.forward(&cx, &piece.x, state);
        let state = state.keep();
        let mut gradients = loss::cross_entropy(scores, &piece.y).backward()?;
        self.carried = Some(Carried::of(&state)?);
        drop(tape);
        clip_grad_norm(&self.net, &mut gradients, 1.0)?;
        self.adam.lr = self.rates.at(self.step as usize);
        self.adam.step(&self.net, &gradients)?;
        self.step += 1;
        Ok(gradients.loss().item()?)
    }
}

impl Checkpointed for Session {
    /// All that the next step depends on, but for the text.
    fn parts(&mut self, parts: &mut Parts) -> wengert::train::Result<()> {
        parts.params("net", &self.net)?;
        parts.optimizer("adam", &mut self.adam, &self.net)?;
        parts.carried("state", &mut self.carried)?;
        parts.part("text", &mut self.text)?;
        parts.value("step", &mut self.step)
    }
}
