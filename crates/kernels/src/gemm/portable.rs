//! Kernels in plain Rust, for any processor and for Miri.

use super::kernel::kernels;
use super::vector::Vector;

/// Four lanes, the width of every baseline SIMD set, so that the compiler can vectorise the loops.
///
/// A product is rounded before it is added: without hardware support a fused operation is a library call.
#[derive(Clone, Copy)]
pub(super) struct Four<E>([E; 4]);

macro_rules! portable {
    ($module:ident, $elem:ty) => {
        impl Vector for Four<$elem> {
            type Elem = $elem;
            const LANES: usize = 4;

            #[inline(always)]
            unsafe fn splat(value: $elem) -> Self {
                Self([value; 4])
            }
            #[inline(always)]
            unsafe fn load(from: *const $elem) -> Self {
                // SAFETY: the caller gives four readable elements; an array has the alignment of its element.
                Self(unsafe { *from.cast::<[$elem; 4]>() })
            }
            #[inline(always)]
            unsafe fn load_first(from: *const $elem, n: usize) -> Self {
                let mut lanes = [0.0; 4];
                for (i, lane) in lanes.iter_mut().enumerate().take(n) {
                    // SAFETY: the caller gives `n` readable elements.
                    *lane = unsafe { *from.add(i) };
                }
                Self(lanes)
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $elem) {
                // SAFETY: the caller gives four writable elements; an array has the alignment of its element.
                unsafe { *to.cast::<[$elem; 4]>() = self.0 };
            }
            #[inline(always)]
            unsafe fn store_first(self, to: *mut $elem, n: usize) {
                for (i, lane) in self.0.into_iter().enumerate().take(n) {
                    // SAFETY: the caller gives `n` writable elements.
                    unsafe { *to.add(i) = lane };
                }
            }
            #[inline(always)]
            unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
                Self(std::array::from_fn(|i| self.0[i] * factor.0[i] + addend.0[i]))
            }
            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
            }
        }

        pub(super) mod $module {
            use super::*;
            kernels!($elem, Four<$elem>, [], rows8 [1], rows4 [1 2], rows2 [1 2 3 4]);
        }
    };
}

portable!(f32_kernels, f32);
portable!(f64_kernels, f64);
