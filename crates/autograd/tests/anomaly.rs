//! The trace to the first value that is not finite.

use wengert_autograd::{DType, Error, ErrorKind, Result, Tape, Tensor, Var};

fn tensor(values: &[f64]) -> Tensor {
    Tensor::from_slice(values, [values.len()]).unwrap()
}

/// The error of evaluating what `f` records, and the line of the operation that it names.
fn found(tape: &Tape, value: Var<'_>) -> Error {
    assert!(tape.error().is_none());
    value.value().unwrap_err()
}

#[track_caller]
fn check(error: &Error, op: &str, line: u32, parts: &[&str]) {
    assert_eq!(error.kind(), ErrorKind::NonFinite, "{error}");
    assert_eq!(error.op(), op, "{error}");
    assert_eq!(error.location().map(|at| at.line()), Some(line), "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "'{part}' is not in: {error}");
    }
}

#[test]
fn forward_with_element_name_and_inputs() {
    let tape = Tape::new().detect_anomaly();
    let x = tape.var(tensor(&[1.0, 0.0, -1.0])).named("x");
    let y = (x.log().named("log x") * 2.0).exp().sum();
    let line = line!() - 1;
    let error = found(&tape, y);
    let parts = ["gives -inf at [1] (forward): result %1 'log x' f64[3], %0 'x' f64[3] is 0 there", "allow_non_finite"];
    check(&error, "log", line, &parts);
}

#[test]
fn the_first_in_order_of_recording_not_of_asking() {
    let tape = Tape::new().detect_anomaly();
    let x = tape.var(0.0f64);
    let second = x.recip();
    let first = tape.constant(-1.0f64).sqrt();
    let error = tape.eval([first, second]).unwrap_err();
    check(&error, "recip", line!() - 3, &["gives inf (forward)"]);
}

#[test]
fn backward() {
    let tape = Tape::new().detect_anomaly();
    let x = tape.var(tensor(&[4.0, 0.0])).named("x");
    let y = x.sqrt();
    let line = line!() - 1;
    let loss = y.sum();
    assert_eq!(loss.item().unwrap(), 2.0);
    let error = loss.backward().unwrap_err();
    check(&error, "div", line, &["gives inf at [1] (backward, in the derivative of sqrt %1 f64[2])", "is 0 there"]);
}

#[test]
fn the_branch_not_taken_counts_unless_allowed() {
    let masked = |tape: &Tape, allow: bool| -> Result<f64> {
        let x = tape.var(0.0f64);
        let log = if allow { x.log().allow_non_finite() } else { x.log() };
        x.gt(0.0).select(log, 0.0).item()
    };
    assert_eq!(masked(&Tape::new().detect_anomaly(), false).unwrap_err().op(), "log");
    assert_eq!(masked(&Tape::new().detect_anomaly(), true).unwrap(), 0.0);

    // The derivative of the branch not taken is 0/0: allowing the value does not allow that.
    let tape = Tape::new().detect_anomaly();
    let x = tape.var(0.0f64);
    let y = x.gt(0.0).select(x.log().allow_non_finite(), 0.0);
    let error = y.backward().unwrap_err();
    check(&error, "div", line!() - 2, &["gives NaN (backward, in the derivative of log"]);
}

#[test]
fn an_infinite_mask_is_meant_until_it_becomes_nan() {
    let tape = Tape::new().detect_anomaly();
    let scores = tape.var(Tensor::from_slice(&[0.5f32, 1.0, -1.0, 2.0], [2, 2]).unwrap());
    let inf = f32::NEG_INFINITY;
    let mask = tape.constant(Tensor::from_slice(&[0.0f32, inf, 0.0, 0.0], [2, 2]).unwrap());
    let p = (scores + mask).softmax(-1);
    p.square().sum().backward().unwrap();
    assert_eq!(p.value().unwrap().to_vec::<f32>().unwrap()[..2], [1.0, 0.0]);

    let tape = Tape::new().detect_anomaly();
    let all = tape.constant(Tensor::full([1, 2], f64::NEG_INFINITY, DType::F32));
    let p = all.softmax(-1);
    let error = found(&tape, p);
    check(&error, "sub", line!() - 2, &["gives NaN at [0, 0]", "is -inf there"]);
}

#[test]
fn nan_in_data() {
    let tape = Tape::new().detect_anomaly();
    let x = tape.constant(tensor(&[0.0, 1.0, f64::NAN])).named("prices");
    let error = found(&tape, x.sum());
    check(&error, "leaf", line!() - 2, &["holds NaN at [2] of %0 'prices' f64[3]"]);
    let tape = Tape::new().detect_anomaly();
    let error = found(&tape, tape.constant(1.0f64) * f64::NAN);
    assert!(error.to_string().contains("holds NaN"), "{error}");
}

#[test]
fn overflow_of_a_product() {
    let tape = Tape::new().detect_anomaly();
    let x = tape.constant(Tensor::full([2, 3], 1e38, DType::F32));
    let error = found(&tape, x.matmul(tape.constant(Tensor::full([3, 2], 2.0, DType::F32))));
    check(&error, "matmul", line!() - 1, &["gives inf at [0, 0]", "%0 f32[2, 3] is finite"]);
    // The largest f64 does not fit an f32.
    let error = found(&tape, tape.constant(1e300f64).cast(DType::F32));
    check(&error, "cast", line!() - 1, &["gives inf"]);
}

#[test]
fn the_step_of_a_scan_and_its_derivative() {
    let x = tensor(&[1.0, 4.0, 0.0, 9.0, -1.0]);
    for reverse in [false, true] {
        let tape = Tape::new().detect_anomaly();
        let xs = tape.constant(&x);
        let options = wengert_autograd::ScanOptions { reverse, ..Default::default() };
        let scan = line!() + 1;
        let (s, _) = tape.scan_with(options, tape.constant(0.0f64), xs, |s, x| {
            let next = s + x.log();
            (next, next)
        });
        let error = found(&tape, s);
        // Backwards in time, the logarithm of -1 comes first.
        let (value, step) = if reverse { ("NaN", 4) } else { ("-inf", 2) };
        check(
            &error,
            "log",
            scan + 1,
            &[&format!("gives {value} (forward, step {step} of the scan at "), &format!("{scan}")],
        );
    }
    let tape = Tape::new().detect_anomaly();
    let xs = tape.var(tensor(&[1.0, 4.0, 0.0, 9.0]));
    let (s, _) = tape.scan(tape.constant(0.0f64), xs, |s, x| (s + x.sqrt(), ()));
    let line = line!() - 1;
    assert_eq!(s.item().unwrap(), 6.0);
    let error = s.backward().unwrap_err();
    check(&error, "div", line, &["(backward, in the derivative of sqrt", "step 2 of the scan"]);
}

#[test]
fn the_steps_of_nested_scans() {
    let tape = Tape::new().detect_anomaly();
    let xs = tape.constant(Tensor::from_slice(&[1.0f64, 2.0, 3.0, 4.0, 0.0, 5.0], [2, 3]).unwrap());
    let zero = tape.constant(0.0f64);
    let outer = line!() + 1;
    let (s, _) = tape.scan(zero, xs, |s, row| {
        let (s, _) = tape.scan(s, row, |s, x| (s + 1.0 / x, ()));
        (s, ())
    });
    let error = found(&tape, s);
    let parts = [format!("step 1 of the scan at {}:{outer}, step 1 of the scan at", file!()), "gives inf".into()];
    check(&error, "div", outer + 1, &[&parts[0], &parts[1]]);
}

#[test]
fn what_is_finite_has_the_bits_of_any_other_tape() {
    let run = |tape: &Tape| {
        let x = tape.var(tensor(&[0.3, -0.7, 1.9]));
        let w = tape.var(Tensor::from_slice(&[0.1f64, 0.2, -0.3, 0.4, 0.5, 0.6, 0.7, 0.8, -0.9], [3, 3]).unwrap());
        let (h, ys) =
            tape.scan_with(wengert_autograd::ScanOptions::default().length(6), x.unsqueeze(0), (), |h, ()| {
                let h = h.matmul(w).tanh();
                (h, h)
            });
        let loss = (h.sum() + ys.square().mean()).sigmoid();
        let gradients = loss.backward().unwrap();
        let bits = |t: &Tensor| t.to_f64_vec().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        (bits(gradients.loss()), bits(gradients.wrt(x).unwrap()), bits(gradients.wrt(w).unwrap()))
    };
    let plain = run(&Tape::new());
    assert_eq!(plain, run(&Tape::new().detect_anomaly()));
    assert_eq!(plain, run(&Tape::new().profiled()));
}
