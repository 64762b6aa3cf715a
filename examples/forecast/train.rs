//! The training loop.

use crate::failure::{Failure, Result};
use crate::model::Forecaster;
use crate::task::Task;
use indicatif::{ProgressBar, ProgressStyle};
use rand::{Rng, rngs::StdRng, seq::SliceRandom};
use std::f64::consts::PI;
use std::time::Instant;
use wengert::prelude::*;

const BATCH: usize = 32;
const LEARNING_RATE: f64 = 0.1;
const WARM_UP: usize = 20;
const CLIP_NORM: f64 = 1.0;
/// Epochs without a better validation loss after which training stops.
const PATIENCE: usize = 6;

/// The mean squared errors of every epoch, in units of the task's scale.
pub struct History {
    pub train: Vec<f64>,
    pub validation: Vec<f64>,
    /// The epoch whose weights were kept, from 0.
    pub best: usize,
    /// The validation loss of the baseline "it stays as it is".
    pub persistence: f64,
}

/// Trains until `epochs` have passed or the validation loss no longer falls, and keeps the best weights.
/// An epoch takes every `stride`-th training window, from a random offset on, in random order.
pub fn train<C: Cell>(
    model: &Forecaster<C>,
    task: &Task,
    (epochs, stride): (usize, usize),
    rng: &mut StdRng,
) -> Result<History> {
    let validation: Vec<usize> = task.validation.iter().copied().step_by(stride / 2).collect();
    let persistence = mean_square(&task.target(&validation)?);
    let total = epochs * task.train.len().div_ceil(stride).div_ceil(BATCH);
    let mut history = History { train: Vec::new(), validation: Vec::new(), best: 0, persistence };
    let mut best_weights = model.snapshot();
    let mut sgd = Sgd::new(LEARNING_RATE).momentum(0.9);
    let mut step = 0;
    let bar = progress_bar(total as u64);
    let start = Instant::now();

    for epoch in 0..epochs {
        let offset = rng.random_range(0..stride.min(task.train.len()));
        let mut origins: Vec<usize> = task.train.iter().copied().skip(offset).step_by(stride).collect();
        origins.shuffle(rng);

        let mut sum = 0.0;
        for batch in origins.chunks(BATCH) {
            let tape = Tape::new();
            let x = tape.constant(task.input(batch)?);
            let y = tape.constant(task.target(batch)?);
            let loss = loss::mse(model.forward(&Cx::train(&tape), x), y);
            let mut gradients = loss.backward()?;
            sum += loss.item()? * batch.len() as f64;
            drop(tape);

            clip_grad_norm(model, &mut gradients, CLIP_NORM)?;
            sgd.lr = learning_rate(step, total);
            sgd.step(model, &gradients)?;
            step += 1;
            bar.inc(1);
        }

        history.train.push(sum / origins.len() as f64);
        history.validation.push(validation_loss(model, task, &validation)?);
        let now = history.validation[epoch];
        if !now.is_finite() {
            bar.finish_and_clear();
            return Err(Failure::new(format!(
                "training diverged: the validation loss of epoch {} is {now}",
                epoch + 1
            )));
        }
        if epoch == 0 || now < history.validation[history.best] {
            history.best = epoch;
            best_weights = model.snapshot();
        }
        let line = format!("epoch {:2}/{epochs}  training {:.4}  validation {now:.4}", epoch + 1, history.train[epoch]);
        if bar.is_hidden() {
            eprintln!("{line}  {:.1} s", start.elapsed().as_secs_f64());
        } else {
            bar.set_message(line);
        }
        if epoch - history.best >= PATIENCE {
            break;
        }
    }
    bar.finish_and_clear();
    model.restore(&best_weights)?;
    Ok(history)
}

/// A linear warm-up, then half a cosine down to zero.
fn learning_rate(step: usize, total: usize) -> f64 {
    let warm = ((step + 1) as f64 / WARM_UP as f64).min(1.0);
    LEARNING_RATE * warm * 0.5 * (1.0 + (PI * step as f64 / total as f64).cos())
}

fn validation_loss<C: Cell>(model: &Forecaster<C>, task: &Task, origins: &[usize]) -> Result<f64> {
    let mut sum = 0.0;
    for batch in origins.chunks(256) {
        let tape = Tape::inference();
        let prediction = model.forward(&Cx::eval(&tape), tape.constant(task.input(batch)?));
        sum += loss::mse(prediction, tape.constant(task.target(batch)?)).item()? * batch.len() as f64;
    }
    Ok(sum / origins.len() as f64)
}

fn mean_square(tensor: &Tensor) -> f64 {
    tensor.to_f64_vec().iter().map(|v| v * v).sum::<f64>() / tensor.numel() as f64
}

/// A bar on standard error; indicatif hides it where that is not a terminal.
fn progress_bar(steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} steps, {eta} left  {msg}");
    ProgressBar::new(steps).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
