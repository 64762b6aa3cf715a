//! Dropout: which masks, when, and what they do; against plain loops over numbers.

use super::support::{close, data};
use super::{H, I, Through, randomise};
use rand::{SeedableRng, rngs::StdRng};
use std::collections::BTreeSet;
use wengert::check::{GradientOptions, assert_gradients, floats};
use wengert::nn::dropout::Noise;
use wengert::prelude::*;

const T: usize = 6;
const B: usize = 2;

fn rng() -> StdRng {
    StdRng::seed_from_u64(2)
}

/// `[T, B, n]` as one vector for each step and row.
fn rows(all: &Tensor, n: usize) -> Vec<Vec<f64>> {
    all.to_f64_vec().chunks(n).map(<[f64]>::to_vec).collect()
}

/// The output of a net that passes ones on, in training with a seed.
fn masks(net: &Rnn<Through>, shape: [usize; 3], seed: i64) -> Result<Tensor> {
    let tape = Tape::new();
    let x = tape.ones(shape, DType::F64);
    net.forward(&Cx::train(&tape).with_seed(seed), x).0.value()
}

#[test]
fn dropout_between_layers_is_fresh_at_every_place() -> Result<()> {
    let net = |layers: usize| Rnn::stack(layers, I, |_, _| Through).dropout(0.4);
    let shape = [50, 8, 40];
    assert!(masks(&net(1), shape, 1)?.to_f64_vec().iter().all(|v| *v == 1.0), "the last layer's outputs stay");
    let one = masks(&net(2), shape, 1)?.to_f64_vec();
    assert!(one.iter().all(|v| *v == 0.0 || *v == 1.0 / (1.0 - 0.4)));
    // 16,000 draws: the share is off by more than 0.02 once in a hundred million.
    let share = |all: &[f64]| all.iter().filter(|v| **v == 0.0).count() as f64 / all.len() as f64;
    assert!((share(&one) - 0.4).abs() < 0.02, "{}", share(&one));
    let mean = one.iter().sum::<f64>() / one.len() as f64;
    assert!((mean - 1.0).abs() < 0.04, "what is kept is scaled up: {mean}");
    // No step and no sequence has the mask of another.
    let different: BTreeSet<String> = one.chunks(40).map(|mask| format!("{mask:?}")).collect();
    assert_eq!(different.len(), 50 * 8);
    // Two masks are drawn apart: 0.64 of the entries meet one of them at least.
    let two = masks(&net(3), shape, 1)?.to_f64_vec();
    assert!((share(&two) - 0.64).abs() < 0.02, "{}", share(&two));
    Ok(())
}

#[test]
fn locked_dropout_is_one_mask_for_all_steps() -> Result<()> {
    let net = |layers: usize| Rnn::stack(layers, I, |_, _| Through).locked_dropout(0.4);
    let one = masks(&net(2), [20, 100, 20], 1)?;
    let steps: Vec<&[f64]> = one.as_slice::<f64>()?.chunks(100 * 20).collect();
    assert!(steps.iter().all(|step| *step == steps[0]), "the same at all steps");
    let different: BTreeSet<String> = steps[0].chunks(20).map(|mask| format!("{mask:?}")).collect();
    assert_eq!(different.len(), 100, "each sequence has its own");
    let share = |all: &[f64]| all.iter().filter(|v| **v == 0.0).count() as f64 / all.len() as f64;
    assert!((share(steps[0]) - 0.4).abs() < 0.06, "{}", share(steps[0]));
    let two = masks(&net(3), [1, 100, 20], 1)?;
    assert!((share(two.as_slice()?) - 0.64).abs() < 0.06, "{}", share(two.as_slice()?));
    assert!(masks(&net(1), [3, 2, 4], 1)?.to_f64_vec().iter().all(|v| *v == 1.0));
    Ok(())
}

#[test]
fn no_two_uses_share_a_mask_and_a_seed_repeats_them() -> Result<()> {
    let net = Rnn::stack(2, I, |_, _| Through).dropout(0.5);
    let other = net.clone();
    let shape = [9, 5, 7];
    let run = |again: bool| -> Result<Vec<Tensor>> {
        let tape = Tape::new();
        let x = tape.ones(shape, DType::F64);
        let cx = Cx::train(&tape).with_seed(3);
        let contexts = if again { [cx, cx.fold_in(1), cx.with_seed(3)] } else { [cx, cx, cx] };
        let [a, b, c] = contexts;
        [net.forward(&a, x), net.forward(&b, x), other.forward(&c, x)].into_iter().map(|(y, _)| y.value()).collect()
    };
    let masks = run(false)?;
    assert!(!masks[0].bit_eq(&masks[1]) && !masks[0].bit_eq(&masks[2]) && !masks[1].bit_eq(&masks[2]));
    // Another tape begins anew, and so does a seed that is given again; a number folded in is another key.
    let again = run(true)?;
    assert!(again[0].bit_eq(&masks[0]) && again[2].bit_eq(&masks[0]) && !again[1].bit_eq(&masks[0]));
    let other_seed = self::masks(&net, shape, 4)?;
    assert!(self::masks(&net, shape, 3)?.bit_eq(&masks[0]) && !other_seed.bit_eq(&masks[0]));
    Ok(())
}

/// All that is random at once; it draws nothing in an evaluation, and nothing at rate 0.
#[test]
fn an_evaluation_draws_nothing() -> Result<()> {
    let lstm = || LstmCell::new(H, H, &mut rng());
    let rates = |rate: f64| {
        let cell = WeightDrop::new(RecurrentDropout::new(lstm(), rate), rate, ["cell.u", "cell.w"]);
        let zoned = Zoneout::new(Clipped { cell, bound: 10.0 }, [0.0]);
        Rnn::from(vec![zoned.clone(), zoned]).dropout(rate).locked_dropout(rate)
    };
    let cell = lstm();
    let (net, zero, plain) = (rates(0.4), rates(0.0), Rnn::from(vec![cell.clone(), cell]));
    for params in [&net as &dyn ParamTree, &zero, &plain] {
        randomise(&params, 1);
    }
    let x = data(&[T, B, H], 3);
    let tape = Tape::new();
    let x = tape.constant(x);
    let (wanted, last) = plain.forward(&Cx::train(&tape), x);
    let (eval, states) = net.forward(&Cx::eval(&tape), x);
    assert!(wanted.value()?.bit_eq(&eval.value()?) && last[1].1.value()?.bit_eq(&states[1].1.value()?));
    let (trained, _) = zero.forward(&Cx::train(&tape), x);
    assert!(wanted.value()?.bit_eq(&trained.value()?), "rate 0 needs no key");
    let (trained, _) = net.forward(&Cx::train(&tape).with_seed(1), x);
    assert!(!wanted.value()?.bit_eq(&trained.value()?));
    Ok(())
}

#[test]
fn rate_one_leaves_zeros() -> Result<()> {
    let net = Rnn::stack(2, I, |_, _| Through).dropout(1.0);
    let tape = Tape::new();
    let x = tape.var(data(&[T, B, I], 1));
    let (y, _) = net.forward(&Cx::train(&tape).with_seed(0), x);
    let [dx] = y.sum().grad([x]);
    assert!([y, dx].iter().all(|v| v.value().unwrap().to_f64_vec().iter().all(|v| *v == 0.0)));
    Ok(())
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// Weights of an LSTM as numbers.
struct Weights {
    w: Vec<f64>,
    u: Vec<f64>,
    b: Vec<f64>,
}

impl Weights {
    fn of(cell: &LstmCell) -> Weights {
        let [w, u, b] = [&cell.w, &cell.u, &cell.b].map(|p| p.value().to_f64_vec());
        Weights { w, u, b }
    }

    /// One step of one sequence; `read(gate)` is the state that a gate reads.
    fn step(&self, x: &[f64], c: &[f64], read: impl Fn(usize) -> Vec<f64>) -> (Vec<f64>, Vec<f64>) {
        let sum = |gate: usize, j: usize| {
            let column = gate * H + j;
            let h = read(gate);
            self.b[column]
                + (0..x.len()).map(|k| x[k] * self.w[k * 4 * H + column]).sum::<f64>()
                + (0..H).map(|k| h[k] * self.u[k * 4 * H + column]).sum::<f64>()
        };
        let mut out = (vec![0.0; H], vec![0.0; H]);
        for j in 0..H {
            out.1[j] = sigmoid(sum(1, j)) * c[j] + sigmoid(sum(0, j)) * sum(2, j).tanh();
            out.0[j] = sigmoid(sum(3, j)) * out.1[j].tanh();
        }
        out
    }
}

/// The noise of a cell's run, as [`Rnn`] draws it for the only layer of a net.
fn noise<C: Cell>(cell: &C, seed: i64) -> (Vec<Tensor>, Vec<Tensor>) {
    let tape = Tape::new();
    let cx = Cx::train(&tape).with_seed(seed).with_dtype(DType::F64);
    let Noise { fixed, each, .. } = cell.noise(&cx, T, B);
    (tape.eval_all(&fixed).unwrap(), tape.eval_all(&each).unwrap())
}

/// Haste's `lstm.py`: `h = (h̃ − h)·mask + h` in training, else `p·h + (1 − p)·h̃`; the paper's for `c` in addition.
#[test]
fn zoneout_is_that_of_plain_loops() -> Result<()> {
    for rates in [vec![0.3], vec![0.3, 0.6], vec![0.0, 0.5], vec![1.0, 0.2]] {
        let cell = Zoneout::new(LstmCell::new(I, H, &mut rng()), rates.clone());
        randomise(&cell, 1);
        let weights = Weights::of(&cell.cell);
        let x = data(&[T, B, I], 1);
        let (_, each) = noise(&cell, 8);
        let mut drawn = each.iter();
        let kept: Vec<Option<Vec<f64>>> = (0..2)
            .map(|leaf| rates.get(leaf).filter(|r| **r > 0.0).map(|_| drawn.next().unwrap().to_f64_vec()))
            .collect();
        if rates == [0.3, 0.6] {
            // Fresh for each step and component.
            let masks: BTreeSet<String> = each.iter().flat_map(|m| rows(m, B * H)).map(|m| format!("{m:?}")).collect();
            assert!(masks.len() > T, "{masks:?}");
        }
        for training in [true, false] {
            let mut wanted = Vec::new();
            let mut state = vec![[vec![0.0; H], vec![0.0; H]]; B];
            for t in 0..T {
                for (b, [h, c]) in state.iter_mut().enumerate() {
                    let row = &x.to_f64_vec()[(t * B + b) * I..][..I];
                    let (new_h, new_c) = weights.step(row, c, |_| h.clone());
                    for (leaf, (old, new)) in [(h, new_h), (c, new_c)].into_iter().enumerate() {
                        for j in 0..H {
                            let rate = rates.get(leaf).copied().unwrap_or(0.0);
                            old[j] = match &kept[leaf] {
                                Some(kept) if training => {
                                    let mask = 1.0 - kept[(t * B + b) * H + j];
                                    (new[j] - old[j]) * mask + old[j]
                                }
                                _ => rate * old[j] + (1.0 - rate) * new[j],
                            };
                        }
                    }
                }
                wanted.extend(state.iter().flat_map(|[h, _]| h.clone()));
            }
            let net = Rnn::new(cell.clone());
            let tape = Tape::new();
            let cx = if training { Cx::train(&tape).with_seed(8) } else { Cx::eval(&tape) };
            let (y, last) = net.forward(&cx, tape.constant(&x));
            close(&y.value()?, &Tensor::from_vec(wanted, [T, B, H])?, 1e-14, &format!("{rates:?}, {training}"));
            let c: Vec<f64> = state.iter().flat_map(|[_, c]| c.clone()).collect();
            close(&last[0].1.value()?, &Tensor::from_vec(c, [B, H])?, 1e-14, &format!("c, {rates:?}, {training}"));
            assert!(y.last(0).value()?.bit_eq(&last[0].0.value()?), "the output is the unit as it became");
            // Single steps are those of an evaluation.
            let mut states = net.init(&Cx::eval(&tape), B);
            for t in 0..T {
                let (y_t, next) = net.step(tape.constant(&x).get(0, t), states);
                states = next;
                if !training {
                    close(&y_t.value()?, &y.get(0, t).value()?, 1e-14, "a step");
                }
            }
        }
    }
    Ok(())
}

/// Keras: `recurrent_dropout` with a mask for each gate, the same at all steps.
#[test]
fn recurrent_dropout_is_that_of_plain_loops() -> Result<()> {
    let cell = RecurrentDropout::new(LstmCell::new(I, H, &mut rng()), 0.4);
    randomise(&cell, 2);
    let weights = Weights::of(&cell.cell);
    let (masks, each) = noise(&cell, 4);
    assert!(masks.len() == 4 && each.is_empty());
    let different: BTreeSet<String> = masks.iter().map(|m| format!("{:?}", m.to_f64_vec())).collect();
    assert_eq!(different.len(), 4, "one for each gate");
    let x = data(&[T, B, I], 1);
    let mut wanted = Vec::new();
    let mut state = vec![(vec![0.0; H], vec![0.0; H]); B];
    for (row, x) in x.to_f64_vec().chunks(I).enumerate() {
        let b = row % B;
        let (h, c) = &state[b];
        let read = |gate: usize| (0..H).map(|j| h[j] * masks[gate].to_f64_vec()[b * H + j]).collect();
        state[b] = weights.step(x, c, read);
        wanted.extend(state[b].0.clone());
    }
    let tape = Tape::new();
    let net = Rnn::new(cell);
    let (y, _) = net.forward(&Cx::train(&tape).with_seed(4), tape.constant(&x));
    close(&y.value()?, &Tensor::from_vec(wanted, [T, B, H])?, 1e-14, "LSTM");

    // Every cell that offers it: with masks of ones it is the plain cell.
    fn ones<C: wengert::nn::dropout::Gated>(cell: C) -> Result<()> {
        randomise(&cell, 3);
        let x = data(&[B, I], 1);
        let tape = Tape::new();
        let cx = Cx::eval(&tape).with_dtype(DType::F64);
        let state = || {
            let zeros = cell.init(&cx, B);
            let leaves: Vec<Var<'_>> =
                zeros.leaves().iter().map(|v| tape.constant(data(&v.shape().unwrap(), 4))).collect();
            zeros.with_leaves(&leaves)
        };
        let h = state().leaves()[0].shape()?;
        let noise = Noise { fixed: vec![tape.ones(h, DType::F64); C::GATES], ..Noise::none() };
        let (wanted, _) = cell.step(tape.constant(&x), state());
        let state = state();
        let (y, _) = RecurrentDropout::new(cell, 0.5).noisy_step(tape.constant(&x), state, noise);
        close(&y.value()?, &wanted.value()?, 1e-14, "a mask of ones");
        Ok(())
    }
    let rng = &mut rng();
    ones(ElmanCell::new(I, H, rng))?;
    ones(GruCell::new(I, H, rng))?;
    ones(LstmCell::new(I, H, rng))?;
    ones(PeepholeLstmCell::new(I, H, rng))?;
    ones(CoupledLstmCell::new(I, H, rng))?;
    ones(LayerNormLstmCell::new(I, H, rng))?;
    ones(Projected::new(LstmCell::new(I, H, rng), 2, rng))
}

#[test]
fn weight_drop_is_a_net_of_other_weights() -> Result<()> {
    let cell = WeightDrop::new(LstmCell::new(I, H, &mut rng()), 0.5, ["u", "b"]);
    randomise(&cell, 1);
    let (values, _) = noise(&cell, 6);
    let other = LstmCell::from_tensors(cell.cell.w.value(), values[0].clone(), values[1].clone())?;
    let x = data(&[T, B, I], 1);
    let run = |y: Var<'_>| -> Result<(Tensor, Gradients)> { Ok((y.value()?, y.square().sum().backward()?)) };
    let tape = Tape::new();
    let net = Rnn::new(cell.clone());
    let found = run(net.forward(&Cx::train(&tape).with_seed(6), tape.constant(&x)).0)?;
    let tape = Tape::new();
    let wanted = run(Rnn::new(other.clone()).forward(&Cx::train(&tape), tape.constant(&x)).0)?;
    assert!(found.0.bit_eq(&wanted.0));
    for (param, dropped) in [(&cell.cell.u, &other.u), (&cell.cell.b, &other.b)] {
        let (whole, kept) = (param.value().to_f64_vec(), dropped.value().to_f64_vec());
        // Zero, or twice what it was; the gradient follows.
        let wanted = wanted.1.get(dropped).unwrap().to_f64_vec();
        let wanted: Vec<f64> = whole
            .iter()
            .zip(&kept)
            .zip(wanted)
            .map(|((w, k), g)| {
                assert!(*k == 0.0 || *k == 2.0 * w);
                k / w * g
            })
            .collect();
        assert!(kept.contains(&0.0) && kept.iter().any(|k| *k != 0.0));
        close(found.1.get(param).unwrap(), &Tensor::from_vec(wanted, param.value().shape())?, 1e-13, "gradient");
    }
    close(found.1.get(&cell.cell.w).unwrap(), wanted.1.get(&other.w).unwrap(), 1e-13, "w is whole");
    // Two layers, and two directions, have masks of their own.
    let both = Rnn::bidirectional(1, I, |_, _| cell.clone());
    let tape = Tape::new();
    let (y, _) = both.forward(&Cx::train(&tape).with_seed(6), tape.constant(&x).get(0, 0).unsqueeze(0));
    let [a, b] = y.chunk();
    assert!(!a.value()?.bit_eq(&b.value()?), "the same cell, one step, other masks");
    Ok(())
}

/// Masks are drawn ahead of the loop: its body holds no draw.
#[test]
fn nothing_is_drawn_in_the_loop() -> Result<()> {
    let rng = &mut rng();
    let net = Rnn::stack(2, I, |_, input| {
        let cell = WeightDrop::new(RecurrentDropout::new(GruCell::new(input, H, rng), 0.3), 0.3, ["cell.u"]);
        Zoneout::new(cell, [0.2])
    });
    let net = net.dropout(0.2).locked_dropout(0.2);
    let tape = Tape::new();
    let x = tape.constant(Tensor::zeros([T, B, I], DType::F32));
    let (y, _) = net.forward(&Cx::train(&tape).with_seed(1), x);
    let listing = format!("{:?}", tape.program(&[y])?);
    let draws: Vec<&str> = listing.lines().filter(|line| line.contains("uniform")).collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let least = draws.iter().map(|line| indent(line)).min();
    assert!(!draws.is_empty(), "{listing}");
    assert!(draws.iter().all(|line| Some(indent(line)) == least), "{listing}");
    let loops: Vec<&str> = listing.lines().filter(|line| line.contains("loop")).collect();
    assert!(!loops.is_empty(), "{listing}");
    Ok(())
}

#[test]
fn derivatives_are_those_of_differences() {
    fn check<C: Cell>(name: &str, net: Rnn<C>) {
        println!("{name}");
        randomise(&net, 5);
        let options = GradientOptions::default().cases(2);
        assert_gradients!(|x| net.forward(&Cx::train(x.tape()).with_seed(11), x).0, floats([3, 2, 2]), params: net, options: options);
    }
    let rng = &mut rng();
    check("dropout", Rnn::stack(2, 2, |_, input| ElmanCell::new(input, 2, rng)).dropout(0.4));
    check("locked", Rnn::stack(2, 2, |_, input| ElmanCell::new(input, 2, rng)).locked_dropout(0.4));
    check("zoneout", Rnn::new(Zoneout::new(LstmCell::new(2, 2, rng), [0.3, 0.5])));
    check("recurrent", Rnn::new(RecurrentDropout::new(GruCell::new(2, 2, rng), 0.4)));
    check("weights", Rnn::new(WeightDrop::new(LstmCell::new(2, 2, rng), 0.4, ["u"])));
    let all = |input| {
        WeightDrop::new(
            RecurrentDropout::new(GruCell::new(input, 2, &mut StdRng::seed_from_u64(3)), 0.3),
            0.3,
            ["cell.u"],
        )
    };
    check(
        "all",
        Rnn::stack(2, 2, |_, input| Zoneout::new(Clipped { cell: all(input), bound: 9.0 }, [0.3])).dropout(0.2),
    );
    // The mean that an evaluation takes.
    let zoned = Rnn::new(Zoneout::new(LstmCell::new(2, 2, rng), [0.3, 0.5]));
    randomise(&zoned, 6);
    let options = GradientOptions::default().cases(2);
    assert_gradients!(|x| zoned.forward(&Cx::eval(x.tape()), x).0, floats([3, 2, 2]), params: zoned, options: options);
}
