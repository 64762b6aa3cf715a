//! Stochastic gradient descent.

use crate::fitting;
use std::collections::HashMap;
use wengert_autograd::{Error, ErrorKind, Gradients, ParamId, ParamTree, Result, Tape, Tensor};

/// Stochastic gradient descent with momentum and weight decay, as PyTorch's `SGD`:
///
/// ```text
/// g ← g + weight_decay·p
/// v ← momentum·v + (1 − dampening)·g       (v = g at the first step)
/// g ← g + momentum·v  if nesterov, else v
/// p ← p − lr·g
/// ```
///
/// The velocities belong to the optimizer, by parameter; a clone has its own.
///
/// ```
/// use wengert_autograd::{Param, Tape, Tensor};
/// use wengert_optim::Sgd;
/// let p = Param::new(Tensor::from_slice(&[1.0f64, -2.0], [2])?);
/// let mut sgd = Sgd::new(0.1).momentum(0.9);
/// for _ in 0..100 {
///     let tape = Tape::new();
///     let gradients = tape.param(&p).square().sum().backward()?;
///     drop(tape);
///     sgd.step(&p, &gradients)?;
/// }
/// assert!(p.value().to_vec::<f64>()?.iter().all(|v| v.abs() < 0.1));
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sgd {
    /// The learning rate; may be changed between steps.
    pub lr: f64,
    momentum: f64,
    dampening: f64,
    weight_decay: f64,
    nesterov: bool,
    velocities: HashMap<ParamId, Tensor>,
}

impl Sgd {
    /// Plain gradient descent: `p ← p − lr·g`.
    pub fn new(lr: f64) -> Sgd {
        Sgd { lr, momentum: 0.0, dampening: 0.0, weight_decay: 0.0, nesterov: false, velocities: HashMap::new() }
    }

    /// With momentum (0.9 is usual).
    pub fn momentum(self, momentum: f64) -> Sgd {
        Sgd { momentum, ..self }
    }

    /// With dampening of the momentum.
    pub fn dampening(self, dampening: f64) -> Sgd {
        Sgd { dampening, ..self }
    }

    /// With an L2 penalty: `weight_decay·p` is added to the gradient.
    pub fn weight_decay(self, weight_decay: f64) -> Sgd {
        Sgd { weight_decay, ..self }
    }

    /// With Nesterov's momentum.
    pub fn nesterov(self) -> Sgd {
        Sgd { nesterov: true, ..self }
    }

    /// Updates every parameter of `module` that has a gradient. Drop the tape before: it holds the values that are
    /// replaced here.
    ///
    /// # Errors
    /// If no parameter has a gradient, if a setting is not a number in its range, or a gradient (or an earlier velocity) does not fit its parameter;
    /// nothing is updated then.
    #[track_caller]
    pub fn step(&mut self, module: &impl ParamTree, gradients: &Gradients) -> Result<()> {
        self.check()?;
        let tape = Tape::inference();
        let mut asked = Vec::new();
        let mut updated = Vec::new();
        for (param, gradient) in fitting("Sgd", module, gradients)? {
            let p = tape.constant(param.value());
            let mut g = tape.constant(gradient);
            if self.weight_decay != 0.0 {
                g = g + p * self.weight_decay;
            }
            let mut velocity = None;
            if self.momentum != 0.0 {
                let v = match self.velocities.get(&param.id()) {
                    Some(before) => tape.constant(before) * self.momentum + g * (1.0 - self.dampening),
                    None => g,
                };
                velocity = Some(v);
                g = if self.nesterov { g + v * self.momentum } else { v };
            }
            asked.push(p - g * self.lr);
            asked.extend(velocity);
            updated.push((param, velocity.is_some()));
        }
        if updated.is_empty() && module.num_params() > 0 {
            let found = "no parameter of the module has a gradient";
            return Err(Error::new(
                ErrorKind::Value,
                "Sgd",
                found,
                "give the module and the gradients of one backward pass",
            ));
        }
        let mut values = tape.eval_all(&asked)?.into_iter();
        let mut next = || values.next().expect("every value asked for was computed");
        for (param, has_velocity) in updated {
            param.set(next())?;
            if has_velocity {
                self.velocities.insert(param.id(), next());
            }
        }
        Ok(())
    }

    #[track_caller]
    fn check(&self) -> Result<()> {
        let settings = [("learning rate", self.lr), ("momentum", self.momentum), ("weight decay", self.weight_decay)];
        let wrong = settings.into_iter().find(|(_, value)| !value.is_finite() || *value < 0.0);
        let (found, remedy) = if let Some((name, value)) = wrong {
            (format!("the {name} is {value}"), "give a finite number from 0")
        } else if !self.dampening.is_finite() {
            (format!("the dampening is {}", self.dampening), "give a finite number")
        } else if self.nesterov && (self.momentum == 0.0 || self.dampening != 0.0) {
            let found = format!("Nesterov with momentum {} and dampening {}", self.momentum, self.dampening);
            (found, "give it a momentum and no dampening")
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Value, "Sgd", found, remedy))
    }
}
