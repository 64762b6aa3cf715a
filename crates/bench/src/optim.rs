//! Updates of ten million parameters, in ten matrices.

use crate::Outcome;
use crate::options::Options;
use crate::report::{Report, Row};
use crate::timing::timed;
use rand::{SeedableRng, rngs::StdRng};
use wengert::prelude::*;

const SYSTEMS: [&str; 5] = ["wengert_sgd", "wengert_sgd_momentum", "wengert_adam", "wengert_adamw", "wengert_clip"];
const MATRICES: usize = 10;
const SIDE: usize = 1000;

pub(crate) fn run(options: &Options, report: &mut Report) -> Outcome {
    for system in options.systems(&SYSTEMS, SYSTEMS.len())? {
        let mut rng = StdRng::seed_from_u64(0);
        let mut draw = || Param::new(init::uniform(&[SIDE, SIDE], 0.1, &mut rng));
        let module: Vec<Param> = (0..MATRICES).map(|_| draw()).collect();
        module.set_dtype(options.dtype.dtype())?;
        let mut gradients = gradients(&module)?;
        let mut step: Box<dyn FnMut() -> Result<()>> = match system {
            "wengert_clip" => Box::new(|| clip_grad_norm(&module, &mut gradients, 1.0).map(drop)),
            "wengert_adam" | "wengert_adamw" => {
                let mut adam = Adam::new(1e-4).decoupled_decay(if system == "wengert_adamw" { 1e-2 } else { 0.0 });
                Box::new(move || adam.step(&module, &gradients))
            }
            _ => {
                let momentum = if system == "wengert_sgd" { 0.0 } else { 0.9 };
                let mut sgd = Sgd::new(1e-4).momentum(momentum);
                Box::new(move || sgd.step(&module, &gradients))
            }
        };
        let timing = timed(options.budget, options.runs, &mut step)?;
        let row = Row::new(system).count("parameters", MATRICES * SIDE * SIDE).count("threads", options.threads.into());
        let row = row.text("dtype", &options.dtype.dtype().to_string()).timing(&timing);
        report.row(&row.real("ns_parameter", timing.median * 1e6 / (MATRICES * SIDE * SIDE) as f64));
    }
    Ok(())
}

/// The gradients of half the sum of squares: the parameters' values.
fn gradients(module: &[Param]) -> Result<Gradients> {
    let tape = Tape::new();
    let halves = module.iter().map(|param| tape.param(param).square().sum() * 0.5);
    halves.reduce(|a, b| a + b).map_or_else(|| tape.constant(0.0f64).backward(), |loss| loss.backward())
}
