//! Against overfitting: early stopping, L2 penalty, dropout and weight-drop, each alone, on a task that is easily learned by heart.
//!
//! ```text
//! cargo run --release --example overfitting [-- --smoke] [--out DIR]
//! ```
//!
//! A network of 17,000 weights learns from 64 sequences with noisy targets; the test asks for what is behind the noise. The table gives the test
//! error after training, the mean over several seeds, and for how many of them it is lower than without; the picture, how it went there.

use rand::Rng;
use std::path::PathBuf;
use wengert::prelude::*;
use wengert::train::plot::{Line, Plot};
use wengert::train::{Batches, EarlyStopping, Seeds, take};

const STEPS: usize = 12;
const INPUTS: usize = 2;
const HIDDEN: usize = 64;
const TRAIN: usize = 64;
const TEST: usize = 512;
const BATCH: usize = 16;
const NOISE: f64 = 0.6;

/// What is done against overfitting.
#[derive(Clone, Copy, PartialEq)]
enum Method {
    Nothing,
    /// A quarter of the training sequences validates; the weights of the lowest validation error are kept.
    EarlyStopping,
    /// `l2·p` is added to each gradient.
    L2(f64),
    /// This part of the LSTM's outputs is 0 in a training step, the others are scaled up.
    Dropout(f64),
    /// This part of the recurrent weights is 0 in a training step: the same at all times (Merity et al. 2018, "Regularizing and
    /// optimizing LSTM language models").
    WeightDrop(f64),
}

const METHODS: [(&str, Method); 5] = [
    ("nothing", Method::Nothing),
    ("early stopping", Method::EarlyStopping),
    ("L2 penalty", Method::L2(3e-2)),
    ("dropout", Method::Dropout(0.7)),
    ("weight-drop", Method::WeightDrop(0.5)),
];

/// Sequences `[N, T, I]` and targets `[N, 1]`.
struct Data {
    x: Tensor,
    y: Tensor,
}

impl Data {
    /// A decaying sum of the first input, bent; the second input says nothing.
    fn new(seeds: Seeds, name: &str, n: usize, noise: f64) -> Result<Data> {
        let mut rng = seeds.rng(name);
        let x = init::normal(&[n, STEPS, INPUTS], 1.0, &mut rng);
        let noise: Vec<f64> = init::normal(&[n], noise, &mut rng).to_f64_vec();
        let sums = x
            .to_f64_vec()
            .chunks(STEPS * INPUTS)
            .map(|sequence| sequence.chunks(INPUTS).fold(0.0, |sum, inputs| 0.7 * sum + inputs[0]))
            .collect::<Vec<f64>>();
        let y = sums.iter().zip(noise).map(|(sum, noise)| (sum.tanh() + noise) as f32).collect();
        Ok(Data { x, y: Tensor::from_vec(y, [n, 1])? })
    }

    fn rows(&self, rows: &[usize]) -> Result<Data> {
        Ok(Data { x: take(&self.x, rows)?, y: take(&self.y, rows)? })
    }
}

#[derive(Module)]
struct Net {
    rnn: Rnn<WeightDrop<LstmCell>>,
    dropout: Dropout,
    head: Linear,
}

impl Net {
    fn new(method: Method, rng: &mut impl Rng) -> Net {
        // At a rate of 0 nothing is dropped.
        let (units, weights) = match method {
            Method::Dropout(rate) => (rate, 0.0),
            Method::WeightDrop(rate) => (0.0, rate),
            _ => (0.0, 0.0),
        };
        let cell = WeightDrop::new(LstmCell::new(INPUTS, HIDDEN, rng), weights, ["u"]);
        Net { rnn: Rnn::new(cell), dropout: Dropout::new(units), head: Linear::new(HIDDEN, 1, rng) }
    }

    fn loss<'t>(&self, cx: &Cx<'t>, data: &Data) -> Result<Var<'t>> {
        let (h, _) = self.rnn.forward(cx, cx.tape().constant(data.x.transpose(0, 1)?));
        Ok(loss::mse(self.head.forward(self.dropout.forward(cx, h.last(0))), &data.y))
    }

    fn test(&self, data: &Data) -> Result<f64> {
        let tape = Tape::inference();
        self.loss(&Cx::eval(&tape), data)?.item()
    }
}

/// The test error after each epoch, and that of the weights that are kept in the end.
fn train(method: Method, seed: u64, epochs: u64) -> Result<(Vec<f64>, f64), Box<dyn std::error::Error>> {
    let seeds = Seeds::new(seed);
    let (all, test) = (Data::new(seeds, "train", TRAIN, NOISE)?, Data::new(seeds, "test", TEST, 0.0)?);
    let held = if method == Method::EarlyStopping { TRAIN / 4 } else { 0 };
    let rows: Vec<usize> = (0..TRAIN).collect();
    let (validation, train) = (all.rows(&rows[..held])?, all.rows(&rows[held..])?);

    let net = Net::new(method, &mut seeds.rng("weights"));
    let mut adam = Adam::new(5e-3);
    if let Method::L2(l2) = method {
        adam = adam.l2(l2);
    }
    let mut stopping = EarlyStopping::new(15);
    let mut batches = Batches::new(TRAIN - held, BATCH)?.shuffled(seeds.key("order"));
    let (mut errors, mut step) = (Vec::new(), 0);
    while batches.epoch() < epochs {
        for batch in batches.by_ref() {
            let tape = Tape::new();
            let cx = Cx::train(&tape).with_seed(seeds.key_at("drop", step));
            let mut gradients = net.loss(&cx, &train.rows(&batch)?)?.backward()?;
            drop(tape);
            clip_grad_norm(&net, &mut gradients, 1.0)?;
            adam.step(&net, &gradients)?;
            step += 1;
        }
        errors.push(net.test(&test)?);
        if method == Method::EarlyStopping && stopping.look(net.test(&validation)?, &net) {
            break;
        }
    }
    if method == Method::EarlyStopping {
        stopping.restore(&net)?;
    }
    let kept = net.test(&test)?;
    Ok((errors, kept))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let smoke = arguments.iter().any(|argument| argument == "--smoke");
    let out = arguments.iter().skip_while(|argument| *argument != "--out").nth(1).map_or("out".into(), PathBuf::from);
    let (seeds, epochs) = if smoke { (1, 3) } else { (6, 200) };

    let mut plot = Plot::new(format!("Test error, mean of {seeds} seeds"), "epoch", "mean squared error");
    let (mut found, mut without) = (Vec::new(), Vec::new());
    println!("{:<16}{:>12}{:>14}{:>10}", "", "test error", "of nothing's", "lower");
    for (name, method) in METHODS {
        let runs: Vec<(Vec<f64>, f64)> =
            (0..seeds).map(|seed| train(method, seed, epochs)).collect::<Result<_, _>>()?;
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / seeds as f64;
        let kept = mean(&mut runs.iter().map(|run| run.1));
        found.push(kept);
        if method == Method::Nothing {
            without = runs.iter().map(|run| run.1).collect();
        }
        let lower = runs.iter().zip(&without).filter(|(run, without)| run.1 < **without).count();
        println!("{name:<16}{kept:>12.4}{:>12.0} %{:>7} of {seeds}", 100.0 * kept / found[0], lower);
        // A run that has stopped keeps the error of the weights it keeps.
        let at = |epoch: u64| mean(&mut runs.iter().map(|run| *run.0.get(epoch as usize).unwrap_or(&run.1)));
        plot.lines.push(Line::new(name, (0..epochs).map(|e| (e as f64 + 1.0, at(e))).collect::<Vec<_>>()));
    }
    std::fs::create_dir_all(&out)?;
    let path = out.join("overfitting.svg");
    std::fs::write(&path, plot.svg()?)?;
    println!("{}", path.display());
    if !smoke && found[1..].iter().any(|error| *error >= found[0]) {
        return Err("a method has not reduced the test error".into());
    }
    Ok(())
}
