//! Averages of parameters over the steps of a training.

use std::collections::HashMap;
use wengert_autograd::{Error, ErrorKind, Param, ParamId, ParamTree, Result, Tape, Tensor};

/// A running average of the parameters of a module, and the exchange of both.
///
/// ```text
/// a ← p                                    (at first)
/// a ← decay·a + (1 − decay)·p              (exponential)
/// a ← a + (p − a) / (n + 1)                (equal weights, n so far)
/// ```
///
/// Equal weights at every step are Polyak's average (Polyak & Juditsky 1992); at the end of each epoch of a constant or cyclic rate,
/// stochastic weight averaging (Izmailov et al. 2018). PyTorch's `AveragedModel` is either.
///
/// ```
/// use wengert_autograd::{Param, Tensor};
/// use wengert_optim::Average;
/// let net = Param::new(Tensor::scalar(1.0f64));
/// let mut average = Average::equal();
/// average.update(&net)?;
/// net.set(Tensor::scalar(3.0f64))?;
/// average.update(&net)?;
/// average.swap(&net)?;                     // the averaged net, to be tested
/// assert_eq!(net.value().item()?, 2.0);
/// average.swap(&net)?;                     // the trained net, to be trained on
/// assert_eq!(net.value().item()?, 3.0);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Average {
    /// Of an exponential average.
    decay: Option<f64>,
    count: u64,
    values: HashMap<ParamId, Tensor>,
    swapped: bool,
}

impl Average {
    /// An exponential average: `decay` of the old value stays (0.999 is usual).
    #[doc(alias = "EMA")]
    pub fn exponential(decay: f64) -> Average {
        Average { decay: Some(decay), count: 0, values: HashMap::new(), swapped: false }
    }

    /// The mean of all values, with equal weights.
    #[doc(alias = "SWA")]
    #[doc(alias = "Polyak")]
    pub fn equal() -> Average {
        Average { decay: None, count: 0, values: HashMap::new(), swapped: false }
    }

    /// How much of the old value stays; `None` for equal weights.
    pub fn decay(&self) -> Option<f64> {
        self.decay
    }

    /// How many values were averaged.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Takes the present values into the average. Only float parameters are averaged.
    ///
    /// # Errors
    /// If the average is [swapped](Average::swap) with the parameters, `decay` is not in `[0, 1]`, or a parameter is new or has another shape.
    #[track_caller]
    pub fn update(&mut self, module: &impl ParamTree) -> Result<()> {
        self.check()?;
        let params = self.params(module)?;
        if self.count == 0 {
            self.values = params.iter().map(|(_, param)| (param.id(), param.value())).collect();
            self.count = 1;
            return Ok(());
        }
        let share = self.decay.map_or(1.0 / (self.count + 1) as f64, |decay| 1.0 - decay);
        let tape = Tape::inference();
        let averages = params.iter().map(|(_, param)| {
            let (a, p) = (tape.constant(&self.values[&param.id()]), tape.constant(param.value()));
            a + (p - a) * share
        });
        let values = tape.eval_all(&averages.collect::<Vec<_>>())?;
        drop(tape);
        self.values.extend(params.iter().map(|(_, param)| param.id()).zip(values));
        self.count += 1;
        Ok(())
    }

    /// Exchanges the parameters with their averages; once more, and all is as before.
    ///
    /// # Errors
    /// If nothing was averaged, or the parameters are not those that were.
    #[track_caller]
    pub fn swap(&mut self, module: &impl ParamTree) -> Result<()> {
        if self.count == 0 {
            return Err(Error::new(ErrorKind::Value, "Average", "nothing was averaged", "call update before swap"));
        }
        for (_, param) in self.params(module)? {
            let value = param.value();
            // `params` has found each of them.
            if let Some(average) = self.values.insert(param.id(), value) {
                param.set(average)?;
            }
        }
        self.swapped = !self.swapped;
        Ok(())
    }

    /// The averages by the names of their parameters, and [`count`](Average::count): to be saved.
    ///
    /// # Errors
    /// If the average is [swapped](Average::swap) with the parameters, or the parameters are not those that were averaged.
    #[track_caller]
    pub fn state(&self, module: &impl ParamTree) -> Result<(u64, Vec<(String, Tensor)>)> {
        self.check()?;
        let params = if self.count == 0 { Vec::new() } else { self.params(module)? };
        let named = params.into_iter().filter_map(|(name, param)| Some((name, self.get(&param)?.clone())));
        Ok((self.count, named.collect()))
    }

    /// Goes on from the [`state`](Average::state) of another, for a module with the same names.
    ///
    /// ```
    /// use wengert_autograd::{Param, Tensor};
    /// use wengert_optim::Average;
    /// let net = Param::new(Tensor::scalar(1.0f64));
    /// let (mut average, mut other) = (Average::equal(), Average::equal());
    /// average.update(&net)?;
    /// other.load_state(&net, average.state(&net)?)?;
    /// net.set(Tensor::scalar(3.0f64))?;
    /// other.update(&net)?;
    /// assert_eq!(other.get(&net).unwrap().item()?, 2.0);
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the averages are not those of the module's float parameters; nothing changes then.
    #[track_caller]
    pub fn load_state(&mut self, module: &impl ParamTree, (count, named): (u64, Vec<(String, Tensor)>)) -> Result<()> {
        let given = named.len();
        let mut named: HashMap<String, Tensor> = named.into_iter().collect();
        let params = module.params();
        let values = params.iter().filter_map(|(name, param)| Some((param.id(), named.remove(name)?))).collect();
        let next = Average { decay: self.decay, count, values, swapped: false };
        if next.values.len() != given || (count > 0) != (given > 0) {
            let found = format!(
                "{given} averages of {count} values are given, of which {} are the module's",
                next.values.len()
            );
            return Err(Error::new(ErrorKind::Value, "Average", found, "give the state of an average of this module"));
        }
        next.params(module)?;
        *self = next;
        Ok(())
    }

    /// The average of a parameter; while swapped, its trained value.
    pub fn get(&self, param: &Param) -> Option<&Tensor> {
        self.values.get(&param.id())
    }

    #[track_caller]
    fn check(&self) -> Result<()> {
        let (found, remedy) = match self.decay {
            Some(decay) if !(0.0..=1.0).contains(&decay) => {
                (format!("the decay is {decay}"), "give a number from 0 to 1")
            }
            _ if self.swapped => {
                ("the parameters are exchanged with their averages".into(), "call swap again before update")
            }
            _ => return Ok(()),
        };
        Err(Error::new(ErrorKind::Value, "Average", found, remedy))
    }

    /// The float parameters, each with an average of its shape and type unless there is none yet.
    #[track_caller]
    fn params(&self, module: &impl ParamTree) -> Result<Vec<(String, Param)>> {
        let mut params = module.params();
        params.retain(|(_, param)| param.value().dtype().is_float());
        let fits = |param: &Param| {
            let value = param.value();
            self.get(param).is_some_and(|a| a.shape() == value.shape() && a.dtype() == value.dtype())
        };
        match params.iter().find(|(_, param)| self.count > 0 && !fits(param)) {
            Some((name, _)) => {
                let found = format!("'{name}' has no average of its shape and element type");
                Err(Error::new(ErrorKind::Shape, "Average", found, "average one module from its first step"))
            }
            None => Ok(params),
        }
    }
}
