//! Reductions over axes.

use super::{Contribution, Rule, axis_of, resolve_axis};
use crate::dtype::DType;
use crate::grad::Local;
use crate::node::Op;
use crate::program::{Instr, Lower, ReduceInstr};
use crate::record::{Fault, Recorded};
use crate::shape::Shape;
use crate::var::Var;
use wengert_kernels::{Blocks, ReduceShape, Reduction};

/// Reduction of `count` adjacent axes from `first` on; the axes are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Reduce {
    pub kind: Reduction,
    pub first: usize,
    pub count: usize,
    /// Whether the totals of blocks are added from the last to the first, in a sum over the leading axes.
    pub backward: bool,
}

/// Axes named in a call: one, several, or all of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name axes",
    note = "name one axis (`-1`), several (`[0, 1]`), or all (`()`)"
)]
pub trait Axes {
    /// The axes, negative ones counted from the back; `None` for all.
    fn axes(&self) -> Option<Vec<isize>>;
}

/// All axes.
impl Axes for () {
    fn axes(&self) -> Option<Vec<isize>> {
        None
    }
}

impl Axes for isize {
    fn axes(&self) -> Option<Vec<isize>> {
        Some(vec![*self])
    }
}

impl<const N: usize> Axes for [isize; N] {
    fn axes(&self) -> Option<Vec<isize>> {
        Some(self.to_vec())
    }
}

impl Axes for [isize] {
    fn axes(&self) -> Option<Vec<isize>> {
        Some(self.to_vec())
    }
}

impl<A: Axes + ?Sized> Axes for &A {
    fn axes(&self) -> Option<Vec<isize>> {
        (**self).axes()
    }
}

impl<'t> Var<'t> {
    /// The sum of all elements, a scalar.
    #[track_caller]
    pub fn sum(self) -> Var<'t> {
        let _named = self.tape().composition("sum");
        self.sum_axes(())
    }

    /// The mean of all elements, a scalar.
    #[track_caller]
    pub fn mean(self) -> Var<'t> {
        let _named = self.tape().composition("mean");
        self.mean_axes(())
    }

    /// The sum over some axes, which are dropped: `x.sum_axes(-1)`, `x.sum_axes([0, 1])`, `x.sum_axes(())` for all.
    #[track_caller]
    pub fn sum_axes(self, axes: impl Axes) -> Var<'t> {
        let _named = self.tape().composition("sum_axes");
        self.reduce("sum_axes", Reduction::Sum, axes)
    }

    /// The mean over some axes, which are dropped.
    #[track_caller]
    pub fn mean_axes(self, axes: impl Axes) -> Var<'t> {
        let _named = self.tape().composition("mean_axes");
        let total = self.reduce("mean_axes", Reduction::Sum, &axes);
        let (Ok(full), Ok(dtype)) = (self.shape(), total.dtype()) else { return total };
        total / self.tape().literal(reduced(&full, axes) as f64, dtype)
    }

    #[doc(alias = "amax")]
    /// The maximum over some axes, which are dropped; NaN if any element is. Tied maxima share the derivative evenly.
    #[track_caller]
    pub fn max_axes(self, axes: impl Axes) -> Var<'t> {
        let _named = self.tape().composition("max_axes");
        self.reduce("max_axes", Reduction::Max, axes)
    }

    #[doc(alias = "amin")]
    /// The minimum over some axes, which are dropped; NaN if any element is. Tied minima share the derivative evenly.
    #[track_caller]
    pub fn min_axes(self, axes: impl Axes) -> Var<'t> {
        let _named = self.tape().composition("min_axes");
        self.reduce("min_axes", Reduction::Min, axes)
    }

    /// The product over some axes, which are dropped; 1 over no elements. An element's derivative is the product of the
    /// others, zeros among them or not.
    #[track_caller]
    pub fn prod_axes(self, axes: impl Axes) -> Var<'t> {
        let _named = self.tape().composition("prod_axes");
        self.reduce("prod_axes", Reduction::Prod, axes)
    }

    /// As [`sum_axes`](Var::sum_axes), with the axes kept as extent 1, so that the result broadcasts against this value.
    #[track_caller]
    pub fn sum_keep(self, axes: impl Axes) -> Var<'t> {
        let _named = self.tape().composition("sum_keep");
        self.sum_axes(&axes).kept(self, &axes)
    }

    /// As [`mean_axes`](Var::mean_axes), with the axes kept as extent 1.
    #[track_caller]
    pub fn mean_keep(self, axes: impl Axes) -> Var<'t> {
        let _named = self.tape().composition("mean_keep");
        self.mean_axes(&axes).kept(self, &axes)
    }

    /// As [`max_axes`](Var::max_axes), with the axes kept as extent 1.
    #[track_caller]
    pub fn max_keep(self, axes: impl Axes) -> Var<'t> {
        let _named = self.tape().composition("max_keep");
        self.max_axes(&axes).kept(self, &axes)
    }

    /// As [`min_axes`](Var::min_axes), with the axes kept as extent 1.
    #[track_caller]
    pub fn min_keep(self, axes: impl Axes) -> Var<'t> {
        let _named = self.tape().composition("min_keep");
        self.min_axes(&axes).kept(self, &axes)
    }

    /// As [`prod_axes`](Var::prod_axes), with the axes kept as extent 1.
    #[track_caller]
    pub fn prod_keep(self, axes: impl Axes) -> Var<'t> {
        let _named = self.tape().composition("prod_keep");
        self.prod_axes(&axes).kept(self, &axes)
    }

    /// A reduction of `full` with its axes back, as extent 1.
    #[track_caller]
    pub(super) fn kept(self, full: Var<'t>, axes: impl Axes) -> Var<'t> {
        let (Ok(shape), Ok(_)) = (full.shape(), self.shape()) else { return self };
        let gone = named(axes, shape.rank());
        self.reshape(extents(&shape, |axis, extent| Some(if gone.contains(&axis) { 1 } else { extent })))
    }

    /// A reduction of `full` that kept its axes, without them.
    #[track_caller]
    pub(super) fn dropped(self, full: Var<'t>, axes: impl Axes) -> Var<'t> {
        let (Ok(shape), Ok(_)) = (full.shape(), self.shape()) else { return self };
        let gone = named(axes, shape.rank());
        self.reshape(extents(&shape, |axis, extent| (!gone.contains(&axis)).then_some(extent)))
    }

    /// Reduces groups of adjacent axes, last group first.
    #[track_caller]
    fn reduce(self, name: &'static str, kind: Reduction, axes: impl Axes) -> Var<'t> {
        let Ok(shape) = self.shape() else { return self };
        let mut marked = vec![false; shape.rank()];
        for axis in axes.axes().unwrap_or_else(|| (0..shape.rank() as isize).collect()) {
            match axis_of(axis, &shape) {
                Ok(axis) if !marked[axis] => marked[axis] = true,
                Ok(_) => {
                    let found = format!("axis {axis} of {shape} is named twice");
                    return self.tape().fail(name, Fault::shape(found, "name each axis once"));
                }
                Err(fault) => return self.tape().fail(name, fault),
            }
        }
        let groups = (0..shape.rank()).filter(|axis| marked[*axis] && (*axis == 0 || !marked[axis - 1])).count();
        if groups > 1 && matches!(kind, Reduction::Max | Reduction::Min) {
            // Ties share over all axes at once, so the axes become one group.
            let (reduced, kept): (Vec<usize>, Vec<usize>) = (0..shape.rank()).partition(|axis| marked[*axis]);
            let order = [&kept[..], &reduced].concat();
            return self
                .permute(&order)
                .reduce_group(name, Reduce { kind, first: kept.len(), count: reduced.len(), backward: false });
        }
        let mut result = self;
        let mut end = shape.rank();
        while end > 0 {
            if !marked[end - 1] {
                end -= 1;
                continue;
            }
            let first = (0..end).rev().take_while(|axis| marked[*axis]).last().unwrap_or(end - 1);
            result = result.reduce_group(name, Reduce { kind, first, count: end - first, backward: false });
            end = first;
        }
        result
    }

    /// The sum over the `count` leading axes, with the totals of its blocks added in either direction.
    #[track_caller]
    pub(crate) fn sum_leading(self, count: usize, backward: bool) -> Var<'t> {
        self.reduce_group("sum", Reduce { kind: Reduction::Sum, first: 0, count, backward })
    }

    #[track_caller]
    fn reduce_group(self, name: &'static str, op: Reduce) -> Var<'t> {
        self.tape().op(name, &[self], |nodes| {
            let x = nodes[0];
            if x.dtype == DType::Bool {
                return Err(bool_fault());
            }
            let extents: usize = x.shape[op.first..op.first + op.count].iter().product();
            if extents == 0 && matches!(op.kind, Reduction::Max | Reduction::Min) {
                return Err(nothing_to_choose(&x.shape));
            }
            let shape = (0..x.shape.rank())
                .filter(|axis| !(op.first..op.first + op.count).contains(axis))
                .map(|axis| x.shape[axis])
                .collect();
            Ok(Some(Recorded { op: Op::Reduce(op), shape, dtype: x.dtype }))
        })
    }
}

impl Reduce {
    /// The sum over the same axes.
    fn sum(&self) -> Reduce {
        Reduce { kind: Reduction::Sum, ..*self }
    }

    /// Each element's share in an extremum: one over the number of ties where it is the extremum, else zero.
    fn share<'t>(&self, at: &Local<'_, 't>) -> Var<'t> {
        let full = at.shape(0);
        let hits = at.input(0).eq(self.unreduced(at.output(), &full)).cast(at.dtype(0));
        hits / self.unreduced(hits.reduce_group("sum", self.sum()), &full)
    }

    /// The derivative of a product with respect to each factor: the product of those before and of those behind.
    fn others<'t>(&self, at: &Local<'_, 't>) -> Var<'t> {
        let full = at.shape(0);
        let end = self.first + self.count;
        let n: usize = full[self.first..end].iter().product();
        let line: Shape = full[..self.first].iter().copied().chain([n]).chain(full[end..].iter().copied()).collect();
        let x = at.input(0).reshape(line);
        let axis = self.first as isize;
        // Entry i is shifted to i + 1 (or back), then the shifts double: products of 1, 2, 4, .. entries.
        let (mut before, mut behind, mut reach) = (shifted(x, axis, 1, n), shifted(x, axis, -1, n), 1);
        while reach + 1 < n {
            before = before * shifted(before, axis, reach as isize, n);
            behind = behind * shifted(behind, axis, -(reach as isize), n);
            reach *= 2;
        }
        (before * behind).reshape(full)
    }

    /// What multiplies each element's tangent, if it is not one.
    fn weights<'t>(&self, at: &Local<'_, 't>) -> Option<Var<'t>> {
        match self.kind {
            Reduction::Sum => None,
            Reduction::Prod => Some(self.others(at)),
            Reduction::Max | Reduction::Min => Some(self.share(at)),
        }
    }

    /// A reduced value with its axes back, as extent 1.
    fn unreduced<'t>(&self, value: Var<'t>, full: &Shape) -> Var<'t> {
        let axes = self.first..self.first + self.count;
        let shape: Shape =
            full.iter().enumerate().map(|(axis, extent)| if axes.contains(&axis) { 1 } else { *extent }).collect();
        value.reshape(shape)
    }
}

impl Rule for Reduce {
    fn name(&self) -> &'static str {
        match self.kind {
            Reduction::Sum => "sum",
            Reduction::Prod => "prod",
            Reduction::Max => "max",
            Reduction::Min => "min",
        }
    }

    fn vjp<'t>(&self, at: &Local<'_, 't>, ct: Var<'t>, give: &mut dyn FnMut(usize, Contribution<'t>)) {
        if !at.wants(0) {
            return;
        }
        let full = at.shape(0);
        let ct = self.unreduced(ct, &full);
        let value = match self.weights(at) {
            None => ct.expand(full),
            Some(weights) => ct * weights,
        };
        give(0, Contribution::Whole(value));
    }

    fn jvp<'t>(&self, at: &Local<'_, 't>, tangents: &[Option<Var<'t>>]) -> Option<Var<'t>> {
        let tangent = tangents[0]?;
        let weighted = match self.weights(at) {
            None => tangent,
            Some(weights) => tangent * weights,
        };
        Some(weighted.reduce_group("sum", self.sum()))
    }

    fn lower(&self, lower: &mut Lower<'_>, node: usize) {
        let input = lower.inputs(node)[0];
        let shape = lower.shape(input);
        let axes = self.first..self.first + self.count;
        let view = |strides: &[usize]| {
            let outer = merged(&shape[..axes.start], &strides[..axes.start])?;
            let reduced = merged(&shape[axes.clone()], &strides[axes.clone()])?;
            let inner = merged(&shape[axes.end..], &strides[axes.end..])?;
            (inner.0 == 1 || inner.1 == 1).then_some(ReduceShape { outer, reduced, inner: inner.0 })
        };
        let mut place = lower.place(input);
        let found = view(&place.strides).unwrap_or_else(|| {
            place = lower.contiguous(input);
            view(&place.strides).expect("a contiguous value has mergeable axes")
        });
        let out = lower.alloc(node);
        lower.emit(Instr::Reduce(ReduceInstr {
            dtype: lower.dtype(node),
            kind: self.kind,
            shape: found,
            src: (place.buf, place.offset),
            dst: (out.buf, out.offset),
            blocks: Blocks { backward: self.backward, onto: false },
        }));
    }
}

/// What is wrong with adding up truth values.
pub(super) fn bool_fault() -> Fault {
    Fault::dtype(
        "the operand is bool, expected a number",
        "convert it: .cast(DType::I64) counts, .cast(DType::F32) averages",
    )
}

/// What is wrong with an extremum of nothing.
pub(super) fn nothing_to_choose(shape: &Shape) -> Fault {
    Fault::shape(format!("the value {shape} has no elements to choose from"), "treat the empty case apart")
}

/// The axes that are named, counted from the front; those that do not exist are left out.
fn named(axes: impl Axes, rank: usize) -> Vec<usize> {
    let named = axes.axes().unwrap_or_else(|| (0..rank as isize).collect());
    named.into_iter().filter_map(|axis| resolve_axis(axis, rank)).collect()
}

/// The number of elements that become one, for axes that exist.
pub(super) fn reduced(shape: &Shape, axes: impl Axes) -> usize {
    named(axes, shape.rank()).into_iter().map(|axis| shape[axis]).product()
}

/// A shape whose extents are changed or left out, axis by axis.
fn extents(shape: &Shape, change: impl Fn(usize, usize) -> Option<usize>) -> Shape {
    shape.iter().enumerate().filter_map(|(axis, extent)| change(axis, *extent)).collect()
}

/// The entries of an axis of extent `n` moved by `by` positions, ones moved in.
fn shifted(x: Var<'_>, axis: isize, by: isize, n: usize) -> Var<'_> {
    let gap = by.unsigned_abs().min(n);
    if by > 0 { x.pad(axis, gap, 0, 1.0).narrow(axis, 0, n) } else { x.pad(axis, 0, gap, 1.0).narrow(axis, gap, n) }
}

/// Several axes as one: its extent and stride, if their elements are evenly spaced.
fn merged(shape: &[usize], strides: &[usize]) -> Option<(usize, usize)> {
    let n: usize = shape.iter().product();
    if n <= 1 {
        return Some((n, 1));
    }
    let mut axes = shape.iter().zip(strides).rev().filter(|(extent, _)| **extent != 1);
    let (extent, stride) = axes.next()?;
    let mut span = extent * stride;
    for (extent, next) in axes {
        if *next != span {
            return None;
        }
        span *= extent;
    }
    Some((n, *stride))
}
