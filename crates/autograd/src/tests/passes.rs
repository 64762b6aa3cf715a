//! Reductions of rows in the passes over their elements, and what loops compute again instead of storing it: the bits of
//! node-by-node execution, in fewer instructions and less memory.

use super::support::{Rng, WIDE, same_bits, sampled};
use crate::program::arena_bytes;
use crate::{Checkpoint, DType, ScanOptions, Tape, Tensor, Var};

type Case = dyn for<'t> Fn(Var<'t>) -> Vec<Var<'t>>;

fn instructions(tape: &Tape, values: &[Var<'_>]) -> usize {
    tape.program(values).unwrap().instructions.len()
}

#[test]
fn what_is_computed_from_reductions_of_rows_is_one_pass() {
    /// Instructions of the values, and with a derivative.
    const CASES: [(&str, usize, &Case); 8] = [
        ("layer_norm", 1, &|x| vec![x.layer_norm(1e-5)]),
        ("rms_norm", 1, &|x| vec![x.rms_norm(1e-5)]),
        ("softmax", 1, &|x| vec![x.softmax(-1)]),
        ("log_softmax", 1, &|x| vec![x.log_softmax(-1)]),
        ("values of rows that are asked for", 1, &|x| {
            let sum = x.sum_keep(-1);
            vec![sum, x * sum.tanh(), sum.sin()]
        }),
        ("kinds", 1, &|x| {
            vec![(x - x.min_keep(-1)) / (x.max_keep(-1) - x.min_keep(-1) + 1.0) + (x * 0.1 + 1.0).prod_keep(-1)]
        }),
        ("truth", 1, &|x| vec![x.mean_keep(-1).gt(0.0).select(x.exp(), x * 2.0)]),
        // The first sum is of rows whose values are not all there before it.
        ("a softmax of a norm", 1, &|x| vec![x.layer_norm(1e-5).softmax(-1)]),
    ];
    let mut rng = Rng::new(5);
    for dtype in [DType::F32, DType::F64] {
        for shape in [&[7, 5][..], &[4, 16], &[3, 300], &[1, 20], &[20], &[2, 3, 33], &[16, 16], &[40, 2], &[2, 1024]] {
            let x = sampled(shape, dtype, &WIDE, &mut rng);
            for (name, count, f) in CASES {
                let what = format!("{name} {shape:?} {dtype}");
                let tape = Tape::new();
                let x = tape.var(&x);
                let values = f(x);
                same_bits(&tape, &values, &what);
                assert_eq!(instructions(&tape, &values), count, "{what}");
                let loss = values.iter().fold(tape.literal(0.0, dtype), |sum, v| sum + (*v * v.cos()).sum());
                same_bits(&tape, &[vec![loss, loss.grad([x])[0]], values].concat(), &format!("{what}, derivative"));
            }
        }
    }
}

#[test]
fn other_uses_of_sums_are_told_apart() {
    const CASES: [(&str, &Case); 8] = [
        // The sums as a row, not as a column.
        ("as a row", &|x| vec![x + x.sum_axes(-1)]),
        ("as both", &|x| {
            let sum = x.sum_axes(-1);
            vec![x * sum + sum.reshape([16, 1])]
        }),
        ("through another shape", &|x| vec![x + x.sum_axes(-1).reshape([4, 4]).exp().reshape([16, 1])]),
        ("turned", &|x| vec![x + x.sum_axes(-1).reshape([4, 4]).t().reshape([16, 1])]),
        ("of rows of other lengths", &|x| {
            let part = x.narrow(1, 0, 8);
            let both = x.sum_keep(-1) * part.max_keep(-1);
            vec![x * both, part + both]
        }),
        ("through views that others read", &|x| {
            let sum = x.sum_keep(-1);
            vec![x * sum, sum.reshape([4, 4]).matmul(sum.reshape([4, 4])), sum.t().expand([3, 16])]
        }),
        ("of sums", &|x| {
            let sum = x.sum_axes(-1);
            vec![x - sum.reshape([16, 1]), (sum - sum.mean_keep(-1)).square()]
        }),
        ("in a long chain", &|x| {
            let mut y = x;
            for _ in 0..30 {
                y = (y - y.mean_keep(-1)) * 1.01 + 0.01;
            }
            vec![y]
        }),
    ];
    let mut rng = Rng::new(6);
    for dtype in [DType::F32, DType::F64, DType::I64] {
        let x = sampled([16, 16], dtype, &WIDE, &mut rng);
        for (name, f) in CASES {
            if dtype == DType::I64 && !matches!(name, "as a row" | "as both" | "of rows of other lengths") {
                continue;
            }
            let tape = Tape::new();
            let x = tape.var(&x);
            let values = f(x);
            same_bits(&tape, &values, name);
            if dtype.is_float() {
                let loss = values.iter().fold(tape.literal(0.0, dtype), |sum, v| sum + v.sin().sum());
                same_bits(&tape, &[vec![loss, loss.grad([x])[0]], values].concat(), name);
            }
        }
    }
    // Rows too long for a tile, and of one element.
    for shape in [[3, 1025], [1025, 1], [1, 1]] {
        let x = sampled(shape, DType::F32, &WIDE, &mut rng);
        let tape = Tape::new();
        let x = tape.var(&x);
        same_bits(&tape, &[x.layer_norm(1e-5), x.softmax(-1)], &format!("{shape:?}"));
    }
}

/// The gradients through 64 steps of a function of the carry, a matrix of 300 columns; and the bytes of the program's temporaries.
fn through_time(
    step: &dyn for<'t> Fn(Var<'t>, Var<'t>) -> Var<'t>,
    checkpoint: Checkpoint,
    second: bool,
) -> (Vec<Tensor>, usize) {
    let mut rng = Rng::new(7);
    let [h, xs] = [vec![18, 300], vec![64, 18, 300]].map(|shape| sampled(shape, DType::F32, &WIDE, &mut rng));
    let tape = Tape::new();
    let inputs = [tape.var(h), tape.var(xs)];
    let options = ScanOptions::default().checkpoint(checkpoint);
    let (h, ()) = tape.scan_with(options, inputs[0], inputs[1], |h, x| (step(h, x), ()));
    let loss = h.square().sum();
    let first: Vec<Var<'_>> = loss.grad(&inputs[..]);
    let mut all = vec![loss, first[0], first[1]];
    if second {
        all.push(first[0].square().sum().grad([inputs[0]])[0]);
    }
    let values = same_bits(&tape, &all, &format!("{checkpoint:?}"));
    (values, arena_bytes(&tape, &all.iter().map(|v| v.id).collect::<Vec<_>>()))
}

#[test]
fn what_follows_from_stored_values_is_computed_again() {
    const SLAB: usize = 64 * 18 * 300 * 4;
    // The derivative needs `s`, `s·x`, its square and `sin`; the second and the third follow from the first.
    let step: &dyn for<'t> Fn(Var<'t>, Var<'t>) -> Var<'t> = &|h, x| {
        let s = h.sin();
        let y = s * x;
        (y.square() * y * 0.1 + s).tanh()
    };
    let (values, bytes) = through_time(step, Checkpoint::None, false);
    // The results are `h` before and after each step, so that `s` is left; not `y` nor `y²`.
    assert!(bytes < 3 * SLAB, "{} values of all steps", bytes as f64 / SLAB as f64);
    for checkpoint in [Checkpoint::Every(10), Checkpoint::Budget(bytes / 4)] {
        let (again, fewer) = through_time(step, checkpoint, false);
        assert!(again.iter().zip(&values).all(|(a, b)| a.bit_eq(b)) && fewer < bytes, "{checkpoint:?}");
    }
    let (second, _) = through_time(step, Checkpoint::None, true);
    assert!(second[..3].iter().zip(&values).all(|(a, b)| a.bit_eq(b)));

    // A quotient takes longer than reading it.
    let (_, divided) = through_time(&|h, x| (h.sin() + (h / (x + 3.0)).square()).tanh(), Checkpoint::None, false);
    let (_, product) = through_time(&|h, x| (h.sin() + (h * (x + 3.0)).square()).tanh(), Checkpoint::None, false);
    assert!(divided >= product + SLAB / 2, "{divided} bytes, {product} with a product");
}
