//! The loops around the micro-kernel: which blocks stay in which cache, what is packed and what is read in place.
//!
//! Nothing here can change a bit of the result: every element is computed by [`tile`](super::kernel::tile) over whole
//! K-blocks, in order.

use std::cell::Cell;

use super::kernel::{Kernels, PREFETCH_ROWS, Tile};
use super::pack::{Buffer, Line, PackedB, pack_a, pack_b};
use super::{GemmElem, Mat, MatMut};
use crate::Isa;
use crate::ahead::Ahead;

/// Bytes of an A block: it stays in L2 while all columns pass.
const A_BLOCK_BYTES: usize = 256 << 10;
/// Size of a B beyond which it is taken not to be in L2.
const L2_BYTES: usize = 768 << 10;
/// Size of a packed B beyond which it is taken not to be in L1.
const L1_BYTES: usize = 32 << 10;
/// How many steps of k ahead B is prefetched: at least a page, where hardware prefetchers stop, and time enough for the
/// last-level cache at 16 bytes per cycle.
const PREFETCH_PACKED: usize = 64;
/// The same for few rows, which pass over B so fast that a line must not be asked for twice.
const PREFETCH_FEW_ROWS: usize = 16;
/// The same for rows of B in place: fewer, since every step is another page.
const PREFETCH_IN_PLACE: usize = 32;
/// Columns of B packed at a time when the caller has not packed them.
const NC: usize = 1024;
/// Panels of B that must share a packed A for the copy to pay.
const PACKED_A_PANELS: usize = 4;

thread_local! {
    /// Packed A and packed B; taken while in use, so that nothing can be borrowed twice.
    static SCRATCH: Cell<[Vec<Line>; 2]> = const { Cell::new([Vec::new(), Vec::new()]) };
}

/// Where B comes from.
#[derive(Clone, Copy)]
pub(super) enum Source<'a, E> {
    /// A view, read in place or packed in scratch memory.
    View(Mat<'a, E>),
    /// Packed by the caller, from a column on that begins a panel.
    Packed(&'a PackedB<E>, usize),
}

/// `C = A B` or `C += A B`; the caller has checked the shapes, and that the processor has `isa`.
#[inline]
pub(super) fn product<E: GemmElem>(isa: Isa, a: Mat<'_, E>, b: Source<'_, E>, c: MatMut<'_, E>, accumulate: bool) {
    products(isa, &mut [(a, c)], b, accumulate, &mut Ahead::none());
}

/// [`product`] for several A and C with one B, whose blocks are copied once for all of them.
pub(super) fn products<E: GemmElem>(
    isa: Isa,
    items: &mut [(Mat<'_, E>, MatMut<'_, E>)],
    b: Source<'_, E>,
    accumulate: bool,
    ahead: &mut Ahead<'_>,
) {
    let Some((n, k)) = items.first().map(|(a, c)| (c.cols(), a.cols())) else { return };
    let m: usize = items.iter().map(|(a, _)| a.rows()).sum();
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        if !accumulate {
            items.iter_mut().for_each(|(_, c)| c.fill(E::ZERO));
        }
        return;
    }
    let kernels = E::kernels(isa);
    let copies = |a: &Mat<'_, E>| a.rows() > 1 && n > PACKED_A_PANELS * kernels.nr() && a.col_stride() != 1;
    let copy_a = items.iter().any(|(a, _)| copies(a));
    let copy_b = match b {
        Source::View(b) => n > 1 && b.col_stride() != 1 || reread(&b, m, kernels.mr()),
        Source::Packed(..) => false,
    };
    if copy_a || copy_b {
        let [lines_a, lines_b] = SCRATCH.take();
        let (mut to_a, mut to_b) = (Buffer::from_lines(lines_a), Buffer::from_lines(lines_b));
        blocks(kernels, items, b, accumulate, [copy_a.then_some(&mut to_a), copy_b.then_some(&mut to_b)], ahead);
        SCRATCH.set([to_a.into_lines(), to_b.into_lines()]);
    } else {
        blocks(kernels, items, b, accumulate, [None, None], ahead);
    }
}

/// See [`spare_steps`](super::spare_steps).
pub(super) fn spare_steps<E: GemmElem>(kernels: &Kernels<E>, m: usize, n: usize, k: usize) -> usize {
    if m < PREFETCH_ROWS || n == 0 {
        return 0;
    }
    let panels = RowPanels::new(m, kernels.mr());
    let step = kernels.step(panels.tallest(), n, panels.count == 1);
    panels.count * n.div_ceil(step.cols) * k
}

/// How many steps of k ahead a packed B is prefetched for products of `rows` rows.
fn packed_ahead(rows: usize) -> usize {
    if rows < PREFETCH_ROWS { PREFETCH_FEW_ROWS } else { PREFETCH_PACKED }
}

/// Walks column blocks, K-blocks and row blocks, copying A and B block by block where given room to.
#[inline(always)]
fn blocks<E: GemmElem>(
    kernels: &Kernels<E>,
    items: &mut [(Mat<'_, E>, MatMut<'_, E>)],
    b: Source<'_, E>,
    accumulate: bool,
    [mut copy_a, mut copy_b]: [Option<&mut Buffer<E>>; 2],
    ahead: &mut Ahead<'_>,
) {
    let (n, k) = items.first().map_or((0, 0), |(a, c)| (c.cols(), a.cols()));
    let (mr, nr) = (kernels.mr(), kernels.nr());
    let longest = k.min(E::K_BLOCK);
    let nc = if copy_b.is_some() { NC } else { n };
    let mut col = 0;
    while col < n {
        let cols = nc.min(n - col);
        let mut start = 0;
        while start < k {
            let kc = E::K_BLOCK.min(k - start);
            // Where B starts, and the columns of a panel, if it is packed.
            let (b_block, width) = match b {
                Source::Packed(b, first) => (b.block(start, first), Some(b.panel())),
                Source::View(b) => {
                    // SAFETY: `start < k` and `col < n` address an element of the view; the buffer has room for the
                    // padded block.
                    unsafe {
                        let from = b.as_ptr().add(start * b.row_stride() + col * b.col_stride());
                        if let Some(buffer) = &mut copy_b {
                            let to = buffer.reserve(kc * cols.next_multiple_of(nr));
                            pack_b(to, from, (b.row_stride(), b.col_stride()), kc, cols, nr);
                            (to.cast_const(), Some(nr))
                        } else {
                            (from, None)
                        }
                    }
                }
            };
            let b_rs = match (b, width) {
                (Source::View(b), None) => b.row_stride(),
                (_, width) => width.unwrap_or(nr),
            };
            for (a, c) in items.iter_mut() {
                let m = a.rows();
                let mc = if m * longest * size_of::<E>() <= A_BLOCK_BYTES {
                    m
                } else {
                    (A_BLOCK_BYTES / size_of::<E>() / longest / mr).max(1) * mr
                };
                let mut row = 0;
                while row < m {
                    let panels = RowPanels::new(mc.min(m - row), mr);
                    // SAFETY: `row < m`, `start < k`, `col < n` address elements of A and C; the buffer has room for the
                    // block. The block handed on names elements of A, B and C only, and C is borrowed mutably.
                    unsafe {
                        let mut from = a.as_ptr().add(row * a.row_stride() + start * a.col_stride());
                        if let Some(buffer) = &mut copy_a {
                            let to = buffer.reserve(panels.rows * kc);
                            panels.for_each(|at, height| {
                                let from = from.add(at * a.row_stride());
                                pack_a(to.add(at * kc), from, (a.row_stride(), a.col_stride()), height, kc);
                            });
                            from = to;
                        }
                        let tile = Tile {
                            kc,
                            a: from,
                            a_rs: a.row_stride(),
                            a_cs: a.col_stride(),
                            b: b_block,
                            b_rs,
                            // Kernels of several panels find them side by side, but for packed ones of the usual width.
                            b_panel: if width == Some(nr) { kc * nr } else { nr },
                            c: c.as_mut_ptr().add(row * c.row_stride() + col),
                            c_rs: c.row_stride(),
                            tail: kernels.lanes,
                            ahead: b_rs * if width.is_some() { packed_ahead(m) } else { PREFETCH_IN_PLACE },
                            far: n * k * size_of::<E>() > if width.is_some() { L1_BYTES } else { L2_BYTES },
                            errand: (std::ptr::null(), 0),
                            add: accumulate || start > 0,
                        };
                        block(kernels, tile, panels, (cols, width), copy_a.is_some(), ahead);
                    }
                    row += panels.rows;
                }
            }
            start += kc;
        }
        col += cols;
    }
}

/// One K-block of a block of C of so many columns. `t` holds the block's operands, with A copied panel by panel if `packed_a`, and
/// B in panels of `width` columns if it is packed.
///
/// # Safety
/// As [`Kernel`](super::kernel::Kernel), for the whole block.
#[inline(always)]
unsafe fn block<E: GemmElem>(
    kernels: &Kernels<E>,
    mut t: Tile<E>,
    panels: RowPanels,
    (cols, width): (usize, Option<usize>),
    packed_a: bool,
    ahead: &mut Ahead<'_>,
) {
    let (a, c, a_rs) = (t.a, t.c, t.a_rs);
    let mut col = 0;
    // The present panel of B, and the columns of it that are done.
    let (mut panel, mut done) = (t.b, 0);
    while col < cols {
        let step = kernels.step(panels.tallest(), cols - col, panels.count == 1);
        t.tail = step.tail;
        // The panel of B stays in L1 while the row panels of A pass.
        panels.for_each(|row, height| {
            // SAFETY: rows row..row + height and columns col..col + step.cols are inside the block.
            unsafe {
                if packed_a {
                    t.a = a.add(row * t.kc);
                    (t.a_rs, t.a_cs) = (1, height);
                } else {
                    t.a = a.add(row * a_rs);
                }
                t.c = c.add(row * t.c_rs + col);
                // Without an errand, a line that is there anyway.
                t.errand = ahead.next(t.kc).unwrap_or((t.a.cast(), 0));
                step.kernels[height - 1](&t);
            }
        });
        col += step.cols;
        done += step.cols;
        if width.is_some_and(|width| done >= width) {
            // Whole panels, one or several.
            panel = panel.wrapping_add(done * t.kc);
            done = 0;
        }
        t.b = panel.wrapping_add(done);
    }
}

/// Rows in panels of nearly equal height: a lone last row would run at a fraction of the speed.
#[derive(Clone, Copy)]
struct RowPanels {
    rows: usize,
    count: usize,
    height: usize,
    /// This many panels, the first ones, have one row more.
    taller: usize,
}

impl RowPanels {
    /// `rows >= 1` in panels of at most `mr`.
    fn new(rows: usize, mr: usize) -> Self {
        if rows <= mr {
            return Self { rows, count: 1, height: rows, taller: 0 };
        }
        let count = rows.div_ceil(mr);
        Self { rows, count, height: rows / count, taller: rows % count }
    }

    fn tallest(&self) -> usize {
        self.height + usize::from(self.taller > 0)
    }

    /// Calls `f` with the first row and the height of each panel.
    #[inline(always)]
    fn for_each(&self, mut f: impl FnMut(usize, usize)) {
        let mut row = 0;
        for panel in 0..self.count {
            let height = self.height + usize::from(panel < self.taller);
            f(row, height);
            row += height;
        }
    }
}

/// Whether a row-major B is worth packing. Reading in place costs little while few row panels of A pass over it, even
/// if the rows of B fall into the same cache sets because they lie a multiple of 1 KiB apart.
fn reread<E>(b: &Mat<'_, E>, m: usize, mr: usize) -> bool {
    let aliased = (b.row_stride() * size_of::<E>()).is_multiple_of(1024);
    m > mr * if aliased { 5 } else { 16 }
}
