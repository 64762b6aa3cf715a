//! Operations whose forward pass is the user's own: values, derivatives, errors, and use in loops.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use wengert_autograd::check::{self, CheckOptions};
use wengert_autograd::{CustomOp, DType, Derivative, ErrorKind, Param, Shape, Tape, Tensor, Var};

fn data(shape: &[usize], seed: usize) -> Tensor {
    let n: usize = shape.iter().product();
    let values: Vec<f64> = (0..n).map(|i| (((i + 1) * (seed * 7 + 13)) % 97) as f64 / 97.0 - 0.5).collect();
    Tensor::from_vec(values, shape).unwrap()
}

/// `x / (1 + |x|)`, outside of the framework.
fn softsign(derivative: Derivative<1>) -> CustomOp<1> {
    CustomOp::new("softsign", |[x]| {
        let values = x.as_slice::<f64>()?.iter().map(|x| x / (1.0 + x.abs())).collect();
        Ok(Tensor::from_vec::<f64>(values, x.shape().clone())?)
    })
    .derivative(derivative)
}

fn forms() -> [(&'static str, CustomOp<1>); 4] {
    fn slope(x: Var<'_>) -> Var<'_> {
        (x.abs() + 1.0).square().recip()
    }
    [
        ("vjp", softsign(Derivative::vjp(|[x], _, ct| [Some(ct * slope(x))]))),
        ("jvp", softsign(Derivative::jvp(|[x], _, [t]| t * slope(x)))),
        ("both", softsign(Derivative::vjp(|[x], _, ct| [Some(ct * slope(x))]).and_jvp(|[x], _, [t]| t * slope(x)))),
        ("of", softsign(Derivative::of(|[x]| x / (x.abs() + 1.0)))),
    ]
}

/// One operation, several tapes, several lengths, in the body of a loop, against differences at both orders.
#[test]
fn derivatives_through_loops_of_any_length() {
    for (form, op) in forms() {
        for steps in [0, 1, 2, 5] {
            let what = format!("{form}, {steps} steps");
            fn network<'t>(op: &CustomOp<1>, v: &[Var<'t>]) -> Var<'t> {
                let tape = v[0].tape();
                let (last, ys) = tape.scan(v[0], v[1], |h, x| {
                    let h = tape.custom_op(op, [h.matmul(v[2]) + x]);
                    (h, h * x)
                });
                last.square().sum() + ys.sum()
            }
            let inputs = [data(&[2, 3], 1), data(&[steps, 2, 3], 2), data(&[3, 3], 3)];
            check::gradcheck(|v| network(&op, v), &inputs, CheckOptions::default())
                .unwrap_or_else(|e| panic!("{what}: {e}"));
            check::gradgradcheck(|v| network(&op, v), &inputs, CheckOptions::default())
                .unwrap_or_else(|e| panic!("{what}: {e}"));
            // The same network of ordinary operations, to the last bits.
            let tape = Tape::new();
            let v = inputs.clone().map(|x| tape.var(x));
            let plain = CustomOp::new("identity", |[x]| Ok(x.clone())).derivative(Derivative::of(|[x]| x));
            let (last, _) = tape.scan(v[0], v[1], |h, x| {
                let z = h.matmul(v[2]) + x;
                (tape.custom_op(&plain, [z / (z.abs() + 1.0)]), ())
            });
            let (own, _) = tape.scan(v[0], v[1], |h, x| (tape.custom_op(&op, [h.matmul(v[2]) + x]), ()));
            assert!(own.value().unwrap().bit_eq(&last.value().unwrap()), "{what}");
            if form != "vjp" && steps > 0 {
                let ones = tape.constant(data(&[3, 3], 5));
                let loss = own.square().sum();
                let (h, h2) = (loss.hvp(v[2], ones), last.square().sum().hvp(v[2], ones));
                let apart = (h - h2).square().sum().sqrt().item().unwrap();
                assert!(apart < 1e-13, "{what}: {apart}");
            }
        }
    }
}

/// Inputs of several types, a declared result, and an integer that no derivative flows to.
#[test]
fn a_result_of_another_shape_and_type() {
    // The values of rows that an index chooses, as f64.
    let pick = CustomOp::new("pick", |[table, index]| {
        let (table, rows) = (table.to_f64_vec(), index.to_vec::<i64>()?);
        let width = 3;
        let values = rows.iter().flat_map(|row| table[*row as usize * width..][..width].to_vec()).collect();
        Ok(Tensor::from_vec::<f64>(values, [rows.len(), width])?)
    })
    .output(|[(table, _), (index, kind)]| {
        if kind != DType::I64 {
            return Err(format!("the index is {kind}, expected i64").into());
        }
        Ok(([index[0], table[1]].into(), DType::F64))
    })
    .derivative(Derivative::vjp(|[table, index], _, ct| {
        let zeros = table.tape().zeros(table.shape().unwrap_or(Shape::scalar()), DType::F32);
        let rows =
            index.unsqueeze(1).eq(table.tape().constant(Tensor::from_slice(&[0i64, 1], [2]).unwrap()).unsqueeze(0));
        [Some(zeros + rows.cast(DType::F32).t().matmul(ct.cast(DType::F32))), None]
    }));
    let tape = Tape::new();
    let table = tape.var(Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3]).unwrap());
    let index = tape.constant(Tensor::from_slice(&[1i64, 1, 0], [3]).unwrap());
    let y = tape.custom_op(&pick, [table, index]);
    assert_eq!((y.shape().unwrap(), y.dtype().unwrap()), ([3, 3].into(), DType::F64));
    assert_eq!(y.value().unwrap().to_f64_vec(), [4.0, 5.0, 6.0, 4.0, 5.0, 6.0, 1.0, 2.0, 3.0]);
    let [g] = y.sum().grad([table]);
    assert_eq!(g.value().unwrap().to_f64_vec(), [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
    let wrong = tape.custom_op(&pick, [table, table]);
    let error = wrong.value().unwrap_err();
    assert_eq!(error.to_string(), format!("pick: the index is f32, expected i64 (at {}:{}:22)", file!(), line!() - 2));
}

/// What fails in the function fails the program, with the call's address; everything else on the tape goes on.
#[test]
fn failures_are_errors_of_the_program() {
    let fails = CustomOp::new("solver", |[_]| Err("no convergence after 10 rounds".into()));
    let tape = Tape::new();
    let x = tape.var(data(&[3], 1));
    let before = (x * 2.0).value().unwrap();
    let y = tape.custom_op(&fails, [x]);
    let line = line!() - 1;
    let error = y.value().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
    assert_eq!(error.to_string(), format!("solver: no convergence after 10 rounds (at {}:{line}:18)", file!()));
    assert!((x * 2.0).value().unwrap().bit_eq(&before));
    // In a loop, on another line: the address is that of the present recording.
    let ((), ys) = tape.scan((), x, |(), x| ((), tape.custom_op(&fails, [x])));
    assert_eq!(ys.value().unwrap_err().location().map(|at| at.line()), Some(line!() - 1));

    let other_shape = CustomOp::new("halve", |[x]| Ok(x.narrow(0, 0, 1)?));
    let error = tape.custom_op(&other_shape, [x]).value().unwrap_err();
    assert!(
        error.to_string().starts_with("halve: the function returned f64 [1], declared is f64 [3]; declare"),
        "{error}"
    );
    let other_type = CustomOp::new("round", |[x]| Ok(x.cast(DType::F32)));
    let error = tape.custom_op(&other_type, [x]).value().unwrap_err();
    assert!(error.to_string().starts_with("round: the function returned f32 [3], declared is f64 [3]"), "{error}");
}

/// A panic of the user's function passes through; the next run has whole memory.
#[test]
fn a_panic_leaves_everything_usable() {
    let failing = Arc::new(AtomicBool::new(true));
    let switch = failing.clone();
    let op = CustomOp::new("fragile", move |[x]| {
        assert!(!switch.load(Ordering::Relaxed), "told to");
        Ok(x.clone())
    });
    let tape = Tape::new();
    let x = tape.var(data(&[40, 50], 1));
    let y = x.matmul(x.t()).tanh();
    let z = tape.custom_op(&op, [y.exp()]).log();
    let ((), zs) = tape.scan((), x, |(), x| ((), tape.custom_op(&op, [x.sin()]) + y.sum()));
    for v in [z, zs] {
        let broken = catch_unwind(AssertUnwindSafe(|| v.value().map(drop)));
        assert!(broken.is_err());
    }
    failing.store(false, Ordering::Relaxed);
    let fresh = Tape::new();
    let x2 = fresh.var(data(&[40, 50], 1));
    let y2 = x2.matmul(x2.t()).tanh();
    assert!(y.value().unwrap().bit_eq(&y2.value().unwrap()));
    assert!(z.value().unwrap().bit_eq(&y2.exp().log().value().unwrap()));
    let ((), zs2) = fresh.scan((), x2, |(), x| ((), x.sin() + y2.sum()));
    assert!(zs.value().unwrap().bit_eq(&zs2.value().unwrap()));
}

/// Calls are bound like data: equal ones of one line are one call, another function on the same structure is called, not remembered.
#[test]
fn functions_are_bound_when_the_program_runs() {
    let calls = Arc::new(AtomicUsize::new(0));
    let scaled = |factor: f64| {
        let calls = calls.clone();
        CustomOp::new("scaled", move |[x]| {
            calls.fetch_add(1, Ordering::Relaxed);
            Ok(Tensor::scalar(x.item()? * factor))
        })
    };
    for factor in [2.0, 3.0, -1.0] {
        let op = scaled(factor);
        let tape = Tape::new();
        let x = tape.var(1.5f64);
        let [a, b] = [(); 2].map(|()| tape.custom_op(&op, [x]));
        let y = a + b;
        assert_eq!(y.item().unwrap(), 3.0 * factor);
    }
    assert_eq!(calls.load(Ordering::Relaxed), 3, "equal calls are one");
    // Two functions on one tape are two calls.
    let (a, b) = (scaled(2.0), scaled(3.0));
    let tape = Tape::new();
    let x = tape.var(1.0f64);
    assert_eq!((tape.custom_op(&a, [x]) * 10.0 + tape.custom_op(&b, [x])).item().unwrap(), 23.0);
    // The function may use the framework itself.
    let inner = CustomOp::new("inner", |[x]| {
        let tape = Tape::new();
        Ok(tape.constant(x).matmul(tape.constant(x)).tanh().value()?)
    });
    let m = tape.var(data(&[5, 5], 3));
    let y = tape.custom_op(&inner, [m * 2.0]) + 1.0;
    assert!(y.value().unwrap().bit_eq(&((m * 2.0).matmul(m * 2.0).tanh() + 1.0).value().unwrap()));
}

#[test]
fn wrong_rules_are_errors() {
    let tape = Tape::new();
    let x = tape.var(data(&[3], 1));
    // Not linear in the tangent: no transpose.
    let bent = Derivative::jvp(|[_], _, [t]: [Var<'_>; 1]| t * t);
    let y = tape.custom_derivative([x], |[x]| x.sin(), bent);
    let error = y.sum().grad([x])[0].value().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Gradient);
    assert!(error.to_string().contains("not linear in the tangents"), "{error}");
    // A tangent of another shape.
    let tape = Tape::new();
    let x = tape.var(data(&[3], 1));
    let y = tape.custom_derivative([x], |[x]| x.sin(), Derivative::jvp(|_, _, [t]| t.sum()));
    for broken in [y.jvp([(x, x)]), y.sum().grad([x])[0]] {
        let error = broken.value().unwrap_err().to_string();
        assert!(error.contains("the tangent is f64 [], expected f64 [3]"), "{error}");
    }
    // A surrogate of another shape.
    let tape = Tape::new();
    let x = tape.var(data(&[3], 1));
    let error = x.round().with_derivative_of(x.sum()).value().unwrap_err().to_string();
    assert!(error.starts_with("with_derivative_of: the value is f64 [3], what gives its derivative f64 []"), "{error}");
    // A rule for one mode only.
    let error = x.on_grad(|g| -g).jvp([(x, x)]).value().unwrap_err().to_string();
    assert!(error.starts_with("on_grad: its derivative is given for reverse mode, not for forward mode"), "{error}");
}

/// A value with another's derivative does not compute the other.
#[test]
fn surrogates_are_not_computed_for_their_value() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let op = CustomOp::new("counted", move |[x]| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(x.clone())
    })
    .derivative(Derivative::of(|[x]| x));
    let tape = Tape::new();
    let x = tape.var(2.0f64);
    let y = x.round().with_derivative_of(tape.custom_op(&op, [x]) * 3.0);
    assert_eq!(y.item().unwrap(), 2.0);
    let [g] = y.grad([x]);
    assert_eq!(g.item().unwrap(), 3.0);
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

/// Straight-through, reversal and clipping in a loop over parameters.
#[test]
fn backward_only_rules_in_loops() {
    let w = Param::new(Tensor::scalar(0.7f64));
    let tape = Tape::new();
    let xs = tape.constant(data(&[6], 4));
    let plain = tape.scan(tape.param(&w) * 1.0, xs, |h, x| ((h * x + &w).tanh(), ())).0;
    let hooked = tape.scan(tape.param(&w) * 1.0, xs, |h, x| ((h * x + tape.param(&w).on_grad(|g| -g)).tanh(), ())).0;
    let ([a], [b], [start]) = (plain.grad([&w]), hooked.grad([&w]), {
        // The part of the gradient that comes through the initial state.
        let fixed = tape.scan(tape.param(&w) * 1.0, xs, |h, x| ((h * x + tape.param(&w).detach()).tanh(), ())).0;
        fixed.grad([&w])
    });
    let [a, b, start] = [a, b, start].map(|g| g.item().unwrap());
    assert!((b - (2.0 * start - a)).abs() < 1e-14, "{a} {b} {start}");
    assert_eq!(plain.item().unwrap(), hooked.item().unwrap());
}

/// Two steps of one structure with different hooks: what is remembered of the first says nothing of the second.
#[test]
fn a_remembered_step_does_not_hide_a_hook() {
    let step = |hook: u32| {
        let tape = Tape::new();
        let x = tape.var(3.0f64);
        let y = match hook {
            0 => x.on_grad(|g| g.minimum(1.0)),
            1 => x.on_grad(|g| -g),
            2 => x.round().with_derivative_of(x * 5.0),
            _ => x.round().with_derivative_of(x),
        };
        let gradients = y.square().backward().unwrap();
        gradients.wrt(x).map(|g| g.item().unwrap())
    };
    for _ in 0..2 {
        assert_eq!([0, 1, 2, 3].map(step), [Some(1.0), Some(-6.0), Some(30.0), Some(6.0)]);
    }
}
