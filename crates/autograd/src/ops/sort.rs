//! Sorting along an axis.

use super::Along;
use crate::record::Fault;
use crate::var::Var;
use wengert_kernels::LineOp;

impl<'t> Var<'t> {
    /// The indices (I64, of this value's shape) that sort an axis: entry 0 is the place of the smallest, or of the greatest if
    /// `descending`. Equal entries keep their order in both directions; NaN is greater than any number. As
    /// `torch.argsort(stable=True)`.
    #[track_caller]
    pub fn argsort(self, axis: isize, descending: bool) -> Var<'t> {
        let _named = self.tape().composition("argsort");
        match self.with_axis("argsort", axis) {
            Ok((at, shape)) => self.first_places(at, shape[at], descending),
            Err(invalid) => invalid,
        }
    }

    /// The indices of the first `kept` entries of an axis in sorted order.
    #[track_caller]
    fn first_places(self, axis: usize, kept: usize, descending: bool) -> Var<'t> {
        let op = Along { what: LineOp::ArgSort { kept, descending }, axis };
        self.tape().op("argsort", &[self], |nodes| Ok(Some(op.of(nodes[0]))))
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
        let indices = self.first_places(at, k, largest);
        (self.gather(axis, indices), indices)
    }
}
