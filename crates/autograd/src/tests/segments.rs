//! Checkpointed scans have the bits of all values that they have without checkpoints.

use super::support::{Rng, WIDE, assert_equal, same_bits, sampled};
use crate::program::arena_bytes;
use crate::{Checkpoint, DType, Param, ScanOptions, Tape, Tensor, Var, set_threads};

/// A loss through a scan, of what is differentiated.
type Case = dyn for<'t> Fn(&[Var<'t>], ScanOptions) -> Var<'t>;

/// The values asked of a case: the loss, its gradients, and those of a function of the gradients if `second`.
fn asked<'t>(f: &Case, inputs: &[Var<'t>], options: ScanOptions, second: bool) -> Vec<Var<'t>> {
    let loss = f(inputs, options);
    let first = loss.grad(inputs);
    let mut all = vec![loss];
    all.extend(&first);
    if second {
        let score = first.iter().fold(loss, |sum, g| sum + g.square().sum());
        all.extend(score.grad_or_none(inputs).into_iter().flatten());
    }
    all
}

/// The same bits with checkpoints as without, node by node and optimised; whether the program is another one.
fn agrees(f: &Case, data: &[Tensor], checkpoints: &[Checkpoint], what: &str) -> Vec<bool> {
    let run = |checkpoint: Checkpoint, second: bool| {
        let tape = Tape::new();
        let inputs: Vec<Var<'_>> = data.iter().map(|x| tape.var(x)).collect();
        let all = asked(f, &inputs, ScanOptions::default().checkpoint(checkpoint), second);
        let values = same_bits(&tape, &all, &format!("{what}, {checkpoint:?}"));
        (values, arena_bytes(&tape, &all.iter().map(|v| v.id).collect::<Vec<_>>()))
    };
    let mut other = Vec::new();
    for second in [false, true] {
        let (wanted, plain) = run(Checkpoint::None, second);
        for checkpoint in checkpoints {
            let (found, bytes) = run(*checkpoint, second);
            assert_eq!(found.len(), wanted.len());
            for (i, (a, b)) in found.iter().zip(&wanted).enumerate() {
                assert_equal(a, b, &format!("{what}, {checkpoint:?}: value {i} (second order: {second})"));
            }
            if !second {
                other.push(bytes != plain);
            }
        }
    }
    other
}

/// A recurrent layer with a carry of two components, one of which adds up a loss.
fn layer<'t>(v: &[Var<'t>], options: ScanOptions) -> Var<'t> {
    let [h, xs, w, u, b] = v else { unreachable!("five inputs") };
    let tape = h.tape();
    let zero = tape.literal(0.0, h.dtype().unwrap()).expand(crate::Shape::from([h.dims::<2>().unwrap()[0]]));
    let ((h, sum), ()) = tape.scan_with(options, (*h, zero), *xs, |(h, sum), x| {
        let z = x.matmul(*w) + h.matmul(*u) + *b;
        let h = z.tanh() * 0.9 + h * 0.1;
        ((h, sum + (h.square() * x.sum_keep(-1)).sum_axes(-1)), ())
    });
    sum.sum() + h.sin().sum()
}

fn layer_data(steps: usize, rows: usize, dtype: DType) -> Vec<Tensor> {
    let rng = &mut Rng::new(7);
    [vec![rows, 4], vec![steps, rows, 2], vec![2, 4], vec![4, 4], vec![4]]
        .map(|shape| sampled(shape, dtype, &WIDE, rng))
        .into()
}

#[test]
fn segments_have_the_bits_of_a_plain_scan() {
    for (steps, rows, dtype) in [(40, 64, DType::F32), (43, 64, DType::F64), (1100, 1, DType::F32)] {
        let data = layer_data(steps, rows, dtype);
        for reverse in [false, true] {
            let all = [1, 8, 20, steps].map(Checkpoint::Every);
            let what = format!("{steps} steps of {rows} rows, {dtype}, reverse {reverse}");
            let other = agrees(&move |v, o| layer(v, ScanOptions { reverse, ..o }), &data, &all, &what);
            // One sequence is cut after 512 steps, 64 after 8; in one segment it is the plain program.
            assert_eq!(other, [true, true, true, false], "{what}");
        }
    }
}

#[test]
fn a_run_that_is_watched_has_the_bits_of_another() {
    let data = layer_data(43, 64, DType::F32);
    let values = |tape: &Tape| {
        let inputs: Vec<Var<'_>> = data.iter().map(|x| tape.var(x)).collect();
        let options = ScanOptions::default().checkpoint(Checkpoint::Every(8));
        let all = asked(&|v, o| layer(v, o), &inputs, options, false);
        // The program is listed as it is planned, too.
        assert!(!tape.program(&all).unwrap().to_string().is_empty());
        tape.eval_all(&all).unwrap()
    };
    for (i, (a, b)) in values(&Tape::new().profiled()).iter().zip(&values(&Tape::new())).enumerate() {
        assert_equal(a, b, &format!("value {i}"));
    }
}

#[test]
fn budgets_have_the_bits_of_a_plain_scan() {
    let data = layer_data(300, 64, DType::F32);
    let budgets = [0, 40_000, 60_000, 100_000, 200_000, 400_000, 1 << 30].map(Checkpoint::Budget);
    let other = agrees(&|v, o| layer(v, o), &data, &budgets, "budgets");
    assert_eq!(other, [true, true, true, true, true, true, false]);
    agrees(&|v, o| layer(v, o.reversed()), &data, &budgets, "budgets, reversed");
}

#[test]
fn outputs_captures_and_loops_inside_have_the_bits_of_a_plain_scan() {
    // Outputs read outside, by themselves and at single steps; the input's gradient; a captured scale and a captured number.
    fn outputs<'t>(v: &[Var<'t>], options: ScanOptions) -> Var<'t> {
        let [h, xs, w, scale, number] = v else { unreachable!("five inputs") };
        let (last, (ys, zs)) = h.tape().scan_with(options, *h, *xs, |h, x| {
            let y = (h.matmul(*w) + x).tanh();
            (y * *scale, (y, (y * x).sin() * *number))
        });
        ys.square().mean() + zs.narrow(0, 1, 2).square().sum() + last.sum()
    }
    let rng = &mut Rng::new(3);
    let data = |steps: usize, rows: usize, rng: &mut Rng| -> Vec<Tensor> {
        [vec![rows, 3], vec![steps, rows, 3], vec![3, 3], vec![3], vec![]]
            .map(|shape| sampled(shape, DType::F32, &WIDE, rng))
            .into()
    };
    let all = [Checkpoint::Every(64), Checkpoint::Every(100), Checkpoint::Budget(0)];
    for steps in [256, 1300] {
        let other = agrees(&|v, o| outputs(v, o), &data(steps, 8, rng), &all, "outputs");
        assert!(steps < 1000 || other == [true; 3], "{other:?}");
        agrees(&|v, o| outputs(v, o.reversed()), &data(steps, 8, rng), &all, "outputs, reversed");
    }
    // Checkpointed loops in checkpointed loops, and in the body of a derivative.
    fn nested<'t>(v: &[Var<'t>], options: ScanOptions) -> Var<'t> {
        let [h, xs, w, scale, number] = v else { unreachable!("five inputs") };
        let tape = h.tape();
        let (last, ys) = tape.scan_with(options, *h, *xs, |h, x| {
            let inner = tape.checkpoint(|| {
                let (inner, _) =
                    tape.scan_with(options.reversed(), h, *xs, |g, z| ((g.matmul(*w) * *scale + z * x).tanh(), ()));
                let [step] = (inner.sin() * *number).sum().grad([h]);
                inner - step * 0.1
            });
            (inner, inner.sum())
        });
        last.square().sum() + ys.sum()
    }
    let all = [Checkpoint::Every(1), Checkpoint::Budget(0)];
    agrees(&|v, o| nested(v, o), &data(70, 16, rng), &all, "nested");
}

#[test]
fn two_layers_and_two_threads_have_the_bits_of_a_plain_scan() {
    fn layers<'t>(v: &[Var<'t>], options: ScanOptions) -> Var<'t> {
        let [h, xs, w, u, b] = v else { unreachable!("five inputs") };
        let run = |xs: Var<'t>, w: Var<'t>| {
            h.tape().scan_with(options, *h, xs, |h, x| {
                let h = (x.matmul(w) + h.matmul(*u) + *b).tanh();
                (h, h)
            })
        };
        let (_, ys) = run(*xs, *w);
        let (last, ys) = run(ys, *u);
        ys.square().sum() + last.sum()
    }
    let rng = &mut Rng::new(5);
    let data = [vec![64, 24], vec![45, 64, 8], vec![8, 24], vec![24, 24], vec![24]]
        .map(|shape| sampled(shape, DType::F32, &WIDE, rng));
    let values = |threads: usize, checkpoint: Checkpoint| {
        set_threads(threads);
        let tape = Tape::new();
        let inputs: Vec<Var<'_>> = data.iter().map(|x| tape.var(x)).collect();
        let all = asked(&|v, o| layers(v, o), &inputs, ScanOptions::default().checkpoint(checkpoint), false);
        let values = same_bits(&tape, &all, "two layers");
        set_threads(1);
        values
    };
    let wanted = values(1, Checkpoint::None);
    for threads in [1, 2, 3] {
        for checkpoint in [Checkpoint::None, Checkpoint::Every(16), Checkpoint::Budget(100_000)] {
            for (a, b) in values(threads, checkpoint).iter().zip(&wanted) {
                assert_equal(a, b, &format!("{threads} threads, {checkpoint:?}"));
            }
        }
    }
}

#[test]
fn sums_of_other_directions_and_origins_have_the_bits_of_a_plain_scan() {
    let rng = &mut Rng::new(13);
    let data = [vec![8, 4], vec![300, 8, 4], vec![4, 4]].map(|shape| sampled(shape, DType::F32, &WIDE, rng));
    for reverse in [false, true] {
        let run = |checkpoint: Checkpoint| {
            let tape = Tape::new();
            let [h, xs, w] = data.each_ref().map(|x| tape.var(x));
            let options = ScanOptions { reverse, checkpoint, ..Default::default() };
            let (last, ys) = tape.scan_with(options, h, xs, |h, x| {
                let h = (x + h.matmul(w)).tanh();
                (h, h.sin())
            });
            let [dx, dw] = last.sum().grad([xs, w]);
            // With an operand that is computed from the gradient, and with one that is not.
            let products =
                [dx.tanh(), xs].map(|right| ys.reshape([2400, 4]).transpose(0, 1).matmul(right.reshape([2400, 4])));
            let all = [dw, products[0], products[1], ys.sum_axes(0), dx.sum_axes(0), (ys * dx).sum_axes([0, 1])];
            same_bits(&tape, &all, &format!("{checkpoint:?}, reverse {reverse}"))
        };
        let wanted = run(Checkpoint::None);
        for checkpoint in [Checkpoint::Every(64), Checkpoint::Budget(0)] {
            for (i, (a, b)) in run(checkpoint).iter().zip(&wanted).enumerate() {
                assert_equal(a, b, &format!("{checkpoint:?}, reverse {reverse}: value {i}"));
            }
        }
    }
}

#[test]
fn a_sum_of_negative_zeros_is_one() {
    // Segments, and segments with a shorter one at the end of time, with which the sum begins or ends.
    for (steps, reverse) in [(300, false), (300, true), (256, false), (256, true)] {
        let run = |checkpoint: Checkpoint| {
            let tape = Tape::new();
            let [start, b, scale] = [0.5, 0.5, -0.0].map(|x| tape.var(Tensor::full([2], x, DType::F32)));
            let options = ScanOptions { reverse, checkpoint, ..Default::default() }.length(steps);
            let (last, ()) = tape.scan_with(options, start, (), |h, ()| (h.sin() * 0.5 + b, ()));
            let [db] = (last * scale).sum().grad([b]);
            db.value().unwrap().to_vec::<f32>().unwrap()
        };
        for checkpoint in [Checkpoint::None, Checkpoint::Every(64), Checkpoint::Every(128)] {
            let found = run(checkpoint);
            let all = found.iter().all(|x| x.to_bits() == (-0.0f32).to_bits());
            assert!(all, "{checkpoint:?} of {steps}, reverse {reverse}: {found:?}");
        }
    }
}

#[test]
fn a_product_of_vanishing_numbers_keeps_its_sign() {
    // The gradient of the weight adds numbers too small for their type: a fused multiplication and addition leaves the sign
    // of such a number, and so the sum of all blocks is -0.0.
    for (steps, reverse) in [(1300, false), (1300, true), (1024, false), (1024, true)] {
        let run = |checkpoint: Checkpoint| {
            let tape = Tape::new();
            let [start, xs, w] = [(vec![1, 2], 0.0), (vec![steps, 1, 2], 1e-30), (vec![2, 2], 0.5)]
                .map(|(shape, x)| tape.var(Tensor::full(shape, x, DType::F32)));
            let options = ScanOptions { reverse, checkpoint, ..Default::default() };
            let (last, ()) = tape.scan_with(options, start, xs, |h, x| (h.sin() + x.matmul(w), ()));
            let [dw] = (last * -1e-30).sum().grad([w]);
            dw.value().unwrap()
        };
        let wanted = run(Checkpoint::None);
        for checkpoint in [Checkpoint::Every(512), Checkpoint::Every(1024)] {
            assert_equal(&run(checkpoint), &wanted, &format!("{checkpoint:?} of {steps}, reverse {reverse}"));
        }
    }
}

#[test]
fn a_mistake_in_a_segment_names_the_step() {
    for reverse in [false, true] {
        for checkpoint in [Checkpoint::None, Checkpoint::Every(3), Checkpoint::Budget(0)] {
            for (wrong, steps) in [(7, 11), (10, 11), (4, 12)] {
                let tape = Tape::new();
                let table = tape.var(Tensor::full([5, 2], 0.1, DType::F64));
                let index = (0..steps).map(|t| if t == wrong { 9 } else { t % 5 }).collect::<Vec<i64>>();
                let index = tape.constant(Tensor::from_vec(index, [steps as usize]).unwrap());
                let start = tape.var(Tensor::full([1, 2], 0.3, DType::F64));
                let options = ScanOptions { reverse, checkpoint, ..Default::default() };
                let (last, ()) = tape.scan_with(options, start, index, |h, i| {
                    ((h * table.detach().gather(0, i.reshape([1, 1]).expand([1, 2]))).sin(), ())
                });
                let [g] = last.sum().grad([start]);
                let error = g.value().unwrap_err().to_string();
                assert!(error.contains(&format!("at step {wrong}: ")), "{checkpoint:?}: {error}");
                assert_eq!(error.matches("at step").count(), 1, "{error}");
            }
        }
    }
}

#[test]
fn captured_parameters_and_backward_have_the_bits_of_a_plain_scan() {
    let rng = &mut Rng::new(11);
    let [w, b] = [vec![4, 4], vec![4]].map(|shape| Param::new(sampled(shape, DType::F32, &WIDE, rng)));
    let xs = sampled([90, 16, 4], DType::F32, &WIDE, rng);
    let run = |checkpoint: Checkpoint| {
        let tape = Tape::new();
        let start = tape.zeros([16, 4], DType::F32);
        let options = ScanOptions::default().checkpoint(checkpoint);
        let (_, ys) = tape.scan_with(options, start, tape.constant(&xs), |h, x| {
            let h = (h.matmul(&w) + x * &b).tanh();
            (h, h.square().sum())
        });
        let gradients = ys.mean().backward().unwrap();
        [gradients.get(&w).unwrap().clone(), gradients.get(&b).unwrap().clone(), gradients.loss().clone()]
    };
    let wanted = run(Checkpoint::None);
    for checkpoint in [Checkpoint::Every(1), Checkpoint::Every(33), Checkpoint::Budget(0)] {
        for (a, b) in run(checkpoint).iter().zip(&wanted) {
            assert!(a.bit_eq(b), "{checkpoint:?}");
        }
    }
}

#[test]
fn a_mistake_on_the_way_back_names_the_step() {
    for reverse in [false, true] {
        for checkpoint in [Checkpoint::None, Checkpoint::Every(3), Checkpoint::Budget(0)] {
            // The cotangent grows from step to step until it is no index of the table.
            for (late, entries, steps) in [(1, 2, 11), (1, 2, 12), (7, 140, 11), (4, 12, 26)] {
                let tape = Tape::new();
                let start = tape.var(Tensor::full([1, 2], 0.3, DType::F64));
                let options = ScanOptions { reverse, checkpoint, ..Default::default() }.length(steps);
                let (last, ()) = tape.scan_with(options, start, (), |h, ()| {
                    let h = h * 2.1 + h.sin() * 1e-3;
                    let h = h.on_grad(move |g| {
                        let table = g.tape().constant(Tensor::full([entries, 2], 0.0, DType::F64));
                        g + table.gather(0, g.cast(DType::I64))
                    });
                    (h, ())
                });
                let [g] = last.sum().grad([start]);
                let error = g.value().unwrap_err().to_string();
                let wrong = if reverse { late } else { steps - 1 - late };
                assert!(error.contains(&format!("at step {wrong}: ")), "{checkpoint:?} of {steps}: {error}");
                assert_eq!(error.matches("at step").count(), 1, "{error}");
            }
        }
    }
}
