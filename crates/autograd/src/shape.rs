//! Shapes, strides and broadcasting.

use smallvec::SmallVec;
use std::fmt;
use std::ops::Deref;

/// The extents of a tensor, outermost axis first. A scalar has no axes.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(SmallVec<[usize; 4]>);

/// Element strides, one an axis.
pub(crate) type Strides = SmallVec<[usize; 4]>;

impl Shape {
    /// The shape of a scalar: no axes, one element.
    pub fn scalar() -> Self {
        Shape::default()
    }

    /// The number of elements.
    pub fn numel(&self) -> usize {
        self.0.iter().product()
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Why a recorded value cannot have this shape: more axes than the kernels walk, or more elements than memory
    /// has addresses (whatever their type, and also if an axis is empty: strides are products of extents).
    pub(crate) fn excess(&self) -> Option<String> {
        if self.rank() > wengert_kernels::MAX_AXES {
            return Some(format!(
                "a value of {} axes, at most {} are possible",
                self.rank(),
                wengert_kernels::MAX_AXES
            ));
        }
        /// The address space of a process; sums of a few sizes below it do not overflow either.
        const MOST: usize = match 1usize.checked_shl(47) {
            Some(bytes) => bytes,
            None => isize::MAX as usize,
        };
        let bytes = self.0.iter().try_fold(8usize, |n, extent| n.checked_mul(*extent.max(&1)));
        let fits = bytes.is_some_and(|bytes| bytes <= MOST);
        (!fits).then(|| format!("the shape {self} holds more than memory can"))
    }

    /// The strides of a contiguous, row-major layout.
    pub(crate) fn contiguous_strides(&self) -> Strides {
        let mut strides: Strides = SmallVec::from_elem(0, self.rank());
        let mut step = 1;
        for (axis, extent) in self.0.iter().enumerate().rev() {
            strides[axis] = step;
            step *= extent.max(&1);
        }
        strides
    }

    /// Whether `strides` address these extents as one gap-free row-major run.
    pub(crate) fn is_contiguous(&self, strides: &[usize]) -> bool {
        let mut step = 1;
        for (extent, stride) in self.0.iter().zip(strides).rev() {
            if *extent != 1 {
                if *stride != step {
                    return self.numel() == 0;
                }
                step *= extent;
            }
        }
        true
    }

    /// The common shape of two operands under NumPy's broadcasting rule, or `None`.
    pub(crate) fn broadcast(&self, other: &Shape) -> Option<Shape> {
        if self == other {
            return Some(self.clone());
        }
        let rank = self.rank().max(other.rank());
        let mut out = SmallVec::from_elem(1, rank);
        for back in 1..=rank {
            let a = if back <= self.rank() { self.0[self.rank() - back] } else { 1 };
            let b = if back <= other.rank() { other.0[other.rank() - back] } else { 1 };
            out[rank - back] = match (a, b) {
                (a, b) if a == b => a,
                (1, b) => b,
                (a, 1) => a,
                _ => return None,
            };
        }
        Some(Shape(out))
    }

    /// Strides that read a value of this shape, stored with `strides`, as if it had the shape `to`.
    /// The caller has checked that `self` broadcasts to `to`.
    pub(crate) fn broadcast_strides(&self, strides: &[usize], to: &Shape) -> Strides {
        let mut out: Strides = SmallVec::from_elem(0, to.rank());
        let lead = to.rank() - self.rank();
        for axis in 0..self.rank() {
            out[lead + axis] = if self.0[axis] == 1 { 0 } else { strides[axis] };
        }
        out
    }

    /// This shape with `extent` put in front.
    pub(crate) fn with_front(&self, extent: usize) -> Shape {
        let mut dims: SmallVec<[usize; 4]> = SmallVec::with_capacity(self.rank() + 1);
        dims.push(extent);
        dims.extend_from_slice(&self.0);
        Shape(dims)
    }

    /// This shape with one axis changed.
    pub(crate) fn with_axis(&self, axis: usize, extent: usize) -> Shape {
        let mut dims = self.0.clone();
        dims[axis] = extent;
        Shape(dims)
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Shape(SmallVec::from_slice(dims))
    }
}

impl From<Vec<usize>> for Shape {
    fn from(dims: Vec<usize>) -> Self {
        Shape(SmallVec::from_vec(dims))
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Self {
        shape.clone()
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Shape(SmallVec::from_slice(&dims))
    }
}

impl<const N: usize> From<&[usize; N]> for Shape {
    fn from(dims: &[usize; N]) -> Self {
        Shape(SmallVec::from_slice(dims))
    }
}

impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(dims: I) -> Self {
        Shape(dims.into_iter().collect())
    }
}

impl PartialEq<[usize]> for Shape {
    fn eq(&self, other: &[usize]) -> bool {
        &self.0[..] == other
    }
}

impl<const N: usize> PartialEq<[usize; N]> for Shape {
    fn eq(&self, other: &[usize; N]) -> bool {
        self.0[..] == other[..]
    }
}

/// Calls `visit` with the element offset of every run of `inner` elements, in row-major order of `outer`.
pub(crate) fn for_each_offset(outer: &[usize], strides: &[usize], mut visit: impl FnMut(usize)) {
    if outer.contains(&0) {
        return;
    }
    let mut index: Strides = SmallVec::from_elem(0, outer.len());
    let mut offset = 0;
    loop {
        visit(offset);
        let mut axis = outer.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            offset += strides[axis];
            if index[axis] < outer[axis] {
                break;
            }
            offset -= strides[axis] * outer[axis];
            index[axis] = 0;
        }
    }
}
