//! Gradients of several batches as one.

use crate::fitting;
use std::collections::HashMap;
use wengert_autograd::{Error, ErrorKind, Gradients, Param, ParamTree, Result, Tape, Var};

/// Averages the gradients of several batches, for a step with less memory than their union would take.
///
/// ```
/// use wengert_autograd::{Param, Tape, Tensor};
/// use wengert_optim::{Accumulate, Sgd};
/// let p = Param::new(Tensor::scalar(0.0f64));
/// let (mut sgd, mut accumulate) = (Sgd::new(0.5), Accumulate::every(2));
/// for target in [1.0, 3.0] {
///     let tape = Tape::new();
///     let gradients = (tape.param(&p) - target).square().backward()?;
///     drop(tape);
///     if let Some(gradients) = accumulate.add(&p, gradients)? {
///         sgd.step(&p, &gradients)?;
///     }
/// }
/// assert_eq!(p.value().item()?, 2.0);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Accumulate {
    every: usize,
    count: usize,
    sum: Option<Gradients>,
}

impl Accumulate {
    /// Gives a mean for every `every` batches.
    pub fn every(every: usize) -> Accumulate {
        Accumulate { every, count: 0, sum: None }
    }

    /// Takes the gradients of a batch; with the last one of `every`, gives the mean of all. A parameter that has no gradient in a
    /// batch counts with zeros there. The loss of the mean is that of the last batch.
    ///
    /// # Errors
    /// If `every` is 0, or a gradient does not fit its parameter.
    #[track_caller]
    pub fn add(&mut self, module: &impl ParamTree, gradients: Gradients) -> Result<Option<Gradients>> {
        if self.every == 0 {
            let found = "the mean of 0 batches is asked for";
            return Err(Error::new(ErrorKind::Value, "Accumulate", found, "give a number from 1"));
        }
        let last = self.count + 1 == self.every;
        let share = if last { 1.0 / self.every as f64 } else { 1.0 };
        let now = fitting("Accumulate", module, &gradients)?;
        let before = match &self.sum {
            Some(sum) => fitting("Accumulate", module, sum)?,
            None => Vec::new(),
        };
        let tape = Tape::inference();
        // The terms of each parameter's sum.
        let mut places = HashMap::new();
        let (mut params, mut sums): (Vec<&Param>, Vec<Var<'_>>) = (Vec::new(), Vec::new());
        for (_, param, gradient) in before.iter().chain(&now) {
            let term = tape.constant(gradient);
            let place = *places.entry(param.id()).or_insert(sums.len());
            if place == sums.len() {
                params.push(param);
                sums.push(term);
            } else {
                sums[place] = sums[place] + term;
            }
        }
        sums.iter_mut().for_each(|sum| *sum = *sum * share);
        let values = tape.eval_all(&sums)?;
        let mut total = gradients;
        for (param, value) in params.into_iter().zip(values) {
            total.insert(param, value);
        }
        self.count += 1;
        if last {
            *self = Accumulate::every(self.every);
            return Ok(Some(total));
        }
        self.sum = Some(total);
        Ok(None)
    }
}
