//! Checkpoints at their edges: what they capture, values inside that are read or differentiated, failures, draws.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wengert_autograd::{CustomOp, DType, Derivative, ErrorKind, Param, Tape, Tensor};

fn data(shape: &[usize], seed: usize) -> Tensor {
    let n: usize = shape.iter().product();
    let values: Vec<f64> = (0..n).map(|i| (((i + 1) * (seed * 7 + 13)) % 97) as f64 / 97.0 - 0.5).collect();
    Tensor::from_vec(values, shape).unwrap()
}

fn maybe<R>(tape: &Tape, checkpointed: bool, f: impl FnOnce() -> R) -> R {
    if checkpointed { tape.checkpoint(f) } else { f() }
}

fn same(a: &[Tensor], b: &[Tensor]) {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).for_each(|(a, b)| assert!(a.bit_eq(b), "{a:?} {b:?}"));
}

/// Gradients flow to captured values, parameters and bound parameters.
#[test]
fn captures() {
    let (w, p) = (Param::new(data(&[3, 3], 1)), Param::new(data(&[3], 2)));
    let run = |checkpointed: bool| {
        let tape = Tape::new();
        let (x, scale) = (tape.var(data(&[2, 3], 3)), tape.var(1.5f64));
        let y = maybe(&tape, checkpointed, || {
            let bound = tape.bind(&p, tape.param(&p) * scale, || (x.matmul(&w) + &p).tanh());
            bound.matmul(&w) * scale
        });
        let gradients = y.square().mean().backward().unwrap();
        let all = [gradients.get(&w), gradients.get(&p), gradients.wrt(x), gradients.wrt(scale)];
        all.map(|g| g.unwrap().clone())
    };
    same(&run(true), &run(false));
}

/// A value inside of a checkpoint is a value: it can be read before the derivative, and differentiated with respect to.
#[test]
fn values_inside() {
    let run = |checkpointed: bool, read: bool| {
        let tape = Tape::new();
        let x = tape.var(data(&[4], 3));
        let (h, y) = maybe(&tape, checkpointed, || {
            let h = x.sin();
            (h, (h * h).exp() * h)
        });
        if read {
            h.value().unwrap();
        }
        let [g] = y.sum().grad([x]);
        let [by_h] = y.sum().grad([h]);
        // The gradient reads h again: its derivative with respect to h sees that.
        let [mixed] = g.square().sum().grad([h]);
        let [third] = mixed.square().sum().grad([x]);
        let along = g.jvp([(h, x)]);
        [g, by_h, mixed, third, along].map(|v| v.value().unwrap())
    };
    for read in [false, true] {
        same(&run(true, read), &run(false, read));
    }
}

/// A function of the user's own is called once more for each derivative that reads it, and not where none does.
#[test]
fn what_is_computed_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let op = CustomOp::new("counted", move |[x]| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(x.clone())
    })
    .derivative(Derivative::of(|[x]| x));
    let count = |checkpointed: bool, steps: usize| {
        calls.store(0, Ordering::Relaxed);
        let tape = Tape::new();
        let x = tape.var(0.5f64);
        let xs = tape.constant(data(&[steps.max(1)], 1));
        let y = match steps {
            0 => maybe(&tape, checkpointed, || tape.custom_op(&op, [x.sin()]).square()),
            _ => {
                tape.scan(x, xs, |h, x| {
                    (maybe(&tape, checkpointed, || tape.custom_op(&op, [h.sin()]).square() + x), ())
                })
                .0
            }
        };
        y.backward().unwrap();
        calls.load(Ordering::Relaxed)
    };
    // Twice: the second training step is one that was seen before.
    for _ in 0..2 {
        assert_eq!((count(false, 0), count(true, 0)), (1, 2));
        assert_eq!((count(false, 7), count(true, 7)), (7, 14));
    }
}

/// Draws inside are the same when they are drawn again, also with a key that changes over time.
#[test]
fn draws() {
    let run = |checkpointed: bool| {
        let tape = Tape::new();
        let (x, key) = (tape.var(data(&[5], 3)), tape.constant(7i64));
        let steps = tape.constant(Tensor::from_slice(&[0i64, 1, 2], [3]).unwrap());
        let (y, _) = tape.scan(x, steps, |h, t| {
            let step = || {
                let keep = tape.uniform(key.fold_in(t), [5], DType::F64).gt(0.4);
                keep.select(h.sin() * 2.0, 0.0).tanh() + h
            };
            (maybe(&tape, checkpointed, step), ())
        });
        let [g] = y.square().sum().grad([x]);
        [y, g].map(|v| v.value().unwrap())
    };
    same(&run(true), &run(false));
}

/// Errors inside keep their address and their effect, a failing index has the line that recorded it, a panic leaves the tape usable.
#[test]
fn failures() {
    let tape = Tape::new();
    let (x, y) = (tape.var(data(&[2], 1)), tape.var(data(&[3], 1)));
    let wrong = tape.checkpoint(|| x.sin() + y);
    let line = line!() - 1;
    let error = wrong.sum().grad([x])[0].value().unwrap_err();
    assert_eq!((error.kind(), error.location().map(|at| at.line())), (ErrorKind::Shape, Some(line)));

    let tape = Tape::new();
    let x = tape.var(data(&[3], 1));
    let index = tape.constant(Tensor::from_slice(&[0i64, 9], [2]).unwrap());
    let z = tape.checkpoint(|| x.index_select(0, index).square());
    let line = line!() - 1;
    let [g] = z.sum().grad([x]);
    let error = g.value().unwrap_err();
    assert_eq!((error.kind(), error.location().map(|at| at.line())), (ErrorKind::Index, Some(line)));

    let tape = Tape::new();
    let x = tape.var(data(&[3], 1));
    let h = x.sin();
    let broken = catch_unwind(AssertUnwindSafe(|| {
        tape.checkpoint(|| {
            let _inside = h.tanh();
            panic!("the closure's own");
        })
    }));
    assert!(broken.is_err());
    let y = tape.checkpoint(|| h.tanh().square()).sum();
    let [g] = y.grad([x]);
    let plain = Tape::new();
    let x = plain.var(data(&[3], 1));
    let [wanted] = x.sin().tanh().square().sum().grad([x]);
    same(&[g.value().unwrap()], &[wanted.value().unwrap()]);
}

/// A derivative taken inside of a checkpoint, of values inside and outside of it, and over all of it.
#[test]
fn derivatives_inside() {
    let run = |checkpointed: bool| {
        let tape = Tape::new();
        let (x, w) = (tape.var(data(&[4], 3)), tape.var(data(&[4], 4)));
        let moved = (0..3).fold(x, |x, _| {
            maybe(&tape, checkpointed, || {
                let loss = maybe(&tape, checkpointed, || ((x * w).sin() * x).sum());
                let [g] = loss.grad([x]);
                x - g * 0.1
            })
        });
        let loss = moved.square().sum();
        let [a, b] = loss.grad([x, w]);
        let hvp = loss.hvp(w, x);
        [a, b, hvp].map(|v| v.value().unwrap())
    };
    same(&run(true), &run(false));
}
