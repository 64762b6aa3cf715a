//! Execution: instructions over the memory of one run.

use super::Program;
use super::code::{AnyTile, Block, Buf, Gemm, Home, Instr, Left, Number, TileInput, TileInstr, extent};
use super::packs::{Packed, Spare};
use super::trace::{Values, Watch};
use crate::dtype::DType;
use crate::error::Result;
use crate::ops::Random;
use crate::storage::Version;
use crate::tape::LeafValue;
use crate::tensor::{Buffer, Tensor, with_buffer};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::sync::Arc;
use wengert_kernels::gemm::{GemmElem, Mat, MatMut, PackedB, gemm_packed_all, gemm_shared};
use wengert_kernels::{
    Access, Arena, InputData, Memory, Num, Output, Pod, Scratch, Span, copy, fold_in, reduce_shared, uniform_f32,
    uniform_f64,
};

/// Memory that a thread keeps between runs.
#[derive(Default)]
struct Workspace {
    arena: Arena,
    scratch: Vec<Scratch>,
    packs: Spare,
}

thread_local! {
    static WORKSPACE: RefCell<Workspace> = RefCell::default();
}

/// The memory of a leaf, given to an output that may replace it (see [`donate`](super::donate)).
pub(super) struct Donation {
    pub output: usize,
    pub leaf: u32,
    /// Held by nobody else, or it is copied first; as long as the output.
    pub memory: Buffer,
}

/// Runs a program, watched or not, with the packed right operands of its products, as far as there are, and with leaves
/// whose memory outputs take; gives the asked values in order.
pub(super) fn run(
    program: &Program,
    leaves: &[LeafValue],
    packs: &[Option<Packed>],
    donations: Vec<Donation>,
    watch: Option<&mut dyn Watch>,
) -> Result<Vec<Tensor>> {
    // Taken, not borrowed: a run inside of a run (a custom operation's closure) gets a workspace of its own.
    let mut workspace = WORKSPACE.with(|kept| kept.take());
    let result = run_in(&mut workspace, program, leaves, packs, donations, watch);
    WORKSPACE.with(|kept| *kept.borrow_mut() = workspace);
    result
}

/// The bytes that a program allocates: its arena, packed matrices and what was asked.
pub(super) fn bytes(program: &Program) -> usize {
    let block = &program.block;
    let outputs = block.outputs.iter().map(|(dtype, len)| len.saturating_mul(dtype.size()));
    outputs.fold(block.arena_bytes.saturating_add(block.packed_bytes()), usize::saturating_add)
}

/// The bytes of packed matrices that the thread keeps for the next loop.
#[cfg(test)]
pub(crate) fn spare_bytes() -> usize {
    WORKSPACE.with(|kept| kept.borrow().packs.bytes())
}

fn run_in(
    workspace: &mut Workspace,
    program: &Program,
    leaves: &[LeafValue],
    packs: &[Option<Packed>],
    donations: Vec<Donation>,
    watch: Option<&mut dyn Watch>,
) -> Result<Vec<Tensor>> {
    let block = &program.block;
    let mut given: SmallVec<[(usize, u32); 8]> = SmallVec::new();
    let mut own: SmallVec<[Option<Buffer>; 8]> = block.outputs.iter().map(|_| None).collect();
    for Donation { output, leaf, memory } in donations {
        given.push((output, leaf));
        own[output] = Some(memory);
    }
    let spare =
        |(own, (dtype, len)): (Option<Buffer>, &(DType, usize))| own.unwrap_or_else(|| Buffer::spare(*dtype, *len));
    let mut outputs: Vec<Buffer> = own.into_iter().zip(&block.outputs).map(spare).collect();
    let numbers: Vec<i64> = block.numbers.iter().map(|(number, dtype)| word(number, *dtype, leaves)).collect();

    let mut memory = Memory::new();
    let bytes = workspace.arena.bytes(block.arena_bytes);
    // In tests, what is read before it is written, or handed out without being written, is NaN.
    #[cfg(test)]
    {
        bytes.fill(0xff);
        let fresh = outputs.iter_mut().enumerate().filter(|(i, _)| given.iter().all(|(output, _)| output != i));
        fresh.for_each(|(_, buffer)| match buffer {
            Buffer::Bool(v) => Arc::make_mut(v).fill(0xff),
            Buffer::I64(v) => Arc::make_mut(v).fill(-1),
            Buffer::F32(v) => Arc::make_mut(v).fill(f32::NAN),
            Buffer::F64(v) => Arc::make_mut(v).fill(f64::NAN),
        });
    }
    let mut shared: SmallVec<[(u32, u32); 16]> = SmallVec::new();
    let arena = memory.lend(bytes);
    let number_region = memory.share(&numbers);
    let output_regions: Vec<u32> =
        outputs.iter_mut().map(|buffer| with_buffer!(buffer, v => memory.lend(&mut Arc::make_mut(v)[..]))).collect();
    let frame: Frame = block
        .buffers
        .iter()
        .map(|home| match *home {
            Home::Arena(offset) => Address { region: arena, byte: offset },
            Home::Number(index) => Address { region: number_region, byte: index * 8 },
            Home::Output(index) => Address { region: output_regions[index], byte: 0 },
            Home::Leaf(ordinal) => {
                if let Some((output, _)) = given.iter().find(|(_, leaf)| *leaf == ordinal) {
                    return Address { region: output_regions[*output], byte: 0 };
                }
                let (buffer, offset) = leaf(leaves, ordinal).parts();
                let region = with_buffer!(buffer, v => memory.share(&v[..]));
                shared.push((region, ordinal));
                Address { region, byte: offset * leaf(leaves, ordinal).dtype().size() }
            }
            Home::Port => unreachable!("a program has no ports"),
        })
        .collect();
    let Workspace { scratch, packs: spare, .. } = workspace;
    let mut machine = Machine { memory, shared, scratch, spare, leaves, watch, first_step: 0 };
    let packs: SmallVec<[Option<&Packed>; 16]> = packs.iter().map(Option::as_ref).collect();
    machine.block(block, &frame, &packs)?;
    drop(machine);

    Ok(program
        .outputs
        .iter()
        .map(|view| {
            let (buffer, base) = match view.source {
                Home::Output(index) => (outputs[index].clone(), 0),
                Home::Leaf(ordinal) => {
                    let (buffer, offset) = leaf(leaves, ordinal).parts();
                    (buffer.clone(), offset)
                }
                _ => unreachable!("asked values are outputs or leaves"),
            };
            Tensor::view(buffer, view.shape.clone(), view.strides.clone(), base + view.offset)
        })
        .collect())
}

pub(super) fn leaf(leaves: &[LeafValue], ordinal: u32) -> &Tensor {
    match &leaves[ordinal as usize] {
        LeafValue::Tensor(tensor) => tensor,
        _ => unreachable!("a number or a function is not a tensor leaf"),
    }
}

/// A number as the eight bytes that the code reads.
fn word(number: &Number, dtype: DType, leaves: &[LeafValue]) -> i64 {
    let value = match *number {
        Number::Literal(value) => value,
        Number::Bound(ordinal) => match &leaves[ordinal as usize] {
            LeafValue::Number(value) => *value,
            _ => unreachable!("a tensor leaf is not a number"),
        },
    };
    let mut bytes = [0; 8];
    match dtype {
        DType::F32 => bytes[..4].copy_from_slice(&(value as f32).to_ne_bytes()),
        DType::F64 => bytes.copy_from_slice(&value.to_ne_bytes()),
        DType::I64 => bytes.copy_from_slice(&(value as i64).to_ne_bytes()),
        DType::Bool => bytes[0] = (value != 0.0) as u8,
    }
    i64::from_ne_bytes(bytes)
}

/// Where a buffer starts.
#[derive(Clone, Copy, Default)]
pub(super) struct Address {
    pub region: u32,
    pub byte: usize,
}

pub(super) type Frame = Vec<Address>;

pub(super) fn span(frame: &[Address], dtype: DType, buf: Buf, offset: usize, len: usize) -> Span {
    let at = frame[buf];
    Span { region: at.region, start: at.byte + offset * dtype.size(), bytes: len * dtype.size() }
}

pub(super) struct Machine<'m, 's, 'w> {
    pub memory: Memory<'m>,
    /// The regions that are leaves, and which.
    pub shared: SmallVec<[(u32, u32); 16]>,
    pub scratch: &'s mut Vec<Scratch>,
    pub spare: &'s mut Spare,
    pub leaves: &'m [LeafValue],
    pub watch: Option<&'w mut dyn Watch>,
    /// The step of the recording at which a loop in the present block begins.
    pub first_step: usize,
}

impl Machine<'_, '_, '_> {
    /// The version of what a region holds, if that is a leaf's buffer, which does not change during the run.
    pub(super) fn version(&self, region: u32) -> Option<Version> {
        let (_, ordinal) = self.shared.iter().find(|(shared, _)| *shared == region)?;
        Some(leaf(self.leaves, *ordinal).parts().0.version())
    }

    /// Runs a block; `packs` holds the packed right operands of its products, by instruction.
    pub(super) fn block(&mut self, block: &Block, frame: &[Address], packs: &[Option<&Packed>]) -> Result<()> {
        let mut done = 0;
        for (at, instr) in block.code.iter().enumerate() {
            if at < done {
                continue;
            }
            if let Some(watch) = &mut self.watch {
                watch.before(block, at);
            }
            match instr {
                Instr::Tile(tile) => self.tile(tile, frame),
                Instr::Gemm(op) => match (op.dtype, packs.get(at)) {
                    (DType::F64, Some(Some(_))) => {
                        done = at + self.packed::<f64>(&block.code[at..], &packs[at..], frame)
                    }
                    (_, Some(Some(_))) => done = at + self.packed::<f32>(&block.code[at..], &packs[at..], frame),
                    (DType::F64, _) => self.gemm::<f64>(op, frame),
                    _ => self.gemm::<f32>(op, frame),
                },
                Instr::Reduce(op) => {
                    let shape = op.shape;
                    let kept = shape.outer.0 * shape.inner;
                    let dims = [shape.outer.0, shape.reduced.0, shape.inner];
                    let strides = [shape.outer.1, shape.reduced.1, 1];
                    let writes = [span(frame, op.dtype, op.dst.0, op.dst.1, kept)];
                    let from = span(frame, op.dtype, op.src.0, op.src.1, extent(&dims, &strides));
                    let mut access = self.memory.open(&writes);
                    match op.dtype {
                        DType::F64 => {
                            reduce_shared(op.kind, shape, op.blocks, access.take::<f64>(0), access.read(from))
                        }
                        DType::I64 => {
                            reduce_shared(op.kind, shape, op.blocks, access.take::<i64>(0), access.read(from))
                        }
                        _ => reduce_shared(op.kind, shape, op.blocks, access.take::<f32>(0), access.read(from)),
                    }
                }
                Instr::Copy { dtype, dims, src, dst } => {
                    let writes = [span(frame, *dtype, dst.0, dst.1, extent(dims, &dst.2))];
                    let from = span(frame, *dtype, src.0, src.1, extent(dims, &src.2));
                    let mut access = self.memory.open(&writes);
                    match dtype {
                        DType::Bool => copy(dims, access.take::<u8>(0), &dst.2, access.read(from), &src.2),
                        DType::F32 => copy(dims, access.take::<f32>(0), &dst.2, access.read(from), &src.2),
                        DType::F64 => copy(dims, access.take::<f64>(0), &dst.2, access.read(from), &src.2),
                        DType::I64 => copy(dims, access.take::<i64>(0), &dst.2, access.read(from), &src.2),
                    }
                }
                Instr::Cast { from, to, len } => {
                    let writes = [span(frame, to.0, to.1, to.2, *len)];
                    let source = span(frame, from.0, from.1, from.2, *len);
                    cast(self.memory.open(&writes), (from.0, source), to.0);
                }
                Instr::Random { op, dtype, inputs, out, len } => {
                    let one = |at: (Buf, usize)| self.memory.read::<i64>(span(frame, DType::I64, at.0, at.1, 1))[0];
                    let key = one(inputs[0]);
                    let data = inputs.get(1).map(|at| one(*at));
                    let writes = [span(frame, *dtype, out.0, out.1, *len)];
                    let mut access = self.memory.open(&writes);
                    match (op, data, dtype) {
                        (Random::FoldIn, Some(data), _) => access.take::<i64>(0)[0] = fold_in(key, data),
                        (_, _, DType::F64) => uniform_f64(key, access.take(0)),
                        _ => uniform_f32(key, access.take(0)),
                    }
                }
                Instr::Gather(op) => op.gather(&mut self.memory, frame)?,
                Instr::ScatterAdd(op) => op.scatter_add(&mut self.memory, frame)?,
                Instr::Along(op) => {
                    let ((dtype, len), (to, from)) = (op.result(), (op.dst, op.src));
                    let from = span(frame, op.dtype, from.0, from.1, op.lines.len());
                    op.run(self.memory.open(&[span(frame, dtype, to.0, to.1, len)]), from);
                }
                Instr::Opaque(op) => {
                    op.run(self.leaves, &mut self.memory, |at| span(frame, at.0, at.2, at.3, at.1.numel()))?;
                }
                Instr::Loop(inside) => self.steps(inside, frame)?,
            }
            if let Some(watch) = &mut self.watch {
                let buffer = &|buf: Buf| (frame[buf].region, frame[buf].byte);
                watch.after(block, at, &Values { memory: &self.memory, buffer })?;
            }
        }
        Ok(())
    }

    fn tile(&mut self, tile: &TileInstr, frame: &[Address]) {
        let writes: SmallVec<[Span; 8]> =
            tile.outputs.iter().map(|(dtype, buf, offset, len)| span(frame, *dtype, *buf, *offset, *len)).collect();
        let access = self.memory.open(&writes);
        let scratch = &mut *self.scratch;
        match &tile.program {
            AnyTile::F32(program) => {
                let (inputs, mut outputs) = operands::<f32>(tile, frame, access);
                program.run(scratch, &inputs, &mut outputs);
            }
            AnyTile::F64(program) => {
                let (inputs, mut outputs) = operands::<f64>(tile, frame, access);
                program.run(scratch, &inputs, &mut outputs);
            }
            AnyTile::I64(program) => {
                let (inputs, mut outputs) = operands::<i64>(tile, frame, access);
                program.run(scratch, &inputs, &mut outputs);
            }
        }
    }

    fn gemm<E: GemmElem + Pod>(&mut self, op: &Gemm, frame: &[Address]) {
        if op.m * op.n == 0 {
            return;
        }
        let whole = Left { m: op.m, a: op.a, c: op.c };
        let mut one = |at: [usize; 3]| {
            let lefts = || std::iter::once(&whole).chain(&op.also);
            let writes: SmallVec<[Span; 2]> = lefts()
                .map(|left| span(frame, op.dtype, left.c.0, left.c.1 + at[2], extent(&[left.m, op.n], &[left.c.2, 1])))
                .collect();
            let mut access = self.memory.open(&writes);
            let items = lefts()
                .enumerate()
                .map(|(i, Left { m, a, c })| {
                    let reach = extent(&[*m, op.k], &[a.2.0, a.2.1]);
                    let data = access.read::<E>(span(frame, op.dtype, a.0, a.1 + at[0], reach));
                    let c = MatMut::new(access.take::<E>(i), *m, op.n, c.2);
                    (Mat::new(data, *m, op.k, a.2.0, a.2.1), c)
                })
                .collect();
            let reach = extent(&[op.k, op.n], &[op.b.2.0, op.b.2.1]);
            let b = access.read::<E>(span(frame, op.dtype, op.b.0, op.b.1 + at[1], reach));
            gemm_shared(items, Mat::new(b, op.k, op.n, op.b.2.0, op.b.2.1), op.blocks);
        };
        if op.batch.is_empty() {
            one([0; 3]);
        } else {
            // One call a batch entry: the walk's last axis is made of single steps.
            let dims: SmallVec<[usize; 6]> = op.batch.iter().copied().chain([1]).collect();
            let steps: [SmallVec<[usize; 6]>; 3] =
                std::array::from_fn(|i| op.steps[i].iter().copied().chain([0]).collect());
            wengert_kernels::for_each_row(&dims, [&steps[0][..], &steps[1], &steps[2]], one);
        }
    }

    /// Runs the first instruction, a product with a packed right operand, and such as follow and do not depend on those before: threads
    /// share them as a whole. Gives their number.
    fn packed<E: GemmElem + Pod + InPack>(
        &mut self,
        code: &[Instr],
        packs: &[Option<&Packed>],
        frame: &[Address],
    ) -> usize {
        /// At most so many: each is compared with each.
        const MOST: usize = 16;
        let mut products: SmallVec<[(&Gemm, &PackedB<E>, Span); 4]> = SmallVec::new();
        let mut writes: SmallVec<[Span; 4]> = SmallVec::new();
        for (instr, packed) in code.iter().zip(packs).take(MOST) {
            let (Instr::Gemm(op), Some(Some(b))) = (instr, packed.map(E::of)) else { break };
            let a = span(frame, op.dtype, op.a.0, op.a.1, extent(&[op.m, op.k], &[op.a.2.0, op.a.2.1]));
            let c = span(frame, op.dtype, op.c.0, op.c.1, extent(&[op.m, op.n], &[op.c.2, 1]));
            let free = writes.iter().all(|write| !write.overlaps(&a) && !write.overlaps(&c));
            // Whoever watches looks at every instruction.
            let watched = self.watch.is_some() && !products.is_empty();
            if watched || !free || products.iter().any(|(_, _, a)| a.overlaps(&c)) {
                break;
            }
            products.push((op, b, a));
            writes.push(c);
        }
        let mut access = self.memory.open(&writes);
        let operands = products.iter().enumerate().map(|(i, (op, b, a))| {
            let c = MatMut::new(access.take::<E>(i), op.m, op.n, op.c.2);
            (Mat::new(access.read::<E>(*a), op.m, op.k, op.a.2.0, op.a.2.1), *b, c)
        });
        gemm_packed_all(operands.collect());
        products.len()
    }
}

/// An element type of packed matrices.
trait InPack: Sized {
    fn of(packed: &Packed) -> Option<&PackedB<Self>>;
}

impl InPack for f32 {
    fn of(packed: &Packed) -> Option<&PackedB<f32>> {
        if let Packed::F32(b) = packed { Some(b) } else { None }
    }
}

impl InPack for f64 {
    fn of(packed: &Packed) -> Option<&PackedB<f64>> {
        if let Packed::F64(b) = packed { Some(b) } else { None }
    }
}

type Operands<'a, E> = (SmallVec<[InputData<'a, E>; 8]>, SmallVec<[Output<'a, E>; 8]>);

fn operands<'a, E: Num + Pod>(tile: &'a TileInstr, frame: &[Address], mut access: Access<'a>) -> Operands<'a, E> {
    let outputs = (0..tile.outputs.len())
        .map(|i| match tile.outputs[i].0 {
            DType::Bool => Output::Bools(access.take(i)),
            _ => Output::Lanes(access.take(i)),
        })
        .collect();
    let inputs = tile
        .inputs
        .iter()
        .map(|TileInput { dtype, buf, offset, extent }| {
            let at = span(frame, *dtype, *buf, *offset, *extent);
            // The memory of a leaf that an output has taken.
            if let Some(output) = access.writes().iter().position(|write| *write == at) {
                return InputData::Replaced(output);
            }
            match dtype {
                DType::Bool => InputData::Bools(access.read(at)),
                _ => InputData::Lanes(access.read(at)),
            }
        })
        .collect();
    (inputs, outputs)
}

fn cast(mut access: Access<'_>, (from, source): (DType, Span), to: DType) {
    macro_rules! to {
        ($values:expr) => {{
            let values = $values;
            match to {
                DType::Bool => zip(access.take::<u8>(0), values, |v| (v != Default::default()) as u8),
                DType::I64 => zip(access.take::<i64>(0), values, |v| v as i64),
                DType::F32 => zip(access.take::<f32>(0), values, |v| v as f32),
                DType::F64 => zip(access.take::<f64>(0), values, |v| v as f64),
            }
        }};
    }
    match from {
        DType::Bool => to!(access.read::<u8>(source)),
        DType::I64 => to!(access.read::<i64>(source)),
        DType::F32 => to!(access.read::<f32>(source)),
        DType::F64 => to!(access.read::<f64>(source)),
    }
}

fn zip<A: Copy, B>(out: &mut [B], values: &[A], convert: impl Fn(A) -> B) {
    out.iter_mut().zip(values).for_each(|(o, v)| *o = convert(*v));
}
