//! Copies of operands in the order in which the micro-kernel reads them.

use std::marker::PhantomData;

use super::{GemmElem, Mat};
use crate::isa::{Task, dispatch};
use crate::{Isa, available, isa};

/// One cache line; a buffer made of these is aligned for any register.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Line([u8; 64]);

/// A growable buffer of elements that starts on a cache line.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffer<E> {
    lines: Vec<Line>,
    elem: PhantomData<E>,
}

impl<E: GemmElem> Buffer<E> {
    pub(super) fn from_lines(lines: Vec<Line>) -> Self {
        Self { lines, elem: PhantomData }
    }

    pub(super) fn into_lines(self) -> Vec<Line> {
        self.lines
    }

    /// Room for `len` elements, at least; never shrinks, so that a repeated use does not allocate.
    pub(super) fn reserve(&mut self, len: usize) -> *mut E {
        let lines = (len * size_of::<E>()).div_ceil(size_of::<Line>());
        if self.lines.len() < lines {
            self.lines.resize(lines, Line([0; 64]));
        }
        self.lines.as_mut_ptr().cast()
    }

    fn as_ptr(&self) -> *const E {
        self.lines.as_ptr().cast()
    }
}

/// A matrix `B [K, N]` copied once into the order the micro-kernels read, for many products with the same `B`.
///
/// The layout belongs to the instruction set in use; it is never stored on disk.
///
/// ```
/// use wengert_kernels::gemm::{Mat, MatMut, PackedB, gemm_packed};
/// let w = PackedB::pack(Mat::row_major(&[1.0f32, 2.0, 3.0, 4.0], 2, 2));
/// let mut c = [0.0; 2];
/// gemm_packed(Mat::row_major(&[1.0, 10.0], 1, 2), &w, MatMut::row_major(&mut c, 1, 2), false);
/// assert_eq!(c, [31.0, 42.0]);
/// ```
#[derive(Clone, Debug)]
pub struct PackedB<E> {
    buffer: Buffer<E>,
    rows: usize,
    cols: usize,
    /// `cols`, rounded up to whole panels.
    width: usize,
    /// Columns of a panel.
    panel: usize,
    isa: Isa,
}

impl<E: GemmElem> PackedB<E> {
    /// Packs `b`.
    pub fn pack(b: Mat<'_, E>) -> Self {
        Self::pack_rows(b, usize::MAX)
    }

    /// Packs `b` for products of `rows` rows, in the layout that is fastest for so many. Products of any number of rows
    /// can use it.
    pub fn pack_rows(b: Mat<'_, E>, rows: usize) -> Self {
        Self::with_isa(isa(), b, rows)
    }

    /// Packs another matrix, as [`pack_rows`](Self::pack_rows), into the memory of this one.
    pub fn repack(&mut self, b: Mat<'_, E>, rows: usize) {
        self.isa = isa();
        self.panel = E::kernels(self.isa).panel_for(rows, b.cols());
        self.fill(b);
    }

    /// Bytes that a matrix `[k, n]` takes once it is packed for products of `rows` rows.
    pub fn bytes_for(k: usize, n: usize, rows: usize) -> usize {
        let width = n.next_multiple_of(Self::panel_for(n, rows));
        (k * width * size_of::<E>()).next_multiple_of(size_of::<Line>())
    }

    /// The columns of a panel of a matrix of `n` columns that is packed for products of `rows` rows: its layout.
    pub fn panel_for(n: usize, rows: usize) -> usize {
        E::kernels(isa()).panel_for(rows, n)
    }

    /// Bytes of memory that it holds.
    pub fn bytes(&self) -> usize {
        self.buffer.lines.len() * size_of::<Line>()
    }

    fn fill(&mut self, b: Mat<'_, E>) {
        let (k, n, nr) = (b.rows(), b.cols(), self.panel);
        let width = n.next_multiple_of(nr);
        let to = self.buffer.reserve(k * width);
        (self.rows, self.cols, self.width) = (k, n, width);
        if n == 0 {
            return;
        }
        for start in (0..k).step_by(E::K_BLOCK) {
            let kc = E::K_BLOCK.min(k - start);
            // SAFETY: rows start..start + kc of `b` are inside the view; K-blocks of `kc * width` elements tile the
            // buffer of `k * width`.
            unsafe {
                let from = b.as_ptr().add(start * b.row_stride());
                pack_b(to.add(start * width), from, (b.row_stride(), b.col_stride()), kc, n, nr);
            }
        }
    }

    /// Packs for a given instruction set, so that tests reach every one of them.
    ///
    /// # Panics
    /// If the processor lacks the instruction set.
    #[doc(hidden)]
    pub fn pack_for(isa: Isa, b: Mat<'_, E>, rows: usize) -> Self {
        assert!(available().contains(&isa), "PackedB: this processor lacks {isa:?}");
        Self::with_isa(isa, b, rows)
    }

    fn with_isa(isa: Isa, b: Mat<'_, E>, rows: usize) -> Self {
        let panel = E::kernels(isa).panel_for(rows, b.cols());
        let mut packed = Self { buffer: Buffer::from_lines(Vec::new()), rows: 0, cols: 0, width: 0, panel, isa };
        packed.fill(b);
        packed
    }

    /// Rows of B, the length `K` of the sums.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of B.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Columns of a panel.
    pub(super) fn panel(&self) -> usize {
        self.panel
    }

    pub(super) fn isa(&self) -> Isa {
        self.isa
    }

    /// Where the panel that starts at column `col`, a multiple of the panel and less than `cols`, begins in the K-block that starts
    /// at row `start`, a multiple of the K-block and less than `rows`: its panels of `K-block x panel` elements follow one another.
    pub(super) fn block(&self, start: usize, col: usize) -> *const E {
        debug_assert!(start.is_multiple_of(E::K_BLOCK) && start < self.rows);
        debug_assert!(col.is_multiple_of(self.panel) && col < self.cols);
        let kc = E::K_BLOCK.min(self.rows - start);
        // SAFETY: the offset is inside the `rows * width` elements, of which the K-block has `kc * width`.
        unsafe { self.buffer.as_ptr().add(start * self.width + col * kc) }
    }
}

/// Copies a `kc x n` block of B as panels: `to[panel][k][0..nr]`, the last panel padded with zeros.
///
/// # Safety
/// `from` has `kc x n` readable elements under `strides` (row, column); `to` has room for `kc * n`, `n` rounded up to
/// `nr`.
pub(super) unsafe fn pack_b<E: GemmElem>(
    to: *mut E,
    from: *const E,
    strides: (usize, usize),
    kc: usize,
    n: usize,
    nr: usize,
) {
    let whole = if strides.1 == 1 { n / nr * nr } else { 0 };
    dispatch(Panels { to, from, stride: strides.0, kc, n: whole, nr });
    for j in (whole..n).step_by(nr) {
        let width = nr.min(n - j);
        // SAFETY: panel `j / nr` occupies `kc * nr` elements at `j * kc`; columns j..j + width exist.
        unsafe {
            let (to, from) = (to.add(j * kc), from.add(j * strides.1));
            if width < nr {
                std::slice::from_raw_parts_mut(to, kc * nr).fill(E::ZERO);
            }
            copy_tiles(to, nr, from, strides, kc, width);
        }
    }
}

/// Runs copied side by side: hardware prefetchers follow a few, and lose their way where every copy is of another run.
const RUNS: usize = 4;

/// Whole panels of a row-major B, for [`pack_b`].
struct Panels<E> {
    to: *mut E,
    from: *const E,
    stride: usize,
    kc: usize,
    n: usize,
    nr: usize,
}

impl<E: GemmElem> Task for Panels<E> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let Panels { to, from, stride, kc, n, nr } = self;
        for start in (0..kc).step_by(RUNS) {
            for j in (0..n).step_by(nr) {
                // SAFETY: rows start..start + count and columns j..j + nr exist in both.
                unsafe {
                    let (to, from) = (to.add(j * kc + start * nr), from.add(j + start * stride));
                    copy_runs_dyn(to, nr, from, stride, RUNS.min(kc - start), nr);
                }
            }
        }
    }
}

/// Copies `rows x kc` elements of A as one panel: `to[k][0..rows]`.
///
/// # Safety
/// `from` has `rows x kc` readable elements under `strides` (row, column); `to` has room for `rows * kc`.
pub(super) unsafe fn pack_a<E: GemmElem>(to: *mut E, from: *const E, strides: (usize, usize), rows: usize, kc: usize) {
    // SAFETY: both forms read and write exactly the elements the caller names.
    unsafe {
        if strides.0 == 1 {
            copy_runs_dyn(to, rows, from, strides.1, kc, rows);
        } else {
            copy_tiles(to, rows, from, (strides.1, strides.0), kc, rows);
        }
    }
}

/// Copies `count` runs of `len` contiguous elements, `len` fixed at compile time where it is a usual one.
///
/// # Safety
/// All runs are readable (`from`) and writable (`to`) and do not overlap.
#[inline(always)]
unsafe fn copy_runs_dyn<E: GemmElem>(
    to: *mut E,
    to_stride: usize,
    from: *const E,
    stride: usize,
    count: usize,
    len: usize,
) {
    macro_rules! by_len {
        ($($n:literal)*) => {
            match len {
                // SAFETY: the caller's contract.
                $($n => unsafe { copy_runs::<E, $n>(to, to_stride, from, stride, count) },)*
                _ => for k in 0..count {
                    // SAFETY: the caller's contract.
                    unsafe { std::ptr::copy_nonoverlapping(from.add(k * stride), to.add(k * to_stride), len) };
                },
            }
        };
    }
    by_len!(1 2 3 4 5 6 7 8 9 10 11 12 16 32);
}

/// # Safety
/// As [`copy_runs_dyn`].
#[inline(always)]
unsafe fn copy_runs<E: GemmElem, const LEN: usize>(
    to: *mut E,
    to_stride: usize,
    from: *const E,
    stride: usize,
    count: usize,
) {
    for k in 0..count {
        // SAFETY: the caller's contract; an array has the alignment of its element.
        unsafe { *to.add(k * to_stride).cast::<[E; LEN]>() = *from.add(k * stride).cast::<[E; LEN]>() };
    }
}

/// Copies a `rows x cols` matrix to rows of unit column stride, `to_stride` apart, in tiles small enough that both
/// sides stay in L1; a transposed source (unit row stride) is turned in 4 x 4 blocks, which compile to shuffles.
///
/// # Safety
/// `from` has `rows x cols` readable elements under `strides` (row, column), `to` is writable likewise; they do not
/// overlap.
unsafe fn copy_tiles<E: GemmElem>(
    to: *mut E,
    to_stride: usize,
    from: *const E,
    strides: (usize, usize),
    rows: usize,
    cols: usize,
) {
    const TILE: usize = 16;
    for top in (0..rows).step_by(TILE) {
        let height = TILE.min(rows - top);
        // SAFETY: the tile's rows top..top + height exist on both sides.
        let (to, from) = unsafe { (to.add(top * to_stride), from.add(top * strides.0)) };
        let turned = if strides.0 == 1 { (height / 4 * 4, cols / 4 * 4) } else { (0, 0) };
        for j in (0..turned.1).step_by(4) {
            for i in (0..turned.0).step_by(4) {
                // SAFETY: rows i..i + 4 and columns j..j + 4 exist on both sides.
                unsafe { E::turn(to.add(i * to_stride + j), to_stride, from.add(i + j * strides.1), strides.1) };
            }
        }
        for j in 0..cols {
            for i in if j < turned.1 { turned.0..height } else { 0..height } {
                // SAFETY: i < height and j < cols.
                unsafe { *to.add(i * to_stride + j) = *from.add(i * strides.0 + j * strides.1) };
            }
        }
    }
}

/// Transposes a 4 x 4 block; both sides have unit column stride.
///
/// # Safety
/// Four elements are readable at each of `from + i * stride` and writable at `to + i * to_stride`.
#[inline(always)]
pub(super) unsafe fn turn_scalar<E: Copy>(to: *mut E, to_stride: usize, from: *const E, stride: usize) {
    for i in 0..4 {
        for j in 0..4 {
            // SAFETY: the caller's contract.
            unsafe { *to.add(i * to_stride + j) = *from.add(i + j * stride) };
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
pub(super) use turn_scalar as turn_f32;

/// [`turn_scalar`] in SSE shuffles, which every x86-64 processor has; compilers do not find them.
///
/// # Safety
/// As [`turn_scalar`].
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline(always)]
pub(super) unsafe fn turn_f32(to: *mut f32, to_stride: usize, from: *const f32, stride: usize) {
    use std::arch::x86_64::*;
    // SAFETY: the caller's contract.
    unsafe {
        let [mut a, mut b] = [_mm_loadu_ps(from), _mm_loadu_ps(from.add(stride))];
        let [mut c, mut d] = [_mm_loadu_ps(from.add(2 * stride)), _mm_loadu_ps(from.add(3 * stride))];
        _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d);
        for (i, row) in [a, b, c, d].into_iter().enumerate() {
            _mm_storeu_ps(to.add(i * to_stride), row);
        }
    }
}
