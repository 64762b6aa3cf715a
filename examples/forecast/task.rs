//! The forecasting task: which windows of the series train, validate and test, and how they become tensors.

use crate::cli::Options;
use crate::failure::{Failure, Result};
use crate::series::{Series, date_of};
use wengert::prelude::*;
use wengert::train::Standard;

/// What a value of the series is used for.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Train,
    Validation,
    Test,
}

/// A series cut into windows. A window is named by its origin: the index of the first value to forecast.
pub struct Task {
    pub series: Series,
    pub window: usize,
    pub horizon: usize,
    pub season: usize,
    pub train: Vec<usize>,
    pub validation: Vec<usize>,
    pub test: Vec<usize>,
    /// How the series was split, in words.
    pub split: &'static str,
    /// The unit of the forecast: the deviation of the targets from the last value seen, over the training windows.
    pub scale: f64,
    mean: f64,
    std: f64,
    /// Sine and cosine of the time of day, if it is known and changes from step to step.
    clock: Option<Vec<(f32, f32)>>,
}

impl Task {
    pub fn new(series: Series, options: &Options) -> Result<Task> {
        let (window, horizon) = (options.window, options.horizon);
        let step = series.step();
        let season = options.season.unwrap_or(step.map_or(horizon, |step| (86_400 / step).max(1) as usize));
        // The first value is regular: nothing before it is asked for.
        let regular: Vec<bool> = match (&series.times, step) {
            (Some(times), Some(step)) => (0..times.len()).map(|i| i == 0 || times[i] - times[i - 1] == step).collect(),
            _ => vec![true; series.values.len()],
        };
        let windows = |parts: &[Part]| {
            [Part::Train, Part::Validation, Part::Test].map(|part| {
                let past = window.max(season);
                let fits = |&origin: &usize| {
                    let (start, end) = (origin - past, origin + horizon);
                    (start + 1..end).all(|i| regular[i])
                        && (origin..end).all(|i| parts[i] == part)
                        // What a validation or test window has seen may be older; what the network learns from may not.
                        && (part != Part::Train || (start..origin).all(|i| parts[i] == part))
                };
                (past..(parts.len() + 1).saturating_sub(horizon)).filter(fits).collect::<Vec<usize>>()
            })
        };
        let months = "within each month: days 1-20 train, 21-25 validation, the rest test";
        let order = "in order of time: 70 % train, 15 % validation, 15 % test";
        let splits = [(by_month(&series), months), (Some(in_order(series.values.len())), order)];
        let found = splits.into_iter().find_map(|(parts, split)| {
            let parts = parts?;
            let windows = windows(&parts);
            windows.iter().all(|part| !part.is_empty()).then_some((parts, windows, split))
        });
        let Some((parts, [train, validation, test], split)) = found else {
            return Err(Failure::new(format!(
                "{}: {} values are too few: training, validation and test must each hold windows of {} steps to look back and {horizon} to forecast",
                options.csv.display(),
                series.values.len(),
                window.max(season),
            )));
        };

        let x = &series.values;
        let trained: Vec<f64> = (0..x.len()).filter(|i| parts[*i] == Part::Train).map(|i| x[i]).collect();
        if trained.iter().all(|value| *value == trained[0]) {
            let what = "constant: there is nothing to learn";
            return Err(Failure::file(&options.csv, format!("the training part of '{}' is {what}", series.name)));
        }
        let (mean, std) = mean_std(trained)?;
        let moves = |&origin: &usize| (origin..origin + horizon).map(move |i| x[i] - x[origin - 1]);
        let (_, scale) = mean_std(train.iter().flat_map(moves).collect())?;
        let clock = series.times.as_ref().filter(|_| step.is_some_and(|step| step < 86_400)).map(|times| {
            let angle = |time: i64| std::f64::consts::TAU * time.rem_euclid(86_400) as f64 / 86_400.0;
            times.iter().map(|time| (angle(*time).sin() as f32, angle(*time).cos() as f32)).collect()
        });
        Ok(Task { series, window, horizon, season, train, validation, test, split, scale, mean, std, clock })
    }

    /// The number of inputs at each step, I.
    pub fn inputs(&self) -> usize {
        if self.clock.is_some() { 4 } else { 2 }
    }

    /// What the network reads, `[T, B, I]`: at each step of the window the value relative to the last one, the value
    /// relative to all training values, and the time of day.
    pub fn input(&self, origins: &[usize]) -> wengert::prelude::Result<Tensor> {
        let x = &self.series.values;
        let mut data: Vec<f32> = Vec::with_capacity(self.window * origins.len() * self.inputs());
        for step in 0..self.window {
            for origin in origins {
                let i = origin - self.window + step;
                data.push(((x[i] - x[origin - 1]) / self.scale) as f32);
                data.push(((x[i] - self.mean) / self.std) as f32);
                if let Some(clock) = &self.clock {
                    data.extend([clock[i].0, clock[i].1]);
                }
            }
        }
        Tensor::from_vec(data, [self.window, origins.len(), self.inputs()])
    }

    /// What it should answer, `[B, H]`: the move from the last value seen, in units of `scale`.
    pub fn target(&self, origins: &[usize]) -> wengert::prelude::Result<Tensor> {
        let moves = origins.iter().flat_map(|&origin| self.truth(origin).iter().map(move |y| (y, origin)));
        let data: Vec<f32> = moves.map(|(y, origin)| ((y - self.last(origin)) / self.scale) as f32).collect();
        Tensor::from_vec(data, [origins.len(), self.horizon])
    }

    /// The last value a window has seen.
    pub fn last(&self, origin: usize) -> f64 {
        self.series.values[origin - 1]
    }

    /// The values to forecast.
    pub fn truth(&self, origin: usize) -> &[f64] {
        &self.series.values[origin..origin + self.horizon]
    }

    /// The baseline "it stays as it is".
    pub fn persistence(&self, origin: usize) -> Vec<f64> {
        vec![self.last(origin); self.horizon]
    }

    /// The baseline "as one season ago", the last season repeated as often as needed.
    pub fn seasonal_naive(&self, origin: usize) -> Vec<f64> {
        (0..self.horizon).map(|h| self.series.values[origin - self.season + h % self.season]).collect()
    }
}

/// Days 1 to 20 of each month train, 21 to 25 validate, the rest test.
fn by_month(series: &Series) -> Option<Vec<Part>> {
    let part = |time: &i64| match date_of(time.div_euclid(86_400)).2 {
        ..=20 => Part::Train,
        21..=25 => Part::Validation,
        _ => Part::Test,
    };
    Some(series.times.as_ref()?.iter().map(part).collect())
}

/// The first 70 % train, the next 15 % validate, the rest test.
fn in_order(n: usize) -> Vec<Part> {
    let part = |i| match i {
        i if i < n * 70 / 100 => Part::Train,
        i if i < n * 85 / 100 => Part::Validation,
        _ => Part::Test,
    };
    (0..n).map(part).collect()
}

/// Mean and deviation of values that the network is trained on.
fn mean_std(values: Vec<f64>) -> wengert::train::Result<(f64, f64)> {
    let n = values.len();
    let standard = Standard::fit(&Tensor::from_vec(values, [n, 1])?, 0..n)?;
    Ok((standard.mean[0], standard.std[0]))
}
