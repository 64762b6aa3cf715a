//! A run as one page.

mod curve;
mod environment;
mod gate;
mod map;
mod page;
mod revision;
mod strange;

use crate::error::{Error, Result};
use crate::log::Log;
use curve::Curve;
use gate::Gate;
use map::Map;
use std::fmt::Display;
use std::path::Path;
use wengert_autograd::{Explanation, ParamTree, Tensor};
use wengert_nn::Watched;

/// What a run has shown, as one HTML file that needs nothing else: curves, gradients that flow back through time, gates, the cell's equations,
/// and what is needed to run it again.
///
/// It is a [`Log`], beside others. A name with a slash belongs to the chart of what is before it: `loss/train`, `loss/validation`.
///
/// ```
/// use rand::{SeedableRng, rngs::StdRng};
/// use wengert_autograd::{DType, ParamTree, Tape, Tensor};
/// use wengert_nn::{Cx, LstmCell, Rnn, explain, loss, watch};
/// use wengert_optim::{Adam, clip_grad_norm};
/// use wengert_train::{Log, Report};
/// # let temporary = tempfile::tempdir().unwrap();
/// # let folder = temporary.path();
/// let net = Rnn::new(LstmCell::new(1, 8, &mut StdRng::seed_from_u64(7)));
/// let mut adam = Adam::new(0.01);
/// let mut report = Report::new("A first run");
/// report.config("seed", 7).config("optimizer", "Adam").model(&net).equations(&explain(&net.layers[0], 1)?);
/// let x = Tensor::full([20, 4, 1], 0.1, DType::F32);
/// for step in 0..10 {
///     let tape = Tape::new();
///     let (y, _) = net.forward(&Cx::train(&tape), tape.constant(&x));
///     let mut gradients = loss::mse(y.last(0), 0.5).backward()?;
///     drop(tape);
///     let norm = clip_grad_norm(&net, &mut gradients, 1.0)?;
///     let before = net.snapshot();
///     adam.step(&net, &gradients)?;
///     report.log(step, &[("loss/train", gradients.loss().item()?), ("gradient norm", norm), ("learning rate", adam.lr)])?;
///     if step % 5 == 0 {
///         report.updates(step, &net, &before);
///         let tape = Tape::new();
///         let x = tape.constant(&x);
///         report.watch(step, &watch(&net, &Cx::eval(&tape), x, &["i", "f", "o"], |y| loss::mse(y.last(0), 0.5))?);
///     }
/// }
/// report.save(folder.join("report.html"))?;
/// # Ok::<(), wengert_train::Error>(())
/// ```
///
/// Memory and file stay small however long the run: a curve has at most 1000 points, each the mean of equally many values in a row, with their
/// least and greatest; a map has at most 120 columns, every second going whenever there are more, and 120 drawn rows, each the greatest of equally many.
/// Values that are not finite leave gaps, and are counted and listed. What a run before a resume has collected is not in the report.
#[derive(Clone, Debug)]
pub struct Report {
    title: String,
    begun: String,
    settings: Vec<(String, String)>,
    model: Vec<[String; 3]>,
    equations: Vec<(&'static str, Vec<(String, String)>)>,
    notes: Vec<String>,
    curves: Vec<Curve>,
    flow: Vec<Map>,
    gates: Vec<Gate>,
}

/// The chart of [`Report::updates`].
const UPDATES: &str = "update ratio";

impl Report {
    /// A report without content, of a run that begins now.
    pub fn new(title: impl Into<String>) -> Report {
        Report {
            title: title.into(),
            begun: environment::now(),
            settings: Vec::new(),
            model: Vec::new(),
            equations: Vec::new(),
            notes: Vec::new(),
            curves: Vec::new(),
            flow: Vec::new(),
            gates: Vec::new(),
        }
    }

    /// A setting of the run: a seed, a size. The last value of a name counts.
    pub fn config(&mut self, name: &str, value: impl Display) -> &mut Report {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.into(), value.to_string()));
        self
    }

    /// The parameters of a module: names, element types, shapes.
    pub fn model(&mut self, module: &impl ParamTree) -> &mut Report {
        let row = |(name, param): (String, wengert_autograd::Param)| {
            let value = param.value();
            [name, value.dtype().to_string(), value.shape().to_string()]
        };
        self.model = module.params().into_iter().map(row).collect();
        let count: usize = module.params().iter().map(|(_, param)| param.value().numel()).sum();
        self.config("parameters", count)
    }

    /// The equations of a cell and of its derivative: what [`explain`](wengert_nn::explain) gives.
    pub fn equations(&mut self, explanation: &Explanation) -> &mut Report {
        let Explanation { forward, backward, gradients, notes, .. } = explanation;
        let all = [("forward", forward), ("backward", backward), ("gradients", gradients)];
        let lines =
            |list: &[wengert_autograd::Equation]| list.iter().map(|e| (e.left.clone(), e.right.clone())).collect();
        self.equations = all.map(|(title, list)| (title, lines(list))).into();
        self.notes = notes.clone();
        self
    }

    /// What [`watch`](wengert_nn::watch) has seen: [`flow`](Report::flow) and [`gate`](Report::gate) for all of it.
    pub fn watch(&mut self, step: u64, watched: &Watched) {
        watched.flow.iter().for_each(|(name, norms)| self.flow(step, name, norms));
        watched.gates.iter().for_each(|(name, values)| self.gate(step, name, values));
    }

    /// The norms `‖∂L/∂s_t‖`, t = 1..T, of a component of the state: a column of its map.
    pub fn flow(&mut self, step: u64, name: &str, norms: &[f64]) {
        let at = place(&mut self.flow, |map| map.name == name, || Map::new(name));
        at.push(step, norms.to_vec());
    }

    /// The values of a gate, in \[0, 1\] or \[−1, 1\]: a column of histograms.
    pub fn gate(&mut self, step: u64, name: &str, values: &Tensor) {
        let at = place(&mut self.gates, |gate| gate.map.name == name, || Gate::new(name));
        at.push(step, &values.to_f64_vec());
    }

    /// How far an update has moved each parameter, `‖w − before‖ / ‖before‖`; `before` is a [snapshot](ParamTree::snapshot) that was taken
    /// ahead of the optimizer's step. About 1e-3 is usual. A parameter that was 0 is a gap.
    pub fn updates(&mut self, step: u64, module: &impl ParamTree, before: &[Tensor]) {
        for ((name, param), before) in module.params().iter().zip(before) {
            let (now, before) = (param.value().to_f64_vec(), before.to_f64_vec());
            let moved: f64 = now.iter().zip(&before).map(|(now, before)| (now - before).powi(2)).sum();
            let norm: f64 = before.iter().map(|value| value * value).sum();
            self.value(step, &format!("{UPDATES}/{name}"), (moved / norm).sqrt());
        }
    }

    fn value(&mut self, step: u64, name: &str, value: f64) {
        place(&mut self.curves, |curve| curve.name == name, || Curve::new(name)).push(step, value);
    }

    /// The page.
    pub fn html(&self) -> String {
        page::html(self)
    }

    /// Writes the page, so that a file of the name is always whole; can be called during the run.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let write = || {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::write(&beside, self.html())?;
            std::fs::rename(&beside, path)
        };
        write().map_err(|e| {
            // Half a page is of no use, and may fill the disk.
            let _ = std::fs::remove_file(&beside);
            Error::file(path, e)
        })
    }
}

impl Log for Report {
    fn log(&mut self, step: u64, values: &[(&str, f64)]) -> Result<()> {
        values.iter().for_each(|(name, value)| self.value(step, name, *value));
        Ok(())
    }
}

/// The element that is meant, made if it is not there.
fn place<T>(all: &mut Vec<T>, is: impl FnMut(&T) -> bool, make: impl FnOnce() -> T) -> &mut T {
    let at = all.iter().position(is).unwrap_or(all.len());
    if at == all.len() {
        all.push(make());
    }
    &mut all[at]
}

#[cfg(test)]
mod tests;
