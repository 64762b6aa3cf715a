//! Memory asked for ahead of its use.

/// What for memory is asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hint {
    /// To be read.
    Read,
    /// To be written.
    Written,
}

/// Asks for the cache line at an address, which may lie anywhere; a hint without effect on values.
#[inline(always)]
pub(crate) fn ask(at: *const u8, hint: Hint) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_ET0, _MM_HINT_T1, _mm_prefetch};
        let at = at.cast();
        // SAFETY: a prefetch reads and writes nothing, whatever the address.
        unsafe {
            match hint {
                Hint::Read => _mm_prefetch::<_MM_HINT_T1>(at),
                Hint::Written => _mm_prefetch::<_MM_HINT_ET0>(at),
            }
        }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = (at, hint);
}

/// Says that a value at some address, which may be any, is about to be written; without effect on values.
#[inline(always)]
pub fn about_to_write<T>(at: *const T) {
    for line in (0..size_of::<T>()).step_by(LINE) {
        ask(at.cast::<u8>().wrapping_add(line), Hint::Written);
    }
}

/// Bytes of a cache line: one, at the most, is asked for in a step of k.
pub(crate) const LINE: usize = 64;

/// Ranges of memory that an instruction will soon touch, asked for bit by bit while a product is computed. A product leaves the
/// memory idle, while an elementwise program that has to wait for far memory waits long.
pub(crate) struct Ahead<'r> {
    /// Addresses and bytes.
    ranges: &'r [(*mut u8, usize)],
    /// Bytes of the first range that have been asked for.
    asked: usize,
}

impl<'r> Ahead<'r> {
    /// Nothing is asked for.
    pub(crate) fn none() -> Ahead<'static> {
        Ahead::of(&[])
    }

    /// Asks for these ranges, one after the other.
    pub(crate) fn of(ranges: &'r [(*mut u8, usize)]) -> Ahead<'r> {
        Ahead { ranges, asked: 0 }
    }

    /// Where a tile of `steps` steps of k begins to ask, and the bytes it moves on in each; `None` if all has been asked for.
    #[inline]
    pub(crate) fn next(&mut self, steps: usize) -> Option<(*const u8, usize)> {
        let (&(at, bytes), rest) = self.ranges.split_first()?;
        let from = at.wrapping_add(self.asked).cast_const();
        let rate = (bytes - self.asked).div_ceil(steps).min(LINE);
        self.asked += rate * steps;
        if self.asked >= bytes {
            (self.ranges, self.asked) = (rest, 0);
        }
        Some((from, rate))
    }
}
