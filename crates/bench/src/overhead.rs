//! What recording costs for each node, and planning for each node of a structure that is not known yet.

use crate::Outcome;
use crate::cells::Custom;
use crate::options::Options;
use crate::report::{Report, Row};
use crate::shapes::Shape;
use crate::timing::{median, timed};
use crate::train;
use std::time::Instant;
use wengert::prelude::*;

/// Structures that are planned; each has another number of rows.
const STRUCTURES: usize = 20;

pub(crate) fn run(options: &Options, report: &mut Report) -> Outcome {
    let shape = |b| Shape { name: String::new(), t: 100, b, i: 8, h: 8, l: 2 };
    for (name, record) in [("scan", scanned as Record), ("loop", looped)] {
        let (net, x) = train::net(&shape(1), DType::F32, |input, rng| Custom::new(input, 8, rng))?;
        let mut nodes = 0;
        let timing = timed(options.budget, options.runs, || {
            let tape = Tape::new();
            record(&net, &tape, &x);
            nodes = tape.len();
            Ok::<_, Error>(())
        })?;
        let row = Row::new(&format!("wengert_record_{name}")).count("nodes", nodes).timing(&timing);
        report.row(&row.real("ns_node", timing.median * 1e6 / nodes as f64));

        let mut planning = Vec::new();
        for b in 1..=STRUCTURES {
            let (net, x) = train::net(&shape(b), DType::F32, |input, rng| Custom::new(input, 8, rng))?;
            let evaluate = || {
                let tape = Tape::new();
                let gradients = record(&net, &tape, &x);
                let start = Instant::now();
                tape.eval_all(&gradients)?;
                Ok::<_, Error>(start.elapsed().as_secs_f64() * 1e3)
            };
            // The second time the program is known, and what is left is its run.
            let (cold, warm) = (evaluate()?, evaluate()?);
            planning.push(cold - warm);
        }
        let ms = median(&planning);
        let row = Row::new(&format!("wengert_plan_{name}")).count("nodes", nodes).real("ms", ms);
        report.row(&row.count("runs", STRUCTURES).real("us_node", ms * 1e3 / nodes as f64));
    }
    Ok(())
}

/// Records a training step: the gradients of all parameters.
type Record = for<'t> fn(&Rnn<Custom>, &'t Tape, &Tensor) -> Vec<Var<'t>>;

fn scanned<'t>(net: &Rnn<Custom>, tape: &'t Tape, x: &Tensor) -> Vec<Var<'t>> {
    gradients(net, net.forward(&Cx::train(tape), tape.constant(x)).0)
}

fn looped<'t>(net: &Rnn<Custom>, tape: &'t Tape, x: &Tensor) -> Vec<Var<'t>> {
    gradients(net, crate::unrolled::unrolled(net, &Cx::train(tape), tape.constant(x)))
}

fn gradients<'t>(net: &Rnn<Custom>, y: Var<'t>) -> Vec<Var<'t>> {
    let params: Vec<_> = net.params().iter().map(|(_, param)| y.tape().param(param)).collect();
    y.square().mean().grad(&params[..])
}
