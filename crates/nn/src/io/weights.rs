//! Saving and loading with options.

use super::layout::{self, Names, Place};
use super::rename::Rename;
use super::report::Report;
use super::{Error, load_tensors, write};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::path::Path as FilePath;
use wengert_autograd::{Param, ParamId, ParamTree, Tensor};

/// How weights are saved and loaded: whose names, whether all of them, which other names the file has.
///
/// ```
/// use rand::{SeedableRng, rngs::StdRng};
/// use wengert_nn::{LstmCell, Rnn, io::{Weights, load_tensors}};
/// let rng = &mut StdRng::seed_from_u64(0);
/// let net = Rnn::stack(2, 3, |_, input| LstmCell::new(input, 4, rng));
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("lstm.safetensors");
/// Weights::pytorch().save(&net, &path)?;
///
/// // What torch.nn.LSTM(3, 4, num_layers=2).load_state_dict(load_file(path)) expects.
/// let names: Vec<String> = load_tensors(&path)?.into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names[..4], ["bias_hh_l0", "bias_hh_l1", "bias_ih_l0", "bias_ih_l1"]);
/// assert_eq!(names[4..], ["weight_hh_l0", "weight_hh_l1", "weight_ih_l0", "weight_ih_l1"]);
///
/// // One layer out of it, as the first of another network.
/// let one = Rnn::new(LstmCell::new(4, 4, rng));
/// let report = Weights::pytorch().rename_with(|name| Some(name.strip_suffix("_l1")?.to_string() + "_l0")).load(&one, &path)?;
/// assert!(report.is_complete());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Weights<'r> {
    names: Names,
    partial: bool,
    cast: bool,
    renames: Vec<Rename<'r>>,
}

impl<'r> Weights<'r> {
    /// Exactly the module's parameters under their paths: what [`save`](super::save) and [`load`](super::load) do.
    pub fn new() -> Weights<'r> {
        Weights::default()
    }

    /// The names and layouts of PyTorch, for modules whose [kind](super#pytorch) it has; other parameters under their paths.
    pub fn pytorch() -> Weights<'r> {
        Weights { names: Names::PyTorch, ..Weights::default() }
    }

    /// Loads what the file and the module both have, and leaves the rest as it is. A name that both have in different shapes is
    /// an error still, and so is a file that has no name of the module.
    pub fn partial(self) -> Weights<'r> {
        Weights { partial: true, ..self }
    }

    /// Converts between F32 and F64 where the file and the module differ.
    pub fn cast(self) -> Weights<'r> {
        Weights { cast: true, ..self }
    }

    /// When loading, names of the file that match all of `from` become `to`. A `*` in `from` matches any text, as short as possible;
    /// the stars of `to` stand for these texts in order. Rules are applied one after the other. `rename("model.*", "*")` takes a
    /// prefix away, `rename("*", "rnn.*")` adds one.
    pub fn rename(mut self, from: &str, to: &str) -> Weights<'r> {
        self.renames.push(Rename::Pattern(from.to_string(), to.to_string()));
        self
    }

    /// When loading, names of the file become what `rule` gives; `None` leaves a tensor out.
    pub fn rename_with(mut self, rule: impl Fn(&str) -> Option<String> + 'r) -> Weights<'r> {
        self.renames.push(Rename::With(Box::new(rule)));
        self
    }

    /// The tensors that saving writes: a state dictionary. A shared parameter (tied weights) has each of its names.
    pub fn tensors(&self, module: &impl ParamTree) -> Vec<(String, Tensor)> {
        layout::tensors(module, self.names)
    }

    /// Saves a module; the file appears whole or not at all. `.npz` is NumPy's format, everything else safetensors.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, module: &impl ParamTree, path: impl AsRef<FilePath>) -> Result<(), Error> {
        write(self.tensors(module), path.as_ref(), self.names == Names::PyTorch)
    }

    /// Loads a module from a file; see [`assign`](Weights::assign).
    ///
    /// # Errors
    /// If the file cannot be read or has not its format; and those of [`assign`](Weights::assign).
    pub fn load(&self, module: &impl ParamTree, path: impl AsRef<FilePath>) -> Result<Report, Error> {
        let path = path.as_ref();
        self.assign(module, load_tensors(path)?).map_err(|error| match error {
            Error::Mismatch { report, .. } => Error::Mismatch { path: Some(path.into()), report },
            other => other,
        })
    }

    /// Loads a module from tensors: either all that is to be loaded or, on an error, nothing.
    ///
    /// # Errors
    /// [`Error::Mismatch`], with a report, if the tensors are not exactly those that the module asks for, with their shapes and
    /// element types, unless [`partial`](Weights::partial) or [`cast`](Weights::cast) allow it; or if names of one shared parameter
    /// have different values.
    pub fn assign(
        &self,
        module: &impl ParamTree,
        tensors: impl IntoIterator<Item = (String, Tensor)>,
    ) -> Result<Report, Error> {
        let mut report = Report::default();
        let mut given = self.renamed(tensors, &mut report);
        let places = layout::places(module, self.names);
        let fitting = self.fit(&places, &mut given, &mut report);
        let updates = join(&places, &fitting, &mut report);
        report.unexpected.extend(given.into_keys());
        let complete = report.misfits.is_empty() && report.missing.is_empty() && report.unexpected.is_empty();
        let enough = self.partial && report.misfits.is_empty() && (!report.loaded.is_empty() || places.is_empty());
        let mismatch = |report| Error::Mismatch { path: None, report: Box::new(report) };
        if !complete && !enough {
            report.guess(self.names == Names::PyTorch);
            return Err(mismatch(report));
        }
        for (param, value) in updates.into_values() {
            // Shapes and element types were compared above.
            if let Err(error) = param.set(value) {
                report.misfits.push(error.to_string());
                return Err(mismatch(report));
            }
        }
        Ok(report)
    }

    /// The tensors under their new names.
    fn renamed(
        &self,
        tensors: impl IntoIterator<Item = (String, Tensor)>,
        report: &mut Report,
    ) -> BTreeMap<String, Tensor> {
        let mut given = BTreeMap::new();
        for (before, tensor) in tensors {
            let name = self.renames.iter().try_fold(before.clone(), |name, rule| rule.apply(name));
            let Some(name) = name else { continue };
            match given.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(tensor);
                }
                Entry::Occupied(taken) => {
                    let name = taken.key();
                    let problem = format!("'{name}' is the name of two tensors, one of them '{before}' in the file");
                    report.misfits.push(problem);
                }
            }
        }
        given
    }

    /// Takes out of `given` what the places ask for. Gives those tensors that fit.
    fn fit(
        &self,
        places: &[Place],
        given: &mut BTreeMap<String, Tensor>,
        report: &mut Report,
    ) -> HashMap<String, Option<Tensor>> {
        let mut fitting: HashMap<String, Option<Tensor>> = HashMap::new();
        for Place { param, pieces, .. } in places {
            let dtype = param.value().dtype();
            for piece in pieces {
                if fitting.contains_key(&piece.name) {
                    continue;
                }
                let found = given.remove(&piece.name);
                let fits = match found {
                    None => {
                        report.missing.push(piece.name.clone());
                        None
                    }
                    Some(tensor) => {
                        let converts = self.cast && tensor.dtype().is_float() && dtype.is_float();
                        let fits = *tensor.shape() == piece.shape && (tensor.dtype() == dtype || converts);
                        if !fits {
                            report.misfits.push(format!(
                                "'{}' is {} {}, expected {dtype} {}",
                                piece.name,
                                tensor.dtype(),
                                tensor.shape(),
                                piece.shape
                            ));
                            if *tensor.shape() == piece.shape && tensor.dtype().is_float() && dtype.is_float() {
                                report.hint("cast() converts between f32 and f64");
                            }
                        }
                        fits.then(|| tensor.cast(dtype))
                    }
                };
                fitting.insert(piece.name.clone(), fits);
            }
        }
        report.loaded.extend(fitting.iter().filter(|(_, tensor)| tensor.is_some()).map(|(name, _)| name.clone()));
        report.loaded.sort();
        fitting
    }
}

/// The new values of those parameters all of whose pieces fit.
fn join(
    places: &[Place],
    fitting: &HashMap<String, Option<Tensor>>,
    report: &mut Report,
) -> BTreeMap<ParamId, (Param, Tensor)> {
    let mut updates: BTreeMap<ParamId, (Param, Tensor)> = BTreeMap::new();
    let mut first: HashMap<ParamId, &str> = HashMap::new();
    for Place { own, param, pieces } in places {
        let tensor = |name: &str| fitting.get(name).cloned().flatten();
        let (whole, without): (Vec<_>, Vec<_>) = pieces.iter().partition(|piece| tensor(&piece.name).is_some());
        if let (Some(there), Some(absent)) = (whole.first(), without.first()) {
            report.misfits.push(format!("'{}' is of no use without '{}'", there.name, absent.name));
        }
        if !without.is_empty() {
            continue;
        }
        let given: Vec<_> = whole.into_iter().filter_map(|piece| Some((piece, tensor(&piece.name)?))).collect();
        let present = param.value();
        let value = match layout::assemble(present.shape(), present.dtype(), &given) {
            Ok(value) => value,
            Err(error) => {
                report.misfits.push(format!("'{own}': {error}"));
                continue;
            }
        };
        let before = *first.entry(param.id()).or_insert(own);
        match updates.get(&param.id()) {
            Some((_, same)) if !same.bit_eq(&value) => {
                report.misfits.push(format!("'{before}' and '{own}' are one parameter, but differ in the file"));
            }
            Some(_) => {}
            None => {
                updates.insert(param.id(), (param.clone(), value));
            }
        }
    }
    updates
}
