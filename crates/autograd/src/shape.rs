//! Shapes, strides and broadcasting.

use smallvec::SmallVec;
use std::fmt;
use std::ops::Deref;

/// The extents of a tensor, outermost axis first. A scalar has no axes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Shape(Extents);

/// Every recorded node has a shape, so the common ones are copied and compared as plain words.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Extents {
    /// Up to [`FEW`] axes; what is behind the last one is zero, so that equal shapes are equal arrays.
    Few { rank: Rank, dims: [usize; FEW] },
    /// More axes.
    Many(Box<[usize]>),
}

const FEW: usize = 4;

/// A number of axes up to [`FEW`], as a word: a shape moves in words then, the other case being one more value of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
enum Rank {
    Zero,
    One,
    Two,
    Three,
    Four,
}

/// By number.
const RANKS: [Rank; FEW + 1] = [Rank::Zero, Rank::One, Rank::Two, Rank::Three, Rank::Four];

/// The address space of a process; sums of a few sizes below it do not overflow either.
const MOST_BYTES: usize = match 1usize.checked_shl(47) {
    Some(bytes) => bytes,
    None => isize::MAX as usize,
};

/// A power of two; any extents below it, as many as there are few, make less than the most bytes.
const SMALL: usize = if usize::BITS < 64 { 1 << 7 } else { 1 << 11 };
const _: () = assert!(SMALL.pow(FEW as u32) <= MOST_BYTES / 8);

/// Element strides, one an axis.
pub(crate) type Strides = SmallVec<[usize; 4]>;

impl Shape {
    /// The shape of a scalar: no axes, one element.
    #[inline]
    pub fn scalar() -> Self {
        Shape(Extents::Few { rank: Rank::Zero, dims: [0; FEW] })
    }

    /// A shape of `rank` axes of extent 1.
    fn ones(rank: usize) -> Self {
        if rank > FEW {
            return Shape(Extents::Many(vec![1; rank].into_boxed_slice()));
        }
        let mut dims = [0; FEW];
        dims[..rank].fill(1);
        Shape(Extents::Few { rank: RANKS[rank], dims })
    }

    /// The extents, to be changed in place.
    #[inline]
    fn dims_mut(&mut self) -> &mut [usize] {
        match &mut self.0 {
            Extents::Few { rank, dims } => &mut dims[..*rank as usize],
            Extents::Many(dims) => dims,
        }
    }

    /// The number of elements.
    pub fn numel(&self) -> usize {
        self.iter().product()
    }

    /// The number of axes.
    #[inline]
    pub fn rank(&self) -> usize {
        self.len()
    }

    /// This shape, or why a recorded value cannot have it: more axes than the kernels walk, or more elements than memory
    /// has addresses (whatever their type, and also if an axis is empty: strides are products of extents). By value, since a shape
    /// whose address nobody takes stays in registers.
    #[inline]
    pub(crate) fn bounded(self) -> Result<Shape, String> {
        // Most shapes are small, which is seen without a product.
        match &self.0 {
            Extents::Few { dims, .. } if dims.iter().fold(0, |bits, extent| bits | extent) < SMALL => Ok(self),
            _ => self.bounded_by_product(),
        }
    }

    #[cold]
    fn bounded_by_product(self) -> Result<Shape, String> {
        if self.rank() > wengert_kernels::MAX_AXES {
            let (rank, most) = (self.rank(), wengert_kernels::MAX_AXES);
            return Err(format!("a value of {rank} axes, at most {most} are possible"));
        }
        let bytes = self.iter().try_fold(8usize, |n, extent| n.checked_mul(*extent.max(&1)));
        match bytes {
            Some(bytes) if bytes <= MOST_BYTES => Ok(self),
            _ => Err(format!("the shape {self} holds more than memory can")),
        }
    }

    /// The strides of a contiguous, row-major layout.
    pub(crate) fn contiguous_strides(&self) -> Strides {
        let mut strides: Strides = SmallVec::from_elem(0, self.rank());
        let mut step = 1;
        for (axis, extent) in self.iter().enumerate().rev() {
            strides[axis] = step;
            step *= extent.max(&1);
        }
        strides
    }

    /// Whether `strides` address these extents as one gap-free row-major run.
    pub(crate) fn is_contiguous(&self, strides: &[usize]) -> bool {
        let mut step = 1;
        for (extent, stride) in self.iter().zip(strides).rev() {
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
        let mut out = Shape::ones(rank);
        let dims = out.dims_mut();
        for back in 1..=rank {
            let a = if back <= self.rank() { self[self.rank() - back] } else { 1 };
            let b = if back <= other.rank() { other[other.rank() - back] } else { 1 };
            dims[rank - back] = match (a, b) {
                (a, b) if a == b => a,
                (1, b) => b,
                (a, 1) => a,
                _ => return None,
            };
        }
        Some(out)
    }

    /// Strides that read a value of this shape, stored with `strides`, as if it had the shape `to`.
    /// The caller has checked that `self` broadcasts to `to`.
    pub(crate) fn broadcast_strides(&self, strides: &[usize], to: &Shape) -> Strides {
        let mut out: Strides = SmallVec::from_elem(0, to.rank());
        let lead = to.rank() - self.rank();
        for axis in 0..self.rank() {
            out[lead + axis] = if self[axis] == 1 { 0 } else { strides[axis] };
        }
        out
    }

    /// This shape with `extent` put in front.
    pub(crate) fn with_front(&self, extent: usize) -> Shape {
        self.with_axis_at(0, extent)
    }

    /// This shape with one axis changed.
    #[inline]
    pub(crate) fn with_axis(&self, axis: usize, extent: usize) -> Shape {
        let mut changed = self.clone();
        changed.dims_mut()[axis] = extent;
        changed
    }

    /// This shape with a further axis at position `axis`.
    pub(crate) fn with_axis_at(&self, axis: usize, extent: usize) -> Shape {
        let mut more = Shape::ones(self.rank() + 1);
        let dims = more.dims_mut();
        dims[..axis].copy_from_slice(&self[..axis]);
        dims[axis] = extent;
        dims[axis + 1..].copy_from_slice(&self[axis..]);
        more
    }

    /// This shape without one axis.
    pub(crate) fn without_axis(&self, axis: usize) -> Shape {
        let mut fewer = Shape::ones(self.rank() - 1);
        let dims = fewer.dims_mut();
        dims[..axis].copy_from_slice(&self[..axis]);
        dims[axis..].copy_from_slice(&self[axis + 1..]);
        fewer
    }
}

impl Default for Shape {
    fn default() -> Self {
        Shape::scalar()
    }
}

impl Deref for Shape {
    type Target = [usize];
    #[inline]
    fn deref(&self) -> &[usize] {
        match &self.0 {
            Extents::Few { rank, dims } => &dims[..*rank as usize],
            Extents::Many(dims) => dims,
        }
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self[..].fmt(f)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self[..], f)
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        let mut shape = Shape::ones(dims.len());
        shape.dims_mut().copy_from_slice(dims);
        shape
    }
}

impl From<Vec<usize>> for Shape {
    fn from(dims: Vec<usize>) -> Self {
        Shape::from(&dims[..])
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Self {
        shape.clone()
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    #[inline]
    fn from(dims: [usize; N]) -> Self {
        let Some(rank) = RANKS.get(N) else { return Shape::from(&dims[..]) };
        let mut few = [0; FEW];
        few[..N].copy_from_slice(&dims);
        Shape(Extents::Few { rank: *rank, dims: few })
    }
}

impl<const N: usize> From<&[usize; N]> for Shape {
    fn from(dims: &[usize; N]) -> Self {
        Shape::from(&dims[..])
    }
}

impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(dims: I) -> Self {
        let (mut rank, mut few, mut rest) = (0, [0; FEW], dims.into_iter());
        while let Some(extent) = rest.next() {
            if rank == FEW {
                return Shape(Extents::Many(few.into_iter().chain([extent]).chain(rest).collect()));
            }
            few[rank] = extent;
            rank += 1;
        }
        Shape(Extents::Few { rank: RANKS[rank], dims: few })
    }
}

impl PartialEq<[usize]> for Shape {
    fn eq(&self, other: &[usize]) -> bool {
        &self[..] == other
    }
}

impl<const N: usize> PartialEq<[usize; N]> for Shape {
    fn eq(&self, other: &[usize; N]) -> bool {
        self[..] == other[..]
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
