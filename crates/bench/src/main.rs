//! The measured claims of wengert. `compare.py` beside this crate sets the same work in other systems against them.
#![forbid(unsafe_code)]

mod cells;
mod custom;
mod gemm;
mod infer;
mod known;
mod long;
mod memory;
mod ops;
mod optim;
mod options;
mod overhead;
mod report;
mod scaling;
mod shapes;
mod timing;
mod train;
mod unrolled;

use clap::Parser;
use options::{Options, What};
use report::Report;
use std::process::ExitCode;

/// What a mode returns.
type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Outcome {
    options.fit()?;
    wengert::set_threads(options.threads.into());
    let run = match options.what {
        What::Train => train::run,
        What::Infer => infer::run,
        What::Unrolled => unrolled::run,
        What::Custom => custom::run,
        What::Ops => ops::run,
        What::Gemm => gemm::run,
        What::Optim => optim::run,
        What::Memory => memory::run,
        What::Long => long::run,
        What::Scaling => scaling::run,
    };
    run(options, &mut Report::new(options.json))
}
