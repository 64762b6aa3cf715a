//! The instruction set in use, chosen once per process.

use std::sync::OnceLock;

/// An instruction set for which kernels are compiled.
///
/// Results are bit-identical for any thread count, batch split or code path *within* one
/// instruction set; they are not promised across instruction sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Isa {
    /// Plain Rust, whatever the target's baseline gives.
    Portable,
    /// AArch64 Advanced SIMD (128-bit, fused multiply-add).
    Neon,
    /// x86-64 AVX2 with FMA (256-bit).
    Avx2,
    /// x86-64 AVX-512 F, DQ, BW and VL (512-bit).
    Avx512,
}

/// The instruction set that every kernel of this process uses.
///
/// It is the best one the processor has; the environment variable `WENGERT_ISA`
/// (`portable`, `neon`, `avx2` or `avx512`) lowers it, which tests use. A request for a set that the processor
/// lacks is ignored.
pub fn isa() -> Isa {
    static CHOSEN: OnceLock<Isa> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let asked = match std::env::var("WENGERT_ISA").as_deref() {
            Ok("portable") => Some(Isa::Portable),
            Ok("neon") => Some(Isa::Neon),
            Ok("avx2") => Some(Isa::Avx2),
            Ok("avx512") => Some(Isa::Avx512),
            _ => None,
        };
        let has = available();
        asked.filter(|a| has.contains(a)).unwrap_or(has[has.len() - 1])
    })
}

/// The instruction sets this processor can run, worst first.
pub fn available() -> Vec<Isa> {
    #[allow(unused_mut)]
    let mut has = vec![Isa::Portable];
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    has.push(Isa::Neon);
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            has.push(Isa::Avx2);
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
            {
                has.push(Isa::Avx512);
            }
        }
    }
    has
}

/// A piece of work that is compiled once for every instruction set.
///
/// `run` is marked `#[inline(always)]`, as is everything hot that it calls, so that the compiler
/// sees the whole loop inside a function with the wider instructions enabled.
pub(crate) trait Task {
    type Out;
    fn run(self) -> Self::Out;
}

/// Runs `task` with the instructions of [`isa`].
pub(crate) fn dispatch<T: Task>(task: T) -> T::Out {
    match isa() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `isa` returns a set only after the processor has reported all its features.
        Isa::Avx512 => unsafe { avx512(task) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { avx2(task) },
        _ => task.run(),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,bmi1,bmi2")]
fn avx512<T: Task>(task: T) -> T::Out {
    task.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<T: Task>(task: T) -> T::Out {
    task.run()
}
