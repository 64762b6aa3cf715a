//! Operations: the elementwise table, one file a structural operation, and compositions.

mod activations;
mod along;
mod arrange;
mod checkpoint;
mod compose;
mod conv;
mod cumulate;
mod custom;
mod einsum;
mod elementwise;
mod index;
mod join;
mod matmul;
mod normalise;
mod opaque;
mod random;
mod reduce;
mod registry;
mod slice;
mod sort;
pub(crate) mod table;
mod views;

pub(crate) use along::Along;
pub(crate) use checkpoint::Region;
pub use conv::Conv1dOptions;
pub use custom::Derivative;
pub(crate) use custom::{Custom, UserRule};
pub(crate) use elementwise::{Kernels, MapOp, Row};
#[cfg(test)]
pub(crate) use elementwise::{Sample, Type, record};
pub(crate) use index::{Asker, Gather, ScatterAdd};
pub(crate) use join::{Concat, Slice};
pub(crate) use matmul::Matmul;
pub use opaque::{BoxError, CustomOp};
pub(crate) use opaque::{Function, Opaque};
pub(crate) use random::Random;
pub use reduce::Axes;
pub(crate) use reduce::Reduce;
pub use registry::Elementwise;
pub(crate) use slice::Step;

#[cfg(test)]
pub(crate) use table::TABLE;
pub(crate) use views::{Expand, Permute, Reshape};

use crate::grad::Local;
use crate::node::Op;
use crate::program::Lower;
use crate::record::Fault;
use crate::shape::Shape;
use crate::tape::{Inner, LeafValue};
use crate::var::Var;

/// A cotangent that a derivative rule gives to one of its inputs.
pub(crate) enum Contribution<'t> {
    /// For every element; summed over broadcast axes by the backward walk.
    Whole(Var<'t>),
    /// For `[start, start + extent)` of one axis; the rest of the input receives nothing.
    Part { axis: usize, start: usize, value: Var<'t> },
    /// The product `leftᵀ · right` of two matrices, for every element of a matrix: what a right operand receives. Those of
    /// several uses are one product.
    Product { left: Var<'t>, right: Var<'t> },
}

/// What an operation knows about itself.
pub(crate) trait Rule {
    /// The name in errors and listings.
    fn name(&self) -> &'static str;

    /// Records the cotangents of the inputs, given the output's: for each input that
    /// [wants](Local::wants) one, calls `give` any number of times.
    fn vjp<'t>(&self, at: &Local<'_, 't>, ct: Var<'t>, give: &mut dyn FnMut(usize, Contribution<'t>));

    /// Records the tangent of the output, given those of the inputs; `None` is zero, and at least one is not.
    /// The result broadcasts to the output's shape.
    fn jvp<'t>(&self, at: &Local<'_, 't>, tangents: &[Option<Var<'t>>]) -> Option<Var<'t>>;

    /// Emits the instructions that compute the node, or registers it as a view.
    fn lower(&self, lower: &mut Lower<'_>, node: usize);
}

impl Op {
    /// The operation's rule; leaves, loop ports and scans are handled by the walks themselves.
    pub(crate) fn rule(&self) -> Option<&dyn Rule> {
        Some(match self {
            Op::Map(op) => op,
            Op::Matmul(op) => op,
            Op::Reduce(op) => op,
            Op::Reshape(op) => op,
            Op::Permute(op) => op,
            Op::Expand(op) => op,
            Op::Slice(op) => op,
            Op::Step(op) => op,
            Op::Concat(op) => op,
            Op::Gather(op) => op,
            Op::ScatterAdd(op) => op,
            Op::Along(op) => op,
            Op::Random(op) => op,
            Op::Custom(op) => op,
            Op::Opaque(op) => op,
            Op::Fence => &checkpoint::FENCE,
            Op::Again => &checkpoint::AGAIN,
            Op::Cast => &views::CAST,
            Op::StopGradient => &views::STOP_GRADIENT,
            _ => return None,
        })
    }

    /// Whether running it can fail on its data. Its address is then part of the structure, because a cached program
    /// would otherwise report the line of an earlier recording.
    pub(crate) fn fails_at_run(&self) -> bool {
        matches!(self, Op::Gather(_) | Op::ScatterAdd(_) | Op::Opaque(_))
    }

    /// The name in errors and listings.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Op::Leaf(_) => "leaf",
            Op::Scalar(_) => "number",
            Op::Literal(_) => "literal",
            Op::Placeholder { .. } => "port",
            Op::Scan(_) => "scan",
            Op::Final(_) => "final",
            Op::Tap(_) => "tap",
            Op::Error(_) => "error",
            other => other.rule().map_or("?", |rule| rule.name()),
        }
    }
}

impl Inner {
    /// The name of an operation as its author knows it: that of a function or derivative of one's own.
    pub(crate) fn label<'a>(&'a self, op: &Op) -> &'a str {
        match op {
            Op::Custom(Custom { rule: Some(number) }) => &self.rules[*number as usize].name,
            Op::Custom(Custom { rule: None }) => "with_derivative_of",
            Op::Opaque(opaque) => match &self.leaves[opaque.function as usize] {
                LeafValue::Function(function) => &function.name,
                _ => unreachable!("a call names a function"),
            },
            op => op.name(),
        }
    }
}

/// An axis counted from the front, or from the back if negative: `-1` is the last.
pub(crate) fn resolve_axis(axis: isize, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis + rank as isize } else { axis };
    usize::try_from(axis).ok().filter(|a| *a < rank)
}

/// An axis of a shape counted from the front, or what is wrong with it.
pub(crate) fn axis_of(axis: isize, shape: &Shape) -> Result<usize, Fault> {
    resolve_axis(axis, shape.rank()).ok_or_else(|| {
        let remedy = match shape.rank() {
            0 => "a scalar has no axes".into(),
            rank => format!("axes go from -{rank} to {}", rank - 1),
        };
        Fault::shape(format!("axis {axis} is out of range for shape {shape}"), remedy)
    })
}
