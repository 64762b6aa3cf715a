//! Weights on disk: safetensors and npz files, under wengert's names or PyTorch's.
//!
//! [`save`] and [`load`] take a module as it is. [`Weights`] has the options: PyTorch's names, parts of a file, other names.
//! [`save_tensors`] and [`load_tensors`] are for anything else that has a name and a tensor, such as the state of an optimizer.
//!
//! A path that ends in `.npz` is NumPy's format, every other safetensors. A file is written beside its place, flushed to disk, and
//! renamed, so it appears whole or not at all. Loading changes all parameters or, on an error, none. A file that is cut off,
//! or whose header says what is not true, is an error, and takes no more memory than it has bytes, or would have uncompressed.
//! Element types that tensors do not have are widened: halves to F32, smaller integers to I64.
//!
//! # PyTorch
//!
//! A module says by its *kind*, `#[module(kind = "lstm")]`, that its fields are the parameters of a module of PyTorch in the
//! layout of wengert, which is `[in, out]` for matrices. [`Weights::pytorch`] writes and reads them in PyTorch's:
//!
//! | kind | fields | in PyTorch |
//! |---|---|---|
//! | `lstm` | `w` `[I, 4H]`, `u` `[H, 4H]`, `b` `[4H]` (gates i, f, g, o) | `weight_ih_l0`, `weight_hh_l0` transposed; `bias_ih_l0 + bias_hh_l0` |
//! | `gru` | `w` `[I, 3H]`, `u` `[H, 3H]`, `b` `[3H]`, `b_u` `[H]` (gates r, z, n) | the same; `b` has `bias_ih_l0` and r, z of `bias_hh_l0`, `b_u` its n |
//! | `elman` | `w` `[I, H]`, `u` `[H, H]`, `b` `[H]` | as `lstm`, of `nn.RNN` |
//! | `projected` | `p` `[H, P]`, around one of these as `cell` | `weight_hr_l0`, transposed |
//! | `rnn` | `layers`, of these | the number and, for the field `backward` of a layer, the direction: `weight_ih_l1_reverse` |
//! | `linear` | `weight` `[I, O]`, `bias` `[O]` | `weight` transposed, `bias` |
//!
//! A cell outside of a driver is `nn.LSTMCell` and so on: `weight_ih`. Modules without a kind have no layout to change:
//! their parameters keep path and shape. Of two biases that PyTorch adds, a saved file has the sum in the first and zeros in the
//! second.

mod element;
mod layout;
mod npy;
mod npz;
mod rename;
mod report;
mod safetensors;
mod weights;

pub use self::safetensors::{from_bytes, to_bytes};
pub use report::Report;
pub use weights::Weights;

use std::io::Write;
use std::path::{Path as FilePath, PathBuf};
use wengert_autograd::{ParamTree, Tensor};

/// Why weights could not be saved or loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system refused.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is not in its format.
    #[error("{path}: not {format} file: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// The format that its name says, with an article.
        format: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The file and the module do not have the same parameters.
    #[error("{}the weights do not fit the module: {report}", path.as_ref().map(|p| format!("{}: ", p.display())).unwrap_or_default())]
    Mismatch {
        /// The file, if they came from one.
        path: Option<PathBuf>,
        /// Missing, unexpected and mis-shaped names, and aliases that differ.
        report: Box<Report>,
    },
}

/// A format of files.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Safetensors,
    Npz,
}

impl Format {
    fn of(path: &FilePath) -> Format {
        let npz = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("npz"));
        if npz { Format::Npz } else { Format::Safetensors }
    }

    fn name(self) -> &'static str {
        match self {
            Format::Safetensors => "a safetensors",
            Format::Npz => "an npz",
        }
    }
}

/// Saves the parameters of a module under their names.
///
/// The file appears whole or not at all: it is written beside its place, flushed to disk, and renamed.
/// A shared parameter (tied weights) is written under each of its names.
///
/// ```
/// use rand::{SeedableRng, rngs::StdRng};
/// use wengert_nn::{LstmCell, Rnn, io};
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("net.safetensors");
/// let make = |seed| Rnn::new(LstmCell::new(3, 4, &mut StdRng::seed_from_u64(seed)));
/// let (net, other) = (make(0), make(1));
/// io::save(&net, &path)?;
/// io::load(&other, &path)?;
/// assert!(net.layers[0].w.value().bit_eq(&other.layers[0].w.value()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If the file cannot be written.
pub fn save(module: &impl ParamTree, path: impl AsRef<FilePath>) -> Result<(), Error> {
    Weights::new().save(module, path)
}

/// Loads the parameters of a module by name. Either all are replaced or, on an error, none.
///
/// # Errors
/// If the file cannot be read, has not its format, or does not hold exactly the module's parameters with their shapes
/// and element types, or names of one shared parameter have different values.
pub fn load(module: &impl ParamTree, path: impl AsRef<FilePath>) -> Result<(), Error> {
    Weights::new().load(module, path).map(|_complete| ())
}

/// Saves named tensors; see [`save`].
///
/// # Errors
/// If the file cannot be written.
pub fn save_tensors(
    tensors: impl IntoIterator<Item = (String, Tensor)>,
    path: impl AsRef<FilePath>,
) -> Result<(), Error> {
    write(tensors.into_iter().collect(), path.as_ref(), false)
}

/// Loads all tensors of a file, in the order of their names.
///
/// # Errors
/// If the file cannot be read, has not its format, or holds an element type that cannot be widened to F32, F64, I64 or Bool.
pub fn load_tensors(path: impl AsRef<FilePath>) -> Result<Vec<(String, Tensor)>, Error> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|source| Error::File { path: path.into(), source })?;
    let format = Format::of(path);
    let read = match format {
        Format::Safetensors => from_bytes(&bytes).map(|(all, _)| all),
        Format::Npz => npz::read(&bytes),
    };
    read.map_err(|reason| Error::Format { path: path.into(), format: format.name(), reason })
}

/// Writes a file beside its place, flushes it to disk, and renames it. Libraries around PyTorch look for a note in it that the
/// tensors are laid out in PyTorch's way.
fn write(tensors: Vec<(String, Tensor)>, path: &FilePath, pytorch: bool) -> Result<(), Error> {
    let format = Format::of(path);
    let bytes = match format {
        Format::Safetensors => {
            to_bytes(tensors, pytorch.then(|| ("format".to_string(), "pt".to_string())).into_iter().collect())
        }
        Format::Npz => npz::write(tensors),
    };
    let bytes = bytes.map_err(|reason| Error::Format { path: path.into(), format: format.name(), reason })?;
    let file = |source| Error::File { path: path.into(), source };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(FilePath::new("."));
    let mut temporary = temporary_file(folder).map_err(file)?;
    temporary.write_all(&bytes).and_then(|()| temporary.as_file().sync_all()).map_err(file)?;
    temporary.persist(path).map_err(|e| file(e.error))?;
    Ok(())
}

/// A file with the permissions a newly written file has; the default of `tempfile` is to hide it from everybody else.
fn temporary_file(folder: &FilePath) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}
