//! Rows of a tensor: the examples of a batch.

use wengert_autograd::{DType, Element, Error, ErrorKind, Result, Tensor};

/// The rows of a tensor `[N, ..]` with these numbers, `[rows, ..]`; a row may come more than once.
///
/// ```
/// use wengert_autograd::Tensor;
/// let data = Tensor::from_slice(&[0.0f32, 0.1, 1.0, 1.1, 2.0, 2.1], [3, 2])?;
/// let batch = wengert_train::take(&data, &[2, 0])?;
/// assert_eq!(batch.to_vec::<f32>()?, [2.0, 2.1, 0.0, 0.1]);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
///
/// Data that are stored time-major, `[T, N, ..]`, have their examples on the second axis: `take(&data.transpose(0, 1)?, &rows)?.transpose(0, 1)?`.
///
/// # Errors
/// If the tensor has no axes, or a row does not exist.
#[track_caller]
pub fn take(data: &Tensor, rows: &[usize]) -> Result<Tensor> {
    let shape = data.shape();
    let Some(len) = shape.first().copied() else {
        let found = "a tensor without axes has no rows";
        return Err(Error::new(ErrorKind::Shape, "take", found, "give a tensor [N, ..]"));
    };
    if let Some(row) = rows.iter().find(|row| **row >= len) {
        let found = format!("row {row} of the tensor {shape} is asked for");
        return Err(Error::new(ErrorKind::Index, "take", found, format!("its rows go from 0 to {}", len.max(1) - 1)));
    }
    let shape: Vec<usize> = std::iter::once(rows.len()).chain(shape[1..].iter().copied()).collect();
    let width: usize = shape[1..].iter().product();
    fn gather<T: Element>(data: Vec<T>, rows: &[usize], width: usize, shape: &[usize]) -> Result<Tensor> {
        let values = rows.iter().flat_map(|row| &data[row * width..(row + 1) * width]).copied().collect();
        Tensor::from_vec(values, shape)
    }
    macro_rules! gathered {
        // A contiguous tensor is read in place.
        ($type:ty) => {{
            let data = data.contiguous();
            let data = data.as_slice::<$type>()?;
            let values = rows.iter().flat_map(|row| &data[row * width..(row + 1) * width]).copied().collect();
            Tensor::from_vec(values, &shape[..])
        }};
    }
    match data.dtype() {
        DType::F32 => gathered!(f32),
        DType::F64 => gathered!(f64),
        DType::I64 => gathered!(i64),
        DType::Bool => gather(data.to_vec::<bool>()?, rows, width, &shape),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_views_and_of_every_type() {
        let data = Tensor::from_vec((0..12i64).collect(), [3, 4]).unwrap();
        let columns = data.transpose(0, 1).unwrap();
        for dtype in [DType::I64, DType::F32, DType::F64] {
            let found = take(&columns.cast(dtype), &[3, 3, 0]).unwrap();
            assert_eq!((found.shape().to_vec(), found.dtype()), (vec![3, 3], dtype));
            assert_eq!(found.to_f64_vec(), [3.0, 7.0, 11.0, 3.0, 7.0, 11.0, 0.0, 4.0, 8.0]);
        }
        assert_eq!(take(&data.cast(DType::Bool), &[0]).unwrap().to_f64_vec(), [0.0, 1.0, 1.0, 1.0]);
        assert_eq!(take(&data, &[]).unwrap().shape().to_vec(), [0, 4]);
        let error = take(&data, &[1, 3]).unwrap_err().to_string();
        assert!(error.contains("row 3 of the tensor [3, 4]") && error.contains("0 to 2"), "{error}");
        assert!(take(&Tensor::scalar(1.0f32), &[0]).is_err());
    }
}
