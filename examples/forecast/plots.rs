//! What the pictures show.

use crate::failure::Result;
use crate::panel::{Curve, Panel, draw, legend, picture, range_of};
use crate::report::{Score, duration};
use crate::series::format_time;
use crate::task::Task;
use crate::train::History;
use plotters::style::RGBColor;
use rand::{Rng, SeedableRng, rngs::StdRng};
use wengert::train::plot::{Line, Plot};

const NETWORK: RGBColor = RGBColor(0, 90, 181);
const PERSISTENCE: RGBColor = RGBColor(214, 118, 0);
const SEASONAL: RGBColor = RGBColor(0, 140, 110);
const TRUTH: RGBColor = RGBColor(30, 30, 30);

/// One window of each quarter of the test part with truth and forecasts; below them the error by horizon.
pub fn forecast(task: &Task, forecasts: &[Vec<f64>], scores: &[Score]) -> Result<String> {
    let hours = task.series.step().map_or(1.0, |step| step as f64 / 3600.0);
    let axis = if task.series.step().is_some() { "hours" } else { "steps" };
    let tick = (task.horizon / 4).max(1) as f64 * hours;
    picture((1200, 980), |root| {
        let (head, body) = root.split_vertically(64);
        let title = format!("Forecast of {}, {} ahead", task.series.name, duration(task, task.horizon));
        let colours = [NETWORK, PERSISTENCE, SEASONAL];
        let named = scores.iter().zip(colours).map(|(score, colour)| (score.name.as_str(), colour));
        legend(&head, &title, &std::iter::once(("measured", TRUTH)).chain(named).collect::<Vec<_>>())?;

        let (above, below) = body.split_vertically(590);
        let mut lot = StdRng::seed_from_u64(0);
        for (quarter, area) in above.split_evenly((2, 2)).iter().enumerate() {
            // Drawn by lot, the same in every run: not chosen for its looks.
            let [start, end] = [quarter, quarter + 1].map(|q| task.test.len() * q / 4);
            if start == end {
                continue;
            }
            let window = lot.random_range(start..end);
            let origin = task.test[window];
            let curve = |from: usize, values: &[f64]| -> Curve {
                let at = |(k, y): (usize, &f64)| ((from as f64 + k as f64 - origin as f64 + 1.0) * hours, *y);
                values.iter().enumerate().map(at).collect()
            };
            let past = task.horizon.min(task.window);
            // Forecasts begin at the last value seen.
            let ahead = |values: &[f64]| curve(origin - 1, &[&[task.last(origin)], values].concat());
            let lines = vec![
                (SEASONAL, 2, ahead(&task.seasonal_naive(origin))),
                (PERSISTENCE, 2, ahead(&task.persistence(origin))),
                (TRUTH, 2, curve(origin - past, &task.series.values[origin - past..origin + task.horizon])),
                (NETWORK, 3, ahead(&forecasts[window])),
            ];
            let title = match &task.series.times {
                Some(times) => format!("after {} UTC", format_time(times[origin - 1])),
                None => format!("after value {origin}"),
            };
            let x = (1.0 - past as f64) * hours..task.horizon as f64 * hours;
            let y = (task.series.name.as_str(), range_of(&lines, None));
            draw(area, Panel { title: &title, x: (axis, x, tick), y, lines, mark: Some(0.0) })?;
        }

        let by_step =
            |score: &Score| score.by_step.iter().enumerate().map(|(h, e)| ((h + 1) as f64 * hours, *e)).collect();
        let lines: Vec<_> =
            scores.iter().zip(colours).map(|(score, colour)| (colour, 3, by_step(score))).rev().collect();
        let title = format!("error by horizon, {} test windows", task.test.len());
        let x = (&*format!("{axis} ahead"), 0.0..task.horizon as f64 * hours, tick);
        let y = ("RMSE", range_of(&lines, Some(0.0)));
        draw(&below, Panel { title: &title, x, y, lines, mark: None })
    })
}

/// Training and validation loss by epoch.
pub fn losses(history: &History) -> Result<String> {
    let mut plot = Plot::new("Loss by epoch", "epoch", "mean squared error (scaled)");
    let curve = |values: &[f64]| (1..).zip(values).map(|(epoch, v)| (f64::from(epoch), *v)).collect::<Vec<_>>();
    let flat = vec![history.persistence; history.train.len()];
    plot.lines = vec![
        Line::new("training", curve(&history.train)),
        Line::new("validation", curve(&history.validation)),
        Line::new("validation of persistence", curve(&flat)).dashed(),
    ];
    plot.mark = Some((history.best as f64 + 1.0, "weights that are kept".into()));
    Ok(plot.svg()?)
}
