//! Packed matrices: right operands of products that a loop reads at every step.

use super::code::{Block, Buf, Gemm, Instr, LoopInstr, Shard, extent};
use super::run::{Address, span};
use crate::dtype::DType;
use crate::tensor::{Buffer, Tensor};
use std::ops::Range;
use wengert_kernels::gemm::{GemmElem, Mat, PackedB};
use wengert_kernels::{Memory, Pod, Span};

/// The right operand of a product, in the layout its kernel wants.
pub(super) enum Packed {
    F32(PackedB<f32>),
    F64(PackedB<f64>),
}

impl Packed {
    /// The right operand of a product, which lies in a leaf.
    pub(super) fn leaf(leaf: &Tensor, op: &Gemm) -> Packed {
        let (buffer, base) = leaf.parts();
        let from = base + op.b.1;
        let (rows, cols) = op.b.2;
        match buffer {
            Buffer::F32(v) => Packed::F32(PackedB::pack_rows(Mat::new(&v[from..], op.k, op.n, rows, cols), op.m)),
            Buffer::F64(v) => Packed::F64(PackedB::pack_rows(Mat::new(&v[from..], op.k, op.n, rows, cols), op.m)),
            Buffer::Bool(_) | Buffer::I64(_) => unreachable!("products are of floats"),
        }
    }

    /// The bytes that the right operand of a product takes when it is packed.
    fn bytes_for(op: &Gemm) -> usize {
        match op.dtype {
            DType::F64 => PackedB::<f64>::bytes_for(op.k, op.n, op.m),
            _ => PackedB::<f32>::bytes_for(op.k, op.n, op.m),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Packed::F32(packed) => packed.bytes(),
            Packed::F64(packed) => packed.bytes(),
        }
    }
}

/// The packed matrices of a loop.
#[derive(Default)]
pub(super) struct Packs(Vec<(PackKey, Packed)>);

/// Place, element type, and extents and strides.
type PackKey = (Span, DType, [usize; 4]);

impl Packs {
    /// The number of the packed right operand of a product in a loop, if it is the same matrix at every step.
    pub(super) fn number(
        &mut self,
        instr: &Instr,
        shard: &Shard,
        steps: usize,
        body: &[Address],
        memory: &Memory<'_>,
        spare: &mut Spare,
    ) -> Option<usize> {
        let Instr::Gemm(op) = instr else { return None };
        if !shard.packs(op, steps) {
            return None;
        }
        let (rows, cols) = op.b.2;
        let b = span(body, op.dtype, op.b.0, op.b.1, extent(&[op.k, op.n], &[rows, cols]));
        let key = (b, op.dtype, [op.k, op.n, rows, cols]);
        if let Some(known) = self.0.iter().position(|(other, _)| *other == key) {
            return Some(known);
        }
        let packed = match (op.dtype, spare.take(op)) {
            (DType::F64, Some(Packed::F64(own))) => Packed::F64(pack(Some(own), memory, b, op)),
            (DType::F64, _) => Packed::F64(pack(None, memory, b, op)),
            (_, Some(Packed::F32(own))) => Packed::F32(pack(Some(own), memory, b, op)),
            _ => Packed::F32(pack(None, memory, b, op)),
        };
        self.0.push((key, packed));
        Some(self.0.len() - 1)
    }

    pub(super) fn get(&self, number: usize) -> &Packed {
        &self.0[number].1
    }
}

/// The right operand of a product, which lies at `b`, packed in memory of its own or that of another.
fn pack<E: GemmElem + Pod>(memory_of: Option<PackedB<E>>, memory: &Memory<'_>, b: Span, op: &Gemm) -> PackedB<E> {
    let matrix = Mat::new(memory.read(b), op.k, op.n, op.b.2.0, op.b.2.1);
    match memory_of {
        Some(mut packed) => {
            packed.repack(matrix, op.m);
            packed
        }
        None => PackedB::pack_rows(matrix, op.m),
    }
}

/// Packed matrices of loops that have ended, whose memory the next loop takes. A loop in segments runs the same two loops
/// for every segment: memory that went back to the allocator each time would stay with it in pieces.
#[derive(Default)]
pub(super) struct Spare(Vec<Packed>);

impl Spare {
    /// Memory for the right operand of a product: the smallest that suffices. If none does, the largest is given up, so that
    /// ever larger ones do not pile up.
    fn take(&mut self, op: &Gemm) -> Option<Packed> {
        let bytes = Packed::bytes_for(op);
        let suffices =
            |packed: &Packed| packed.bytes() >= bytes && matches!(packed, Packed::F64(_)) == (op.dtype == DType::F64);
        let all = self.0.iter().enumerate();
        match all.filter(|(_, packed)| suffices(packed)).min_by_key(|(_, packed)| packed.bytes()) {
            Some((at, _)) => Some(self.0.swap_remove(at)),
            None => {
                if let Some(largest) = (0..self.0.len()).max_by_key(|at| self.0[*at].bytes()) {
                    self.0.swap_remove(largest);
                }
                None
            }
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(Packed::bytes).sum()
    }

    pub(super) fn give(&mut self, packs: Packs) {
        self.0.extend(packs.0.into_iter().map(|(_, packed)| packed));
    }
}

/// The bytes of the right operands that a loop packs in a block: of those products that it `packs`, whose operands lie in ports
/// at the given places. Operands are counted once, so those that are `known` are not.
fn own_bytes(
    block: &Block,
    packs: impl Fn(&Gemm) -> bool,
    place: impl Fn(usize) -> (Buf, usize),
    known: &mut Vec<(Buf, usize, DType, [usize; 4])>,
) -> usize {
    let mut bytes = 0;
    for instr in &block.code {
        let Instr::Gemm(op) = instr else { continue };
        let Some(port) = block.ports.iter().position(|buf| *buf == op.b.0).filter(|_| packs(op)) else { continue };
        let (buf, start) = place(port);
        let key = (buf, start + op.b.1 * op.dtype.size(), op.dtype, [op.k, op.n, op.b.2.0, op.b.2.1]);
        if !known.contains(&key) {
            known.push(key);
            bytes += Packed::bytes_for(op);
        }
    }
    bytes
}

impl LoopInstr {
    /// The most bytes of packed matrices that a run of the loop holds at once.
    pub(super) fn packed_bytes(&self) -> usize {
        let mut known = Vec::new();
        let own = self.shards.iter().map(|shard| {
            let place = |port: usize| (shard.ports[port].buf, shard.ports[port].start);
            own_bytes(&shard.block, |op| shard.packs(op, self.steps), place, &mut known)
        });
        own.sum::<usize>() + self.shards.iter().map(|shard| shard.block.packed_bytes()).max().unwrap_or(0)
    }
}

impl Block {
    /// The most bytes of packed matrices that a loop of many steps over the block holds at once, whose ports `captured` stay
    /// where they are.
    pub(super) fn packed_bytes_in_a_loop(&self, captured: Range<usize>) -> usize {
        let is_captured = |op: &Gemm| self.ports[captured.clone()].contains(&op.b.0) && op.can_be_packed();
        own_bytes(self, is_captured, |port| (port, 0), &mut Vec::new()) + self.packed_bytes()
    }
}
