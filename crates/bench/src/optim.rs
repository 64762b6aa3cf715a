//! Updates of ten million parameters: ten equal matrices, and two layers of LSTM with matrices and biases.

use crate::Outcome;
use crate::known;
use crate::options::Options;
use crate::report::{Report, Row};
use crate::timing::timed;
use rand::{SeedableRng, rngs::StdRng};
use wengert::prelude::*;

const SYSTEMS: [&str; 5] = ["wengert_sgd", "wengert_sgd_momentum", "wengert_adam", "wengert_adamw", "wengert_clip"];

/// The units of a layer of the LSTM, and its inputs: two layers have ten million parameters.
const UNITS: usize = 790;

pub(crate) fn run(options: &Options, report: &mut Report) -> Outcome {
    for system in options.systems(&SYSTEMS, SYSTEMS.len())? {
        for (name, shapes) in [("matrices", matrices()), ("lstm", lstm())] {
            let mut update = Update::new(system, &shapes, options)?;
            let count: usize = shapes.iter().map(|shape| shape.iter().product::<usize>()).sum();
            let row = Row::new(system).text("shape", name).count("parameters", count);
            let row = row.count("threads", options.threads.into()).text("dtype", &options.dtype.dtype().to_string());
            if options.check {
                let [first, second] = update.checked()?;
                report.row(&row.exact("first_norm", first).exact("second_norm", second));
                continue;
            }
            let timing = timed(options.budget, options.runs, || update.step())?;
            report.row(&row.timing(&timing).real("ns_parameter", timing.median * 1e6 / count as f64));
        }
    }
    Ok(())
}

fn matrices() -> Vec<Vec<usize>> {
    vec![vec![1000, 1000]; 10]
}

/// The parameters as PyTorch's `nn.LSTM` has them: for each layer `[4H, I]`, `[4H, H]` and two biases.
fn lstm() -> Vec<Vec<usize>> {
    let layer = [vec![4 * UNITS, UNITS], vec![4 * UNITS, UNITS], vec![4 * UNITS], vec![4 * UNITS]];
    [layer.clone(), layer].concat()
}

/// Moves parameters along their gradients.
type Rule = Box<dyn FnMut(&Vec<Param>, &Gradients) -> Result<()>>;

fn rule<T: Transform + 'static>(mut optimizer: Optimizer<T>) -> Option<Rule> {
    Some(Box::new(move |params, gradients| optimizer.step(params, gradients)))
}

/// Parameters with gradients, and what is done with them.
struct Update {
    params: Vec<Param>,
    gradients: Gradients,
    /// None: clipping.
    rule: Option<Rule>,
}

impl Update {
    fn new(system: &str, shapes: &[Vec<usize>], options: &Options) -> Result<Update> {
        let mut rng = StdRng::seed_from_u64(0);
        let params: Vec<Param> = shapes.iter().map(|shape| Param::new(init::uniform(shape, 0.1, &mut rng))).collect();
        params.set_dtype(options.dtype.dtype())?;
        if options.check {
            known::set(&params)?;
        }
        let rule = match system {
            "wengert_sgd" => rule(Sgd::new(1e-4)),
            "wengert_sgd_momentum" => rule(Sgd::new(1e-4).momentum(0.9)),
            "wengert_adam" => rule(Adam::new(1e-4)),
            "wengert_adamw" => rule(Adam::new(1e-4).decoupled_decay(1e-2)),
            _ => None,
        };
        Ok(Update { gradients: values(&params)?, params, rule })
    }

    fn step(&mut self) -> Result<()> {
        match &mut self.rule {
            Some(rule) => rule(&self.params, &self.gradients),
            None => clip_grad_norm(&self.params, &mut self.gradients, 1.0).map(drop),
        }
    }

    /// How far one step moves the parameters, or the gradients where it is these that change; and how far two do.
    fn checked(&mut self) -> Result<[f64; 2]> {
        let before = self.changing();
        let mut moved = || {
            self.step()?;
            let squares = |(old, new): (&Tensor, &Tensor)| {
                let pairs = old.to_f64_vec().into_iter().zip(new.to_f64_vec());
                pairs.map(|(old, new)| (new - old).powi(2)).sum::<f64>()
            };
            Ok(before.iter().zip(&self.changing()).map(squares).sum::<f64>().sqrt())
        };
        Ok([moved()?, moved()?])
    }

    fn changing(&self) -> Vec<Tensor> {
        match self.rule {
            Some(_) => self.params.iter().map(Param::value).collect(),
            None => self.params.iter().filter_map(|param| self.gradients.get(param).cloned()).collect(),
        }
    }
}

/// The gradients of half the sum of squares: the parameters' values.
fn values(params: &[Param]) -> Result<Gradients> {
    let tape = Tape::new();
    let halves = params.iter().map(|param| tape.param(param).square().sum() * 0.5);
    halves.reduce(|a, b| a + b).map_or_else(|| tape.constant(0.0f64).backward(), |loss| loss.backward())
}
