//! The state of an optimizer as named tensors: to be saved, and to go on from.

use crate::optimizer::{Optimizer, Slot};
use crate::transform::Transform;
use std::collections::{HashMap, HashSet};
use wengert_autograd::{Error, ErrorKind, ParamTree, Result, Tape, Tensor, Tree};

impl<R: Transform> Optimizer<R> {
    /// The state of all parameters of a module that were updated, by name: `NAME.step` (I64) and `NAME.VALUE` for each value
    /// of the transform's state, such as `layers.0.w.m`. The tensors share their buffers with the optimizer's.
    ///
    /// If steps were [skipped](Optimizer::skipped), their number is the first, `skipped` (I64). Settings are not part of it, nor is the
    /// learning rate.
    ///
    /// ```
    /// use wengert_autograd::{Param, Tape, Tensor};
    /// use wengert_optim::Adam;
    /// let net = (Param::new(Tensor::scalar(3.0f64)),);
    /// let gradients = { Tape::new().param(&net.0).square().backward()? };
    /// let mut adam = Adam::new(0.1);
    /// adam.step(&net, &gradients)?;
    /// let state = adam.state(&net)?;
    /// let names: Vec<&str> = state.iter().map(|(name, _)| name.as_str()).collect();
    /// assert_eq!(names, ["0.step", "0.m", "0.v"]);
    /// let mut other = Adam::new(0.1);
    /// other.load_state(&net, state)?;
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the settings were changed since, so that the transform keeps other values.
    #[track_caller]
    pub fn state(&self, module: &impl ParamTree) -> Result<Vec<(String, Tensor)>> {
        let mut all = Vec::new();
        if self.skipped > 0 {
            // A parameter's values have a dot in their names.
            all.push(("skipped".to_string(), Tensor::scalar(self.skipped as i64)));
        }
        for (name, param) in module.params() {
            let Some(slot) = self.slots.get(&param.id()) else { continue };
            all.push((format!("{name}.step"), Tensor::scalar(slot.steps as i64)));
            let paths = self.paths(&name, &param.value());
            if paths.len() != slot.state.len() {
                let found = format!("the state of '{name}' has {} values, expected {}", slot.state.len(), paths.len());
                let remedy = "settings that change the state belong before the first step";
                return Err(Error::new(ErrorKind::Value, self.rule.name(), found, remedy));
            }
            all.extend(paths.into_iter().map(|(path, ..)| path).zip(slot.state.iter().cloned()));
        }
        Ok(all)
    }

    /// Takes over the [`state`](Optimizer::state) of an optimizer of the same kind, for a module with the same names. What was there before goes.
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
        let mut problems = Vec::new();
        let mut slots = HashMap::new();
        let skipped = match given.remove("skipped").map(|skipped| skipped.to_vec::<i64>()) {
            None => 0,
            Some(skipped) => match skipped.as_deref() {
                Ok([skipped]) if *skipped >= 0 => *skipped as u64,
                _ => {
                    problems.push("'skipped' is no count of steps".to_string());
                    0
                }
            },
        };
        for (name, param) in module.params() {
            // A parameter that was never updated has no state.
            let Some(steps) = given.remove(&format!("{name}.step")) else { continue };
            let steps = match steps.to_vec::<i64>().as_deref() {
                Ok([steps]) if *steps > 0 => *steps as u64,
                _ => {
                    problems.push(format!("'{name}.step' is no count of steps"));
                    continue;
                }
            };
            let mut kept = Vec::new();
            for (path, wanted) in self.paths(&name, &param.value()) {
                match given.remove(&path) {
                    Some(tensor) if tensor.shape() == wanted.shape() && tensor.dtype() == wanted.dtype() => {
                        kept.push(tensor.contiguous());
                    }
                    Some(tensor) => problems.push(format!(
                        "'{path}' is {} {}, expected {} {}",
                        tensor.dtype(),
                        tensor.shape(),
                        wanted.dtype(),
                        wanted.shape()
                    )),
                    None => problems.push(format!("'{path}' is missing")),
                }
            }
            slots.insert(param.id(), Slot { steps, state: kept });
        }
        let unknown: HashSet<String> = given.into_keys().collect();
        let mut unknown: Vec<String> = unknown.into_iter().map(|name| format!("'{name}' belongs to nothing")).collect();
        unknown.sort();
        problems.extend(unknown);
        if !problems.is_empty() {
            let found = format!("the state does not fit: {}", problems.join(", "));
            let remedy = "give the state of an optimizer of the same kind and module";
            return Err(Error::new(ErrorKind::Value, self.rule.name(), found, remedy));
        }
        self.slots = slots;
        self.skipped = skipped;
        Ok(())
    }

    /// The names of a parameter's state, each with a tensor of its shape and element type.
    fn paths(&self, name: &str, value: &Tensor) -> Vec<(String, Tensor)> {
        let tape = Tape::inference();
        let at = self.at(name, tape.constant(value), None, 1);
        let leaves = self.rule_at(self.rule_index(name)).init(&at).named_leaves();
        let full = |path: &str| if path.is_empty() { format!("{name}.state") } else { format!("{name}.{path}") };
        leaves.into_iter().filter_map(|(path, leaf)| Some((full(&path), leaf.value().ok()?))).collect()
    }
}
