//! What a micro-kernel needs from one register of an instruction set.

use super::sealed::Sealed;

/// A SIMD register of `LANES` elements.
///
/// # Safety
/// Every method requires that the processor has the instruction set of the implementing type; methods that take a
/// pointer require that the lanes they name can be read or written.
/// Methods are `#[inline(always)]` in every implementation, so that they dissolve in the `#[target_feature]`
/// function that calls them.
pub(super) trait Vector: Copy {
    /// The element type.
    type Elem: Sealed;
    /// Elements in one register.
    const LANES: usize;

    /// `value` in every lane.
    unsafe fn splat(value: Self::Elem) -> Self;
    /// Lanes from `from`, which need not be aligned.
    unsafe fn load(from: *const Self::Elem) -> Self;
    /// The first `n <= LANES` lanes from `from`, zeros in the others; reads nothing beyond.
    unsafe fn load_first(from: *const Self::Elem, n: usize) -> Self;
    /// All lanes to `to`, which need not be aligned.
    unsafe fn store(self, to: *mut Self::Elem);
    /// The first `n <= LANES` lanes to `to`; writes nothing beyond.
    unsafe fn store_first(self, to: *mut Self::Elem, n: usize);
    /// `self * factor + addend`, rounded once where the instruction set can.
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// `self + other`.
    unsafe fn add(self, other: Self) -> Self;
    /// Asks for the cache line at `address`, which may lie anywhere; a hint without effect on values.
    #[inline(always)]
    unsafe fn prefetch(address: *const Self::Elem) {
        let _ = address;
    }
}
