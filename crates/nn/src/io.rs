//! Weights on disk, in the safetensors format.

use safetensors::tensor::{Dtype, SafeTensors, View};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path as FilePath, PathBuf};
use wengert_autograd::{DType, Param, ParamId, ParamTree, Path, Tensor};

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
    /// The file is not in the safetensors format.
    #[error("{path}: not a safetensors file: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file and the module do not have the same parameters.
    #[error("{path}: the weights do not fit the module: {problems}")]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// Missing, unexpected and mis-shaped names, and aliases that differ.
        problems: String,
    },
}

struct Bytes {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl View for Bytes {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.data)
    }
    fn data_len(&self) -> usize {
        self.data.len()
    }
}

/// Every name of every parameter.
fn named(module: &impl ParamTree) -> Vec<(String, Param)> {
    let mut all = Vec::new();
    module.visit_params(&mut Path::root(), &mut |path, param| all.push((path.as_str().to_string(), param.clone())));
    all
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
    let tensors = named(module).into_iter().map(|(name, param)| (name, param.value()));
    save_tensors(tensors, path)
}

/// Saves named tensors; see [`save`].
///
/// # Errors
/// If the file cannot be written.
pub fn save_tensors(
    tensors: impl IntoIterator<Item = (String, Tensor)>,
    path: impl AsRef<FilePath>,
) -> Result<(), Error> {
    let path = path.as_ref();
    let bytes =
        to_bytes(tensors, HashMap::new()).map_err(|e| Error::Format { path: path.into(), reason: e.to_string() })?;
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

/// Loads the parameters of a module by name. Either all are replaced or, on an error, none.
///
/// # Errors
/// If the file cannot be read, is not safetensors, or does not hold exactly the module's parameters with their shapes
/// and element types, or names of one shared parameter have different values.
pub fn load(module: &impl ParamTree, path: impl AsRef<FilePath>) -> Result<(), Error> {
    let path = path.as_ref();
    let mut stored: BTreeMap<String, Tensor> = load_tensors(path)?.into_iter().collect();
    let mut problems = Vec::new();
    let mut updates: BTreeMap<ParamId, (String, Param, Tensor)> = BTreeMap::new();
    for (name, param) in named(module) {
        let present = param.value();
        let Some(tensor) = stored.remove(&name) else {
            problems.push(format!("'{name}' is missing"));
            continue;
        };
        if tensor.shape() != present.shape() || tensor.dtype() != present.dtype() {
            let (found, shape) = (tensor.dtype(), tensor.shape());
            problems.push(format!("'{name}' is {found} {shape}, expected {} {}", present.dtype(), present.shape()));
            continue;
        }
        match updates.get(&param.id()) {
            Some((first, _, same)) if !same.bit_eq(&tensor) => {
                problems.push(format!("'{first}' and '{name}' are one parameter, but differ in the file"));
            }
            Some(_) => {}
            None => {
                updates.insert(param.id(), (name, param, tensor));
            }
        }
    }
    problems.extend(stored.keys().map(|name| format!("'{name}' is not a parameter of the module")));
    if !problems.is_empty() {
        return Err(Error::Mismatch { path: path.into(), problems: problems.join(", ") });
    }
    for (_, param, tensor) in updates.into_values() {
        // Shape and element type were compared above.
        param.set(tensor).map_err(|e| Error::Mismatch { path: path.into(), problems: e.to_string() })?;
    }
    Ok(())
}

/// Loads all tensors of a file, in the order of their names.
///
/// # Errors
/// If the file cannot be read, is not safetensors, or holds an element type other than F32, F64, I64, Bool.
pub fn load_tensors(path: impl AsRef<FilePath>) -> Result<Vec<(String, Tensor)>, Error> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|source| Error::File { path: path.into(), source })?;
    let (all, _) = from_bytes(&bytes).map_err(|reason| Error::Format { path: path.into(), reason })?;
    Ok(all)
}

/// The bytes of a safetensors file with named tensors and metadata.
///
/// # Errors
/// What the format refuses, such as two tensors of one name.
pub fn to_bytes(
    tensors: impl IntoIterator<Item = (String, Tensor)>,
    metadata: HashMap<String, String>,
) -> Result<Vec<u8>, String> {
    let views = tensors.into_iter().map(|(name, tensor)| (name, view(&tensor)));
    let metadata = (!metadata.is_empty()).then_some(metadata);
    safetensors::serialize(views, metadata).map_err(|e| e.to_string())
}

/// The tensors of a safetensors file, in the order of their names, and its metadata.
///
/// # Errors
/// If the bytes are not in the format, or an element type is not F32, F64, I64 or Bool.
#[allow(clippy::type_complexity)]
pub fn from_bytes(bytes: &[u8]) -> Result<(Vec<(String, Tensor)>, HashMap<String, String>), String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
    let mut all = Vec::new();
    for (name, view) in file.tensors() {
        let tensor = tensor(view.dtype(), view.shape(), view.data())
            .ok_or_else(|| format!("'{name}' has element type {:?}", view.dtype()))?;
        all.push((name, tensor));
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok((all, header.metadata().clone().unwrap_or_default()))
}

fn view(tensor: &Tensor) -> Bytes {
    // `to_vec` of the tensor's own type cannot fail.
    macro_rules! bytes {
        ($dtype:ident, $type:ty, $v:ident => $map:expr) => {
            (Dtype::$dtype, tensor.to_vec::<$type>().unwrap_or_default().into_iter().flat_map(|$v| $map).collect())
        };
    }
    let (dtype, data) = match tensor.dtype() {
        DType::F32 => bytes!(F32, f32, v => v.to_le_bytes()),
        DType::F64 => bytes!(F64, f64, v => v.to_le_bytes()),
        DType::I64 => bytes!(I64, i64, v => v.to_le_bytes()),
        DType::Bool => bytes!(BOOL, bool, v => [v as u8]),
    };
    Bytes { dtype, shape: tensor.shape().to_vec(), data }
}

fn tensor(dtype: Dtype, shape: &[usize], data: &[u8]) -> Option<Tensor> {
    macro_rules! values {
        ($type:ty, $size:literal) => {{
            let (values, _) = data.as_chunks::<$size>();
            Tensor::from_vec(values.iter().map(|v| <$type>::from_le_bytes(*v)).collect(), shape).ok()
        }};
    }
    match dtype {
        Dtype::F32 => values!(f32, 4),
        Dtype::F64 => values!(f64, 8),
        Dtype::I64 => values!(i64, 8),
        Dtype::BOOL => Tensor::from_vec(data.iter().map(|v| *v != 0).collect(), shape).ok(),
        _ => None,
    }
}
