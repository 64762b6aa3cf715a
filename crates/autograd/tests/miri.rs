//! Small programs that go through every kind of instruction, for Miri, which looks for undefined behaviour in the unsafe code below
//! them. Elsewhere they are ordinary tests: a program gives the bits that it gives a second time, and numbers that are known.
//!
//! `cargo +nightly miri test -p wengert-autograd --test miri`

use wengert_autograd::{DType, Place, ScanOptions, Tape, Tensor, Var};

fn data(shape: &[usize], seed: usize) -> Tensor {
    let n: usize = shape.iter().product();
    let values: Vec<f64> = (0..n).map(|i| (((i + 1) * (seed * 7 + 13)) % 97) as f64 / 97.0 - 0.5).collect();
    Tensor::from_vec(values, shape).unwrap()
}

/// Values twice, the second time by the cached program; once under Miri, where a program takes minutes.
fn values(f: impl for<'t> Fn(&'t Tape) -> Vec<Var<'t>>) -> Vec<Tensor> {
    let run = || {
        let tape = Tape::new();
        tape.eval_all(&f(&tape)).unwrap()
    };
    let first = run();
    if !cfg!(miri) {
        first.iter().zip(&run()).for_each(|(a, b)| assert!(a.bit_eq(b)));
    }
    first
}

fn gradients<'t>(loss: Var<'t>, wrt: &[Var<'t>]) -> Vec<Var<'t>> {
    wrt.iter().filter_map(|x| loss.grad_or_none([*x])[0]).collect()
}

/// Tile programs: broadcast, strided, of all lane types, with several results, more than one tile long.
#[test]
fn tiles() {
    let found = values(|tape| {
        let (x, y) = (tape.var(data(&[3, 100], 1)), tape.var(data(&[100, 1], 2)));
        let wide = x + y.t();
        let truth = x.gt(0.0).and(y.t().le(0.2));
        let whole = x.cast(DType::I64) * 3 + tape.arange(100);
        let single = (x.cast(DType::F32) * 2).tanh().exp();
        let z = truth.select(wide, x) * x.t().get(1, 0).unsqueeze(0);
        vec![wide, z, truth, whole, single, z.narrow(1, 3, 5).relu(), z.narrow(1, 40, 60).t() * 2]
    });
    assert_eq!(found[3].to_vec::<i64>().unwrap()[..3], [0, 1, 2]);
}

/// Every lane function once, over a length with a tail.
#[test]
fn functions() {
    let found = values(|tape| {
        // With a tail behind any vector.
        let x = tape.var(data(&[if cfg!(miri) { 5 } else { 19 }], 1));
        let p = x + 1.0;
        [x, x.cast(DType::F32)]
            .into_iter()
            .flat_map(|x| {
                let p = x + 1.0;
                vec![
                    x.exp(),
                    x.expm1(),
                    p.log(),
                    p.log2(),
                    x.log1p(),
                    x.sin(),
                    x.cos(),
                    x.atan(),
                    x.tanh(),
                    x.sigmoid(),
                    x.softplus(),
                    x.log_sigmoid(),
                    x.erf(),
                    p.pow(x),
                    p.sqrt(),
                    p.rsqrt(),
                    x.floor(),
                    x.ceil(),
                    x.trunc(),
                    x.round(),
                    x.sign(),
                    x.abs(),
                    x.maximum(0.1),
                    x.minimum(0.1),
                    x / p,
                ]
            })
            .chain([p])
            .collect()
    });
    assert!(found.iter().all(|v| v.to_f64_vec().iter().all(|x| x.is_finite())));
}

/// Products in both layouts, with tails, batches, vectors, nothing to add; reductions over every position of axes.
#[test]
fn products_and_reductions() {
    let found = values(|tape| {
        let (a, b) = (tape.var(data(&[5, 7], 1)), tape.var(data(&[7, 18], 2)));
        let (c, d) = (tape.var(data(&[2, 1, 3, 4], 3)), tape.var(data(&[3, 4, 2], 4)));
        let product = a.matmul(b);
        let mut all = vec![
            product,
            b.t().matmul(a.t()),
            a.cast(DType::F32).matmul(b.cast(DType::F32)),
            c.matmul(d),
            a.matmul(b.get(1, 0)),
            a.narrow(1, 0, 0).matmul(b.narrow(0, 0, 0)),
            c.sum(),
            c.sum_axes([0, 2]),
            c.max_axes(-1),
            c.min_axes(0),
            c.prod_axes([1, 3]),
            (a * 2).sum_axes(0),
            c.cast(DType::I64).sum_axes(2),
        ];
        let loss = product.square().sum() + c.matmul(d).tanh().sum() + c.prod_axes(3).sum() + c.max_axes(2).sum();
        all.extend(gradients(loss, &[a, b, c, d]));
        all
    });
    assert_eq!(found[5].to_f64_vec(), [0.0; 90]);
}

/// Places: views, joins, and what is computed where it belongs; entries by index; draws; conversions.
#[test]
fn places() {
    let found = values(|tape| {
        let x = tape.var(data(&[4, 6], 1));
        let index = tape.constant(Tensor::from_slice(&[3i64, 0, 3], [3]).unwrap());
        let [a, b] = (x * 2).chunk();
        let joined = tape.concat(&[a.tanh(), b, a.t().reshape([4, 3]).exp()], 1);
        let picked = joined.index_select(0, index);
        let scattered = x.scatter_add(0, index.unsqueeze(1).expand([3, 6]), picked.narrow(1, 1, 6));
        let draws = tape.uniform(tape.constant(5i64).fold_in(2), [3, 5], DType::F64);
        let normal = tape.normal(tape.constant(5i64), [7], DType::F32);
        let turned = joined.flip(1).roll(0, 1).pad(0, 1, 2, 0.5).permute(&[1, 0]);
        let cast = x.cast(DType::Bool).cast(DType::F32).cast(DType::I64);
        let loss = (scattered * x).sum() + turned.square().sum();
        let mut all = vec![joined, picked, scattered, draws, normal, turned, cast, x.expand([2, 4, 6]).triu(1)];
        all.extend(gradients(loss, &[x]));
        all
    });
    assert_eq!(found[6].to_vec::<i64>().unwrap(), [1; 24]);
}

/// A cell in a loop that runs as a script, with products ahead of it, in it and after it, and its second derivative.
#[test]
fn scripts() {
    for reverse in [false, true] {
        values(|tape| {
            let (x, w, u) = (tape.var(data(&[4, 2, 3], 1)), tape.var(data(&[3, 8], 2)), tape.var(data(&[2, 8], 3)));
            let zeros = tape.constant(data(&[2, 2], 4));
            let options = ScanOptions { reverse, ..Default::default() };
            let ((h, c), ys) = tape.scan_with(options, (zeros, zeros), x, |(h, c), x| {
                let [i, f, g, o] = (x.matmul(w) + h.matmul(u)).chunk();
                let c = f.sigmoid() * c + i.sigmoid() * g.tanh();
                let h = o.sigmoid() * c.tanh();
                ((h, c), h)
            });
            let loss = ys.square().sum() + (h * c).sum();
            let mut all = gradients(loss, &[x, w, u]);
            all.push(all[2].square().sum().grad([u])[0]);
            all.push(loss.jvp([(w, w.sin())]));
            all
        });
    }
}

/// Loops that cannot be scripts: with indices, draws, batches, loops in them; without steps.
#[test]
fn general_loops() {
    let found = values(|tape| {
        let x = tape.var(data(&[3, 2, 2], 1));
        let key = tape.constant(3i64);
        let (last, ys) = tape.scan((tape.var(data(&[2, 2], 2)), tape.constant(0i64)), x, |(s, t), row| {
            let (_, inner) = tape.scan(s.get(0, 0), row, |p, v| ((p * v).sin() + v, p));
            let noise = tape.uniform(key.fold_in(t), [2, 2], DType::F64);
            let picked = row.index_select(0, (t - t).reshape([1]).expand([2]));
            let s = (s * 0.5 + inner * picked + noise * 0.1).tanh();
            let batch = s.unsqueeze(0).expand([2, 2, 2]).matmul(row);
            ((s, t + 1), (batch, s.prod_axes(0)))
        });
        let empty = tape.scan_with(ScanOptions::default().length(0), x.get(0, 0), (), |s, ()| (s * 2, s.sum()));
        let loss = last.0.sum() + ys.0.square().sum() + ys.1.sum() + empty.0.sum();
        let [gradient] = loss.grad([x]);
        let mut all = vec![last.0, ys.0, ys.1, empty.0, empty.1, gradient, loss.jvp([(x, x)])];
        if !cfg!(miri) {
            all.extend(gradients((gradient * gradient).sum(), &[x]));
        }
        all
    });
    assert_eq!(found[4].numel(), 0);
}

/// An index that leads outside ends the program, and leaves nothing behind that a later one stumbles over.
#[test]
fn a_program_that_fails() {
    let tape = Tape::new();
    let x = tape.var(data(&[3], 1));
    let index = tape.constant(Tensor::from_slice(&[0i64, 7], [2]).unwrap());
    assert!((x * 2).index_select(0, index).value().is_err());
    assert_eq!(((x * 2).sum() / x.sum()).item().unwrap(), 2.0);
}

/// Views of leaves and results, buffers that come back, values that stay when their tape goes.
#[test]
fn buffers() {
    let kept = {
        let tape = Tape::new();
        let x = tape.constant(data(&[4, 3], 1).transpose(0, 1).unwrap().narrow(1, 1, 2).unwrap());
        let y = (x + 1).keep();
        let z = y.t().narrow(0, 1, 1).value().unwrap();
        assert_eq!(z.shape()[..], [1, 3]);
        (y * y).value().unwrap()
    };
    for _ in 0..3 {
        let tape = Tape::new();
        let y = (tape.constant(&kept) * 2).value().unwrap();
        assert_eq!(y.shape()[..], [3, 2]);
    }
    assert_eq!(kept.numel(), 6);
}

/// An update in the memory of what it replaces: results that are written at once, and some that wait for the end of a tile.
#[test]
fn updates() {
    fn update<'t>(p: Var<'t>, m: Var<'t>) -> [Var<'t>; 2] {
        let m = m * 0.9 + p.square();
        [p - m * 0.1, m]
    }
    let (mut p, mut m) = (data(&[2, 260], 1), data(&[2, 260], 2));
    let apart = Tape::inference();
    let (x, y) = (apart.constant(data(&[2, 260], 1)), apart.constant(data(&[2, 260], 2)));
    let wanted = apart.eval_all(&update(x, y)).unwrap();
    let address = |tensor: &Tensor| tensor.as_slice::<f64>().unwrap().as_ptr();
    let before = [address(&p), address(&m)];
    let tape = Tape::inference();
    let last = tape.last(&update(tape.constant(&p), tape.constant(&m))).unwrap();
    tape.replace(&last, &mut [Place::Tensor(&mut p), Place::Tensor(&mut m)]).unwrap();
    assert!(p.bit_eq(&wanted[0]) && m.bit_eq(&wanted[1]));
    assert_eq!([address(&p), address(&m)], before, "in place");
}
