//! Kernels for AVX2 with FMA: 16 registers of 256 bits.

use std::arch::x86_64::*;

use super::kernel::kernels;
use super::vector::Vector;

macro_rules! avx2 {
    ($module:ident, $elem:ty, $reg:ident, $name:ident, $lanes:literal, $int:ty,
     $splat:ident, $load:ident, $mask_load:ident, $store:ident, $mask_store:ident, $fma:ident, $add:ident) => {
        #[derive(Clone, Copy)]
        pub(super) struct $name($reg);

        impl $name {
            /// A mask whose first `n` lanes are set.
            #[inline(always)]
            unsafe fn mask(n: usize) -> __m256i {
                static SET_THEN_CLEAR: [$int; 2 * $lanes] = {
                    let mut bits = [0; 2 * $lanes];
                    let mut i = 0;
                    while i < $lanes {
                        bits[i] = -1;
                        i += 1;
                    }
                    bits
                };
                // SAFETY: the caller has AVX2 and `n <= LANES`, so the 32 bytes read are inside the table.
                unsafe { _mm256_loadu_si256(SET_THEN_CLEAR.as_ptr().add($lanes - n).cast()) }
            }
        }

        impl Vector for $name {
            type Elem = $elem;
            const LANES: usize = $lanes;

            #[inline(always)]
            unsafe fn splat(value: $elem) -> Self {
                // SAFETY: the caller has AVX2.
                Self(unsafe { $splat(value) })
            }
            #[inline(always)]
            unsafe fn load(from: *const $elem) -> Self {
                // SAFETY: the caller has AVX2 and gives `LANES` readable elements.
                Self(unsafe { $load(from) })
            }
            #[inline(always)]
            unsafe fn load_first(from: *const $elem, n: usize) -> Self {
                // SAFETY: the caller has AVX2 and gives `n` readable elements; masked lanes are not read.
                Self(unsafe { $mask_load(from, Self::mask(n)) })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $elem) {
                // SAFETY: the caller has AVX2 and gives `LANES` writable elements.
                unsafe { $store(to, self.0) };
            }
            #[inline(always)]
            unsafe fn store_first(self, to: *mut $elem, n: usize) {
                // SAFETY: the caller has AVX2 and gives `n` writable elements; masked lanes are not written.
                unsafe { $mask_store(to, Self::mask(n), self.0) };
            }
            #[inline(always)]
            unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
                // SAFETY: the caller has AVX2 and FMA.
                Self(unsafe { $fma(self.0, factor.0, addend.0) })
            }
            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                // SAFETY: the caller has AVX2.
                Self(unsafe { $add(self.0, other.0) })
            }
            #[inline(always)]
            unsafe fn prefetch(address: *const $elem) {
                // SAFETY: a prefetch never faults.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
            }
        }

        pub(super) mod $module {
            use super::*;
            kernels!($elem, $name, [#[target_feature(enable = "avx2,fma")]],
                rows8 [1], rows4 [1 2 3], rows2 [1 2 3 4 5 6]);
        }
    };
}

avx2!(
    f32_kernels,
    f32,
    __m256,
    F32x8,
    8,
    i32,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_maskload_ps,
    _mm256_storeu_ps,
    _mm256_maskstore_ps,
    _mm256_fmadd_ps,
    _mm256_add_ps
);
avx2!(
    f64_kernels,
    f64,
    __m256d,
    F64x4,
    4,
    i64,
    _mm256_set1_pd,
    _mm256_loadu_pd,
    _mm256_maskload_pd,
    _mm256_storeu_pd,
    _mm256_maskstore_pd,
    _mm256_fmadd_pd,
    _mm256_add_pd
);
