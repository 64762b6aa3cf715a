//! Copies of a few elements by masked loads and stores.
//!
//! A copy of unknown small length is otherwise a call of `memcpy`, and the vector load that follows
//! waits for its narrow stores; for a cell of four units that costs more than the arithmetic. The
//! element types are 4 or 8 plain bytes, so all copy 32-bit words.

use super::{MAX_BLOCK, Pad};
use crate::lane::Num;
use std::arch::x86_64::*;

/// The 32-bit words of `x`, which must be few enough for a pad.
#[inline(always)]
fn words<E>(x: &[E]) -> usize {
    let words = size_of_val(x) / 4;
    assert!(words <= MAX_BLOCK);
    words
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn fill_avx512<E: Num>(x: &[E]) -> Pad<E> {
    let mut pad = [E::ZERO; MAX_BLOCK];
    let mask = ((1u32 << words(x)) - 1) as __mmask16;
    // SAFETY: the mask admits the words of `x` and no more; a pad has at least 64 bytes.
    unsafe {
        let v = _mm512_maskz_loadu_epi32(mask, x.as_ptr().cast());
        _mm512_storeu_si512(pad.as_mut_ptr().cast(), v);
    }
    pad
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn spill_avx512<E: Num>(dst: &mut [E], pad: &Pad<E>) {
    let mask = ((1u32 << words(dst)) - 1) as __mmask16;
    // SAFETY: the mask admits the words of `dst` and no more; a pad has at least 64 bytes.
    unsafe {
        let v = _mm512_loadu_si512(pad.as_ptr().cast());
        _mm512_mask_storeu_epi32(dst.as_mut_ptr().cast(), mask, v);
    }
}

/// Copies pieces by masked loads and stores.
///
/// # Safety
/// As [`copy_pieces`](super::copy_pieces).
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn copy_pieces_avx512<const TO_REGISTERS: bool>(pieces: &[super::Piece], operands: &[*mut u8]) {
    for piece in pieces {
        let mask = ((1u32 << piece.words) - 1) as __mmask16;
        // SAFETY: by the contract; the mask admits the words of the piece and no more.
        unsafe {
            let memory = operands.get_unchecked(piece.operand as usize).add(piece.offset);
            let (to, from) = if TO_REGISTERS { (piece.register, memory) } else { (memory, piece.register) };
            _mm512_mask_storeu_epi32(to.cast(), mask, _mm512_maskz_loadu_epi32(mask, from.cast()));
        }
    }
}

/// The masks of the first and the second eight of `words` words.
#[inline]
#[target_feature(enable = "avx2")]
fn masks(words: usize) -> [__m256i; 2] {
    let index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    [0, 8].map(|from| _mm256_cmpgt_epi32(_mm256_set1_epi32(words as i32 - from), index))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn fill_avx2<E: Num>(x: &[E]) -> Pad<E> {
    let mut pad = [E::ZERO; MAX_BLOCK];
    for (half, mask) in masks(words(x)).into_iter().enumerate() {
        // SAFETY: the mask admits the words of `x` and no more, at an address that is only computed,
        // not read, if there are none; a pad has at least 64 bytes.
        unsafe {
            let v = _mm256_maskload_epi32(x.as_ptr().cast::<i32>().wrapping_add(8 * half), mask);
            _mm256_storeu_si256(pad.as_mut_ptr().cast::<__m256i>().add(half), v);
        }
    }
    pad
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn spill_avx2<E: Num>(dst: &mut [E], pad: &Pad<E>) {
    for (half, mask) in masks(words(dst)).into_iter().enumerate() {
        // SAFETY: as in `fill_avx2`.
        unsafe {
            let v = _mm256_loadu_si256(pad.as_ptr().cast::<__m256i>().add(half));
            let to = dst.as_mut_ptr().cast::<i32>().wrapping_add(8 * half);
            _mm256_maskstore_epi32(to, mask, v);
        }
    }
}
