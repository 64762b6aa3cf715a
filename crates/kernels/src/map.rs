//! Drivers that turn the scalar code of an elementwise op into a kernel over slices.
//!
//! An op is a type with an inlined, branch-free `eval`. The driver compiles the loop over `eval`
//! once per instruction set under `#[target_feature]`, and LLVM vectorises it. Every operation of
//! [`Num`] and [`Lane`] is defined element by element and rounds in one fixed way, so the bits of a
//! result depend neither on its position nor on the length of the slices.

use crate::isa::{Isa, isa};
use crate::lane::{Lane, Num};

#[cfg(target_arch = "x86_64")]
mod pad;

/// A compiled elementwise op: `dst[i] = eval([a[i], b[i], c[i]])` for every `i` of `dst`.
///
/// An op of fewer than three arguments ignores the sources it does not have (pass empty slices).
///
/// # Panics
///
/// If a source that the op reads is shorter than `dst`.
pub type Kernel<E> = fn(dst: &mut [E], a: &[E], b: &[E], c: &[E]);

/// An elementwise op on any numeric type, e.g. `add` or `select`.
pub trait NumMap<const N: usize>: 'static {
    /// The op on one element; mark it `#[inline(always)]` and keep it free of branches.
    fn eval<L: Num>(x: [L; N]) -> L;
}

/// An elementwise op on floats, e.g. `tanh`.
pub trait LaneMap<const N: usize>: 'static {
    /// The op on one element; mark it `#[inline(always)]` and keep it free of branches.
    fn eval<L: Lane>(x: [L; N]) -> L;
}

/// What the drivers call: either kind of map, at one element type.
trait Eval<E, const N: usize>: 'static {
    fn eval(x: [E; N]) -> E;
}

struct AsNum<F>(std::marker::PhantomData<F>);
struct AsLane<F>(std::marker::PhantomData<F>);

impl<F: NumMap<N>, E: Num, const N: usize> Eval<E, N> for AsNum<F> {
    #[inline(always)]
    fn eval(x: [E; N]) -> E {
        F::eval(x)
    }
}

impl<F: LaneMap<N>, E: Lane, const N: usize> Eval<E, N> for AsLane<F> {
    #[inline(always)]
    fn eval(x: [E; N]) -> E {
        F::eval(x)
    }
}

/// Elements of a block: the driver runs whole blocks, and one more, overlapping or padded, for the
/// rest, so that no element is left to a slow scalar loop. It is one 512-bit vector of `E`.
const fn block<E>() -> usize {
    64 / size_of::<E>()
}

/// The largest block, in elements (`E` of 4 bytes).
const MAX_BLOCK: usize = 16;

/// The loop that LLVM vectorises. `n` is a multiple of the block and the slices are that long.
#[inline(always)]
fn blocks<M: Eval<E, N>, E: Num, const N: usize>(dst: &mut [E], a: &[E], b: &[E], c: &[E]) {
    // Masking tells LLVM that the vector loop leaves no remainder.
    let n = dst.len() & !(block::<E>() - 1);
    let dst = &mut dst[..n];
    let a = &a[..n];
    let b = if N > 1 { &b[..n] } else { b };
    let c = if N > 2 { &c[..n] } else { c };
    for i in 0..n {
        let mut x = [E::ZERO; N];
        x[0] = a[i];
        if N > 1 {
            x[1] = b[i];
        }
        if N > 2 {
            x[2] = c[i];
        }
        dst[i] = M::eval(x);
    }
}

/// A block's worth of any element type (the first `block()` are used).
type Pad<E> = [E; MAX_BLOCK];

/// Runs fewer elements than a block, padded to one; `fill` and `spill` copy into and out of a pad.
#[inline(always)]
fn padded<M: Eval<E, N>, E: Num, const N: usize>(
    fill: impl Fn(&[E]) -> Pad<E>,
    spill: impl Fn(&mut [E], &Pad<E>),
    dst: &mut [E],
    [a, b, c]: [&[E]; 3],
) {
    let a = fill(a);
    let b = if N > 1 { fill(b) } else { a };
    let c = if N > 2 { fill(c) } else { a };
    let mut out = [E::ZERO; MAX_BLOCK];
    let w = block::<E>();
    blocks::<M, E, N>(&mut out[..w], &a[..w], &b[..w], &c[..w]);
    spill(dst, &out);
}

/// Covers the whole of `dst`, whatever its length, by `blocks` and, if it is shorter than a block,
/// `padded`.
#[inline(always)]
fn cover<E: Num, const N: usize>(
    blocks: impl Fn(&mut [E], &[E], &[E], &[E]),
    padded: impl Fn(&mut [E], [&[E]; 3]),
    dst: &mut [E],
    [a, b, c]: [&[E]; 3],
) {
    let w = block::<E>();
    let n = dst.len();
    let a = &a[..n];
    let b = if N > 1 { &b[..n] } else { &[] };
    let c = if N > 2 { &c[..n] } else { &[] };
    if n < w {
        if n > 0 {
            padded(dst, [a, b, c]);
        }
        return;
    }
    blocks(dst, a, b, c);
    if !n.is_multiple_of(w) {
        // The last block again, overlapping: elements computed twice get the same bits.
        let last = n - w..n;
        let b = if N > 1 { &b[last.clone()] } else { b };
        let c = if N > 2 { &c[last.clone()] } else { c };
        blocks(&mut dst[last.clone()], &a[last], b, c);
    }
}

/// Defines the kernel of one instruction set: its two loops compiled with the target features, and
/// the safe function around them.
macro_rules! driver {
    ($(#[$cfg:meta])* $kernel:ident, $features:literal, $fill:path, $spill:path) => {
        $(#[$cfg])*
        fn $kernel<M: Eval<E, N>, E: Num, const N: usize>(
            dst: &mut [E],
            a: &[E],
            b: &[E],
            c: &[E],
        ) {
            #[target_feature(enable = $features)]
            fn long<M: Eval<E, N>, E: Num, const N: usize>(
                dst: &mut [E],
                a: &[E],
                b: &[E],
                c: &[E],
            ) {
                blocks::<M, E, N>(dst, a, b, c);
            }
            #[target_feature(enable = $features)]
            fn short<M: Eval<E, N>, E: Num, const N: usize>(dst: &mut [E], src: [&[E]; 3]) {
                padded::<M, E, N>(|x| $fill(x), |d, x| $spill(d, x), dst, src);
            }
            cover::<E, N>(
                // SAFETY: this kernel is handed out only on a processor that `available()` found to
                // have these features.
                |dst, a, b, c| unsafe { long::<M, E, N>(dst, a, b, c) },
                // SAFETY: as above.
                |dst, src| unsafe { short::<M, E, N>(dst, src) },
                dst,
                [a, b, c],
            );
        }
    };
}

driver!(
    #[cfg(target_arch = "x86_64")]
    avx512,
    "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma",
    pad::fill_avx512,
    pad::spill_avx512
);
driver!(
    #[cfg(target_arch = "x86_64")]
    avx2,
    "avx2,fma",
    pad::fill_avx2,
    pad::spill_avx2
);

#[inline(always)]
fn fill<E: Num>(x: &[E]) -> Pad<E> {
    let mut pad = [E::ZERO; MAX_BLOCK];
    pad[..x.len()].copy_from_slice(x);
    pad
}

#[inline(always)]
fn spill<E: Num>(dst: &mut [E], pad: &Pad<E>) {
    dst.copy_from_slice(&pad[..dst.len()]);
}

/// The kernel of the target's baseline, which on AArch64 is NEON.
fn baseline<M: Eval<E, N>, E: Num, const N: usize>(dst: &mut [E], a: &[E], b: &[E], c: &[E]) {
    #[inline(never)]
    fn long<M: Eval<E, N>, E: Num, const N: usize>(dst: &mut [E], a: &[E], b: &[E], c: &[E]) {
        blocks::<M, E, N>(dst, a, b, c);
    }
    cover::<E, N>(long::<M, E, N>, |dst, src| padded::<M, E, N>(fill, spill, dst, src), dst, [a, b, c]);
}

/// [`baseline`] for a float op on portable code: with `E::Portable`, whose multiply-add is not fused.
fn portable_lane<F: LaneMap<N>, E: Lane, const N: usize>(dst: &mut [E], a: &[E], b: &[E], c: &[E]) {
    baseline::<AsLane<F>, E::Portable, N>(E::portable_mut(dst), E::portable(a), E::portable(b), E::portable(c));
}

/// Stops the request for an instruction set that this processor lacks.
#[cold]
fn lacking(isa: Isa) -> ! {
    panic!("this processor cannot run {isa:?} kernels: choose one of `available()`")
}

/// Whether this processor runs `isa`; asks the processor only for a set other than the chosen one.
fn runs(isa: Isa) -> bool {
    isa == Isa::Portable || isa == crate::isa::isa() || crate::isa::available().contains(&isa)
}

/// The kernel of a numeric op for [`isa()`](crate::isa()).
pub fn num_kernel<F: NumMap<N>, E: Num, const N: usize>() -> Kernel<E> {
    num_kernel_for::<F, E, N>(isa())
}

/// The kernel of a numeric op for one instruction set.
///
/// # Panics
///
/// If the processor lacks `isa`.
pub fn num_kernel_for<F: NumMap<N>, E: Num, const N: usize>(isa: Isa) -> Kernel<E> {
    const { assert!(N >= 1 && N <= 3, "a map has one to three arguments") };
    match isa {
        _ if !runs(isa) => lacking(isa),
        Isa::Portable => baseline::<AsNum<F>, E, N>,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::<AsNum<F>, E, N>,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => avx512::<AsNum<F>, E, N>,
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => baseline::<AsNum<F>, E, N>,
        _ => lacking(isa),
    }
}

/// The kernel of a float op for [`isa()`](crate::isa()).
///
/// ```
/// use wengert_kernels::{Lane, LaneMap, lane_kernel};
///
/// struct Swish;
/// impl LaneMap<1> for Swish {
///     #[inline(always)]
///     fn eval<L: Lane>([x]: [L; 1]) -> L {
///         x.mul(x.sigmoid())
///     }
/// }
/// let swish = lane_kernel::<Swish, f32, 1>();
/// let mut y = [0.0; 3];
/// swish(&mut y, &[-1e3, 0.0, 100.0], &[], &[]);
/// assert_eq!(y, [0.0, 0.0, 100.0]);
/// ```
pub fn lane_kernel<F: LaneMap<N>, E: Lane, const N: usize>() -> Kernel<E> {
    lane_kernel_for::<F, E, N>(isa())
}

/// The kernel of a float op for one instruction set.
///
/// # Panics
///
/// If the processor lacks `isa`.
pub fn lane_kernel_for<F: LaneMap<N>, E: Lane, const N: usize>(isa: Isa) -> Kernel<E> {
    const { assert!(N >= 1 && N <= 3, "a map has one to three arguments") };
    match isa {
        _ if !runs(isa) => lacking(isa),
        Isa::Portable => portable_lane::<F, E, N>,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::<AsLane<F>, E, N>,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => avx512::<AsLane<F>, E, N>,
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => baseline::<AsLane<F>, E, N>,
        _ => lacking(isa),
    }
}
