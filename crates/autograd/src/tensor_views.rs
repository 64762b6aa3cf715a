//! Views of a tensor: the same buffer, read in another order or in part.

use crate::error::{Error, ErrorKind, Result};
use crate::shape::{Shape, Strides};
use crate::tensor::Tensor;

impl Tensor {
    /// The same buffer from `skipped` elements on.
    fn with_view(&self, shape: Shape, strides: Strides, skipped: usize) -> Tensor {
        let (buffer, offset) = self.parts();
        Tensor::view(buffer.clone(), shape, strides, offset + skipped)
    }

    /// A view with the axes in another order: axis `i` of the result is axis `order[i]` of this tensor.
    ///
    /// # Errors
    /// If `order` is not a permutation of the axes.
    #[track_caller]
    pub fn permute(&self, order: &[usize]) -> Result<Tensor> {
        let mut seen = vec![false; self.shape().rank()];
        let valid = order.len() == seen.len()
            && order.iter().all(|&axis| axis < seen.len() && !std::mem::replace(&mut seen[axis], true));
        if !valid {
            return Err(Error::new(
                ErrorKind::Shape,
                "permute",
                format!("{order:?} is not a permutation of the {} axes of {}", seen.len(), self.shape()),
                "name each axis once",
            ));
        }
        let shape = order.iter().map(|&axis| self.shape()[axis]).collect();
        let strides = order.iter().map(|&axis| self.strides()[axis]).collect();
        Ok(self.with_view(shape, strides, 0))
    }

    /// A view with two axes exchanged.
    ///
    /// # Errors
    /// If an axis does not exist.
    #[track_caller]
    pub fn transpose(&self, a: usize, b: usize) -> Result<Tensor> {
        let mut order: Vec<usize> = (0..self.shape().rank()).collect();
        if a.max(b) >= order.len() {
            return Err(Error::new(
                ErrorKind::Shape,
                "transpose",
                format!("axis {} is out of range for shape {}", a.max(b), self.shape()),
                format!("axes go from 0 to {}", order.len().saturating_sub(1)),
            ));
        }
        order.swap(a, b);
        self.permute(&order)
    }

    /// A view of `len` entries of one axis, from `start` on.
    ///
    /// # Errors
    /// If the axis does not exist or the range leaves it.
    #[track_caller]
    pub fn narrow(&self, axis: usize, start: usize, len: usize) -> Result<Tensor> {
        if axis >= self.shape().rank() || start.checked_add(len).is_none_or(|end| end > self.shape()[axis]) {
            return Err(Error::new(
                ErrorKind::Shape,
                "narrow",
                format!("{len} entries from {start} on axis {axis} leave the tensor {}", self.shape()),
                "",
            ));
        }
        let skipped = if self.numel() == 0 || len == 0 { 0 } else { start * self.strides()[axis] };
        Ok(self.with_view(self.shape().with_axis(axis, len), self.strides().into(), skipped))
    }

    /// A view with axes of extent 1 repeated, and axes added in front: NumPy's broadcasting to `shape`.
    ///
    /// ```
    /// use wengert_autograd::Tensor;
    /// let row = Tensor::from_slice(&[1.0f64, 2.0], [1, 2])?;
    /// assert_eq!(row.expand([2, 2])?.to_vec::<f64>()?, [1.0, 2.0, 1.0, 2.0]);
    /// assert!(row.expand([2, 3]).is_err());
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the tensor does not broadcast to `shape`.
    #[track_caller]
    pub fn expand(&self, shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into();
        if self.shape().broadcast(&shape).as_ref() != Some(&shape) {
            let found = format!("the tensor {} does not broadcast to {shape}", self.shape());
            return Err(Error::new(ErrorKind::Shape, "expand", found, "only axes of extent 1 can be repeated"));
        }
        let strides = self.shape().broadcast_strides(self.strides(), &shape);
        Ok(self.with_view(shape, strides, 0))
    }
}
