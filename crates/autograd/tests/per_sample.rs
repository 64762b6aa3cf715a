//! Gradients by sample: a map over the samples with the gradient inside, against one tape for each sample.

use wengert_autograd::{Param, Tape, Tensor, Var};

fn data(shape: &[usize], seed: usize) -> Tensor {
    let n: usize = shape.iter().product();
    let values: Vec<f64> = (0..n).map(|i| (((i + 1) * (seed * 7 + 13)) % 97) as f64 / 97.0 - 0.5).collect();
    Tensor::from_vec(values, shape).unwrap()
}

/// The loss of one sequence `[T, I]`, run by a recurrent network.
fn loss<'t>(x: Var<'t>, y: Var<'t>, w: &Param, u: &Param) -> Var<'t> {
    let tape = x.tape();
    let (h, _) = tape.scan(tape.constant(data(&[1, 4], 9)), x, |h, x| {
        let h = tape.checkpoint(|| (x.unsqueeze(0).matmul(w) + h.matmul(u)).tanh());
        (h, ())
    });
    (h.sum() - y).square()
}

#[test]
fn a_map_over_samples_gives_each_sample_s_gradients() {
    let (w, u) = (Param::new(data(&[3, 4], 1)), Param::new(data(&[4, 4], 2)));
    let (xs, ys) = (data(&[5, 6, 3], 3), data(&[5], 4));
    let tape = Tape::new();
    let (x, y) = (tape.constant(&xs), tape.constant(&ys));
    let ([gw, gu], products) = tape.map((x, y), |(x, y)| {
        let loss = loss(x, y, &w, &u);
        // Second derivatives by sample as well.
        (loss.grad([&w, &u]), loss.hvp(&w, tape.constant(data(&[3, 4], 7))))
    });
    assert_eq!(gw.shape().unwrap()[..], [5, 3, 4]);
    let [gw, gu, products] = [gw, gu, products].map(|g| g.value().unwrap());
    for i in 0..5 {
        let tape = Tape::new();
        let one = |all: &Tensor, shape: &[usize]| tape.constant(all.narrow(0, i, 1).unwrap().reshape(shape).unwrap());
        let loss = loss(one(&xs, &[6, 3]), one(&ys, &[]), &w, &u);
        let [a, b] = loss.grad([&w, &u]);
        let c = loss.hvp(&w, tape.constant(data(&[3, 4], 7)));
        for (all, alone) in [(&gw, a), (&gu, b), (&products, c)] {
            let (found, wanted) = (all.narrow(0, i, 1).unwrap().to_f64_vec(), alone.value().unwrap().to_f64_vec());
            found.iter().zip(&wanted).for_each(|(a, b)| assert!((a - b).abs() < 1e-13, "sample {i}: {a} {b}"));
        }
    }
}
