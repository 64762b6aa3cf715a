//! A tensor as text.

use crate::dtype::DType;
use crate::tensor::Tensor;
use std::fmt;

impl fmt::Debug for Tensor {
    /// Type, shape and the elements as nested rows; long axes are cut in the middle.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor<{}>{} ", self.dtype(), self.shape())?;
        let values = self.to_f64_vec();
        let strides = self.shape().contiguous_strides();
        fmt_axis(f, self, &values, &strides, 0, 0)
    }
}

fn fmt_axis(
    f: &mut fmt::Formatter<'_>,
    tensor: &Tensor,
    values: &[f64],
    strides: &[usize],
    axis: usize,
    at: usize,
) -> fmt::Result {
    const EDGE: usize = 4;
    if axis == tensor.shape().rank() {
        return match tensor.dtype() {
            DType::Bool => write!(f, "{}", values[at] != 0.0),
            DType::I64 => write!(f, "{}", values[at] as i64),
            DType::F32 => fmt::Display::fmt(&(values[at] as f32), f),
            DType::F64 => fmt::Display::fmt(&values[at], f),
        };
    }
    let n = tensor.shape()[axis];
    f.write_str("[")?;
    for i in 0..n {
        if n > 2 * EDGE + 1 && i == EDGE {
            f.write_str(", ...")?;
        }
        if n > 2 * EDGE + 1 && (EDGE..n - EDGE).contains(&i) {
            continue;
        }
        if i > 0 {
            f.write_str(", ")?;
        }
        fmt_axis(f, tensor, values, strides, axis + 1, at + i * strides[axis])?;
    }
    f.write_str("]")
}
