//! Operations one at a time, on 2²⁰ elements: elementwise ones from the library's own table, reductions, compositions.

use crate::Outcome;
use crate::options::Options;
use crate::report::{Report, Row};
use crate::timing::timed;
use rand::{Rng, SeedableRng, rngs::StdRng};
use wengert::autograd::Elementwise;
use wengert::prelude::*;

const ROWS: usize = 1024;
const COLS: usize = 1024;

/// An operation on up to two operands `[ROWS, COLS]`.
type Op = Box<dyn for<'t> Fn(&'t Tape, [Var<'t>; 2]) -> Var<'t>>;

fn op(f: impl for<'t> Fn(&'t Tape, [Var<'t>; 2]) -> Var<'t> + 'static) -> Op {
    Box::new(f)
}

/// Operations with their names and numbers of operands.
fn all() -> Vec<(&'static str, usize, Op)> {
    let elementwise = Elementwise::all().filter(|e| e.arity() <= 2);
    let mut all: Vec<(&'static str, usize, Op)> = elementwise
        .map(|e| (e.name(), e.arity(), op(move |tape, operands| e.apply(tape, &operands[..e.arity()]))))
        .collect();
    all.push(("sum", 1, op(|_, [x, _]| x.sum())));
    all.push(("sum_rows", 1, op(|_, [x, _]| x.sum_axes(-1))));
    all.push(("sum_columns", 1, op(|_, [x, _]| x.sum_axes(0))));
    all.push(("max_rows", 1, op(|_, [x, _]| x.max_axes(-1))));
    all.push(("argmax_rows", 1, op(|_, [x, _]| x.argmax(-1))));
    all.push(("softmax", 1, op(|_, [x, _]| x.softmax(-1))));
    all.push(("log_softmax", 1, op(|_, [x, _]| x.log_softmax(-1))));
    all.push(("logsumexp", 1, op(|_, [x, _]| x.logsumexp(-1))));
    all.push(("layer_norm", 1, op(|_, [x, _]| x.layer_norm(1e-5))));
    all.push(("gelu", 1, op(|_, [x, _]| x.gelu())));
    all.push(("cumsum", 1, op(|_, [x, _]| x.cumsum(-1))));
    all.push(("concat", 2, op(|tape, xs| tape.concat(&xs, 1))));
    all
}

pub(crate) fn run(options: &Options, report: &mut Report) -> Outcome {
    let dtype = options.dtype.dtype();
    let mut rng = StdRng::seed_from_u64(0);
    // In the domain of every operation, and away from values that are a special case of one.
    let mut draw = || {
        let values = (0..ROWS * COLS).map(|_| rng.random_range(0.1f32..0.9)).collect();
        Tensor::from_vec(values, [ROWS, COLS]).map(|x| x.cast(dtype))
    };
    let inputs = [draw()?, draw()?];
    let all = all();
    let names: Vec<&str> = all.iter().map(|(name, ..)| *name).collect();
    let wanted = options.systems(&names, names.len())?;
    for (name, arity, op) in all.iter().filter(|(name, ..)| wanted.contains(name)) {
        let apply = || {
            let tape = Tape::inference();
            op(&tape, [tape.constant(&inputs[0]), tape.constant(&inputs[1])]).value()
        };
        // Some of the table are for other element types.
        let Ok(output) = apply() else { continue };
        let bytes = arity * inputs[0].numel() * dtype.size() + output.numel() * output.dtype().size();
        let timing = timed(options.budget, options.runs, || apply().map(drop))?;
        let row = Row::new("wengert").text("op", name).count("rows", ROWS).count("cols", COLS);
        let row = row.count("threads", options.threads.into()).text("dtype", &dtype.to_string()).timing(&timing);
        let row = row.real("ns_element", timing.median * 1e6 / (ROWS * COLS) as f64);
        report.row(&row.real("gb_s", bytes as f64 / timing.median / 1e6));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_runs_or_is_for_other_types() {
        let x = Tensor::full([3, 4], 0.5, DType::F32);
        for (name, _, op) in all() {
            let tape = Tape::inference();
            let found = op(&tape, [tape.constant(&x), tape.constant(&x)]).value();
            assert_eq!(found.is_err(), matches!(name, "and" | "or" | "not"), "{name}");
        }
    }
}
