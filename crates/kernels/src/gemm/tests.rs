//! Bit equality with the contract, on every instruction set, by every path.

use proptest::prelude::*;

use super::{GemmElem, Mat, MatMut, PackedB, gemm, gemm_for, gemm_packed, gemm_packed_all, gemm_shared};
use crate::{Blocks, Isa, available, isa, set_threads};

/// What the tests need from an element beyond [`GemmElem`].
trait Elem: GemmElem + std::fmt::Debug {
    fn from_f64(x: f64) -> Self;
    fn fma(self, b: Self, c: Self) -> Self;
    fn mul_then_add(self, b: Self, c: Self) -> Self;
    fn plus(self, other: Self) -> Self;
    /// Bits, all NaNs made equal: which payload survives is not part of the contract.
    fn bits(self) -> u64;
}

macro_rules! elem {
    ($t:ty) => {
        impl Elem for $t {
            fn from_f64(x: f64) -> Self {
                x as $t
            }
            fn fma(self, b: Self, c: Self) -> Self {
                self.mul_add(b, c)
            }
            fn mul_then_add(self, b: Self, c: Self) -> Self {
                self * b + c
            }
            fn plus(self, other: Self) -> Self {
                self + other
            }
            fn bits(self) -> u64 {
                if self.is_nan() { u64::MAX } else { self.to_bits().into() }
            }
        }
    };
}
elem!(f32);
elem!(f64);

/// The contract, read aloud: one element, one sequence.
fn oracle<E: Elem>(isa: Isa, a: Mat<'_, E>, b: Mat<'_, E>, old: Option<&[E]>) -> Vec<E> {
    let zero = E::from_f64(0.0);
    let step = if isa == Isa::Portable { E::mul_then_add } else { E::fma };
    let (m, n, k) = (a.rows(), b.cols(), a.cols());
    let mut c = Vec::with_capacity(m * n);
    for i in 0..m {
        for j in 0..n {
            let mut sum = old.map(|old| old[i * n + j]);
            for start in (0..k).step_by(E::K_BLOCK) {
                let mut acc = zero;
                for k in start..k.min(start + E::K_BLOCK) {
                    acc = step(a.get(i, k), b.get(k, j), acc);
                }
                sum = Some(sum.map_or(acc, |sum| sum.plus(acc)));
            }
            c.push(sum.unwrap_or(zero));
        }
    }
    c
}

/// Reproducible values of mixed magnitude, so that another order of summation shows in the bits.
fn values<E: Elem>(seed: u64, len: usize) -> Vec<E> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            E::from_f64(((state >> 11) as f64 / (1u64 << 53) as f64 - 0.5) * if state & 7 == 0 { 64.0 } else { 1.0 })
        })
        .collect()
}

#[track_caller]
fn same<E: Elem>(what: &str, isa: Isa, got: &[E], want: &[E]) {
    assert_eq!(got.len(), want.len(), "{what} on {isa:?}: length");
    for (at, (g, w)) in got.iter().zip(want).enumerate() {
        assert_eq!(g.bits(), w.bits(), "{what} on {isa:?}: element {at} is {g:?}, the contract gives {w:?}");
    }
}

/// Rows for which a matrix is packed: each layout is there for some.
const LAYOUTS: [usize; 2] = [1, usize::MAX];

/// Every path of one product against the oracle.
#[track_caller]
fn check_all_paths<E: Elem>(a: Mat<'_, E>, b: Mat<'_, E>) {
    let (m, n) = (a.rows(), b.cols());
    let old = values::<E>(99, m * n);
    for isa in available() {
        let packed = LAYOUTS.map(|rows| PackedB::pack_for(isa, b, rows));
        for accumulate in [false, true] {
            let want = oracle(isa, a, b, accumulate.then_some(&old));
            let mut c = old.clone();
            gemm_for(isa, a, b, MatMut::row_major(&mut c, m, n), accumulate);
            same("gemm", isa, &c, &want);
            for packed in &packed {
                c.copy_from_slice(&old);
                gemm_packed(a, packed, MatMut::row_major(&mut c, m, n), accumulate);
                same("gemm_packed", isa, &c, &want);
            }
        }
    }
}

fn check_shape<E: Elem>(m: usize, n: usize, k: usize) {
    let (a, b) = (values::<E>(1, m * k), values::<E>(2, k * n));
    check_all_paths(Mat::row_major(&a, m, k), Mat::row_major(&b, k, n));
    check_all_paths(Mat::new(&a, m, k, 1, m), Mat::new(&b, k, n, 1, k));
}

fn check_both(m: usize, n: usize, k: usize) {
    check_shape::<f32>(m, n, k);
    check_shape::<f64>(m, n, k);
}

#[test]
fn empty_and_tiny() {
    for (m, n, k) in [
        (0, 3, 2),
        (3, 0, 2),
        (3, 2, 0),
        (0, 0, 0),
        (1, 1, 1),
        (1, 16, 4),
        (2, 5, 1),
        (1, 0, 0),
        // Wide enough to copy a transposed A on every instruction set but the widest.
        (3, 40, 5),
    ] {
        check_both(m, n, k);
    }
}

#[test]
#[cfg_attr(miri, ignore = "slow")]
fn k_around_the_blocks() {
    for block in [f32::K_BLOCK, f64::K_BLOCK] {
        for k in [block - 1, block, block + 1, 2 * block, 2 * block + 3] {
            check_both(3, 17, k);
            check_both(14, 35, k);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "slow")]
fn blocks_of_m_and_n() {
    // More than one A block, B block and column block, with ragged edges.
    check_both(401, 37, 20);
    check_both(50, 1061, 9);
    let (m, n, k) = (230, 70, f32::K_BLOCK + 40);
    check_both(m, n, k);
}

#[test]
fn rows_do_not_depend_on_m() {
    fn check<E: Elem>(n: usize, k: usize) {
        let rows = if cfg!(miri) { 6 } else { 33 };
        let (a, b) = (values::<E>(3, rows * k), values::<E>(4, k * n));
        let b = Mat::row_major(&b, k, n);
        for isa in available() {
            let want = oracle(isa, Mat::row_major(&a, rows, k), b, None);
            let packed = LAYOUTS.map(|rows| PackedB::pack_for(isa, b, rows));
            for m in 1..=rows {
                for first in [0, rows - m] {
                    let a = Mat::row_major(&a, rows, k).row_range(first, m);
                    let want = &want[first * n..][..m * n];
                    let mut c = vec![E::from_f64(7.0); m * n];
                    gemm_for(isa, a, b, MatMut::row_major(&mut c, m, n), false);
                    same("rows", isa, &c, want);
                    for packed in &packed {
                        c.fill(E::from_f64(7.0));
                        gemm_packed(a, packed, MatMut::row_major(&mut c, m, n), false);
                        same("packed rows", isa, &c, want);
                    }
                }
            }
        }
    }
    check::<f32>(if cfg!(miri) { 9 } else { 150 }, 21);
    check::<f64>(if cfg!(miri) { 9 } else { 150 }, 21);
}

#[test]
fn columns_do_not_depend_on_n() {
    fn check<E: Elem>(m: usize, k: usize) {
        let cols = if cfg!(miri) { 10 } else { 270 };
        let (a, b) = (values::<E>(5, m * k), values::<E>(6, k * cols));
        let (a, b) = (Mat::row_major(&a, m, k), Mat::row_major(&b, k, cols));
        for isa in available() {
            let want = oracle(isa, a, b, None);
            for n in 1..=cols {
                for first in [0, cols - n] {
                    let part = b.col_range(first, n);
                    let mut got: [Vec<E>; 3] = std::array::from_fn(|_| vec![E::from_f64(7.0); m * n]);
                    gemm_for(isa, a, part, MatMut::row_major(&mut got[2], m, n), false);
                    for (rows, c) in LAYOUTS.into_iter().zip(&mut got) {
                        gemm_packed(a, &PackedB::pack_for(isa, part, rows), MatMut::row_major(c, m, n), false);
                    }
                    for c in &got {
                        for i in 0..m {
                            same("columns", isa, &c[i * n..][..n], &want[i * cols + first..][..n]);
                        }
                    }
                }
            }
        }
    }
    for m in [1, 3, 5] {
        check::<f32>(m, 11);
        check::<f64>(m, 11);
    }
}

#[test]
#[cfg_attr(miri, ignore = "slow")]
fn k_splits_at_block_boundaries() {
    fn check<E: Elem>() {
        let (m, n, k) = (4, 9, 2 * E::K_BLOCK + 5);
        let (a, b) = (values::<E>(9, m * k), values::<E>(10, k * n));
        let (a, b) = (Mat::row_major(&a, m, k), Mat::row_major(&b, k, n));
        for isa in available() {
            let mut c = vec![E::from_f64(0.0); m * n];
            for (start, len) in [(0, E::K_BLOCK), (E::K_BLOCK, E::K_BLOCK + 5)] {
                let (a, b) = (a.col_range(start, len), b.row_range(start, len));
                gemm_for(isa, a, b, MatMut::row_major(&mut c, m, n), start > 0);
            }
            same("split K", isa, &c, &oracle(isa, a, b, None));
        }
    }
    check::<f32>();
    check::<f64>();
}

/// Workers that are awake take whole panels of a packed matrix.
#[test]
#[cfg_attr(miri, ignore = "workers do not end")]
fn shared_columns_of_a_packed_matrix_have_the_bits_of_all() {
    fn check<E: Elem>() {
        for (m, n, k) in [(1, 517, 300), (1, 512, 1030), (3, 1000, 40), (20, 301, 77)] {
            let (a, b) = (values::<E>(15, m * k), values::<E>(16, k * n));
            let (a, b) = (Mat::row_major(&a, m, k), Mat::row_major(&b, k, n));
            let packed = PackedB::pack_rows(b, m);
            let old = values::<E>(17, m * n);
            for (accumulate, want) in [(false, oracle(isa(), a, b, None)), (true, oracle(isa(), a, b, Some(&old)))] {
                // Many in turn, so that workers are awake for some.
                for threads in [1, 2, 3, 8].into_iter().cycle().take(40) {
                    set_threads(threads);
                    let mut c = old.clone();
                    gemm_packed(a, &packed, MatMut::row_major(&mut c, m, n), accumulate);
                    same("shared", isa(), &c, &want);
                }
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

#[test]
#[cfg_attr(miri, ignore = "workers do not end")]
fn several_products_with_packed_matrices_are_shared_as_a_whole() {
    fn check<E: Elem>(shapes: &[(usize, usize, usize)]) {
        let data: Vec<[Vec<E>; 2]> = (20..)
            .zip(shapes)
            .map(|(seed, (m, n, k))| [values::<E>(seed, m * k), values::<E>(seed + 10, k * n)])
            .collect();
        let operands: Vec<_> = data
            .iter()
            .zip(shapes)
            .map(|([a, b], (m, n, k))| (Mat::row_major(a, *m, *k), Mat::row_major(b, *k, *n)))
            .collect();
        let packed: Vec<_> = operands.iter().map(|(a, b)| PackedB::pack_rows(*b, a.rows())).collect();
        for threads in [1, 2, 3, 8].into_iter().cycle().take(40) {
            set_threads(threads);
            let mut results: Vec<_> = shapes.iter().map(|(m, n, _)| vec![E::from_f64(7.0); m * n]).collect();
            let products = operands.iter().zip(&packed).zip(&mut results);
            gemm_packed_all(
                products.map(|(((a, b), packed), c)| (*a, packed, MatMut::row_major(c, a.rows(), b.cols()))).collect(),
            );
            for ((a, b), c) in operands.iter().zip(&results) {
                same("together", isa(), c, &oracle(isa(), *a, *b, None));
            }
        }
    }
    let shapes = [(1, 512, 128), (1, 512, 128), (1, 300, 70), (5, 640, 33), (1, 7, 2), (2, 0, 9), (1, 5, 0)];
    for count in 1..=shapes.len() {
        check::<f32>(&shapes[..count]);
        check::<f64>(&shapes[shapes.len() - count..]);
    }
}

#[test]
fn nothing_outside_c_is_written() {
    let (m, n, k, stride) = (13, 19, 5, 23);
    let (a, b) = (values::<f32>(11, m * k), values::<f32>(12, k * n));
    let (a, b) = (Mat::row_major(&a, m, k), Mat::row_major(&b, k, n));
    for isa in available() {
        let want = oracle(isa, a, b, None);
        let mut c = vec![-7.0; m * stride];
        gemm_for(isa, a, b, MatMut::new(&mut c, m, n, stride), false);
        for i in 0..m {
            same("strided C", isa, &c[i * stride..][..n], &want[i * n..][..n]);
            assert!(c[i * stride + n..][..stride - n].iter().all(|&x| x == -7.0), "{isa:?} wrote beyond row {i}");
        }
    }
}

#[test]
fn special_values_propagate() {
    let (m, n, k) = (3, 20, 6);
    let (mut a, mut b) = (values::<f32>(13, m * k), values::<f32>(14, k * n));
    (a[2], a[k], a[2 * k + 1]) = (0.0, f32::NAN, f32::INFINITY);
    (b[2 * n + 4], b[n + 3], b[n + 17]) = (f32::INFINITY, 0.0, -0.0);
    check_all_paths(Mat::row_major(&a, m, k), Mat::row_major(&b, k, n));
    let mut c = vec![0.0; m * n];
    gemm(Mat::row_major(&a, m, k), Mat::row_major(&b, k, n), MatMut::row_major(&mut c, m, n), false);
    assert!(c[4].is_nan(), "0 * inf is NaN, not skipped");
    assert!(c[n..2 * n].iter().all(|x| x.is_nan()));
    assert!(c[2 * n + 3].is_nan() && c[2 * n + 17].is_nan(), "inf * 0 is NaN");
}

#[test]
#[should_panic(expected = "C [2, 4] = A [2, 3] times B [2, 4]: the shapes do not fit")]
fn misfit_shapes_panic() {
    let x = [0.0f32; 8];
    gemm(Mat::row_major(&x, 2, 3), Mat::row_major(&x, 2, 4), MatMut::row_major(&mut [0.0; 8], 2, 4), false);
}

#[test]
#[should_panic(expected = "a [2, 3] view with strides [4, 1] leaves its slice of 6 elements")]
fn views_outside_their_slice_panic() {
    Mat::new(&[0.0f32; 6], 2, 3, 4, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 3 } else { 150 }, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_view(
        (m, n, k) in if cfg!(miri) { (0..6usize, 0..24usize, 0..6usize) } else { (0..40, 0..150, 0..30) },
        a_strides in (0..3usize, 0..3usize, any::<bool>()),
        b_strides in (0..3usize, 0..3usize, any::<bool>()),
        seed in any::<u64>(),
    ) {
        // Strides 0 (broadcast), 1 and 2 in either order, over a slice that just holds the view.
        fn view<E: Elem>(data: &mut Vec<E>, seed: u64, rows: usize, cols: usize, (outer, inner, t): (usize, usize, bool)) -> Mat<'_, E> {
            let (r, c) = if t { (cols, rows) } else { (rows, cols) };
            let row_stride = outer * c.max(1);
            let len = if r == 0 || c == 0 { 0 } else { (r - 1) * row_stride + (c - 1) * inner + 1 };
            *data = values(seed, len);
            let mat = Mat::new(data, r, c, row_stride, inner);
            if t { mat.t() } else { mat }
        }
        let (mut a, mut b) = (Vec::<f32>::new(), Vec::<f32>::new());
        check_all_paths(view(&mut a, seed, m, k, a_strides), view(&mut b, !seed, k, n, b_strides));
        let (mut a, mut b) = (Vec::<f64>::new(), Vec::<f64>::new());
        check_all_paths(view(&mut a, seed, m, k, a_strides), view(&mut b, !seed, k, n, b_strides));
    }
}

#[test]
fn pieces_added_from_the_last_to_the_first_give_the_bits_of_the_whole() {
    let (m, n, k) = (70, 130, 3 * 512 + 100);
    let data = |len: usize| (0..len).map(|i| (i * 7919 % 1013) as f32 / 500.0 - 1.0).collect::<Vec<f32>>();
    let (a, b) = (data(k * m), data(k * n));
    let part = |from: usize, to: usize, c: &mut [f32], blocks: Blocks| {
        let a = Mat::row_major(&a[from * m..to * m], to - from, m).t();
        gemm_shared(vec![(a, MatMut::row_major(c, m, n))], Mat::row_major(&b[from * n..to * n], to - from, n), blocks);
    };
    let mut whole = vec![f32::NAN; m * n];
    part(0, k, &mut whole, Blocks { backward: true, onto: false });
    let mut sum = vec![-0.0; m * n];
    for (from, to) in [(1024, k), (512, 1024), (0, 512)] {
        part(from, to, &mut sum, Blocks { backward: true, onto: true });
    }
    let bits = |c: &[f32]| c.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert!(bits(&sum) == bits(&whole));
    let mut forward = vec![0.0; m * n];
    part(0, k, &mut forward, Blocks::default());
    assert!(bits(&forward) != bits(&whole), "the order shows in the bits");
}

#[test]
fn a_packed_matrix_takes_the_place_of_another() {
    fn check<E: Elem>() {
        let mut packed = PackedB::pack(Mat::row_major(&values::<E>(3, 800 * 400), 800, 400));
        let most = packed.bytes();
        for (k, n, m) in [(700, 300, 1), (512, 96, 64), (33, 7, 2), (0, 5, 1), (9, 1, usize::MAX), (600, 301, 4)] {
            let (a, b) = (values::<E>(1, 3 * k), values::<E>(2, k * n));
            let (a, b) = (Mat::row_major(&a, 3, k), Mat::row_major(&b, k, n));
            let fresh = PackedB::pack_rows(b, m);
            assert_eq!(fresh.bytes(), PackedB::<E>::bytes_for(k, n, m), "{k} x {n} for {m} rows");
            packed.repack(b, m);
            assert_eq!(packed.bytes(), most);
            let [mut got, mut want] = [vec![E::from_f64(0.0); 3 * n], vec![E::from_f64(0.0); 3 * n]];
            gemm_packed(a, &packed, MatMut::row_major(&mut got, 3, n), false);
            gemm_packed(a, &fresh, MatMut::row_major(&mut want, 3, n), false);
            same("repacked", isa(), &got, &want);
        }
    }
    check::<f32>();
    check::<f64>();
}
