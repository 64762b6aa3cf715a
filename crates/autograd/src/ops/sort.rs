//! Sorting along an axis.

use super::{Contribution, Rule};
use crate::dtype::DType;
use crate::grad::Local;
use crate::node::Op;
use crate::program::{Instr, Lower, SortInstr};
use crate::record::{Fault, Recorded};
use crate::var::Var;
use wengert_kernels::SortShape;

/// The indices (I64) of the entries of one axis in sorted order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ArgSort {
    pub axis: usize,
    pub descending: bool,
}

impl<'t> Var<'t> {
    /// The indices (I64, of this value's shape) that sort an axis: entry 0 is the place of the smallest, or of the greatest if
    /// `descending`. Equal entries keep their order in both directions; NaN is greater than any number. As
    /// `torch.argsort(stable=True)`.
    #[track_caller]
    pub fn argsort(self, axis: isize, descending: bool) -> Var<'t> {
        let _named = self.tape().composition("argsort");
        let at = match self.with_axis("argsort", axis) {
            Ok((at, _)) => at,
            Err(invalid) => return invalid,
        };
        self.tape().op("argsort", &[self], |nodes| {
            let op = Op::ArgSort(ArgSort { axis: at, descending });
            Ok(Some(Recorded { op, shape: nodes[0].shape.clone(), dtype: DType::I64 }))
        })
    }

    /// The entries of an axis in sorted order, and the indices (I64) at which they stood; see [`argsort`](Var::argsort) for ties
    /// and NaN. The derivative goes back to where each value came from: of equal entries, each keeps its own.
    ///
    /// ```
    /// use wengert_autograd::{Tape, Tensor};
    /// let tape = Tape::new();
    /// let x = tape.var(Tensor::from_slice(&[0.5f64, 3.0, -1.0], [3])?);
    /// let (values, indices) = x.sort(0, true);
    /// assert_eq!(values.value()?.to_f64_vec(), [3.0, 0.5, -1.0]);
    /// assert_eq!(indices.value()?.to_vec::<i64>()?, [1, 0, 2]);
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    #[track_caller]
    pub fn sort(self, axis: isize, descending: bool) -> (Var<'t>, Var<'t>) {
        let _named = self.tape().composition("sort");
        let indices = self.argsort(axis, descending);
        (self.gather(axis, indices), indices)
    }

    /// The `k` greatest entries of an axis (the smallest, if not `largest`), best first, and their indices (I64): the axis
    /// gets the extent `k`. Of equal entries the first ones are taken; NaN is greater than any number.
    #[track_caller]
    pub fn topk(self, k: usize, axis: isize, largest: bool) -> (Var<'t>, Var<'t>) {
        let _named = self.tape().composition("topk");
        let (at, shape) = match self.with_axis("topk", axis) {
            Ok(found) => found,
            Err(invalid) => return (invalid, invalid),
        };
        if k > shape[at] {
            let found = format!("{k} entries are asked of axis {axis} of {shape}, which has {}", shape[at]);
            let invalid = self.tape().fail("topk", Fault::shape(found, "ask for at most as many as there are"));
            return (invalid, invalid);
        }
        let indices = self.argsort(axis, largest).narrow(axis, 0, k);
        (self.gather(axis, indices), indices)
    }
}

impl Rule for ArgSort {
    fn name(&self) -> &'static str {
        "argsort"
    }
    fn vjp<'t>(&self, _: &Local<'_, 't>, _: Var<'t>, _: &mut dyn FnMut(usize, Contribution<'t>)) {}
    fn jvp<'t>(&self, _: &Local<'_, 't>, _: &[Option<Var<'t>>]) -> Option<Var<'t>> {
        None
    }
    fn lower(&self, lower: &mut Lower<'_>, node: usize) {
        let input = lower.inputs(node)[0];
        let src = lower.contiguous(input);
        let dst = lower.alloc(node);
        let shape = lower.shape(node);
        let extents = |axes: std::ops::Range<usize>| shape[axes].iter().product();
        lower.emit(Instr::ArgSort(SortInstr {
            dtype: lower.dtype(input),
            shape: SortShape {
                outer: extents(0..self.axis),
                line: shape[self.axis],
                inner: extents(self.axis + 1..shape.rank()),
            },
            descending: self.descending,
            src: (src.buf, src.offset),
            dst: (dst.buf, dst.offset),
        }));
    }
}
