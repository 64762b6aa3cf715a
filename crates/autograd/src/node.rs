//! The nodes of a recording and their structural hash.

use crate::dtype::DType;
use crate::ops::{
    Along, Concat, Custom, Expand, Gather, MapOp, Matmul, Opaque, Permute, Random, Reduce, Reshape, ScatterAdd, Slice,
    Step,
};
use crate::shape::Shape;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::panic::Location;

/// The index of a node on its tape. Inputs have smaller indices than their users.
pub(crate) type NodeId = u32;

/// The index of a scan body on its tape; 0 is the tape itself.
pub(crate) type BodyId = u32;

/// A short list of node inputs.
pub(crate) type Inputs = SmallVec<[NodeId; 4]>;

/// What a node computes. The tag is a word, so that operations are moved in words.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub(crate) enum Op {
    /// A tensor bound when the program runs.
    Leaf(u32),
    /// A number bound when the program runs.
    Scalar(u32),
    /// A number that is part of the structure, as the bits of an `f64`.
    Literal(u64),
    /// Component `index` of what a scan body receives at each step.
    Placeholder {
        body: BodyId,
        kind: Port,
        index: u32,
    },
    /// A loop over time, by its number on the tape; inputs: initial carries, items, captured values.
    Scan(u32),
    /// Carry component after the last step; input: the scan.
    Final(u32),
    /// A body value at every step, stacked; input: the scan.
    Tap(NodeId),
    /// An elementwise operation of the table.
    Map(MapOp),
    /// Conversion to the node's element type.
    Cast,
    /// The input itself, through which no derivative flows.
    StopGradient,
    /// An operation that could not be recorded: the number of its error.
    Error(u32),
    Matmul(Matmul),
    Reduce(Reduce),
    Reshape(Reshape),
    Permute(Permute),
    Expand(Expand),
    Slice(Slice),
    Step(Step),
    Concat(Concat),
    Gather(Gather),
    ScatterAdd(ScatterAdd),
    Along(Along),
    Random(Random),
    Custom(Custom),
    Opaque(Opaque),
    /// The input itself as what a recomputation starts from: equal values elsewhere are not merged with what follows.
    Fence,
    /// A value computed again (input 0) in place of the one that derivatives flow to (input 1).
    Again,
}

/// What a scan body receives at each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Port {
    /// The carry of the step before.
    Carry,
    /// The slice of a scanned input.
    Item,
}

/// One recorded operation.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub op: Op,
    pub inputs: Inputs,
    pub shape: Shape,
    pub dtype: DType,
    /// The innermost scan body whose values it depends on.
    pub body: BodyId,
    /// Hash of the operation and, through its inputs' hashes, of all it is computed from.
    pub hash: u128,
    pub at: &'static Location<'static>,
}

// A larger one would be copied by a call.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Node>() <= 128);

impl Node {
    /// Whether it stands for an error.
    pub(crate) fn is_invalid(&self) -> bool {
        matches!(self.op, Op::Error(_))
    }
}

/// A 128-bit hash for program structure.
///
/// Two multiply-fold streams with different constants; not against adversaries, but with 128 bits
/// an accidental collision of two structures is out of reach.
#[derive(Clone, Copy)]
pub(crate) struct StructureHasher(u64, u64);

/// A map whose keys are numbers of the library's own, which need no defence.
pub(crate) type NumberMap<K, V> = HashMap<K, V, BuildHasherDefault<StructureHasher>>;

impl Default for StructureHasher {
    fn default() -> Self {
        StructureHasher::new()
    }
}

impl StructureHasher {
    pub(crate) fn new() -> Self {
        StructureHasher(0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344)
    }

    #[inline]
    fn word(&mut self, word: u64) {
        self.0 = fold(self.0 ^ word, 0x9e37_79b9_7f4a_7c15);
        self.1 = fold(self.1.rotate_left(23) ^ word, 0xd6e8_feb8_6659_fd93).wrapping_add(self.0);
    }

    #[inline]
    pub(crate) fn write_hash(&mut self, hash: u128) {
        self.pair(hash as u64, (hash >> 64) as u64);
    }

    #[inline]
    fn pair(&mut self, a: u64, b: u64) {
        self.0 = fold(self.0 ^ a, b ^ 0x9e37_79b9_7f4a_7c15);
        self.1 = fold(self.1.rotate_left(23) ^ b, a ^ 0xd6e8_feb8_6659_fd93).wrapping_add(self.0);
    }

    #[inline]
    pub(crate) fn finish128(mut self) -> u128 {
        self.word(0x5851_f42d_4c95_7f2d);
        (self.0 as u128) << 64 | self.1 as u128
    }
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

impl Hasher for StructureHasher {
    fn finish(&self) -> u64 {
        self.finish128() as u64
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
        self.word(bytes.len() as u64);
    }
    fn write_u8(&mut self, v: u8) {
        self.word(v as u64);
    }
    fn write_u32(&mut self, v: u32) {
        self.word(v as u64);
    }
    fn write_u64(&mut self, v: u64) {
        self.word(v);
    }
    fn write_usize(&mut self, v: usize) {
        self.word(v as u64);
    }
    fn write_isize(&mut self, v: isize) {
        self.word(v as u64);
    }
}

/// Stands for the elementwise operations in a hash.
const ELEMENTWISE: u64 = 0x452821e6_38d01377;

/// The structural hash of an operation over inputs with the given hashes.
#[inline]
pub(crate) fn structure(op: &Op, inputs: impl Iterator<Item = u128>, shape: &Shape, dtype: DType) -> u128 {
    let mut hasher = StructureHasher::new();
    if let Op::Map(map) = op {
        // Shape and type follow from the inputs'.
        hasher.pair(map.address(), ELEMENTWISE);
        inputs.for_each(|input| hasher.write_hash(input));
        return hasher.finish128();
    }
    op.hash(&mut hasher);
    for input in inputs {
        hasher.write_hash(input);
    }
    hasher.pair(shape.rank() as u64, dtype as u64);
    for dims in shape.chunks(2) {
        hasher.pair(dims[0] as u64, dims.get(1).copied().unwrap_or(0) as u64);
    }
    hasher.finish128()
}
