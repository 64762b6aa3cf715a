//! Inference: single steps with the state carried from one to the next, and whole sequences.

use crate::Outcome;
use crate::known;
use crate::options::Options;
use crate::report::Report;
use crate::timing::timed;
use crate::train;
use wengert::prelude::*;

const SYSTEMS: [&str; 2] = ["wengert_step", "wengert_sequence"];

/// Steps in one timed run: one alone is too short for the clock.
const STEPS: usize = 100;

pub(crate) fn run(options: &Options, report: &mut Report) -> Outcome {
    for shape in options.shapes("100x1x128x128x1,mid128")? {
        let (net, x) = train::net(&shape, options.dtype.dtype(), |input, rng| LstmCell::new(input, shape.h, rng))?;
        for system in options.systems(&SYSTEMS, SYSTEMS.len())? {
            if options.check {
                known::set(net.params().iter().map(|(_, param)| param))?;
                let outputs = if system == "wengert_step" { stepwise(&net, &x)? } else { vec![sequence(&net, &x)?] };
                let sum = outputs.iter().flat_map(Tensor::to_f64_vec).sum();
                let row = train::row(system, &shape, options);
                report.row(&row.exact("output_norm", known::norm(&outputs)).exact("output_sum", sum));
                continue;
            }
            let timing = match system {
                "wengert_step" => {
                    let x = at(&x, 0)?;
                    let mut stream = net.stream();
                    timed(options.budget, options.runs, || (0..STEPS).try_for_each(|_| stream.step(&x).map(drop)))?
                        .per(STEPS)
                }
                _ => timed(options.budget, options.runs, || sequence(&net, &x).map(drop))?,
            };
            report.row(&train::row(system, &shape, options).timing(&timing));
        }
    }
    Ok(())
}

/// All outputs of a sequence.
fn sequence(net: &Rnn<LstmCell>, x: &Tensor) -> Result<Tensor> {
    let tape = Tape::inference();
    let (y, _) = net.forward(&Cx::eval(&tape), tape.constant(x));
    y.value()
}

/// The same, a step at a time.
fn stepwise(net: &Rnn<LstmCell>, x: &Tensor) -> Result<Vec<Tensor>> {
    let mut stream = net.stream();
    (0..x.shape()[0]).map(|t| stream.step(&at(x, t)?)).collect()
}

/// The input of a step.
fn at(x: &Tensor, t: usize) -> Result<Tensor> {
    x.narrow(0, t, 1)?.contiguous().reshape(&x.shape()[1..])
}
