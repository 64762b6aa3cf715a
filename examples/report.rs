//! A run as one HTML file: an LSTM learns to remember what it saw first, and the report shows how far back the gradients reach.
//!
//! ```text
//! cargo run --release --example report [-- --smoke] [--out DIR]
//! ```
//!
//! At the first of 40 steps the network sees one of two signs, then noise; at the end it is asked for the sign. In the maps of the report
//! the gradient vanishes on its way back through time, until the forget gates open and it reaches the first step; then the loss falls, and
//! the gradients with it.

use std::path::PathBuf;
use wengert::nn::{explain, watch};
use wengert::prelude::*;
use wengert::train::{Log, Report, Seeds};

const STEPS: usize = 40;
const BATCH: usize = 32;
const HIDDEN: usize = 32;
const SEED: u64 = 3;

#[derive(Module)]
struct Net {
    rnn: Rnn<LstmCell>,
    head: Linear,
}

impl Net {
    /// Of outputs `[T, B, H]` and targets `[B, 1]`.
    fn loss<'t>(&self, y: Var<'t>, target: &Tensor) -> Var<'t> {
        loss::bce_with_logits(self.head.forward(y.last(0)), target)
    }
}

/// Sequences `[T, B, 2]`: a sign at the first step in one feature, noise in the other; and the signs as targets `[B, 1]`.
fn batch(key: i64) -> Result<(Tensor, Tensor)> {
    let tape = Tape::inference();
    let key = tape.constant(key);
    let sign = tape.bernoulli(key, 0.5, [BATCH, 1], DType::F32);
    let noise = tape.normal(key.fold_in(1), [STEPS, BATCH, 1], DType::F32);
    let first = (sign * 2.0 - 1.0).unsqueeze(0).concat([tape.zeros([STEPS - 1, BATCH, 1], DType::F32)], 0);
    let [x, target] = tape.eval([first.concat([noise * 0.3], -1), sign])?;
    Ok((x, target))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let smoke = arguments.iter().any(|argument| argument == "--smoke");
    let out = arguments.iter().skip_while(|argument| *argument != "--out").nth(1).map_or("out".into(), PathBuf::from);
    let (updates, every) = if smoke { (6, 2) } else { (200, 2) };

    let seeds = Seeds::new(SEED);
    let mut rng = seeds.rng("weights");
    let net = Net {
        rnn: Rnn::new(LstmCell::new(2, HIDDEN, &mut rng).with_forget_bias(1.0)),
        head: Linear::new(HIDDEN, 1, &mut rng),
    };
    let mut adam = Adam::new(3e-3);
    let mut report = Report::new("An LSTM that remembers the first of 40 steps");
    report.config("seed", SEED).config("steps", STEPS).config("batch", BATCH).config("hidden", HIDDEN);
    report.config("optimizer", "Adam, clipped to norm 1, cosine to 0").config("updates", updates);
    report.model(&net).equations(&explain(&net.rnn.layers[0], 2)?);

    let rate = schedule::Cosine { from: 3e-3, to: 0.0, steps: updates };
    for step in 0..updates {
        let (x, target) = batch(seeds.key_at("train", step as u64))?;
        let tape = Tape::new();
        let (y, _) = net.rnn.forward(&Cx::train(&tape), tape.constant(x));
        let mut gradients = net.loss(y, &target).backward()?;
        drop(tape);
        let norm = clip_grad_norm(&net, &mut gradients, 1.0)?;
        adam.lr = rate.at(step);
        let before = net.snapshot();
        adam.step(&net, &gradients)?;
        let (loss, now) = (gradients.loss().item()?, step as u64);
        report.log(now, &[("loss/train", loss), ("gradient norm", norm), ("learning rate", adam.lr)])?;

        if step % every == 0 {
            report.updates(now, &net, &before);
            // The same sequences each time, so that columns compare.
            let (x, target) = batch(seeds.key("watch"))?;
            let tape = Tape::new();
            let (cx, x) = (Cx::eval(&tape), tape.constant(x));
            report.watch(now, &watch(&net.rnn, &cx, x, &["i", "f", "o"], |y| net.loss(y, &target))?);
            let (y, _) = net.rnn.forward(&cx, x);
            report.log(now, &[("loss/test", net.loss(y, &target).item()?)])?;
        }
    }
    let path = out.join("report.html");
    report.save(&path)?;
    println!("{}", path.display());
    Ok(())
}
