//! Operations one at a time: elementwise ones from the library's own table on 2²⁰ elements; reductions, compositions, indexing
//! and copies, and derivatives of them, on three shapes.

use crate::Outcome;
use crate::options::Options;
use crate::report::{Report, Row};
use crate::timing::timed;
use rand::{Rng, SeedableRng, rngs::StdRng};
use wengert::autograd::{Elementwise, Result};
use wengert::prelude::*;

/// Rows and columns: far larger than the first cache, a layer's activations, logits over a vocabulary.
const SHAPES: [[usize; 2]; 3] = [[1024, 1024], [64, 512], [32, 10000]];

/// What the operations are given.
#[derive(Clone, Copy)]
struct Operands<'t> {
    /// `[rows, cols]`, in the domain of every operation.
    x: Var<'t>,
    /// Another such; also the cotangent of a result of its shape.
    y: Var<'t>,
    /// Columns: `[rows, cols]` and `[rows]`.
    index: Var<'t>,
    targets: Var<'t>,
    /// Rows: `[rows]`.
    tokens: Var<'t>,
}

/// An operation on some of the operands.
type Op = Box<dyn for<'t> Fn(Operands<'t>) -> Vec<Var<'t>>>;

struct Timed {
    name: &'static str,
    /// How many of x and y it reads.
    arity: usize,
    op: Op,
    /// Whether it runs on all shapes or on the first alone.
    shapes: usize,
}

/// An operation on all shapes.
fn op(name: &'static str, arity: usize, f: impl for<'t> Fn(Operands<'t>) -> Var<'t> + 'static) -> Timed {
    Timed { name, arity, op: Box::new(move |o| vec![f(o)]), shapes: SHAPES.len() }
}

/// An operation with two results, on all shapes.
fn two(name: &'static str, arity: usize, f: impl for<'t> Fn(Operands<'t>) -> (Var<'t>, Var<'t>) + 'static) -> Timed {
    let op: Op = Box::new(move |o| {
        let (first, second) = f(o);
        vec![first, second]
    });
    Timed { name, arity, op, shapes: SHAPES.len() }
}

/// An operation and its derivative with respect to x: the result has the shape of x, and y is its cotangent; or it is a scalar.
fn both(name: &'static str, arity: usize, f: impl for<'t> Fn(Operands<'t>) -> Var<'t> + 'static) -> Timed {
    let op: Op = Box::new(move |o| {
        let value = f(o);
        let [gradient] = match value.shape() {
            Ok(shape) if shape.rank() == 0 => value.grad([o.x]),
            _ => value.vjp(o.y, [o.x]),
        };
        vec![value, gradient]
    });
    Timed { name, arity, op, shapes: SHAPES.len() }
}

fn all() -> Vec<Timed> {
    let elementwise = Elementwise::all().filter(|e| e.arity() <= 2);
    let mut all: Vec<Timed> = elementwise
        .map(|e| {
            let apply: Op = Box::new(move |o| vec![e.apply(o.x.tape(), &[o.x, o.y][..e.arity()])]);
            Timed { name: e.name(), arity: e.arity(), op: apply, shapes: 1 }
        })
        .collect();
    all.extend([
        op("gelu", 1, |o| o.x.gelu()),
        op("clamp", 1, |o| o.x.clamp(0.3, 0.6)),
        op("where", 2, |o| o.x.gt(0.5).select(o.x, o.y)),
        op("sum", 1, |o| o.x.sum()),
        op("sum_rows", 1, |o| o.x.sum_axes(-1)),
        op("sum_columns", 1, |o| o.x.sum_axes(0)),
        op("mean_rows", 1, |o| o.x.mean_axes(-1)),
        op("var_rows", 1, |o| o.x.var_axes(-1, 1)),
        op("var_columns", 1, |o| o.x.var_axes(0, 1)),
        op("max_rows", 1, |o| o.x.max_axes(-1)),
        op("max_columns", 1, |o| o.x.max_axes(0)),
        op("argmax_rows", 1, |o| o.x.argmax(-1)),
        op("argmax_columns", 1, |o| o.x.argmax(0)),
        op("softmax", 1, |o| o.x.softmax(-1)),
        op("softmax_columns", 1, |o| o.x.softmax(0)),
        op("log_softmax", 1, |o| o.x.log_softmax(-1)),
        op("logsumexp", 1, |o| o.x.logsumexp(-1)),
        op("layer_norm", 1, |o| o.x.layer_norm(1e-5)),
        op("cross_entropy", 1, |o| loss::cross_entropy(o.x, o.targets)),
        op("cumsum", 1, |o| o.x.cumsum(-1)),
        op("cumsum_columns", 1, |o| o.x.cumsum(0)),
        op("gather", 1, |o| o.x.gather(-1, o.index)),
        op("index_select", 1, |o| o.x.index_select(0, o.tokens)),
        op("concat", 2, |o| o.x.concat([o.y], 1)),
        op("stack", 2, |o| o.x.tape().stack(&[o.x, o.y], 0)),
        op("transpose", 1, |o| o.x.t().reshape([o.x.shape().map_or(0, |shape| shape.numel())])),
        op("argsort", 1, |o| o.x.argsort(-1, false)),
        two("sort", 1, |o| o.x.sort(-1, false)),
        two("topk", 1, |o| o.x.topk(3, -1, true)),
        both("gelu_grad", 2, |o| o.x.gelu()),
        both("sum_grad", 1, |o| o.x.sum()),
        both("max_grad", 1, |o| o.x.max_axes(-1).sum()),
        both("softmax_grad", 2, |o| o.x.softmax(-1)),
        both("log_softmax_grad", 2, |o| o.x.log_softmax(-1)),
        both("layer_norm_grad", 2, |o| o.x.layer_norm(1e-5)),
        both("cross_entropy_grad", 1, |o| loss::cross_entropy(o.x, o.targets)),
        both("cumsum_grad", 2, |o| o.x.cumsum(-1)),
        both("gather_grad", 2, |o| o.x.gather(-1, o.index)),
        both("index_select_grad", 2, |o| o.x.index_select(0, o.tokens)),
    ]);
    all
}

/// Values of the operands, in the order of their fields.
struct Data {
    floats: [Tensor; 2],
    integers: [Tensor; 3],
}

impl Data {
    fn new([rows, cols]: [usize; 2], dtype: DType) -> Result<Data> {
        let mut rng = StdRng::seed_from_u64(0);
        // In the domain of every operation, and away from values that are a special case of one.
        let mut float = || {
            let values = (0..rows * cols).map(|_| rng.random_range(0.1f32..0.9)).collect();
            Tensor::from_vec(values, [rows, cols]).map(|x| x.cast(dtype))
        };
        let floats = [float()?, float()?];
        let mut integers = |n: usize, below: usize| (0..n).map(|_| rng.random_range(0..below as i64)).collect();
        let index = Tensor::from_vec(integers(rows * cols, cols), [rows, cols])?;
        let targets = Tensor::from_vec(integers(rows, cols), [rows])?;
        let tokens = Tensor::from_vec(integers(rows, rows), [rows])?;
        Ok(Data { floats, integers: [index, targets, tokens] })
    }

    /// Records and computes an operation; what it gives lies in memory element by element.
    fn apply(&self, op: &Op) -> Result<Vec<Tensor>> {
        let tape = Tape::new();
        let [x, y] = [tape.var(&self.floats[0]), tape.constant(&self.floats[1])];
        let [index, targets, tokens] = [0, 1, 2].map(|i| tape.constant(&self.integers[i]));
        let values = tape.eval_all(&op(Operands { x, y, index, targets, tokens }))?;
        Ok(values.iter().map(Tensor::contiguous).collect())
    }
}

pub(crate) fn run(options: &Options, report: &mut Report) -> Outcome {
    let dtype = options.dtype.dtype();
    let all = all();
    let names: Vec<&str> = all.iter().map(|timed| timed.name).collect();
    let wanted = options.systems(&names, names.len())?;
    for (at, [rows, cols]) in SHAPES.into_iter().enumerate() {
        let data = Data::new([rows, cols], dtype)?;
        for Timed { name, arity, op, .. } in all.iter().filter(|op| at < op.shapes && wanted.contains(&op.name)) {
            // Some of the table are for other element types.
            let Ok(outputs) = data.apply(op) else { continue };
            let written: usize = outputs.iter().map(|output| output.numel() * output.dtype().size()).sum();
            let bytes = arity * data.floats[0].numel() * dtype.size() + written;
            drop(outputs);
            let timing = timed(options.budget, options.runs, || data.apply(op).map(drop))?;
            let row = Row::new("wengert").text("shape", &format!("{rows}x{cols}")).text("op", name);
            let row = row.count("threads", options.threads.into()).text("dtype", &dtype.to_string()).timing(&timing);
            let row = row.real("ns_element", timing.median * 1e6 / (rows * cols) as f64);
            report.row(&row.real("gb_s", bytes as f64 / timing.median / 1e6));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_runs_or_is_for_other_types() -> Result<()> {
        let data = Data::new([3, 4], DType::F32)?;
        for Timed { name, op, .. } in all() {
            assert_eq!(data.apply(&op).is_err(), matches!(name, "and" | "or" | "not"), "{name}");
        }
        Ok(())
    }
}
