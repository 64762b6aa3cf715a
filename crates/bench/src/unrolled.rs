//! A training step with a `for` loop over time in Rust, beside the same step with a scan.

use crate::Outcome;
use crate::cells::Custom;
use crate::known;
use crate::options::Options;
use crate::report::Report;
use crate::timing::interleaved;
use crate::train;
use wengert::prelude::*;

pub(crate) fn run(options: &Options, report: &mut Report) -> Outcome {
    // Shapes of a size at which somebody would write the loop by hand.
    for shape in options.shapes("adding,seed,online32,small64,mid128")? {
        let (net, x) = train::net(&shape, options.dtype.dtype(), |input, rng| Custom::new(input, shape.h, rng))?;
        let looped = || {
            let tape = Tape::new();
            unrolled(&net, &Cx::train(&tape), tape.constant(&x)).square().mean().backward()
        };
        if options.check {
            let params: Vec<Param> = net.params().into_iter().map(|(_, param)| param).collect();
            known::set(&params)?;
            let mut gradients = looped()?;
            let norm = clip_grad_norm(&params, &mut gradients, f64::MAX)?;
            let row = train::row("wengert_unrolled", &shape, options).exact("loss", gradients.loss().item()?);
            report.row(&row.exact("gradient_norm", norm));
            continue;
        }
        let mut looped = || looped().map(drop);
        let mut scan = train::make("wengert_custom", &shape, options.dtype.dtype())?;
        let mut scan = || scan.step();
        let timings = interleaved(options.budget, options.runs, &mut [&mut looped, &mut scan])?;
        for (system, timing) in ["wengert_unrolled", "wengert_custom"].into_iter().zip(&timings) {
            let row = train::row(system, &shape, options).timing(timing);
            report.row(&row.real("ratio", timing.ratio(&timings[1])));
        }
    }
    Ok(())
}

/// The outputs of a loop over time.
pub(crate) fn unrolled<'t, C: Cell>(net: &Rnn<C>, cx: &Cx<'t>, x: Var<'t>) -> Var<'t> {
    let Ok([steps, batch, _]) = x.dims::<3>() else { return x };
    let mut states = net.init(cx, batch);
    let mut outputs = Vec::with_capacity(steps);
    for t in 0..steps {
        let (y, next) = net.step(x.get(0, t), states);
        states = next;
        outputs.push(y);
    }
    cx.tape().stack(&outputs, 0)
}
