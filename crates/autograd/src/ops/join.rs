//! Parts of an axis, and their inverse.

use super::{Contribution, Rule, resolve_axis};
use crate::dtype::DType;
use crate::grad::Local;
use crate::node::Op;
use crate::operand::Operand;
use crate::program::{Lower, Place};
use crate::record::{Fault, Recorded};
use crate::tape::Tape;
use crate::var::Var;

/// The entries `[start, start + extent)` of one axis; the extent is the node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slice {
    pub axis: usize,
    pub start: usize,
}

/// The inputs one behind another along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Concat {
    pub axis: usize,
}

impl<'t> Var<'t> {
    /// `len` entries of an axis, from `start` on; negative axes count from the back.
    #[track_caller]
    pub fn narrow(self, axis: isize, start: usize, len: usize) -> Var<'t> {
        self.tape().op("narrow", &[self], |nodes| {
            let x = nodes[0];
            let Some(at) = resolve_axis(axis, x.shape.rank()) else {
                return Err(Fault::shape(format!("the value {} has no axis {axis}", x.shape), ""));
            };
            if start.checked_add(len).is_none_or(|end| end > x.shape[at]) {
                return Err(Fault::shape(
                    format!(
                        "{len} entries from {start} on leave axis {axis} of {}, which has {}",
                        x.shape, x.shape[at]
                    ),
                    "",
                ));
            }
            if len == x.shape[at] {
                return Ok(None);
            }
            let shape = x.shape.with_axis(at, len);
            Ok(Some(Recorded { op: Op::Slice(Slice { axis: at, start }), shape, dtype: x.dtype }))
        })
    }

    /// Entry `index` of an axis, which is dropped; negative axes count from the back.
    #[track_caller]
    pub fn get(self, axis: isize, index: usize) -> Var<'t> {
        self.narrow(axis, index, 1).squeeze(axis)
    }

    /// The last entry of an axis, which is dropped: `y.last(0)` is the output of the last time step.
    #[track_caller]
    pub fn last(self, axis: isize) -> Var<'t> {
        let Ok(shape) = self.shape() else { return self };
        match resolve_axis(axis, shape.rank()).map(|at| shape[at].checked_sub(1)) {
            Some(Some(end)) => self.get(axis, end),
            Some(None) => self.invalid("last", format!("axis {axis} of {shape} has no entries"), ""),
            None => self.invalid("last", format!("the value {shape} has no axis {axis}"), ""),
        }
    }

    /// The last axis cut into `N` equal parts, as many as the left-hand side names: `let [i, f, g, o] = z.chunk();`.
    #[track_caller]
    pub fn chunk<const N: usize>(self) -> [Var<'t>; N] {
        self.chunk_axis(-1)
    }

    /// An axis cut into `N` equal parts; negative axes count from the back.
    #[track_caller]
    pub fn chunk_axis<const N: usize>(self, axis: isize) -> [Var<'t>; N] {
        let Ok(shape) = self.shape() else { return [self; N] };
        let extent = resolve_axis(axis, shape.rank()).map(|axis| shape[axis]);
        match extent {
            Some(extent) if N > 0 && extent % N == 0 => {
                let mut parts = [self; N];
                for (i, part) in parts.iter_mut().enumerate() {
                    *part = self.narrow(axis, i * (extent / N), extent / N);
                }
                parts
            }
            Some(extent) => {
                let found = format!("axis {axis} of {shape} has {extent} entries, not a multiple of {N}");
                [self.tape().fail("chunk", Fault::shape(found, "cut unequal parts with narrow")); N]
            }
            None => {
                let found = format!("the value {shape} has no axis {axis}");
                [self.tape().fail("chunk", Fault::shape(found, "")); N]
            }
        }
    }

    /// This value and `others` one behind another along an axis; negative axes count from the back.
    #[track_caller]
    pub fn concat<R: Operand<'t>>(self, others: impl IntoIterator<Item = R>, axis: isize) -> Var<'t> {
        let tape = self.tape();
        let mut parts = vec![self];
        for part in others {
            parts.push(part.resolve(tape, None));
        }
        tape.concat(&parts, axis)
    }
}

impl Tape {
    /// Values one behind another along an axis; negative axes count from the back. The other axes agree.
    #[track_caller]
    pub fn concat<'t>(&'t self, parts: &[Var<'t>], axis: isize) -> Var<'t> {
        self.op("concat", parts, |nodes| {
            let Some(first) = nodes.first() else {
                return Err(Fault::shape("there is nothing to join", "give at least one value"));
            };
            let Some(at) = resolve_axis(axis, first.shape.rank()) else {
                return Err(Fault::shape(format!("the value {} has no axis {axis}", first.shape), ""));
            };
            let mut total = 0usize;
            for (i, node) in nodes.iter().enumerate() {
                if node.dtype != first.dtype {
                    return Err(Fault::dtype(
                        format!("part 0 is {}, part {i} is {}", first.dtype, node.dtype),
                        "convert one side with .cast",
                    ));
                }
                let agrees = node.shape.rank() == first.shape.rank()
                    && (0..node.shape.rank()).all(|axis| axis == at || node.shape[axis] == first.shape[axis]);
                if !agrees {
                    return Err(Fault::shape(
                        format!("part 0 is {}, part {i} is {}: only axis {at} may differ", first.shape, node.shape),
                        "",
                    ));
                }
                total = total.saturating_add(node.shape[at]);
            }
            if nodes.len() == 1 {
                return Ok(None);
            }
            let shape = first.shape.with_axis(at, total);
            Ok(Some(Recorded { op: Op::Concat(Concat { axis: at }), shape, dtype: first.dtype }))
        })
    }

    /// Values of one shape along a new axis in position `axis`; negative positions count from the back.
    #[track_caller]
    pub fn stack<'t>(&'t self, parts: &[Var<'t>], axis: isize) -> Var<'t> {
        let mut rows = Vec::with_capacity(parts.len());
        for part in parts {
            rows.push(part.unsqueeze(axis));
        }
        self.concat(&rows, axis)
    }

    /// The integers `0, 1, .., n - 1` (I64).
    #[track_caller]
    pub fn arange(&self, n: usize) -> Var<'_> {
        let mut values: Vec<i64> = Vec::new();
        if values.try_reserve_exact(n).is_err() {
            return self.fail("arange", Fault::shape(format!("there is no memory for {n} integers"), ""));
        }
        values.extend(0..n as i64);
        match crate::Tensor::from_vec(values, [n]) {
            Ok(values) => self.constant(values),
            Err(_) => self.zeros([n], DType::I64),
        }
    }
}

impl Rule for Slice {
    fn name(&self) -> &'static str {
        "narrow"
    }
    fn vjp<'t>(&self, at: &Local<'_, 't>, ct: Var<'t>, give: &mut dyn FnMut(usize, Contribution<'t>)) {
        if at.wants(0) {
            give(0, Contribution::Part { axis: self.axis, start: self.start, value: ct });
        }
    }
    fn jvp<'t>(&self, at: &Local<'_, 't>, tangents: &[Option<Var<'t>>]) -> Option<Var<'t>> {
        let extent = at.own_shape()[self.axis];
        Some(tangents[0]?.narrow(self.axis as isize, self.start, extent))
    }
    fn lower(&self, lower: &mut Lower<'_>, node: usize) {
        let place = lower.place(lower.inputs(node)[0]);
        let empty = lower.shape(node).numel() == 0;
        let offset = place.offset + if empty { 0 } else { self.start * place.strides[self.axis] };
        lower.alias(node, Place { offset, ..place });
    }
}

impl Rule for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }
    fn vjp<'t>(&self, at: &Local<'_, 't>, ct: Var<'t>, give: &mut dyn FnMut(usize, Contribution<'t>)) {
        let mut start = 0;
        for i in 0..at.len() {
            let extent = at.shape(i)[self.axis];
            if at.wants(i) {
                give(i, Contribution::Whole(ct.narrow(self.axis as isize, start, extent)));
            }
            start += extent;
        }
    }
    fn jvp<'t>(&self, at: &Local<'_, 't>, tangents: &[Option<Var<'t>>]) -> Option<Var<'t>> {
        let zeros = |i: usize| at.lit(0.0).expand(at.shape(i));
        let parts: Vec<Var<'t>> = (0..at.len()).map(|i| tangents[i].unwrap_or_else(|| zeros(i))).collect();
        Some(parts[0].tape().concat(&parts, self.axis as isize))
    }
    fn lower(&self, lower: &mut Lower<'_>, node: usize) {
        let out = lower.alloc(node);
        let mut start = 0;
        for input in lower.inputs(node) {
            let part = Place { offset: out.offset + start * out.strides[self.axis], ..out.clone() };
            start += lower.shape(input)[self.axis];
            let source = lower.place(input);
            // A part that was computed in place needs no copy.
            if (source.buf, source.offset, &source.strides) != (part.buf, part.offset, &part.strides) {
                lower.copy(input, source, part);
            }
        }
    }
}
