//! A cell invented in ten lines: checked, trained, and compared with LSTM and GRU.
//!
//! ```text
//! cargo run --release --example custom_cell
//! ```
//!
//! The task is the adding problem (Hochreiter & Schmidhuber 1997): a sequence of random numbers, of which two are marked. After the last
//! step the network says the sum of the two. Who always answers 1 has an error of 1/6; to do better, a cell must keep a
//! number for most of the sequence. One harness, [`train`], takes any [`Cell`] and gives all of them the same data, about the
//! same number of parameters, and the same optimizer. The cell is in `cell`;
//! `docs/custom-cells.md` is the guide.

// In a program `pub` means: for the other modules.
#![allow(unreachable_pub)]

mod cell;
#[allow(dead_code)]
#[path = "../forecast/failure.rs"]
mod failure;
#[path = "../forecast/output.rs"]
mod output;
#[path = "../forecast/panel.rs"]
mod panel;

use cell::LeakyCell;
use clap::Parser;
use failure::Result;
use output::say;
use panel::{Curve, Panel, draw, legend, picture, png};
use plotters::style::RGBColor;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use wengert::check::{GradientOptions, assert_gradients, floats};
use wengert::prelude::*;

/// Compares a cell invented in ten lines with LSTM and GRU on the adding problem.
///
/// Writes custom_cell.svg and custom_cell.png.
#[derive(Parser, Debug)]
#[command(name = "custom_cell")]
struct Options {
    /// Steps of a sequence.
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(2..=10_000))]
    length: u32,

    /// Training steps, of 50 sequences each.
    #[arg(long, value_name = "N", default_value = "1500", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    steps: u32,

    /// Seed of data and weights; the same seed gives the same table to the bit, but for the times.
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,

    /// The folder for the picture; made if it is missing.
    #[arg(long, value_name = "DIR", default_value = "out")]
    out: PathBuf,

    /// The same in a few seconds: to see that it runs, not who is better.
    #[arg(long)]
    smoke: bool,
}

/// Sequences `[T, B, 2]` of numbers and marks, and the sums `[B, 1]`.
fn adding(length: usize, batch: usize, rng: &mut StdRng) -> Result<(Tensor, Tensor)> {
    let mut x: Vec<f32> = (0..length * batch).flat_map(|_| [rng.random(), 0.0]).collect();
    let mut sums = Vec::with_capacity(batch);
    for b in 0..batch {
        // One in each half.
        let marked =
            [rng.random_range(0..length / 2), rng.random_range(length / 2..length)].map(|t| 2 * (t * batch + b));
        sums.push(marked.iter().map(|at| x[*at]).sum::<f32>());
        marked.iter().for_each(|at| x[at + 1] = 1.0);
    }
    Ok((Tensor::from_vec(x, [length, batch, 2])?, Tensor::from_vec(sums, [batch, 1])?))
}

/// Recurrent layers and a linear layer on the last output.
#[derive(Module)]
struct Adder<C> {
    rnn: Rnn<C>,
    head: Linear,
}

impl<C: Cell> Adder<C> {
    fn forward<'t>(&self, cx: &Cx<'t>, x: Var<'t>) -> Var<'t> {
        self.head.forward(self.rnn.forward(cx, x).0.last(0))
    }
}

/// What came of a cell.
struct Score {
    name: &'static str,
    hidden: usize,
    params: usize,
    /// Test errors by training step.
    errors: Curve,
    /// Milliseconds of a training step.
    pace: f64,
}

/// Trains any cell. The data depend on the seed alone, so all cells see the same.
fn train<C: Cell>(
    options: &Options,
    (name, hidden): (&'static str, usize),
    make: impl Fn(&mut StdRng) -> C,
) -> Result<Score> {
    let (length, steps) = (options.length as usize, if options.smoke { 20 } else { options.steps as usize });
    let [mut weights, mut data, mut tests] = [0, 1, 2].map(|part| StdRng::seed_from_u64(3 * options.seed + part));
    let net = Adder { rnn: Rnn::new(make(&mut weights)), head: Linear::new(hidden, 1, &mut weights) };
    let (test, sums) = adding(length, 500, &mut tests)?;
    let mut adam = Adam::new(4e-3);
    let mut score = Score { name, hidden, params: net.num_params(), errors: Vec::new(), pace: 0.0 };
    let mut time = 0.0;
    for step in 0..=steps {
        if step % (steps / 50).max(1) == 0 {
            let tape = Tape::inference();
            let error = loss::mse(net.forward(&Cx::eval(&tape), tape.constant(&test)), &sums).item()?;
            score.errors.push((step as f64, error));
        }
        let start = Instant::now();
        let (x, sums) = adding(length, 50, &mut data)?;
        let tape = Tape::new();
        let mut gradients = loss::mse(net.forward(&Cx::train(&tape), tape.constant(x)), &sums).backward()?;
        drop(tape);
        clip_grad_norm(&net, &mut gradients, 1.0)?;
        adam.step(&net, &gradients)?;
        time += start.elapsed().as_secs_f64();
    }
    score.pace = 1e3 * time / (steps + 1) as f64;
    Ok(score)
}

/// An error below which sums are right to about a tenth.
const SOLVED: f64 = 0.01;

fn table(scores: &[Score]) -> String {
    let mut lines = vec![format!(
        "{:14} {:>6} {:>11} {:>11} {:>16} {:>9}",
        "cell", "units", "parameters", "test error", "solved at step", "ms/step"
    )];
    for Score { name, hidden, params, errors, pace } in scores {
        let last = errors.last().map_or(f64::NAN, |(_, error)| *error);
        let solved = errors.iter().find(|(_, error)| *error < SOLVED);
        let solved = solved.map_or("never".to_string(), |(step, _)| format!("{step}"));
        lines.push(format!("{name:14} {hidden:>6} {params:>11} {last:>11.5} {solved:>16} {pace:>9.2}"));
    }
    lines.push(format!("{:14} {:>6} {:>11} {:>11.5}", "always 1", "", "", 1.0 / 6.0));
    lines.join("\n")
}

fn chart(options: &Options, scores: &[Score]) -> Result<String> {
    const COLOURS: [RGBColor; 4] =
        [RGBColor(0, 90, 181), RGBColor(214, 118, 0), RGBColor(170, 60, 120), RGBColor(0, 140, 110)];
    const GREY: RGBColor = RGBColor(120, 120, 120);
    picture((1240, 600), |root| {
        let (head, body) = root.split_vertically(64);
        let named = scores.iter().zip(COLOURS).map(|(score, colour)| (score.name, colour));
        let entries: Vec<_> = named.chain([("always 1", GREY)]).collect();
        legend(&head, "The adding problem", &entries)?;
        let end = scores[0].errors.last().map_or(1.0, |(step, _)| *step);
        let log = |points: &Curve| points.iter().map(|(step, error)| (*step, error.log10())).collect();
        let baseline = (1.0f64 / 6.0).log10();
        let mut lines = vec![(GREY, 2, vec![(0.0, baseline), (end, baseline)])];
        lines.extend(scores.iter().zip(COLOURS).map(|(score, colour)| (colour, 3, log(&score.errors))));
        let title = format!("sequences of {} steps", options.length);
        let y = ("log10 of the test error", panel::range_of(&lines, None));
        let x = ("training step", 0.0..end, (end / 5.0).max(1.0));
        draw(&body, Panel { title: &title, x, y, lines, mark: None })
    })
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<()> {
    output::prepare(&options.out)?;

    // The derivatives of the new cell, through time, at first and second order, in every parameter.
    let net = Rnn::new(LeakyCell::new(2, 3, 10.0, &mut StdRng::seed_from_u64(0)));
    net.set_dtype(DType::F64)?;
    let cases = GradientOptions::default().cases(if options.smoke { 2 } else { 16 });
    assert_gradients!(|x| net.forward(&Cx::train(x.tape()), x).0, floats("T B 2"), params: net, options: cases);
    say!("{}\nits gradients agree with differences\n", wengert::nn::explain(&net.layers[0], 2)?);

    // Units so that each has about 7,000 parameters.
    let longest = f64::from(options.length);
    let scores = [
        train(options, ("leaky cell", 58), |rng| LeakyCell::new(2, 58, longest, rng))?,
        train(options, ("LSTM", 40), |rng| LstmCell::new(2, 40, rng).with_forget_bias(1.0))?,
        // Begins with the same spread of memories as the new cell.
        train(options, ("LSTM, chrono", 40), |rng| LstmCell::new(2, 40, rng).with_chrono(longest, rng))?,
        train(options, ("GRU", 47), |rng| GruCell::new(2, 47, rng))?,
    ];
    say!("{}", table(&scores));

    let svg = chart(options, &scores)?;
    let path = options.out.join("custom_cell.svg");
    output::write(&path, svg.as_bytes())?;
    output::write(&path.with_extension("png"), &png(&svg)?)?;
    say!("\n{}, .png", path.display());
    Ok(())
}
