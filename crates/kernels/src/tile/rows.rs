//! Calls between the elements of a tile's rows and values of which there is one a row.

use super::{Source, Store, TileOp};
use crate::isa::{Task, dispatch};
use crate::lane::Num;
use crate::map::{Raw, Rows, Steps};
use crate::memory::Pod;
use crate::reduce::{Fold, Max, Min, Prod, ReduceShape, Reduction, Sum, reduce_by};

/// Which inputs, and which results, have one value a row.
///
/// # Panics
/// If an operand has one value a row for one call and one an element for another.
pub(super) fn operands<E: Num + Pod>(ops: &[TileOp<E>], inputs: usize, stores: &[Store]) -> (Vec<bool>, Vec<bool>) {
    let mut reads: Vec<Option<bool>> = vec![None; inputs];
    let mut registers: Vec<bool> = Vec::new();
    for op in ops {
        let (by_row, result) = op.code.by_row();
        for source in op.src {
            let held = match source {
                Source::None => continue,
                Source::Input(i) => *reads[i as usize].get_or_insert(by_row),
                Source::Register(r) => registers.get(r as usize).copied().unwrap_or(by_row),
            };
            assert!(held == by_row, "an operand has values of rows or of elements");
        }
        let register = op.dst as usize;
        registers.resize(registers.len().max(register + 1), false);
        registers[register] = result;
    }
    let writes = stores.iter().map(|store| registers[store.register as usize]).collect();
    (reads.into_iter().map(|by_row| by_row == Some(true)).collect(), writes)
}

/// The call that reduces rows of elements to values side by side.
pub(super) fn fold<E: Num + Pod>(kind: Reduction) -> Raw<E> {
    match kind {
        Reduction::Sum => reduced::<Sum, E>,
        Reduction::Prod => reduced::<Prod, E>,
        Reduction::Max => reduced::<Max, E>,
        Reduction::Min => reduced::<Min, E>,
    }
}

/// # Safety
/// As [`Raw`], for a result of one value a row.
unsafe fn reduced<F: Fold, E: Num + Pod>(at: &Rows<E>, steps: &Steps, n: usize, rows: usize) {
    // SAFETY: the rows may be read from the first to the last, and one value for each may be written, by the contract.
    let (src, dst) = unsafe {
        let src = std::slice::from_raw_parts(at[1].cast_const(), (rows - 1) * steps[1] + n);
        (src, std::slice::from_raw_parts_mut(at[0], rows))
    };
    reduce_by::<F, E>(ReduceShape { outer: (rows, steps[1]), reduced: (n, 1), inner: 1 }, dst, src);
}

/// Spreads values side by side over rows.
///
/// # Safety
/// As [`Raw`], for a source of one value a row.
pub(super) unsafe fn spread<E: Num + Pod>(at: &Rows<E>, steps: &Steps, n: usize, rows: usize) {
    dispatch(Spread { values: at[1].cast_const(), stride: 1, to: at[0], step: steps[0], size: (rows, n) });
}

/// Fills rows with a value each.
///
/// Whoever runs it answers for this: the values, `stride` apart, may be read, and the rows of `size.1` elements, `step` apart, may be
/// written and hold none of the values.
pub(super) struct Spread<E> {
    pub values: *const E,
    pub stride: usize,
    pub to: *mut E,
    pub step: usize,
    pub size: (usize, usize),
}

impl<E: Pod> Task for Spread<E> {
    type Out = ();
    #[inline(always)]
    fn run(self) {
        for row in 0..self.size.0 {
            // SAFETY: whoever made it answers for it.
            unsafe {
                let value = *self.values.add(row * self.stride);
                std::slice::from_raw_parts_mut(self.to.add(row * self.step), self.size.1).fill(value);
            }
        }
    }
}
