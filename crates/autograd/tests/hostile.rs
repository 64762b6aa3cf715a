//! Shapes and data that nobody should have: an error or a value, never a panic.

use wengert_autograd::{DType, ErrorKind, ScanOptions, Tape, Tensor, Var};

const MAX: usize = usize::MAX;

fn data(shape: &[usize]) -> Tensor {
    let n: usize = shape.iter().product();
    Tensor::from_vec((0..n).map(|i| (i as f64 * 0.7).sin()).collect(), shape).unwrap()
}

/// The value is computed, or refused with an error that has an address.
#[track_caller]
fn answered(v: Var<'_>) {
    if let Err(error) = v.value() {
        assert!(error.location().is_some(), "{error}");
    }
}

#[track_caller]
fn refused(v: Var<'_>, kind: ErrorKind) {
    let error = v.value().expect_err("a mistake");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains("hostile.rs"), "{error}");
}

#[test]
fn shapes_larger_than_memory() {
    let tape = Tape::new();
    let x = tape.var(data(&[2, 3]));
    for shape in
        [vec![MAX, MAX], vec![MAX, 2, 3], vec![1 << 40, 1 << 40, 2, 3], vec![1 << 62, 2, 3], vec![1 << 60, 2, 3]]
    {
        refused(x.expand(&shape[..]), ErrorKind::Shape);
        refused(tape.zeros(&shape[..], DType::F32), ErrorKind::Shape);
        refused(tape.full(&shape[..], 0.5, DType::Bool), ErrorKind::Shape);
        refused(x.reshape(&shape[..]), ErrorKind::Shape);
    }
    refused(x.reshape([MAX, 0]), ErrorKind::Shape);
    let empty = tape.var(data(&[0, 3]));
    answered(empty.reshape([0, MAX]));
    answered(empty.reshape([MAX, 0]).sum_axes(1));
    answered(empty.expand([MAX, 0, 3]));
    let half = tape.zeros([1 << 59, 1], DType::F32);
    refused(half + half.t(), ErrorKind::Shape);
    refused(half.matmul(half.t()), ErrorKind::Shape);
    refused(tape.concat(&[half, half, half, half], 0), ErrorKind::Shape);
    refused(tape.stack(&vec![half; 32], 0), ErrorKind::Shape);
    refused(tape.scan_with(ScanOptions::default().length(MAX), x, (), |x, ()| (x, x)).1, ErrorKind::Shape);
    refused(
        tape.scan_with(ScanOptions::default().length(1 << 61), x, (), |x, ()| (x * 2.0, x + x)).1,
        ErrorKind::Shape,
    );
    refused(x.pad(0, MAX, MAX, 1.0), ErrorKind::Shape);
    refused(x.repeat(&[MAX, MAX]), ErrorKind::Shape);
    refused(x.repeat(&[1 << 40, 1 << 40, 1, 1]), ErrorKind::Shape);
    refused(x.split(0, &[MAX, MAX])[1], ErrorKind::Shape);
    refused(half.flip(0), ErrorKind::Shape);
    refused(half.argmax(0), ErrorKind::Shape);
    refused(half.tril(0), ErrorKind::Shape);
    refused(half.unbind(0)[0], ErrorKind::Shape);
    refused(tape.constant(1i64).one_hot(MAX, DType::F32), ErrorKind::Shape);
    for by in [isize::MIN, -1, isize::MAX] {
        answered(x.roll(0, by));
        answered(x.triu(by) + x.tril(by));
        answered(empty.roll(1, by).triu(by));
    }
    refused(x.narrow(0, MAX, MAX), ErrorKind::Shape);
    refused(x.get(1, MAX), ErrorKind::Shape);
    refused(x.permute(&[MAX, 0]), ErrorKind::Shape);
}

#[test]
fn axes_far_away() {
    let tape = Tape::new();
    for x in [tape.var(data(&[2, 3])), tape.var(1.0f64), tape.var(data(&[0]))] {
        for axis in [isize::MIN, isize::MIN + 1, -100, 100, isize::MAX] {
            refused(x.sum_axes(axis), ErrorKind::Shape);
            refused(x.transpose(axis, 0), ErrorKind::Shape);
            refused(x.unsqueeze(axis), ErrorKind::Shape);
            refused(x.squeeze(axis), ErrorKind::Shape);
            refused(x.narrow(axis, 0, 1), ErrorKind::Shape);
            refused(x.concat([x], axis), ErrorKind::Shape);
            refused(tape.stack(&[x, x], axis), ErrorKind::Shape);
            refused(x.gather(axis, x.cast(DType::I64)), ErrorKind::Shape);
            refused(x.index_select(axis, &Tensor::zeros([1], DType::I64)), ErrorKind::Shape);
            refused(x.softmax(axis), ErrorKind::Shape);
            for y in
                [x.prod_axes(axis), x.sum_keep(axis), x.logsumexp([axis]), x.norm(&[axis][..]), x.var_axes(axis, 1)]
            {
                refused(y, ErrorKind::Shape);
            }
            for y in [x.cumsum(axis), x.cumprod(axis), x.argmax(axis), x.argmin(axis), x.cosine_similarity(x, axis)] {
                refused(y, ErrorKind::Shape);
            }
            for y in [x.pad(axis, 1, 0, 0.0), x.flip(axis), x.roll(axis, 1), x.split(axis, &[1])[0], x.unbind(axis)[0]]
            {
                refused(y, ErrorKind::Shape);
            }
            let [a, _] = x.chunk_axis(axis);
            refused(a, ErrorKind::Shape);
        }
    }
    let none: [Var<'_>; 0] = tape.var(data(&[4])).chunk();
    assert!(none.is_empty());
}

#[test]
fn scalars_everywhere() {
    let tape = Tape::new();
    let x = tape.var(0.5f64);
    for y in [x.sum(), x.mean(), x.max_axes(()), x.reshape([]), x.permute(&[]), x.expand([]), x.detach(), x * 2.0] {
        assert!(y.item().is_ok());
        let [g] = y.square().grad_or_none([x]);
        g.map(answered);
    }
    refused(x.t(), ErrorKind::Shape);
    refused(x.get(0, 0), ErrorKind::Shape);
    refused(tape.scan((), x, |(), x| ((), x)).1, ErrorKind::Shape);
}

#[test]
fn many_axes() {
    for rank in [8usize, 12, 13, 20, 64, 65, 300] {
        let tape = Tape::new();
        let dims: Vec<usize> = (0..rank).map(|axis| if axis % (rank / 7).max(1) == 0 { 2 } else { 1 }).collect();
        if dims.iter().product::<usize>() > 1 << 16 {
            continue;
        }
        let x = tape.var(data(&dims));
        let order: Vec<usize> = (0..rank).rev().collect();
        let y = x.permute(&order);
        answered(y);
        answered(y + x.expand(&dims[..]).tanh());
        answered(y.sum_axes(0));
        answered(y.reshape([dims.iter().product()]));
        answered(x.unsqueeze(-1).matmul(x.unsqueeze(-2)));
        answered(x.concat([y.permute(&order)], 1));
        let [g] = (y * y).sum().grad([x]);
        answered(g);
        // All axes wide, none of which merge.
        let twos = vec![2; rank.min(14)];
        let z = tape.var(data(&twos)).permute(&(0..twos.len()).rev().collect::<Vec<_>>());
        answered(z + tape.var(data(&twos)));
        answered(z.tanh());
        answered(z.reshape([1 << twos.len()]));
        answered(z.sum_axes([0, 2, 4]));
        answered(z.softmax(3));
        answered(z.prod_axes([0, 2, 4]));
        answered(z.logsumexp([0, 2, 4]) + z.flip(3).cumsum(1).var_axes([0, 2, 4], 1));
    }
}

#[test]
fn nothing_anywhere() {
    let tape = Tape::new();
    for shape in [vec![0], vec![0, 3], vec![3, 0], vec![2, 0, 3], vec![0, 0]] {
        let x = tape.var(Tensor::zeros(&shape[..], DType::F64));
        let index = Tensor::zeros(&shape[..], DType::I64);
        let mut all = vec![
            x.tanh() * 2.0 + x,
            x.sum(),
            x.mean(),
            x.sum_axes(0),
            x.sum_axes(-1),
            x.t_or_same(),
            x.reshape([0]),
            x.unsqueeze(0).expand([&[4][..], &shape[..]].concat()),
            x.concat([x, x.tanh()], 0),
            x.gather(0, &index),
            x.scatter_add(0, &index, x),
            x.cast(DType::Bool).cast(DType::F64),
            tape.scan(x.sum(), x, |s, x| (s + x.sum(), x * s)).0,
            tape.scan(x, x.unsqueeze(0), |s, x| (s * x, s)).1,
        ];
        if shape.len() >= 2 {
            all.push(x.matmul(x.t()));
            all.push(x.t().matmul(x));
        }
        for (i, y) in all.into_iter().enumerate() {
            answered(y);
            if y.shape().is_err() {
                continue;
            }
            if let [Some(g)] = y.square().sum().grad_or_none([x]) {
                assert!(g.value().is_ok(), "{i}: {:?}", g.value());
            }
        }
    }
    assert!(tape.error().is_none(), "{:?}", tape.error());
    assert_eq!(tape.arange(0).value().unwrap().numel(), 0);
    // Its maximum has nothing to choose from.
    answered(tape.var(Tensor::zeros([2, 0], DType::F64)).softmax(-1));
}

trait Extra {
    fn t_or_same(self) -> Self;
}
impl Extra for Var<'_> {
    fn t_or_same(self) -> Self {
        if self.shape().unwrap().rank() >= 2 { self.t() } else { self }
    }
}

#[test]
fn strange_loops() {
    for length in [0usize, 1, 2, 3] {
        for reverse in [false, true] {
            let tape = Tape::new();
            let options = ScanOptions { reverse, length: Some(length), ..Default::default() };
            let (a, b) = (tape.var(data(&[2])), tape.var(data(&[2])));
            let w = tape.var(data(&[2]));
            let xs = tape.var(data(&[length, 2]));
            let close = |found: Var<'_>, wanted: Var<'_>, what: &str| {
                let (f, w) = (found.value().unwrap(), wanted.value().unwrap());
                assert_eq!(f.shape(), w.shape(), "{what}, {length} steps, reverse {reverse}");
                assert_eq!(f.to_f64_vec(), w.to_f64_vec(), "{what}, {length} steps, reverse {reverse}");
            };
            let rows = |v: Var<'_>| v.expand([length, 2]).value().unwrap().to_f64_vec();

            // Carries exchanged.
            let ((p, q), ys) = tape.scan_with(options, (a, b * 2.0), (), |(p, q), ()| ((q, p), (p, q)));
            let (even, odd) = (a, b * 2.0);
            close(p, if length % 2 == 0 { even } else { odd }, "exchange");
            close(q, if length % 2 == 0 { odd } else { even }, "exchange");
            let loss = (p * w).sum() + (ys.0 * ys.1).sum();
            loss.grad_or_none([a, b, w]).into_iter().flatten().for_each(|g| assert!(g.value().is_ok()));

            // A carry returned unchanged, an output that is a carry, an unused x.
            let (same, ys) = tape.scan_with(options, a, xs, |s, _| (s, s));
            close(same, a, "unchanged");
            assert_eq!(ys.value().unwrap().to_f64_vec(), rows(a));
            let [g] = ((same * w).sum() + ys.sum()).grad([a]);
            close(g, w + length as f64, "the gradient of an unchanged carry");

            // The next carry is an outer value; outputs are outer values, inputs, the same value twice.
            let (last, (y1, y2, y3, y4)) = tape.scan_with(options, a, xs, |s, x| (w, (w, x, x, s * x)));
            close(last, if length == 0 { a } else { w }, "an outer value as carry");
            assert_eq!(y1.value().unwrap().to_f64_vec(), rows(w));
            close(y2, xs, "an input as output");
            close(y3, xs, "an input as output, again");
            let loss = last.square().sum() + y1.sum() + y2.square().sum() + y4.sum();
            for g in loss.grad_or_none([a, w, xs]).into_iter().flatten() {
                assert!(g.value().is_ok());
            }

            // One node as two carries and an output; the item as carry.
            let ((p, q, r), y) = tape.scan_with(options, (a, a, b), xs, |(p, q, r), x| {
                let next = p * x + q + r;
                ((next, next, x), next)
            });
            let (mut s, mut t, mut r2) = (a, a, b);
            for step in 0..length {
                let x = xs.get(0, if reverse { length - 1 - step } else { step });
                let next = s * x + t + r2;
                (s, t, r2) = (next, next, x);
            }
            close(p, s, "one node as two carries");
            close(q, t, "one node as two carries");
            close(r, r2, "an item as carry");
            let g = (p.sum() + q.square().sum() + r.sum() + y.sum()).grad_or_none([a, b, xs]);
            g.into_iter().flatten().for_each(|g| assert!(g.value().is_ok()));

            // No carry, no item, no output; a body that computes nothing of its own.
            let ((), ()) = tape.scan_with(options, (), (), |(), ()| ((), ()));
            let ((), y) = tape.scan_with(options, (), (), |(), ()| ((), w.tanh()));
            assert_eq!(y.value().unwrap().shape().to_vec(), [length, 2]);
            let ((), y) = tape.scan_with(options, (), (), |(), ()| ((), tape.constant(1.0f64)));
            assert_eq!(y.value().unwrap().to_f64_vec(), vec![1.0; length]);

            // A loop in a loop in a loop over the same values, with integers and truth as carries.
            let ((n, flag), y) =
                tape.scan_with(options, (tape.constant(0i64), tape.constant(false)), (), |(n, f), ()| {
                    let ((m, _), z) = tape.scan_with(options, (n, f), xs, |(m, f), x| {
                        let (k, _) = tape.scan_with(options, x, xs, |s, x| (s + x * w, ()));
                        ((m + 1, f.not()), k.sum())
                    });
                    ((m, f.not()), z)
                });
            assert_eq!(n.item().unwrap() as usize, length * length);
            assert_eq!(flag.item().unwrap(), (length % 2) as f64);
            assert_eq!(y.value().unwrap().shape().to_vec(), [length, length]);
            let [g] = y.square().sum().grad([w]);
            assert!(g.value().is_ok());
            assert!(tape.error().is_none(), "{:?}", tape.error());
        }
    }
}

#[test]
fn strange_numbers_as_indices() {
    let tape = Tape::new();
    let x = tape.var(data(&[3, 2]));
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -0.0, i64::MAX as f64] {
        answered(x.index_select(0, tape.constant(value).cast(DType::I64).reshape([1])));
    }
    for index in [i64::MIN, -1, 3, i64::MAX] {
        refused(x.index_select(0, &Tensor::from_slice(&[index], [1]).unwrap()), ErrorKind::Index);
        let at = Tensor::from_slice(&[index], [1, 1]).unwrap();
        refused(x.scatter_add(1, &at, &data(&[1, 1])), ErrorKind::Index);
    }
}

#[test]
fn tensors_refuse_what_they_cannot_hold() {
    assert!(Tensor::from_vec(vec![1.0f32], [MAX, MAX]).is_err());
    assert!(data(&[2]).reshape([MAX, 2]).is_err());
    assert!(data(&[0]).reshape([MAX, 0]).is_ok_and(|t| t.contiguous().numel() == 0));
    assert!(data(&[2]).narrow(0, MAX, 1).is_err());
    assert!(data(&[2]).permute(&[MAX]).is_err());
    assert!(data(&[2]).transpose(MAX, 0).is_err());
    assert!(data(&[2, 0]).item().is_err());
    let _ = format!("{:?} {:?}", data(&[0]), data(&[2, 0, 3]));
}

/// A closure that panics leaves the tape usable.
#[test]
fn a_panic_in_a_body_leaves_the_tape_whole() {
    let tape = Tape::new();
    let x = tape.var(data(&[3]));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        tape.scan((), x, |(), x| {
            let _ = x + 1.0;
            if x.shape().is_ok() {
                panic!("on purpose");
            }
            ((), x)
        })
    }));
    assert!(panicked.is_err());
    let (s, _) = tape.scan(tape.constant(0.0f64), x, |s, x| (s + x, ()));
    assert!((s.item().unwrap() - x.sum().item().unwrap()).abs() < 1e-15);
    let [g] = s.grad([x]);
    assert_eq!(g.value().unwrap().to_f64_vec(), [1.0; 3]);
}
