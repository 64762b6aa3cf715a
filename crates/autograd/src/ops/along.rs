//! Operations along the lines of one axis: sorted order, running sums, places of extrema.

use super::{Contribution, Rule};
use crate::dtype::DType;
use crate::grad::Local;
use crate::node::{Node, Op};
use crate::program::{Instr, LineInstr, Lower};
use crate::record::Recorded;
use crate::shape::Shape;
use crate::var::Var;
use wengert_kernels::{LineOp, Lines};

/// An operation on each line along `axis`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Along {
    pub what: LineOp,
    pub axis: usize,
}

impl Along {
    /// What is recorded on an operand.
    pub(super) fn of(self, x: &Node) -> Recorded {
        let (shape, dtype): (Shape, DType) = match self.what {
            LineOp::ArgSort { kept, .. } => (x.shape.with_axis(self.axis, kept), DType::I64),
            LineOp::Cumsum { .. } => (x.shape.clone(), x.dtype),
            LineOp::ArgExtremum { .. } => (x.shape.without_axis(self.axis), DType::I64),
        };
        Recorded { op: Op::Along(self), shape, dtype }
    }

    /// Running sums of another value along the same axis, in either direction.
    fn running<'t>(&self, x: Var<'t>, reverse: bool) -> Var<'t> {
        let op = Along { what: LineOp::Cumsum { reverse }, axis: self.axis };
        x.tape().op("cumsum", &[x], |nodes| Ok(Some(op.of(nodes[0]))))
    }
}

impl Rule for Along {
    fn name(&self) -> &'static str {
        self.what.name()
    }
    fn vjp<'t>(&self, at: &Local<'_, 't>, ct: Var<'t>, give: &mut dyn FnMut(usize, Contribution<'t>)) {
        if let LineOp::Cumsum { reverse } = self.what
            && at.wants(0)
        {
            give(0, Contribution::Whole(self.running(ct, !reverse)));
        }
    }
    fn jvp<'t>(&self, _: &Local<'_, 't>, tangents: &[Option<Var<'t>>]) -> Option<Var<'t>> {
        match self.what {
            LineOp::Cumsum { reverse } => Some(self.running(tangents[0]?, reverse)),
            _ => None,
        }
    }
    fn lower(&self, lower: &mut Lower<'_>, node: usize) {
        let input = lower.inputs(node)[0];
        let src = lower.contiguous(input);
        let dst = lower.alloc(node);
        lower.emit(Instr::Along(LineInstr {
            dtype: lower.dtype(input),
            what: self.what,
            lines: Lines::of(&lower.shape(input), self.axis),
            src: (src.buf, src.offset),
            dst: (dst.buf, dst.offset),
        }));
    }
}
