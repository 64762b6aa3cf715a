//! Which learning rate? A range test tries rates from small to large, one step each, and suggests one; then an LSTM is trained with it, with a
//! thirtieth of it and with a hundred times as much.
//!
//! ```text
//! cargo run --release --example learning_rate [-- --smoke] [--out DIR]
//! ```
//!
//! The LSTM learns what comes next in a noisy series. Writes range_test.svg, the loss over the rates, and learning_rate.svg, how the three
//! trainings went.

// In a program `pub` means: for the other modules.
#![allow(unreachable_pub)]

mod wave;

use std::path::{Path, PathBuf};
use wave::{Net, waves};
use wengert::prelude::*;
use wengert::train::plot::{Line, Plot};
use wengert::train::{Batches, RangeFound, RangeTest, Seeds, Standard, Windows, split};

const ROWS: usize = 3000;
const WINDOW: usize = 32;
const HIDDEN: usize = 32;
const BATCH: usize = 32;
/// The greatest loss in the pictures.
const TOP: f64 = 2.0;

/// What all trainings have in common.
struct Task {
    seeds: Seeds,
    train: Windows,
    validation: Windows,
}

impl Task {
    fn new(seeds: Seeds) -> wengert::train::Result<Task> {
        let series = waves(ROWS, &mut seeds.rng("noise"))?;
        let [train, validation] = split(ROWS, [0.8, 0.2])?;
        let series = Standard::fit(&series, train.clone())?.apply(&series)?;
        let windows = Windows::new(&series, WINDOW, 1)?;
        Ok(Task { seeds, train: windows.clone().within(train), validation: windows.within(validation) })
    }

    /// The same network each time.
    fn net(&self) -> Net {
        Net::new(HIDDEN, &mut self.seeds.rng("weights"))
    }

    fn batches(&self) -> wengert::train::Result<Batches> {
        Ok(Batches::new(self.train.len(), BATCH)?.shuffled(self.seeds.key("order")))
    }

    /// One training step, which gives the loss before it.
    fn step(&self, net: &Net, sgd: &mut Sgd, batch: &[usize]) -> Result<f64> {
        let tape = Tape::new();
        let gradients = net.loss(&Cx::train(&tape), self.train.batch(batch)?).backward()?;
        drop(tape);
        sgd.step(net, &gradients)?;
        gradients.loss().item()
    }

    fn range_test(&self) -> wengert::train::Result<RangeFound> {
        let (net, mut sgd, mut batches) = (self.net(), Sgd::new(0.0).momentum(0.9), self.batches()?);
        let test = RangeTest { from: 1e-4, to: 100.0, ..Default::default() };
        test.run(&net, |lr| {
            sgd.lr = lr;
            // At the end of an epoch there is no batch, once.
            let batch = batches.next().or_else(|| batches.next()).unwrap_or_default();
            Ok(self.step(&net, &mut sgd, &batch)?)
        })
    }

    /// The validation loss ahead of the training and after each epoch.
    fn train(&self, lr: f64, epochs: u64) -> wengert::train::Result<Vec<f64>> {
        let (net, mut sgd, mut batches) = (self.net(), Sgd::new(lr).momentum(0.9), self.batches()?);
        let all: Vec<usize> = (0..self.validation.len()).collect();
        let validate = || -> Result<f64> {
            let tape = Tape::inference();
            net.loss(&Cx::eval(&tape), self.validation.batch(&all)?).item()
        };
        let mut losses = vec![validate()?];
        while batches.epoch() < epochs {
            for batch in batches.by_ref() {
                self.step(&net, &mut sgd, &batch)?;
            }
            losses.push(validate()?);
        }
        Ok(losses)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let smoke = arguments.iter().any(|argument| argument == "--smoke");
    let out = arguments.iter().skip_while(|argument| *argument != "--out").nth(1).map_or("out".into(), PathBuf::from);
    let epochs = if smoke { 2 } else { 8 };
    std::fs::create_dir_all(&out)?;

    let task = Task::new(Seeds::new(0))?;
    let found = task.range_test()?;
    let suggestion = found.suggestion().ok_or("the loss has not fallen at any rate")?;
    let mut plot = Plot::new("Learning-rate range test", "learning rate", "mean squared error").log_x();
    // Where the loss explodes, the rest would be flat beside it.
    plot.range = Some(0.0..TOP);
    let points = |losses: &[f64]| found.rates.iter().copied().zip(losses.iter().copied()).collect::<Vec<_>>();
    plot.lines = vec![line("loss of the batch", points(&found.losses)), line("smoothed", points(&found.smoothed))];
    plot.mark = Some((suggestion, format!("suggestion {suggestion:.2e}")));
    write(&out.join("range_test.svg"), &plot)?;
    println!("{} rates tried; the suggestion is {suggestion:.4}", found.rates.len());

    let mut plot = Plot::new("Validation loss by learning rate", "epoch", "mean squared error");
    plot.range = Some(0.0..TOP);
    println!("\n{:<24}{:>12}{:>12}", "learning rate", "epoch 1", format!("epoch {epochs}"));
    for (name, factor) in [("a thirtieth", 1.0 / 30.0), ("the suggestion", 1.0), ("a hundred times", 100.0)] {
        let losses = task.train(factor * suggestion, epochs)?;
        let name = format!("{:.4}, {name}", factor * suggestion);
        println!("{name:<24}{:>12}{:>12}", shown(losses[1]), shown(losses[epochs as usize]));
        plot.lines.push(line(name, losses.iter().enumerate().map(|(epoch, loss)| (epoch as f64, *loss)).collect()));
    }
    write(&out.join("learning_rate.svg"), &plot)?;
    Ok(())
}

/// A loss; far above that of a network that says nothing, whose square is about 1, it is none.
fn shown(loss: f64) -> String {
    if loss < 100.0 { format!("{loss:.4}") } else { "diverged".into() }
}

/// A line up to where it leaves the picture.
fn line(name: impl Into<String>, points: Vec<(f64, f64)>) -> Line {
    Line::new(name, points.into_iter().take_while(|(_, loss)| *loss < TOP).collect::<Vec<_>>())
}

fn write(path: &Path, plot: &Plot) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::write(path, plot.svg()?)?;
    println!("{}", path.display());
    Ok(())
}
