//! Instructions, buffers and blocks: the form in which a program runs.

use super::index::IndexInstr;
use super::lines::LineInstr;
use super::opaque::OpaqueInstr;
use super::trace::Note;
use crate::dtype::DType;
use crate::ops::Random;
use crate::shape::{Shape, Strides};
use smallvec::SmallVec;
use std::sync::Arc;
use wengert_kernels::{Blocks, MAX_AXES, Path, ReduceShape, Reduction, TileProgram};

/// The number of a buffer in its block.
pub(crate) type Buf = usize;

/// Straight-line code over buffers: a program, or the body of a loop.
pub(crate) struct Block {
    pub buffers: Vec<Home>,
    pub code: Vec<Instr>,
    /// Bytes of arena that the block's temporary buffers share.
    pub arena_bytes: usize,
    /// Element type and number of elements of each output buffer.
    pub outputs: Vec<(DType, usize)>,
    /// Where each port of a body (inputs, then outputs) is: a buffer number.
    pub ports: Vec<Buf>,
    /// The numbers of the structure and of the run that the code reads.
    pub numbers: Vec<(Number, DType)>,
    /// What each instruction is for, if the plan is traced.
    pub notes: Vec<Note>,
}

/// Where a buffer lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// In the block's part of the arena, at a byte offset.
    Arena(usize),
    /// A leaf of the tape.
    Leaf(u32),
    /// An output of the program.
    Output(usize),
    /// A port of the body, placed by the loop at each step.
    Port,
    /// A number.
    Number(usize),
}

/// A number that the code reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    /// Part of the structure.
    Literal(f64),
    /// Leaf `ordinal` of the tape.
    Bound(u32),
}

/// Where an asked value is found in an output buffer or leaf.
pub(crate) struct OutputView {
    pub source: Home,
    pub shape: Shape,
    pub strides: Strides,
    pub offset: usize,
}

/// One instruction.
pub(crate) enum Instr {
    Tile(TileInstr),
    Gemm(Gemm),
    Reduce(ReduceInstr),
    /// `dst[i] = src[i]` over `dims`; buffer, element offset and strides of both.
    Copy {
        dtype: DType,
        dims: Vec<usize>,
        src: (Buf, usize, Vec<usize>),
        dst: (Buf, usize, Vec<usize>),
    },
    /// Conversion of `len` adjacent elements.
    Cast {
        from: (DType, Buf, usize),
        to: (DType, Buf, usize),
        len: usize,
    },
    /// Random numbers: inputs (key, or key and number) and result, by buffer and element offset.
    Random {
        op: Random,
        dtype: DType,
        inputs: SmallVec<[(Buf, usize); 2]>,
        out: (Buf, usize),
        len: usize,
    },
    Gather(IndexInstr),
    ScatterAdd(IndexInstr),
    Along(LineInstr),
    Opaque(OpaqueInstr),
    Loop(LoopInstr),
}

/// A tile program for one lane type.
pub(crate) enum AnyTile {
    F32(TileProgram<f32>),
    F64(TileProgram<f64>),
    I64(TileProgram<i64>),
}

/// A fused elementwise group.
pub(crate) struct TileInstr {
    pub program: AnyTile,
    pub inputs: Vec<TileInput>,
    /// Output buffers: element type, buffer, first element and number of elements that are written.
    pub outputs: Vec<(DType, Buf, usize, usize)>,
}

#[derive(Clone, Copy)]
pub(crate) struct TileInput {
    pub dtype: DType,
    pub buf: Buf,
    pub offset: usize,
    /// Elements from the first to the last that is read.
    pub extent: usize,
}

/// Rows, left operand and result of a product, as in [`Gemm`].
pub(crate) struct Left {
    pub m: usize,
    pub a: (Buf, usize, (usize, usize)),
    pub c: (Buf, usize, usize),
}

/// `c = a·b` for every index of `batch`; operands as buffer, element offset, (row, column) strides.
pub(crate) struct Gemm {
    pub dtype: DType,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a: (Buf, usize, (usize, usize)),
    pub b: (Buf, usize, (usize, usize)),
    /// Buffer, offset, row stride; columns are adjacent.
    pub c: (Buf, usize, usize),
    /// Further products with the same right operand: rows, left operand, result.
    pub also: Vec<Left>,
    pub batch: Vec<usize>,
    /// Element strides of a, b and c along the batch axes.
    pub steps: [Vec<usize>; 3],
    pub blocks: Blocks,
}

#[derive(Clone, Copy)]
pub(crate) struct ReduceInstr {
    pub dtype: DType,
    pub kind: Reduction,
    pub shape: ReduceShape,
    pub src: (Buf, usize),
    pub dst: (Buf, usize),
    pub blocks: Blocks,
}

/// A loop: `steps` runs of a block, whose ports move through the buffers of the block around it. Several shards, which
/// run on threads of their own, take a part of the rows each.
pub(crate) struct LoopInstr {
    pub steps: usize,
    /// Whether the last step in time comes first.
    pub reverse: bool,
    /// The number of the first step.
    pub first: usize,
    /// If a run of the block is a segment of a loop: its steps.
    pub span: Option<usize>,
    pub shards: Vec<Shard>,
}

/// All steps of a loop for some of its rows.
pub(crate) struct Shard {
    pub block: Arc<Block>,
    /// The arena of the body, a buffer of the block around.
    pub arena: Buf,
    pub ports: Vec<Moving>,
}

/// The place of a port: a byte offset in a buffer that moves from step to step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moving {
    pub buf: Buf,
    /// Byte offset at the first step.
    pub start: usize,
    pub path: Path,
}

impl Block {
    /// Whether a loop over the block can run as a script: its instructions cannot fail, and each is one call.
    pub(crate) fn is_script(&self) -> bool {
        self.code.iter().all(|instr| match instr {
            Instr::Tile(_) | Instr::Copy { .. } => true,
            Instr::Reduce(op) => op.blocks == Blocks::default(),
            Instr::Along(op) => op.dtype != DType::Bool,
            Instr::Gemm(op) => {
                let plain = op.also.is_empty() && op.blocks == Blocks::default();
                op.m * op.n > 0 && op.batch.len() < MAX_AXES && plain
            }
            _ => false,
        })
    }

    /// About the nanoseconds that a run takes.
    pub(crate) fn cost(&self) -> usize {
        let one = |instr: &Instr| match instr {
            Instr::Gemm(op) => 2 * op.m * op.n * op.k * op.batch.iter().product::<usize>() / 100,
            Instr::Tile(tile) => match &tile.program {
                AnyTile::F32(program) => program.work() / 12,
                AnyTile::F64(program) => program.work() / 6,
                AnyTile::I64(program) => program.work() / 6,
            },
            _ => 0,
        };
        self.code.iter().map(one).sum()
    }
}

impl Gemm {
    /// Whether its kernel reads a packed right operand.
    pub(crate) fn can_be_packed(&self) -> bool {
        self.blocks == Blocks::default() && self.batch.is_empty() && self.m * self.n * self.k > 0
    }
}

impl Shard {
    /// Whether the right operand of one of its products is packed before the first of some steps: it is the same
    /// matrix at every step, and there are enough of them.
    pub(crate) fn packs(&self, op: &Gemm, steps: usize) -> bool {
        const FEWEST: usize = 3;
        let port = self.block.ports.iter().position(|buf| *buf == op.b.0);
        let still = port.is_some_and(|port| matches!(self.ports[port].path, Path::Still));
        still && steps >= FEWEST && op.can_be_packed()
    }
}

impl Instr {
    /// Calls `visit` for every buffer of the block that the instruction touches.
    pub(crate) fn visit_buffers(&self, visit: &mut dyn FnMut(Buf)) {
        self.visit_operands(&mut |buf, _| visit(buf));
    }

    /// Calls `visit` for every buffer of the block that the instruction touches; true: it may write it.
    pub(crate) fn visit_operands(&self, visit: &mut dyn FnMut(Buf, bool)) {
        match self {
            Instr::Tile(tile) => {
                tile.inputs.iter().for_each(|input| visit(input.buf, false));
                tile.outputs.iter().for_each(|output| visit(output.1, true));
            }
            Instr::Gemm(gemm) => {
                visit(gemm.a.0, false);
                visit(gemm.b.0, false);
                gemm.also.iter().for_each(|left| visit(left.a.0, false));
                visit(gemm.c.0, true);
                gemm.also.iter().for_each(|left| visit(left.c.0, true));
            }
            Instr::Reduce(ReduceInstr { src, dst, .. }) | Instr::Along(LineInstr { src, dst, .. }) => {
                visit(src.0, false);
                visit(dst.0, true);
            }
            Instr::Copy { src, dst, .. } => {
                visit(src.0, false);
                visit(dst.0, true);
            }
            Instr::Cast { from, to, .. } => {
                visit(from.1, false);
                visit(to.1, true);
            }
            Instr::Random { inputs, out, .. } => {
                inputs.iter().for_each(|input| visit(input.0, false));
                visit(out.0, true);
            }
            Instr::Gather(op) | Instr::ScatterAdd(op) => {
                let gathers = matches!(self, Instr::Gather(_));
                visit(op.table.buf, !gathers);
                visit(op.index.buf, false);
                visit(op.values.buf, gathers);
            }
            Instr::Opaque(op) => {
                op.inputs.iter().for_each(|input| visit(input.2, false));
                visit(op.out.2, true);
            }
            // Which of its ports are written only its body knows.
            Instr::Loop(inside) => {
                for shard in &inside.shards {
                    visit(shard.arena, true);
                    shard.ports.iter().for_each(|port| visit(port.buf, true));
                }
            }
        }
    }
}

/// The number of elements from the first to the last of a strided view.
pub(crate) fn extent(dims: &[usize], strides: &[usize]) -> usize {
    if dims.contains(&0) {
        return 0;
    }
    1 + dims.iter().zip(strides).map(|(n, s)| (n - 1) * s).sum::<usize>()
}

/// Merges adjacent axes that every operand steps through evenly; drops axes of extent 1.
pub(crate) fn merge_axes(dims: &[usize], operands: &mut [&mut Vec<usize>]) -> Vec<usize> {
    let mut out: SmallVec<[usize; 8]> = SmallVec::new();
    let mut kept: Vec<SmallVec<[usize; 8]>> = vec![SmallVec::new(); operands.len()];
    for axis in 0..dims.len() {
        if dims[axis] == 1 {
            continue;
        }
        let joins =
            !out.is_empty() && operands.iter().zip(&kept).all(|(s, k)| k.last().copied() == Some(s[axis] * dims[axis]));
        if joins {
            *out.last_mut().expect("just checked") *= dims[axis];
            for (s, k) in operands.iter().zip(&mut kept) {
                *k.last_mut().expect("one stride an axis") = s[axis];
            }
        } else {
            out.push(dims[axis]);
            for (s, k) in operands.iter().zip(&mut kept) {
                k.push(s[axis]);
            }
        }
    }
    for (s, k) in operands.iter_mut().zip(kept) {
        **s = k.to_vec();
    }
    out.to_vec()
}
