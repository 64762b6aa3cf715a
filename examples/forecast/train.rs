//! The training loop.

use crate::failure::{Failure, Result};
use crate::model::Forecaster;
use crate::task::Task;
use wengert::optim::schedule::Cosine;
use wengert::prelude::*;
use wengert::train::{EarlyStopping, Progress, Seeds, permutation};

const BATCH: usize = 32;
const LEARNING_RATE: f64 = 0.1;
const WARM_UP: usize = 20;
const CLIP_NORM: f64 = 1.0;
/// Epochs in a row without a better validation loss that are tolerated.
const PATIENCE: usize = 5;

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
    seeds: Seeds,
) -> Result<History> {
    let validation: Vec<usize> = task.validation.iter().copied().step_by(stride / 2).collect();
    let persistence = mean_square(&task.target(&validation)?);
    let total = epochs * task.train.len().div_ceil(stride).div_ceil(BATCH);
    let mut history = History { train: Vec::new(), validation: Vec::new(), best: 0, persistence };
    let mut sgd = Sgd::new(LEARNING_RATE).momentum(0.9);
    let rates = Cosine { from: LEARNING_RATE, to: 0.0, steps: total.saturating_sub(WARM_UP) }.warm_up(WARM_UP);
    let mut stopping = EarlyStopping::new(PATIENCE);
    let mut progress = Progress::new(total as u64);
    let (mut step, mut line) = (0, String::new());

    while history.train.len() < epochs && !stopping.stopped() {
        let epoch = history.train.len() as u64;
        // Random, and evenly spread over the windows.
        let offset = permutation(seeds.key_at("offset", epoch), stride.min(task.train.len()))[0];
        let taken: Vec<usize> = task.train.iter().copied().skip(offset).step_by(stride).collect();
        let order = permutation(seeds.key_at("order", epoch), taken.len());

        let mut sum = 0.0;
        for batch in order.chunks(BATCH) {
            let origins: Vec<usize> = batch.iter().map(|at| taken[*at]).collect();
            let tape = Tape::new();
            let (x, y) = (tape.constant(task.input(&origins)?), tape.constant(task.target(&origins)?));
            let mut gradients = loss::mse(model.forward(&Cx::train(&tape), x), y).backward()?;
            drop(tape);
            sum += gradients.loss().item()? * batch.len() as f64;

            clip_grad_norm(model, &mut gradients, CLIP_NORM)?;
            sgd.lr = rates.at(step);
            sgd.step(model, &gradients)?;
            step += 1;
            progress.step(1, &line);
        }

        let (training, now) = (sum / taken.len() as f64, validation_loss(model, task, &validation)?);
        history.train.push(training);
        history.validation.push(now);
        line = format!("epoch {:2}/{epochs}  training {training:.4}  validation {now:.4}", epoch + 1);
        progress.say(&line);
        if !now.is_finite() {
            let found = format!("training diverged: the validation loss of epoch {} is {now}", epoch + 1);
            return Err(Failure::new(found));
        }
        stopping.look(now, model);
    }
    progress.finish();
    stopping.restore(model)?;
    history.best = stopping.best_look();
    Ok(history)
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
