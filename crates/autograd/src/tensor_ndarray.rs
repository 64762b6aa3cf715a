//! Tensors to and from arrays of the crate ndarray.

use crate::dtype::Element;
use crate::error::{Error, ErrorKind, Result};
use crate::shape::Shape;
use crate::tensor::Tensor;
use ndarray::{ArrayD, ArrayRef, Dimension, IxDyn};

impl<T: Element, D: Dimension> From<&ArrayRef<T, D>> for Tensor {
    /// A copy of the array's elements in the order of its axes, whatever its layout: `Tensor::from(&*array)` of an owned array
    /// or a view. Needs the feature `ndarray`.
    ///
    /// ```
    /// use ndarray::array;
    /// use wengert_autograd::Tensor;
    /// let a = array![[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]];
    /// let t = Tensor::from(&*a.t());
    /// assert_eq!(t.shape()[..], [3, 2]);
    /// assert_eq!(t.to_ndarray::<f32>()?, a.t().into_dyn());
    /// assert!(t.to_ndarray::<f64>().is_err());
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    fn from(array: &ArrayRef<T, D>) -> Tensor {
        let elements: Vec<T> = array.iter().copied().collect();
        Tensor::from_vec(elements, Shape::from(array.shape())).expect("an array has as many elements as its shape says")
    }
}

impl Tensor {
    /// A copy of the elements as an array. Its shape can be fixed by `into_dimensionality::<Ix2>()`. Needs the feature `ndarray`.
    ///
    /// # Errors
    /// If the element type is not `T`.
    #[track_caller]
    pub fn to_ndarray<T: Element>(&self) -> Result<ArrayD<T>> {
        let elements = self.to_vec::<T>()?;
        ArrayD::from_shape_vec(IxDyn(self.shape()), elements)
            .map_err(|e| Error::new(ErrorKind::Shape, "to_ndarray", format!("the tensor is {}: {e}", self.shape()), ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;
    use ndarray::{Array3, Axis, Slice, arr0};

    #[test]
    fn views_keep_their_order() -> Result<()> {
        let a = Array3::from_shape_fn((2, 3, 4), |(i, j, k)| (100 * i + 10 * j + k) as i64);
        // Cut out, backwards, with steps and permuted: strides of both signs.
        let mut view = a.slice_axis(Axis(2), Slice::new(1, None, 2));
        view.invert_axis(Axis(1));
        let view = view.permuted_axes([2, 0, 1]);
        let tensor = Tensor::from(&*view);
        assert_eq!((tensor.shape()[..].to_vec(), tensor.dtype()), (vec![2, 2, 3], DType::I64));
        assert_eq!(tensor.to_vec::<i64>()?, view.iter().copied().collect::<Vec<i64>>());
        assert_eq!(tensor.to_ndarray::<i64>()?, view.into_dyn());
        // Back from a view of a tensor.
        let turned = Tensor::from(&*a).transpose(0, 2)?.narrow(1, 1, 2)?.to_ndarray::<i64>()?;
        assert_eq!(turned, a.slice_axis(Axis(1), Slice::from(1..3)).reversed_axes().into_dyn());
        Ok(())
    }

    #[test]
    fn every_element_type_and_rank() -> Result<()> {
        assert_eq!(Tensor::from(&*arr0(true)).to_ndarray::<bool>()?, arr0(true).into_dyn());
        let empty = Array3::<f32>::zeros((2, 0, 3));
        assert_eq!(Tensor::from(&*empty).to_ndarray::<f32>()?.shape(), [2, 0, 3]);
        let many = Array3::<f64>::ones((1, 1, 1)).insert_axis(Axis(0)).insert_axis(Axis(0)).into_dyn();
        assert_eq!(Tensor::from(&*many).shape()[..], [1; 5]);
        Ok(())
    }
}
