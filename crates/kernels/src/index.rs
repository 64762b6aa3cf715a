//! Reading and accumulating by index along one axis of a table.

use crate::isa::{Task, dispatch};
use crate::lane::Num;
use crate::memory::Pod;
use crate::strided::for_each_row;

/// An index space, and where an index and what it chooses lie.
#[derive(Clone, Copy, Debug)]
pub struct IndexShape<'s> {
    /// Extents of the index.
    pub dims: &'s [usize],
    /// Element strides of the values read or added, of the index, and of the table, in which the indexed axis counts 0.
    pub strides: [&'s [usize]; 3],
    /// Entries of the indexed axis.
    pub entries: usize,
    /// The table's elements from an entry to the next.
    pub step: usize,
}

/// An index that names no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    /// Its position in row-major order.
    pub position: usize,
    /// What it is.
    pub index: i64,
}

impl IndexShape<'_> {
    /// Calls `step` with the starts of values, index and table for each row of the index, until it fails.
    fn rows(&self, mut step: impl FnMut([usize; 3], usize) -> Result<(), (usize, i64)>) -> Result<(), OutOfRange> {
        let n = self.dims.last().copied().unwrap_or(1);
        let (mut before, mut found) = (0, Ok(()));
        for_each_row(self.dims, self.strides, |at| {
            if found.is_ok() {
                found = step(at, n).map_err(|(at, index)| OutOfRange { position: before + at, index });
                before += n;
            }
        });
        found
    }

    /// Strides along the last axis.
    fn last(&self) -> [usize; 3] {
        self.strides.map(|strides| strides.last().copied().unwrap_or(0))
    }

    /// The entry that an index names, as elements from the axis' first.
    #[inline(always)]
    fn entry(&self, at: usize, index: i64) -> Result<usize, (usize, i64)> {
        // A negative one is greater than any extent.
        if (index as u64) < self.entries as u64 { Ok(index as usize * self.step) } else { Err((at, index)) }
    }
}

/// `values[i] = table[i with index[i] on the axis]`.
///
/// # Errors
/// The first index, in row-major order, that names no entry; values before it are written.
///
/// # Panics
/// If a position leaves its slice.
pub fn gather<T: Pod>(shape: IndexShape<'_>, values: &mut [T], table: &[T], index: &[i64]) -> Result<(), OutOfRange> {
    let [to, along, from] = shape.last();
    shape.rows(|[v, i, t], n| match (to, along, from) {
        (1, 0, 1) => {
            let start = t + shape.entry(0, index[i])?;
            values[v..v + n].copy_from_slice(&table[start..start + n]);
            Ok(())
        }
        (1, 1, 0) if shape.step == 1 && shape.entries > 0 => {
            let line = &table[t..t + shape.entries];
            for (at, (value, index)) in values[v..v + n].iter_mut().zip(&index[i..i + n]).enumerate() {
                *value = *line.get(*index as usize).ok_or((at, *index))?;
            }
            Ok(())
        }
        _ => (0..n).try_for_each(|k| {
            values[v + k * to] = table[t + k * from + shape.entry(k, index[i + k * along])?];
            Ok(())
        }),
    })
}

/// `table[i with index[i] on the axis] += values[i]`, in row-major order.
///
/// # Errors
/// The first index, in row-major order, that names no entry; values before it are added.
///
/// # Panics
/// If a position leaves its slice.
pub fn scatter_add<T: Num + Pod>(
    shape: IndexShape<'_>,
    table: &mut [T],
    index: &[i64],
    values: &[T],
) -> Result<(), OutOfRange> {
    let [from, along, to] = shape.last();
    shape.rows(|[v, i, t], n| match (from, along, to) {
        (1, 0, 1) => {
            let start = t + shape.entry(0, index[i])?;
            dispatch(AddRow { to: &mut table[start..start + n], values: &values[v..v + n] });
            Ok(())
        }
        (1, 1, 0) if shape.step == 1 && shape.entries > 0 => {
            let line = &mut table[t..t + shape.entries];
            for (at, (value, index)) in values[v..v + n].iter().zip(&index[i..i + n]).enumerate() {
                let slot = line.get_mut(*index as usize).ok_or((at, *index))?;
                *slot = slot.add(*value);
            }
            Ok(())
        }
        _ => (0..n).try_for_each(|k| {
            let slot = &mut table[t + k * to + shape.entry(k, index[i + k * along])?];
            *slot = slot.add(values[v + k * from]);
            Ok(())
        }),
    })
}

struct AddRow<'a, T> {
    to: &'a mut [T],
    values: &'a [T],
}

impl<T: Num> Task for AddRow<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run(self) {
        self.to.iter_mut().zip(self.values).for_each(|(to, value)| *to = to.add(*value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_entries_and_strides_agree() {
        // Table [3, 4], index along axis 0 of extents [2, 4]: as it is, as a list, and transposed in memory.
        let table: Vec<i64> = (0..12).collect();
        let shape = |index: &'static [usize]| IndexShape {
            dims: &[2, 4],
            strides: [&[4, 1], index, &[0, 1]],
            entries: 3,
            step: 4,
        };
        let mut values = [0; 8];
        assert_eq!(gather(shape(&[1, 0]), &mut values, &table, &[2, 0]), Ok(()));
        assert_eq!(values, [8, 9, 10, 11, 0, 1, 2, 3]);
        assert_eq!(gather(shape(&[4, 1]), &mut values, &table, &[2, 2, 2, 2, 0, 0, 0, 1]), Ok(()));
        assert_eq!(values, [8, 9, 10, 11, 0, 1, 2, 7]);
        assert_eq!(gather(shape(&[1, 2]), &mut values, &table, &[2, 0, 2, 0, 2, 0, 2, 1]), Ok(()));
        assert_eq!(values, [8, 9, 10, 11, 0, 1, 2, 7]);

        let mut sums = vec![100; 12];
        assert_eq!(scatter_add(shape(&[1, 0]), &mut sums, &[1, 1], &values), Ok(()));
        assert_eq!(sums[4..8], [108, 110, 112, 118]);
        assert_eq!(scatter_add(shape(&[4, 1]), &mut sums, &[0, 0, 0, 0, 2, 2, 2, 2], &values), Ok(()));
        assert_eq!((&sums[..4], &sums[8..]), (&[108, 109, 110, 111][..], &[100, 101, 102, 107][..]));
    }

    #[test]
    fn the_first_index_out_of_range_is_named() {
        let along = IndexShape { dims: &[2, 3], strides: [&[3, 1], &[3, 1], &[4, 0]], entries: 4, step: 1 };
        let mut values = [0.0f32; 6];
        let table = [1.0; 8];
        let found = gather(along, &mut values, &table, &[0, 1, 2, 3, 4, -1]);
        assert_eq!(found, Err(OutOfRange { position: 4, index: 4 }));
        let found = scatter_add(along, &mut [0.0; 8], &[0, 1, -1, 3, 4, 0], &values);
        assert_eq!(found, Err(OutOfRange { position: 2, index: -1 }));
        let none = IndexShape { entries: 0, ..along };
        assert_eq!(gather(none, &mut values, &[], &[0; 6]), Err(OutOfRange { position: 0, index: 0 }));
        let empty = IndexShape { dims: &[0, 3], ..along };
        assert_eq!(gather(empty, &mut [], &table, &[]), Ok(()));
    }
}
