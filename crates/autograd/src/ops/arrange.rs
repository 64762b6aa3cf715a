//! Rearrangements that are compositions: padding, turning, cutting, repeating, masking.

use super::axis_of;
use super::index::index_fault;
use crate::dtype::DType;
use crate::record::Fault;
use crate::shape::Shape;
use crate::var::Var;

impl<'t> Var<'t> {
    /// `before` and `after` entries of `value` around an axis.
    #[track_caller]
    pub fn pad(self, axis: isize, before: usize, after: usize, value: f64) -> Var<'t> {
        let _named = self.tape().composition("pad");
        let (at, shape) = match self.with_axis("pad", axis) {
            Ok(found) => found,
            Err(invalid) => return invalid,
        };
        let tape = self.tape();
        let Ok(dtype) = self.dtype() else { return self };
        // No closure, which would not pass the caller's address on.
        let mut parts = vec![self];
        if before > 0 {
            parts.insert(0, tape.number(value, dtype).expand(shape.with_axis(at, before)));
        }
        if after > 0 {
            parts.push(tape.number(value, dtype).expand(shape.with_axis(at, after)));
        }
        tape.concat(&parts, axis)
    }

    /// The entries of an axis in opposite order.
    #[track_caller]
    pub fn flip(self, axis: isize) -> Var<'t> {
        let _named = self.tape().composition("flip");
        let (at, shape) = match self.with_axis("flip", axis) {
            Ok(found) => found,
            Err(invalid) => return invalid,
        };
        match shape[at] {
            0 | 1 => self,
            n => self.index_select(axis, (n as i64 - 1) - self.tape().arange(n)),
        }
    }

    /// The entries of an axis moved by `by` positions, those that leave it at one end coming in at the other: entry `i` goes to
    /// `(i + by) mod n`, as `torch.roll`.
    #[track_caller]
    pub fn roll(self, axis: isize, by: isize) -> Var<'t> {
        let _named = self.tape().composition("roll");
        let (at, shape) = match self.with_axis("roll", axis) {
            Ok(found) => found,
            Err(invalid) => return invalid,
        };
        let n = shape[at];
        let by = if n == 0 { 0 } else { by.rem_euclid(n as isize) as usize };
        if by == 0 {
            return self;
        }
        self.narrow(axis, n - by, by).concat([self.narrow(axis, 0, n - by)], axis)
    }

    /// An axis cut into parts of the given extents, which add up to its own. A mistake gives invalid parts, one at least.
    #[track_caller]
    pub fn split(self, axis: isize, sizes: &[usize]) -> Vec<Var<'t>> {
        let _named = self.tape().composition("split");
        let (at, shape) = match self.with_axis("split", axis) {
            Ok(found) => found,
            Err(invalid) => return vec![invalid; sizes.len().max(1)],
        };
        let total = sizes.iter().fold(0usize, |sum, n| sum.saturating_add(*n));
        if total != shape[at] {
            let found = format!("the parts {sizes:?} have {total} entries, axis {axis} of {shape} has {}", shape[at]);
            let fault = Fault::shape(found, "give extents that add up to the axis's");
            // One part at least, so that the error has a bearer.
            return vec![self.tape().fail("split", fault); sizes.len().max(1)];
        }
        let mut start = 0;
        let mut parts = Vec::with_capacity(sizes.len());
        for size in sizes {
            parts.push(self.narrow(axis, start, *size));
            start += size;
        }
        parts
    }

    /// The entries of an axis, which is dropped: the inverse of [`stack`](crate::Tape::stack). An invalid value
    /// gives one invalid part.
    #[track_caller]
    pub fn unbind(self, axis: isize) -> Vec<Var<'t>> {
        let _named = self.tape().composition("unbind");
        let (at, shape) = match self.with_axis("unbind", axis) {
            Ok(found) => found,
            Err(invalid) => return vec![invalid],
        };
        if u32::try_from(shape[at]).is_err() {
            let found = format!("axis {axis} of {shape} has more entries than a tape has places");
            return vec![self.tape().fail("unbind", Fault::shape(found, "loop over it with scan"))];
        }
        let mut parts = Vec::new();
        for i in 0..shape[at] {
            parts.push(self.get(axis, i));
        }
        parts
    }

    /// The whole value `counts[i]` times along axis `i`, as `torch.Tensor.repeat`: `[2, 3]` repeated `[1, 2]` times is `[2, 6]`.
    /// More counts than axes add leading axes.
    #[track_caller]
    pub fn repeat(self, counts: &[usize]) -> Var<'t> {
        let _named = self.tape().composition("repeat");
        let Ok(shape) = self.shape() else { return self };
        let Some(lead) = counts.len().checked_sub(shape.rank()) else {
            let found = format!("{} counts are given for the {} axes of {shape}", counts.len(), shape.rank());
            return self.tape().fail("repeat", Fault::shape(found, "give one count for each axis"));
        };
        let extents = || std::iter::repeat_n(1, lead).chain(shape.iter().copied());
        let apart: Shape = extents().flat_map(|n| [1, n]).collect();
        let wide: Shape = counts.iter().zip(extents()).flat_map(|(count, n)| [*count, n]).collect();
        let merged: Shape = counts.iter().zip(extents()).map(|(count, n)| count.saturating_mul(n)).collect();
        self.reshape(apart).expand(wide).reshape(merged)
    }

    /// The upper triangle of the last two axes, zeros elsewhere: elements `(i, j)` with `j ≥ i + diagonal`.
    #[track_caller]
    pub fn triu(self, diagonal: isize) -> Var<'t> {
        let _named = self.tape().composition("triu");
        self.triangle("triu", diagonal, true)
    }

    /// The lower triangle of the last two axes, zeros elsewhere: elements `(i, j)` with `j ≤ i + diagonal`.
    #[track_caller]
    pub fn tril(self, diagonal: isize) -> Var<'t> {
        let _named = self.tape().composition("tril");
        self.triangle("tril", diagonal, false)
    }

    #[track_caller]
    fn triangle(self, name: &str, diagonal: isize, upper: bool) -> Var<'t> {
        let Ok(shape) = self.shape() else { return self };
        let [.., rows, columns] = shape[..] else {
            let found = format!("the value {shape} is not a matrix");
            return self.tape().fail(name, Fault::shape(found, "give it two axes or more (unsqueeze, reshape)"));
        };
        let tape = self.tape();
        // Beyond the corners, any diagonal is as good as the next.
        let diagonal = diagonal.clamp(-(rows as isize), columns as isize) as i64;
        let (row, column) = ((tape.arange(rows) + diagonal).unsqueeze(1), tape.arange(columns));
        let mask = if upper { column.ge(row) } else { column.le(row) };
        mask.select(self, 0.0)
    }

    /// Indices (I64, `[..]`) as unit vectors `[.., classes]` of an element type: 1 at the index, else 0. An index
    /// outside of `0..classes` is found when the program runs.
    #[track_caller]
    pub fn one_hot(self, classes: usize, dtype: DType) -> Var<'t> {
        let _named = self.tape().composition("one_hot");
        let (Ok(shape), Ok(own)) = (self.shape(), self.dtype()) else { return self };
        if own != DType::I64 {
            return self.tape().fail("one_hot", index_fault(own));
        }
        // Truth values cannot be added up.
        let sum = if dtype == DType::Bool { DType::I64 } else { dtype };
        let wide: Shape = shape.iter().copied().chain([classes]).collect();
        let at = self.unsqueeze(-1);
        let ones = self.tape().literal(1.0, sum).expand(shape.iter().copied().chain([1]).collect::<Shape>());
        self.tape().literal(0.0, sum).expand(wide).scatter_add(-1, at, ones).cast(dtype)
    }

    /// An axis counted from the front, and the shape; else the invalid value to answer with.
    #[track_caller]
    pub(super) fn with_axis(self, name: &str, axis: isize) -> Result<(usize, Shape), Var<'t>> {
        let Ok(shape) = self.shape() else { return Err(self) };
        match axis_of(axis, &shape) {
            Ok(at) => Ok((at, shape)),
            Err(fault) => Err(self.tape().fail(name, fault)),
        }
    }
}
