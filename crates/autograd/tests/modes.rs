//! Jacobians, Hessians, Hessian-vector products and user-given derivatives, through an LSTM run by `scan`.

use wengert_autograd::{ErrorKind, Tape, Tensor, Var};

fn data(shape: &[usize], seed: usize) -> Tensor {
    let n: usize = shape.iter().product();
    let values: Vec<f64> = (0..n).map(|i| (((i + 1) * (seed * 7 + 13)) % 97) as f64 / 97.0 - 0.5).collect();
    Tensor::from_vec(values, shape).unwrap()
}

fn lstm<'t>(tape: &'t Tape, x: Var<'t>, u: Var<'t>) -> Var<'t> {
    let zeros = tape.constant(data(&[2, 3], 9));
    let ((h, _), _) = tape.scan((zeros, zeros), x, |(h, c), x| {
        let z = x + h.matmul(u);
        let [i, f, g, o] = z.chunk();
        let c = f.sigmoid() * c + i.sigmoid() * g.tanh();
        let h = o.sigmoid() * c.tanh();
        ((h, c), h)
    });
    h
}

fn close(a: &Tensor, b: &Tensor, tolerance: f64) {
    assert_eq!(a.shape(), b.shape());
    for (a, b) in a.to_f64_vec().iter().zip(b.to_f64_vec()) {
        assert!((a - b).abs() <= tolerance, "{a} {b}");
    }
}

#[test]
fn jacobians_by_rows_and_by_columns_agree() {
    let tape = Tape::new();
    let (x, u) = (tape.var(data(&[4, 2, 12], 1)), tape.var(data(&[3, 12], 2)));
    let h = lstm(&tape, x, u);
    for input in [x, u] {
        let (rows, columns) = (h.jacobian(input).value().unwrap(), h.jacobian_forward(input).value().unwrap());
        close(&rows, &columns, 1e-13);
    }
}

#[test]
fn a_hessian_is_symmetric_and_is_the_difference_of_gradients() {
    let tape = Tape::new();
    let (x, u) = (tape.constant(data(&[4, 2, 12], 1)), tape.var(data(&[3, 12], 2)));
    let loss = lstm(&tape, x, u).square().sum();
    let n = 36;
    let hessian = loss.hessian(u).reshape([n, n]).value().unwrap();
    close(&hessian, &hessian.transpose(0, 1).unwrap(), 1e-12);
    let v = tape.constant(data(&[3, 12], 5));
    let product = loss.hvp(u, v).value().unwrap();
    let by_matrix: Vec<f64> = {
        let (h, v) = (hessian.to_f64_vec(), v.value().unwrap().to_f64_vec());
        (0..n).map(|i| (0..n).map(|j| h[i * n + j] * v[j]).sum()).collect()
    };
    close(&product, &Tensor::from_vec(by_matrix, [3, 12]).unwrap(), 1e-12);

    let gradient = |step: f64| {
        let tape = Tape::new();
        let moved = tape.constant(data(&[3, 12], 2)) + tape.constant(data(&[3, 12], 5)) * step;
        let u = tape.var(moved.value().unwrap());
        let loss = lstm(&tape, tape.constant(data(&[4, 2, 12], 1)), u).square().sum();
        let [g] = loss.grad([u]);
        g.value().unwrap().to_f64_vec()
    };
    let (up, down) = (gradient(1e-5), gradient(-1e-5));
    let differences = up.iter().zip(&down).map(|(a, b)| (a - b) / 2e-5).collect();
    close(&product, &Tensor::from_vec(differences, [3, 12]).unwrap(), 1e-9);
}

/// A derivative given by the user, inside of a scan and at second order.
#[test]
fn user_given_derivatives() {
    let tape = Tape::new();
    let (x, u) = (tape.var(data(&[4, 3], 1)), tape.var(data(&[3], 2)));
    let run = |own: bool| {
        let (last, _) = tape.scan(u, x, |s, x| {
            let s = if own {
                tape.custom_vjp(
                    [s, x],
                    |[s, x]| (s * x).sin(),
                    |[s, x], _, ct| {
                        let slope = ct * (s * x).cos();
                        [Some(slope * x), Some(slope * s)]
                    },
                )
            } else {
                (s * x).sin()
            };
            (s, ())
        });
        let loss = (last * 3.0).sum();
        let [g, h] = loss.grad([x, u]);
        let [second] = (g.square().sum() + h.sum()).grad([u]);
        [g, h, second].map(|v| v.value().unwrap())
    };
    for (a, b) in run(true).iter().zip(&run(false)) {
        close(a, b, 1e-14);
    }
}

#[test]
fn hooks_and_wrong_rules() {
    let tape = Tape::new();
    let x = tape.var(data(&[3], 1));
    // Gradient reversal.
    let [g] = x.on_grad(|g| -g).square().sum().grad([x]);
    close(&g.value().unwrap(), &(x * -2.0).value().unwrap(), 0.0);
    // A rule that gives a cotangent of the wrong shape.
    let y = tape.custom_vjp([x], |[x]| x * 2.0, |_, _, ct| [Some(ct.sum())]);
    let [g] = y.sum().grad([x]);
    let error = g.value().unwrap_err();
    assert!(error.to_string().contains("the cotangent of input 0 is f64 [], expected f64 [3]"), "{error}");
    // No forward rule: an error, not zeros.
    let tape = Tape::new();
    let x = tape.var(data(&[3], 1));
    let y = tape.custom_vjp([x], |[x]| x * 2.0, |_, _, ct| [Some(ct * 2.0)]);
    let error = y.jvp([(x, tape.constant(data(&[3], 2)))]).value().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Gradient);
}

/// A cotangent that does not change over time counts once for each step.
#[test]
fn a_constant_cotangent_in_a_loop() {
    let tape = Tape::new();
    let (w, x) = (tape.var(0.5f64), tape.constant(data(&[5], 1)));
    let (last, _) = tape.scan(tape.constant(1.0f64), x, |s, x| {
        let sum =
            tape.custom_vjp([s * x, w], |[a, w]| a + w, |[_, w], _, ct| [Some(ct), Some(w.tape().constant(2.0f64))]);
        (sum, ())
    });
    let [g] = last.grad([w]);
    assert_eq!(g.item().unwrap(), 10.0);
}
