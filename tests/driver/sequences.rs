//! Sequences of a batch against the same sequences alone: lengths, resets, directions, layouts.

use super::support::{close, data};
use super::{Counting, H, I, randomise};
use rand::{SeedableRng, rngs::StdRng};
use wengert::check::{GradientOptions, assert_gradients, floats};
use wengert::nn::{self, Layer};
use wengert::prelude::*;

const T: usize = 5;
const B: usize = 4;
const LENGTHS: [usize; B] = [3, 5, 0, 1];

fn rng() -> StdRng {
    StdRng::seed_from_u64(1)
}

/// What is done with each net.
trait Visit {
    fn net<L: Layer>(&mut self, name: &str, net: Rnn<L>);
}

/// Nets of all kinds, F64.
fn nets(visit: &mut impl Visit) {
    fn visited<L: Layer>(visit: &mut impl Visit, name: &str, net: Rnn<L>) {
        randomise(&net, 1);
        visit.net(name, net);
    }
    let rng = &mut rng();
    visited(visit, "LSTM", Rnn::stack(2, I, |_, input| LstmCell::new(input, H, rng)));
    visited(visit, "residual GRU", Rnn::stack(3, H, |_, input| GruCell::new(input, H, rng)).residual());
    visited(visit, "skips", Rnn::stack_with_skips(2, I, |_, input| LstmCell::new(input, H, rng)));
    visited(visit, "both directions", Rnn::bidirectional(2, I, |_, input| LstmCell::new(input, H, rng)));
    visited(
        visit,
        "projected",
        Rnn::bidirectional(2, I, |_, input| Projected::new(PeepholeLstmCell::new(input, H, rng), 2, rng)),
    );
    visited(visit, "learned states", Rnn::bidirectional(1, I, |_, input| Learned::new(GruCell::new(input, H, rng))));
    visited(visit, "integer state", Rnn::bidirectional(2, I, |_, input| Counting::new(input)));
    visited(visit, "matrix state", Rnn::stack(1, I, |_, input| nn::MLstmCell::new(input, H, rng)));
    visited(visit, "scaled state", Rnn::stack(2, I, |_, input| nn::SLstmCell::new(input, H, rng)));
    visited(visit, "zoneout", Rnn::stack(2, I, |_, input| Zoneout::new(LstmCell::new(input, H, rng), [0.2, 0.4])));
}

/// The size of a net's input: that of the first product of its first layer.
fn input<L: Layer>(net: &Rnn<L>) -> usize {
    net.params()[0].1.value().shape()[0]
}

/// A part of one sequence, and what it gave: outputs and the leaves of the last states.
struct Part {
    y: Tensor,
    last: Vec<Tensor>,
    gradients: Vec<(Param, Tensor)>,
    /// The gradient by the input.
    x: Tensor,
}

/// A part of a sequence on its own, with a loss of its outputs and of its last state.
fn alone<L: Layer>(net: &Rnn<L>, x: &Tensor, row: usize, steps: std::ops::Range<usize>) -> Result<Part> {
    let tape = Tape::new();
    let cx = Cx::eval(&tape);
    let x = tape.var(x.narrow(0, steps.start, steps.len())?.narrow(1, row, 1)?);
    let (y, last) = net.forward(&cx, x);
    let last: Vec<Var<'_>> = last.iter().flat_map(|state| state.leaves()).collect();
    let mut loss = weighed(y, steps.start, row);
    for v in &last {
        if v.dtype()?.is_float() {
            loss = loss + v.square().sum() * 0.3;
        }
    }
    let found = loss.backward()?;
    let gradients = net.params().into_iter().filter_map(|(_, param)| Some((param.clone(), found.get(&param)?.clone())));
    let dx = found.wrt(x).cloned().unwrap_or_else(|| Tensor::zeros(x.shape().unwrap(), DType::F64));
    let gradients = gradients.collect();
    Ok(Part { y: y.value()?, last: tape.eval_all(&last)?, gradients, x: dx })
}

/// A weighed sum of outputs `[T, B, O]`, with weights for every step and row.
fn weighed<'t>(y: Var<'t>, start: usize, row: usize) -> Var<'t> {
    let [steps, batch, size] = y.dims().expect("three axes");
    let weight = |t: usize, b: usize, o: usize| (1.1 * t as f64 + 2.3 * b as f64 + 0.7 * o as f64).sin();
    let weights: Vec<f64> = (0..steps * batch * size)
        .map(|i| weight(start + i / (batch * size), row + i / size % batch, i % size))
        .collect();
    (y * &Tensor::from_vec(weights, [steps, batch, size]).expect("a weight for each")).sum()
}

/// Input with NaN behind the ends.
fn padded(size: usize, lengths: &[usize]) -> Tensor {
    let x = data(&[T, B, size], 7).to_f64_vec();
    let inside = |i: usize| i / (B * size) < lengths[i / size % B];
    let x = x.into_iter().enumerate().map(|(i, x)| if inside(i) { x } else { f64::NAN });
    Tensor::from_vec(x.collect::<Vec<f64>>(), [T, B, size]).expect("a value for each place")
}

/// Adds a part's gradients to a sum.
fn add(sum: &mut Vec<(Param, Tensor)>, part: &[(Param, Tensor)]) -> Result<()> {
    for (param, gradient) in part {
        let tape = Tape::inference();
        match sum.iter_mut().find(|(other, _)| other.id() == param.id()) {
            Some((_, total)) => *total = (tape.constant(&*total) + tape.constant(gradient)).value()?,
            None => sum.push((param.clone(), gradient.clone())),
        }
    }
    Ok(())
}

#[test]
fn a_batch_of_lengths_is_its_sequences_alone() -> Result<()> {
    struct Check;
    impl Visit for Check {
        fn net<L: Layer>(&mut self, name: &str, net: Rnn<L>) {
            check(name, &net).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
    fn check<L: Layer>(name: &str, net: &Rnn<L>) -> Result<()> {
        let x = padded(input(net), &LENGTHS);
        let tape = Tape::new();
        let data = tape.var(&x);
        let (y, last) = net.forward_with(&Cx::eval(&tape), data, Run::new().lengths(LENGTHS));
        let last: Vec<Var<'_>> = last.iter().flat_map(|state| state.leaves()).collect();
        let mut loss = weighed(y, 0, 0);
        for v in &last {
            if v.dtype()?.is_float() {
                loss = loss + v.square().sum() * 0.3;
            }
        }
        let found = loss.backward()?;
        let (y, dx) = (y.value()?, found.wrt(data).expect("the loss depends on it"));
        let last = tape.eval_all(&last)?;
        let mut sum = Vec::new();
        for (row, length) in LENGTHS.into_iter().enumerate() {
            let part = alone(net, &x, row, 0..length)?;
            let of = |all: &Tensor| all.narrow(0, 0, length)?.narrow(1, row, 1);
            assert!(of(&y)?.contiguous().bit_eq(&part.y), "{name}, outputs of row {row}");
            close(&of(dx)?, &part.x, 1e-12, &format!("{name}, gradient by the input of row {row}"));
            for behind in [&y, dx] {
                let behind = behind.narrow(0, length, T - length)?.narrow(1, row, 1)?;
                assert!(behind.to_f64_vec().iter().all(|v| *v == 0.0), "{name}, behind the end of row {row}");
            }
            for (leaf, (all, one)) in last.iter().zip(&part.last).enumerate() {
                assert!(all.narrow(0, row, 1)?.contiguous().bit_eq(one), "{name}, state {leaf} of row {row}");
            }
            add(&mut sum, &part.gradients)?;
        }
        for (param, wanted) in sum {
            close(found.get(&param).expect("the loss depends on it"), &wanted, 1e-11, name);
        }
        Ok(())
    }
    nets(&mut Check);
    Ok(())
}

/// Second derivatives, too, are those of the sequences alone, whatever stands behind their ends.
#[test]
fn second_derivatives_do_not_read_the_padding() -> Result<()> {
    let net = Rnn::bidirectional(2, I, |_, input| LstmCell::new(input, H, &mut rng()));
    randomise(&net, 2);
    let second = |padding: f64| -> Result<Vec<Tensor>> {
        let x = padded(I, &LENGTHS).to_f64_vec().into_iter().map(|x| if x.is_nan() { padding } else { x });
        let tape = Tape::new();
        let x = tape.var(Tensor::from_vec(x.collect::<Vec<f64>>(), [T, B, I])?);
        let (y, _) = net.forward_with(&Cx::train(&tape), x, Run::new().lengths(LENGTHS));
        let (w, u) = (&net.layers[0].backward.w, &net.layers[1].forward.u);
        let [dw] = weighed(y, 0, 0).grad([w]);
        let [dx] = dw.square().sum().grad([x]);
        let [du] = dw.square().sum().grad([u]);
        Ok(tape.eval([dw, dx, du])?.to_vec())
    };
    for (a, b) in second(f64::NAN)?.iter().zip(&second(0.0)?) {
        assert!(a.bit_eq(b) && a.to_f64_vec().iter().all(|v| v.is_finite()));
    }
    Ok(())
}

#[test]
fn resets_cut_a_sequence_into_parts_of_their_own() -> Result<()> {
    struct Check;
    impl Visit for Check {
        fn net<L: Layer>(&mut self, name: &str, net: Rnn<L>) {
            check(name, &net).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
    // Where sequences begin anew; the one at the first step is one of the state that is given, too.
    const RESETS: [&[usize]; B] = [&[2, 4], &[], &[0, 1, 2], &[3, 4]];
    fn check<L: Layer>(name: &str, net: &Rnn<L>) -> Result<()> {
        for lengths in [[T; B], [4, 5, 2, 4]] {
            let x = padded(input(net), &lengths);
            let mut flags = vec![0i64; T * B];
            for (row, steps) in RESETS.iter().enumerate() {
                steps.iter().for_each(|t| flags[t * B + row] = 1);
            }
            let flags = Tensor::from_vec(flags, [T, B])?;
            let tape = Tape::new();
            let data = tape.var(&x);
            let run = match lengths == [T; B] {
                true => Run::new().resets(flags.cast(DType::Bool)),
                false => Run::new().resets(&flags).lengths(lengths),
            };
            let (y, last) = net.forward_with(&Cx::eval(&tape), data, run);
            let last: Vec<Var<'_>> = last.iter().flat_map(|state| state.leaves()).collect();
            let found = weighed(y, 0, 0).backward()?;
            let (y, dx) = (y.value()?, found.wrt(data).expect("the loss depends on it"));
            let last = tape.eval_all(&last)?;
            for (row, steps) in RESETS.iter().enumerate() {
                let starts: Vec<usize> = [0].iter().chain(*steps).copied().filter(|t| *t < lengths[row]).collect();
                for (i, start) in starts.iter().enumerate() {
                    let end = starts.get(i + 1).copied().unwrap_or(lengths[row]);
                    let part = alone(net, &x, row, *start..end)?;
                    let of = |all: &Tensor| all.narrow(0, *start, end - start)?.narrow(1, row, 1);
                    assert!(of(&y)?.contiguous().bit_eq(&part.y), "{name}, outputs of row {row}, part {i}");
                    if end == lengths[row] && name == "LSTM" {
                        for (all, one) in last.iter().zip(&part.last) {
                            assert!(all.narrow(0, row, 1)?.contiguous().bit_eq(one), "{name}, state of row {row}");
                        }
                    }
                }
                // No derivative flows over a reset: that of the last part alone is that by its inputs.
                let tape = Tape::new();
                let start = *starts.last().unwrap_or(&0);
                let x = tape.var(x.narrow(0, start, lengths[row] - start)?.narrow(1, row, 1)?);
                let [wanted] = weighed(net.forward(&Cx::eval(&tape), x).0, start, row).grad([x]);
                let found = dx.narrow(0, start, lengths[row] - start)?.narrow(1, row, 1)?;
                close(&found, &wanted.value()?, 1e-12, &format!("{name}, gradient of row {row}"));
            }
        }
        Ok(())
    }
    nets(&mut Check);
    Ok(())
}

/// A given state is kept until the first reset, which sets back to the cell's own.
#[test]
fn a_reset_is_to_the_initial_state() -> Result<()> {
    let net = Rnn::new(Learned::new(ElmanCell::new(I, H, &mut rng())));
    randomise(&net, 3);
    let x = data(&[2, 1, I], 1);
    let tape = Tape::new();
    let cx = Cx::eval(&tape);
    let given = vec![tape.constant(data(&[1, H], 9))];
    let resets = Tensor::from_slice(&[0.0f64, 1.0], [2, 1])?;
    let (y, _) = net.forward_with(&cx, tape.constant(&x), Run::new().states(given.clone()).resets(&resets));
    let (first, _) = net.forward_from(&cx, tape.constant(x.narrow(0, 0, 1)?), given);
    let (second, _) = net.forward(&cx, tape.constant(x.narrow(0, 1, 1)?));
    assert!(y.value()?.bit_eq(&first.concat([second], 0).value()?));
    // In the padding nothing begins: going back, the given state is there at the sequence's end.
    let both = Rnn::bidirectional(1, I, |_, input| ElmanCell::new(input, H, &mut rng()));
    randomise(&both, 3);
    let given = vec![[1, 2].map(|seed| tape.constant(data(&[1, H], seed)))];
    let run = Run::new().states(given.clone()).resets(&resets).lengths([1]);
    let (y, _) = both.forward_with(&cx, tape.constant(&x), run);
    let (z, _) = both.forward_from(&cx, tape.constant(x.narrow(0, 0, 1)?), given);
    assert!(y.get(0, 0).value()?.bit_eq(&z.get(0, 0).value()?));
    // It is learned from both: at the start of a run, and at a reset.
    let initial = &net.layers[0].initial[0];
    let (y, _) = net.forward_with(&cx, tape.constant(&x), Run::new().resets(&resets));
    let [by_both] = y.sum().grad([initial]);
    let sum = [0, 1].map(|t| {
        let (y, _) = net.forward(&cx, tape.constant(x.narrow(0, t, 1).expect("a step")));
        y.sum().grad([initial])[0]
    });
    close(&by_both.value()?, &(sum[0] + sum[1]).value()?, 1e-14, "initial state");
    let names: Vec<String> = net.params().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["layers.0.cell.w", "layers.0.cell.u", "layers.0.cell.b", "layers.0.initial.0"]);
    Ok(())
}

/// A backward direction is the cell over the turned sequence.
#[test]
fn both_directions_are_two_nets() -> Result<()> {
    let net = Rnn::bidirectional(2, I, |_, input| GruCell::new(input, H, &mut rng()));
    randomise(&net, 4);
    let names: Vec<String> = net.params().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names[..5],
        [
            "layers.0.forward.w",
            "layers.0.forward.u",
            "layers.0.forward.b",
            "layers.0.forward.b_u",
            "layers.0.backward.w"
        ]
    );
    let tape = Tape::new();
    let cx = Cx::train(&tape);
    let x = tape.constant(data(&[T, B, I], 1));
    let (y, last) = net.forward(&cx, x);
    let mut wanted = x;
    for (layer, found) in net.layers.iter().zip(&last) {
        let (there, first) = Rnn::new(layer.forward.clone()).forward(&cx, wanted);
        let (back, second) = Rnn::new(layer.backward.clone()).forward(&cx, wanted.flip(0));
        wanted = there.concat([back.flip(0)], -1);
        assert!(found[0].value()?.bit_eq(&first[0].value()?) && found[1].value()?.bit_eq(&second[0].value()?));
    }
    assert!(y.value()?.bit_eq(&wanted.value()?));
    Ok(())
}

#[test]
fn layouts_and_residuals() -> Result<()> {
    let net = Rnn::stack(3, I, |_, input| LstmCell::new(input, H, &mut rng()));
    randomise(&net, 5);
    let x = data(&[T, B, I], 1);
    let tape = Tape::new();
    let cx = Cx::train(&tape);
    let run = || Run::new().lengths(LENGTHS);
    let (y, last) = net.forward_with(&cx, tape.constant(&x), run());
    let batches = net.clone().batch_first();
    let resets = Tensor::zeros([B, T], DType::Bool);
    let (z, end) = batches.forward_with(&cx, tape.constant(x.transpose(0, 1)?), run().resets(&resets));
    assert_eq!(z.shape()?[..], [B, T, H]);
    assert!(y.value()?.bit_eq(&z.transpose(0, 1).value()?) && last[2].1.value()?.bit_eq(&end[2].1.value()?));

    // Layer 0 has another size of input; the others add theirs.
    let deep = net.clone().residual();
    let (y, _) = deep.forward(&cx, tape.constant(&x));
    let mut wanted = tape.constant(&x);
    for (number, cell) in net.layers.iter().enumerate() {
        let (y, _) = Rnn::new(cell.clone()).forward(&cx, wanted);
        wanted = if number == 0 { y } else { y + wanted };
    }
    assert!(y.value()?.bit_eq(&wanted.value()?));
    let mut states = deep.init(&cx, B);
    for t in 0..T {
        let (one, next) = deep.step(tape.constant(x.narrow(0, t, 1)?.reshape([B, I])?), states);
        close(&one.value()?, &y.get(0, t).value()?, 1e-14, "a step");
        states = next;
    }

    // Every layer reads the input, too.
    let net = Rnn::stack_with_skips(3, I, |_, input| GruCell::new(input, H, &mut rng()));
    randomise(&net, 9);
    let input = tape.constant(&x);
    let (y, _) = net.forward(&cx, input);
    let (first, _) = Rnn::new(net.layers[0].clone()).forward(&cx, input);
    let (second, _) = Rnn::new(net.layers[1].clone()).forward(&cx, first.concat([input], -1));
    let (third, _) = Rnn::new(net.layers[2].clone()).forward(&cx, second.concat([input], -1));
    assert!(y.value()?.bit_eq(&third.value()?));
    let (one, _) = net.step(input.get(0, 0), net.init(&cx, B));
    close(&one.value()?, &y.get(0, 0).value()?, 1e-14, "a step");
    Ok(())
}

/// Without options a net records its loops, and nothing else.
#[test]
fn a_run_without_options_is_one_loop_a_layer() {
    let net = Rnn::stack(2, I, |_, input| LstmCell::new(input, H, &mut rng()));
    let x = Tensor::zeros([T, B, I], DType::F32);
    let tape = Tape::new();
    let cx = Cx::train(&tape);
    net.forward_from(&cx, tape.constant(&x), net.init(&cx, B));
    let by_hand = Tape::new();
    let cx = Cx::train(&by_hand);
    let (mut y, states) = (by_hand.constant(&x), net.init(&cx, B));
    for (cell, state) in net.layers.iter().zip(states) {
        let step = |state, x| {
            let (y, state) = cell.step(x, state);
            (state, y)
        };
        y = by_hand.scan(state, y, step).1;
    }
    assert_eq!(format!("{tape:?}").lines().count(), format!("{by_hand:?}").lines().count());
    assert_eq!(tape.len(), by_hand.len());
}

#[test]
fn bits_depend_neither_on_threads_nor_on_checkpoints() -> Result<()> {
    const LONG: usize = 150;
    let net = Rnn::stack(2, 24, |_, input| {
        Zoneout::new(RecurrentDropout::new(GruCell::new(input, 32, &mut rng()), 0.3), [0.2])
    });
    let net = net.locked_dropout(0.3);
    let x = init::uniform(&[LONG, 13, 24], 1.0, &mut rng());
    let lengths: Vec<usize> = (0..13).map(|i| 12 * i).collect();
    let resets = init::uniform(&[LONG, 13], 1.0, &mut rng()).to_f64_vec().iter().map(|v| *v > 0.9).collect::<Vec<_>>();
    let resets = Tensor::from_vec(resets, [LONG, 13])?;
    fn loss<'t, L: Layer>(tape: &'t Tape, net: &Rnn<L>, x: &Tensor, lengths: &Vec<usize>, resets: &Tensor) -> Var<'t> {
        let run = Run::new().lengths(lengths).resets(resets);
        net.forward_with(&Cx::train(tape).with_seed(5), tape.constant(x), run).0.square().sum()
    }
    let run = |net: &Rnn<_>| -> Result<Vec<Tensor>> {
        let tape = Tape::new();
        let gradients = loss(&tape, net, &x, &lengths, &resets).backward()?;
        let all = net.params().into_iter().map(|(_, param)| gradients.get(&param).expect("used").clone());
        Ok(all.chain([gradients.loss().clone()]).collect())
    };
    wengert::set_threads(1);
    let wanted = run(&net)?;
    let same = |found: Vec<Tensor>| found.iter().zip(&wanted).all(|(a, b)| a.bit_eq(b));
    for threads in [2, 5] {
        wengert::set_threads(threads);
        assert!(same(run(&net)?), "{threads} threads");
    }
    assert!(same(run(&net.clone().checkpoint(Checkpoint::Every(16)))?));
    Ok(())
}

#[test]
fn derivatives_of_runs_with_options_are_those_of_differences() {
    let options = || GradientOptions::default().cases(2);
    let rng = &mut rng();
    let both = Rnn::bidirectional(2, I, |_, input| LstmCell::new(input, 2, rng));
    randomise(&both, 6);
    let run = || Run::new().lengths([3, 1, 0]);
    assert_gradients!(|x| both.forward_with(&Cx::train(x.tape()), x, run()).0, floats([3, 3, I]), params: both, options: options());
    let batches = both.batch_first();
    assert_gradients!(|x| batches.forward(&Cx::train(x.tape()), x).0, floats([2, 3, I]), params: batches, options: options());

    let resets = Tensor::from_slice(&[false, true, true, false, false, true], [3, 2]).expect("six values");
    let learned = Rnn::bidirectional(1, I, |_, input| Learned::new(GruCell::new(input, 2, rng)));
    randomise(&learned, 7);
    let run = || Run::new().resets(&resets).lengths([3, 2]);
    assert_gradients!(|x| {
        let (y, last) = learned.forward_with(&Cx::train(x.tape()), x, run());
        y.sum_axes(0) + last[0][0].concat([last[0][1]], -1)
    }, floats([3, 2, I]), params: learned, options: options());

    let skips = Rnn::stack_with_skips(2, I, |_, input| GruCell::new(input, 2, rng));
    randomise(&skips, 9);
    assert_gradients!(|x| skips.forward(&Cx::train(x.tape()), x).0, floats([3, 2, I]), params: skips, options: options());

    // By a given state, and through one in the middle.
    let net = Rnn::stack(2, 2, |_, input| ElmanCell::new(input, 2, rng)).residual();
    randomise(&net, 8);
    assert_gradients!(|x, h| {
        let run = Run::new().states(vec![h, h]).states_after(2);
        let (y, after) = net.forward_with(&Cx::train(x.tape()), x, run);
        y.sum_axes(0) + after[0] * after[1]
    }, floats("3 2 2, 2 2"), params: net, options: options());
}
