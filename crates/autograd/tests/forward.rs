//! Forward mode against reverse mode: `u·(J v) = (Jᵀu)·v`, through scans, nested scans, and over gradients.

use wengert_autograd::{ScanOptions, Tape, Tensor, Var};

fn data(shape: &[usize], seed: usize) -> Tensor {
    let n: usize = shape.iter().product();
    let values: Vec<f64> = (0..n).map(|i| (((i + 1) * (seed * 7 + 13)) % 97) as f64 / 97.0 - 0.5).collect();
    Tensor::from_vec(values, shape).unwrap()
}

/// Checks one output against several inputs, at order 1 and, through the gradient, at order 2.
fn agree(name: &str, inputs: &[Tensor], f: impl for<'t> Fn(&'t Tape, &[Var<'t>]) -> Var<'t>) {
    let tape = Tape::new();
    let x: Vec<Var<'_>> = inputs.iter().map(|t| tape.var(t)).collect();
    let v: Vec<Var<'_>> = inputs.iter().enumerate().map(|(i, t)| tape.constant(data(t.shape(), 40 + i))).collect();
    let y = f(&tape, &x);
    let u = tape.constant(data(&y.shape().unwrap(), 77));
    let same = |label: &str, y: Var<'_>, u: Var<'_>| {
        // One direction at a time, so that inputs cannot cover for each other.
        for i in 0..x.len() {
            let forward = (y.jvp([(x[i], v[i])]) * u).sum().item().unwrap();
            let [g] = y.vjp(u, [x[i]]);
            let reverse = (g * v[i]).sum().item().unwrap();
            let scale = forward.abs().max(1.0);
            assert!((forward - reverse).abs() < 1e-12 * scale, "{name} {label} {i}: {forward} {reverse}");
        }
    };
    same("first order", y, u);
    let energy = (y * u).sum() + (y.square() * 0.3).sum();
    for i in 0..x.len() {
        let [g] = energy.grad([x[i]]);
        let u = tape.constant(data(inputs[i].shape(), 99));
        same("of the gradient", g, u);
    }
}

#[test]
fn plain_operations() {
    agree("mixed", &[data(&[3, 4], 1), data(&[4, 2], 2), data(&[2], 3)], |_, x| {
        let z = (x[0].matmul(x[1]) + x[2]).tanh();
        let [a, b] = z.chunk();
        (a.exp() / (b.sigmoid() + 1.0)).concat([b * 2.0], -1).t().softmax(-1)
    });
}

#[test]
fn a_scanned_cell() {
    for reverse in [false, true] {
        agree(
            "lstm",
            &[
                data(&[5, 3, 4], 1),
                data(&[4, 8], 2),
                data(&[2, 8], 3),
                data(&[8], 4),
                data(&[3, 2], 5),
                data(&[3, 2], 6),
            ],
            |tape, x| {
                let options = ScanOptions { reverse, ..Default::default() };
                let ((h, c), ys) = tape.scan_with(options, (x[4], x[5]), x[0], |(h, c), xt| {
                    let z = xt.matmul(x[1]) + h.matmul(x[2]) + x[3];
                    let [i, f, g, o] = z.chunk();
                    let c = f.sigmoid() * c + i.sigmoid() * g.tanh();
                    let h = o.sigmoid() * c.tanh();
                    ((h, c), h)
                });
                ys.sum_axes(0) + h * c
            },
        );
    }
}

#[test]
fn nested_scans() {
    agree("nested", &[data(&[3, 4, 2], 1), data(&[2], 2), data(&[2], 3)], |tape, x| {
        let (last, ys) = tape.scan(x[2], x[0], |s, row| {
            let (inner, zs) = tape.scan(s, row, |h, v| {
                let h = (h * x[1] + v * s).tanh();
                (h, h * v)
            });
            (inner, zs.sum_axes(0) + inner)
        });
        ys.sum_axes(0) * last
    });
}

#[test]
fn derivatives_taken_inside_of_a_body() {
    // Per-sample gradients: a gradient recorded in a scan's body, against one gradient for each sample.
    let tape = Tape::new();
    let w = tape.var(data(&[4, 2], 1));
    let xs = tape.constant(data(&[5, 4], 2));
    let (_, each) = tape.scan((), xs, |(), x| {
        let [g] = x.matmul(w).tanh().square().sum().grad([w]);
        ((), g)
    });
    let each = each.value().unwrap();
    for i in 0..5 {
        let [g] = xs.get(0, i).matmul(w).tanh().square().sum().grad([w]);
        let (a, b) = (each.narrow(0, i, 1).unwrap().to_f64_vec(), g.value().unwrap().to_f64_vec());
        a.iter().zip(&b).for_each(|(a, b)| assert!((a - b).abs() < 1e-14));
    }
    // A Jacobian by columns and by rows.
    let x = tape.var(data(&[3], 3));
    let y = (x.unsqueeze(1) * x).sum_axes(0).sin();
    let eye = tape.constant(Tensor::from_vec(vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0], [3, 3]).unwrap());
    let (_, rows) = tape.scan((), eye, |(), u| {
        let [row] = y.vjp(u, [x]);
        ((), row)
    });
    let (_, columns) = tape.scan((), eye, |(), v| ((), y.jvp([(x, v)])));
    let (a, b) = (rows.value().unwrap(), columns.t().value().unwrap());
    a.to_f64_vec().iter().zip(b.to_f64_vec()).for_each(|(a, b)| assert!((a - b).abs() < 1e-14));
}
