//! A model of text, character by character, and how much of it a table of n-grams knows as well.
//!
//! ```text
//! cargo run --release --example char_lm
//! ```
//!
//! reads this workspace's own source (or `--text FILE`), trains an LSTM by truncated backpropagation through time, and reports
//! bits per character on files it has not seen, beside n-gram models of the same text. It writes checkpoints, so that it can be
//! stopped at any moment, and shows at the end that who goes on from the one half-way takes the same steps to the bit. Then it writes some
//! text.
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
use session::Session;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use wengert::prelude::*;
use wengert::train::{Checkpoints, Progress, Seeds};

/// Trains a character model and compares it with n-grams.
///
/// Without options: on the source of this workspace. Writes checkpoints, from the last of which --resume goes on.
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
    #[arg(long, value_name = "N", default_value = "5000", value_parser = clap::value_parser!(u64).range(2..=10_000_000))]
    steps: u64,

    /// Goes on from the last checkpoint; the other options should be those it was made with. Without, earlier checkpoints go.
    #[arg(long)]
    resume: bool,

    /// How far the written text departs from what is most likely: near 0 hardly, 1 as often as the model thinks.
    #[arg(long, value_name = "X", default_value = "0.6", value_parser = temperature)]
    temperature: f64,

    /// Seed of weights and of the written text; the same seed gives the same run to the bit, but for the times.
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,

    /// The checkpoints are in its folder `char_lm`; made if it is missing.
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

/// So many steps after the checkpoint half-way are taken twice.
const COMPARED: usize = 10;

fn run(options: &Options) -> Result<()> {
    let mut corpus = Corpus::read(options.text.as_deref())?;
    let (steps, hidden) = if options.smoke { (20, 32) } else { (options.steps, options.hidden as usize) };
    if options.smoke {
        corpus.shorten(40_000);
    }
    output::prepare(&options.out)?;
    say!(
        "{}: {} characters to learn from, {} held out, {} different ones",
        corpus.name,
        corpus.train.len(),
        corpus.held_out.len(),
        corpus.vocabulary.len()
    );
    let baselines = NGrams::all(&corpus);

    let seeds = Seeds::new(options.seed);
    let fresh = || {
        let net = CharLm::new(corpus.vocabulary.len(), hidden, &mut seeds.rng("weights"));
        Session::new(net, &corpus, steps)
    };
    let mut session = fresh()?;
    let folder = options.out.join("char_lm");
    if !options.resume && folder.exists() {
        fs::remove_dir_all(&folder).map_err(|e| Failure::file(&folder, e))?;
    }
    // The one half-way stays among so many.
    let mut checkpoints = Checkpoints::new(&folder)?.keep(10);
    say!("{}", checkpoints.resume(&mut session)?);
    say!("{} units, {} parameters", hidden, session.net.num_params());

    let (begin, half) = (session.step, session.step + steps.saturating_sub(session.step) / 2);
    let (mut after, mut sum, mut count) = (Vec::new(), 0.0, 0);
    let mut progress = Progress::new(steps).from(begin);
    while session.step < steps {
        if session.step == half || session.step.is_multiple_of((steps / 10).max(1)) {
            checkpoints.save(session.step, &mut session)?;
        }
        let loss = session.advance()?;
        if session.step > half && after.len() < COMPARED {
            after.push(loss);
        }
        (sum, count) = (sum + loss, count + 1);
        progress.step(1, &format!("loss {loss:.3}"));
        if session.step.is_multiple_of((steps / 5).max(1)) || session.step == steps {
            let held_out = session.net.bits(&corpus.held_out)?;
            let bits = sum / f64::from(count) / std::f64::consts::LN_2;
            progress.say(&format!(
                "step {:5}  training {bits:.3}  held out {held_out:.3} bits per character",
                session.step
            ));
            (sum, count) = (0.0, 0);
        }
    }
    progress.finish();

    if begin < steps {
        checkpoints.save(steps, &mut session)?;
        // As another program would: nothing but the file.
        let (path, mut other) = (checkpoints.path(half), fresh()?);
        Checkpoints::load(&path, &mut other)?;
        let again = (0..after.len()).map(|_| other.advance()).collect::<Result<Vec<f64>>>()?;
        if again.iter().map(|loss| loss.to_bits()).ne(after.iter().map(|loss| loss.to_bits())) {
            return Err(Failure::file(&path, "the training that goes on from here takes other steps"));
        }
        say!("\n{}: who goes on from here has the same next {} losses to the bit", path.display(), again.len());
    }

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

    let length = if options.smoke { 40 } else { 500 };
    let text = session.net.write(&corpus.prompt(), length, options.temperature, &mut seeds.rng("text"))?;
    say!("\nat temperature {}:\n\n{}", options.temperature, corpus.vocabulary.decode(&text)?);
    Ok(())
}
