//! Times wengert on the shapes of the peers' benchmark and prints one JSON line a system and shape.
#![forbid(unsafe_code)]

mod shapes;
mod timing;
mod train;

use clap::{Parser, ValueEnum};

/// Times wengert; one JSON line for each system and shape.
#[derive(Parser)]
struct Options {
    /// What to time.
    what: What,
    /// Shapes by name, separated by commas, or `all`.
    #[arg(long, default_value = "all")]
    shapes: String,
    /// Systems by name, separated by commas, or `all`.
    #[arg(long, default_value = "all")]
    pub(crate) systems: String,
    /// Threads that share a program's work.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) threads: u8,
    /// Seconds to spend on each row.
    #[arg(long, default_value_t = 3.0)]
    pub(crate) budget: f64,
    /// The most runs of a row.
    #[arg(long, default_value_t = 200)]
    pub(crate) runs: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// One training step: forward, loss = mean of squared outputs, backward; recording included.
    Train,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    wengert::set_threads(options.threads.into());
    let shapes = shapes::named(&options.shapes)?;
    match options.what {
        What::Train => train::run(&shapes, &options),
    }
}
