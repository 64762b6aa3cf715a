//! Kernels for AArch64 Advanced SIMD: 32 registers of 128 bits.

use std::arch::aarch64::*;

use super::kernel::kernels;
use super::vector::Vector;

macro_rules! neon {
    ($module:ident, $elem:ty, $reg:ident, $name:ident, $lanes:literal, $splat:ident, $load:ident, $store:ident, $fma:ident, $add:ident) => {
        #[derive(Clone, Copy)]
        pub(super) struct $name($reg);

        impl Vector for $name {
            type Elem = $elem;
            const LANES: usize = $lanes;

            #[inline(always)]
            unsafe fn splat(value: $elem) -> Self {
                // SAFETY: the caller has NEON.
                Self(unsafe { $splat(value) })
            }
            #[inline(always)]
            unsafe fn load(from: *const $elem) -> Self {
                // SAFETY: the caller has NEON and gives `LANES` readable elements.
                Self(unsafe { $load(from) })
            }
            #[inline(always)]
            unsafe fn load_first(from: *const $elem, n: usize) -> Self {
                let mut lanes: [$elem; $lanes] = [0.0; $lanes];
                for (i, lane) in lanes.iter_mut().enumerate().take(n) {
                    // SAFETY: the caller gives `n` readable elements.
                    *lane = unsafe { *from.add(i) };
                }
                // SAFETY: the caller has NEON; the array has `LANES` elements.
                Self(unsafe { $load(lanes.as_ptr()) })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $elem) {
                // SAFETY: the caller has NEON and gives `LANES` writable elements.
                unsafe { $store(to, self.0) };
            }
            #[inline(always)]
            unsafe fn store_first(self, to: *mut $elem, n: usize) {
                let mut lanes: [$elem; $lanes] = [0.0; $lanes];
                // SAFETY: the caller has NEON; the array has `LANES` elements.
                unsafe { $store(lanes.as_mut_ptr(), self.0) };
                for (i, lane) in lanes.into_iter().enumerate().take(n) {
                    // SAFETY: the caller gives `n` writable elements.
                    unsafe { *to.add(i) = lane };
                }
            }
            #[inline(always)]
            unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
                // SAFETY: the caller has NEON.
                Self(unsafe { $fma(addend.0, self.0, factor.0) })
            }
            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                // SAFETY: the caller has NEON.
                Self(unsafe { $add(self.0, other.0) })
            }
        }

        pub(super) mod $module {
            use super::*;
            kernels!($elem, $name, [#[target_feature(enable = "neon")]],
                rows8 [1 2], rows4 [1 2 3 4 5 6], rows2 [1 2 3 4 5 6 7 8 9 10 11 12]);
        }
    };
}

neon!(f32_kernels, f32, float32x4_t, F32x4, 4, vdupq_n_f32, vld1q_f32, vst1q_f32, vfmaq_f32, vaddq_f32);
neon!(f64_kernels, f64, float64x2_t, F64x2, 2, vdupq_n_f64, vld1q_f64, vst1q_f64, vfmaq_f64, vaddq_f64);
