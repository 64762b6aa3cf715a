//! What a checkpoint consists of: one list, used for writing and for reading.

use crate::error::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use wengert_autograd::{ParamTree, Tensor};
use wengert_nn::Carried;
use wengert_optim::schedule::Plateau;
use wengert_optim::{Accumulate, Average, Optimizer, Transform};

/// What a training must remember to go on as if it had never stopped.
///
/// `parts` names each part once. The same list writes a checkpoint and reads it, so that nothing can be saved and not restored;
/// and what the file holds but the list does not name is an error.
///
/// A schedule is a function of the step, and needs no part.
///
/// ```
/// use wengert_nn::{LstmCell, Rnn};
/// use wengert_optim::Adam;
/// use wengert_train::{Batches, Checkpointed, Parts, Result, Seeds};
///
/// struct Run {
///     seeds: Seeds,
///     net: Rnn<LstmCell>,
///     adam: Adam,
///     batches: Batches,
///     step: u64,
/// }
///
/// impl Checkpointed for Run {
///     fn parts(&mut self, parts: &mut Parts) -> Result<()> {
///         parts.part("seeds", &mut self.seeds)?;
///         parts.params("net", &self.net)?;
///         parts.optimizer("adam", &mut self.adam, &self.net)?;
///         parts.part("batches", &mut self.batches)?;
///         parts.value("step", &mut self.step)
///     }
/// }
/// ```
pub trait Checkpointed {
    /// Names every part, in any order; must do the same when it writes and when it reads.
    ///
    /// # Errors
    /// The errors of `parts`.
    fn parts(&mut self, parts: &mut Parts) -> Result<()>;
}

/// The contents of a checkpoint: tensors and texts by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    pub tensors: BTreeMap<String, Tensor>,
    pub texts: BTreeMap<String, String>,
}

/// The parts of a checkpoint, being written or read; see [`Checkpointed`].
#[derive(Debug)]
pub struct Parts {
    prefix: String,
    saving: bool,
    /// Filled when writing, emptied when reading.
    contents: Contents,
    names: BTreeSet<String>,
    /// The settings that may differ, and those that do.
    allowed: Vec<String>,
    changed: Vec<String>,
}

/// In place of a setting that one side does not have.
const NOT_SET: &str = "not set";

/// What to do about a checkpoint that does not fit.
const REMEDY: &str = "go on with the program and the settings that made it, or start in another folder";

impl Parts {
    fn new(saving: bool, contents: Contents, allowed: &[String]) -> Parts {
        let (prefix, names, changed) = (String::new(), BTreeSet::new(), Vec::new());
        Parts { prefix, saving, contents, names, allowed: allowed.to_vec(), changed }
    }

    /// The contents of a run.
    pub(crate) fn write(run: &mut impl Checkpointed) -> Result<Contents> {
        let mut parts = Parts::new(true, Contents::default(), &[]);
        run.parts(&mut parts)?;
        Ok(parts.contents)
    }

    /// Sets a run to the contents.
    pub(crate) fn read(run: &mut impl Checkpointed, contents: Contents) -> Result<()> {
        Parts::read_changed(run, contents, &[]).map(|_| ())
    }

    /// Sets a run, of which some settings may differ, to the contents; says which do.
    pub(crate) fn read_changed(
        run: &mut impl Checkpointed,
        contents: Contents,
        allowed: &[String],
    ) -> Result<Vec<String>> {
        let mut parts = Parts::new(false, contents, allowed);
        run.parts(&mut parts)?;
        let left: Vec<&str> =
            parts.contents.tensors.keys().chain(parts.contents.texts.keys()).map(String::as_str).collect();
        match left.first() {
            None => Ok(parts.changed),
            Some(first) => {
                let more = if left.len() > 1 { format!(" and {} more", left.len() - 1) } else { String::new() };
                Err(Error::mismatch(format!("it holds '{first}'{more}, which the run does not name"), REMEDY))
            }
        }
    }

    /// Whether a checkpoint is written, not read.
    pub fn saving(&self) -> bool {
        self.saving
    }

    /// A part with parts of its own, under a name.
    ///
    /// # Errors
    /// Those of the part; two parts of one name.
    pub fn part(&mut self, name: &str, part: &mut (impl Checkpointed + ?Sized)) -> Result<()> {
        let full = self.take(name)?;
        let before = std::mem::replace(&mut self.prefix, full + "/");
        let result = part.parts(self);
        self.prefix = before;
        result
    }

    /// A number or a text.
    ///
    /// # Errors
    /// If it is missing or of another kind.
    pub fn value<T: Value>(&mut self, name: &str, value: &mut T) -> Result<()> {
        let full = self.take(name)?;
        if self.saving {
            self.contents.texts.insert(full, value.write());
            return Ok(());
        }
        let text = self.text(&full)?;
        *value = T::read(&text).ok_or_else(|| Error::mismatch(format!("'{full}' is '{text}'"), REMEDY))?;
        Ok(())
    }

    /// A setting that must be the same when the run goes on: a size, a seed, a configuration as text.
    ///
    /// # Errors
    /// If the checkpoint was made with another, unless that is [allowed](crate::Checkpoints::allow_changed).
    pub fn same(&mut self, name: &str, setting: &impl Display) -> Result<()> {
        let full = self.take(name)?;
        let now = setting.to_string();
        if self.saving {
            self.contents.texts.insert(full, now);
            return Ok(());
        }
        match self.text(&full)? {
            before if before == now => Ok(()),
            before => self.differ(&full, &before, &now),
        }
    }

    /// Settings by name that must be the [same](Parts::same), such as those of an optimizer; names that one side has not are errors as well.
    ///
    /// # Errors
    /// If the checkpoint was made with others, unless they are [allowed](crate::Checkpoints::allow_changed).
    pub fn settings(&mut self, name: &str, settings: &[(String, String)]) -> Result<()> {
        let full = self.take(name)? + "/";
        let mut now: BTreeMap<String, &str> = settings.iter().map(|(k, v)| (format!("{full}{k}"), &**v)).collect();
        if self.saving {
            self.contents.texts.extend(now.into_iter().map(|(name, value)| (name, value.to_string())));
            return Ok(());
        }
        let known: Vec<String> = self.contents.texts.keys().filter(|key| key.starts_with(&full)).cloned().collect();
        for name in known {
            let before = self.text(&name)?;
            match now.remove(&name) {
                Some(now) if now == before => {}
                now => self.differ(&name, &before, now.unwrap_or(NOT_SET))?,
            }
        }
        now.into_iter().try_for_each(|(name, now)| self.differ(&name, NOT_SET, now))
    }

    /// Takes note of a setting that has changed.
    fn differ(&mut self, full: &str, before: &str, now: &str) -> Result<()> {
        let change = format!("'{full}' was {before}, and is {now} now");
        let below =
            |name: &String| full.strip_prefix(&**name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if self.allowed.iter().any(below) {
            self.changed.push(change);
            return Ok(());
        }
        let remedy = format!("{REMEDY}; to change it on purpose: Checkpoints::allow_changed([\"{full}\"])");
        Err(Error::mismatch(change, remedy))
    }

    /// A tensor of any shape.
    ///
    /// # Errors
    /// If it is missing.
    pub fn tensor(&mut self, name: &str, tensor: &mut Tensor) -> Result<()> {
        let full = self.take(name)?;
        if self.saving {
            self.contents.tensors.insert(full, tensor.clone());
            return Ok(());
        }
        match self.contents.tensors.remove(&full) {
            Some(found) => *tensor = found,
            None => return Err(missing(&full)),
        }
        Ok(())
    }

    /// Named tensors, of any number and shapes.
    ///
    /// # Errors
    /// If two have one name.
    pub fn tensors(&mut self, name: &str, tensors: &mut Vec<(String, Tensor)>) -> Result<()> {
        let full = self.take(name)? + "/";
        if self.saving {
            for (name, tensor) in tensors.iter() {
                let full = format!("{full}{name}");
                if self.contents.tensors.insert(full.clone(), tensor.clone()).is_some() {
                    return Err(Error::mismatch(format!("two tensors are named '{full}'"), "give each its own name"));
                }
            }
            return Ok(());
        }
        let below = |key: &String| key.strip_prefix(&full).map(String::from);
        let found: Vec<String> = self.contents.tensors.keys().filter(|key| below(key).is_some()).cloned().collect();
        let take = |key: String| Some((below(&key)?, self.contents.tensors.remove(&key)?));
        *tensors = found.into_iter().filter_map(take).collect();
        Ok(())
    }

    /// The parameters of a module.
    ///
    /// # Errors
    /// If they differ in names, shapes or element types; none is set then.
    pub fn params(&mut self, name: &str, module: &impl ParamTree) -> Result<()> {
        let params = module.params();
        let mut values = params.iter().map(|(name, param)| (name.clone(), param.value())).collect();
        self.tensors(name, &mut values)?;
        if self.saving {
            return Ok(());
        }
        let mut found: BTreeMap<String, Tensor> = values.into_iter().collect();
        let mut problems = Vec::new();
        let mut updates = Vec::new();
        for (path, param) in params {
            let wanted = param.value();
            match found.remove(&path) {
                Some(tensor) if tensor.shape() == wanted.shape() && tensor.dtype() == wanted.dtype() => {
                    updates.push((param, tensor));
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
        problems.extend(found.keys().map(|path| format!("'{path}' is not a parameter of the module")));
        if !problems.is_empty() {
            return Err(Error::mismatch(format!("in '{}{name}' {}", self.prefix, problems.join(", ")), REMEDY));
        }
        updates.into_iter().try_for_each(|(param, tensor)| Ok(param.set(tensor)?))
    }

    /// The state and the learning rate of an optimizer of a module's parameters, and its [settings](Optimizer::settings), which must be the same:
    /// decay, groups, the rates and clipping of its chain. (Gradients that are clipped by a function have their bound in the loop: give it to
    /// [`same`](Parts::same).)
    ///
    /// # Errors
    /// If the settings differ, unless that is [allowed](crate::Checkpoints::allow_changed). If the state is not that of an optimizer of this kind and module.
    pub fn optimizer<R: Transform>(
        &mut self,
        name: &str,
        optimizer: &mut Optimizer<R>,
        module: &impl ParamTree,
    ) -> Result<()> {
        let mut state = if self.saving { optimizer.state(module)? } else { Vec::new() };
        self.settings(&format!("{name}/settings"), &optimizer.settings())?;
        self.tensors(name, &mut state)?;
        self.value(&format!("{name}/lr"), &mut optimizer.lr)?;
        if !self.saving {
            optimizer.load_state(module, state)?;
        }
        Ok(())
    }

    /// The gradients of a module that wait for the other batches of their group, and the size of a group, which must be the same.
    ///
    /// # Errors
    /// If they are not those of this module, or the size differs.
    pub fn accumulate(&mut self, name: &str, accumulate: &mut Accumulate, module: &impl ParamTree) -> Result<()> {
        let mut state = if self.saving { accumulate.state(module)? } else { Vec::new() };
        self.settings(&format!("{name}/settings"), &accumulate.settings())?;
        self.tensors(name, &mut state)?;
        if !self.saving {
            accumulate.load_state(module, state)?;
        }
        Ok(())
    }

    /// An average of a module's parameters.
    ///
    /// # Errors
    /// If it is swapped with the parameters, or of another module.
    pub fn average(&mut self, name: &str, average: &mut Average, module: &impl ParamTree) -> Result<()> {
        let (mut count, mut values) = if self.saving { average.state(module)? } else { (0, Vec::new()) };
        self.tensors(name, &mut values)?;
        self.value(&format!("{name}/count"), &mut count)?;
        self.same(&format!("{name}/decay"), &average.decay().map_or("none".into(), |decay| decay.to_string()))?;
        if !self.saving {
            average.load_state(module, (count, values))?;
        }
        Ok(())
    }

    /// The state that a network carries from one piece of a stream to the next, if there is one.
    ///
    /// # Errors
    /// If it is missing.
    pub fn carried(&mut self, name: &str, carried: &mut Option<Carried>) -> Result<()> {
        let mut leaves = carried.as_ref().map_or(Vec::new(), |carried| carried.leaves().to_vec());
        let mut present = carried.is_some();
        // The root of a state that is one value has no name.
        leaves.iter_mut().for_each(|(name, _)| name.insert(0, '.'));
        self.tensors(name, &mut leaves)?;
        self.value(&format!("{name}/present"), &mut present)?;
        if !self.saving {
            leaves.iter_mut().for_each(|(name, _)| *name = name.split_off(1));
            *carried = present.then(|| Carried::from_leaves(leaves));
        }
        Ok(())
    }

    /// The full name of a part, which nobody else has.
    fn take(&mut self, name: &str) -> Result<String> {
        let full = format!("{}{name}", self.prefix);
        if self.names.insert(full.clone()) {
            return Ok(full);
        }
        Err(Error::mismatch(format!("two parts are named '{full}'"), "give each part a name of its own"))
    }

    fn text(&mut self, full: &str) -> Result<String> {
        self.contents.texts.remove(full).ok_or_else(|| missing(full))
    }
}

fn missing(name: &str) -> Error {
    Error::mismatch(format!("'{name}' is missing"), REMEDY)
}

impl Checkpointed for Plateau {
    fn parts(&mut self, parts: &mut Parts) -> Result<()> {
        let (mut best, mut bad, mut cooling) = self.state();
        parts.value("best", &mut best)?;
        parts.value("bad", &mut bad)?;
        parts.value("cooling", &mut cooling)?;
        parts.settings("settings", &self.settings())?;
        self.load_state((best, bad, cooling));
        Ok(())
    }
}

/// A value that a checkpoint keeps as text and gives back to the bit.
pub trait Value: Sized {
    /// The value as text.
    fn write(&self) -> String;
    /// The value of a text; `None` if it is none.
    fn read(text: &str) -> Option<Self>;
}

macro_rules! values {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn write(&self) -> String {
                // For floats the shortest text that gives the same value; `inf` and `NaN` as well.
                self.to_string()
            }
            fn read(text: &str) -> Option<$type> {
                text.parse().ok()
            }
        }
    )*};
}
values!(bool, u32, u64, usize, i32, i64, f32, f64, String);

impl<T: Value> Value for Option<T> {
    fn write(&self) -> String {
        self.as_ref().map_or("none".into(), |value| format!("some {}", value.write()))
    }

    fn read(text: &str) -> Option<Option<T>> {
        match text.strip_prefix("some ") {
            Some(text) => T::read(text).map(Some),
            None => (text == "none").then_some(None),
        }
    }
}

impl<T: Value> Value for Vec<T> {
    /// Each text with its length, so that it may hold anything.
    fn write(&self) -> String {
        self.iter().map(T::write).map(|text| format!("{}:{text} ", text.len())).collect()
    }

    fn read(mut text: &str) -> Option<Vec<T>> {
        let mut all = Vec::new();
        while let Some((len, rest)) = text.split_once(':') {
            let len = len.parse().ok()?;
            all.push(T::read(rest.get(..len)?)?);
            text = rest.get(len..)?.strip_prefix(' ')?;
        }
        text.is_empty().then_some(all)
    }
}
