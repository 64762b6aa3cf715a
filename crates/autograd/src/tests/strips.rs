//! Chains of instructions on rows, in strips: the bits of node-by-node execution, and temporaries of a strip's size.

use super::support::{Rng, WIDE, assert_equal, same_bits, sampled};
use crate::program::arena_bytes;
use crate::{DType, Tape, Tensor, Var, set_threads};

/// A function of a matrix.
type Case = dyn for<'t> Fn(Var<'t>) -> Vec<Var<'t>>;

/// The values of a case, which are those of node-by-node execution; and the bytes of its temporaries.
fn run(f: &Case, x: &Tensor, what: &str) -> (Vec<Tensor>, usize) {
    let tape = Tape::new();
    let all = f(tape.var(x));
    let values = same_bits(&tape, &all, what);
    (values, arena_bytes(&tape, &all.iter().map(|v| v.id).collect::<Vec<_>>()))
}

fn with_derivative<'t>(x: Var<'t>, y: Var<'t>) -> Vec<Var<'t>> {
    let [g] = y.vjp(y.sin(), [x]);
    vec![y, g]
}

#[test]
fn rows_in_strips_have_the_bits_of_whole_values() {
    /// Whether the temporaries are those of strips.
    const CASES: [(&str, bool, &Case); 8] = [
        ("softmax", true, &|x| with_derivative(x, x.softmax(-1))),
        ("log_softmax", true, &|x| with_derivative(x, x.log_softmax(-1))),
        ("layer_norm", true, &|x| with_derivative(x, x.layer_norm(1e-5))),
        // One row of the first result for all rows, and columns of a mean over rows: each ends a chain.
        ("shared rows", false, &|x| {
            let y = x.softmax(-1);
            vec![(x - y.narrow(0, 0, 1)).layer_norm(1e-5), y - y.mean_axes(0)]
        }),
        // What is written by row is read as a row.
        ("a square's sums", false, &|x| {
            let square = x.narrow(1, 0, 480);
            vec![(square + square.sum_axes(-1)).exp().sum_axes(-1)]
        }),
        ("parts of rows", true, &|x| {
            let parts = [x.softmax(-1), x.layer_norm(1e-5) * x.max_keep(-1), x.sum_keep(-1)];
            vec![x.tape().concat(&parts, 1)]
        }),
        ("turned", false, &|x| vec![(x.t().softmax(0) + x.t()).softmax(-1)]),
        ("three axes", true, &|x| {
            let y = x.reshape([60, 8, 700]).softmax(-1);
            vec![y, (y * y.mean_keep(-1)).logsumexp(-1), y.sum_axes(1)]
        }),
    ];
    let mut rng = Rng::new(3);
    for dtype in [DType::F32, DType::F64] {
        let x = sampled([480, 700], dtype, &WIDE, &mut rng);
        for (name, strips, f) in CASES {
            let (wanted, bytes) = run(f, &x, name);
            let whole = x.numel() * dtype.size();
            assert!(!strips || bytes < whole, "{name}: {bytes} bytes of temporaries, a value has {whole}");
            for threads in [2, 3] {
                set_threads(threads);
                let (found, _) = run(f, &x, name);
                set_threads(1);
                found.iter().zip(&wanted).for_each(|(a, b)| assert_equal(a, b, &format!("{name}, {threads} threads")));
            }
        }
    }
}
