//! Training steps of LSTMs in candle and burn: the work of `../torch_rnn.py`, with its options and one JSON line a row.
//!
//! ```text
//! RAYON_NUM_THREADS=2 wengert-peers train --systems candle_lstm,burn_lstm --shapes mid128 --threads 2
//! ```
//!
//! Threads are set where the process starts; `--threads` is what its rows say. `../../compare.py --rust` sets both.

mod burn_lstm;
mod candle_lstm;
mod shapes;

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A network with its input.
trait Peer {
    /// Forward, loss = mean of squared outputs, gradients of all weights and none of the input.
    fn step(&mut self) -> Outcome<()>;

    /// The loss and the 2-norm of the gradients, for a network made with known weights.
    fn checked(&mut self) -> Outcome<[f64; 2]>;
}

struct Options {
    systems: String,
    shapes: String,
    threads: usize,
    dtype: String,
    budget: f64,
    runs: usize,
    check: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Outcome<Options> {
        let mut options = Options {
            systems: "candle_lstm,burn_lstm".into(),
            shapes: "all".into(),
            threads: 1,
            dtype: "f32".into(),
            budget: 3.0,
            runs: 200,
            check: false,
        };
        if arguments.next().as_deref() != Some("train") {
            return Err("the first argument is the mode: train".into());
        }
        while let Some(name) = arguments.next() {
            if name == "--check" {
                options.check = true;
                continue;
            }
            let value = arguments.next().ok_or(format!("{name} needs a value"))?;
            match name.as_str() {
                "--systems" => options.systems = value,
                "--shapes" => options.shapes = value,
                "--threads" => options.threads = value.parse()?,
                "--dtype" => options.dtype = value,
                "--budget" => options.budget = value.parse()?,
                "--runs" => options.runs = value.parse()?,
                _ => return Err(format!("no option {name}").into()),
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Outcome<()> {
    for (name, shape) in shapes::named(&options.shapes)? {
        for system in options.systems.split(',') {
            let mut peer: Box<dyn Peer> = match (system, options.dtype.as_str()) {
                ("candle_lstm", "f32" | "f64") => {
                    Box::new(candle_lstm::Net::new(shape, options.dtype == "f64", options.check)?)
                }
                ("burn_lstm", "f32") => Box::new(burn_lstm::Net::new(shape, options.check)),
                _ => return Err(format!("no system {system} for {}", options.dtype).into()),
            };
            let [t, b, i, h, l] = shape;
            let found = if options.check {
                let [loss, norm] = peer.checked()?;
                format!("\"loss\": {loss:?}, \"gradient_norm\": {norm:?}")
            } else {
                let times = timed(options, &mut *peer)?;
                let n = times.len();
                let median = (times[(n - 1) / 2] + times[n / 2]) / 2.0;
                format!("\"ms\": {median:.6}, \"min_ms\": {:.6}, \"runs\": {n}", times[0])
            };
            println!(
                "{{\"system\": \"{system}\", \"shape\": \"{name}\", \"T\": {t}, \"B\": {b}, \"I\": {i}, \"H\": {h}, \"L\": {l}, \
                 \"threads\": {}, \"dtype\": \"{}\", {found}}}",
                options.threads, options.dtype
            );
        }
    }
    Ok(())
}

/// The times of the runs in ms, sorted; as ../../../src/timing.rs.
fn timed(options: &Options, peer: &mut dyn Peer) -> Outcome<Vec<f64>> {
    (0..3).try_for_each(|_| peer.step())?;
    let (mut times, start) = (Vec::new(), Instant::now());
    while times.len() < 5 || (times.len() < options.runs && start.elapsed().as_secs_f64() < options.budget) {
        let began = Instant::now();
        peer.step()?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// `amplitude · sin(k + 1)` in element `k` of `n`, as ../../../src/train.rs makes it.
fn wave(n: usize, amplitude: f64) -> Vec<f64> {
    (1..=n).map(|k| amplitude * (k as f64).sin()).collect()
}
