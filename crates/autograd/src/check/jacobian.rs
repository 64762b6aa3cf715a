//! Jacobians, by rules and by differences, and their comparison.

use super::failure::{CheckFailure, Mismatch};
use super::random::Random;
use super::{CheckOptions, DType, Error, ErrorKind, Tape, Tensor, Var, vjp};
use crate::shape::Shape;

/// The outputs of a function; an absent one is zero everywhere.
pub(super) type Outputs<'t> = Vec<Option<Var<'t>>>;

/// What is differentiated: records outputs from inputs on a fresh tape.
pub(super) trait Function {
    fn record<'t>(&self, tape: &'t Tape, inputs: &[Var<'t>]) -> Outputs<'t>;

    /// The name of an output in reports.
    fn output(&self, index: usize, inputs: &[String]) -> String;

    /// For a function of gradients: the value whose cotangent is the last input.
    fn value_shape<'t>(&self, _: &'t Tape, _: &[Var<'t>]) -> Option<Var<'t>> {
        None
    }
}

/// A function with the names of its inputs.
pub(super) struct Subject<'f> {
    pub order: usize,
    pub function: &'f dyn Function,
    pub names: Vec<String>,
    pub options: CheckOptions,
}

/// The worst entry seen, and counts.
#[derive(Default)]
struct Tally {
    worst: Option<Mismatch>,
    failed: usize,
    entries: usize,
}

impl Subject<'_> {
    /// As [`check`](Subject::check), with a random cotangent as last input.
    pub(super) fn check_with_cotangent(mut self, inputs: &[Tensor]) -> Result<(), CheckFailure> {
        let tape = Tape::new();
        let vars: Vec<Var<'_>> = inputs.iter().map(|input| tape.var(input)).collect();
        let Some(value) = self.function.value_shape(&tape, &vars) else { return Ok(()) };
        let shape = value.shape()?;
        is_f64(value)?;
        self.names.push("the cotangent".into());
        let mut inputs = inputs.to_vec();
        inputs.push(Random::new(self.options.seed ^ 0xc07a).tensor(&shape));
        self.check(&inputs)
    }

    pub(super) fn check(&self, inputs: &[Tensor]) -> Result<(), CheckFailure> {
        let shapes = self.shapes(inputs)?;
        if self.options.fast {
            let Some(found) = self.directions(inputs, &shapes)? else { return Ok(()) };
            // The entries say more, if they show it at all.
            let entry = self.entries(inputs, &shapes)?;
            return Err(CheckFailure::Mismatch(Box::new(entry.unwrap_or(found))));
        }
        match self.entries(inputs, &shapes)? {
            Some(found) => Err(CheckFailure::Mismatch(Box::new(found))),
            None => Ok(()),
        }
    }

    /// The shape of each output; `None` if it is absent.
    fn shapes(&self, inputs: &[Tensor]) -> Result<Vec<Option<Shape>>, Error> {
        let tape = Tape::new();
        let vars: Vec<Var<'_>> = inputs.iter().map(|input| tape.var(input)).collect();
        let outputs = self.function.record(&tape, &vars);
        outputs
            .into_iter()
            .map(|output| {
                let Some(output) = output else { return Ok(None) };
                let shape = output.shape()?;
                is_f64(output)?;
                Ok(Some(shape))
            })
            .collect()
    }

    /// The outputs at shifted inputs, in row-major order; empty where absent.
    fn values(&self, inputs: &[Tensor]) -> Result<Vec<Vec<f64>>, Error> {
        let tape = Tape::new();
        let vars: Vec<Var<'_>> = inputs.iter().map(|input| tape.var(input)).collect();
        let outputs = self.function.record(&tape, &vars);
        let present: Vec<Var<'_>> = outputs.iter().flatten().copied().collect();
        let mut values = tape.eval_all(&present)?.into_iter();
        let mut next = |output: &Option<Var<'_>>| output.and_then(|_| values.next());
        Ok(outputs.iter().map(|output| next(output).map_or(Vec::new(), |value| value.to_f64_vec())).collect())
    }

    /// `(f(x + eps·direction) - f(x - eps·direction)) / 2 eps`, where one input is shifted.
    fn difference(&self, inputs: &[Tensor], input: usize, direction: &[f64]) -> Result<Vec<Vec<f64>>, Error> {
        let eps = self.options.eps;
        let shifted = |by: f64| {
            let mut inputs = inputs.to_vec();
            let values = inputs[input].to_f64_vec().iter().zip(direction).map(|(x, d)| x + by * d).collect();
            inputs[input] = Tensor::from_vec::<f64>(values, inputs[input].shape())?;
            self.values(&inputs)
        };
        let (mut above, below) = (shifted(eps)?, shifted(-eps)?);
        for (a, b) in above.iter_mut().zip(&below) {
            a.iter_mut().zip(b).for_each(|(a, b)| *a = (*a - b) / (2.0 * eps));
        }
        Ok(above)
    }

    /// The cotangents of all inputs for one of output `output`; zeros where absent.
    fn cotangents(&self, inputs: &[Tensor], output: usize, ct: &Tensor) -> Result<Vec<Vec<f64>>, Error> {
        let tape = Tape::new();
        let vars: Vec<Var<'_>> = inputs.iter().map(|input| tape.var(input)).collect();
        let outputs = self.function.record(&tape, &vars);
        let Some(value) = outputs[output] else { return Ok(zeros(inputs)) };
        let found = vjp(&[(value, tape.constant(ct))], &vars);
        let present: Vec<Var<'_>> = found.iter().flatten().copied().collect();
        let mut values = tape.eval_all(&present)?.into_iter();
        let mut all = zeros(inputs);
        for ((slot, gradient), input) in all.iter_mut().zip(&found).zip(inputs) {
            let Some(value) = gradient.and_then(|_| values.next()) else { continue };
            if value.shape() != input.shape() {
                return Err(Error::new(
                    ErrorKind::Shape,
                    "gradcheck",
                    format!("the gradient of an input {} has the shape {}", input.shape(), value.shape()),
                    "mend the derivative rule",
                ));
            }
            *slot = value.to_f64_vec();
        }
        Ok(all)
    }

    /// Compares whole Jacobians: rows by the rules, columns by differences.
    fn entries(&self, inputs: &[Tensor], shapes: &[Option<Shape>]) -> Result<Option<Mismatch>, Error> {
        let mut tally = Tally::default();
        // columns[i][e] holds the differences of all outputs by entry e of input i.
        let mut columns: Vec<Vec<Vec<Vec<f64>>>> = Vec::new();
        for (i, input) in inputs.iter().enumerate() {
            let mut unit = vec![0.0; input.numel()];
            let mut of_input = Vec::new();
            for entry in 0..input.numel() {
                unit[entry] = 1.0;
                of_input.push(self.difference(inputs, i, &unit)?);
                unit[entry] = 0.0;
            }
            columns.push(of_input);
        }
        for (output, shape) in shapes.iter().enumerate() {
            let Some(shape) = shape else { continue };
            for row in 0..shape.numel() {
                let mut unit = vec![0.0; shape.numel()];
                unit[row] = 1.0;
                let rows = self.cotangents(inputs, output, &Tensor::from_vec(unit, shape)?)?;
                for (i, input) in inputs.iter().enumerate() {
                    for (entry, analytic) in rows[i].iter().enumerate() {
                        let numeric = columns[i][entry][output][row];
                        let tolerance = self.options.atol + self.options.rtol * numeric.abs();
                        let place = || (Some(index(shape, row)), Some(index(input.shape(), entry)));
                        self.compare(&mut tally, (output, i), *analytic, numeric, tolerance, place);
                    }
                }
            }
        }
        Ok(tally.finish())
    }

    /// Compares `vᵀ·J·u` for random `u` and `v`.
    fn directions(&self, inputs: &[Tensor], shapes: &[Option<Shape>]) -> Result<Option<Mismatch>, Error> {
        let mut tally = Tally::default();
        let mut random = Random::new(self.options.seed);
        let size = |v: &[f64]| v.iter().map(|x| x.abs()).sum::<f64>();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let us: Vec<Vec<f64>> = inputs.iter().map(|input| random.tensor(input.shape()).to_f64_vec()).collect();
        let mut numeric = Vec::new();
        for (i, u) in us.iter().enumerate() {
            numeric.push(self.difference(inputs, i, u)?);
        }
        for (output, shape) in shapes.iter().enumerate() {
            let Some(shape) = shape else { continue };
            let ct = random.tensor(shape);
            let v = ct.to_f64_vec();
            let rows = self.cotangents(inputs, output, &ct)?;
            for (i, u) in us.iter().enumerate() {
                let (analytic, numeric) = (dot(&rows[i], u), dot(&numeric[i][output], &v));
                // An error of atol in every entry, as the entrywise check allows it.
                let tolerance = self.options.atol * size(u) * size(&v) + self.options.rtol * numeric.abs();
                self.compare(&mut tally, (output, i), analytic, numeric, tolerance, || (None, None));
            }
        }
        Ok(tally.finish())
    }

    fn compare(
        &self,
        tally: &mut Tally,
        (output, input): (usize, usize),
        analytic: f64,
        numeric: f64,
        tolerance: f64,
        place: impl Fn() -> (Option<Vec<usize>>, Option<Vec<usize>>),
    ) {
        tally.entries += 1;
        let difference = (analytic - numeric).abs();
        // Not a comparison of the ratio: the tolerance of a direction without entries is zero.
        if difference <= tolerance {
            return;
        }
        let ratio = difference / tolerance;
        tally.failed += 1;
        // A NaN is worse than any number.
        if tally.worst.as_ref().is_none_or(|worst| ratio.is_nan() || ratio > worst.ratio) {
            let (output_entry, input_entry) = place();
            tally.worst = Some(Mismatch {
                order: self.order,
                output: self.function.output(output, &self.names),
                output_entry,
                input: self.names[input].clone(),
                input_entry,
                analytic,
                numeric,
                ratio,
                failed: (0, 0),
            });
        }
    }
}

impl Tally {
    fn finish(self) -> Option<Mismatch> {
        self.worst.map(|worst| Mismatch { failed: (self.failed, self.entries), ..worst })
    }
}

fn zeros(inputs: &[Tensor]) -> Vec<Vec<f64>> {
    inputs.iter().map(|input| vec![0.0; input.numel()]).collect()
}

/// The index of entry `flat` of a shape, in row-major order.
fn index(shape: &Shape, mut flat: usize) -> Vec<usize> {
    let mut at = vec![0; shape.rank()];
    for axis in (0..shape.rank()).rev() {
        at[axis] = flat % shape[axis];
        flat /= shape[axis];
    }
    at
}

fn is_f64(output: Var<'_>) -> Result<(), Error> {
    match output.dtype()? {
        DType::F64 => Ok(()),
        other => Err(Error::new(
            ErrorKind::DType,
            "gradcheck",
            format!("the function gives {other}, expected f64"),
            "compute in f64: capture f64 tensors, and convert with .cast(DType::F64)",
        )),
    }
}
