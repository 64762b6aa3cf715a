//! The options.

use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Trains a recurrent network to forecast a series and compares it with two baselines.
///
/// Without options: the water temperature at a buoy in the Gulf of Maine, half-hourly, the next 24 hours.
/// Writes forecast.{svg,png}, loss.{svg,png} and forecast.safetensors.
#[derive(Parser, Debug)]
#[command(name = "forecast")]
pub struct Options {
    /// The series: a CSV file with a header line, and one row for each step of time.
    ///
    /// A column named `time` (ISO 8601, as 2016-02-15T00:30:00Z) is used if there is one.
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/sea_surface_temperature.csv"))]
    pub csv: PathBuf,

    /// The column to forecast.
    #[arg(long, value_name = "NAME", default_value = "temperature")]
    pub column: String,

    /// How many steps to forecast.
    #[arg(long, value_name = "STEPS", default_value = "48", value_parser = up_to::<10000>)]
    pub horizon: usize,

    /// How many steps the network reads before it forecasts.
    #[arg(long, value_name = "STEPS", default_value = "96", value_parser = up_to::<10000>)]
    pub window: usize,

    /// The period of the seasonal-naive baseline [default: one day if times are known, else the horizon].
    #[arg(long, value_name = "STEPS", value_parser = up_to::<100000>)]
    pub season: Option<usize>,

    /// Units in each layer.
    #[arg(long, value_name = "N", default_value = "32", value_parser = up_to::<4096>)]
    pub hidden: usize,

    /// Layers.
    #[arg(long, value_name = "N", default_value = "2", value_parser = up_to::<64>)]
    pub layers: usize,

    /// Passes over the training windows, at most: validation may stop earlier.
    #[arg(long, value_name = "N", default_value = "20", value_parser = up_to::<100000>)]
    pub epochs: usize,

    /// Seed of the weights and of the order of the windows; the same seed gives the same forecast to the bit.
    #[arg(long, value_name = "N", default_value = "0")]
    pub seed: u64,

    /// The recurrent cell: the library's LSTM, or the one defined in this example.
    #[arg(long, value_enum, default_value = "lstm")]
    pub cell: CellKind,

    /// The folder for pictures and weights; made if it is missing.
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,

    /// The same in a few seconds, with few windows and two epochs: to see that it runs, not how good it is.
    #[arg(long)]
    pub smoke: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum CellKind {
    /// Long short-term memory, `LstmCell`.
    Lstm,
    /// A minimal gated unit, ten lines in examples/forecast/model.rs.
    Custom,
}

/// A whole number from 1 to `MAX`.
fn up_to<const MAX: usize>(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (1..=MAX).contains(&n) => Ok(n),
        _ => Err(format!("expected a whole number from 1 to {MAX}")),
    }
}
