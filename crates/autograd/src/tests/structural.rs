//! Every structural operation: each variant of `Op` has a case here, or the first test fails. Every composition too.

use super::cases::{Array, CASES, Case};
use super::compositions::COMPOSITIONS;
use super::own::OWN;
use super::selections::SELECTIONS;
use super::support::{LAYOUTS, Rng, WIDE, assert_equal, assert_gradients, laid_out, same_bits, sampled, scan_agrees};
use crate::node::Op;
use crate::{DType, ScanOptions, Tape, Tensor, Var};
use std::collections::BTreeSet;

/// Names every variant; a new one does not compile until it is listed, and fails `every_variant_has_a_case`
/// until it has a case.
macro_rules! variants {
    ($($pattern:pat => $name:literal),* $(,)?) => {
        pub(super) const VARIANTS: &[&str] = &[$($name),*];
        pub(super) fn variant(op: &Op) -> &'static str {
            match op {
                $($pattern => $name),*
            }
        }
    };
}
variants! {
    Op::Leaf(_) => "Leaf",
    Op::Scalar(_) => "Scalar",
    Op::Literal(_) => "Literal",
    Op::Placeholder { .. } => "Placeholder",
    Op::Scan(_) => "Scan",
    Op::Final(_) => "Final",
    Op::Tap(_) => "Tap",
    Op::Map(_) => "Map",
    Op::Cast => "Cast",
    Op::StopGradient => "StopGradient",
    Op::Error(_) => "Error",
    Op::Matmul(_) => "Matmul",
    Op::Reduce(_) => "Reduce",
    Op::Reshape(_) => "Reshape",
    Op::Permute(_) => "Permute",
    Op::Expand(_) => "Expand",
    Op::Slice(_) => "Slice",
    Op::Step(_) => "Step",
    Op::Concat(_) => "Concat",
    Op::Gather(_) => "Gather",
    Op::ScatterAdd(_) => "ScatterAdd",
    Op::Along(_) => "Along",
    Op::Random(_) => "Random",
    Op::Custom(_) => "Custom",
    Op::Opaque(_) => "Opaque",
    Op::Fence => "Fence",
    Op::Again => "Again",
}

/// Operations and compositions.
pub(super) fn cases() -> impl Iterator<Item = &'static Case> {
    CASES.iter().chain(COMPOSITIONS).chain(SELECTIONS).chain(OWN)
}

pub(super) fn inputs(case: &Case, dtype: DType, rng: &mut Rng) -> Vec<Tensor> {
    case.inputs.iter().map(|shape| sampled(*shape, dtype, &WIDE, rng)).collect()
}

/// The types in which a case is computed, with the tolerance of its reference, which computes in f64.
fn types(case: &Case) -> Vec<DType> {
    if case.integers { vec![DType::F64, DType::F32, DType::I64] } else { vec![DType::F64, DType::F32] }
}

#[test]
fn every_variant_has_a_case() {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for case in cases() {
        let tape = Tape::new();
        let vars: Vec<Var<'_>> = inputs(case, DType::F64, &mut Rng::new(0)).iter().map(|x| tape.var(x)).collect();
        let y = (case.f)(&vars);
        if case.smooth {
            y.square().sum().grad_or_none([vars[0]]);
        }
        seen.extend(tape.inner.borrow().nodes.iter().map(|node| variant(&node.op)));
    }
    assert!(!seen.contains("Error"), "a case is invalid");
    // Errors have tests of their own (tests/errors.rs).
    let missing: Vec<&&str> = VARIANTS.iter().filter(|name| **name != "Error" && !seen.contains(**name)).collect();
    assert!(missing.is_empty(), "no case records {missing:?}");
}

#[test]
fn values_are_those_of_the_definition() {
    let rng = &mut Rng::new(1);
    for case in cases() {
        for dtype in types(case) {
            for layout in LAYOUTS {
                let what = format!("{} in {dtype}, {layout:?}", case.name);
                let inputs: Vec<Tensor> = inputs(case, dtype, rng).into_iter().map(|x| layout.suited(x)).collect();
                let tape = Tape::new();
                let vars: Vec<Var<'_>> = inputs.iter().map(|x| laid_out(&tape, x, layout)).collect();
                let found = same_bits(&tape, &[(case.f)(&vars)], &what).remove(0);
                assert_eq!(found.dtype(), dtype, "{what}");
                let arrays: Vec<Array> = inputs.iter().map(Array::of).collect();
                let wanted = (case.reference)(&arrays);
                assert_eq!(found.shape().to_vec(), wanted.shape, "{what}");
                let tolerance = if dtype == DType::F32 { 1e-5 } else { case.tolerance };
                for (x, y) in found.to_f64_vec().iter().zip(&wanted.data) {
                    assert!((x - y).abs() <= tolerance * y.abs().max(1.0), "{what}: {x:?} is not {y:?}");
                }
            }
        }
    }
}

#[test]
fn a_scan_gives_what_the_steps_give() {
    let rng = &mut Rng::new(2);
    for case in cases() {
        for dtype in types(case) {
            for held in 0..=case.inputs.len() {
                let steps: Vec<Vec<Tensor>> = (0..3).map(|_| inputs(case, dtype, rng)).collect();
                let held: Vec<bool> = (0..case.inputs.len()).map(|i| i == held && case.inputs.len() > 1).collect();
                let what = format!("{} in {dtype}, held {held:?}", case.name);
                scan_agrees(&case.f, &steps, &held, held[0], &what);
            }
        }
    }
}

#[test]
fn gradients_are_those_of_differences() {
    let rng = &mut Rng::new(3);
    for case in cases().filter(|case| case.smooth) {
        assert_gradients(case.f, &inputs(case, DType::F64, rng), case.name);
        // A weight makes cotangents differ, a square gives the second order something to do.
        assert_gradients(|v| (case.f)(v).square().tanh().sum(), &inputs(case, DType::F64, rng), case.name);
    }
}

/// `u·(J v) = (Jᵀu)·v`, one input at a time, of each case and of its gradient.
#[test]
fn forward_and_reverse_derivatives_agree() {
    let rng = &mut Rng::new(5);
    for case in cases().filter(|case| case.smooth) {
        let tape = Tape::new();
        let xs: Vec<Var<'_>> = inputs(case, DType::F64, rng).iter().map(|x| tape.var(x)).collect();
        let y = (case.f)(&xs);
        let mut agree = |y: Var<'_>, what: &str| {
            for (i, x) in xs.iter().enumerate() {
                let mut like = |v: Var<'_>| tape.constant(sampled(v.shape().unwrap(), DType::F64, &WIDE, rng));
                let (u, v) = (like(y), like(*x));
                let [g] = y.vjp(u, [*x]);
                let [forward, reverse] = [y.jvp([(*x, v)]) * u, g * v].map(|product| product.sum().item().unwrap());
                let scale = forward.abs().max(1.0);
                assert!((forward - reverse).abs() < 1e-11 * scale, "{} {what} {i}: {forward} {reverse}", case.name);
            }
        };
        agree(y, "input");
        let [g] = y.square().tanh().sum().grad([xs[0]]);
        agree(g, "gradient, input");
    }
}

/// The gradient inside of a scan, of a case that is evaluated at each step with carried and scanned inputs.
#[test]
fn gradients_through_a_scan_are_those_of_differences() {
    let rng = &mut Rng::new(4);
    for case in cases().filter(|case| case.smooth) {
        for reverse in [false, true] {
            let inputs = inputs(case, DType::F64, rng);
            assert_gradients(
                |v| {
                    let options = ScanOptions { reverse, length: Some(2), ..Default::default() };
                    let scale = v[0].tape().constant(Tensor::from_slice(&[0.7, -0.4], [2]).unwrap());
                    let (last, ys) = v[0].tape().scan_with(options, v[0], scale, |s, w| {
                        let mut now = v.to_vec();
                        now[0] = s;
                        let y = (case.f)(&now).tanh().sum() * w;
                        ((s * 0.5 + y) * w, y)
                    });
                    last.sum() * 0.1 + ys.sum()
                },
                &inputs,
                &format!("{} in a scan, reverse {reverse}", case.name),
            );
        }
    }
}

#[test]
fn casts_convert_as_rust_does() {
    let values = [f64::NAN, f64::INFINITY, -1e30, -1.7, -0.0, 0.5, 2.9, 1e30];
    let tape = Tape::new();
    let x = tape.constant(Tensor::from_slice(&values, [8]).unwrap());
    let y = same_bits(&tape, &[x.cast(DType::I64), x.cast(DType::F32), x.cast(DType::Bool)], "cast");
    assert_eq!(y[0].to_vec::<i64>().unwrap(), values.map(|v| v as i64));
    let singles = Tensor::from_slice(&values.map(|v| v as f32), [8]).unwrap();
    assert_equal(&y[1], &singles, "f32");
    assert_eq!(y[2].to_vec::<bool>().unwrap(), values.map(|v| v != 0.0));
    let truth = tape.constant(Tensor::from_slice(&[true, false], [2]).unwrap());
    for dtype in [DType::F32, DType::F64, DType::I64] {
        assert_eq!(truth.cast(dtype).value().unwrap().to_f64_vec(), [1.0, 0.0]);
    }
}

/// A key that changes over time draws what it draws outside of the loop.
#[test]
fn draws_are_functions_of_their_key() {
    for dtype in [DType::F32, DType::F64] {
        let tape = Tape::new();
        let key = tape.constant(7i64);
        let (_, inside) = tape.scan((), tape.arange(3), |(), t| ((), tape.uniform(key.fold_in(t), [2, 9], dtype)));
        let rows: Vec<Var<'_>> = (0..3i64).map(|t| tape.uniform(key.fold_in(t), [2, 9], dtype)).collect();
        let found = same_bits(&tape, &[inside, tape.stack(&rows, 0)], "draws");
        assert_equal(&found[0], &found[1], "draws in a scan");
        assert!(found[0].to_f64_vec().iter().all(|u| (0.0..1.0).contains(u)));
    }
}
