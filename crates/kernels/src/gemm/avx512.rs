//! Kernels for AVX-512: 32 registers of 512 bits, masks for the tails.

use std::arch::x86_64::*;

use super::kernel::kernels;
use super::vector::Vector;

macro_rules! avx512 {
    ($module:ident, $elem:ty, $reg:ident, $name:ident, $lanes:literal, $mask:ty,
     $splat:ident, $load:ident, $maskz_load:ident, $store:ident, $mask_store:ident, $fma:ident, $add:ident) => {
        #[derive(Clone, Copy)]
        pub(super) struct $name($reg);

        impl Vector for $name {
            type Elem = $elem;
            const LANES: usize = $lanes;

            #[inline(always)]
            unsafe fn splat(value: $elem) -> Self {
                // SAFETY: the caller has AVX-512.
                Self(unsafe { $splat(value) })
            }
            #[inline(always)]
            unsafe fn load(from: *const $elem) -> Self {
                // SAFETY: the caller has AVX-512 and gives `LANES` readable elements.
                Self(unsafe { $load(from) })
            }
            #[inline(always)]
            unsafe fn load_first(from: *const $elem, n: usize) -> Self {
                // SAFETY: the caller has AVX-512 and gives `n` readable elements; masked lanes are not read.
                Self(unsafe { $maskz_load(((1u32 << n) - 1) as $mask, from) })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $elem) {
                // SAFETY: the caller has AVX-512 and gives `LANES` writable elements.
                unsafe { $store(to, self.0) };
            }
            #[inline(always)]
            unsafe fn store_first(self, to: *mut $elem, n: usize) {
                // SAFETY: the caller has AVX-512 and gives `n` writable elements; masked lanes are not written.
                unsafe { $mask_store(to, ((1u32 << n) - 1) as $mask, self.0) };
            }
            #[inline(always)]
            unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
                // SAFETY: the caller has AVX-512.
                Self(unsafe { $fma(self.0, factor.0, addend.0) })
            }
            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                // SAFETY: the caller has AVX-512.
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
            kernels!($elem, $name, [#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]],
                rows8 [1 2], rows4 [1 2 3 4 5 6], rows2 [1 2 3 4 5 6 7 8 9 10 11 12]);
        }
    };
}

avx512!(
    f32_kernels,
    f32,
    __m512,
    F32x16,
    16,
    __mmask16,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_maskz_loadu_ps,
    _mm512_storeu_ps,
    _mm512_mask_storeu_ps,
    _mm512_fmadd_ps,
    _mm512_add_ps
);
avx512!(
    f64_kernels,
    f64,
    __m512d,
    F64x8,
    8,
    __mmask8,
    _mm512_set1_pd,
    _mm512_loadu_pd,
    _mm512_maskz_loadu_pd,
    _mm512_storeu_pd,
    _mm512_mask_storeu_pd,
    _mm512_fmadd_pd,
    _mm512_add_pd
);
