//! Running a bound program: tile by tile over its index space.

use super::super::copies::{block, column, run};
use super::super::{LONG_TILE, TILE, TileProgram, Tiling};
use super::{Bound, Moving, truth};
use crate::ahead::ask;
use crate::lane::Num;
use crate::map::copy_pieces;
use crate::memory::Pod;
use crate::strided::MAX_AXES;
use std::ops::Range;

impl<E: Num + Pod> Bound<E> {
    /// Runs the program to which this is bound, on addresses: `part` of the last axis, which is all of it but for a
    /// [`Tiling::Long`] program.
    ///
    /// # Safety
    /// Each address is that of as many elements as [`reads`](TileProgram::reads) and [`writes`](TileProgram::writes) say,
    /// aligned and initialised; nothing else reaches the written ones during the call, and reads overlap no write, but for
    /// those that it was bound with: an input that [`replaces`](TileProgram::replaces) proved may lie in its output.
    #[inline]
    pub(crate) unsafe fn run(
        &mut self,
        program: &TileProgram<E>,
        part: Range<usize>,
        reads: &[*mut u8],
        writes: &[*mut u8],
    ) {
        let n: usize = program.dims.iter().product();
        if n == 0 {
            return;
        }
        for (i, register, held) in &mut self.constants {
            let value = if program.feeds[*i].1.bools {
                // SAFETY: the operand has at least one element of its kind.
                truth(unsafe { *reads[*i] })
            } else {
                // SAFETY: as above.
                unsafe { *reads[*i].cast::<E>() }
            };
            if held.is_none_or(|held| !same(held, value)) {
                let width = match program.tiling {
                    Tiling::Small => n.next_multiple_of(64 / size_of::<E>()),
                    Tiling::Across => TILE,
                    Tiling::Long => LONG_TILE / size_of::<E>(),
                    Tiling::Rows { cols, rows } => cols.max(rows).next_multiple_of(64 / size_of::<E>()),
                };
                // SAFETY: a register of at least `width` elements, which nothing else refers to now.
                unsafe { std::slice::from_raw_parts_mut(*register, width) }.fill(value);
                *held = Some(value);
            }
        }
        for moving in &mut self.moving {
            moving.outer = match moving.source {
                Ok(input) => reads[input].cast::<E>(),
                Err(store) => {
                    let store = &program.stores[store].1;
                    writes[store.buffer].cast::<E>().wrapping_add(store.offset)
                }
            };
        }
        // SAFETY: the contract is handed on.
        unsafe {
            match program.tiling {
                Tiling::Small => {
                    copy_pieces::<true>(&self.reads.pieces, reads);
                    self.reads.rows.iter().for_each(|(input, row)| row.read(reads[*input]));
                    self.calls::<false>(n.next_multiple_of(64 / size_of::<E>()), 1);
                    copy_pieces::<false>(&self.writes.pieces, writes);
                    self.writes.rows.iter().for_each(|(buffer, row)| row.write(writes[*buffer]));
                }
                Tiling::Rows { cols, rows } if self.by_row => self.rows::<true>(program, reads, writes, (cols, rows)),
                Tiling::Rows { cols, rows } => self.rows::<false>(program, reads, writes, (cols, rows)),
                Tiling::Long => self.long(program, part, reads, writes),
                Tiling::Across => self.across(program, reads, writes, n),
            }
        }
    }

    /// Puts moving operands at an element of their first row.
    fn start(&mut self, element: usize) {
        for (place, moving) in self.places.iter_mut().zip(&self.moving) {
            *place = moving.outer.wrapping_add(element);
        }
    }

    /// # Safety
    /// As [`run`](Self::run); moving operands are at rows of `n` elements inside of their memory. `BY_ROW` unless the program has no
    /// [values of rows](TileProgram::has_rows).
    #[inline(always)]
    unsafe fn calls<const BY_ROW: bool>(&mut self, n: usize, rows: usize) {
        let rows_of = self.rows.as_flattened_mut();
        for used in &self.uses {
            rows_of[used.operand as usize] = self.places[used.moving as usize];
        }
        let mut asked = 0;
        for (call, at) in self.calls.iter().zip(&self.rows) {
            for line in &self.asks[asked..call.asked] {
                ask(
                    self.places[line.moving as usize].cast_const().cast::<u8>().wrapping_offset(line.offset),
                    line.hint,
                );
            }
            asked = call.asked;
            // SAFETY: registers hold a tile and differ from each other; `new` proved that no kernel reads its own
            // destination; stores written in place share no element with each other, and reads overlap no write: `bind` lets
            // a result that replaces an input wait if a later call reads it, or this one whose kernel does not run in place.
            unsafe {
                match BY_ROW && call.by_row {
                    true => (call.raw)(at, &call.steps, rows.next_multiple_of(64 / size_of::<E>()), 1),
                    false => (call.raw)(at, &call.steps, n, rows),
                }
            };
        }
    }

    /// # Safety
    /// As [`run`](Self::run).
    unsafe fn rows<const BY_ROW: bool>(
        &mut self,
        program: &TileProgram<E>,
        reads: &[*mut u8],
        writes: &[*mut u8],
        (cols, rows): (usize, usize),
    ) {
        let dims = &program.dims[..];
        let strides = |moving: &Moving<E>| match moving.source {
            Ok(input) => &program.feeds[input].1.strides[..],
            Err(store) => &program.stores[store].1.strides[..],
        };
        let last = dims.len() - 1;
        let (above, inner) = (last.checked_sub(1).map_or(1, |axis| dims[axis]), dims[last]);
        let outer = last.saturating_sub(1);
        let mut index = [0usize; MAX_AXES];
        loop {
            for row in (0..above).step_by(rows) {
                let height = rows.min(above - row);
                for col in (0..inner).step_by(cols) {
                    let width = cols.min(inner - col);
                    if last > 0 {
                        index[last - 1] = row;
                    }
                    index[last] = col;
                    for (place, moving) in self.places.iter_mut().zip(&self.moving) {
                        *place = moving.outer.wrapping_add(row * moving.row + col);
                    }
                    // SAFETY: the tile lies in the index space, for which operands are long enough by the contract; the
                    // registers hold a tile.
                    unsafe {
                        for (i, to) in &self.gathers {
                            let load = &program.feeds[*i].1;
                            let (from, at, size) = (reads[*i], &index[..=last], (height, width));
                            let values = column(load, 0, at, height, *to);
                            match load.strides[..] {
                                _ if BY_ROW && program.by_row.0[*i] => values.read(from),
                                [.., _, 0] if !load.bools => values.spread(from, self.step, width),
                                _ => block(load, 0, at, size, *to, self.step, |row| row.read(from)),
                            }
                        }
                        self.calls::<BY_ROW>(width, height);
                        for (i, from) in &self.scatters {
                            let store = &program.stores[*i].1;
                            let (to, at, size) = (writes[store.buffer], &index[..=last], (height, width));
                            match BY_ROW && program.by_row.1[*i] {
                                true => column(store, store.offset, at, height, *from).write(to),
                                false => block(store, store.offset, at, size, *from, self.step, |row| row.write(to)),
                            }
                        }
                        for (moving, from) in &self.waiting {
                            let (place, step) = (self.places[*moving], self.moving[*moving].row);
                            for row in 0..height {
                                place.add(row * step).copy_from_nonoverlapping(from.add(row * self.step), width);
                            }
                        }
                    }
                }
            }
            let mut axis = outer;
            loop {
                if axis == 0 {
                    return;
                }
                axis -= 1;
                index[axis] += 1;
                for moving in &mut self.moving {
                    moving.outer = moving.outer.wrapping_add(strides(moving)[axis]);
                }
                if index[axis] < dims[axis] {
                    break;
                }
                for moving in &mut self.moving {
                    moving.outer = moving.outer.wrapping_sub(strides(moving)[axis] * dims[axis]);
                }
                index[axis] = 0;
            }
        }
    }

    /// # Safety
    /// As [`run`](Self::run).
    unsafe fn long(&mut self, program: &TileProgram<E>, part: Range<usize>, reads: &[*mut u8], writes: &[*mut u8]) {
        let cols = LONG_TILE / size_of::<E>();
        self.start(part.start);
        for col in part.clone().step_by(cols) {
            let width = cols.min(part.end - col);
            let mut index = [0; MAX_AXES];
            index[0] = col;
            // SAFETY: as in `rows`; `run` gives the whole of the only axis in parts.
            unsafe {
                for (i, to) in &self.gathers {
                    let from = reads[*i];
                    run(&program.dims, &program.feeds[*i].1, 0, &index, width, *to, |row| row.read(from));
                }
                self.calls::<false>(width, 1);
                for (i, from) in &self.scatters {
                    let store = &program.stores[*i].1;
                    let to = writes[store.buffer];
                    run(&program.dims, store, store.offset, &index, width, *from, |row| row.write(to));
                }
                for (moving, from) in &self.waiting {
                    self.places[*moving].copy_from_nonoverlapping(*from, width);
                }
            }
            self.places.iter_mut().for_each(|place| *place = place.wrapping_add(cols));
        }
    }

    /// # Safety
    /// As [`run`](Self::run).
    unsafe fn across(&mut self, program: &TileProgram<E>, reads: &[*mut u8], writes: &[*mut u8], n: usize) {
        let dims = &program.dims[..];
        let mut index = [0usize; MAX_AXES];
        for start in (0..n).step_by(TILE) {
            let len = TILE.min(n - start);
            let mut rest = start;
            for axis in (0..dims.len()).rev() {
                index[axis] = rest % dims[axis];
                rest /= dims[axis];
            }
            self.start(start);
            // SAFETY: as in `rows`, run by run.
            unsafe {
                for (i, to) in &self.gathers {
                    let from = reads[*i];
                    run(dims, &program.feeds[*i].1, 0, &index, len, *to, |row| row.read(from));
                }
                self.calls::<false>(len, 1);
                for (i, from) in &self.scatters {
                    let store = &program.stores[*i].1;
                    let to = writes[store.buffer];
                    run(dims, store, store.offset, &index, len, *from, |row| row.write(to));
                }
                for (moving, from) in &self.waiting {
                    self.places[*moving].copy_from_nonoverlapping(*from, len);
                }
            }
        }
    }
}

/// Whether two values have the same bits, but for NaNs, which are never the same.
fn same<E: Num>(a: E, b: E) -> bool {
    a == b && a.to_f64().is_sign_negative() == b.to_f64().is_sign_negative()
}
