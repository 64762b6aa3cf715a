//! Inputs as views: a strided tensor is recorded so that operations see its strides.

use crate::shape::Shape;
use crate::tape::Tape;
use crate::tensor::Tensor;
use crate::var::Var;

/// How a tensor that is not one row-major run lies in a larger one.
///
/// A leaf is always one run, so the view is recorded: narrowed, permuted, expanded. What lies between its elements
/// is NaN, which shows if anything reads it.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// The run that the view is cut from, and the element strides of `inner` in it.
    base: Shape,
    strides: Vec<usize>,
    /// The part of each axis of the base that belongs to the view.
    parts: Vec<(usize, usize)>,
    /// Axis `i` of the view is axis `order[i]` of the base.
    order: Vec<usize>,
    /// The shape before repeated axes are expanded, and after.
    inner: Shape,
    whole: Shape,
}

impl Layout {
    /// The different elements of a tensor, in row-major order, and how they lie; `None` if they lie in one run.
    /// An axis that repeats one element (stride zero) becomes an axis of extent one.
    pub(super) fn split(tensor: &Tensor) -> (Tensor, Option<Layout>) {
        if tensor.is_contiguous() {
            return (tensor.clone(), None);
        }
        let whole = tensor.shape().clone();
        let repeated = |axis: usize| whole[axis] > 1 && tensor.strides()[axis] == 0;
        let inner: Shape = (0..whole.rank()).map(|axis| if repeated(axis) { 1 } else { whole[axis] }).collect();
        let values =
            (0..whole.rank()).filter(|axis| repeated(*axis)).try_fold(tensor.clone(), |t, a| t.narrow(a, 0, 1));
        let Ok(values) = values.map(|t| t.contiguous()) else { return (tensor.contiguous(), None) };
        match Layout::around(inner, tensor.strides(), whole) {
            Some(layout) => (values, Some(layout)),
            None => (tensor.contiguous(), None),
        }
    }

    /// A run around elements at `strides`; `None` if they are not a regular cut of one.
    fn around(inner: Shape, strides: &[usize], whole: Shape) -> Option<Layout> {
        // Outermost first; axes without a second element have no stride of their own, and come last.
        let mut axes: Vec<usize> = (0..inner.rank()).collect();
        axes.sort_by_key(|axis| if inner[*axis] > 1 { (0, usize::MAX - strides[*axis]) } else { (1, *axis) });
        let long = axes.iter().filter(|axis| inner[**axis] > 1).count();
        let mut base = vec![1; axes.len()];
        let mut parts = vec![(0, 1); axes.len()];
        for (place, axis) in axes.iter().enumerate().take(long) {
            let extent = inner[*axis];
            base[place] = match place.checked_sub(1).map(|before| strides[axes[before]]) {
                None => extent,
                Some(outer) if outer % strides[*axis] == 0 && outer / strides[*axis] >= extent => {
                    outer / strides[*axis]
                }
                Some(_) => return None,
            };
            parts[place] = ((base[place] > extent) as usize, extent);
        }
        // Every other element of the innermost axis: an axis of extent 1 has been cut out behind it.
        let step = if long > 0 { strides[axes[long - 1]] } else { 1 };
        if step > 1 {
            *base.get_mut(long)? = step;
            parts[long] = (1, 1);
        }
        let base = Shape::from(base);
        let of_base = base.contiguous_strides();
        let place = |axis: usize| axes.iter().position(|a| *a == axis).unwrap_or(axis);
        let order: Vec<usize> = (0..inner.rank()).map(place).collect();
        let strides = order.iter().map(|place| of_base[*place]).collect();
        Some(Layout { base, strides, parts, order, inner, whole })
    }

    /// The run with `values` in place.
    fn run(&self, values: &Tensor) -> Tensor {
        let starts = self.parts.iter().zip(self.base.contiguous_strides()).map(|((start, _), stride)| start * stride);
        let first: usize = starts.sum();
        let mut all = vec![f64::NAN; self.base.numel()];
        for (flat, value) in values.to_f64_vec().into_iter().enumerate() {
            let index = super::index(&self.inner, flat);
            let at: usize = index.iter().zip(&self.strides).map(|(i, stride)| i * stride).sum();
            all[first + at] = value;
        }
        Tensor::from_vec(all, &self.base).expect("made for as many elements")
    }

    /// A leaf with `values`, as the view: the value to differentiate by, and what the function is given.
    #[track_caller]
    pub(super) fn record<'t>(&self, tape: &'t Tape, values: &Tensor) -> (Var<'t>, Var<'t>) {
        let mut view = tape.var(self.run(values));
        for (axis, (start, len)) in self.parts.iter().enumerate() {
            view = view.narrow(axis as isize, *start, *len);
        }
        let inner = view.permute(&self.order);
        (inner, inner.expand(&self.whole))
    }

    /// The run with `values`, and the calls on a tensor that make the view of it.
    #[cfg(feature = "proptest")]
    pub(super) fn code(&self, values: &Tensor) -> (Tensor, String) {
        let mut calls = String::new();
        for (axis, (start, len)) in self.parts.iter().enumerate().filter(|(axis, part)| part.1 != self.base[*axis]) {
            calls += &format!(".narrow({axis}, {start}, {len}).unwrap()");
        }
        if !self.order.is_sorted() {
            calls += &format!(".permute(&{:?}).unwrap()", self.order);
        }
        if self.inner != self.whole {
            calls += &format!(".expand({:?}).unwrap()", self.whole);
        }
        (self.run(values), calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every view comes out of its recording as it went in, and the gradient by it has its shape.
    #[test]
    fn a_view_is_recorded_as_it_is() {
        let t = Tensor::from_vec((0..60).map(|i| i as f64).collect(), [3, 4, 5]).unwrap();
        let row = t.narrow(0, 1, 1).unwrap();
        for view in [
            t.clone(),
            t.transpose(0, 2).unwrap(),
            t.permute(&[1, 2, 0]).unwrap(),
            t.narrow(2, 1, 3).unwrap(),
            t.narrow(1, 1, 2).unwrap().transpose(0, 1).unwrap(),
            t.narrow(2, 2, 1).unwrap(),
            t.narrow(2, 2, 1).unwrap().transpose(0, 1).unwrap(),
            row.transpose(0, 1).unwrap(),
            row.expand([3, 4, 5]).unwrap(),
            t.narrow(2, 0, 1).unwrap().expand([3, 4, 2]).unwrap().transpose(0, 2).unwrap(),
            t.narrow(1, 0, 0).unwrap(),
        ] {
            let (values, layout) = Layout::split(&view);
            let tape = Tape::new();
            let Some(layout) = layout else {
                assert!(view.is_contiguous());
                continue;
            };
            let (wrt, seen) = layout.record(&tape, &values);
            assert!(seen.value().unwrap().bit_eq(&view), "{view:?} is recorded as {:?}", seen.value());
            let [gradient] = (seen * seen).sum().grad([wrt]);
            assert_eq!(gradient.shape().unwrap(), *values.shape());
            assert!(gradient.value().unwrap().to_f64_vec().iter().all(|g| g.is_finite()));
        }
    }
}
