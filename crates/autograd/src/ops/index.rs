//! Reading and accumulating by index.

use super::{Contribution, Rule, axis_of};
use crate::dtype::DType;
use crate::grad::Local;
use crate::node::{Node, Op};
use crate::operand::Operand;
use crate::program::{IndexInstr, Instr, Lower};
use crate::record::{Fault, Recorded};
use crate::shape::Shape;
use crate::tape::Tape;
use crate::var::Var;

/// What the caller wrote, for errors found when the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Asker {
    /// The outermost operation.
    pub name: &'static str,
    pub index: IndexForm,
    /// Along which axis of the operation.
    axis: u32,
}

/// How the caller's index became that of the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum IndexForm {
    /// As it is.
    Same,
    /// A list, repeated over the other axes.
    List,
    /// Composed: an axis of extent 1 is the composition's.
    Composed,
}

impl Asker {
    fn new(tape: &Tape, own: &'static str) -> Asker {
        let name = tape.recorder.get().name(own);
        Asker { name, index: if name == own { IndexForm::Same } else { IndexForm::Composed }, axis: 0 }
    }

    pub(crate) fn axis(&self) -> usize {
        self.axis as usize
    }

    /// Where the caller finds the entry at position `at` of the operation's index.
    pub(crate) fn position(&self, at: &[usize], index: &Shape) -> Vec<usize> {
        let axis = self.axis();
        match self.index {
            IndexForm::List => vec![at[axis]],
            IndexForm::Composed if index[axis] == 1 => [&at[..axis], &at[axis + 1..]].concat(),
            _ => at.to_vec(),
        }
    }
}

/// `out[i.., j, k..] = x[i.., index[i.., j, k..], k..]` along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Gather {
    pub asker: Asker,
}

/// `out = base`, then `out[i.., index[i.., j, k..], k..] += src[i.., j, k..]` in row-major order of `src`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ScatterAdd {
    pub asker: Asker,
}

impl<'t> Var<'t> {
    /// Reads entries of one axis by index, as `torch.gather`: element `(i, j, k)` of the result, for
    /// `axis = 1`, is `self[i, index[i, j, k], k]`. `index` (I64) has this value's rank and, on the other axes, at most its
    /// extents. An index out of range is found when the program runs.
    #[track_caller]
    pub fn gather(self, axis: isize, index: impl Operand<'t>) -> Var<'t> {
        let _named = self.tape().composition("gather");
        let index = index.resolve(self.tape(), Some(DType::I64));
        self.gather_for(Asker::new(self.tape(), "gather"), axis, index)
    }

    #[track_caller]
    fn gather_for(self, asker: Asker, axis: isize, index: Var<'t>) -> Var<'t> {
        self.tape().op(asker.name, &[self, index], |nodes| {
            let asker = Asker { axis: check_index(nodes[0], nodes[1], axis)? as u32, ..asker };
            let shape = nodes[1].shape.clone();
            Ok(Some(Recorded { op: Op::Gather(Gather { asker }), shape, dtype: nodes[0].dtype }))
        })
    }

    /// This value with `src` added at indices of one axis, as `torch.scatter_add`. Repeated indices
    /// accumulate, in row-major order of `src`, which has the shape of `index` (I64).
    #[track_caller]
    pub fn scatter_add(self, axis: isize, index: impl Operand<'t>, src: impl Operand<'t>) -> Var<'t> {
        let _named = self.tape().composition("scatter_add");
        let tape = self.tape();
        let index = index.resolve(tape, Some(DType::I64));
        let src = src.resolve(tape, Some(self.node(|n| n.dtype)));
        self.scatter_add_for(Asker::new(tape, "scatter_add"), axis, index, src)
    }

    #[track_caller]
    fn scatter_add_for(self, asker: Asker, axis: isize, index: Var<'t>, src: Var<'t>) -> Var<'t> {
        self.tape().op(asker.name, &[self, index, src], |nodes| {
            let asker = Asker { axis: check_index(nodes[0], nodes[1], axis)? as u32, ..asker };
            if nodes[2].shape != nodes[1].shape {
                return Err(Fault::shape(
                    format!("the source is {}, the index {}", nodes[2].shape, nodes[1].shape),
                    "give the source the shape of the index",
                ));
            }
            if nodes[2].dtype != nodes[0].dtype {
                return Err(Fault::dtype(
                    format!("the source is {}, the value {}", nodes[2].dtype, nodes[0].dtype),
                    format!("convert one side: .cast(DType::{:?})", nodes[0].dtype.max(nodes[2].dtype)),
                ));
            }
            if nodes[0].dtype == DType::Bool {
                return Err(Fault::dtype("the value is bool, expected a number", "convert it: .cast(DType::I64)"));
            }
            let shape = nodes[0].shape.clone();
            Ok(Some(Recorded { op: Op::ScatterAdd(ScatterAdd { asker }), shape, dtype: nodes[0].dtype }))
        })
    }

    /// Entries of one axis by a list of indices (I64 `[N]`): the axis gets the extent `N`. An embedding is
    /// `weight.index_select(0, tokens)`.
    #[track_caller]
    pub fn index_select(self, axis: isize, index: impl Operand<'t>) -> Var<'t> {
        let _named = self.tape().composition("index_select");
        let index = index.resolve(self.tape(), Some(DType::I64));
        let (at, shape) = match self.with_axis("index_select", axis) {
            Ok(found) => found,
            Err(invalid) => return invalid,
        };
        let (Ok(list), Ok(dtype)) = (index.shape(), index.dtype()) else { return index };
        let [n] = list[..] else {
            let fault = Fault::shape(format!("the index is {list}, expected a list"), "reshape it to one axis");
            return self.tape().fail("index_select", fault);
        };
        if dtype != DType::I64 {
            return self.tape().fail("index_select", index_fault(dtype));
        }
        let mut line = vec![1; shape.rank()];
        line[at] = n;
        let asker = Asker { index: IndexForm::List, ..Asker::new(self.tape(), "index_select") };
        self.gather_for(asker, axis, index.reshape(line).expand(shape.with_axis(at, n)))
    }
}

/// An index of another element type.
pub(super) fn index_fault(dtype: DType) -> Fault {
    Fault::dtype(format!("the index is {dtype}, expected i64"), "convert it: .cast(DType::I64)")
}

fn check_index(x: &Node, index: &Node, axis: isize) -> Result<usize, Fault> {
    let at = axis_of(axis, &x.shape)?;
    if index.dtype != DType::I64 {
        return Err(index_fault(index.dtype));
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
            give(0, Contribution::Whole(base.scatter_add_for(self.asker, self.asker.axis as isize, at.input(1), ct)));
        }
    }
    fn jvp<'t>(&self, at: &Local<'_, 't>, tangents: &[Option<Var<'t>>]) -> Option<Var<'t>> {
        Some(tangents[0]?.gather_for(self.asker, self.asker.axis as isize, at.input(1)))
    }
    fn lower(&self, lower: &mut Lower<'_>, node: usize) {
        let inputs = lower.inputs(node);
        let x = lower.place(inputs[0]);
        let index = lower.place(inputs[1]);
        let out = lower.alloc(node);
        lower.emit(Instr::Gather(IndexInstr::new(lower, node, self.asker, [x, index, out], [inputs[0], node])));
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
            give(2, Contribution::Whole(ct.gather_for(self.asker, self.asker.axis as isize, at.input(1))));
        }
    }
    fn jvp<'t>(&self, at: &Local<'_, 't>, tangents: &[Option<Var<'t>>]) -> Option<Var<'t>> {
        let zeros = |i: usize| at.lit(0.0).expand(at.shape(i));
        let base = tangents[0].unwrap_or_else(|| zeros(0));
        Some(match tangents[2] {
            Some(src) => base.scatter_add_for(self.asker, self.asker.axis as isize, at.input(1), src),
            None => base,
        })
    }
    fn lower(&self, lower: &mut Lower<'_>, node: usize) {
        let inputs = lower.inputs(node);
        let index = lower.place(inputs[1]);
        let src = lower.place(inputs[2]);
        let out = lower.alloc(node);
        let base = lower.place(inputs[0]);
        lower.copy(inputs[0], base, out.clone());
        lower.emit(Instr::ScatterAdd(IndexInstr::new(
            lower,
            node,
            self.asker,
            [out, index, src],
            [inputs[0], inputs[2]],
        )));
    }
}
