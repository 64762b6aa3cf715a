//! The tile interpreter: fused elementwise programs, a few hundred elements at a time.
//!
//! A program is a list of kernel calls over registers of [`TILE`] elements. A tile is some rows of the index space, or
//! part of a long one: operands whose columns are adjacent are read where they are, and results are written where they
//! belong; only other operands pass through a gathered copy. Intermediate values never leave the first-level cache.
//!
//! A program with reductions along the last axis has whole rows in its tiles. What has one value a row, such as a row's sum and what is
//! computed from it, lies in a register of its own, value beside value, until it is spread over the elements of its row.

use crate::lane::Num;
use crate::map::{Kernel, MAX_SOURCES, Ways};
use crate::memory::Pod;
use crate::reduce::{Reduction, SIDE};
use crate::strided::MAX_AXES;
use crate::threads::{for_each, threads};
use bound::Bound;
use smallvec::SmallVec;
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

mod bound;
mod copies;
mod rows;
#[cfg(test)]
mod tests;

pub use bound::{Scratch, TileLane};

/// Elements of a register, at least.
pub const TILE: usize = 256;

/// Where a kernel finds an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The kernel has no such operand.
    None,
    /// The result of an earlier kernel.
    Register(u16),
    /// An input of the program.
    Input(u16),
}

/// What a call computes, over the elements of a tile or over one value a row.
#[derive(Clone, Copy)]
pub enum TileCode<E> {
    /// A kernel on elements.
    Map(Kernel<E>),
    /// A kernel on values of rows.
    MapRows(Kernel<E>),
    /// Elements to values of rows.
    Fold(Reduction),
    /// Values of rows to elements.
    Spread,
}

impl<E: Num + Pod> TileCode<E> {
    /// Whether the sources, and whether the result, are values of rows.
    fn by_row(&self) -> (bool, bool) {
        match self {
            TileCode::Map(_) => (false, false),
            TileCode::MapRows(_) => (true, true),
            TileCode::Fold(_) => (false, true),
            TileCode::Spread => (true, false),
        }
    }

    /// The forms of the call; `same` are the sources of one value, as bits.
    fn ways(&self, same: u8) -> Ways<E> {
        match self {
            TileCode::Map(kernel) | TileCode::MapRows(kernel) => kernel.ways(same),
            TileCode::Fold(kind) => Ways { raw: rows::fold(*kind), in_place: None },
            TileCode::Spread => Ways { raw: rows::spread, in_place: None },
        }
    }
}

/// One call.
#[derive(Clone, Copy)]
pub struct TileOp<E> {
    /// What it computes.
    pub code: TileCode<E>,
    /// The register written; not one of the sources.
    pub dst: u16,
    /// The operands.
    pub src: [Source; MAX_SOURCES],
}

/// An input of the program.
#[derive(Clone, Debug)]
pub struct Load {
    /// Element strides, one an axis of the index space.
    pub strides: Vec<usize>,
    /// Whether the elements are truth values, read as 1 and 0.
    pub bools: bool,
}

/// A result that leaves the program.
#[derive(Clone, Debug)]
pub struct Store {
    /// The register stored; it is not written again after the stored value.
    pub register: u16,
    /// Which of the output buffers.
    pub buffer: usize,
    /// Element offset in the buffer.
    pub offset: usize,
    /// Element strides, one an axis of the index space.
    pub strides: Vec<usize>,
    /// Whether the elements are stored as truth values, 1 and 0.
    pub bools: bool,
}

/// A checked program over lanes of type `E`.
pub struct TileProgram<E> {
    ops: Vec<TileOp<E>>,
    feeds: Vec<(Feed, Load)>,
    stores: Vec<(Sink, Store)>,
    /// For each operation, the store that its kernel writes where it belongs.
    sinks: Vec<Option<usize>>,
    /// Whether each input, and each result, has one value a row.
    by_row: (Vec<bool>, Vec<bool>),
    registers: usize,
    dims: Vec<usize>,
    tiling: Tiling,
    /// Elements that each input, and each output buffer, must hold.
    needs: (Vec<usize>, Vec<usize>),
    /// Tells programs apart: registers that are bound to this one need not be bound again.
    serial: NonZeroU64,
}

/// How the index space is cut into tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tiling {
    /// A few elements: one tile, whose operands are all copied to registers, so that kernels run over whole blocks.
    Small,
    /// Whole rows or parts of a long one.
    Rows {
        /// Columns of a tile.
        cols: usize,
        /// Rows of a tile.
        rows: usize,
    },
    /// Across rows that are shorter than a block.
    Across,
    /// One run of elements, so many that they come from afar: short tiles.
    Long,
}

/// Blocks of a [`Tiling::Small`] program, at most.
const SMALL: usize = 8;

/// Bytes of operands from which on a program over one run is [`Tiling::Long`]: the second-level cache does not hold them.
const AFAR: usize = if cfg!(miri) { 1 << 12 } else { 1 << 20 };

/// Bytes of a tile of a long program. Measured best for updates of ten million parameters with 32 KiB of first-level cache (Zen 4): what
/// memory brings meanwhile must not wait for calls that touch none. Asking for it ahead makes Adam 10 to 20% slower on one thread.
const LONG_TILE: usize = 1024;

/// Bytes of registers and operands of a tile, which may be longer than [`TILE`] where they are few: calls cost less.
const NEAR: usize = 24 << 10;

impl Tiling {
    fn of<E>(dims: &[usize], registers: usize, operands: usize, whole_rows: bool) -> Tiling {
        let block = 64 / size_of::<E>();
        let tile = TILE * (NEAR / ((registers + operands).max(1) * TILE * size_of::<E>())).clamp(1, 8);
        let n: usize = dims.iter().product();
        let inner = dims.last().copied().unwrap_or(1);
        let above = dims.len().checked_sub(2).map_or(1, |axis| dims[axis]);
        match inner >= block {
            // Rows are reduced fastest side by side, even where so many do not fit the first-level cache.
            _ if whole_rows => Tiling::Rows { cols: inner, rows: (tile / inner).max(SIDE).clamp(1, above.max(1)) },
            _ if dims.len() == 1 && n * operands * size_of::<E>() >= AFAR => Tiling::Long,
            _ if n <= SMALL * block && (inner < block || !n.is_multiple_of(block)) => Tiling::Small,
            true => Tiling::Rows { cols: inner.min(tile), rows: (tile / inner).clamp(1, above.max(1)) },
            false => Tiling::Across,
        }
    }
}

/// A program's part that one thread runs.
struct Share<'s, E> {
    part: Range<usize>,
    bound: &'s mut Bound<E>,
    reads: &'s [*mut u8],
    writes: &'s [*mut u8],
}

// SAFETY: the addresses are used under the contract of `Bound::run`.
unsafe impl<E: Pod> Send for Share<'_, E> {}

/// Inputs that lie in an output buffer: input and buffer.
pub(crate) type Replaced = SmallVec<[(usize, usize); 8]>;

/// How an input reaches the kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feed {
    /// One value, spread over a register at the start.
    Constant,
    /// Read where it lies.
    Direct,
    /// Copied to a register for each tile.
    Gather,
}

/// How a result leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sink {
    /// The kernel writes it where it belongs.
    Direct,
    /// Copied from its register for each tile.
    Scatter,
}

/// The elements of an input; the first is the input's element 0.
#[derive(Clone, Copy)]
pub enum InputData<'a, E> {
    /// Lanes.
    Lanes(&'a [E]),
    /// Truth values.
    Bools(&'a [u8]),
    /// What an output buffer of this number holds before; see [`TileProgram::replaces`].
    Replaced(usize),
}

/// An output buffer of one run.
pub enum Output<'a, E> {
    /// Lanes.
    Lanes(&'a mut [E]),
    /// Truth values.
    Bools(&'a mut [u8]),
}

impl<E: TileLane> TileProgram<E> {
    /// A program over the index space `dims` (adjacent axes merged by the caller where it can).
    ///
    /// # Panics
    /// If an operation reads a register before it is written, or in place, or strides do not match `dims`: a planner's bug.
    pub fn new(ops: Vec<TileOp<E>>, loads: Vec<Load>, stores: Vec<Store>, dims: Vec<usize>) -> Self {
        assert!(dims.len() <= MAX_AXES, "at most {MAX_AXES} axes");
        let registers = ops.iter().map(|op| op.dst as usize + 1).max().unwrap_or(0);
        let operands = loads.iter().filter(|load| load.strides.iter().any(|s| *s != 0)).count() + stores.len();
        let by_row = rows::operands(&ops, loads.len(), &stores);
        let whole_rows = has_rows(&ops);
        let tiling = Tiling::of::<E>(&dims, registers, operands, whole_rows);
        let adjacent = |strides: &[usize], by_row: bool| {
            assert_eq!(strides.len(), dims.len(), "one stride an axis");
            match tiling {
                // Calls on values of rows run over whole blocks, for which a register has room.
                Tiling::Rows { .. } if by_row => false,
                Tiling::Small => false,
                Tiling::Rows { .. } | Tiling::Long => strides.last() == Some(&1),
                Tiling::Across => is_contiguous(&dims, strides),
            }
        };
        let feeds: Vec<(Feed, Load)> = loads
            .into_iter()
            .zip(&by_row.0)
            .map(|(load, by_row)| {
                assert!(!by_row || matches!(load.strides[..], [.., 0]), "one value a row");
                let direct = !load.bools && adjacent(&load.strides, *by_row);
                let feed = match () {
                    () if load.strides.iter().all(|s| *s == 0) => Feed::Constant,
                    () if direct => Feed::Direct,
                    () => Feed::Gather,
                };
                (feed, load)
            })
            .collect();
        let alone = |i: usize| (0..stores.len()).all(|j| i == j || disjoint(&dims, &stores[i], &stores[j]));
        let sinks: Vec<Sink> = (0..stores.len())
            .map(|i| {
                let once = stores.iter().filter(|s| s.register == stores[i].register).count() == 1;
                assert!(once, "a register is stored once");
                assert!(!by_row.1[i] || matches!(stores[i].strides[..], [.., 0]), "one value a row");
                let direct = !stores[i].bools && adjacent(&stores[i].strides, by_row.1[i]) && alone(i);
                if direct { Sink::Direct } else { Sink::Scatter }
            })
            .collect();
        let mut written = vec![false; registers];
        for op in &ops {
            for source in op.src {
                match source {
                    Source::None => {}
                    Source::Register(r) => {
                        assert!(written.get(r as usize).is_some_and(|w| *w), "register read before it is written");
                        assert!(r != op.dst, "kernels do not run in place");
                    }
                    Source::Input(i) => assert!((i as usize) < feeds.len(), "no such input"),
                }
            }
            written[op.dst as usize] = true;
        }
        let mut direct = vec![None; ops.len()];
        for (i, store) in stores.iter().enumerate() {
            let last = ops.iter().rposition(|op| op.dst == store.register).expect("stored register is never written");
            if sinks[i] == Sink::Direct {
                direct[last] = Some(i);
            }
        }
        let reads = feeds.iter().map(|(_, load)| span(&dims, &load.strides)).collect();
        let mut writes = vec![0; stores.iter().map(|s| s.buffer + 1).max().unwrap_or(0)];
        for store in &stores {
            let end = store.offset + span(&dims, &store.strides);
            writes[store.buffer] = Ord::max(writes[store.buffer], end);
        }
        let stores = sinks.into_iter().zip(stores).collect();
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let serial = NonZeroU64::new(NEXT.fetch_add(1, Ordering::Relaxed)).expect("fewer than 2^64 programs are made");
        TileProgram {
            ops,
            feeds,
            stores,
            sinks: direct,
            by_row,
            registers,
            dims,
            tiling,
            needs: (reads, writes),
            serial,
        }
    }

    /// The extents of the index space.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The inputs.
    pub fn loads(&self) -> impl Iterator<Item = &Load> {
        self.feeds.iter().map(|(_, load)| load)
    }

    /// The results.
    pub fn stores(&self) -> impl Iterator<Item = &Store> {
        self.stores.iter().map(|(_, store)| store)
    }

    /// The same program with another extent of the first axis.
    pub fn with_rows(&self, rows: usize) -> Self {
        let mut dims = self.dims.clone();
        dims[0] = rows;
        TileProgram::new(self.ops.clone(), self.loads().cloned().collect(), self.stores().cloned().collect(), dims)
    }

    /// Whether it has values of rows, so that its last axis is to stay whole.
    pub fn has_rows(&self) -> bool {
        has_rows(&self.ops)
    }

    /// Kernel calls times elements.
    pub fn work(&self) -> usize {
        self.ops.len() * self.dims.iter().product::<usize>()
    }

    /// The elements that each input holds from its first to its last, and whether they are truth values.
    pub(crate) fn reads(&self) -> impl Iterator<Item = (usize, bool)> {
        self.needs.0.iter().zip(&self.feeds).map(|(len, (_, load))| (*len, load.bools))
    }

    /// The same for the output buffers.
    pub(crate) fn writes(&self) -> impl Iterator<Item = (usize, bool)> {
        self.needs
            .1
            .iter()
            .enumerate()
            .map(|(buffer, len)| (*len, self.stores.iter().any(|(_, store)| store.buffer == buffer && store.bools)))
    }

    /// Whether an output buffer may be the memory of an input: the input's elements lie in it in the order of the
    /// output's, each is read for its own tile alone, and a tile is written after all of it was read.
    pub fn replaces(&self, input: usize, buffer: usize) -> bool {
        let mut stores = self.stores.iter().filter(|(_, store)| store.buffer == buffer);
        let (Some((Feed::Direct, load)), Some((sink, store)), None) =
            (self.feeds.get(input), stores.next(), stores.next())
        else {
            return false;
        };
        let whole = is_contiguous(&self.dims, &load.strides) && load.strides == store.strides && store.offset == 0;
        *sink == Sink::Direct && whole
    }

    /// Runs the program, a large one on several threads with the same bits. `scratch` is grown to what they need and can be
    /// kept between runs.
    ///
    /// # Panics
    /// If an operand is too short for its strides, or of another kind than the program expects, or an input cannot be what
    /// it [`replaces`](TileProgram::replaces).
    pub fn run(&self, scratch: &mut Vec<Scratch>, inputs: &[InputData<'_, E>], outputs: &mut [Output<'_, E>]) {
        let writes: SmallVec<[*mut u8; 16]> = outputs
            .iter_mut()
            .zip(self.writes())
            .map(|(output, (needed, bools))| {
                let (at, len, kind) = match output {
                    Output::Lanes(data) => (data.as_mut_ptr().cast(), data.len(), false),
                    Output::Bools(data) => (data.as_mut_ptr(), data.len(), true),
                };
                assert!(len >= needed && kind == bools, "output too short or of another kind");
                at
            })
            .collect();
        let mut replaced = Replaced::new();
        // Inputs are only read: the addresses are mutable so that inputs and outputs are of one kind.
        let reads: SmallVec<[*mut u8; 32]> = inputs
            .iter()
            .zip(self.reads())
            .enumerate()
            .map(|(i, (input, (needed, bools)))| {
                let (at, len, kind) = match input {
                    InputData::Lanes(data) => (data.as_ptr().cast_mut().cast(), data.len(), false),
                    InputData::Bools(data) => (data.as_ptr().cast_mut(), data.len(), true),
                    InputData::Replaced(buffer) => {
                        assert!(self.replaces(i, *buffer), "an input that the output cannot replace");
                        replaced.push((i, *buffer));
                        // As long as the output and of its kind, which was checked.
                        return writes[*buffer];
                    }
                };
                assert!(len >= needed && kind == bools, "input too short or of another kind");
                at
            })
            .collect();
        assert!(reads.len() == self.feeds.len() && writes.len() == self.needs.1.len(), "one operand for each input");
        let parts = self.parts(threads());
        if scratch.len() < parts.len() {
            scratch.resize_with(parts.len(), Scratch::default);
        }
        let shares = parts.into_iter().zip(scratch).map(|(part, scratch)| Share {
            part,
            bound: scratch.bind(self, 0, &replaced),
            reads: &reads,
            writes: &writes,
        });
        // SAFETY: every operand is as long as the program needs and of its kind; outputs are distinct mutable borrows, whose
        // addresses inputs share only where `replaces` proved that they may. Shares are of different elements.
        for_each(shares.collect(), |share| unsafe { share.bound.run(self, share.part, share.reads, share.writes) });
    }

    /// All of the last axis.
    pub(crate) fn whole(&self) -> Range<usize> {
        0..self.dims.last().copied().unwrap_or(1)
    }

    /// The parts of the last axis that threads run: whole tiles of a long run.
    fn parts(&self, threads: usize) -> SmallVec<[Range<usize>; 4]> {
        /// Kernel calls times elements that are worth a thread.
        const SHARE: usize = 1 << 18;
        let n = self.whole().end;
        let count = if self.tiling == Tiling::Long { (self.work() / SHARE).clamp(1, threads) } else { 1 };
        let width = n.div_ceil(count).next_multiple_of(TILE);
        (0..count).map(|i| (i * width).min(n)..((i + 1) * width).min(n)).collect()
    }
}

/// Whether some calls read or give values of rows.
fn has_rows<E: Num + Pod>(ops: &[TileOp<E>]) -> bool {
    ops.iter().any(|op| op.code.by_row() != (false, false))
}

fn is_contiguous(dims: &[usize], strides: &[usize]) -> bool {
    let mut step = 1;
    dims.iter().zip(strides).rev().all(|(extent, stride)| {
        let fits = *stride == step || *extent == 1;
        step *= extent;
        fits
    })
}

/// The number of elements from the first to the last of a view.
fn span(dims: &[usize], strides: &[usize]) -> usize {
    1 + dims.iter().zip(strides).map(|(n, s)| (n - 1) * s).sum::<usize>()
}

/// Whether two stores provably never touch the same element.
fn disjoint(dims: &[usize], a: &Store, b: &Store) -> bool {
    if a.buffer != b.buffer || dims.contains(&0) {
        return true;
    }
    let (low, high) = if a.offset <= b.offset { (a, b) } else { (b, a) };
    if low.offset + span(dims, &low.strides) <= high.offset {
        return true;
    }
    // Parts of the rows of one matrix: equal strides, rows that do not overlap, parts within a row.
    let [.., rows, _] = a.strides[..] else { return false };
    let inner = dims[dims.len() - 1];
    let nested = (0..dims.len() - 1).all(|axis| {
        let inside =
            if axis + 2 == dims.len() { rows } else { span(&dims[axis + 1..], &a.strides[axis + 1..]).max(rows) };
        a.strides[axis] >= inside
    });
    let apart = high.offset - low.offset;
    a.strides == b.strides && a.strides.last() == Some(&1) && nested && apart >= inner && apart + inner <= rows
}
