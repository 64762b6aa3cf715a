//! Forecasts a real series with a recurrent network, and says honestly how good it is.
//!
//! ```text
//! cargo run --release --example forecast
//! ```
//!
//! reads 13 months of half-hourly water temperatures, trains a two-layer LSTM on windows of 48 hours, and forecasts the next
//! 24 hours of windows it has not seen. Two baselines must be beaten: persistence (it stays as it is) and seasonal-naive
//! (as 24 hours ago).
//!
//! What the numbers mean: the series is split by time *within each month* (days 1-20 train, 21-25 validate, the rest test),
//! and no value of a validation or test target is ever trained on. So the error is that of a network which knows this year's
//! seasons. It says nothing about next year: 13 months are too few to measure that.
//!
//! The files, in the order of reading: `series` (CSV to numbers), `task` (numbers to windows), `model` (the network, and a
//! cell of one's own in ten lines), `train` (the loop), `report` (the table), `plots` and `panel` (the pictures).

// In a program `pub` means: for the other modules.
#![allow(unreachable_pub)]

mod cli;
mod failure;
mod model;
mod output;
mod panel;
mod plots;
mod report;
mod series;
mod task;
mod train;

use clap::Parser;
use cli::{CellKind, Options};
use failure::{Failure, Result};
use model::{Forecaster, MinimalGatedUnit};
use output::say;
use series::Series;
use std::process::ExitCode;
use std::time::Instant;
use task::Task;
use wengert::prelude::{Cell, LstmCell, ParamTree, Rnn, io};
use wengert::train::{Random, Seeds};

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let series = Series::read(&options.csv, &options.column)?;
    let mut task = Task::new(series, options)?;
    output::prepare(&options.out)?;
    if options.smoke {
        task.test = task.test.iter().copied().step_by(16).collect();
    }
    let (layers, hidden) = (options.layers, options.hidden);
    match options.cell {
        CellKind::Lstm => forecast(options, &task, "LSTM", |rng| {
            // With an open forget gate the cell begins by remembering.
            Rnn::stack(layers, task.inputs(), |_, input| LstmCell::new(input, hidden, rng).with_forget_bias(1.0))
        }),
        CellKind::Custom => forecast(options, &task, "custom cell", |rng| {
            Rnn::stack(layers, task.inputs(), |_, input| MinimalGatedUnit::new(input, hidden, rng))
        }),
    }
}

/// Trains, tests, draws and saves, whatever the cell.
fn forecast<C: Cell>(options: &Options, task: &Task, name: &str, layers: impl Fn(&mut Random) -> Rnn<C>) -> Result<()> {
    let network = |seeds: Seeds| {
        let mut rng = seeds.rng("weights");
        Forecaster::new(layers(&mut rng), options.hidden, task.horizon, &mut rng)
    };
    let seeds = Seeds::new(options.seed);
    let model = network(seeds)?;

    say!("{}: {} values of '{}'", options.csv.display(), task.series.values.len(), task.series.name);
    say!("split {}", task.split);
    let [train, validation, test] = [&task.train, &task.validation, &task.test].map(|windows| windows.len());
    say!(
        "windows of {} steps, forecasts of {}: {train} train, {validation} validation, {test} test",
        task.window,
        task.horizon
    );
    say!("{} layers of {} units, {} parameters", options.layers, options.hidden, model.num_params());

    let start = Instant::now();
    let (epochs, stride) = if options.smoke { (options.epochs.min(2), 32) } else { (options.epochs, 8) };
    let history = train::train(&model, task, (epochs, stride), seeds)?;
    let seconds = start.elapsed().as_secs_f64();
    say!("trained {} epochs in {seconds:.1} s, kept the weights of epoch {}\n", history.train.len(), history.best + 1);

    let forecasts = model.forecast(task, &task.test)?;
    let scores = [
        report::score(name, task, |window| forecasts[window].clone()),
        report::score("persistence", task, |window| task.persistence(task.test[window])),
        report::score(format!("seasonal-naive ({})", report::duration(task, task.season)), task, |window| {
            task.seasonal_naive(task.test[window])
        }),
    ];
    if !scores[0].rmse.is_finite() {
        return Err(Failure::file(&options.csv, "values are so large that a forecast is not a number"));
    }
    say!("error on the test windows, in the units of '{}'", task.series.name);
    say!("{}", report::table(&scores, task));

    let weights = options.out.join("forecast.safetensors");
    io::save(&model, &weights)?;
    let again = network(Seeds::new(!options.seed))?;
    io::load(&again, &weights)?;
    let bits = |forecasts: &[Vec<f64>]| forecasts.concat().iter().map(|y| y.to_bits()).collect::<Vec<u64>>();
    if bits(&again.forecast(task, &task.test)?) != bits(&forecasts) {
        return Err(Failure::file(&weights, "the weights read back give another forecast"));
    }
    say!("\n{}: read back, the same {test} forecasts to the bit", weights.display());

    for (name, svg) in [("forecast", plots::forecast(task, &forecasts, &scores)?), ("loss", plots::losses(&history)?)] {
        let path = options.out.join(name).with_extension("svg");
        output::write(&path, svg.as_bytes())?;
        output::write(&path.with_extension("png"), &panel::png(&svg)?)?;
        say!("{}, .png", path.display());
    }
    Ok(())
}
