//! Errors of forecasts, and the table of them.

use crate::task::Task;

/// The errors of one way to forecast, over the test windows.
pub struct Score {
    pub name: String,
    pub rmse: f64,
    pub mae: f64,
    /// The root mean squared error of each step of the forecast.
    pub by_step: Vec<f64>,
}

/// Compares forecasts with what happened.
pub fn score(name: impl Into<String>, task: &Task, forecast: impl Fn(usize) -> Vec<f64>) -> Score {
    let mut squares = vec![0.0; task.horizon];
    let mut absolute = 0.0;
    for (window, &origin) in task.test.iter().enumerate() {
        for ((square, guess), truth) in squares.iter_mut().zip(forecast(window)).zip(task.truth(origin)) {
            let error = guess - truth;
            *square += error * error;
            absolute += error.abs();
        }
    }
    let windows = task.test.len() as f64;
    let steps = task.horizon as f64;
    Score {
        name: name.into(),
        rmse: (squares.iter().sum::<f64>() / windows / steps).sqrt(),
        mae: absolute / windows / steps,
        by_step: squares.iter().map(|square| (square / windows).sqrt()).collect(),
    }
}

/// One row for each way to forecast, the network first: the errors over all steps, and at quarters of the horizon.
pub fn table(scores: &[Score], task: &Task) -> String {
    let mut quarters: Vec<usize> = (1..=4).map(|q| (task.horizon * q / 4).max(1)).collect();
    quarters.dedup();
    let wide = scores.iter().map(|score| score.name.len()).max().unwrap_or(0);
    let heads: String =
        quarters.iter().map(|step| format!(" {:>11}", format!("at {}", duration(task, *step)))).collect();
    let mut lines = vec![format!("{:wide$}  {:>9} {:>9}{heads}", "", "RMSE", "MAE")];
    for score in scores {
        let cells: String = quarters.iter().map(|step| format!(" {:>11}", number(score.by_step[step - 1]))).collect();
        lines.push(format!("{:wide$}  {:>9} {:>9}{cells}", score.name, number(score.rmse), number(score.mae)));
    }
    if let Some((network, baselines)) = scores.split_first() {
        let against = |baseline: &Score| {
            let change = 100.0 * (network.rmse / baseline.rmse - 1.0);
            format!("{:.1} % {} {}", change.abs(), if change < 0.0 { "below" } else { "above" }, baseline.name)
        };
        let all: Vec<String> = baselines.iter().map(against).collect();
        lines.push(format!("RMSE of {}: {}", network.name, all.join(", ")));
    }
    lines.join("\n")
}

/// A number of steps in hours, if times are known and it is a whole number of them; else in steps.
pub fn duration(task: &Task, steps: usize) -> String {
    match task.series.step().map(|step| step * steps as i64) {
        Some(seconds) if seconds % 3600 == 0 => format!("{} h", seconds / 3600),
        _ if steps == 1 => "1 step".to_string(),
        _ => format!("{steps} steps"),
    }
}

/// Four decimals where they tell something.
fn number(value: f64) -> String {
    if value == 0.0 || (1e-3..1e4).contains(&value) { format!("{value:.4}") } else { format!("{value:.2e}") }
}
