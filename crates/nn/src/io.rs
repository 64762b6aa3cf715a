//! Weights on disk, in the safetensors format.

use safetensors::tensor::{Dtype, SafeTensors, View};
use std::borrow::Cow;
use std::io::Write;
use std::path::{Path as FilePath, PathBuf};
use wengert_autograd::{DType, Param, ParamTree, Path, Tensor};

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
        /// Missing, unexpected and mis-shaped names.
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

/// Every name of a parameter; aliases (tied weights) are written under each of their names.
fn named(module: &impl ParamTree) -> Vec<(String, Param)> {
    let mut all = Vec::new();
    module.visit_params(&mut Path::root(), &mut |path, param| all.push((path.as_str().to_string(), param.clone())));
    all
}

/// Saves the parameters of a module under their names.
///
/// The file appears whole or not at all: it is written beside its place, flushed to disk, and renamed.
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
    let views = tensors.into_iter().map(|(name, tensor)| (name, to_bytes(&tensor)));
    let bytes =
        safetensors::serialize(views, None).map_err(|e| Error::Format { path: path.into(), reason: e.to_string() })?;
    let file = |source| Error::File { path: path.into(), source };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(FilePath::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(folder).map_err(file)?;
    temporary.write_all(&bytes).and_then(|()| temporary.as_file().sync_all()).map_err(file)?;
    temporary.persist(path).map_err(|e| file(e.error))?;
    Ok(())
}

/// Loads the parameters of a module by name. Either all are replaced or, on an error, none.
///
/// # Errors
/// If the file cannot be read, is not safetensors, or does not hold exactly the module's parameters with their shapes
/// and element types.
pub fn load(module: &impl ParamTree, path: impl AsRef<FilePath>) -> Result<(), Error> {
    let path = path.as_ref();
    let mut stored = load_tensors(path)?;
    let mut problems = Vec::new();
    let mut updates = Vec::new();
    for (name, param) in named(module) {
        let present = param.value();
        match stored.iter().position(|(stored, _)| *stored == name) {
            None => problems.push(format!("'{name}' is missing")),
            Some(at) => {
                let (_, tensor) = stored.swap_remove(at);
                if tensor.shape() == present.shape() && tensor.dtype() == present.dtype() {
                    updates.push((param, tensor));
                } else {
                    problems.push(format!(
                        "'{name}' is {} {}, expected {} {}",
                        tensor.dtype(),
                        tensor.shape(),
                        present.dtype(),
                        present.shape()
                    ));
                }
            }
        }
    }
    problems.extend(stored.iter().map(|(name, _)| format!("'{name}' is not a parameter of the module")));
    if !problems.is_empty() {
        return Err(Error::Mismatch { path: path.into(), problems: problems.join(", ") });
    }
    for (param, tensor) in updates {
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
    let format = |reason: String| Error::Format { path: path.into(), reason };
    let file = SafeTensors::deserialize(&bytes).map_err(|e| format(e.to_string()))?;
    let mut all = Vec::new();
    for (name, view) in file.tensors() {
        let tensor = from_bytes(view.dtype(), view.shape(), view.data())
            .ok_or_else(|| format(format_args!("'{name}' has element type {:?}", view.dtype()).to_string()))?;
        all.push((name, tensor));
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

fn to_bytes(tensor: &Tensor) -> Bytes {
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

fn from_bytes(dtype: Dtype, shape: &[usize], data: &[u8]) -> Option<Tensor> {
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
