//! The order in which the sums of blocks become one.

use std::ops::Range;

/// How a long sum is put together from the sums of its blocks.
///
/// The blocks of `0..len` start at multiples of the block length, whichever is added first. Whoever has the addends in
/// pieces that start at multiples of it, and adds piece after piece onto the result in the same direction, gets the bits
/// of one call. `-0.0` is what a first piece is added onto: it changes no sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Blocks {
    /// From the last block to the first.
    pub backward: bool,
    /// Added one after the other to what the result holds, which is overwritten otherwise.
    pub onto: bool,
}

impl Blocks {
    /// Calls `visit` with the blocks of `0..len` in order, and whether the block is added to what is there.
    pub(crate) fn for_each(self, len: usize, block: usize, mut visit: impl FnMut(Range<usize>, bool)) {
        let count = len.div_ceil(block);
        for turn in 0..count {
            let at = if self.backward { count - 1 - turn } else { turn };
            visit(at * block..len.min((at + 1) * block), self.onto || turn > 0);
        }
    }
}
