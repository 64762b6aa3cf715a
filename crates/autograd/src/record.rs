//! Appending to a recording: scope, structure, errors.

use crate::dtype::DType;
use crate::error::{Error, ErrorKind};
use crate::node::{BodyId, Inputs, Node, NodeId, Op, StructureHasher, structure};
use crate::shape::Shape;
use crate::tape::{Inner, LeafValue, Tape};
use crate::var::Var;
use smallvec::SmallVec;
use std::hash::Hash;
use std::panic::Location;

/// A recorded operation before it has a place on the tape.
pub(crate) struct Recorded {
    pub op: Op,
    pub shape: Shape,
    pub dtype: DType,
}

/// Why an operation cannot be recorded; the tape adds its name and address.
pub(crate) struct Fault {
    pub kind: ErrorKind,
    pub found: String,
    pub remedy: String,
}

impl Fault {
    pub(crate) fn shape(found: impl Into<String>, remedy: impl Into<String>) -> Fault {
        Fault { kind: ErrorKind::Shape, found: found.into(), remedy: remedy.into() }
    }

    pub(crate) fn scope(found: impl Into<String>, remedy: impl Into<String>) -> Fault {
        Fault { kind: ErrorKind::Scope, found: found.into(), remedy: remedy.into() }
    }

    pub(crate) fn gradient(found: impl Into<String>, remedy: impl Into<String>) -> Fault {
        Fault { kind: ErrorKind::Gradient, found: found.into(), remedy: remedy.into() }
    }

    pub(crate) fn value(found: impl Into<String>, remedy: impl Into<String>) -> Fault {
        Fault { kind: ErrorKind::Value, found: found.into(), remedy: remedy.into() }
    }

    pub(crate) fn dtype(found: impl Into<String>, remedy: impl Into<String>) -> Fault {
        Fault { kind: ErrorKind::DType, found: found.into(), remedy: remedy.into() }
    }
}

/// Why an operation was not appended.
pub(crate) enum Failure {
    /// An input is invalid: its node.
    Earlier(NodeId),
    New(Fault),
}

#[cold]
fn other_tape() -> Fault {
    Fault::scope(
        "the operands are recorded on different tapes",
        "bring a value over with tape.constant(other.value()?)",
    )
}

#[cold]
fn escaped(node: &Node) -> Fault {
    let (file, line) = (node.at.file(), node.at.line());
    Fault::scope(
        format!("an operand (recorded at {file}:{line}) belongs to a scan body that has ended"),
        "return it from the body's closure as a carry or an output",
    )
}

/// The nodes of a tape have a number each.
const MOST_NODES: usize = u32::MAX as usize;

impl Inner {
    /// Appends an operation, after checking tape, scope and earlier errors; gives its node.
    pub(crate) fn try_op(
        &mut self,
        tape: &Tape,
        vars: &[Var<'_>],
        at: &'static Location<'static>,
        build: impl FnOnce(&[&Node]) -> Result<Option<Recorded>, Fault>,
    ) -> Result<NodeId, Failure> {
        let mut inputs = Inputs::with_capacity(vars.len());
        let mut nodes: SmallVec<[&Node; 4]> = SmallVec::with_capacity(vars.len());
        let mut body = 0;
        let mut depth = 0;
        for var in vars {
            if !std::ptr::eq(tape, var.tape) {
                return Err(Failure::New(other_tape()));
            }
            let node = &self.nodes[var.id as usize];
            if let Op::Error(_) = node.op {
                return Err(Failure::Earlier(var.id));
            }
            if node.body != 0 {
                let Some(found) = self.open.iter().rposition(|b| *b == node.body) else {
                    return Err(Failure::New(escaped(node)));
                };
                if found > depth {
                    (depth, body) = (found, node.body);
                }
            }
            let id = self.kept.get(&var.id).copied().unwrap_or(var.id);
            inputs.push(id);
            nodes.push(&self.nodes[id as usize]);
        }
        // Matched once: what is recorded goes where it belongs without stops.
        let Recorded { op, shape, dtype } = match build(&nodes) {
            Ok(Some(recorded)) => recorded,
            Ok(None) => return Ok(inputs[0]),
            Err(fault) => return Err(Failure::New(fault)),
        };
        let shape = shape.bounded().map_err(|found| Failure::New(Fault::shape(found, "")))?;
        let mut hash = structure(&op, nodes.iter().map(|n| n.hash), &shape, dtype);
        if op.fails_at_run() {
            let mut hasher = StructureHasher::new();
            hasher.write_hash(hash);
            at.hash(&mut hasher);
            hash = hasher.finish128();
        }
        drop(nodes);
        if let Op::Fence = op {
            // Every one is a value of its own.
            self.fences += 1;
            let mut hasher = StructureHasher::new();
            hasher.write_hash(hash);
            self.fences.hash(&mut hasher);
            hash = hasher.finish128();
        }
        Ok(self.push(Node { op, inputs, shape, dtype, body, hash, at }))
    }

    /// How many bodies a body is nested in.
    pub(crate) fn depth(&self, mut body: BodyId) -> usize {
        let mut depth = 0;
        while body != 0 {
            body = self.bodies[body as usize].parent;
            depth += 1;
        }
        depth
    }

    /// The number a bare-number node stands for.
    pub(crate) fn number_of(&self, id: NodeId) -> Option<f64> {
        match self.nodes[id as usize].op {
            Op::Literal(bits) => Some(f64::from_bits(bits)),
            Op::Scalar(ordinal) => match self.leaves[ordinal as usize] {
                LeafValue::Number(value) => Some(value),
                LeafValue::Tensor(_) | LeafValue::Function(_) => None,
            },
            _ => None,
        }
    }

    /// Appends a node. Nothing here can fail on the way to a place that is there already: the parts of the node go to it straight,
    /// without being put together elsewhere for the case of a panic.
    #[inline]
    pub(crate) fn push(&mut self, node: Node) -> NodeId {
        let id = self.nodes.len();
        if id == self.nodes.capacity() || id >= MOST_NODES {
            return self.push_to_more(node);
        }
        // Nodes follow one another through memory that is too large for the first-level cache.
        wengert_kernels::about_to_write(self.nodes.as_ptr().wrapping_add(id + 4));
        self.nodes.push(node);
        id as NodeId
    }

    /// The same where memory has to be made.
    #[cold]
    #[inline(never)]
    fn push_to_more(&mut self, node: Node) -> NodeId {
        let id = self.nodes.len();
        assert!(id < MOST_NODES, "a tape holds at most 2^32 nodes");
        self.nodes.push(node);
        id as NodeId
    }

    pub(crate) fn push_error(&mut self, error: Error) -> NodeId {
        let op = Op::Error(self.errors.len() as u32);
        let at = error.location().unwrap_or(Location::caller());
        self.errors.push(error);
        self.push(Node { op, inputs: Inputs::new(), shape: Shape::scalar(), dtype: DType::F32, body: 0, hash: 0, at })
    }

    pub(crate) fn push_leaf(
        &mut self,
        value: LeafValue,
        shape: Shape,
        dtype: DType,
        at: &'static Location<'static>,
    ) -> NodeId {
        let ordinal = self.leaves.len() as u32;
        let op = match value {
            LeafValue::Tensor(_) => Op::Leaf(ordinal),
            LeafValue::Number(_) => Op::Scalar(ordinal),
            LeafValue::Function(_) => unreachable!("a function is not a value"),
        };
        self.leaves.push(value);
        let hash = structure(&op, std::iter::empty(), &shape, dtype);
        self.push(Node { op, inputs: Inputs::new(), shape, dtype, body: 0, hash, at })
    }
}

impl Tape {
    /// A number of the caller's, bound when the program runs; 0, 1 and -1 become part of the structure.
    #[track_caller]
    pub(crate) fn number(&self, value: f64, dtype: DType) -> Var<'_> {
        if dtype == DType::I64 && (value.fract() != 0.0 || value.abs() > LARGEST_INTEGER) {
            return self.fail("number", number_fault(value));
        }
        if [0.0, 1.0, -1.0].contains(&value) || dtype == DType::Bool {
            return self.literal(value, dtype);
        }
        let mut inner = self.inner.borrow_mut();
        let at = self.recorder.get().at(Location::caller());
        let id = inner.push_leaf(LeafValue::Number(value), Shape::scalar(), dtype, at);
        Var { tape: self, id }
    }

    /// A number that is part of the structure: the constants of rules and compositions.
    #[track_caller]
    pub(crate) fn literal(&self, value: f64, dtype: DType) -> Var<'_> {
        self.op("literal", &[], |_| {
            Ok(Some(Recorded { op: Op::Literal(value.to_bits()), shape: Shape::scalar(), dtype }))
        })
    }
}

/// Up to here every integer is an `f64`, the form in which a number of a formula is kept.
const LARGEST_INTEGER: f64 = 9.0e15;

fn number_fault(value: f64) -> Fault {
    if value.fract() == 0.0 && value.is_finite() {
        return Fault::dtype(
            format!("the number {value} is beyond ±{LARGEST_INTEGER:e}, where integers in formulas end"),
            "make it a value: tape.constant(number)",
        );
    }
    Fault::dtype(
        format!("the number {value} is not an integer, but takes the place of an i64"),
        "cast the other operand to a float type first: .cast(DType::F32)",
    )
}
