//! Packed matrices: right operands of products that a loop reads at every step, kept until what they were packed from changes.

use super::code::{Block, Buf, Gemm, Instr, Moving, Shard, extent};
use super::run::{Address, Machine, span};
use crate::dtype::DType;
use crate::storage::Version;
use crate::tensor::{Buffer, Tensor};
use std::ops::Range;
use wengert_kernels::gemm::{GemmElem, Mat, PackedB};
use wengert_kernels::{Memory, Path, Pod, Span};

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
pub(super) struct Packs(Vec<(PackKey, Kept)>);

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
        machine: &mut Machine<'_, '_, '_>,
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
        let of = machine.version(b.region).map(|version| Part {
            version,
            start: b.start,
            dtype: op.dtype,
            matrix: key.2,
            panel: panel(op),
        });
        let packed = match (op.dtype, machine.spare.take(op, of.as_ref())) {
            (_, Found::Packed(packed)) => packed,
            (DType::F64, Found::Memory(Packed::F64(own))) => Packed::F64(pack(Some(own), &machine.memory, b, op)),
            (DType::F64, _) => Packed::F64(pack(None, &machine.memory, b, op)),
            (_, Found::Memory(Packed::F32(own))) => Packed::F32(pack(Some(own), &machine.memory, b, op)),
            _ => Packed::F32(pack(None, &machine.memory, b, op)),
        };
        self.0.push((key, Kept { packed, of }));
        Some(self.0.len() - 1)
    }

    pub(super) fn get(&self, number: usize) -> &Packed {
        &self.0[number].1.packed
    }
}

/// The right operand of a product, which lies at `b`, packed in memory of its own or that of another.
fn pack<E: GemmElem + Pod>(memory_of: Option<PackedB<E>>, memory: &Memory<'_>, b: Span, op: &Gemm) -> PackedB<E> {
    #[cfg(test)]
    PACKED.with(|packed| packed.set(packed.get() + 1));
    let matrix = Mat::new(memory.read(b), op.k, op.n, op.b.2.0, op.b.2.1);
    match memory_of {
        Some(mut packed) => {
            packed.repack(matrix, op.m);
            packed
        }
        None => PackedB::pack_rows(matrix, op.m),
    }
}

#[cfg(test)]
thread_local! {
    /// How many matrices loops have packed on this thread.
    pub(crate) static PACKED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// A matrix in a leaf's buffer, in the layout of products of so many rows.
#[derive(PartialEq)]
struct Part {
    version: Version,
    /// Its first byte.
    start: usize,
    dtype: DType,
    /// Extents and strides.
    matrix: [usize; 4],
    panel: usize,
}

/// Columns of a panel of the right operand of a product.
fn panel(op: &Gemm) -> usize {
    match op.dtype {
        DType::F64 => PackedB::<f64>::panel_for(op.n, op.m),
        _ => PackedB::<f32>::panel_for(op.n, op.m),
    }
}

/// A packed matrix, and what it was packed from if that is known to be the same for as long as it is alive.
struct Kept {
    packed: Packed,
    of: Option<Part>,
}

impl Kept {
    /// Whether it can be used as it is, now or later.
    fn is_current(&self) -> bool {
        self.of.as_ref().is_some_and(|part| part.version.is_alive())
    }
}

/// What is there for a product.
enum Found {
    /// Its right operand.
    Packed(Packed),
    /// Memory for it.
    Memory(Packed),
    Nothing,
}

/// The packed matrices that loops have left to the next ones, the oldest first. Weights are packed once until they change; what
/// has changed, or was no leaf, leaves its memory: if it went back to the allocator each time, it would stay there in pieces.
#[derive(Default)]
pub(super) struct Spare(Vec<Kept>);

impl Spare {
    /// What there is for the right operand of a product. If nothing is, the largest memory that is not in use is given up, so that
    /// ever larger ones do not pile up, and so are the oldest weights beyond a limit.
    fn take(&mut self, op: &Gemm, of: Option<&Part>) -> Found {
        /// Bytes of packed weights, of networks that take turns.
        const MOST: usize = 64 << 20;
        if let Some(at) = of.and_then(|of| self.0.iter().position(|kept| kept.of.as_ref() == Some(of))) {
            return Found::Packed(self.0.remove(at).packed);
        }
        let bytes = Packed::bytes_for(op);
        let fits =
            |packed: &Packed| packed.bytes() >= bytes && matches!(packed, Packed::F64(_)) == (op.dtype == DType::F64);
        let free = |kept: &(usize, &Kept)| !kept.1.is_current();
        let all = || self.0.iter().enumerate();
        let smallest = all().filter(|kept| free(kept) && fits(&kept.1.packed)).min_by_key(|kept| kept.1.packed.bytes());
        if let Some((at, _)) = smallest {
            return Found::Memory(self.0.remove(at).packed);
        }
        if let Some((at, _)) = all().filter(free).max_by_key(|kept| kept.1.packed.bytes()) {
            self.0.remove(at);
        }
        while !self.0.is_empty() && self.bytes() + bytes > MOST {
            self.0.remove(0);
        }
        Found::Nothing
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|kept| kept.packed.bytes()).sum()
    }

    pub(super) fn give(&mut self, packs: Packs) {
        self.0.extend(packs.0.into_iter().map(|(_, kept)| kept));
    }
}

/// The packed matrices that loops leave, counted once each.
#[derive(Default)]
struct Count {
    known: Vec<(Buf, usize, DType, [usize; 4], usize)>,
    bytes: usize,
}

impl Count {
    /// The right operands that the loops of a block pack. `place` is where a buffer of the block lies outside of all loops, and at
    /// which byte; `None`: it is made anew by them.
    fn loops_of(&mut self, block: &Block, place: &dyn Fn(Buf) -> Option<(Buf, usize)>) {
        for instr in &block.code {
            let Instr::Loop(inside) = instr else { continue };
            let mut own = Vec::new();
            for shard in &inside.shards {
                let still = |port: &Moving| matches!(port.path, Path::Still);
                let outside = |buf: Buf| {
                    let port = shard.block.ports.iter().position(|port| *port == buf).map(|port| &shard.ports[port])?;
                    let (outer, start) = place(port.buf).filter(|_| still(port))?;
                    Some((outer, start + port.start))
                };
                self.products_of(&shard.block, |op| shard.packs(op, inside.steps), &outside, &mut own);
                self.loops_of(&shard.block, &outside);
            }
        }
    }

    /// The right operands of those products of a block that a loop over it `packs`. What is made anew is counted once for the shards
    /// of a loop, of which `own` lists it.
    fn products_of(
        &mut self,
        block: &Block,
        packs: impl Fn(&Gemm) -> bool,
        place: &dyn Fn(Buf) -> Option<(Buf, usize)>,
        own: &mut Vec<(Buf, usize, [usize; 4])>,
    ) {
        for instr in &block.code {
            let Instr::Gemm(op) = instr else { continue };
            if !packs(op) {
                continue;
            }
            let matrix = [op.k, op.n, op.b.2.0, op.b.2.1];
            let is_new = match place(op.b.0) {
                Some((buf, start)) => {
                    let key = (buf, start + op.b.1 * op.dtype.size(), op.dtype, matrix, panel(op));
                    !self.known.contains(&key) && {
                        self.known.push(key);
                        true
                    }
                }
                None => {
                    let key = (op.b.0, op.b.1, matrix);
                    !own.contains(&key) && {
                        own.push(key);
                        true
                    }
                }
            };
            if is_new {
                self.bytes += Packed::bytes_for(op);
            }
        }
    }
}

impl Block {
    /// The bytes of packed matrices that the loops of a run leave to the next one, at most.
    pub(crate) fn packed_bytes(&self) -> usize {
        let mut count = Count::default();
        count.loops_of(self, &|buf| Some((buf, 0)));
        count.bytes
    }

    /// The same of a loop of many steps over the block, whose ports `captured` stay where they are.
    pub(super) fn packed_bytes_in_a_loop(&self, captured: Range<usize>) -> usize {
        let place = |buf: Buf| self.ports[captured.clone()].contains(&buf).then_some((buf, 0));
        let mut count = Count::default();
        count.products_of(self, |op| place(op.b.0).is_some() && op.can_be_packed(), &place, &mut Vec::new());
        count.loops_of(self, &place);
        count.bytes
    }
}
