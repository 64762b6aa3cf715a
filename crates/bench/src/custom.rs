//! What a user's cell costs beside the library's with the same maths, and a Hessian-vector product beside a gradient.
//! The steps take turns, and ratios are of neighbouring runs.

use crate::Outcome;
use crate::cells::Custom;
use crate::known;
use crate::options::Options;
use crate::report::Report;
use crate::shapes::Shape;
use crate::timing::interleaved;
use crate::train;
use rand::{SeedableRng, rngs::StdRng};
use wengert::prelude::*;

pub(crate) fn run(options: &Options, report: &mut Report) -> Outcome {
    let dtype = options.dtype.dtype();
    for shape in options.shapes("mid128")? {
        if options.check {
            check(&shape, options, report)?;
            continue;
        }
        let [mut library, mut custom] =
            [train::make("wengert_lstm", &shape, dtype)?, train::make("wengert_custom", &shape, dtype)?];
        let (mut library, mut custom) = (|| library.step(), || custom.step());
        let timings = interleaved(options.budget, options.runs, &mut [&mut library, &mut custom])?;
        for (system, timing) in ["wengert_lstm", "wengert_custom"].into_iter().zip(&timings) {
            let row = train::row(system, &shape, options).timing(timing);
            report.row(&row.real("ratio", timing.ratio(&timings[0])));
        }

        let (net, x) = train::net(&shape, dtype, |input, rng| Custom::new(input, shape.h, rng))?;
        let product = Product { along: along(&net), net, x };
        let mut gradient = || product.gradient().map(drop);
        let mut hvp = || product.hvp().map(drop);
        let timings = interleaved(options.budget, options.runs, &mut [&mut gradient, &mut hvp])?;
        for (system, timing) in ["wengert_gradient", "wengert_hvp"].into_iter().zip(&timings) {
            let row = train::row(system, &shape, options).timing(timing);
            report.row(&row.real("ratio", timing.ratio(&timings[0])));
        }
    }
    Ok(())
}

/// Gradients and product for known weights, along the weights themselves.
fn check(shape: &Shape, options: &Options, report: &mut Report) -> Outcome {
    let (net, x) = train::net(shape, options.dtype.dtype(), |input, rng| Custom::new(input, shape.h, rng))?;
    let params: Vec<Param> = net.params().into_iter().map(|(_, param)| param).collect();
    known::set(&params)?;
    let product = Product { along: params.iter().map(Param::value).collect(), net, x };
    for (system, found) in [("wengert_gradient", product.gradient()?), ("wengert_hvp", product.hvp()?)] {
        report.row(&train::row(system, shape, options).exact("gradient_norm", known::norm(&found)));
    }
    Ok(())
}

/// A direction in the space of a network's parameters.
fn along(net: &Rnn<Custom>) -> Vec<Tensor> {
    let mut rng = StdRng::seed_from_u64(1);
    let one = |param: &Param| init::normal(param.value().shape(), 1.0, &mut rng).cast(param.value().dtype());
    net.params().iter().map(|(_, param)| param).map(one).collect()
}

/// The product of the loss's Hessian over all parameters with a vector.
struct Product {
    net: Rnn<Custom>,
    x: Tensor,
    along: Vec<Tensor>,
}

impl Product {
    fn gradients<'t>(&self, tape: &'t Tape) -> (Vec<Var<'t>>, Vec<Var<'t>>) {
        let (y, _) = self.net.forward(&Cx::train(tape), tape.constant(&self.x));
        let params: Vec<_> = self.net.params().iter().map(|(_, param)| tape.param(param)).collect();
        let gradients = y.square().mean().grad(&params[..]);
        (params, gradients)
    }

    fn gradient(&self) -> Result<Vec<Tensor>> {
        let tape = Tape::new();
        let (_, gradients) = self.gradients(&tape);
        tape.eval_all(&gradients)
    }

    /// The gradient of the gradient's product with the vector, as `torch.autograd.grad` does it twice.
    fn hvp(&self) -> Result<Vec<Tensor>> {
        let tape = Tape::new();
        let (params, gradients) = self.gradients(&tape);
        let parts = gradients.iter().zip(&self.along).map(|(gradient, v)| (*gradient * v).sum());
        let Some(dot) = parts.reduce(|a, b| a + b) else { return Ok(Vec::new()) };
        tape.eval_all(&dot.grad(&params[..]))
    }
}
