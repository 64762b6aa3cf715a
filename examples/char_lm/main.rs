//! A model of text, character by character, and how much of it a table of n-grams knows as well.
//!
//! ```text
//! cargo run --release --example char_lm
//! ```
//!
//! reads this workspace's own source (or `--text FILE`), trains an LSTM by truncated backpropagation through time, and reports
//! bits per character on files it has not seen, beside n-gram models of the same text. It saves half-way, and
//! shows at the end that a program which goes on from the saved file takes the same steps to the bit. Then it writes some text.
//!
//! The files, in the order of reading: `corpus` (files to numbers), `model` (the network), `session` (a training that can be
//! interrupted), `ngram` (the baseline).

// In a program `pub` means: for the other modules.
#![allow(unreachable_pub)]

mod corpus;
mod model;
mod ngram;
mod session;

#[allow(dead_code)]
#[path = "../forecast/failure.rs"]
mod failure;
#[allow(dead_code)]
#[path = "../forecast/output.rs"]
mod output;

use clap::Parser;
use corpus::Corpus;
use failure::{Failure, Result};
use model::CharLm;
use ngram::NGrams;
use output::say;
use rand::{SeedableRng, rngs::StdRng};
use session::Session;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use wengert::prelude::*;

/// Trains a character model and compares it with n-grams.
///
/// Without options: on the source of this workspace. Writes char_lm.safetensors, from which --resume goes on.
#[derive(Parser, Debug)]
#[command(name = "char_lm")]
pub struct Options {
    /// The text; by default all Rust files of this workspace. Every 20th part of it is held out.
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,

    /// Units of the LSTM.
    #[arg(long, value_name = "N", default_value = "256", value_parser = clap::value_parser!(u32).range(1..=4096))]
    hidden: u32,

    /// Training steps, of 16 pieces of 64 characters.
    #[arg(long, value_name = "N", default_value = "5000", value_parser = clap::value_parser!(u32).range(2..=10_000_000))]
    steps: u32,

    /// Goes on from a saved file; the other options should be those it was saved with.
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,

    /// How far the written text departs from what is most likely: near 0 hardly, 1 as often as the model thinks.
    #[arg(long, value_name = "X", default_value = "0.6", value_parser = temperature)]
    temperature: f64,

    /// Seed of weights and of the written text; the same seed gives the same run to the bit, but for the times.
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,

    /// The folder for the saved file; made if it is missing.
    #[arg(long, value_name = "DIR", default_value = "out")]
    out: PathBuf,

    /// The same in a few seconds: to see that it runs, not how good it is.
    #[arg(long)]
    smoke: bool,
}

fn temperature(text: &str) -> std::result::Result<f64, String> {
    match text.parse() {
        Ok(x) if (0.01..=100.0).contains(&x) => Ok(x),
        _ => Err("expected a number from 0.01 to 100".into()),
    }
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

/// After half of the steps the training is saved; so many steps after that are taken twice.
const COMPARED: usize = 10;

fn run(options: &Options) -> Result<()> {
    let mut corpus = Corpus::read(options.text.as_deref())?;
    let (steps, hidden) = if options.smoke { (20, 32) } else { (options.steps as usize, options.hidden as usize) };
    if options.smoke {
        corpus.shorten(40_000);
    }
    output::prepare(&options.out)?;
    say!(
        "{}: {} characters to learn from, {} held out, {} different ones",
        corpus.name,
        corpus.train.len(),
        corpus.held_out.len(),
        corpus.classes()
    );
    let baselines = NGrams::all(&corpus);

    let fresh = || {
        let net = CharLm::new(corpus.classes(), hidden, &mut StdRng::seed_from_u64(options.seed));
        Session::new(net, &corpus, steps)
    };
    let mut session = fresh()?;
    if let Some(path) = &options.resume {
        session.load(path)?;
        say!("goes on after step {} of {}", session.step, path.display());
    }
    say!("{} units, {} parameters", hidden, session.net.num_params());

    let saved = options.out.join("char_lm.safetensors");
    let (begin, half) = (session.step, session.step + steps.saturating_sub(session.step) / 2);
    let (mut after, mut sum, mut count) = (Vec::new(), 0.0, 0);
    let start = Instant::now();
    while session.step < steps {
        if session.step == half {
            session.save(&saved)?;
        }
        let loss = session.advance(&corpus)?;
        if session.step > half && after.len() < COMPARED {
            after.push(loss);
        }
        (sum, count) = (sum + loss, count + 1);
        if session.step.is_multiple_of((steps / 5).max(1)) || session.step == steps {
            let held_out = session.net.bits(&corpus.held_out)?;
            let bits = sum / f64::from(count) / std::f64::consts::LN_2;
            let seconds = start.elapsed().as_secs_f64();
            say!(
                "step {:5}  training {bits:.3}  held out {held_out:.3} bits per character  {seconds:.0} s",
                session.step
            );
            (sum, count) = (0.0, 0);
        }
    }

    if begin < steps {
        // As another program would: nothing but the file.
        let mut other = fresh()?;
        other.load(&saved)?;
        let again = (0..after.len()).map(|_| other.advance(&corpus)).collect::<Result<Vec<f64>>>()?;
        if again.iter().map(|loss| loss.to_bits()).ne(after.iter().map(|loss| loss.to_bits())) {
            return Err(Failure::file(&saved, "the training that goes on from here takes other steps"));
        }
        say!(
            "\n{}: saved after step {half}; who goes on from it has the same next {} losses to the bit",
            saved.display(),
            again.len()
        );
    }
    session.save(&saved)?;

    let bits = session.net.bits(&corpus.held_out)?;
    if !bits.is_finite() {
        return Err(Failure::new("training diverged: the loss is not a number"));
    }
    say!("\nbits per character on what was held out");
    let line = |name: String, size: usize, what: &str, bits: f64| say!("{name:24} {size:>9} {what:<10} {bits:7.3}");
    for baseline in &baselines {
        line(format!("{}-grams, interpolated", baseline.order), baseline.size, "counts", baseline.bits);
    }
    line("LSTM".into(), session.net.num_params(), "parameters", bits);
    if let Some(best) = baselines.iter().min_by(|a, b| a.bits.total_cmp(&b.bits)) {
        let change = 100.0 * (bits / best.bits - 1.0);
        let side = if change < 0.0 { "below" } else { "above" };
        say!("LSTM: {:.1} % {side} the best table, that of {}-grams", change.abs(), best.order);
    }

    let mut rng = StdRng::seed_from_u64(options.seed);
    let length = if options.smoke { 40 } else { 500 };
    let text = session.net.write(&corpus.prompt(), length, options.temperature, &mut rng)?;
    say!("\nat temperature {}:\n\n{}", options.temperature, corpus.text(&text));
    Ok(())
}
