//! The speed limit of one core.

use std::hint::black_box;
use std::time::Instant;

use super::GemmElem;
use super::sealed::Sealed;
use super::vector::Vector;
use crate::isa;

/// Independent sums of the loop: more than latency (4 cycles) times throughput (2 per cycle).
pub(super) const CHAINS: usize = 12;

/// FLOP/s of one core in fused multiply-adds that touch no memory: the denominator of every share-of-peak figure.
///
/// Runs for about `seconds` and reports the fastest of many short stretches, which other load on the machine disturbs
/// least. A multiply-add counts as two operations.
pub fn peak_fma<E: GemmElem>(seconds: f64) -> f64 {
    const STEPS: usize = 20_000;
    let kernels = E::kernels(isa());
    let flops = (2 * STEPS * CHAINS * kernels.lanes) as f64;
    let begin = Instant::now();
    let mut best = 0.0f64;
    loop {
        let start = Instant::now();
        // SAFETY: `isa()` is available on this processor.
        black_box(unsafe { (kernels.fma_loop)(black_box(STEPS)) });
        best = best.max(flops / start.elapsed().as_secs_f64());
        if begin.elapsed().as_secs_f64() >= seconds {
            return best;
        }
    }
}

/// `steps` multiply-adds in each of [`CHAINS`] registers.
///
/// # Safety
/// The processor has the instruction set of `V`.
#[inline(always)]
pub(super) unsafe fn fma_loop<V: Vector>(steps: usize) -> V::Elem {
    let mut out = [V::Elem::ZERO; 64];
    // SAFETY: the caller's contract; no register has more than 64 lanes.
    unsafe {
        let (factor, addend) = (V::splat(black_box(V::Elem::ZERO)), V::splat(black_box(V::Elem::ZERO)));
        let mut sums = [V::splat(V::Elem::ZERO); CHAINS];
        for _ in 0..steps {
            for sum in &mut sums {
                *sum = sum.mul_add(factor, addend);
            }
        }
        let mut total = sums[0];
        for sum in &sums[1..] {
            total = total.add(*sum);
        }
        total.store(out.as_mut_ptr());
    }
    out[0]
}
