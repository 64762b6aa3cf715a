//! Parts of an axis, and their inverse.

use super::{Contribution, Rule, axis_of};
use crate::error::ErrorKind;
use crate::grad::Local;
use crate::node::Op;
use crate::operand::Operand;
use crate::program::{Lower, Place};
use crate::record::{Fault, Recorded};
use crate::tape::Tape;
use crate::tensor::Tensor;
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
            let at = axis_of(axis, &x.shape)?;
            if start.checked_add(len).is_none_or(|end| end > x.shape[at]) {
                return Err(Fault::shape(
                    format!(
                        "{len} entries from {start} on leave axis {axis} of {}, which has {}",
                        x.shape, x.shape[at]
                    ),
                    "start and length together are at most the extent",
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
        let _named = self.tape().composition("get");
        let (at, shape) = match self.with_axis("get", axis) {
            Ok(found) => found,
            Err(invalid) => return invalid,
        };
        if index >= shape[at] {
            let found = format!("entry {index} is out of range: axis {axis} of {shape} has {}", shape[at]);
            return self.tape().fail("get", Fault::shape(found, "entries count from 0"));
        }
        self.narrow(axis, index, 1).squeeze(axis)
    }

    /// The last entry of an axis, which is dropped: `y.last(0)` is the output of the last time step.
    #[track_caller]
    pub fn last(self, axis: isize) -> Var<'t> {
        let _named = self.tape().composition("last");
        let (at, shape) = match self.with_axis("last", axis) {
            Ok(found) => found,
            Err(invalid) => return invalid,
        };
        match shape[at].checked_sub(1) {
            Some(end) => self.get(axis, end),
            None => {
                let found = format!("axis {axis} of {shape} has no entries");
                self.tape().fail("last", Fault::shape(found, "treat the empty case apart"))
            }
        }
    }

    /// The last axis cut into `N` equal parts, as many as the left-hand side names: `let [i, f, g, o] = z.chunk();`.
    #[track_caller]
    pub fn chunk<const N: usize>(self) -> [Var<'t>; N] {
        let _named = self.tape().composition("chunk");
        self.chunk_axis(-1)
    }

    /// An axis cut into `N` equal parts; negative axes count from the back.
    #[track_caller]
    pub fn chunk_axis<const N: usize>(self, axis: isize) -> [Var<'t>; N] {
        let _named = self.tape().composition("chunk_axis");
        let (at, shape) = match self.with_axis("chunk_axis", axis) {
            Ok(found) => found,
            Err(invalid) => return [invalid; N],
        };
        let extent = shape[at];
        if N == 0 || extent % N != 0 {
            let found = format!("axis {axis} of {shape} has {extent} entries, not a multiple of {N}");
            return [self.tape().fail("chunk_axis", Fault::shape(found, "cut unequal parts with split")); N];
        }
        let mut parts = [self; N];
        for (i, part) in parts.iter_mut().enumerate() {
            *part = self.narrow(axis, i * (extent / N), extent / N);
        }
        parts
    }

    /// This value and `others` one behind another along an axis; negative axes count from the back.
    #[track_caller]
    pub fn concat<R: Operand<'t>>(self, others: impl IntoIterator<Item = R>, axis: isize) -> Var<'t> {
        let _named = self.tape().composition("concat");
        let tape = self.tape();
        let mut parts = vec![self];
        for part in others {
            parts.push(part.resolve(tape, None));
        }
        tape.concat(&parts, axis)
    }
}

impl Tape {
    #[doc(alias = "cat")]
    /// Values one behind another along an axis; negative axes count from the back. The other axes agree.
    #[track_caller]
    pub fn concat<'t>(&'t self, parts: &[Var<'t>], axis: isize) -> Var<'t> {
        self.op("concat", parts, |nodes| {
            let Some(first) = nodes.first() else {
                return Err(Fault::shape("there is nothing to join", "give at least one value"));
            };
            let at = axis_of(axis, &first.shape)?;
            let mut total = 0usize;
            for (i, node) in nodes.iter().enumerate() {
                if node.dtype != first.dtype {
                    return Err(Fault::dtype(
                        format!("part 0 is {}, part {i} is {}", first.dtype, node.dtype),
                        format!("convert one side: .cast(DType::{:?})", first.dtype.max(node.dtype)),
                    ));
                }
                let agrees = node.shape.rank() == first.shape.rank()
                    && (0..node.shape.rank()).all(|axis| axis == at || node.shape[axis] == first.shape[axis]);
                if !agrees {
                    return Err(Fault::shape(
                        format!("part 0 is {}, part {i} is {}: only axis {at} may differ", first.shape, node.shape),
                        "bring the others to one extent (narrow, pad, reshape)",
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
        let _named = self.composition("stack");
        // Stacking adds an axis, so parts that may differ along an axis may not here.
        if let Some((first, others)) = parts.split_first()
            && let Ok(shape) = first.shape()
        {
            let differs = |part: &Var<'t>| part.shape().ok().filter(|other| *other != shape);
            for (i, part) in others.iter().enumerate() {
                if let Some(other) = differs(part) {
                    let found = format!("part 0 is {shape}, part {} is {other}, expected one shape", i + 1);
                    return self.fail("stack", Fault::shape(found, "bring them to one shape (narrow, pad, reshape)"));
                }
            }
        }
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
            let found = format!("{n} integers are more than memory holds");
            let fault = Fault { kind: ErrorKind::Memory, found, remedy: "compute them in parts".into() };
            return self.fail("arange", fault);
        }
        values.extend(0..n as i64);
        self.constant(Tensor::from_vec(values, [n]).expect("n values for n entries"))
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
