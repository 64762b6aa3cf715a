//! `scan` against the unrolled Rust loop: values, gradients, second order, nesting, edge cases.

use wengert_autograd::{DType, ScanOptions, Tape, Tensor, Var};

fn data(shape: &[usize], seed: usize) -> Tensor {
    let n: usize = shape.iter().product();
    let values: Vec<f64> = (0..n).map(|i| (((i + 1) * (seed * 7 + 13)) % 97) as f64 / 97.0 - 0.5).collect();
    Tensor::from_vec(values, shape).unwrap()
}

fn lstm<'t>(x: Var<'t>, h: Var<'t>, c: Var<'t>, w: Var<'t>, u: Var<'t>, b: Var<'t>) -> (Var<'t>, Var<'t>) {
    let z = x.matmul(w) + h.matmul(u) + b;
    let [i, f, g, o] = z.chunk();
    let c = f.sigmoid() * c + i.sigmoid() * g.tanh();
    let h = o.sigmoid() * c.tanh();
    (h, c)
}

fn close(a: &Tensor, b: &Tensor, what: &str) {
    assert_eq!(a.shape(), b.shape(), "{what}");
    for (x, y) in a.to_f64_vec().iter().zip(b.to_f64_vec()) {
        assert!((x - y).abs() <= 1e-13 * y.abs().max(1.0), "{what}: {x} against {y}");
    }
}

#[test]
fn lstm_by_scan_equals_the_loop() {
    const T: usize = 5;
    let (batch, input, hidden) = (3, 4, 2);
    let tape = Tape::new();
    let x = tape.var(data(&[T, batch, input], 1));
    let w = tape.var(data(&[input, 4 * hidden], 2));
    let u = tape.var(data(&[hidden, 4 * hidden], 3));
    let b = tape.var(data(&[4 * hidden], 4));
    let h0 = tape.var(data(&[batch, hidden], 5));
    let c0 = tape.var(data(&[batch, hidden], 6));

    for reverse in [false, true] {
        let options = ScanOptions { reverse, ..Default::default() };
        let ((h, c), ys) = tape.scan_with(options, (h0, c0), x, |(h, c), x| {
            let (h, c) = lstm(x, h, c, w, u, b);
            ((h, c), h)
        });
        let (mut h2, mut c2) = (h0, c0);
        let mut outputs = vec![h0; T];
        for step in 0..T {
            let t = if reverse { T - 1 - step } else { step };
            (h2, c2) = lstm(x.get(0, t), h2, c2, w, u, b);
            outputs[t] = h2;
        }
        let ys2 = tape.stack(&outputs, 0);
        let l1 = (ys.square() * 0.7).sum() + (h * c.tanh()).sum();
        let l2 = (ys2.square() * 0.7).sum() + (h2 * c2.tanh()).sum();
        close(&ys.value().unwrap(), &ys2.value().unwrap(), "outputs");
        close(&l1.value().unwrap(), &l2.value().unwrap(), "loss");
        let wrt = [x, w, u, b, h0, c0];
        let g1 = l1.grad(wrt);
        let g2 = l2.grad(wrt);
        for (i, (a, b)) in g1.iter().zip(&g2).enumerate() {
            close(&a.value().unwrap(), &b.value().unwrap(), &format!("gradient {i}"));
        }
        let s1 = g1.iter().map(|g| g.square().sum()).reduce(|a, b| a + b).unwrap();
        let s2 = g2.iter().map(|g| g.square().sum()).reduce(|a, b| a + b).unwrap();
        for (i, (a, b)) in s1.grad(wrt).iter().zip(s2.grad(wrt)).enumerate() {
            close(&a.value().unwrap(), &b.value().unwrap(), &format!("second order {i}"));
        }
    }
}

#[test]
fn nested_scans_equal_nested_loops() {
    let tape = Tape::new();
    let x = tape.var(data(&[3, 4, 2], 1));
    let w = tape.var(data(&[2], 2));
    let s0 = tape.var(data(&[2], 3));
    let (last, ys) = tape.scan(s0, x, |s, row| {
        let (inner, zs) = tape.scan(s, row, |h, v| {
            let h = (h * w + v * s).tanh();
            (h, h * v)
        });
        (inner, zs.sum_axes(0) + inner)
    });
    let mut s = s0;
    let mut outputs = Vec::new();
    for i in 0..3 {
        let mut h = s;
        let mut total: Option<Var<'_>> = None;
        for j in 0..4 {
            let v = x.get(0, i).get(0, j);
            h = (h * w + v * s).tanh();
            total = Some(total.map_or(h * v, |t| t + h * v));
        }
        outputs.push(total.unwrap() + h);
        s = h;
    }
    let ys2 = tape.stack(&outputs, 0);
    close(&ys.value().unwrap(), &ys2.value().unwrap(), "outputs");
    let l1 = ys.square().sum() + last.sum();
    let l2 = ys2.square().sum() + s.sum();
    let (g1, g2) = (l1.grad([x, w, s0]), l2.grad([x, w, s0]));
    for (a, b) in g1.iter().zip(&g2) {
        close(&a.value().unwrap(), &b.value().unwrap(), "gradient");
    }
    let s1 = g1.iter().map(|g| g.square().sum()).reduce(|a, b| a + b).unwrap();
    let s2 = g2.iter().map(|g| g.square().sum()).reduce(|a, b| a + b).unwrap();
    for (a, b) in s1.grad([x, w, s0]).iter().zip(s2.grad([x, w, s0])) {
        close(&a.value().unwrap(), &b.value().unwrap(), "second order");
    }
}

#[test]
fn no_steps_give_the_initial_state() {
    let tape = Tape::new();
    let x = tape.var(Tensor::zeros([0, 3], DType::F64));
    let s0 = tape.var(data(&[3], 1));
    let (last, ys) = tape.scan(s0, x, |s, x| (s + x, s * x));
    assert_eq!(*ys.shape().unwrap(), [0, 3][..]);
    assert!(last.value().unwrap().bit_eq(&s0.value().unwrap()));
    assert_eq!(ys.value().unwrap().numel(), 0);
    let [g] = last.sum().grad([s0]);
    assert_eq!(g.value().unwrap().to_vec::<f64>().unwrap(), [1.0; 3]);
}

#[test]
fn basics() {
    let tape = Tape::new();
    let x = tape.var(3.0f64);
    let y = x * x + 2.0 * x;
    let [dy] = y.grad([x]);
    let [d2y] = dy.grad([x]);
    assert_eq!((y.item().unwrap(), dy.item().unwrap(), d2y.item().unwrap()), (15.0, 8.0, 2.0));
}

/// Loops in bodies on which they do not depend: they are recorded further out, with all that they hold.
#[test]
fn loops_that_do_not_change_over_time() {
    /// `scan`, or its loop.
    fn run<'t>(
        unroll: bool,
        s: Var<'t>,
        xs: Var<'t>,
        step: impl Fn(Var<'t>, Var<'t>) -> (Var<'t>, Var<'t>),
    ) -> (Var<'t>, Var<'t>) {
        if !unroll {
            return s.tape().scan(s, xs, step);
        }
        let (mut s, mut ys) = (s, Vec::new());
        for t in 0..xs.shape().unwrap()[0] {
            let (next, y) = step(s, xs.get(0, t));
            s = next;
            ys.push(y);
        }
        (s, s.tape().stack(&ys, 0))
    }
    let tape = Tape::new();
    let (w, x, s0) = (tape.var(data(&[3, 2], 1)), tape.var(data(&[4, 2], 2)), tape.var(data(&[2], 3)));
    let loss = |unroll: bool| {
        let (last, ys) = run(unroll, s0, x, |s, x| {
            // Of these three, one lies in the other and needs none of its values, one needs nothing of either.
            let (inner, zs) = run(unroll, s, w, |p, row| {
                let (_, outer) = run(unroll, s, w, |q, row| {
                    let q = (q * row).sin() + x;
                    (q, q)
                });
                let (_, outermost) = run(unroll, w.get(0, 0), w, |q, row| {
                    let q = (q * row).cos();
                    (q, q)
                });
                let p = (p + outer.prod_axes(0) * row).tanh() * outermost.sum_axes(0);
                (p, p * outer.sum_axes(0))
            });
            ((inner + s).tanh(), zs.sum_axes(0))
        });
        last.sum() + ys.square().sum()
    };
    let derivatives = |loss: Var<'_>| -> Vec<Tensor> {
        let tape = loss.tape();
        let first = loss.grad([w, x, s0]);
        let norm = first.iter().map(|g| g.square().sum()).reduce(|a, b| a + b).unwrap();
        let second = norm.grad([w, x, s0]);
        let tangent = norm.jvp([(w, w.sin())]);
        tape.eval_all(&first.into_iter().chain(second).chain([tangent]).collect::<Vec<_>>()).unwrap()
    };
    for (a, b) in derivatives(loss(false)).iter().zip(&derivatives(loss(true))) {
        close(a, b, "derivatives");
    }
}
