//! Drivers that turn the scalar code of an elementwise op into a kernel over slices.
//!
//! An op is a type with an inlined, branch-free `eval`. The driver compiles the loop over `eval`
//! once per instruction set under `#[target_feature]`, and LLVM vectorises it. Every operation of
//! [`Num`] and [`Lane`] is defined element by element and rounds in one fixed way, so the bits of a
//! result depend neither on its position nor on the length of the slices.

use crate::isa::{Isa, isa};
use crate::lane::{Lane, Num};

mod composite;
mod in_place;
#[cfg(target_arch = "x86_64")]
mod pad;

pub use composite::{
    Arith, Slope, arith_kernel, pair_kernel, products_kernel, quotient_kernel, root_kernel, sigmoid_of_sum_kernel,
    sigmoid_of_sums_kernel, slope_kernel, slope_of_product_kernel, square_kernel, tanh_of_sum_kernel,
    tanh_of_sums_kernel,
};

/// The most sources of a kernel.
pub const MAX_SOURCES: usize = 4;

/// A compiled elementwise op: `dst[i] = eval([a[i], b[i], ..])`.
pub struct Kernel<E> {
    ways: Ways<E>,
    /// For sources of one value each: which, as bits. They are read once and not at every element.
    uniform: Option<(u8, Ways<E>)>,
    sources: usize,
}

/// The forms of a kernel.
pub(crate) struct Ways<E> {
    pub raw: Raw<E>,
    /// For rows of results that are rows of sources, if the op is fast that way.
    pub in_place: Option<Raw<E>>,
}

impl<E> Clone for Kernel<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Kernel<E> {}

impl<E> Clone for Ways<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Ways<E> {}

impl<E: Num> Kernel<E> {
    /// Computes every element of `dst`. Sources that the op does not have are ignored.
    ///
    /// # Panics
    /// If a source that the op has is missing or shorter than `dst`.
    pub fn run(&self, dst: &mut [E], sources: &[&[E]]) {
        let n = dst.len();
        let mut rows: Rows<E> = [dst.as_mut_ptr(); OPERANDS];
        assert!(sources.len() >= self.sources, "a source is missing");
        for (at, source) in rows[1..].iter_mut().zip(&sources[..self.sources]) {
            assert!(source.len() >= n, "a source is shorter than the result");
            *at = source.as_ptr().cast_mut();
        }
        // SAFETY: the sources that are read are as long as the result, which is borrowed mutably.
        unsafe { (self.ways.raw)(&rows, &[0; OPERANDS], n, 1) }
    }

    /// The forms of the op for sources of which those of `same`, as bits, have one value for all elements.
    pub(crate) fn ways(&self, same: u8) -> Ways<E> {
        self.uniform.filter(|(sources, _)| sources & !same == 0).map_or(self.ways, |(_, ways)| ways)
    }
}

/// A result and its sources.
pub(crate) const OPERANDS: usize = 1 + MAX_SOURCES;

/// The first row of the result and of each source.
pub(crate) type Rows<E> = [*mut E; OPERANDS];

/// The elements from row to row, of the same.
pub(crate) type Steps = [usize; OPERANDS];

/// An op on `rows` rows of `n` elements, `steps` apart.
///
/// # Safety
/// Every row of the result may be written, every row of the sources that the op has may be read, and neither rows of
/// sources nor other rows of the result overlap a row of the result; but for [`Ways::in_place`] a row of a source may be that very
/// row. The elements of a [uniform](Kernel::ways) source are equal.
pub(crate) type Raw<E> = unsafe fn(at: &Rows<E>, steps: &Steps, n: usize, rows: usize);

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

/// Whether source `i` is one of those whose elements are equal.
const fn is_uniform(uniform: u8, i: usize) -> bool {
    uniform & 1 << i != 0
}

/// The loop that LLVM vectorises. `n` is a multiple of the block and the slices are that long. Sources of `U` have one value.
#[inline(always)]
fn blocks<M: Eval<E, N>, E: Num, const N: usize, const U: u8>(dst: &mut [E], [a, b, c, d]: [&[E]; MAX_SOURCES]) {
    // Masking tells LLVM that the vector loop leaves no remainder.
    let n = dst.len() & !(block::<E>() - 1);
    let dst = &mut dst[..n];
    let a = &a[..n];
    let b = if N > 1 { &b[..n] } else { b };
    let c = if N > 2 { &c[..n] } else { c };
    let d = if N > 3 { &d[..n] } else { d };
    let mut x = [E::ZERO; N];
    for (i, source) in [a, b, c, d].into_iter().enumerate().take(N) {
        if let (true, Some(value)) = (is_uniform(U, i), source.first()) {
            x[i] = *value;
        }
    }
    for i in 0..n {
        if !is_uniform(U, 0) {
            x[0] = a[i];
        }
        if N > 1 && !is_uniform(U, 1) {
            x[1] = b[i];
        }
        if N > 2 && !is_uniform(U, 2) {
            x[2] = c[i];
        }
        if N > 3 && !is_uniform(U, 3) {
            x[3] = d[i];
        }
        dst[i] = M::eval(x);
    }
}

/// A block's worth of any element type (the first `block()` are used).
type Pad<E> = [E; MAX_BLOCK];

/// Runs rows of whole blocks.
///
/// # Safety
/// As [`Raw`].
#[inline(always)]
unsafe fn whole<M: Eval<E, N>, E: Num, const N: usize, const U: u8>(
    at: &Rows<E>,
    steps: &Steps,
    n: usize,
    rows: usize,
) {
    let mut at = *at;
    // Nothing is computed before the first row, which is often the only one.
    for left in (0..rows).rev() {
        // SAFETY: the contract is handed on.
        unsafe { piece::<M, E, N, U>(at, n) };
        if left > 0 {
            for (at, step) in at.iter_mut().zip(steps) {
                *at = at.wrapping_add(*step);
            }
        }
    }
}

/// Runs `n` elements, whole blocks.
///
/// # Safety
/// As [`Raw`], for a row that begins at these addresses.
#[inline(always)]
unsafe fn piece<M: Eval<E, N>, E: Num, const N: usize, const U: u8>(at: Rows<E>, n: usize) {
    // SAFETY: rows of sources that the op has are readable, by the contract; one it does not have is replaced by the first. Rows of
    // the result are writable and overlap nothing else.
    unsafe {
        let source = |operand: usize| std::slice::from_raw_parts(at[if operand <= N { operand } else { 1 }], n);
        blocks::<M, E, N, U>(std::slice::from_raw_parts_mut(at[0], n), [1, 2, 3, 4].map(source));
    }
}

/// Runs what rows of ragged length have left behind their whole blocks: one more block, overlapping; a row shorter than
/// a block is padded to one. `fill` and `spill` copy into and out of a pad.
///
/// # Safety
/// As [`Raw`].
#[inline(always)]
unsafe fn ragged<M: Eval<E, N>, E: Num, const N: usize, const U: u8>(
    at: &Rows<E>,
    steps: &Steps,
    n: usize,
    rows: usize,
    fill: impl Fn(&[E]) -> Pad<E>,
    spill: impl Fn(&mut [E], &Pad<E>),
) {
    let w = block::<E>();
    for row in 0..rows {
        let at = |operand: usize| at[operand].wrapping_add(row * steps[operand]);
        if n >= w {
            // SAFETY: the contract is handed on. Elements computed twice get the same bits.
            unsafe { piece::<M, E, N, U>([0, 1, 2, 3, 4].map(|operand| at(operand).wrapping_add(n - w)), w) };
            continue;
        }
        // SAFETY: as in `piece`.
        let source = |operand: usize| unsafe { fill(std::slice::from_raw_parts(at(operand).cast_const(), n)) };
        let a = source(1);
        let b = if N > 1 { source(2) } else { a };
        let c = if N > 2 { source(3) } else { a };
        let d = if N > 3 { source(4) } else { a };
        let mut out = [E::ZERO; MAX_BLOCK];
        blocks::<M, E, N, U>(&mut out[..w], [&a[..w], &b[..w], &c[..w], &d[..w]]);
        // SAFETY: as above.
        spill(unsafe { std::slice::from_raw_parts_mut(at(0), n) }, &out);
    }
}

/// Defines the kernel of one instruction set, whose way to rows of whole blocks is short, and what it calls for other rows.
macro_rules! driver {
    ($(#[$cfg:meta])* $kernel:ident, $rest:ident, $(#[$features:meta])?, $fill:path, $spill:path) => {
        $(#[$cfg])*
        $(#[$features])?
        unsafe fn $kernel<M: Eval<E, N>, E: Num, const N: usize, const U: u8>(at: &Rows<E>, steps: &Steps, n: usize, rows: usize) {
            if n.is_multiple_of(block::<E>()) {
                // SAFETY: the same contract.
                unsafe { whole::<M, E, N, U>(at, steps, n, rows) }
            } else {
                // SAFETY: the same contract.
                unsafe { $rest::<M, E, N, U>(at, steps, n, rows) }
            }
        }

        $(#[$cfg])*
        $(#[$features])?
        #[inline(never)]
        unsafe fn $rest<M: Eval<E, N>, E: Num, const N: usize, const U: u8>(at: &Rows<E>, steps: &Steps, n: usize, rows: usize) {
            // SAFETY: the same contract.
            unsafe {
                if n > block::<E>() {
                    $kernel::<M, E, N, U>(at, steps, n & !(block::<E>() - 1), rows);
                }
                ragged::<M, E, N, U>(at, steps, n, rows, |x| $fill(x), |d, x| $spill(d, x));
            }
        }
    };
}

driver!(
    #[cfg(target_arch = "x86_64")]
    avx512, avx512_ragged,
    #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")],
    pad::fill_avx512,
    pad::spill_avx512
);
driver!(
    #[cfg(target_arch = "x86_64")]
    avx2, avx2_ragged,
    #[target_feature(enable = "avx2,fma")],
    pad::fill_avx2,
    pad::spill_avx2
);
// The kernel of the target's baseline, which on AArch64 is NEON.
driver!(baseline, baseline_ragged, , fill, spill);

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

/// [`baseline`] for a float op on portable code: with `E::Portable`, whose multiply-add is not fused.
unsafe fn portable_lane<F: LaneMap<N>, E: Lane, const N: usize, const U: u8>(
    at: &Rows<E>,
    steps: &Steps,
    n: usize,
    rows: usize,
) {
    // `E` is `E::Portable` or what that wraps, transparently.
    let at = at.map(|at| at.cast::<E::Portable>());
    // SAFETY: the same contract.
    unsafe { baseline::<AsLane<F>, E::Portable, N, U>(&at, steps, n, rows) }
}

/// At most 16 adjacent words of 32 bits, in an operand and in a register: `memcpy` of an unknown small length costs more
/// than the arithmetic on it.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    pub operand: u32,
    pub words: u32,
    /// Bytes from the operand's start.
    pub offset: usize,
    pub register: *mut u8,
}

impl Piece {
    /// The most words of a piece.
    pub(crate) const LARGEST: usize = 16;
}

/// Copies pieces to registers, or from them to the operands.
///
/// # Safety
/// Every piece has at most [`Piece::LARGEST`] words, and names an operand and a register that are valid for them.
#[inline]
pub(crate) unsafe fn copy_pieces<const TO_REGISTERS: bool>(pieces: &[Piece], operands: &[*mut u8]) {
    #[cfg(target_arch = "x86_64")]
    if isa() == Isa::Avx512 {
        // SAFETY: the same contract, and the processor has these features.
        return unsafe { pad::copy_pieces_avx512::<TO_REGISTERS>(pieces, operands) };
    }
    for piece in pieces {
        // SAFETY: by the contract.
        unsafe {
            let memory = operands[piece.operand as usize].add(piece.offset);
            let (to, from) = if TO_REGISTERS { (piece.register, memory) } else { (memory, piece.register) };
            std::ptr::copy_nonoverlapping(from, to, piece.words as usize * 4);
        }
    }
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
    Kernel { ways: Ways { raw: num_raw::<F, E, N, 0>(isa), in_place: None }, uniform: None, sources: N }
}

/// The same as a function, for sources of which those of `U` have one value.
fn num_raw<F: NumMap<N>, E: Num, const N: usize, const U: u8>(isa: Isa) -> Raw<E> {
    const { assert!(N >= 1 && N <= MAX_SOURCES, "a map has one to four arguments") };
    // On a processor without the features of `isa` what is returned here is never reached.
    match isa {
        _ if !runs(isa) => lacking(isa),
        Isa::Portable => baseline::<AsNum<F>, E, N, U>,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::<AsNum<F>, E, N, U>,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => avx512::<AsNum<F>, E, N, U>,
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => baseline::<AsNum<F>, E, N, U>,
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
/// swish.run(&mut y, &[&[-1e3, 0.0, 100.0]]);
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
    Kernel { ways: Ways { raw: lane_raw::<F, E, N, 0>(isa), in_place: None }, uniform: None, sources: N }
}

/// The same as a function, for sources of which those of `U` have one value.
fn lane_raw<F: LaneMap<N>, E: Lane, const N: usize, const U: u8>(isa: Isa) -> Raw<E> {
    const { assert!(N >= 1 && N <= MAX_SOURCES, "a map has one to four arguments") };
    match isa {
        _ if !runs(isa) => lacking(isa),
        Isa::Portable => portable_lane::<F, E, N, U>,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::<AsLane<F>, E, N, U>,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => avx512::<AsLane<F>, E, N, U>,
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => baseline::<AsLane<F>, E, N, U>,
        _ => lacking(isa),
    }
}
