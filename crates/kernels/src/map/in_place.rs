//! Kernels whose result may take the place of a source, without a copy.
//!
//! A loop over slices cannot say that: two of them would overlap. Here some vectors of each source are read, and only then
//! their results are written, which LLVM keeps in vector registers for plain arithmetic.

use super::{Eval, Raw, Rows, Steps, block, is_uniform};
use crate::isa::isa;
use crate::lane::Num;

/// Elements of the four vectors that are computed at a time, of an `E` of 4 bytes.
const MAX_CHUNK: usize = 64;

/// The same for any `E`.
const fn chunk<E>() -> usize {
    4 * block::<E>()
}

/// The form of a map for [`isa()`](crate::isa()) that runs in place, for sources of which those of `U` have one value.
pub(super) fn in_place<M: Eval<E, N>, E: Num, const N: usize, const U: u8>() -> Raw<E> {
    match isa() {
        #[cfg(target_arch = "x86_64")]
        crate::Isa::Avx2 => avx2::<M, E, N, U>,
        #[cfg(target_arch = "x86_64")]
        crate::Isa::Avx512 => avx512::<M, E, N, U>,
        _ => baseline::<M, E, N, U>,
    }
}

/// Computes `len` elements, at most a chunk.
///
/// # Safety
/// So many elements may be read at each source and written at the result, which may be one of them.
#[inline(always)]
unsafe fn compute<M: Eval<E, N>, E: Num, const N: usize, const U: u8>(at: Rows<E>, len: usize) {
    let mut sources = [[E::ZERO; MAX_CHUNK]; N];
    let mut results = [E::ZERO; MAX_CHUNK];
    for (i, (source, at)) in sources.iter_mut().zip(&at[1..]).enumerate() {
        // SAFETY: by the contract; `len` is at least 1 and not above the array's.
        unsafe {
            match is_uniform(U, i) {
                true => *source = [**at; MAX_CHUNK],
                false => at.cast_const().copy_to_nonoverlapping(source.as_mut_ptr(), len),
            }
        }
    }
    for (i, result) in results[..chunk::<E>()].iter_mut().enumerate() {
        let mut x = [E::ZERO; N];
        for (x, source) in x.iter_mut().zip(&sources) {
            *x = source[i];
        }
        *result = M::eval(x);
    }
    // SAFETY: as above; all sources have been read.
    unsafe { at[0].copy_from_nonoverlapping(results.as_ptr(), len) };
}

/// # Safety
/// As [`Raw`] in place.
#[inline(always)]
unsafe fn run<M: Eval<E, N>, E: Num, const N: usize, const U: u8>(at: &Rows<E>, steps: &Steps, n: usize, rows: usize) {
    let whole = n - n % chunk::<E>();
    for row in 0..rows {
        let mut at = *at;
        for (at, step) in at.iter_mut().zip(steps) {
            *at = at.wrapping_add(row * step);
        }
        // A source of one value is read where it begins, so that it takes one line of the cache.
        let from = |i: usize| {
            let mut from = at;
            for (operand, at) in from.iter_mut().enumerate() {
                if operand == 0 || !is_uniform(U, operand - 1) {
                    *at = at.wrapping_add(i);
                }
            }
            from
        };
        for i in (0..whole).step_by(chunk::<E>()) {
            // SAFETY: a chunk of this row.
            unsafe { compute::<M, E, N, U>(from(i), chunk::<E>()) };
        }
        if whole < n {
            // SAFETY: the rest of this row.
            unsafe { compute::<M, E, N, U>(from(whole), n - whole) };
        }
    }
}

/// Defines the kernel of one instruction set.
macro_rules! driver {
    ($(#[$attribute:meta])* $kernel:ident) => {
        $(#[$attribute])*
        unsafe fn $kernel<M: Eval<E, N>, E: Num, const N: usize, const U: u8>(at: &Rows<E>, steps: &Steps, n: usize, rows: usize) {
            // SAFETY: the same contract.
            unsafe { run::<M, E, N, U>(at, steps, n, rows) }
        }
    };
}

driver!(
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
    avx512
);
driver!(
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    avx2
);
driver!(baseline);
