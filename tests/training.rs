//! Parameters in use: values asked in between, substitution, sharing between layers, threads, repeated runs.

mod support;

use rand::{SeedableRng, rngs::StdRng};
use support::{close, data, lstm_cell, lstm_net, says};
use wengert::autograd::check::gradcheck_params;
use wengert::prelude::*;

const T: usize = 4;
const B: usize = 2;
const I: usize = 3;
const H: usize = 3;

fn gradients_of(net: &impl ParamTree, gradients: &Gradients) -> Vec<Tensor> {
    net.params().iter().map(|(_, param)| gradients.get(param).expect("the loss depends on it").clone()).collect()
}

#[test]
fn values_asked_in_between_change_no_gradient() -> Result<()> {
    let net = lstm_net(I, H, 1);
    let run = |ask: bool| -> Result<(Vec<Tensor>, Tensor)> {
        let tape = Tape::new();
        let cx = Cx::train(&tape);
        let x = tape.var(data(&[T, B, I], 1));
        let (y, state) = net.forward(&cx, x);
        if ask {
            // Control flow over values is ordinary Rust.
            assert!(y.get(0, 0).sum().item()?.is_finite());
            y.value()?;
            state[0].1.value()?;
        }
        let (z, _) = net.forward_from(&cx, x * 0.5, state);
        if ask {
            z.mean().item()?;
        }
        let gradients = (y * z).sum().backward()?;
        Ok((gradients_of(&net, &gradients), gradients.wrt(x).unwrap().clone()))
    };
    let ((a, x), (b, x2)) = (run(false)?, run(true)?);
    for (i, (a, b)) in a.iter().zip(&b).enumerate() {
        close(b, a, 1e-14, &format!("parameter {i}"));
    }
    close(&x2, &x, 1e-14, "input");
    Ok(())
}

#[test]
fn backward_again_gives_the_same_bits() -> Result<()> {
    let net = lstm_net(I, H, 1);
    let tape = Tape::new();
    let (y, _) = net.forward(&Cx::train(&tape), tape.constant(data(&[T, B, I], 1)));
    let loss = y.square().sum();
    let first = loss.backward()?;
    // A later write to a parameter is not seen by this recording.
    net.layers[0].w.set(data(&[I, 4 * H], 99))?;
    let again = loss.backward()?;
    assert!(first.loss().bit_eq(again.loss()));
    for (a, b) in gradients_of(&net, &first).iter().zip(gradients_of(&net, &again)) {
        assert!(a.bit_eq(&b));
    }
    Ok(())
}

#[test]
fn weight_drop_by_binding_a_parameter() -> Result<()> {
    let net = Rnn::new(lstm_cell(I, H, 1));
    let u = &net.layers[0].u;
    let mask = Tensor::from_vec((0..H * 4 * H).map(|i| (i % 3 != 0) as u8 as f64 * 1.5).collect(), [H, 4 * H])?;
    let x = data(&[T, B, I], 2);
    let run = |net: &Rnn<LstmCell>, dropped: bool| -> Result<Gradients> {
        let tape = Tape::new();
        let cx = Cx::train(&tape);
        let x = tape.constant(&x);
        let (y, _) = match dropped {
            true => tape.bind(u, tape.param(u) * &mask, || net.forward(&cx, x)),
            false => net.forward(&cx, x),
        };
        y.square().sum().backward()
    };
    let found = run(&net, true)?;
    // The same with the masked weights in place: the gradient is that one, masked.
    let tape = Tape::inference();
    let masked = (tape.param(u) * &mask).value()?;
    let (w, b) = (net.layers[0].w.value(), net.layers[0].b.value());
    let other = Rnn::new(LstmCell::from_tensors(w, masked, b)?);
    let wanted = run(&other, false)?;
    let by_mask = tape.constant(wanted.get(&other.layers[0].u).unwrap()) * &mask;
    close(found.get(u).unwrap(), &by_mask.value()?, 1e-14, "u");
    close(found.get(&net.layers[0].w).unwrap(), wanted.get(&other.layers[0].w).unwrap(), 1e-14, "w");
    Ok(())
}

#[test]
fn layers_may_share_one_cell() -> Result<(), Box<dyn std::error::Error>> {
    let cell = lstm_cell(H, H, 1);
    let net = Rnn::from(vec![cell.clone(), cell.clone(), cell]);
    assert_eq!(net.params().len(), 3);
    let x = data(&[2, B, H], 1);
    gradcheck_params(
        |tape| {
            let (y, last) = net.forward(&Cx::train(tape), tape.constant(&x));
            y.square().sum() + last[1].1.sum()
        },
        &net,
        Default::default(),
    )?;
    Ok(())
}

#[test]
fn parameters_without_part_in_the_loss_stay() -> Result<()> {
    let net = lstm_net(I, H, 1);
    let tape = Tape::new();
    let (_, state) = net.forward(&Cx::train(&tape), tape.constant(data(&[T, B, I], 1)));
    let gradients = state[0].0.sum().backward()?;
    assert_eq!(gradients.len(), 3);
    assert!(gradients.get(&net.layers[1].w).is_none());
    let before: Vec<Tensor> = net.params().iter().map(|(_, p)| p.value()).collect();
    Sgd::new(0.1).step(&net, &gradients)?;
    let moved: Vec<bool> = net.params().iter().zip(&before).map(|((_, p), b)| !p.value().bit_eq(b)).collect();
    assert_eq!(moved, [true, true, true, false, false, false]);
    Ok(())
}

#[test]
fn an_inference_tape_and_a_broken_tape_give_no_gradients() {
    let net = lstm_net(I, H, 1);
    let tape = Tape::inference();
    let (y, _) = net.forward(&Cx::eval(&tape), tape.constant(data(&[T, B, I], 1)));
    assert!(y.value().is_ok());
    says(&y.sum().backward().unwrap_err(), &["inference", "Tape::new()"]);

    let tape = Tape::new();
    let (y, _) = net.forward(&Cx::train(&tape), tape.constant(data(&[T, B, I], 1)));
    let line = line!() + 1;
    let _ = y + &data(&[7], 1);
    says(&y.sum().backward().unwrap_err(), &["the tape holds an error", "[7]", &format!("training.rs:{line}")]);
}

/// The bits of a net after some steps of training.
fn train(seed: u64) -> Result<Vec<Tensor>> {
    let mut rng = StdRng::seed_from_u64(seed);
    let net = Rnn::stack(2, I, |_, input| LstmCell::new(input, H, &mut rng));
    let head = Linear::new(H, 2, &mut rng);
    let model = (net, head);
    let mut sgd = Sgd::new(0.1).momentum(0.9);
    for _ in 0..20 {
        let x = init::normal(&[T, B, I], 1.0, &mut rng);
        let tape = Tape::new();
        let (y, _) = model.0.forward(&Cx::train(&tape), tape.constant(x));
        let mut gradients = loss::mse(model.1.forward(y), 0.3).backward()?;
        drop(tape);
        clip_grad_norm(&model, &mut gradients, 1.0)?;
        sgd.step(&model, &gradients)?;
    }
    Ok(model.params().into_iter().map(|(_, param)| param.value()).collect())
}

#[test]
fn training_is_reproducible_and_runs_in_several_threads_at_once() -> Result<()> {
    let alone: Vec<Vec<Tensor>> = (0..4).map(train).collect::<Result<_>>()?;
    let together: Vec<Vec<Tensor>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|seed| scope.spawn(move || train(seed))).collect();
        workers.into_iter().map(|worker| worker.join().expect("no panic")).collect::<Result<_>>()
    })?;
    for (a, b) in alone.iter().flatten().zip(together.iter().flatten()) {
        assert!(a.bit_eq(b));
    }
    assert!(!alone[0][0].bit_eq(&alone[1][0]));
    Ok(())
}

#[test]
fn a_linear_layer_acts_on_the_last_axis() -> Result<()> {
    let layer = Linear { weight: Param::new(data(&[3, 2], 1)), bias: Some(Param::new(data(&[2], 2))) };
    let tape = Tape::new();
    let x = tape.var(data(&[4, 5, 3], 3));
    let y = layer.forward(x);
    let flat = layer.forward(x.reshape([20, 3])).reshape([4, 5, 2]);
    assert!(y.value()?.bit_eq(&flat.value()?));
    let row = layer.forward(x.get(0, 0).get(0, 0));
    close(&row.value()?, &y.get(0, 0).get(0, 0).value()?, 1e-15, "one row");
    let plain = layer.without_bias();
    assert_eq!(plain.params().len(), 1);
    says(&plain.forward(tape.zeros([2, 4], DType::F64)).value().unwrap_err(), &["[2, 4]", "[3, 2]"]);
    Ok(())
}

#[test]
fn initial_values_are_drawn_from_their_distributions() {
    let mut rng = StdRng::seed_from_u64(1);
    let moments = |t: &Tensor| {
        let values = t.to_f64_vec();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64)
    };
    let n = 40_000;
    let (mean, variance) = moments(&init::normal(&[n], 2.0, &mut rng));
    // Five standard errors.
    assert!(mean.abs() < 5.0 * 2.0 / (n as f64).sqrt() && (variance / 4.0 - 1.0).abs() < 5.0 * (2.0 / n as f64).sqrt());
    let uniform = init::uniform(&[n], 0.5, &mut rng);
    let (mean, variance) = moments(&uniform);
    assert!(mean.abs() < 5.0 * 0.29 / (n as f64).sqrt() && (variance * 12.0 - 1.0).abs() < 0.03);
    assert!(uniform.to_f64_vec().iter().all(|v| v.abs() <= 0.5));
    assert_eq!(init::normal(&[0, 3], 1.0, &mut rng).numel(), 0);
    let cell = LstmCell::new(3, 16, &mut rng);
    assert!(cell.params().iter().all(|(_, p)| p.value().to_f64_vec().iter().all(|v| v.abs() <= 0.25)));
}

/// The guide shows the series and the network of the example, which its other snippets include.
#[test]
fn the_network_of_the_guide_is_that_of_the_example() {
    let guide = include_str!("../docs/training.md");
    let net = include_str!("../examples/learning_rate/wave.rs");
    assert!(guide.contains(&format!("```rust\n{net}```")), "docs/training.md shows another network");
}
