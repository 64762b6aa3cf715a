//! What instructions compute, kept beside a block for those who look at it: listings, profiles, the trace of
//! non-finite values. Plans that nobody looks at keep none of it.

use super::code::{Block, Instr};
use super::graph::GraphOp;
use super::lower::{Lower, Place};
use crate::dtype::DType;
use crate::error::Result;
use crate::node::NodeId;
use crate::shape::Shape;
use std::panic::Location;
use wengert_kernels::{Memory, Span};

/// Where a node of a graph comes from: the node of the tape, and the line that recorded it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site {
    pub node: NodeId,
    pub at: &'static Location<'static>,
}

/// A value that an instruction reads or writes.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub site: Site,
    pub shape: Shape,
    pub dtype: DType,
    pub place: Option<Place>,
}

impl Value {
    pub(crate) fn bytes(&self) -> usize {
        self.shape.numel() * self.dtype.size()
    }
}

/// One of the operations that an instruction computes.
#[derive(Clone, Debug)]
pub(crate) struct Computed {
    pub name: &'static str,
    pub value: Value,
    pub inputs: Vec<Value>,
    /// Whether the value leaves the instruction.
    pub stored: bool,
    pub elementwise: bool,
}

/// What an instruction is for: the operations of its unit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Note {
    pub computes: Vec<Computed>,
    /// Whether it completes them: copies of operands come before.
    pub is_last: bool,
    /// The value that it copies, if it is a copy.
    pub copied: Option<Value>,
}

impl Lower<'_> {
    /// A node as a note names it.
    pub(super) fn noted(&self, id: usize) -> Value {
        let node = &self.graph.nodes[id];
        Value { site: node.at, shape: node.shape.clone(), dtype: node.dtype, place: self.place_if_known(id) }
    }

    /// The operations of a unit, with the places that are known by now.
    pub(super) fn note(&self, unit: &[usize]) -> Note {
        let value = |id: usize| self.noted(id);
        let computed = |id: &usize| {
            let node = &self.graph.nodes[*id];
            let (name, elementwise) = match &node.op {
                GraphOp::Op(op) | GraphOp::Onto(op) => (op.name(), matches!(op, crate::node::Op::Map(_))),
                GraphOp::Loop(_) => ("scan", false),
                GraphOp::LoopOutput(_) => ("tap", false),
                GraphOp::Leaf(_) => ("leaf", false),
                GraphOp::Port(_) => ("port", false),
                GraphOp::Number(_) | GraphOp::Literal(_) => ("number", false),
            };
            let inputs = node.inputs.iter().map(|input| value(*input)).collect();
            Computed { name, value: value(*id), inputs, stored: self.units.leaves[*id], elementwise }
        };
        Note { computes: unit.iter().map(computed).collect(), is_last: false, copied: None }
    }
}

/// Follows a run, instruction by instruction. Loops run step by step then, not as scripts.
pub(super) trait Watch {
    fn before(&mut self, block: &Block, at: usize);

    /// After instruction `at`; an error ends the run.
    fn after(&mut self, block: &Block, at: usize, values: &Values<'_, '_>) -> Result<()>;

    /// A step of the innermost loop begins.
    fn step(&mut self, step: usize);
}

/// The memory of a run, to be read between instructions.
pub(super) struct Values<'v, 'm> {
    pub memory: &'v Memory<'m>,
    /// Region and first byte of each buffer.
    pub buffer: &'v dyn Fn(usize) -> (u32, usize),
}

impl Values<'_, '_> {
    /// Calls `visit` with every element of a float value in row-major order, as `f64`; `false` ends the walk.
    pub(super) fn each(&self, value: &Value, mut visit: impl FnMut(usize, f64) -> bool) {
        let mut elements = (0..value.shape.numel()).map_while(|flat| Some((flat, self.element(value, flat)?)));
        let _ = elements.all(|(flat, element)| visit(flat, element));
    }

    /// Element `flat`, in row-major order, of a float value.
    pub(super) fn element(&self, value: &Value, mut flat: usize) -> Option<f64> {
        let place = value.place.as_ref().filter(|_| value.dtype.is_float())?;
        let mut at = place.offset;
        for (n, stride) in value.shape.iter().zip(&place.strides).rev() {
            at += flat % n * stride;
            flat /= n;
        }
        let (region, byte) = (self.buffer)(place.buf);
        let size = value.dtype.size();
        let span = Span { region, start: byte + at * size, bytes: size };
        Some(match value.dtype {
            DType::F64 => self.memory.read::<f64>(span)[0],
            _ => f64::from(self.memory.read::<f32>(span)[0]),
        })
    }
}

impl Block {
    /// What an instruction is for; nothing if the plan keeps no notes.
    pub(super) fn note(&self, at: usize) -> Option<&Note> {
        self.notes.get(at)
    }
}

impl Instr {
    /// The kind of an instruction, as listings call it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Instr::Tile(_) => "elementwise",
            Instr::Gemm(_) => "matmul",
            Instr::Reduce(_) => "reduce",
            Instr::Copy { .. } => "copy",
            Instr::Cast { .. } => "cast",
            Instr::Random { .. } => "random",
            Instr::Gather(_) => "gather",
            Instr::ScatterAdd(_) => "scatter_add",
            Instr::Along(op) => op.what.name(),
            Instr::Opaque(_) => "custom_op",
            Instr::Loop(_) => "loop",
        }
    }
}
