//! Operands that kernels cannot use where they lie: copies between strided memory and registers.

use super::bound::truth;
use super::rows::Spread;
use super::{Load, Store};
use crate::isa::{Task, dispatch};
use crate::lane::Num;
use crate::map::Piece;
use crate::memory::Pod;
use crate::strided::MAX_AXES;

/// Elements of an operand: where they are in memory and in a register.
#[derive(Clone, Copy)]
pub(super) struct Row<E> {
    pub register: *mut E,
    /// Elements from the operand's first.
    pub offset: usize,
    /// Elements from one to the next in memory; in the register they are adjacent.
    pub stride: usize,
    pub len: usize,
    /// Whether they are truth values in memory.
    pub bools: bool,
}

impl<E: Num + Pod> Row<E> {
    /// The row of an operand in pieces, if its elements are adjacent lanes.
    pub(super) fn pieces(&self, operand: usize) -> Option<impl Iterator<Item = Piece>> {
        let words = size_of::<E>() / 4;
        let (row, step) = (*self, Piece::LARGEST / words);
        (self.stride == 1 && !self.bools).then(|| {
            (0..row.len).step_by(step).map(move |start| Piece {
                operand: operand as u32,
                words: (step.min(row.len - start) * words) as u32,
                offset: (row.offset + start) * size_of::<E>(),
                register: row.register.wrapping_add(start).cast(),
            })
        })
    }

    /// # Safety
    /// `from` is the address of the operand, whose elements up to the row's last may be read; the register is valid for
    /// the row and referred to by nothing else.
    #[inline]
    pub(super) unsafe fn read(&self, from: *mut u8) {
        // SAFETY: by the contract, here and below.
        let to = unsafe { std::slice::from_raw_parts_mut(self.register, self.len) };
        let reach = (self.len - 1) * self.stride + 1;
        if self.bools {
            // SAFETY: as above.
            let data = unsafe { std::slice::from_raw_parts(from.add(self.offset).cast_const(), reach) };
            if self.stride == 1 {
                return dispatch(FromTruth { to, data });
            }
            to.iter_mut().zip(data.iter().step_by(self.stride.max(1))).for_each(|(t, bit)| *t = truth(*bit));
            if self.stride == 0 {
                to.fill(truth(data[0]));
            }
            return;
        }
        // SAFETY: as above.
        let data = unsafe { std::slice::from_raw_parts(from.cast::<E>().add(self.offset).cast_const(), reach) };
        match self.stride {
            0 => dispatch(Fill { to, value: data[0] }),
            1 => to.copy_from_slice(data),
            stride => to.iter_mut().zip(data.iter().step_by(stride)).for_each(|(t, v)| *t = *v),
        }
    }

    /// Fills a row of `n` elements of the register, `step` apart, with each value.
    ///
    /// # Safety
    /// `from` is the address of the operand, whose elements up to the last value may be read; the register is valid for the rows and
    /// referred to by nothing else.
    #[inline]
    pub(super) unsafe fn spread(&self, from: *mut u8, step: usize, n: usize) {
        let values = from.cast::<E>().cast_const().wrapping_add(self.offset);
        dispatch(Spread { values, stride: self.stride, to: self.register, step, size: (self.len, n) });
    }

    /// # Safety
    /// `to` is the address of the operand, whose elements up to the row's last may be written; the register holds the row.
    #[inline]
    pub(super) unsafe fn write(&self, to: *mut u8) {
        // SAFETY: by the contract, here and below.
        let values = unsafe { std::slice::from_raw_parts(self.register.cast_const(), self.len) };
        let (reach, step) = ((self.len - 1) * self.stride + 1, self.stride.max(1));
        if self.bools {
            // SAFETY: as above.
            let data = unsafe { std::slice::from_raw_parts_mut(to.add(self.offset), reach) };
            if self.stride == 1 {
                return dispatch(ToTruth { data, values });
            }
            data.iter_mut().step_by(step).zip(values).for_each(|(d, v)| *d = (*v != E::ZERO) as u8);
            return;
        }
        // SAFETY: as above.
        let data = unsafe { std::slice::from_raw_parts_mut(to.cast::<E>().add(self.offset), reach) };
        match self.stride {
            1 => data.copy_from_slice(values),
            _ => data.iter_mut().step_by(step).zip(values).for_each(|(d, v)| *d = *v),
        }
    }
}

/// One value to all lanes.
struct Fill<'a, E> {
    to: &'a mut [E],
    value: E,
}

impl<E: Num> Task for Fill<'_, E> {
    type Out = ();
    #[inline(always)]
    fn run(self) {
        self.to.fill(self.value);
    }
}

/// Adjacent truth values to lanes.
struct FromTruth<'a, E> {
    to: &'a mut [E],
    data: &'a [u8],
}

impl<E: Num> Task for FromTruth<'_, E> {
    type Out = ();
    #[inline(always)]
    fn run(self) {
        self.to.iter_mut().zip(self.data).for_each(|(to, bit)| *to = truth(*bit));
    }
}

/// Lanes to adjacent truth values.
struct ToTruth<'a, E> {
    data: &'a mut [u8],
    values: &'a [E],
}

impl<E: Num> Task for ToTruth<'_, E> {
    type Out = ();
    #[inline(always)]
    fn run(self) {
        self.data.iter_mut().zip(self.values).for_each(|(bit, value)| *bit = (*value != E::ZERO) as u8);
    }
}

/// Element strides of an operand, and whether it holds truth values.
pub(super) trait Layout {
    fn strides(&self) -> &[usize];
    fn bools(&self) -> bool;
}

impl Layout for Load {
    fn strides(&self) -> &[usize] {
        &self.strides
    }
    fn bools(&self) -> bool {
        self.bools
    }
}

impl Layout for Store {
    fn strides(&self) -> &[usize] {
        &self.strides
    }
    fn bools(&self) -> bool {
        self.bools
    }
}

/// The rows of a block of `rows` by `cols` elements at `index`; in the register they are `step` apart.
#[inline]
pub(super) fn block<E: Num + Pod>(
    layout: &impl Layout,
    base: usize,
    index: &[usize],
    (rows, cols): (usize, usize),
    register: *mut E,
    step: usize,
    mut visit: impl FnMut(&Row<E>),
) {
    let strides = layout.strides();
    let offset = base + dot(strides, index);
    let above = strides.len().checked_sub(2).map_or(0, |axis| strides[axis]);
    let stride = strides.last().copied().unwrap_or(1);
    for row in 0..rows {
        let register = register.wrapping_add(row * step);
        visit(&Row { register, offset: offset + row * above, stride, len: cols, bools: layout.bools() });
    }
}

/// The first elements of `rows` rows at `index`, side by side in the register.
#[inline]
pub(super) fn column<E: Num + Pod>(
    layout: &impl Layout,
    base: usize,
    index: &[usize],
    rows: usize,
    register: *mut E,
) -> Row<E> {
    let strides = layout.strides();
    let stride = strides.len().checked_sub(2).map_or(0, |axis| strides[axis]);
    Row { register, offset: base + dot(strides, index), stride, len: rows, bools: layout.bools() }
}

/// The rows that `len` elements from `index` on, in row-major order, consist of; in the register they are adjacent.
#[inline]
pub(super) fn run<E: Num + Pod>(
    dims: &[usize],
    layout: &impl Layout,
    base: usize,
    index: &[usize; MAX_AXES],
    len: usize,
    register: *mut E,
    mut visit: impl FnMut(&Row<E>),
) {
    let strides = layout.strides();
    let stride = strides.last().copied().unwrap_or(1);
    let mut row = Row { register, offset: base, stride, len: 1, bools: layout.bools() };
    let Some(last) = dims.len().checked_sub(1) else { return visit(&row) };
    let mut index = *index;
    let mut done = 0;
    loop {
        row.len = (dims[last] - index[last]).min(len - done);
        row.offset = base + dot(strides, &index[..dims.len()]);
        row.register = register.wrapping_add(done);
        visit(&row);
        done += row.len;
        if done == len {
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

fn dot(strides: &[usize], index: &[usize]) -> usize {
    strides.iter().zip(index).map(|(s, i)| s * i).sum()
}
