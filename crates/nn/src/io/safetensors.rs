//! The safetensors format: a header in JSON, then the elements.

use super::element::{Element, encode};
use safetensors::tensor::{Dtype, SafeTensors, View};
use std::borrow::Cow;
use std::collections::HashMap;
use wengert_autograd::{DType, Tensor};

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

/// The bytes of a safetensors file with named tensors and metadata.
///
/// # Errors
/// What the format refuses, such as two tensors of one name.
pub fn to_bytes(
    tensors: impl IntoIterator<Item = (String, Tensor)>,
    metadata: HashMap<String, String>,
) -> Result<Vec<u8>, String> {
    let views = tensors.into_iter().map(|(name, tensor)| {
        let dtype = match tensor.dtype() {
            DType::F32 => Dtype::F32,
            DType::F64 => Dtype::F64,
            DType::I64 => Dtype::I64,
            DType::Bool => Dtype::BOOL,
        };
        (name, Bytes { dtype, shape: tensor.shape().to_vec(), data: encode(&tensor) })
    });
    let metadata = (!metadata.is_empty()).then_some(metadata);
    safetensors::serialize(views, metadata).map_err(|e| e.to_string())
}

/// The tensors of a safetensors file, in the order of their names, and its metadata.
///
/// # Errors
/// If the bytes are not in the format, or hold an element type that cannot be widened to F32, F64, I64 or Bool.
#[allow(clippy::type_complexity)]
pub fn from_bytes(bytes: &[u8]) -> Result<(Vec<(String, Tensor)>, HashMap<String, String>), String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
    let mut all = Vec::new();
    for (name, view) in file.tensors() {
        let element = element(view.dtype())
            .ok_or_else(|| format!("'{name}' has element type {:?}, which is not supported", view.dtype()))?;
        let tensor = element
            .decode(false, view.shape(), view.data())
            .ok_or_else(|| format!("'{name}' is {element} {:?} of {} bytes", view.shape(), view.data().len()))?;
        all.push((name, tensor));
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok((all, header.metadata().clone().unwrap_or_default()))
}

fn element(dtype: Dtype) -> Option<Element> {
    Some(match dtype {
        Dtype::BOOL => Element::Bool,
        Dtype::U8 => Element::U8,
        Dtype::I8 => Element::I8,
        Dtype::U16 => Element::U16,
        Dtype::I16 => Element::I16,
        Dtype::U32 => Element::U32,
        Dtype::I32 => Element::I32,
        Dtype::I64 => Element::I64,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::BF16,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        _ => return None,
    })
}
