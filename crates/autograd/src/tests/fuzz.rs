//! Random graphs: the optimised program is its nodes' to the bit, in values and gradients; gradients are those of
//! differences; a scan is its loop.
//!
//! `WENGERT_FUZZ=20000 cargo test -p wengert-autograd fuzz` runs more of them, `WENGERT_FUZZ_FROM=n` starts at seed `n`.

use super::generate::{Flavour, input_shapes, loss, record};
use super::support::{Rng, WIDE, same_bits, sampled};
use crate::check::{CheckFailure, CheckOptions, gradcheck, gradgradcheck};
use crate::{DType, Tape, Tensor, Var};

fn seeds(default: u64) -> std::ops::Range<u64> {
    let read = |name: &str| std::env::var(name).ok().and_then(|v| v.parse().ok());
    let first = read("WENGERT_FUZZ_FROM").unwrap_or(0);
    first..first + read("WENGERT_FUZZ").unwrap_or(default)
}

/// Runs a property for each seed; a failure names its seed.
fn for_each_seed(default: u64, property: impl Fn(u64) + std::panic::RefUnwindSafe) {
    let mut failed = Vec::new();
    for seed in seeds(default) {
        if std::panic::catch_unwind(|| property(seed)).is_err() {
            failed.push(seed);
            if failed.len() == 10 {
                break;
            }
        }
    }
    assert!(failed.is_empty(), "the property fails for the seeds {failed:?} (see WENGERT_FUZZ_FROM)");
}

fn inputs(seed: u64, dtype: DType, smooth: bool) -> Vec<Tensor> {
    let rng = &mut Rng::new(seed ^ 0x77);
    input_shapes(seed, smooth).into_iter().map(|shape| sampled(shape, dtype, &WIDE, rng)).collect()
}

/// The gradients of a loss that exist.
fn gradients<'t>(loss: Var<'t>, wrt: &[Var<'t>]) -> Vec<Var<'t>> {
    wrt.iter().filter_map(|v| loss.grad_or_none([*v])[0]).collect()
}

#[test]
fn fuzz_programs_equal_their_nodes() {
    for_each_seed(300, |seed| {
        let dtype = if seed % 3 == 0 { DType::F64 } else { DType::F32 };
        let tape = Tape::new();
        let vars: Vec<Var<'_>> = inputs(seed, dtype, false).iter().map(|x| tape.var(x)).collect();
        let asked = record(seed, &vars, Flavour { smooth: false, unroll: false });
        let what = format!("graph {seed}");
        same_bits(&tape, &asked, &what);
        let loss = loss(&asked);
        let first = gradients(loss, &vars);
        let mut all = asked.clone();
        all.push(loss);
        all.extend(&first);
        same_bits(&tape, &all, &format!("{what} with gradients"));
        if let Some(norm) = first.iter().map(|g| g.square().sum()).reduce(|a, b| a + b) {
            let mut second = gradients(norm, &vars);
            second.push(norm);
            same_bits(&tape, &second, &format!("{what} with second derivatives"));
        }
    });
}

#[test]
fn fuzz_gradients_are_those_of_differences() {
    for_each_seed(200, |seed| {
        let inputs = inputs(seed, DType::F64, true);
        let options = CheckOptions { eps: 1e-5, rtol: 1e-4, atol: 1e-6, seed, fast: true };
        // Where values vary quickly a smaller step is the better one; a wrong rule is wrong at both.
        let check = |order: &str, run: &dyn Fn(CheckOptions) -> Result<(), CheckFailure>| {
            if let Err(failure) = run(options).or_else(|_| run(CheckOptions { eps: 1e-6, ..options })) {
                panic!("graph {seed}, {order}: {failure}");
            }
        };
        let flavour = Flavour { smooth: true, unroll: false };
        check("first order", &|options| gradcheck(|v| loss(&record(seed, v, flavour)), &inputs, options));
        if seed % 4 == 0 {
            check("second order", &|options| gradgradcheck(|v| loss(&record(seed, v, flavour)), &inputs, options));
        }
    });
}

#[test]
fn fuzz_scans_are_their_loops() {
    for_each_seed(300, |seed| {
        let inputs = inputs(seed, DType::F64, true);
        let run = |unroll: bool| -> Vec<Option<Tensor>> {
            let tape = Tape::new();
            let vars: Vec<Var<'_>> = inputs.iter().map(|x| tape.var(x)).collect();
            let asked = record(seed, &vars, Flavour { smooth: true, unroll });
            let loss = loss(&asked);
            let first: Vec<Option<Var<'_>>> = vars.iter().map(|v| loss.grad_or_none([*v])[0]).collect();
            let norm = first.iter().flatten().map(|g| g.square().sum()).reduce(|a, b| a + b);
            let second = vars.iter().map(|v| norm.and_then(|norm| norm.grad_or_none([*v])[0]));
            let all: Vec<Option<Var<'_>>> = asked.iter().map(|v| Some(*v)).chain(first.clone()).chain(second).collect();
            let present: Vec<Var<'_>> = all.iter().flatten().copied().collect();
            let mut values = tape.eval_all(&present).unwrap().into_iter();
            all.iter().map(|v| v.and_then(|_| values.next())).collect()
        };
        for (i, (a, b)) in run(false).iter().zip(run(true)).enumerate() {
            // Where one recording knows that a derivative is zero, the other may compute it.
            let zero = |t: &Tensor| Tensor::zeros(t.shape(), t.dtype());
            let (a, b) = match (a, &b) {
                (Some(a), Some(b)) => (a.clone(), b.clone()),
                (Some(a), None) => (a.clone(), zero(a)),
                (None, Some(b)) => (zero(b), b.clone()),
                (None, None) => continue,
            };
            assert_eq!(a.shape(), b.shape(), "graph {seed}, value {i}");
            for (x, y) in a.to_f64_vec().iter().zip(b.to_f64_vec()) {
                assert!((x - y).abs() <= 1e-9 * y.abs().max(1.0), "graph {seed}, value {i}: scan {x}, loop {y}");
            }
        }
    });
}
