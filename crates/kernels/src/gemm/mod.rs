//! General matrix multiplication with reproducible bits.
//!
//! # Contract
//!
//! Element `(i, j)` of `A B` is one fixed sequence of operations: for each block of [`K_BLOCK`](GemmElem::K_BLOCK)
//! consecutive k, `acc = 0; acc = fma(a[i,k], b[k,j], acc)` for k in order; the blocks' sums are added in order,
//! `(acc0 + acc1) + ...`, starting from `C` when the product accumulates. ([`gemm_shared`] adds them from the last to
//! the first if it is asked to; blocks start at multiples of `K_BLOCK` either way.) Nothing else influences the bits: not M or
//! N, not the element's position, not strides or packing, not which rows or columns are computed in one call. Hence
//! rows or columns can be split between threads, and K at multiples of `K_BLOCK`, with identical results. Zeros are
//! not skipped, so NaN and infinities propagate as the arithmetic says.
//!
//! The portable kernels round the product before the addition (no hardware FMA is assumed); bits are compared within
//! one [`Isa`] only.
//!
//! # Structure
//!
//! `vector` wraps one register, `kernel` computes one tile in registers from any strides, `pack` copies
//! operands where locality pays, `driver` holds the cache blocking. The structure is that of Goto and van de Geijn,
//! "Anatomy of High-Performance Matrix Multiplication" (2008), except that few rows run wide over N instead.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod driver;
mod kernel;
mod mat;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pack;
mod peak;
mod portable;
mod vector;

#[cfg(test)]
mod tests;

pub use mat::{Mat, MatMut};
pub use pack::PackedB;
pub use peak::peak_fma;

use crate::ahead::Ahead;
use crate::threads::at_hand;
use crate::{Blocks, Isa, available, for_each, isa, threads};
use driver::Source;
use smallvec::SmallVec;

mod sealed {
    use super::kernel::Kernels;
    use crate::Isa;

    #[allow(unreachable_pub, private_interfaces)]
    pub trait Sealed: Copy + Send + Sync + 'static {
        const ZERO: Self;
        fn kernels(isa: Isa) -> &'static Kernels<Self>;
        /// # Safety
        /// As [`turn_scalar`](super::pack::turn_scalar).
        unsafe fn turn(to: *mut Self, to_stride: usize, from: *const Self, stride: usize);
    }
}

/// An element type of [`gemm`]: `f32` or `f64`.
pub trait GemmElem: sealed::Sealed {
    /// Products summed in one register before they are added to C. Part of the contract: a split of K at multiples
    /// of it, accumulated in order, gives the bits of the whole product.
    const K_BLOCK: usize;
}

macro_rules! gemm_elem {
    ($elem:ty, $module:ident, $turn:ident, $k_block:literal) => {
        #[allow(private_interfaces)]
        impl sealed::Sealed for $elem {
            const ZERO: Self = 0.0;

            #[inline]
            fn kernels(isa: Isa) -> &'static kernel::Kernels<Self> {
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512 => &avx512::$module::KERNELS,
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 => &avx2::$module::KERNELS,
                    #[cfg(target_arch = "aarch64")]
                    Isa::Neon => &neon::$module::KERNELS,
                    _ => &portable::$module::KERNELS,
                }
            }

            #[inline(always)]
            unsafe fn turn(to: *mut Self, to_stride: usize, from: *const Self, stride: usize) {
                // SAFETY: the same contract.
                unsafe { pack::$turn(to, to_stride, from, stride) };
            }
        }

        impl GemmElem for $elem {
            const K_BLOCK: usize = $k_block;
        }
    };
}

gemm_elem!(f32, f32_kernels, turn_f32, 512);
gemm_elem!(f64, f64_kernels, turn_scalar, 512);

/// `C = A B`, or `C += A B` if `accumulate`, with `A [M, K]`, `B [K, N]`, `C [M, N]`.
///
/// With `K == 0` the product is zero; with `M == 0` or `N == 0` nothing happens. Runs on the calling thread and
/// allocates nothing once its thread-local scratch memory has grown.
///
/// ```
/// use wengert_kernels::gemm::{Mat, MatMut, gemm};
/// let a = Mat::row_major(&[1.0f64, 2.0, 3.0, 4.0], 2, 2);
/// let mut c = [0.0; 4];
/// gemm(a, a.t(), MatMut::row_major(&mut c, 2, 2), false);
/// assert_eq!(c, [5.0, 11.0, 11.0, 25.0]);
/// ```
///
/// # Panics
/// If the shapes do not fit.
#[track_caller]
pub fn gemm<E: GemmElem>(a: Mat<'_, E>, b: Mat<'_, E>, c: MatMut<'_, E>, accumulate: bool) {
    check("gemm", (a.rows(), a.cols()), (b.rows(), b.cols()), (c.rows(), c.cols()));
    driver::product(isa(), a, Source::View(b), c, accumulate);
}

/// `C = A B` for several A and C with one B, shared by several [threads](fn@crate::threads) if it is large: the bits are
/// those of [`gemm`]. The sums of the K-blocks are added as [`Blocks`] says.
///
/// # Panics
/// If the shapes do not fit.
#[track_caller]
pub fn gemm_shared<E: GemmElem>(mut items: Vec<(Mat<'_, E>, MatMut<'_, E>)>, b: Mat<'_, E>, blocks: Blocks) {
    for (a, c) in &items {
        check("gemm", (a.rows(), a.cols()), (b.rows(), b.cols()), (c.rows(), c.cols()));
    }
    /// Multiplications that are worth another thread: tens of microseconds. With 128 units and 32 rows a product of an LSTM's
    /// step has twice as many, and a loop in Rust over its steps nothing else that threads could share.
    const WORTHWHILE: usize = 1 << 20;
    /// Rows or columns are split at multiples of this: whole panels of every kernel but the last.
    const GRAIN: usize = 64;
    let m: usize = items.iter().map(|(a, _)| a.rows()).sum();
    let by_cols = b.cols() >= m || items.len() > 1;
    let extent = if by_cols { b.cols() } else { m };
    let grains = extent.div_ceil(GRAIN);
    let parts = threads().min(m * b.cols() * b.rows() / WORTHWHILE).min(grains);
    if parts < 2 {
        return in_order(&mut items, b, blocks);
    }
    let mut tasks = Vec::with_capacity(parts);
    let mut from = 0;
    for part in 1..=parts {
        let to = (grains * part / parts * GRAIN).min(extent);
        let mut task = Vec::with_capacity(items.len());
        let mut rest = Vec::with_capacity(items.len());
        for (a, c) in items {
            let (own, after) = if by_cols { c.split_at_col(to - from) } else { c.split_at_row(to - from) };
            task.push((if by_cols { a } else { a.row_range(from, to - from) }, own));
            rest.push((a, after));
        }
        tasks.push((task, if by_cols { b.col_range(from, to - from) } else { b }));
        (items, from) = (rest, to);
    }
    for_each(tasks, |(mut task, b)| in_order(&mut task, b, blocks));
}

/// Products whose K-blocks are added in either direction.
fn in_order<E: GemmElem>(items: &mut [(Mat<'_, E>, MatMut<'_, E>)], b: Mat<'_, E>, blocks: Blocks) {
    let k = b.rows();
    if !blocks.backward || k <= E::K_BLOCK {
        return driver::products(isa(), items, Source::View(b), blocks.onto, &mut Ahead::none());
    }
    blocks.for_each(k, E::K_BLOCK, |at, add| {
        let mut part: Vec<_> = items.iter_mut().map(|(a, c)| (a.col_range(at.start, at.len()), c.reborrow())).collect();
        driver::products(isa(), &mut part, Source::View(b.row_range(at.start, at.len())), add, &mut Ahead::none());
    });
}

/// [`gemm`] with a `B` packed beforehand: the same bits, without packing it again for every product. Other
/// [threads](fn@crate::threads) take a share if they are awake, as they are while such products follow one another.
///
/// # Panics
/// If the shapes do not fit.
#[track_caller]
pub fn gemm_packed<E: GemmElem>(a: Mat<'_, E>, b: &PackedB<E>, c: MatMut<'_, E>, accumulate: bool) {
    share_packed([(a, b, c)], accumulate);
}

/// Several [`gemm_packed`] that do not depend on each other, which threads share as a whole.
///
/// # Panics
/// If the shapes do not fit.
#[track_caller]
pub fn gemm_packed_all<'m, E: GemmElem>(products: SmallVec<[PackedProduct<'m, E>; 4]>) {
    share_packed(products, false);
}

/// A, a packed B, and C.
pub type PackedProduct<'m, E> = (Mat<'m, E>, &'m PackedB<E>, MatMut<'m, E>);

#[track_caller]
fn share_packed<'m, E: GemmElem, P: IntoIterator<Item = PackedProduct<'m, E>> + AsRef<[PackedProduct<'m, E>]>>(
    products: P,
    accumulate: bool,
) {
    /// Multiplications that are worth a share of a thread that is awake: a microsecond.
    const WORTHWHILE: usize = 1 << 15;
    let mut total = 0;
    for (a, b, c) in products.as_ref() {
        check("gemm_packed", (a.rows(), a.cols()), (b.rows(), b.cols()), (c.rows(), c.cols()));
        total += a.rows() * b.rows() * b.cols();
    }
    let parts = at_hand(total / WORTHWHILE);
    if parts < 2 {
        for (a, b, c) in products {
            driver::product(b.isa(), a, Source::Packed(b, 0), c, accumulate);
        }
        return;
    }
    // Whole panels, one product after the other, in parts of equal work.
    let mut tasks: Vec<SmallVec<[_; 4]>> = (0..parts).map(|_| SmallVec::new()).collect();
    let mut done = 0;
    for (a, b, mut c) in products {
        let work = a.rows() * b.rows() * b.panel();
        let mut from = 0;
        while from < b.cols() {
            let part = (done * parts / total).min(parts - 1);
            let panels = (total * (part + 1) / parts).saturating_sub(done).div_ceil(work.max(1)).max(1);
            let to = (from + panels * b.panel()).min(b.cols());
            let (own, after) = c.split_at_col(to - from);
            tasks[part].push((a, b, from, own));
            (c, from, done) = (after, to, done + panels * work);
        }
    }
    for_each(tasks, |task| {
        for (a, b, from, c) in task {
            driver::product(b.isa(), a, Source::Packed(b, from), c, accumulate);
        }
    });
}

/// [`gemm`], or with a packed right operand [`gemm_packed`], that asks for memory meanwhile.
///
/// # Panics
/// If the shapes do not fit.
pub(crate) fn gemm_ahead<E: GemmElem>(
    a: Mat<'_, E>,
    b: Result<Mat<'_, E>, &PackedB<E>>,
    c: MatMut<'_, E>,
    ahead: &mut Ahead<'_>,
) {
    let (isa, shape) = b.map_or_else(|b| (b.isa(), (b.rows(), b.cols())), |b| (isa(), (b.rows(), b.cols())));
    check("gemm", (a.rows(), a.cols()), shape, (c.rows(), c.cols()));
    let b = b.map_or_else(|b| Source::Packed(b, 0), Source::View);
    driver::products(isa, &mut [(a, c)], b, false, ahead);
}

/// The steps of k in which a product of these extents has time to ask for other memory.
pub(crate) fn spare_steps<E: GemmElem>(m: usize, n: usize, k: usize) -> usize {
    driver::spare_steps::<E>(E::kernels(isa()), m, n, k)
}

/// [`gemm`] on a given instruction set, so that tests reach every one of them.
///
/// # Panics
/// If the shapes do not fit or the processor lacks the instruction set.
#[doc(hidden)]
#[track_caller]
pub fn gemm_for<E: GemmElem>(isa: Isa, a: Mat<'_, E>, b: Mat<'_, E>, c: MatMut<'_, E>, accumulate: bool) {
    assert!(available().contains(&isa), "gemm_for: this processor lacks {isa:?}");
    check("gemm", (a.rows(), a.cols()), (b.rows(), b.cols()), (c.rows(), c.cols()));
    driver::product(isa, a, Source::View(b), c, accumulate);
}

#[track_caller]
#[inline]
fn check(what: &str, a: (usize, usize), b: (usize, usize), c: (usize, usize)) {
    assert!(
        a.1 == b.0 && c == (a.0, b.1),
        "{what}: C [{}, {}] = A [{}, {}] times B [{}, {}]: the shapes do not fit",
        c.0,
        c.1,
        a.0,
        a.1,
        b.0,
        b.1
    );
}
