//! Checkpoints: a training that was stopped at any moment goes on as if nothing had happened, to the bit.

mod file;
mod parts;

use crate::error::{Error, Result};
use file::{Checkpoint, PART};
pub use parts::{Checkpointed, Parts, Value};
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The checkpoints of a run in a folder: the last few, and the best.
///
/// Each is one safetensors file, `step-00000120.safetensors` or `best.safetensors`, with a checksum in its metadata. It is written
/// beside its place, flushed to disk and renamed; older ones are removed after that. So there is a whole checkpoint at any moment.
///
/// ```
/// use wengert_autograd::{Param, Tape, Tensor};
/// use wengert_optim::Adam;
/// use wengert_train::{Checkpointed, Checkpoints, Parts, Result};
///
/// struct Run { p: Param, adam: Adam, step: u64 }
/// impl Checkpointed for Run {
///     fn parts(&mut self, parts: &mut Parts) -> Result<()> {
///         parts.params("p", &self.p)?;
///         parts.optimizer("adam", &mut self.adam, &self.p)?;
///         parts.value("step", &mut self.step)
///     }
/// }
///
/// # let temporary = tempfile::tempdir().unwrap();
/// # let folder = temporary.path();
/// let train = |steps: u64| -> Result<Run> {
///     let mut run = Run { p: Param::new(Tensor::scalar(1.0f64)), adam: Adam::new(0.1), step: 0 };
///     let mut checkpoints = Checkpoints::new(folder)?.keep(2);
///     println!("{}", checkpoints.resume(&mut run)?);       // goes on at step 5 of folder/step-00000005.safetensors
///     while run.step < steps {
///         let gradients = { Tape::new().param(&run.p).square().backward()? };
///         run.adam.step(&run.p, &gradients)?;
///         run.step += 1;
///         checkpoints.save(run.step, &mut run)?;
///     }
///     Ok(run)
/// };
/// train(5)?;
/// let resumed = train(10)?;
/// # std::fs::remove_dir_all(folder).unwrap();
/// let undisturbed = train(10)?;
/// assert!(resumed.p.value().bit_eq(&undisturbed.p.value()));
/// # Ok::<(), wengert_train::Error>(())
/// ```
///
/// A run that is resumed must have the settings that its checkpoints were made with, or it would be another: settings of optimizers, batches,
/// schedules and early stopping are compared, and what was given to [`Parts::same`]. To change one in the middle of a run, name it in
/// [`allow_changed`](Checkpoints::allow_changed).
#[derive(Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    keep: usize,
    allowed: Vec<String>,
    /// The loss of the best checkpoint, once it is known.
    best: Option<f64>,
    /// Held by this run as long as it lives; the system lets go of it if the run is killed. `None` if nothing may be written.
    lock: Option<File>,
}

/// The name of the best checkpoint.
const BEST: &str = "best.safetensors";

impl Checkpoints {
    /// The checkpoints in a folder, which is made if it is missing; keeps the last 3.
    ///
    /// # Errors
    /// If the folder cannot be written to, or another run uses it: known now, not after the first hour of training. Such a folder can be
    /// [read](Checkpoints::read_only).
    pub fn new(folder: impl Into<PathBuf>) -> Result<Checkpoints> {
        let folder = folder.into();
        fs::create_dir_all(&folder).map_err(|e| Error::file(&folder, e))?;
        let path = folder.join("lock");
        let create = |path: &Path| {
            File::create(path).map_err(|e| match e.kind() {
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                    let remedy = "to look at checkpoints that stay as they are: Checkpoints::read_only";
                    Error::format(path, format!("{e}; {remedy}"))
                }
                _ => Error::file(path, e),
            })
        };
        let lock = create(&path)?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => {
                return Err(Error::format(&folder, "another run writes its checkpoints here; give each run a folder"));
            }
            // A file system without locks is used without.
            Err(TryLockError::Error(_)) | Ok(()) => {}
        }
        // The lock of an earlier run may be writable where the folder is not.
        create(&folder.join("probe").with_extension(PART))?;
        // That one, and those that a run was writing when it was stopped.
        for path in list(&folder)?.into_iter().filter(|path| path.extension().is_some_and(|e| e == PART)) {
            fs::remove_file(&path).map_err(|e| Error::file(&path, e))?;
        }
        Ok(Checkpoints { folder, keep: 3, allowed: Vec::new(), best: None, lock: Some(lock) })
    }

    /// The checkpoints in a folder that is only read, to evaluate what was trained: it may be one that cannot be written to, or that of a run
    /// which goes on meanwhile. [`save`](Checkpoints::save) and [`save_best`](Checkpoints::save_best) are errors.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn read_only(folder: impl Into<PathBuf>) -> Result<Checkpoints> {
        let folder = folder.into();
        list(&folder)?;
        Ok(Checkpoints { folder, keep: 3, allowed: Vec::new(), best: None, lock: None })
    }

    /// Lets a run go on with settings other than those of its checkpoints: by the names that the error of
    /// [`resume`](Checkpoints::resume) gives, such as `adam/settings/betas`; `adam` stands for all below it. [`Resumed`] says what has changed, and the
    /// next checkpoint holds the new setting. A learning rate is no setting but a part of the state: set it after `resume`.
    ///
    /// ```
    /// use wengert_train::{Checkpointed, Checkpoints, Parts, Result};
    /// struct Run { batch: usize }
    /// impl Checkpointed for Run {
    ///     fn parts(&mut self, parts: &mut Parts) -> Result<()> {
    ///         parts.same("batch", &self.batch)
    ///     }
    /// }
    /// # let temporary = tempfile::tempdir().unwrap();
    /// # let folder = temporary.path();
    /// let mut checkpoints = Checkpoints::new(folder)?;
    /// checkpoints.save(1, &mut Run { batch: 16 })?;
    /// assert!(checkpoints.resume(&mut Run { batch: 32 }).is_err());
    /// let resumed = checkpoints.allow_changed(["batch"]).resume(&mut Run { batch: 32 })?;
    /// assert_eq!(resumed.changed, ["'batch' was 16, and is 32 now"]);
    /// # Ok::<(), wengert_train::Error>(())
    /// ```
    pub fn allow_changed<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Checkpoints {
        self.allowed.extend(names.into_iter().map(String::from));
        self
    }

    /// Keeps another number of last checkpoints, at least 1.
    pub fn keep(self, keep: usize) -> Checkpoints {
        Checkpoints { keep: keep.max(1), ..self }
    }

    /// Writes a checkpoint of a run after `step` steps, and removes those before the last few.
    ///
    /// # Errors
    /// If it cannot be written: what was there stays, and the run can go on. An error of the run's parts.
    pub fn save(&mut self, step: u64, run: &mut impl Checkpointed) -> Result<()> {
        self.writable()?;
        let contents = Parts::write(run)?;
        Checkpoint { step, loss: None, contents }.write(&self.path(step))?;
        // Later ones can only be damaged ones that a resume has passed over.
        let mut steps: Vec<u64> = self.steps()?.into_iter().filter(|found| *found <= step).collect();
        steps.truncate(steps.len().saturating_sub(self.keep));
        for path in steps.into_iter().map(|step| self.path(step)) {
            fs::remove_file(&path).map_err(|e| Error::file(&path, e))?;
        }
        Ok(())
    }

    /// Writes the checkpoint of the best run if `loss` is lower than that of the one there, or there is none. Says whether it did.
    ///
    /// # Errors
    /// As [`save`](Checkpoints::save); if the one there cannot be read, which is not written over.
    pub fn save_best(&mut self, step: u64, loss: f64, run: &mut impl Checkpointed) -> Result<bool> {
        self.writable()?;
        let path = self.folder.join(BEST);
        let before = match self.best {
            // Read once: it may be large.
            Some(before) if path.exists() => Some(before),
            _ if path.exists() => {
                let best = Checkpoint::read(&path).map_err(|e| moved(&path, e))?;
                let unknown = || Error::format(&path, format!("it does not say its loss{MOVE}"));
                Some(best.loss.ok_or_else(unknown)?)
            }
            _ => None,
        };
        self.best = before;
        // NaN is never better.
        if !before.is_none_or(|before| loss < before) || loss.is_nan() {
            return Ok(false);
        }
        let contents = Parts::write(run)?;
        // Not known if it fails: the new one may be there all the same.
        self.best = None;
        Checkpoint { step, loss: Some(loss), contents }.write(&path)?;
        self.best = Some(loss);
        Ok(true)
    }

    fn writable(&self) -> Result<()> {
        match &self.lock {
            Some(_) => Ok(()),
            None => Err(Error::format(&self.folder, "it was opened to be read; to write to it: Checkpoints::new")),
        }
    }

    /// Sets a run to the last checkpoint that is whole, and says which that is. Without any, the run stays as it is.
    ///
    /// # Errors
    /// If no checkpoint is whole, though there are some. If the last one is whole, but not of this run: what of the run was set by then is
    /// not defined.
    pub fn resume(&self, run: &mut impl Checkpointed) -> Result<Resumed> {
        let mut passed_over = Vec::new();
        for step in self.steps()?.into_iter().rev() {
            let path = self.path(step);
            match Checkpoint::read(&path) {
                Ok(checkpoint) => {
                    let changed = Parts::read_changed(run, checkpoint.contents, &self.allowed)?;
                    return Ok(Resumed { step: Some(step), path: Some(path), passed_over, changed });
                }
                Err(error) => passed_over.push(error),
            }
        }
        if passed_over.is_empty() {
            return Ok(Resumed { step: None, path: None, passed_over, changed: Vec::new() });
        }
        let all: Vec<String> = passed_over.iter().map(|error| error.to_string()).collect();
        let reason = format!("none of its checkpoints can be read; move them away to start anew: {}", all.join("; "));
        Err(Error::format(&self.folder, reason))
    }

    /// Sets a run to the best checkpoint and gives its step and loss; `None` if there is none.
    ///
    /// # Errors
    /// If it is damaged, or not of this run.
    pub fn load_best(&self, run: &mut impl Checkpointed) -> Result<Option<(u64, f64)>> {
        let path = self.folder.join(BEST);
        if !path.exists() {
            return Ok(None);
        }
        let Checkpoint { step, loss, contents } = Checkpoint::read(&path)?;
        Parts::read_changed(run, contents, &self.allowed)?;
        Ok(Some((step, loss.unwrap_or(f64::NAN))))
    }

    /// Sets a run to one file, and gives its step: to look at a run that another program trains, or in a folder that cannot be written to.
    ///
    /// # Errors
    /// If it cannot be read, is damaged, or is not of this run.
    pub fn load(path: impl AsRef<Path>, run: &mut impl Checkpointed) -> Result<u64> {
        let Checkpoint { step, contents, .. } = Checkpoint::read(path.as_ref())?;
        Parts::read(run, contents)?;
        Ok(step)
    }

    /// The steps of the checkpoints, in order; whether each is whole is not looked at.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn steps(&self) -> Result<Vec<u64>> {
        let step = |path: PathBuf| {
            path.file_name()?.to_str()?.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse().ok()
        };
        let mut steps: Vec<u64> = list(&self.folder)?.into_iter().filter_map(step).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// The file of a step.
    pub fn path(&self, step: u64) -> PathBuf {
        self.folder.join(format!("step-{step:08}.safetensors"))
    }
}

/// What to do about a best checkpoint that is in the way.
const MOVE: &str = "; it is not written over: move it away";

/// The error of a best checkpoint that cannot be read when another is to be written.
fn moved(path: &Path, error: Error) -> Error {
    match error {
        Error::File { source, .. } => Error::format(path, format!("{source}{MOVE}")),
        Error::Format { reason, .. } => Error::format(path, format!("{reason}{MOVE}")),
        other => other,
    }
}

/// The entries of a folder.
fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<PathBuf>>>();
    read().map_err(|e| Error::file(folder, e))
}

/// Where a run goes on; to be printed.
#[derive(Debug)]
#[must_use = "it says which checkpoints were passed over: print it"]
pub struct Resumed {
    /// The step of the checkpoint; `None` if there was none.
    pub step: Option<u64>,
    /// Its file.
    pub path: Option<PathBuf>,
    /// What is wrong with the later ones.
    pub passed_over: Vec<Error>,
    /// The settings that are others now, as was [allowed](Checkpoints::allow_changed).
    pub changed: Vec<String>,
}

impl fmt::Display for Resumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.step, &self.path) {
            (Some(step), Some(path)) => write!(f, "goes on at step {step} of {}", path.display())?,
            _ => write!(f, "starts anew: there is no checkpoint yet")?,
        }
        self.changed.iter().try_for_each(|change| write!(f, "; {change}"))?;
        self.passed_over.iter().try_for_each(|error| write!(f, "; passed over: {error}"))
    }
}

#[cfg(test)]
mod tests;
