//! One run of a tile program: slots, tiles, gathered and scattered operands.

use super::{Feed, Load, NOWHERE, Sink, Store, TileProgram};
use crate::lane::Num;
use crate::memory::Pod;
use crate::strided::MAX_AXES;
use smallvec::SmallVec;

/// One run over addresses that satisfy the contract of [`TileProgram::execute`].
pub(super) struct Run<'r, E> {
    pub program: &'r TileProgram<E>,
    pub reads: &'r [*const u8],
    pub writes: &'r [*mut u8],
    /// The address of each slot at the present tile.
    pub slots: SmallVec<[*mut E; 64]>,
    /// Slots that lie in operands: slot, and the operand's first element.
    pub moving: SmallVec<[(usize, *mut E); 32]>,
    pub width: usize,
}

impl<E: Num + Pod> Run<'_, E> {
    /// Spreads constants and finds the slots that lie in operands.
    pub(super) fn bind(&mut self) {
        let program = self.program;
        for (i, (feed, load)) in program.feeds.iter().enumerate() {
            let slot = program.registers + i;
            match feed {
                Feed::Direct => self.moving.push((slot, self.reads[i].cast::<E>().cast_mut())),
                Feed::Constant => {
                    // SAFETY: the operand has at least one element of its kind.
                    let bit = || unsafe { *self.reads[i] };
                    // SAFETY: as above.
                    let lane = || unsafe { *self.reads[i].cast::<E>() };
                    let value = if load.bools { truth(bit()) } else { lane() };
                    // SAFETY: a register of `width` elements.
                    unsafe { std::slice::from_raw_parts_mut(self.slots[slot], self.width) }.fill(value);
                }
                Feed::Gather => {}
            }
        }
        for (sink, store) in &program.stores {
            if *sink == Sink::Direct {
                // SAFETY: the offset is inside the buffer, by the contract.
                let first = unsafe { self.writes[store.buffer].cast::<E>().add(store.offset) };
                self.moving.push((self.slots.len(), first));
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

    pub(super) fn tiles(&mut self, n: usize) {
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
    pub(super) fn tile(&mut self, at: &Position<'_>) {
        let program = self.program;
        for i in 0..self.moving.len() {
            let (slot, first) = self.moving[i];
            let offset = if program.row_mode { offset(self.strides(slot), at.index) } else { at.linear };
            // SAFETY: the operand reaches to its last element, by the contract; this one is not behind it.
            self.slots[slot] = unsafe { first.add(offset) };
        }
        for (i, (feed, load)) in program.feeds.iter().enumerate() {
            if *feed == Feed::Gather {
                // SAFETY: a register of `width` elements, which no other slice refers to now.
                let slot = unsafe { std::slice::from_raw_parts_mut(self.slots[program.registers + i], self.width) };
                let slot = &mut slot[..at.len];
                // SAFETY: the operand is of this length and kind, by the contract.
                unsafe { gather(program, i, load, self.reads[i], at, slot) };
            }
        }
        let slots = &self.slots[..];
        for op in &program.ops {
            let read = |slot: u16| -> &[E] {
                if slot == NOWHERE {
                    return &[];
                }
                // SAFETY: every slot is a register of `width >= len` elements or lies in an operand that is
                // long enough by the contract. `new` proved that no kernel reads its own destination: registers
                // differ, and stores written in place share no element with each other; reads overlap no write.
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
            // SAFETY: a register of `width` elements.
            let values = unsafe { std::slice::from_raw_parts(slots[store.register as usize], at.len) };
            let (to, len) = (self.writes[store.buffer], program.needs.1[store.buffer]);
            if store.bools {
                // SAFETY: the buffer is of this length and kind, by the contract.
                let out = unsafe { std::slice::from_raw_parts_mut(to, len) };
                scatter(&program.dims, store, at, values, out, |v| (v != E::ZERO) as u8);
            } else {
                // SAFETY: as above.
                let out = unsafe { std::slice::from_raw_parts_mut(to.cast::<E>(), len) };
                scatter(&program.dims, store, at, values, out, |v| v);
            }
        }
    }
}

fn truth<E: Num>(bit: u8) -> E {
    if bit != 0 { E::ONE } else { E::ZERO }
}

/// A position of the tile in the index space.
pub(super) struct Position<'p> {
    /// Index along each axis.
    pub index: &'p [usize; MAX_AXES],
    /// The same as a linear index.
    pub linear: usize,
    /// Elements of the tile.
    pub len: usize,
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

/// Copies the tile's elements of input `i` to a register.
///
/// # Safety
/// `from` is the address of as many elements of the input's kind as the program needs.
unsafe fn gather<E: Num>(
    program: &TileProgram<E>,
    i: usize,
    load: &Load,
    from: *const u8,
    at: &Position<'_>,
    slot: &mut [E],
) {
    let len = program.needs.0[i];
    let step = load.strides.last().copied().unwrap_or(0);
    if load.bools {
        // SAFETY: by the contract.
        let data = unsafe { std::slice::from_raw_parts(from, len) };
        runs(&program.dims, &load.strides, at, |first, from, len| {
            let slot = &mut slot[first..first + len];
            slot.iter_mut().enumerate().for_each(|(i, s)| *s = truth(data[from + i * step]));
        });
    } else {
        // SAFETY: by the contract.
        let data = unsafe { std::slice::from_raw_parts(from.cast::<E>(), len) };
        runs(&program.dims, &load.strides, at, |first, from, len| {
            let slot = &mut slot[first..first + len];
            match step {
                1 => slot.copy_from_slice(&data[from..from + len]),
                0 => slot.fill(data[from]),
                _ => slot.iter_mut().enumerate().for_each(|(i, s)| *s = data[from + i * step]),
            }
        });
    }
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
