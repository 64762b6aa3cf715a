//! The micro-kernel: one tile of C, kept in registers while k runs.

use super::sealed::Sealed;
use super::vector::Vector;
use crate::ahead::{Hint, ask};

/// One tile's operands: `kc` steps of k over an `MR x NV * LANES` tile.
///
/// Element `(i, k)` of A is `a[i * a_rs + k * a_cs]`: any strides, so A is packed for the caches' sake only.
/// B comes in panels of two vectors: element `(k, j)` is `b[k * b_rs + (j / NR) * b_panel + j % NR]`
/// with `NR = 2 * LANES`; a row-major B in place, or in wider panels, is the case `b_panel = NR`.
pub(super) struct Tile<E> {
    pub(super) kc: usize,
    pub(super) a: *const E,
    pub(super) a_rs: usize,
    pub(super) a_cs: usize,
    pub(super) b: *const E,
    pub(super) b_rs: usize,
    pub(super) b_panel: usize,
    pub(super) c: *mut E,
    pub(super) c_rs: usize,
    /// Lanes of the last vector that exist; used by masked kernels only.
    pub(super) tail: usize,
    /// How far ahead of its use B is prefetched, in elements.
    pub(super) ahead: usize,
    /// B is taken to come from further away than hardware prefetchers see.
    pub(super) far: bool,
    /// Memory of somebody else's that is asked for meanwhile, and the bytes to go on in a step of k.
    pub(super) errand: (*const u8, usize),
    /// `C += tile` instead of `C = tile`.
    pub(super) add: bool,
}

/// Steps of k left when C is prefetched: time enough for the last-level cache.
const PREFETCH_C_STEPS: usize = 32;
/// Fewest rows for which the load ports have room for prefetches.
pub(super) const PREFETCH_ROWS: usize = 4;

/// A micro-kernel for one tile shape.
///
/// # Safety
/// The processor has the kernel's instruction set; every element the tile names is readable (A, B) or exclusively
/// writable (C).
pub(super) type Kernel<E> = unsafe fn(&Tile<E>);

/// The tile shapes of one instruction set and element type; a list's entry `i` computes `i + 1` rows.
pub(super) struct Kernels<E: 'static> {
    /// Elements in a register.
    pub(super) lanes: usize,
    /// Eight vectors wide, then four: enough independent accumulators to hide the FMA latency when rows are few.
    pub(super) wide: [&'static [Kernel<E>]; 2],
    /// One panel (two vectors) wide.
    pub(super) panel: &'static [Kernel<E>],
    /// One panel, second vector partial.
    pub(super) panel_masked: &'static [Kernel<E>],
    /// One vector wide.
    pub(super) single: &'static [Kernel<E>],
    /// One partial vector.
    pub(super) single_masked: &'static [Kernel<E>],
    /// Steps of [`fma_loop`](super::peak::fma_loop).
    pub(super) fma_loop: unsafe fn(usize) -> E,
}

impl<E> Kernels<E> {
    /// Rows of the tallest tile.
    pub(super) fn mr(&self) -> usize {
        self.panel.len()
    }

    /// Columns of a panel of B.
    pub(super) fn nr(&self) -> usize {
        2 * self.lanes
    }

    /// Columns of a panel of a B with `cols` columns that is packed for products of `rows` rows: for few rows all that the
    /// widest kernel takes, so that B is read as it lies.
    pub(super) fn panel_for(&self, rows: usize, cols: usize) -> usize {
        let wide = 8 * self.lanes;
        if rows <= self.wide[0].len() && cols >= wide { wide } else { self.nr() }
    }

    /// The kernels for the first of `cols >= 1` remaining columns and for row panels of at most `rows` rows; for
    /// `one_row_panel` as wide as the registers allow.
    #[inline]
    pub(super) fn step(&self, rows: usize, cols: usize, one_row_panel: bool) -> Step<E> {
        let l = self.lanes;
        if one_row_panel {
            for (kernels, panels) in self.wide.into_iter().zip([4, 2]) {
                if cols >= panels * 2 * l && rows <= kernels.len() {
                    return Step { kernels, cols: panels * 2 * l, tail: l };
                }
            }
        }
        let (kernels, cols, tail) = if cols >= 2 * l {
            (self.panel, 2 * l, l)
        } else if cols > l {
            (self.panel_masked, cols, cols - l)
        } else if cols == l {
            (self.single, cols, l)
        } else {
            (self.single_masked, cols, cols)
        };
        Step { kernels, cols, tail }
    }
}

/// How to compute the next columns of a block.
pub(super) struct Step<E: 'static> {
    /// Entry `i` computes `i + 1` rows.
    pub(super) kernels: &'static [Kernel<E>],
    /// Columns computed.
    pub(super) cols: usize,
    /// Lanes of the last vector.
    pub(super) tail: usize,
}

/// Computes `acc[i][j] = fma(a[i,k], b[k,j], acc[i][j])` for `k = 0..kc` in order from zero, then writes or adds the
/// tile to C. This is the only place where products are summed, whatever the shape: it *is* the determinism contract.
///
/// # Safety
/// As [`Kernel`].
#[inline(always)]
pub(super) unsafe fn tile<V: Vector, const MR: usize, const NV: usize, const MASKED: bool>(t: &Tile<V::Elem>) {
    // SAFETY: the caller promises the instruction set and that every element the tile names is accessible; the loops
    // below form no other address: i < MR, k < kc, j < NV * LANES, and the last vector only in its first `tail` lanes.
    unsafe {
        let mut acc = [[V::splat(V::Elem::ZERO); NV]; MR];
        let mut a = t.a;
        let mut b = t.b;
        let mut errand = t.errand.0;
        let (a_rs, a_cs, b_rs) = (t.a_rs, t.a_cs, t.b_rs);
        // Two stretches of the same loop: C is asked for shortly before the sums are ready, since its rows lie too far
        // apart for hardware prefetchers, and would not stay in L1 from the start of a long tile.
        let mut left = t.kc;
        let mut until = if MR >= PREFETCH_ROWS { left.min(PREFETCH_C_STEPS) } else { 0 };
        loop {
            while left > until {
                let mut row = [V::splat(V::Elem::ZERO); NV];
                for (v, x) in row.iter_mut().enumerate() {
                    let from = b.wrapping_add((v / 2) * t.b_panel + (v % 2) * V::LANES);
                    *x = if MASKED && v == NV - 1 { V::load_first(from, t.tail) } else { V::load(from) };
                    if MR >= PREFETCH_ROWS || t.far {
                        V::prefetch(from.wrapping_add(t.ahead));
                    }
                }
                for (i, acc) in acc.iter_mut().enumerate() {
                    let x = V::splat(*a.wrapping_add(i * a_rs));
                    for (acc, &y) in acc.iter_mut().zip(&row) {
                        *acc = x.mul_add(y, *acc);
                    }
                }
                // `wrapping`: after the last step the pointers may lie beyond the operand, and are not used.
                if MR >= PREFETCH_ROWS {
                    ask(errand, Hint::Read);
                    errand = errand.wrapping_add(t.errand.1);
                }
                a = a.wrapping_add(a_cs);
                b = b.wrapping_add(b_rs);
                left -= 1;
            }
            if until == 0 {
                break;
            }
            for i in 0..MR {
                for v in 0..NV {
                    V::prefetch(t.c.wrapping_add(i * t.c_rs + v * V::LANES));
                }
                // Rows of C need not start on a cache line.
                V::prefetch(t.c.wrapping_add(i * t.c_rs + NV * V::LANES - 1));
            }
            until = 0;
        }
        for (i, acc) in acc.iter().enumerate() {
            for (v, &x) in acc.iter().enumerate() {
                let to = t.c.add(i * t.c_rs + v * V::LANES);
                if MASKED && v == NV - 1 {
                    let x = if t.add { V::load_first(to, t.tail).add(x) } else { x };
                    x.store_first(to, t.tail);
                } else {
                    let x = if t.add { V::load(to).add(x) } else { x };
                    x.store(to);
                }
            }
        }
    }
}

/// Defines `KERNELS`, the table of an element type and a vector type, under the given `#[target_feature]`.
macro_rules! kernels {
    ($elem:ty, $vector:ty, [$(#[$attr:meta])*], rows8 [$($r8:literal)*], rows4 [$($r4:literal)*], rows2 [$($r2:literal)*]) => {
        use $crate::gemm::kernel::{Kernels, Tile, tile};

        /// # Safety
        /// As [`Kernel`]($crate::gemm::kernel::Kernel).
        $(#[$attr])*
        unsafe fn run<const MR: usize, const NV: usize, const MASKED: bool>(t: &Tile<$elem>) {
            // SAFETY: the same contract; the attribute above enables the instruction set of the vector type.
            unsafe { tile::<$vector, MR, NV, MASKED>(t) }
        }

        /// # Safety
        /// As [`fma_loop`]($crate::gemm::peak::fma_loop).
        $(#[$attr])*
        unsafe fn fma_loop(steps: usize) -> $elem {
            // SAFETY: the same contract; the attribute above enables the instruction set of the vector type.
            unsafe { $crate::gemm::peak::fma_loop::<$vector>(steps) }
        }

        pub(in $crate::gemm) static KERNELS: Kernels<$elem> = Kernels {
            lanes: <$vector as Vector>::LANES,
            wide: [&[$(run::<$r8, 8, false>),*], &[$(run::<$r4, 4, false>),*]],
            panel: &[$(run::<$r2, 2, false>),*],
            panel_masked: &[$(run::<$r2, 2, true>),*],
            single: &[$(run::<$r2, 1, false>),*],
            single_masked: &[$(run::<$r2, 1, true>),*],
            fma_loop,
        };
    };
}
pub(super) use kernels;
