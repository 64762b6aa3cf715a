//! Reading and accumulating by index.

use super::{Contribution, Rule, resolve_axis};
use crate::dtype::DType;
use crate::grad::Local;
use crate::node::{Node, Op};
use crate::operand::Operand;
use crate::program::{IndexInstr, Instr, Lower};
use crate::record::{Fault, Recorded};
use crate::var::Var;

/// `out[i.., j, k..] = x[i.., index[i.., j, k..], k..]` along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Gather {
    pub axis: usize,
}

/// `out = base`, then `out[i.., index[i.., j, k..], k..] += src[i.., j, k..]` in row-major order of `src`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ScatterAdd {
    pub axis: usize,
}

impl<'t> Var<'t> {
    /// Reads entries of one axis by index, as `torch.gather`: element `(i, j, k)` of the result, for
    /// `axis = 1`, is `self[i, index[i, j, k], k]`. `index` (I64) has this value's rank and, on the other axes, at most its
    /// extents. An index out of range is found when the program runs.
    #[track_caller]
    pub fn gather(self, axis: isize, index: impl Operand<'t>) -> Var<'t> {
        let index = index.resolve(self.tape(), Some(DType::I64));
        self.tape().op("gather", &[self, index], |nodes| {
            let at = check_index(nodes[0], nodes[1], axis)?;
            let shape = nodes[1].shape.clone();
            Ok(Some(Recorded { op: Op::Gather(Gather { axis: at }), shape, dtype: nodes[0].dtype }))
        })
    }

    /// This value with `src` added at indices of one axis, as `torch.scatter_add`. Repeated indices
    /// accumulate, in row-major order of `src`, which has the shape of `index` (I64).
    #[track_caller]
    pub fn scatter_add(self, axis: isize, index: impl Operand<'t>, src: impl Operand<'t>) -> Var<'t> {
        let tape = self.tape();
        let index = index.resolve(tape, Some(DType::I64));
        let src = src.resolve(tape, Some(self.node(|n| n.dtype)));
        tape.op("scatter_add", &[self, index, src], |nodes| {
            let at = check_index(nodes[0], nodes[1], axis)?;
            if nodes[2].shape != nodes[1].shape || nodes[2].dtype != nodes[0].dtype {
                return Err(Fault::shape(
                    format!(
                        "the source is {} {}, expected {} {}",
                        nodes[2].dtype, nodes[2].shape, nodes[0].dtype, nodes[1].shape
                    ),
                    "give the source the shape of the index and the type of the value",
                ));
            }
            if nodes[0].dtype == DType::Bool {
                return Err(Fault::dtype("the value is bool, expected a number", "convert it: .cast(DType::I64)"));
            }
            let shape = nodes[0].shape.clone();
            Ok(Some(Recorded { op: Op::ScatterAdd(ScatterAdd { axis: at }), shape, dtype: nodes[0].dtype }))
        })
    }

    /// Entries of one axis by a list of indices (I64 `[N]`): the axis gets the extent `N`. An embedding is
    /// `weight.index_select(0, tokens)`.
    #[track_caller]
    pub fn index_select(self, axis: isize, index: impl Operand<'t>) -> Var<'t> {
        let index = index.resolve(self.tape(), Some(DType::I64));
        let (Ok(shape), Ok(list)) = (self.shape(), index.shape()) else {
            return if self.shape().is_err() { self } else { index };
        };
        let (Some(at), [n]) = (resolve_axis(axis, shape.rank()), &list[..]) else {
            let found = format!("the value is {shape}, the axis {axis}, the index {list}; expected an axis and a list");
            return self.tape().fail("index_select", Fault::shape(found, ""));
        };
        let mut line = vec![1; shape.rank()];
        line[at] = *n;
        self.gather(axis, index.reshape(line).expand(shape.with_axis(at, *n)))
    }
}

fn check_index(x: &Node, index: &Node, axis: isize) -> Result<usize, Fault> {
    let Some(at) = resolve_axis(axis, x.shape.rank()) else {
        return Err(Fault::shape(format!("the value {} has no axis {axis}", x.shape), ""));
    };
    if index.dtype != DType::I64 {
        return Err(Fault::dtype(
            format!("the index is {}, expected i64", index.dtype),
            "convert it: .cast(DType::I64)",
        ));
    }
    let fits = index.shape.rank() == x.shape.rank()
        && (0..x.shape.rank()).all(|axis| axis == at || index.shape[axis] <= x.shape[axis]);
    if !fits {
        return Err(Fault::shape(
            format!(
                "the index is {}, the value {}: expected the same rank and, but on axis {at}, no larger extents",
                index.shape, x.shape
            ),
            "unsqueeze or expand the index",
        ));
    }
    Ok(at)
}

impl Rule for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }
    fn vjp<'t>(&self, at: &Local<'_, 't>, ct: Var<'t>, give: &mut dyn FnMut(usize, Contribution<'t>)) {
        if at.wants(0) {
            let base = at.lit(0.0).expand(at.shape(0));
            give(0, Contribution::Whole(base.scatter_add(self.axis as isize, at.input(1), ct)));
        }
    }
    fn jvp<'t>(&self, at: &Local<'_, 't>, tangents: &[Option<Var<'t>>]) -> Option<Var<'t>> {
        Some(tangents[0]?.gather(self.axis as isize, at.input(1)))
    }
    fn lower(&self, lower: &mut Lower<'_>, node: usize) {
        let inputs = lower.inputs(node);
        let x = lower.contiguous(inputs[0]);
        let index = lower.contiguous(inputs[1]);
        let out = lower.alloc(node);
        lower.emit(Instr::Gather(IndexInstr::new(lower, node, self.axis, x, index, out, inputs[0])));
    }
}

impl Rule for ScatterAdd {
    fn name(&self) -> &'static str {
        "scatter_add"
    }
    fn vjp<'t>(&self, at: &Local<'_, 't>, ct: Var<'t>, give: &mut dyn FnMut(usize, Contribution<'t>)) {
        if at.wants(0) {
            give(0, Contribution::Whole(ct));
        }
        if at.wants(2) {
            give(2, Contribution::Whole(ct.gather(self.axis as isize, at.input(1))));
        }
    }
    fn jvp<'t>(&self, at: &Local<'_, 't>, tangents: &[Option<Var<'t>>]) -> Option<Var<'t>> {
        let zeros = |i: usize| at.lit(0.0).expand(at.shape(i));
        let base = tangents[0].unwrap_or_else(|| zeros(0));
        Some(match tangents[2] {
            Some(src) => base.scatter_add(self.axis as isize, at.input(1), src),
            None => base,
        })
    }
    fn lower(&self, lower: &mut Lower<'_>, node: usize) {
        let inputs = lower.inputs(node);
        let index = lower.contiguous(inputs[1]);
        let src = lower.contiguous(inputs[2]);
        let out = lower.alloc(node);
        let base = lower.place(inputs[0]);
        lower.copy(inputs[0], base, out.clone());
        lower.emit(Instr::ScatterAdd(IndexInstr::new(lower, inputs[2], self.axis, out, index, src, inputs[0])));
    }
}
