//! A training that can be interrupted: what it knows is in one file.

use crate::corpus::Corpus;
use crate::failure::{Failure, Result};
use crate::model::{CharLm, pieces, resume};
use std::path::Path;
use wengert::optim::schedule::Cosine;
use wengert::prelude::*;

/// Parts of the text that are read side by side.
const ROWS: usize = 16;
/// Steps of time between two updates. Derivatives end there, the state goes on.
const LENGTH: usize = 64;

/// The network, its optimizer, the state of its units, and how far it has read.
pub struct Session {
    pub net: CharLm,
    /// Updates so far.
    pub step: usize,
    /// Updates in an epoch.
    epoch: usize,
    adam: Adam,
    carried: Option<Carried>,
    steps: usize,
}

impl Session {
    /// For a training of `steps` updates.
    pub fn new(net: CharLm, corpus: &Corpus, steps: usize) -> Result<Session> {
        let epoch = (corpus.train.len() / ROWS - 1) / LENGTH;
        if epoch == 0 {
            return Err(Failure::new(format!("{}: {} characters are too few", corpus.name, corpus.train.len())));
        }
        Ok(Session { net, step: 0, epoch, adam: Adam::new(0.0).betas(0.9, 0.99), carried: None, steps })
    }

    /// One update. Gives the loss before it, in nats per character.
    pub fn advance(&mut self, corpus: &Corpus) -> Result<f64> {
        let place = self.step % self.epoch;
        if place == 0 {
            self.carried = None;
        }
        let (x, next) = pieces(&corpus.train, ROWS, place * LENGTH, LENGTH)?;
        let tape = Tape::new();
        let cx = Cx::train(&tape);
        let state = resume(&self.net.rnn, &cx, ROWS, &self.carried)?;
        let (scores, state) = self.net.forward(&cx, &x, state);
        let state = state.keep();
        let mut gradients = loss::cross_entropy(scores, &next).backward()?;
        self.carried = Some(Carried::of(&state)?);
        drop(tape);
        clip_grad_norm(&self.net, &mut gradients, 1.0)?;
        self.adam.lr = Cosine { from: 4e-3, to: 1e-4, steps: self.steps }.warm_up(20).at(self.step);
        self.adam.step(&self.net, &gradients)?;
        self.step += 1;
        Ok(gradients.loss().item()?)
    }

    /// Writes all that the next step depends on, but for the text.
    pub fn save(&self, path: &Path) -> Result<()> {
        let under = |part: &'static str| move |(name, tensor): (String, Tensor)| (format!("{part}.{name}"), tensor);
        let mut all: Vec<(String, Tensor)> =
            io::Weights::new().tensors(&self.net).into_iter().map(under("net")).collect();
        all.extend(self.adam.state(&self.net)?.into_iter().map(under("adam")));
        if let Some(carried) = &self.carried {
            all.extend(carried.leaves().iter().cloned().map(under("state")));
        }
        all.push(("step".into(), Tensor::scalar(self.step as i64)));
        Ok(io::save_tensors(all, path)?)
    }

    /// Goes on from what was saved.
    pub fn load(&mut self, path: &Path) -> Result<()> {
        let all = io::load_tensors(path)?;
        let part = |part: &str| -> Vec<(String, Tensor)> {
            let under =
                |(name, tensor): &(String, Tensor)| Some((name.strip_prefix(part)?.to_string(), tensor.clone()));
            all.iter().filter_map(under).collect()
        };
        let step = part("step").first().and_then(|(_, step)| step.item().ok());
        let step = step.ok_or_else(|| Failure::file(path, "it was not saved by this program: 'step' is missing"))?;
        io::Weights::new().assign(&self.net, part("net.")).map_err(|e| Failure::file(path, e))?;
        self.adam.load_state(&self.net, part("adam."))?;
        let carried = part("state.");
        self.carried = (!carried.is_empty()).then(|| Carried::from_leaves(carried));
        self.step = step as usize;
        Ok(())
    }
}
