//! Gradients of several batches as one.

use crate::fitting;
use std::collections::HashMap;
use wengert_autograd::{Error, ErrorKind, Gradients, Param, ParamTree, Result, Tape, Tensor, Var};

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
///
/// The last group of an epoch may be smaller, and batches of unequal sizes count by their samples:
///
/// ```
/// use wengert_autograd::{Param, Tape, Tensor};
/// use wengert_optim::{Accumulate, Sgd};
/// let p = Param::new(Tensor::scalar(0.0f64));
/// let (mut sgd, mut accumulate) = (Sgd::new(0.5), Accumulate::every(8));
/// for batch in [&[1.0f64, 2.0, 6.0][..], &[7.0]] {
///     let tape = Tape::new();
///     let targets = Tensor::from_slice(batch, [batch.len()])?;
///     let gradients = (tape.param(&p) - &targets).square().mean().backward()?;
///     drop(tape);
///     assert!(accumulate.add_weighted(&p, gradients, batch.len() as f64)?.is_none());
/// }
/// if let Some(gradients) = accumulate.flush()? {
///     sgd.step(&p, &gradients)?;
/// }
/// assert_eq!(p.value().item()?, 4.0);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Accumulate {
    every: usize,
    count: usize,
    /// The sum of the weights.
    weight: f64,
    /// The weighted sum of the losses; none before the first batch.
    loss: Option<Tensor>,
    /// The weighted sums of the gradients, in the order in which the parameters came.
    sums: Vec<(Param, Tensor)>,
}

impl Accumulate {
    /// Gives a mean for every `every` batches.
    pub fn every(every: usize) -> Accumulate {
        Accumulate { every, count: 0, weight: 0.0, loss: None, sums: Vec::new() }
    }

    /// What was set, by name.
    pub fn settings(&self) -> Vec<(String, String)> {
        vec![("every".into(), self.every.to_string())]
    }

    /// How many batches wait for the others of their group.
    pub fn waiting(&self) -> usize {
        self.count
    }

    /// Takes the gradients of a batch; with the last one of `every`, gives the mean of all. A parameter that has no gradient in a
    /// batch counts with zeros there. The loss of the mean is the mean of the losses.
    ///
    /// # Errors
    /// If `every` is 0, or a gradient does not fit its parameter; the batch is not taken in then.
    #[track_caller]
    pub fn add(&mut self, module: &impl ParamTree, gradients: Gradients) -> Result<Option<Gradients>> {
        self.add_weighted(module, gradients, 1.0)
    }

    /// As [`add`](Accumulate::add) with a weight, so that the mean is `Σ weight·gradient / Σ weight`. With the number of a batch's samples for the weight, and losses
    /// that are means over their batch, it is the mean over all samples, whatever the sizes of the batches.
    ///
    /// # Errors
    /// Those of `add`; if the weight is not a finite number above 0.
    #[track_caller]
    pub fn add_weighted(
        &mut self,
        module: &impl ParamTree,
        gradients: Gradients,
        weight: f64,
    ) -> Result<Option<Gradients>> {
        if self.every == 0 {
            return Err(refuse("the mean of 0 batches is asked for".into(), "give a number from 1"));
        }
        if !weight.is_finite() || weight <= 0.0 {
            return Err(refuse(format!("the weight of the batch is {weight}"), "give the number of its samples"));
        }
        let tape = Tape::inference();
        let mut params: Vec<Param> = Vec::new();
        let (mut places, mut terms) = (HashMap::new(), Vec::new());
        for (param, sum) in &self.sums {
            places.insert(param.id(), terms.len());
            params.push(param.clone());
            terms.push(tape.constant(sum));
        }
        for (_, param, gradient) in fitting("Accumulate", module, &gradients)? {
            let term = tape.constant(gradient) * weight;
            match places.get(&param.id()) {
                Some(place) => terms[*place] = terms[*place] + term,
                None => {
                    params.push(param);
                    terms.push(term);
                }
            }
        }
        let loss = tape.constant(gradients.loss()) * weight;
        terms.push(self.loss.as_ref().map_or(loss, |before| tape.constant(before) + loss));
        let mut values = tape.eval_all(&terms)?;
        drop((terms, gradients));
        self.loss = values.pop();
        self.sums = params.into_iter().zip(values).collect();
        self.count += 1;
        self.weight += weight;
        if self.count == self.every { self.flush() } else { Ok(None) }
    }

    /// The mean of the batches that wait, if there are any: for the last group of an epoch, which may be smaller.
    ///
    /// # Errors
    /// If the memory for it is lacking.
    #[track_caller]
    pub fn flush(&mut self) -> Result<Option<Gradients>> {
        let Some(loss) = &self.loss else { return Ok(None) };
        let tape = Tape::inference();
        let sums = std::iter::once(loss).chain(self.sums.iter().map(|(_, sum)| sum));
        let means: Vec<Var<'_>> = sums.map(|sum| tape.constant(sum) * (1.0 / self.weight)).collect();
        let mut means = tape.eval_all(&means)?.into_iter();
        let mean = means.next().map(|loss| {
            let mut mean = Gradients::new(loss);
            self.sums.iter().zip(means).for_each(|((param, _), gradient)| mean.insert(param, gradient));
            mean
        });
        *self = Accumulate::every(self.every);
        Ok(mean)
    }

    /// What waits, to be saved: `count` (I64), `weight` (F64), `loss`, and `sum.NAME` for each parameter; nothing if no batch waits.
    ///
    /// # Errors
    /// If a gradient is that of a parameter which is not in the module.
    #[track_caller]
    pub fn state(&self, module: &impl ParamTree) -> Result<Vec<(String, Tensor)>> {
        let Some(loss) = &self.loss else { return Ok(Vec::new()) };
        let mut sums: HashMap<_, _> = self.sums.iter().map(|(param, sum)| (param.id(), sum)).collect();
        let mut all = vec![
            ("count".to_string(), Tensor::scalar(self.count as i64)),
            ("weight".to_string(), Tensor::scalar(self.weight)),
            ("loss".to_string(), loss.clone()),
        ];
        for (name, param) in module.params() {
            if let Some(sum) = sums.remove(&param.id()) {
                all.push((format!("sum.{name}"), sum.clone()));
            }
        }
        match sums.len() {
            0 => Ok(all),
            n => Err(refuse(format!("{n} gradients belong to no parameter of the module"), REMEDY)),
        }
    }

    /// Goes on from the [`state`](Accumulate::state) of another, for a module with the same names. What waited here goes.
    ///
    /// # Errors
    /// If a tensor is missing, does not fit, or belongs to no parameter; nothing changes then.
    #[track_caller]
    pub fn load_state(
        &mut self,
        module: &impl ParamTree,
        state: impl IntoIterator<Item = (String, Tensor)>,
    ) -> Result<()> {
        let mut given: HashMap<String, Tensor> = state.into_iter().collect();
        let mut next = Accumulate::every(self.every);
        if given.is_empty() {
            *self = next;
            return Ok(());
        }
        let count = given.remove("count").and_then(|count| count.to_vec::<i64>().ok());
        let weight = given.remove("weight").and_then(|weight| weight.to_vec::<f64>().ok());
        next.loss = given.remove("loss").filter(|loss| loss.shape().rank() == 0 && loss.dtype().is_float());
        match (count.as_deref(), weight.as_deref()) {
            (Some([count]), Some([weight]))
                if *count > 0 && weight.is_finite() && *weight > 0.0 && next.loss.is_some() =>
            {
                (next.count, next.weight) = (*count as usize, *weight);
            }
            _ => return Err(refuse("'count', 'weight' and 'loss' are not three numbers".into(), REMEDY)),
        }
        if next.count >= self.every {
            let found = format!("{} batches wait for a mean of {}", next.count, self.every);
            return Err(refuse(found, "go on with the number of batches that it was made with"));
        }
        for (name, param) in module.params() {
            let Some(sum) = given.remove(&format!("sum.{name}")) else { continue };
            let value = param.value();
            if sum.shape() != value.shape() || sum.dtype() != value.dtype() {
                let (dtype, shape) = (sum.dtype(), sum.shape());
                let found = format!("'sum.{name}' is {dtype} {shape}, expected {} {}", value.dtype(), value.shape());
                return Err(refuse(found, REMEDY));
            }
            next.sums.push((param, sum.contiguous()));
        }
        if let Some(unknown) = given.keys().min() {
            return Err(refuse(format!("'{unknown}' belongs to nothing"), REMEDY));
        }
        *self = next;
        Ok(())
    }
}

/// What to do about a state that does not fit.
const REMEDY: &str = "give the state of gradients of this module";

#[track_caller]
fn refuse(found: String, remedy: &str) -> Error {
    Error::new(ErrorKind::Value, "Accumulate", found, remedy)
}
