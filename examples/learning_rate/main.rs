//! Which learning rate? A range test tries rates from small to large, one step each, and suggests one; then an LSTM is trained with it, with a
//! tenth of it and with ten times as much.
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

use std::path::PathBuf;
use wave::{Net, waves};
use wengert::prelude::*;
use wengert::train::plot::{Line, Plot};
use wengert::train::{Batches, RangeFound, RangeTest, Seeds, Standard, Windows, split};

const ROWS: usize = 3000;
const WINDOW: usize = 32;
const HIDDEN: usize = 32;
const BATCH: usize = 32;

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
    let epochs = if smoke { 2 } else { 20 };
    std::fs::create_dir_all(&out)?;

    let task = Task::new(Seeds::new(0))?;
    let found = task.range_test()?;
    let path = out.join("range_test.svg");
    std::fs::write(&path, found.svg()?)?;
    let suggestion = found.suggestion().ok_or("the loss has not fallen at any rate")?;
    println!("{} rates tried, the loss is lowest at {:.2e}: {}", found.rates.len(), found.lowest().unwrap_or(f64::NAN), path.display());

    let mut plot = Plot::new("Validation loss by learning rate", "epoch", "mean squared error");
    plot.range = Some(0.0..1.5);
    println!("\n{:<24}{:>12}{:>16}", "learning rate", "epoch 1", format!("epoch {epochs}"));
    for (name, lr) in [("a tenth", suggestion / 10.0), ("suggestion", suggestion), ("ten times", suggestion * 10.0)] {
        let losses = task.train(lr, epochs)?;
        println!("{:<24}{:>12.4}{:>16.4}", format!("{lr:.4} ({name})"), losses[1], losses[epochs as usize]);
        let points: Vec<(f64, f64)> = losses.iter().enumerate().map(|(epoch, loss)| (epoch as f64, *loss)).collect();
        plot.lines.push(Line::new(format!("{lr:.4}, {name}"), points));
    }
    let path = out.join("learning_rate.svg");
    std::fs::write(&path, plot.svg()?)?;
    println!("\n{}", path.display());
    Ok(())
}
