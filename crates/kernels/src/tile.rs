//! The tile interpreter: fused elementwise programs, a few hundred elements at a time.
//!
//! A program is a list of kernel calls over slots of [`TILE`] elements. Inputs that lie adjacent in memory are read
//! where they are and results are written where they belong; only broadcast or strided ones pass through a
//! gathered copy. Intermediate values never leave the first-level cache.

use crate::lane::Num;
use crate::map::Kernel;
use crate::memory::{Arena, Pod};
use crate::strided::MAX_AXES;
use smallvec::SmallVec;

/// Elements of a register.
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

/// One kernel call.
#[derive(Clone, Copy)]
pub struct TileOp<E> {
    /// The kernel.
    pub kernel: Kernel<E>,
    /// The register written; not one of the sources.
    pub dst: u16,
    /// The operands.
    pub src: [Source; 3],
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
    ops: Vec<SlotOp<E>>,
    feeds: Vec<(Feed, Load)>,
    stores: Vec<(Sink, Store)>,
    registers: usize,
    dims: Vec<usize>,
    /// Tiles follow the last axis, one outer position after another; else they run across short rows.
    row_mode: bool,
}

/// A kernel call over slots: registers first, then inputs, then stores.
#[derive(Clone, Copy)]
struct SlotOp<E> {
    kernel: Kernel<E>,
    dst: u16,
    src: [u16; 3],
}

/// The slot of an operand that is not there.
const NOWHERE: u16 = u16::MAX;

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
}

/// An output buffer of one run.
pub enum Output<'a, E> {
    /// Lanes.
    Lanes(&'a mut [E]),
    /// Truth values.
    Bools(&'a mut [u8]),
}

impl<E: Num + Pod> TileProgram<E> {
    /// A program over the index space `dims` (adjacent axes merged by the caller where it can).
    ///
    /// # Panics
    /// If an operation reads a register before it is written, or in place, or strides do not match `dims`: a planner's bug.
    pub fn new(ops: Vec<TileOp<E>>, loads: Vec<Load>, stores: Vec<Store>, dims: Vec<usize>) -> Self {
        assert!(dims.len() <= MAX_AXES, "at most {MAX_AXES} axes");
        let inner = dims.last().copied().unwrap_or(1);
        let row_mode = inner >= TILE / 4 || dims.len() <= 1;
        let adjacent = |strides: &[usize]| {
            assert_eq!(strides.len(), dims.len(), "one stride an axis");
            if row_mode { strides.last().is_none_or(|s| *s == 1) } else { is_contiguous(&dims, strides) }
        };
        let feeds: Vec<(Feed, Load)> = loads
            .into_iter()
            .map(|load| {
                let feed = match () {
                    () if load.strides.iter().all(|s| *s == 0) => Feed::Constant,
                    () if !load.bools && adjacent(&load.strides) => Feed::Direct,
                    () => Feed::Gather,
                };
                assert_eq!(load.strides.len(), dims.len(), "one stride an axis");
                (feed, load)
            })
            .collect();
        let alone = |i: usize| (0..stores.len()).all(|j| i == j || disjoint(&dims, &stores[i], &stores[j]));
        let sinks: Vec<Sink> = (0..stores.len())
            .map(|i| {
                let first = stores.iter().position(|s| s.register == stores[i].register) == Some(i);
                let direct = first && !stores[i].bools && adjacent(&stores[i].strides) && alone(i);
                if direct { Sink::Direct } else { Sink::Scatter }
            })
            .collect();
        let registers = ops.iter().map(|op| op.dst as usize + 1).max().unwrap_or(0);
        // The slot that each register's present value is in.
        let mut slot: Vec<u16> = vec![NOWHERE; registers];
        let last_write = |register: u16| ops.iter().rposition(|op| op.dst == register);
        let slot_ops = ops
            .iter()
            .enumerate()
            .map(|(at, op)| {
                let find = |source: Source| match source {
                    Source::None => NOWHERE,
                    Source::Register(r) => {
                        assert!(
                            slot.get(r as usize).is_some_and(|s| *s != NOWHERE),
                            "register read before it is written"
                        );
                        assert!(r != op.dst, "kernels do not run in place");
                        slot[r as usize]
                    }
                    Source::Input(i) => {
                        assert!((i as usize) < feeds.len(), "no such input");
                        registers as u16 + i
                    }
                };
                let src = op.src.map(find);
                let store = stores.iter().zip(&sinks).position(|(s, k)| s.register == op.dst && *k == Sink::Direct);
                let dst = match store {
                    Some(store) if last_write(op.dst) == Some(at) => (registers + feeds.len() + store) as u16,
                    _ => op.dst,
                };
                slot[op.dst as usize] = dst;
                SlotOp { kernel: op.kernel, dst, src }
            })
            .collect();
        for store in &stores {
            assert!(
                slot.get(store.register as usize).is_some_and(|s| *s != NOWHERE),
                "stored register is never written"
            );
        }
        // A second store of a register that is written in place reads it from there.
        let stores = sinks.into_iter().zip(stores).collect();
        TileProgram { ops: slot_ops, feeds, stores, registers, dims, row_mode }
    }

    /// Runs the program. `scratch` is grown to what the registers need and can be kept between runs.
    ///
    /// # Panics
    /// If an operand is too short for its strides, or of another kind than the program expects.
    pub fn run<'a>(&self, scratch: &mut Arena, inputs: &[InputData<'a, E>], outputs: &mut [Output<'a, E>]) {
        assert_eq!(inputs.len(), self.feeds.len(), "one operand for each input");
        let n: usize = self.dims.iter().product();
        if n == 0 {
            return;
        }
        let width = TILE.min(n.next_multiple_of(64 / size_of::<E>()));
        let slots = self.registers + self.feeds.len();
        let scratch = scratch.lanes::<E>(slots * width);
        let base = scratch.as_mut_ptr();
        let mut run = Run { program: self, inputs, outputs, slots: SmallVec::new(), moving: SmallVec::new(), width };
        // SAFETY: the scratch buffer holds `slots` registers of `width` elements.
        run.slots.extend((0..slots).map(|slot| unsafe { base.add(slot * width) }));
        run.bind();
        run.tiles(n);
    }
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

struct Run<'r, 'd, E> {
    program: &'r TileProgram<E>,
    inputs: &'r [InputData<'d, E>],
    outputs: &'r mut [Output<'d, E>],
    /// The address of each slot at the present tile.
    slots: SmallVec<[*mut E; 64]>,
    /// Slots that lie in operands: slot, and the operand's first element.
    moving: SmallVec<[(usize, *mut E); 32]>,
    width: usize,
}

impl<E: Num + Pod> Run<'_, '_, E> {
    /// Checks every operand against its strides and finds the slots that lie in operands.
    fn bind(&mut self) {
        let program = self.program;
        let dims = &program.dims;
        for (i, (feed, load)) in program.feeds.iter().enumerate() {
            let slot = program.registers + i;
            let needed = span(dims, &load.strides);
            let constant = match self.inputs[i] {
                InputData::Lanes(data) => {
                    assert!(data.len() >= needed && !load.bools, "input too short or of another kind");
                    if *feed == Feed::Direct {
                        self.moving.push((slot, data.as_ptr().cast_mut()));
                    }
                    data[0]
                }
                InputData::Bools(data) => {
                    assert!(data.len() >= needed && load.bools, "input too short or of another kind");
                    truth(data[0])
                }
            };
            if *feed == Feed::Constant {
                // SAFETY: a register of `width` elements.
                unsafe { std::slice::from_raw_parts_mut(self.slots[slot], self.width) }.fill(constant);
            }
        }
        for (sink, store) in &program.stores {
            let needed = store.offset + span(dims, &store.strides);
            let slot = self.slots.len();
            match &mut self.outputs[store.buffer] {
                Output::Lanes(data) => {
                    assert!(data.len() >= needed && !store.bools, "output too short or of another kind");
                    if *sink == Sink::Direct {
                        // SAFETY: the offset is inside the buffer, as just checked.
                        self.moving.push((slot, unsafe { data.as_mut_ptr().add(store.offset) }));
                    }
                }
                Output::Bools(data) => {
                    assert!(data.len() >= needed && store.bools, "output too short or of another kind");
                }
            }
            self.slots.push(std::ptr::null_mut());
        }
    }

    fn strides(&self, slot: usize) -> &[usize] {
        let program = self.program;
        match slot.checked_sub(program.registers + program.feeds.len()) {
            Some(store) => &program.stores[store].1.strides,
            None => &program.feeds[slot - program.registers].1.strides,
        }
    }

    fn tiles(&mut self, n: usize) {
        let dims = &self.program.dims;
        let last = dims.len().saturating_sub(1);
        // In row mode a tile stays within a row; else rows are taken together.
        let row = if self.program.row_mode { dims.last().copied().unwrap_or(1) } else { n };
        let mut index = [0usize; MAX_AXES];
        let mut start = 0;
        while start < n {
            let mut rest = start;
            for axis in (0..dims.len()).rev() {
                index[axis] = rest % dims[axis];
                rest /= dims[axis];
            }
            let mut at = 0;
            while at < row {
                let len = self.width.min(row - at);
                if self.program.row_mode {
                    index[last] = at;
                } else if at > 0 {
                    let mut rest = at;
                    for axis in (0..dims.len()).rev() {
                        index[axis] = rest % dims[axis];
                        rest /= dims[axis];
                    }
                }
                self.tile(&Position { index: &index, linear: start + at, len });
                at += len;
            }
            start += row;
        }
    }

    #[inline]
    fn tile(&mut self, at: &Position<'_>) {
        let program = self.program;
        for i in 0..self.moving.len() {
            let (slot, first) = self.moving[i];
            let offset = if program.row_mode { offset(self.strides(slot), at.index) } else { at.linear };
            // SAFETY: `bind` checked that the operand reaches to its last element; this one is not behind it.
            self.slots[slot] = unsafe { first.add(offset) };
        }
        for (i, (feed, load)) in program.feeds.iter().enumerate() {
            if *feed == Feed::Gather {
                // SAFETY: a register of `width` elements, which no other slice refers to now.
                let slot = unsafe { std::slice::from_raw_parts_mut(self.slots[program.registers + i], self.width) };
                gather(&program.dims, &self.inputs[i], &load.strides, at, &mut slot[..at.len]);
            }
        }
        let slots = &self.slots[..];
        for op in &program.ops {
            let read = |slot: u16| -> &[E] {
                if slot == NOWHERE {
                    return &[];
                }
                // SAFETY: every slot is a register of `width >= len` elements or lies in an operand that `bind`
                // found long enough. `new` proved that no kernel reads its own destination: registers
                // differ, and stores written in place share no element with each other; inputs and
                // outputs are distinct borrows.
                unsafe { std::slice::from_raw_parts(slots[slot as usize], at.len) }
            };
            // SAFETY: as above; the destination is this call's only mutable slice.
            let dst = unsafe { std::slice::from_raw_parts_mut(slots[op.dst as usize], at.len) };
            (op.kernel)(dst, read(op.src[0]), read(op.src[1]), read(op.src[2]));
        }
        for (sink, store) in &program.stores {
            if *sink == Sink::Direct {
                continue;
            }
            let slot = program.slot_of(store.register);
            // SAFETY: a register of `width` elements, or a place in an output other than this store's.
            let values = unsafe { std::slice::from_raw_parts(slots[slot], at.len) };
            match &mut self.outputs[store.buffer] {
                Output::Lanes(out) => scatter(&program.dims, store, at, values, out, |v| v),
                Output::Bools(out) => scatter(&program.dims, store, at, values, out, |v| (v != E::ZERO) as u8),
            }
        }
    }
}

impl<E> TileProgram<E> {
    /// The slot in which a stored register's value ends up.
    fn slot_of(&self, register: u16) -> usize {
        let direct = self.stores.iter().position(|(sink, s)| *sink == Sink::Direct && s.register == register);
        direct.map_or(register as usize, |store| self.registers + self.feeds.len() + store)
    }
}

fn truth<E: Num>(bit: u8) -> E {
    if bit != 0 { E::ONE } else { E::ZERO }
}

/// A position of the tile in the index space.
struct Position<'p> {
    /// Index along each axis.
    index: &'p [usize; MAX_AXES],
    /// The same as a linear index.
    linear: usize,
    /// Elements of the tile.
    len: usize,
}

#[inline]
fn offset(strides: &[usize], index: &[usize; MAX_AXES]) -> usize {
    strides.iter().zip(index).map(|(s, i)| s * i).sum()
}

/// Splits the tile into runs along the last axis: `visit(first element of the run in the tile, offset, elements)`.
#[inline]
fn runs(dims: &[usize], strides: &[usize], at: &Position<'_>, mut visit: impl FnMut(usize, usize, usize)) {
    let Some(last) = dims.len().checked_sub(1) else {
        visit(0, 0, 1);
        return;
    };
    let mut index = *at.index;
    let mut done = 0;
    loop {
        let len = (dims[last] - index[last]).min(at.len - done);
        visit(done, offset(strides, &index), len);
        done += len;
        if done == at.len {
            return;
        }
        index[last] = 0;
        let mut axis = last;
        while axis > 0 {
            axis -= 1;
            index[axis] += 1;
            if index[axis] < dims[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}

fn gather<E: Num>(dims: &[usize], input: &InputData<'_, E>, strides: &[usize], at: &Position<'_>, slot: &mut [E]) {
    let step = strides.last().copied().unwrap_or(0);
    runs(dims, strides, at, |first, from, len| {
        let slot = &mut slot[first..first + len];
        match input {
            InputData::Lanes(data) => match step {
                1 => slot.copy_from_slice(&data[from..from + len]),
                0 => slot.fill(data[from]),
                _ => slot.iter_mut().enumerate().for_each(|(i, s)| *s = data[from + i * step]),
            },
            InputData::Bools(data) => {
                slot.iter_mut().enumerate().for_each(|(i, s)| *s = truth(data[from + i * step]));
            }
        }
    });
}

#[inline]
fn scatter<E: Num, T: Copy>(
    dims: &[usize],
    store: &Store,
    at: &Position<'_>,
    values: &[E],
    out: &mut [T],
    convert: impl Fn(E) -> T,
) {
    let step = store.strides.last().copied().unwrap_or(1);
    runs(dims, &store.strides, at, |first, to, len| {
        let to = store.offset + to;
        let values = &values[first..first + len];
        if step == 1 {
            out[to..to + len].iter_mut().zip(values).for_each(|(o, v)| *o = convert(*v));
        } else {
            values.iter().enumerate().for_each(|(i, v)| out[to + i * step] = convert(*v));
        }
    });
}
