//! What a training step costs beside its run: recording, finding the program that is known, planning one that is not.

use crate::Outcome;
use crate::cells::Custom;
use crate::options::Options;
use crate::report::{Report, Row};
use crate::shapes::Shape;
use crate::timing::{Timing, since, timed_part};
use crate::train;
use std::time::Instant;
use wengert::prelude::*;

/// Structures that are planned; each has another number of rows.
const STRUCTURES: usize = 20;

/// For a scan of 100 steps and for the same as a loop in Rust:
/// - `record`: the forward pass, by node recorded;
/// - `known`: what every step of a training loop pays: the forward pass is recorded and the program of `backward`, which an
///   earlier step has planned, is found; by node recorded;
/// - `grad`: recording gradients, which `backward` does for a structure it does not know, and `grad` each time; by
///   node it records;
/// - `plan`: what `backward` does once for a structure: gradients are recorded and everything is compiled; by node of
///   forward pass and gradients.
pub(crate) fn run(options: &Options, report: &mut Report) -> Outcome {
    // On more, parts of one structure's rows could be the whole of another's, and be known.
    wengert::set_threads(1);
    for (name, forward) in [("scan", scanned as Forward), ("loop", looped)] {
        let (net, x) = made(1)?;
        let step = Step { net: &net, x: &x, forward };
        let (before, with_gradients) = step.nodes();
        let mut say = |what: &str, nodes: usize, part: &dyn Fn() -> Result<f64>| -> Outcome {
            let timing = timed_part(options.budget, options.runs, part)?;
            let row = Row::new(&format!("wengert_{what}_{name}")).count("on", 1).count("nodes", nodes).timing(&timing);
            report.row(&row.real("ns_node", timing.median * 1e6 / nodes as f64));
            Ok(())
        };
        say("record", before, &|| step.record())?;
        say("known", before, &|| step.find())?;
        say("grad", with_gradients - before, &|| step.differentiate())?;

        let plan = |batch| -> Result<f64> {
            let (net, x) = made(batch)?;
            Step { net: &net, x: &x, forward }.plan()
        };
        let timing = Timing::of((2..2 + STRUCTURES).map(plan).collect::<Result<_>>()?);
        let row =
            Row::new(&format!("wengert_plan_{name}")).count("on", 1).count("nodes", with_gradients).timing(&timing);
        report.row(&row.real("us_node", timing.median * 1e3 / with_gradients as f64));
    }
    Ok(())
}

fn made(batch: usize) -> Result<(Rnn<Custom>, Tensor)> {
    let shape = Shape { name: String::new(), t: 100, b: batch, i: 8, h: 8, l: 2 };
    train::net(&shape, DType::F32, |input, rng| Custom::new(input, 8, rng))
}

/// Records the outputs of a network.
type Forward = for<'t> fn(&Rnn<Custom>, &Cx<'t>, Var<'t>) -> Var<'t>;

fn scanned<'t>(net: &Rnn<Custom>, cx: &Cx<'t>, x: Var<'t>) -> Var<'t> {
    net.forward(cx, x).0
}

fn looped<'t>(net: &Rnn<Custom>, cx: &Cx<'t>, x: Var<'t>) -> Var<'t> {
    crate::unrolled::unrolled(net, cx, x)
}

/// A training step without its run; each method gives the milliseconds of its part.
struct Step<'a> {
    net: &'a Rnn<Custom>,
    x: &'a Tensor,
    forward: Forward,
}

impl Step<'_> {
    fn loss<'t>(&self, tape: &'t Tape) -> Var<'t> {
        (self.forward)(self.net, &Cx::train(tape), tape.constant(self.x)).square().mean()
    }

    fn gradients<'t>(&self, loss: Var<'t>) -> Vec<Var<'t>> {
        let params: Vec<_> = self.net.params().iter().map(|(_, param)| loss.tape().param(param)).collect();
        loss.grad(&params[..])
    }

    /// How many nodes the forward pass has, and how many it has with the gradients.
    fn nodes(&self) -> (usize, usize) {
        let tape = Tape::new();
        let loss = self.loss(&tape);
        let before = tape.len();
        self.gradients(loss);
        (before, tape.len())
    }

    fn record(&self) -> Result<f64> {
        let start = Instant::now();
        let tape = Tape::new();
        self.loss(&tape);
        drop(tape);
        Ok(since(start))
    }

    fn find(&self) -> Result<f64> {
        let start = Instant::now();
        let tape = Tape::new();
        self.loss(&tape).plan_backward()?;
        drop(tape);
        Ok(since(start))
    }

    fn differentiate(&self) -> Result<f64> {
        let tape = Tape::new();
        let loss = self.loss(&tape);
        let start = Instant::now();
        self.gradients(loss);
        Ok(since(start))
    }

    fn plan(&self) -> Result<f64> {
        let tape = Tape::new();
        let loss = self.loss(&tape);
        let start = Instant::now();
        loss.plan_backward()?;
        Ok(since(start))
    }
}
