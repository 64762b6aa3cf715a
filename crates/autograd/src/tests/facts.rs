//! Facts of tapes and programs that are larger than one operation.

use super::support::{Rng, WIDE, assert_equal, sampled};
use crate::program::compiled;
use crate::{DType, Param, ScanOptions, Tape, Tensor, Var};
use std::time::Instant;

fn data(shape: &[usize], seed: u64) -> Tensor {
    sampled(shape, DType::F64, &WIDE, &mut Rng::new(seed))
}

/// Runs on a thread whose stack a recursion over a long tape would overflow.
fn on_a_small_stack(f: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, f).unwrap();
        thread.join().expect("the thread does not overflow its stack");
    });
}

fn long_tape(nodes: usize, what: &str, step: for<'t> fn(Var<'t>, Var<'t>, usize) -> Var<'t>, start: &Tensor) {
    let tape = Tape::new();
    let began = Instant::now();
    let (x, w) = (tape.var(start), tape.var(start));
    let mut y = x;
    let mut i = 0;
    while tape.len() < nodes {
        y = step(y, w, i);
        i += 1;
    }
    let recorded = (began.elapsed(), tape.len());
    let [dx, dw] = y.sum().grad([x, w]);
    let differentiated = (began.elapsed() - recorded.0, tape.len() - recorded.1);
    let [y, dx, dw] = tape.eval([y, dx, dw]).unwrap();
    let ran = (began.elapsed() - recorded.0 - differentiated.0, tape.len());
    for value in [&y, &dx, &dw] {
        assert!(value.to_f64_vec().iter().all(|v| v.is_finite()));
    }
    let each = |(time, count): (std::time::Duration, usize)| time.as_nanos() / count as u128;
    // Visible with `cargo test --release facts -- --nocapture`.
    println!(
        "{what}: {} nodes recorded at {} ns, differentiated at {} ns a new node, compiled and run at {} ns a node",
        recorded.1,
        each(recorded),
        each(differentiated),
        each(ran)
    );
    let began = Instant::now();
    drop(tape);
    println!("{what}: dropped at {} ns a node", began.elapsed().as_nanos() / ran.1 as u128);
}

#[test]
fn a_million_elementwise_nodes_on_a_small_stack() {
    on_a_small_stack(|| {
        long_tape(1_000_000, "elementwise", |y, w, i| if i % 2 == 0 { y * w } else { y.tanh() }, &data(&[4], 1))
    });
}

#[test]
fn a_million_mixed_nodes_on_a_small_stack() {
    on_a_small_stack(|| {
        long_tape(
            1_000_000,
            "mixed",
            |y, w, i| match i % 4 {
                0 => y.matmul(w),
                1 => y.t() + w,
                2 => y.sum_axes(0).unsqueeze(0),
                _ => y.sigmoid(),
            },
            &data(&[1, 1], 2),
        )
    });
}

/// The number of programs and loop bodies that `f` compiles.
fn compiles(f: impl FnOnce()) -> (usize, usize) {
    let before = compiled();
    f();
    let after = compiled();
    (after.0 - before.0, after.1 - before.1)
}

/// A structure that no other test records, so that the process-wide cache does not know it.
fn training_step(x: &Tensor, w: &Tensor, rate: f64, steps: usize) -> Tensor {
    let tape = Tape::new();
    let (x, w) = (tape.constant(x), tape.var(w));
    let xs = x.unsqueeze(0).expand([steps, 7, 3]);
    let (h, _) = tape.scan(x.matmul(w), xs, |h, x| ((h * 0.25 + x.matmul(w)).tanh(), ()));
    let [dw] = (h.square().sum() * rate).grad([w]);
    (w - dw * rate).value().unwrap()
}

#[test]
fn a_structure_is_compiled_once() {
    let (x, w) = (data(&[7, 3], 1), data(&[3, 5], 2));
    let (programs, blocks) = compiles(|| drop(training_step(&x, &w, 0.5, 4)));
    assert_eq!(programs, 1);
    assert!(blocks >= 2, "the loop and its derivative, {blocks}");
    assert_eq!(compiles(|| drop(training_step(&x, &w, 0.5, 4))), (0, 0), "the same again");
    assert_eq!(compiles(|| drop(training_step(&x, &w, 0.125, 4))), (0, 0), "another number");
    assert_eq!(
        compiles(|| drop(training_step(&data(&[7, 3], 3), &data(&[3, 5], 4), 0.5, 4))),
        (0, 0),
        "other contents"
    );
    assert_eq!(compiles(|| drop(training_step(&x, &w, 0.5, 9))), (1, 0), "another length reuses the bodies");
    let narrow = compiles(|| drop(training_step(&x, &data(&[3, 6], 5), 0.5, 4)));
    assert!(narrow.0 == 1 && narrow.1 >= 2, "another shape is another program");
    // What is bound at run time is bound.
    let (a, b) = (training_step(&x, &w, 0.5, 4), training_step(&x, &w, 0.125, 4));
    assert!(!a.bit_eq(&b));
}

#[test]
fn a_step_that_is_planned_ahead_is_not_planned_again() {
    // A structure of this test alone.
    let record = |w: &Param, plan: bool| {
        let tape = Tape::new();
        let x = tape.constant(data(&[2, 3, 11], 1));
        let start = tape.zeros([3, 13], DType::F64);
        let (h, _) = tape.scan(start, x, |h, x| ((h * 0.5 + x.matmul(w)).tanh(), ()));
        let loss = h.square().sum();
        let before = tape.len();
        if plan {
            loss.plan_backward().unwrap();
            assert_eq!(tape.len(), before, "nothing stays recorded");
        }
        let compiled_ahead = compiled();
        let gradients = loss.backward().unwrap();
        assert!(!plan || compiled() == compiled_ahead, "the step finds the plan");
        gradients
    };
    let (w, other) = (Param::new(data(&[11, 13], 2)), Param::new(data(&[11, 13], 3)));
    assert_eq!(compiles(|| drop(record(&w, true))).0, 1);
    assert_eq!(compiles(|| drop(record(&other, true))), (0, 0), "another recording of the same structure");
    let (a, b) = (record(&w, true), record(&w, false));
    assert!(a.get(&w).unwrap().bit_eq(b.get(&w).unwrap()) && a.loss().bit_eq(b.loss()));
    let tape = Tape::new();
    let error = tape.var(Tensor::zeros([2], DType::F64)).plan_backward().unwrap_err();
    assert!(error.to_string().starts_with("plan_backward: "), "{error}");
}

#[test]
fn numbers_of_one_structure_are_told_apart() {
    for (a, b) in [(2.5, 3.5), (3.5, 2.5), (0.0, 2.5), (1.0, 2.5), (-1.0, 2.5), (2.5, 0.0), (-0.0, 2.5)] {
        let tape = Tape::new();
        let x = tape.constant(Tensor::from_slice(&[1.5f64, -2.0], [2]).unwrap());
        let y = (x * a + b) / b - a;
        let wanted: Vec<f64> = [1.5, -2.0].iter().map(|x: &f64| (x * a + b) / b - a).collect();
        let found = y.value().unwrap().to_vec::<f64>().unwrap();
        for (f, w) in found.iter().zip(&wanted) {
            assert!(f.to_bits() == w.to_bits() || f.is_nan() && w.is_nan(), "{a} {b}: {found:?} {wanted:?}");
        }
    }
}

#[test]
fn a_recording_keeps_the_parameter_it_saw() {
    let p = Param::new(data(&[3], 1));
    let before = p.value();
    let tape = Tape::new();
    let y = tape.param(&p) * 2.0;
    p.set(data(&[3], 2)).unwrap();
    let z = tape.param(&p) + y;
    assert_eq!(y.value().unwrap().to_f64_vec(), before.to_f64_vec().iter().map(|v| v * 2.0).collect::<Vec<_>>());
    assert_eq!(z.value().unwrap().to_f64_vec(), before.to_f64_vec().iter().map(|v| v + v * 2.0).collect::<Vec<_>>());
    let unused = Tape::new();
    assert_equal(&unused.param(&p).value().unwrap(), &p.value(), "a new tape sees the new value");
    let gradients = y.sum().backward().unwrap();
    assert_eq!(gradients.get(&p).unwrap().to_f64_vec(), [2.0; 3]);
    assert!(gradients.get(&p.fork()).is_none());
}

#[test]
fn gradients_flow_through_held_values() {
    let gradient = |hold: u8| {
        let tape = Tape::new();
        let x = tape.var(data(&[3], 1));
        let y = x.tanh();
        if hold & 1 == 1 {
            y.value().unwrap();
        }
        let z = if hold & 2 == 2 { (y * y).keep() } else { y * y };
        let (s, ys) = tape.scan(z, z, |s, v| (s * 0.5 + v * y, s));
        if hold & 4 == 4 {
            s.value().unwrap();
        }
        let loss = (s * z).sum() + ys.sum();
        let [g, gy] = loss.grad([x, y]);
        if hold & 8 == 8 {
            g.value().unwrap();
        }
        let [h] = (g * gy).sum().grad([x]);
        tape.eval([loss, g, gy, h]).unwrap()
    };
    let plain = gradient(0);
    for hold in 1..16 {
        for (i, (a, b)) in gradient(hold).iter().zip(&plain).enumerate() {
            assert_equal(a, b, &format!("holding {hold:b}, value {i}"));
        }
    }
}

#[test]
fn a_value_held_as_a_view_reads_as_one() {
    let tape = Tape::new();
    let x = tape.var(data(&[2, 3], 1));
    let y = (x * 2.0).t();
    let before = y.value().unwrap();
    assert_equal(
        &(y * 1.5).value().unwrap(),
        &Tensor::from_vec(before.to_f64_vec().iter().map(|v| v * 1.5).collect::<Vec<_>>(), [3, 2]).unwrap(),
        "a held transpose",
    );
}

#[test]
fn binding_replaces_every_use() {
    let (p, q) = (Param::new(data(&[2], 1)), Param::new(data(&[2], 2)));
    let tape = Tape::new();
    let (v, xs) = (tape.var(data(&[2], 3)), tape.var(data(&[3, 2], 4)));
    let net = || {
        let (s, _) = tape.scan(tape.param(&q) * 1.0, xs, |s, x| ((s * &p + x * &q).tanh(), ()));
        s.sum()
    };
    let bound = tape.bind(&p, v * 2.0, || {
        // The inner binding of the same parameter wins; that of another stands beside it.
        tape.bind(&q, v, || tape.bind(&p, v, net))
    });
    let plain = tape.bind(&p, v, || tape.bind(&q, v, net));
    assert_equal(&bound.value().unwrap(), &plain.value().unwrap(), "nested bindings");
    let after = net();
    assert!(!after.value().unwrap().bit_eq(&plain.value().unwrap()), "a binding ends");
    let gradients = after.backward().unwrap();
    assert!(gradients.get(&p).is_some() && gradients.get(&q).is_some());
    assert_eq!(gradients.len(), 2);
    let [g] = plain.grad([v]);
    let [gp] = plain.grad_or_none([tape.param(&p)]);
    assert!(g.value().is_ok() && gp.is_none(), "a bound parameter is not used");
    // Bound to a value that changes in a scan: weights of weights.
    let (_, ys) = tape.scan((), xs, |(), x| ((), tape.bind(&p, x, || tape.param(&p) * v)));
    assert_equal(&ys.value().unwrap(), &(xs * v).value().unwrap(), "bound to a value of a body");
    crate::check::gradcheck_params(
        |tape| {
            let xs = tape.constant(data(&[3, 2], 4));
            tape.scan(tape.param(&q), xs, |s, x| ((s * &p + x * &q).tanh(), ())).0
        },
        &vec![p.clone(), q.clone(), p.clone()],
        Default::default(),
    )
    .unwrap();
}

#[test]
fn nothing_flows_through_detach() {
    let tape = Tape::new();
    let x = tape.var(2.0f64);
    let y = x * x.detach() + (x * 3.0).detach();
    let [g] = y.grad([x]);
    assert_eq!((y.item().unwrap(), g.item().unwrap()), (10.0, 2.0));
    let [h] = g.grad_or_none([x]);
    assert!(h.is_none());
    let xs = tape.constant(data(&[3], 1));
    let (s, _) = tape.scan(x, xs, |s, v| (s.detach() * v + x, ()));
    let [g] = s.grad([x]);
    assert_eq!(g.item().unwrap(), 1.0, "only the last step is seen");
}

#[test]
fn two_runs_give_the_same_bits() {
    let run = || {
        let tape = Tape::new();
        let (x, w) = (tape.var(data(&[4, 6, 5], 1)), tape.var(data(&[5, 5], 2)));
        let options = ScanOptions::default().reversed();
        let (h, ys) = tape.scan_with(options, x.get(0, 0), x, |h, x| {
            let h = (h.matmul(w) + x).tanh();
            (h, h.softmax(-1))
        });
        let loss = h.square().mean() + ys.log().mean();
        let [dx, dw] = loss.grad([x, w]);
        let [hess] = (dw * dw).sum().grad([w]);
        tape.eval([loss, dx, dw, hess]).unwrap()
    };
    let first = run();
    for _ in 0..3 {
        let again = std::thread::scope(|scope| scope.spawn(run).join().unwrap());
        for (a, b) in first.iter().zip(&again) {
            assert!(a.bit_eq(b));
        }
    }
}

#[test]
fn any_order_of_derivative() {
    let tape = Tape::new();
    let x = tape.var(0.7f64);
    let mut y = x.sin();
    for order in 1..9 {
        [y] = y.grad([x]);
        let wanted = match order % 4 {
            0 => 0.7f64.sin(),
            1 => 0.7f64.cos(),
            2 => -0.7f64.sin(),
            _ => -0.7f64.cos(),
        };
        assert!((y.item().unwrap() - wanted).abs() < 1e-14, "order {order}");
    }
    // Through a scan: s_T = s·x^T, so that the k-th derivative is a falling factorial.
    let x = tape.var(1.1f64);
    let (mut y, _) = tape.scan_with(ScanOptions::default().length(6), tape.constant(2.0f64), (), |s, ()| (s * x, ()));
    let mut factor = 2.0;
    for order in 0..5 {
        let wanted = factor * 1.1f64.powi(6 - order);
        assert!((y.item().unwrap() - wanted).abs() < 1e-9 * wanted, "order {order}: {} {wanted}", y.item().unwrap());
        factor *= (6 - order) as f64;
        [y] = y.grad([x]);
    }
}

/// Two loops whose bodies are one graph, of which one carries what the other scans.
#[test]
fn a_body_is_not_mistaken_for_one_with_other_carries() {
    let numbers = |values: &[f64]| Tensor::from_slice(values, [values.len()]).unwrap();
    let tape = Tape::new();
    let (a, b) = (tape.var(1.0f64), tape.var(2.0f64));
    let (last, before) = tape.scan(a, tape.constant(numbers(&[1.0, 1.0, 1.0])), |p, x| (p + x, p));
    assert_eq!(last.item().unwrap(), 4.0);
    assert_equal(&before.value().unwrap(), &numbers(&[1.0, 2.0, 3.0]), "the carries before each step");
    let options = ScanOptions::default().length(3);
    let ((p, q), ()) = tape.scan_with(options, (a, b), (), |(p, q), ()| ((p + q, p), ()));
    let [p, q] = tape.eval([p, q]).unwrap();
    assert_eq!((p.item().unwrap(), q.item().unwrap()), (7.0, 4.0), "Fibonacci's");
}
