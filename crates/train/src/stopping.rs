//! Early stopping.

use crate::checkpoint::{Checkpointed, Parts};
use crate::data::refused;
use crate::error::Result;
use std::collections::HashMap;
use wengert_autograd::{ParamTree, Tensor};

/// Stops a training when a loss has not fallen for more than `patience` looks at it, and keeps the best weights.
///
/// ```
/// use wengert_autograd::{Param, Tensor};
/// use wengert_train::EarlyStopping;
/// let net = Param::new(Tensor::scalar(0.0f64));
/// let mut stopping = EarlyStopping::new(1);
/// for (epoch, loss) in [3.0, 2.0, 2.5, 2.4, 1.0].into_iter().enumerate() {
///     net.set(Tensor::scalar(epoch as f64))?;                 // trains
///     if stopping.look(loss, &net) {
///         break;                                              // after the loss of 2.4
///     }
/// }
/// stopping.restore(&net)?;
/// assert_eq!((net.value().item()?, stopping.best()), (1.0, 2.0));
/// # Ok::<(), wengert_train::Error>(())
/// ```
///
/// The best weights share their memory with the parameters until these change. Of a value that shall rise, show the negative.
#[derive(Clone, Debug)]
pub struct EarlyStopping {
    patience: usize,
    least_change: f64,
    best: f64,
    bad: usize,
    looks: usize,
    best_look: usize,
    weights: Vec<(String, Tensor)>,
}

impl EarlyStopping {
    /// Tolerates `patience` looks in a row without a lower loss.
    pub fn new(patience: usize) -> EarlyStopping {
        let (best, weights) = (f64::INFINITY, Vec::new());
        EarlyStopping { patience, least_change: 0.0, best, bad: 0, looks: 0, best_look: 0, weights }
    }

    /// With a number by which the loss must fall to count as lower.
    pub fn least_change(self, least_change: f64) -> EarlyStopping {
        EarlyStopping { least_change, ..self }
    }

    /// Takes note of a loss and, if it is the lowest, of the weights that gave it. Says whether to stop. A loss of NaN is never lower.
    pub fn look(&mut self, loss: f64, module: &impl ParamTree) -> bool {
        if loss < self.best - self.least_change {
            (self.best, self.bad, self.best_look) = (loss, 0, self.looks);
            self.weights = module.params().into_iter().map(|(name, param)| (name, param.value())).collect();
        } else {
            self.bad += 1;
        }
        self.looks += 1;
        self.stopped()
    }

    /// Whether the last look has said to stop: a run that goes on from a checkpoint asks it.
    pub fn stopped(&self) -> bool {
        self.bad > self.patience
    }

    /// The lowest loss; infinite before the first.
    pub fn best(&self) -> f64 {
        self.best
    }

    /// At which look the loss was lowest, from 0.
    pub fn best_look(&self) -> usize {
        self.best_look
    }

    /// Gives a module the weights of the lowest loss.
    ///
    /// # Errors
    /// If no loss was lower than infinity, or the module has other parameters; nothing is set then.
    #[track_caller]
    pub fn restore(&self, module: &impl ParamTree) -> Result<()> {
        if self.weights.is_empty() && module.num_params() > 0 {
            let found = format!("none of {} losses is a number to be kept", self.looks);
            return Err(refused("EarlyStopping", found, "look for NaN with Tape::detect_anomaly").into());
        }
        let mut named: HashMap<&str, &Tensor> = self.weights.iter().map(|(name, value)| (&**name, value)).collect();
        let values: Vec<Tensor> =
            module.params().iter().filter_map(|(name, _)| named.remove(&**name).cloned()).collect();
        if !named.is_empty() {
            let found = "the best weights are of a module with other parameters";
            return Err(refused("EarlyStopping", found, "restore the module that was looked at").into());
        }
        Ok(module.restore(&values)?)
    }
}

impl Checkpointed for EarlyStopping {
    fn parts(&mut self, parts: &mut Parts) -> Result<()> {
        parts.same("patience", &self.patience)?;
        parts.same("least change", &self.least_change)?;
        parts.value("best", &mut self.best)?;
        parts.value("bad", &mut self.bad)?;
        parts.value("looks", &mut self.looks)?;
        parts.value("best look", &mut self.best_look)?;
        // A module that is one parameter has a name without characters.
        self.weights.iter_mut().for_each(|(name, _)| name.insert(0, '.'));
        let result = parts.tensors("weights", &mut self.weights);
        self.weights.iter_mut().for_each(|(name, _)| *name = name.split_off(1));
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wengert_autograd::Param;

    fn net(value: f64) -> (Param, Param) {
        (Param::new(Tensor::scalar(value)), Param::new(Tensor::scalar(-value)))
    }

    #[test]
    fn it_stops_after_its_patience_and_goes_on_from_a_checkpoint() {
        let losses = [5.0, 4.0, f64::NAN, 3.95, 4.0, 3.0, 3.0, 3.0, 3.0, 3.0, 1.0];
        let run = |from: Option<usize>| {
            let net = net(0.0);
            let mut stopping = EarlyStopping::new(3).least_change(0.1);
            for (epoch, loss) in losses.into_iter().enumerate() {
                if from == Some(epoch) {
                    let contents = Parts::write(&mut stopping).unwrap();
                    stopping = EarlyStopping::new(3).least_change(0.1);
                    Parts::read(&mut stopping, contents).unwrap();
                }
                net.0.set(Tensor::scalar(epoch as f64)).unwrap();
                if stopping.look(loss, &net) {
                    stopping.restore(&net).unwrap();
                    return (epoch, net.0.value().item().unwrap(), stopping.best(), stopping.best_look());
                }
            }
            panic!("it does not stop");
        };
        // 4.0 at 1; NaN, 3.95, 4.0 are tolerated; 3.0 at 5; then four looks without progress.
        for from in std::iter::once(None).chain((0..10).map(Some)) {
            assert_eq!(run(from), (9, 5.0, 3.0, 5), "from a checkpoint at {from:?}");
        }
    }

    #[test]
    fn another_patience_is_an_error() {
        let contents = Parts::write(&mut EarlyStopping::new(3).least_change(0.1)).unwrap();
        let says = |mut other: EarlyStopping, wanted: &str| {
            let error = Parts::read(&mut other, contents.clone()).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        };
        says(EarlyStopping::new(4).least_change(0.1), "'patience' was 3, and is 4 now");
        says(EarlyStopping::new(3), "'least change' was 0.1, and is 0 now");
    }

    #[test]
    fn what_was_not_seen_cannot_be_restored() {
        let mut stopping = EarlyStopping::new(0);
        assert!(stopping.look(f64::NAN, &net(1.0)));
        let error = stopping.restore(&net(1.0)).unwrap_err().to_string();
        assert!(error.contains("none of 1 losses is a number to be kept"), "{error}");
        stopping.look(1.0, &net(1.0));
        let error = stopping.restore(&Param::new(Tensor::scalar(1.0f64))).unwrap_err().to_string();
        assert!(error.contains("other parameters"), "{error}");
        let three = (net(1.0).0, net(1.0).0, net(1.0).0);
        assert!(stopping.restore(&three).is_err());
    }
}
