//! A program as a list of instructions with their work, for programs as text and for profiles.

use super::code::{Block, Buf, Instr, Shard};
use super::trace::{Computed, Note, Value};
use super::{PlanOptions, Program, program_of};
use crate::dtype::DType;
use crate::error::Result;
use crate::node::{NodeId, Op, Port};
use crate::origin::Pass;
use crate::shape::Shape;
use crate::tape::{Inner, Tape};
use crate::var::Var;
use std::panic::Location;

/// An operation of the recording that an instruction computes.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its name, as errors give it.
    pub name: &'static str,
    /// The value: its number on the tape, and its name if it has one. An operation may be computed for a part of its
    /// value only.
    pub value: String,
    /// The values it reads.
    pub inputs: Vec<String>,
    /// The shape of the value.
    pub shape: Shape,
    /// The pass that recorded it.
    pub pass: Pass,
    /// The line that recorded it; for a derivative, that of the operation differentiated.
    pub at: &'static Location<'static>,
    /// Whether the value is stored; others stay within the instruction.
    pub stored: bool,
    /// The node that computes the value, and those that compute the inputs.
    pub(crate) root: NodeId,
    pub(crate) reads: Vec<NodeId>,
}

/// An instruction of a compiled program.
#[derive(Clone, Debug)]
pub struct Instruction {
    /// Its place: `3`, or `3.1` for the second instruction of the loop at place 3.
    pub place: String,
    /// What it is: `matmul`, `elementwise` (one operation or several fused in one pass), `reduce`, `copy`, `loop`, ..
    pub kind: &'static str,
    /// What it computes. A copy is made for the operation it names.
    pub operations: Vec<Operation>,
    /// The value that a copy copies.
    pub copied: Option<String>,
    /// How often a run of the program executes it.
    pub calls: u64,
    /// Floating-point operations of one execution: 2·M·N·K of a product, one for each element and elementwise operation.
    /// A loop has those of all its steps.
    pub flops: u64,
    /// Bytes that one execution reads, every operand once.
    pub bytes_read: u64,
    /// Bytes that one execution writes.
    pub bytes_written: u64,
    /// The steps of a loop.
    pub steps: Option<usize>,
    /// Whether the right operand of a product is packed before the first step of its loop.
    pub packed: bool,
    /// Whether it was recorded in a loop that it has left.
    pub left_loop: bool,
    /// Identifies the instruction while its program lives.
    pub(super) key: (usize, usize),
}

/// A compiled program, to be looked at.
#[derive(Clone, Debug)]
pub struct ProgramView {
    /// The instructions in the order in which they run; those of a loop follow it.
    pub instructions: Vec<Instruction>,
    /// Bytes of the arena for temporary values.
    pub arena_bytes: usize,
    /// Bytes of the results.
    pub output_bytes: usize,
}

impl Tape {
    /// The program that computes some values, as `eval` runs it on one thread: what is fused, what has left its loop,
    /// what it costs.
    ///
    /// `{}` prints a line for each instruction, `{:#}` in addition the operations of the fused ones.
    ///
    /// ```
    /// use wengert_autograd::{DType, Tape, Tensor};
    /// let tape = Tape::new();
    /// let x = tape.var(Tensor::zeros([4, 3], DType::F32));
    /// let y = (x.tanh() * 2.0).exp();
    /// let program = tape.program(&[y])?;
    /// assert_eq!(program.instructions.len(), 1);
    /// assert_eq!(program.instructions[0].operations.len(), 3);
    /// assert_eq!(program.flops(), 36);
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// The first error among the operations the values depend on.
    pub fn program<'t>(&'t self, values: &[Var<'t>]) -> Result<ProgramView> {
        values.iter().try_for_each(|value| self.owned(*value))?;
        let inner = self.inner.borrow();
        let asked: Vec<NodeId> = values.iter().map(|value| value.id).collect();
        let program = program_of(&inner, &asked, PlanOptions { optimise: true, traced: true })?;
        Ok(ProgramView::of(&inner, &program))
    }
}

impl ProgramView {
    pub(super) fn of(inner: &Inner, program: &Program) -> ProgramView {
        let mut instructions = Vec::new();
        Lister { inner, depth: 0, calls: 1, prefix: String::new() }.list(&program.block, None, &mut instructions);
        let outputs = program.block.outputs.iter().map(|(dtype, len)| dtype.size() * len);
        ProgramView { instructions, arena_bytes: program.block.arena_bytes, output_bytes: outputs.sum() }
    }

    /// Floating-point operations of a run.
    pub fn flops(&self) -> u64 {
        self.total(|i| i.flops)
    }

    /// Bytes read by a run; what is read twice counts twice.
    pub fn bytes_read(&self) -> u64 {
        self.total(|i| i.bytes_read)
    }

    /// Bytes written by a run.
    pub fn bytes_written(&self) -> u64 {
        self.total(|i| i.bytes_written)
    }

    fn total(&self, of: impl Fn(&Instruction) -> u64) -> u64 {
        self.instructions.iter().filter(|i| i.steps.is_none()).map(|i| i.calls * of(i)).sum()
    }
}

/// Lists the instructions of a block.
struct Lister<'a> {
    inner: &'a Inner,
    /// How many loops the block is nested in.
    depth: usize,
    calls: u64,
    prefix: String,
}

impl Lister<'_> {
    fn list(&self, block: &Block, around: Option<(&Shard, usize)>, out: &mut Vec<Instruction>) {
        let nothing = Note::default();
        for (at, instr) in block.code.iter().enumerate() {
            let note = block.note(at).unwrap_or(&nothing);
            let place = format!("{}{at}", self.prefix);
            let (flops, bytes_read, bytes_written) = work(instr, note);
            let own = out.len();
            out.push(Instruction {
                place: place.clone(),
                kind: instr.kind(),
                operations: note.computes.iter().map(|computed| self.operation(computed)).collect(),
                copied: note.copied.as_ref().map(|value| self.text(value)),
                calls: self.calls,
                flops,
                bytes_read,
                bytes_written,
                steps: None,
                packed: matches!((instr, around), (Instr::Gemm(op), Some((shard, steps))) if shard.packs(op, steps)),
                left_loop: note.computes.iter().any(|computed| self.has_left(computed)),
                key: (std::ptr::from_ref(block).addr(), at),
            });
            if let Instr::Loop(inside) = instr {
                let calls = self.calls * inside.steps as u64;
                let prefix = format!("{place}.");
                let lister = Lister { inner: self.inner, depth: self.depth + 1, calls, prefix };
                // A traced plan is one for one thread.
                for shard in &inside.shards {
                    lister.list(&shard.block, Some((shard, inside.steps)), out);
                }
                let (head, body) = out.split_at_mut(own + 1);
                let sum = |of: &dyn Fn(&Instruction) -> u64| {
                    let simple = body.iter().filter(|i| i.steps.is_none());
                    simple.map(|i| i.calls * of(i)).sum::<u64>() / self.calls.max(1)
                };
                let loop_head = &mut head[own];
                (loop_head.flops, loop_head.bytes_read, loop_head.bytes_written) =
                    (sum(&|i| i.flops), sum(&|i| i.bytes_read), sum(&|i| i.bytes_written));
                loop_head.steps = Some(inside.steps);
            }
        }
    }

    /// A value's number and name.
    fn text(&self, value: &Value) -> String {
        let id = value.site.node;
        let whole = &self.inner.nodes[id as usize].shape;
        let part = if value.shape.numel() < whole.numel() { "part of " } else { "" };
        match self.inner.called(id) {
            Some(name) => format!("{part}%{id} '{name}'"),
            None => format!("{part}%{id}"),
        }
    }

    fn operation(&self, computed: &Computed) -> Operation {
        let inner = self.inner;
        Operation {
            name: computed.name,
            value: self.text(&computed.value),
            inputs: computed.inputs.iter().map(|input| self.text(input)).collect(),
            shape: computed.value.shape.clone(),
            pass: inner.pass(computed.value.site.node),
            at: computed.value.site.at,
            stored: computed.stored,
            root: root(inner, computed.value.site.node),
            reads: computed.inputs.iter().map(|input| root(inner, input.site.node)).collect(),
        }
    }

    /// Whether an operation was recorded deeper than it runs. A product after a loop stands for a value of the body.
    fn has_left(&self, computed: &Computed) -> bool {
        let node = &self.inner.nodes[computed.value.site.node as usize];
        let computes = matches!(computed.name, "matmul") || computed.elementwise;
        computes && (self.inner.depth(node.body) > self.depth || matches!(node.op, Op::Tap(_)))
    }
}

/// The node that computes what `id` shows: behind views, and inside of the loop whose result it is.
fn root(inner: &Inner, mut id: NodeId) -> NodeId {
    let scan = |id: NodeId| match inner.nodes[id as usize].op {
        Op::Scan(number) => inner.scans.get(number as usize),
        _ => None,
    };
    loop {
        let node = &inner.nodes[id as usize];
        id = match node.op {
            Op::Reshape(_) | Op::Permute(_) | Op::Expand(_) | Op::Slice(_) | Op::StopGradient | Op::Custom(_) => {
                node.inputs[0]
            }
            Op::Tap(target) => target,
            Op::Final(k) => match scan(node.inputs[0]) {
                Some(def) => def.next[k as usize],
                None => return id,
            },
            Op::Placeholder { body, kind: Port::Item, index } => {
                let around = inner.bodies[body as usize].scan;
                match around.and_then(|around| Some((around, scan(around)?))) {
                    Some((around, def)) => inner.nodes[around as usize].inputs[def.carries.len() + index as usize],
                    None => return id,
                }
            }
            _ => return id,
        };
    }
}

/// Floating-point operations, bytes read and bytes written by one execution. Of a loop: nothing of its own.
fn work(instr: &Instr, note: &Note) -> (u64, u64, u64) {
    let product = |dims: &[usize]| dims.iter().product::<usize>() as u64;
    let computed = |of: &dyn Fn(&Computed) -> usize| note.computes.iter().map(of).sum::<usize>() as u64;
    let stored = || computed(&|c| if c.stored { c.value.bytes() } else { 0 });
    match instr {
        Instr::Tile(_) => {
            let own = |input: &Value| {
                note.computes.iter().any(|c| c.value.place == input.place && c.value.site.node == input.site.node)
            };
            let mut read: Vec<&Value> = Vec::new();
            for input in note.computes.iter().flat_map(|c| &c.inputs) {
                let same = |other: &&Value| other.place == input.place && other.shape == input.shape;
                if input.place.is_some() && !own(input) && !read.iter().any(same) {
                    read.push(input);
                }
            }
            let bytes = read.iter().map(|input| input.bytes() as u64).sum();
            (computed(&|c| c.value.shape.numel()), bytes, stored())
        }
        Instr::Gemm(op) => {
            let size = op.dtype.size() as u64;
            let batch = product(&op.batch);
            let rows = op.m + op.also.iter().map(|left| left.m).sum::<usize>();
            let (m, n, k) = (rows as u64, op.n as u64, op.k as u64);
            (2 * batch * m * n * k, batch * (m * k + k * n) * size, batch * m * n * size)
        }
        Instr::Reduce(op) => {
            let elements = product(&[op.shape.outer.0, op.shape.reduced.0, op.shape.inner]);
            let size = op.dtype.size() as u64;
            (elements, elements * size, product(&[op.shape.outer.0, op.shape.inner]) * size)
        }
        Instr::Copy { dtype, dims, .. } => {
            let bytes = product(dims) * dtype.size() as u64;
            (0, bytes, bytes)
        }
        Instr::Cast { from, to, len } => (0, (len * from.0.size()) as u64, (len * to.0.size()) as u64),
        Instr::Random { dtype, len, .. } => (0, 0, (len * dtype.size()) as u64),
        Instr::Gather(op) | Instr::ScatterAdd(op) => {
            let elements = op.index_shape.numel();
            let values = (elements * op.dtype.size()) as u64;
            let adds = matches!(instr, Instr::ScatterAdd(_)) as u64;
            (adds * elements as u64, elements as u64 * 8 + values * (1 + adds), values)
        }
        Instr::Along(op) => {
            let (elements, (dtype, written)) = (op.lines.len(), op.result());
            let adds = if op.what.gives_indices() { 0 } else { elements as u64 };
            (adds, (elements * op.dtype.size()) as u64, (written * dtype.size()) as u64)
        }
        Instr::Opaque(op) => {
            let bytes = |(dtype, shape, ..): &(DType, Shape, Buf, usize)| (shape.numel() * dtype.size()) as u64;
            (0, op.inputs.iter().map(bytes).sum(), bytes(&op.out))
        }
        Instr::Loop(_) => (0, 0, 0),
    }
}
