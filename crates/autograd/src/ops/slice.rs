//! Ranges of an axis with a step.

use super::{Contribution, Rule};
use crate::grad::Local;
use crate::node::Op;
use crate::program::{Lower, Place};
use crate::record::{Fault, Recorded};
use crate::shape::Shape;
use crate::var::Var;
use std::ops::{Bound, RangeBounds};

/// The entries `0, step, 2·step, ..` of one axis: a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Step {
    pub axis: usize,
    pub step: usize,
}

impl<'t> Var<'t> {
    /// Every `step`-th entry of a range of an axis, from the range's first on: `x.slice(1, 2..7, 2)` is `x[:, 2:7:2]` in
    /// PyTorch. Negative axes count from the back. The axis gets the extent `⌈(end − start) / step⌉`. The result is a view.
    ///
    /// Unlike in PyTorch, bounds count from the front, and one outside of the axis is an error; so is a range that ends before it
    /// starts. The step is positive: [`flip`](Var::flip) turns an axis.
    #[track_caller]
    pub fn slice(self, axis: isize, range: impl RangeBounds<usize>, step: usize) -> Var<'t> {
        let _named = self.tape().composition("slice");
        let (at, shape) = match self.with_axis("slice", axis) {
            Ok(found) => found,
            Err(invalid) => return invalid,
        };
        match taken(&shape, at, &range, step) {
            Ok((start, reach)) => self.narrow(axis, start, reach).every(at, step),
            Err(fault) => self.tape().fail("slice", fault),
        }
    }

    /// The entries `0, step, 2·step, ..` of an axis.
    #[track_caller]
    pub(super) fn every(self, axis: usize, step: usize) -> Var<'t> {
        self.tape().op("slice", &[self], |nodes| {
            let x = nodes[0];
            if step == 1 || x.shape[axis] <= 1 {
                return Ok(None);
            }
            let shape = x.shape.with_axis(axis, x.shape[axis].div_ceil(step));
            Ok(Some(Recorded { op: Op::Step(Step { axis, step }), shape, dtype: x.dtype }))
        })
    }
}

/// The first entry of a range, and how many there are from it to the last one taken.
fn taken(shape: &Shape, axis: usize, range: &impl RangeBounds<usize>, step: usize) -> Result<(usize, usize), Fault> {
    let extent = shape[axis];
    let start = match range.start_bound() {
        Bound::Included(first) => *first,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => extent,
    };
    if step == 0 {
        return Err(Fault::shape(
            "the step is 0, expected at least 1",
            "take every entry with 1; turn an axis with flip",
        ));
    }
    if start.max(end) > extent {
        return Err(Fault::shape(
            format!("the range {start}..{end} leaves axis {axis} of {shape}, which has {extent} entries"),
            "give bounds within the axis, or leave out the end: start..",
        ));
    }
    if start > end {
        return Err(Fault::shape(
            format!("the range {start}..{end} of axis {axis} of {shape} ends before it starts"),
            "give the smaller bound first; turn an axis with flip",
        ));
    }
    Ok((start, (end - start).checked_sub(1).map_or(0, |last| last / step * step + 1)))
}

impl Rule for Step {
    fn name(&self) -> &'static str {
        "slice"
    }
    fn vjp<'t>(&self, at: &Local<'_, 't>, ct: Var<'t>, give: &mut dyn FnMut(usize, Contribution<'t>)) {
        if !at.wants(0) {
            return;
        }
        // Each entry with the zeros that follow it, then as many of those as the input has.
        let (full, taken) = (at.shape(0), at.own_shape()[self.axis]);
        let (outer, inner) = (full[..self.axis].iter().product(), full[self.axis + 1..].iter().product());
        let apart = ct.reshape([outer, taken, 1, inner]).pad(2, 0, self.step - 1, 0.0);
        let spread = apart.reshape(full.with_axis(self.axis, taken * self.step));
        give(0, Contribution::Whole(spread.narrow(self.axis as isize, 0, full[self.axis])));
    }
    fn jvp<'t>(&self, _: &Local<'_, 't>, tangents: &[Option<Var<'t>>]) -> Option<Var<'t>> {
        Some(tangents[0]?.every(self.axis, self.step))
    }
    fn lower(&self, lower: &mut Lower<'_>, node: usize) {
        let place = lower.place(lower.inputs(node)[0]);
        let mut strides = place.strides.clone();
        strides[self.axis] *= self.step;
        lower.alias(node, Place { strides, ..place });
    }
}
