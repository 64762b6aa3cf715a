//! Jacobians: by rules in both modes, and by differences.

use super::compare::{Block, Names, Tolerance, judge};
use super::failure::{CheckFailure, Mismatch, Mode};
use super::layout::Layout;
use super::random::Random;
use super::{CheckOptions, DType, Error, ErrorKind, Tape, Tensor, Var, index, vjp};
use crate::grad::tangents;
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

/// A function at a point, with the names of its inputs.
pub(super) struct Subject<'f> {
    order: usize,
    function: &'f dyn Function,
    names: Vec<String>,
    options: CheckOptions,
    /// The different elements of each input, and how they lie.
    inputs: Vec<Tensor>,
    layouts: Vec<Option<Layout>>,
}

/// A recording of the function.
struct Recorded<'t> {
    /// What is differentiated by: `inputs` in their layouts, before an element is repeated.
    wrt: Vec<Var<'t>>,
    outputs: Outputs<'t>,
}

/// One block for each pair of output and input.
type Blocks = Vec<Block>;

impl<'f> Subject<'f> {
    pub(super) fn new(
        order: usize,
        function: &'f dyn Function,
        names: &[String],
        inputs: &[Tensor],
        options: CheckOptions,
    ) -> Subject<'f> {
        let (inputs, layouts) = inputs.iter().map(Layout::split).unzip();
        Subject { order, function, names: names.to_vec(), options, inputs, layouts }
    }

    /// With a random cotangent as last input, for a function of gradients. `None` if there is nothing to differentiate.
    pub(super) fn with_cotangent(mut self) -> Result<Option<Subject<'f>>, Error> {
        let tape = Tape::new();
        let (_, seen) = self.leaves(&tape, &self.inputs);
        let Some(value) = self.function.value_shape(&tape, &seen) else { return Ok(None) };
        let shape = value.shape()?;
        is_f64(value)?;
        self.names.push("the cotangent".into());
        self.inputs.push(Random::new(self.options.seed ^ 0xc07a).tensor(&shape));
        self.layouts.push(None);
        Ok(Some(self))
    }

    /// Reverse mode against differences.
    pub(super) fn check(&self) -> Result<(), CheckFailure> {
        let shapes = self.shapes()?;
        self.check_repeats(&shapes)?;
        if self.options.fast {
            let found = self.judge(Mode::Reverse, &self.directions(&shapes, Mode::Reverse)?);
            let Some(found) = found else { return Ok(()) };
            // The entries say more, if they show it at all.
            let entry = self.judge(Mode::Reverse, &self.entries(&shapes)?);
            return Err(CheckFailure::Mismatch(Box::new(entry.unwrap_or(found))));
        }
        self.verdict(Mode::Reverse, &self.entries(&shapes)?)
    }

    /// Forward mode against reverse mode.
    pub(super) fn check_forward(&self) -> Result<(), CheckFailure> {
        let shapes = self.shapes()?;
        if self.options.fast {
            let found = self.judge(Mode::Forward, &self.directions(&shapes, Mode::Forward)?);
            let Some(found) = found else { return Ok(()) };
            let entry = self.judge(Mode::Forward, &self.both_modes(&shapes)?);
            return Err(CheckFailure::Mismatch(Box::new(entry.unwrap_or(found))));
        }
        self.verdict(Mode::Forward, &self.both_modes(&shapes)?)
    }

    fn verdict(&self, mode: Mode, blocks: &Blocks) -> Result<(), CheckFailure> {
        self.judge(mode, blocks).map_or(Ok(()), |found| Err(CheckFailure::Mismatch(Box::new(found))))
    }

    fn judge(&self, mode: Mode, blocks: &Blocks) -> Option<Mismatch> {
        let values: Vec<Vec<f64>> = self.inputs.iter().map(Tensor::to_f64_vec).collect();
        let output = |i: usize| self.function.output(i, &self.names);
        judge(blocks, &Names { order: self.order, mode, output: &output, inputs: &self.names, values: &values })
    }

    /// The inputs on a tape: what is differentiated by, and what the function is given.
    fn leaves<'t>(&self, tape: &'t Tape, inputs: &[Tensor]) -> (Vec<Var<'t>>, Vec<Var<'t>>) {
        let lay = |(values, layout): (&Tensor, &Option<Layout>)| match layout {
            Some(layout) => layout.record(tape, values),
            None => {
                let var = tape.var(values);
                (var, var)
            }
        };
        inputs.iter().zip(&self.layouts).map(lay).unzip()
    }

    fn record<'t>(&self, tape: &'t Tape, inputs: &[Tensor]) -> Recorded<'t> {
        let (wrt, seen) = self.leaves(tape, inputs);
        Recorded { outputs: self.function.record(tape, &seen), wrt }
    }

    /// The shape of each output; `None` if it is absent.
    fn shapes(&self) -> Result<Vec<Option<Shape>>, Error> {
        let tape = Tape::new();
        let outputs = self.record(&tape, &self.inputs).outputs;
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

    /// Runs the function again: it must give what it gave.
    fn check_repeats(&self, shapes: &[Option<Shape>]) -> Result<(), CheckFailure> {
        let (first, second) = (self.values(&self.inputs)?, self.values(&self.inputs)?);
        for (output, (a, b)) in first.iter().zip(&second).enumerate() {
            let differ = |(x, y): (&f64, &f64)| x.to_bits() != y.to_bits() && !(x.is_nan() && y.is_nan());
            let changed = a.iter().zip(b).position(differ);
            let shape = shapes.get(output).and_then(Option::as_ref);
            if let (Some(at), Some(shape)) = (changed, shape) {
                return Err(CheckFailure::Nondeterministic {
                    order: self.order,
                    output: self.function.output(output, &self.names),
                    entry: Some(index(shape, at)),
                    values: (a[at], b[at]),
                });
            }
        }
        Ok(())
    }

    /// The outputs at shifted inputs, in row-major order; empty where absent.
    fn values(&self, inputs: &[Tensor]) -> Result<Vec<Vec<f64>>, Error> {
        let tape = Tape::new();
        computed(&tape, &self.record(&tape, inputs).outputs)
    }

    /// `(f(x + eps·direction) - f(x - eps·direction)) / 2 eps`, where one input is shifted.
    fn difference(&self, input: usize, direction: &[f64]) -> Result<Vec<Vec<f64>>, Error> {
        let eps = self.options.eps;
        let shifted = |by: f64| {
            let mut inputs = self.inputs.clone();
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

    /// The tangents of all outputs by rules, where one input moves; empty where absent, or where nothing moves.
    fn tangents(&self, input: usize, direction: &[f64]) -> Result<Vec<Vec<f64>>, Error> {
        let tape = Tape::new();
        let Recorded { wrt, outputs } = self.record(&tape, &self.inputs);
        let present: Vec<Var<'_>> = outputs.iter().flatten().copied().collect();
        let along = tape.constant(Tensor::from_slice(direction, self.inputs[input].shape())?);
        let mut found = tangents(&present, &[(wrt[input], along)]).into_iter();
        let all: Outputs<'_> = outputs.iter().map(|output| output.and_then(|_| found.next().flatten())).collect();
        computed(&tape, &all)
    }

    /// The cotangents of all inputs for one of output `output`; zeros where absent.
    fn cotangents(&self, output: usize, ct: &Tensor) -> Result<Vec<Vec<f64>>, Error> {
        let tape = Tape::new();
        let Recorded { wrt, outputs } = self.record(&tape, &self.inputs);
        let mut all: Vec<Vec<f64>> = self.inputs.iter().map(|input| vec![0.0; input.numel()]).collect();
        let Some(value) = outputs.get(output).copied().flatten() else { return Ok(all) };
        let found = vjp(&[(value, tape.constant(ct))], &wrt);
        for (gradient, input) in found.iter().zip(&self.inputs) {
            let Some(shape) = gradient.map(Var::shape).transpose()? else { continue };
            if shape != *input.shape() {
                return Err(Error::new(
                    ErrorKind::Shape,
                    "gradcheck",
                    format!("the gradient of an input {} has the shape {shape}", input.shape()),
                    "mend the derivative rule",
                ));
            }
        }
        for (slot, values) in all.iter_mut().zip(computed(&tape, &found)?) {
            if !values.is_empty() {
                *slot = values;
            }
        }
        Ok(all)
    }

    /// Whole Jacobians: rows by the rules, columns by differences.
    fn entries(&self, shapes: &[Option<Shape>]) -> Result<Blocks, Error> {
        let numeric = self.by_columns(shapes, |input, unit| self.difference(input, unit))?;
        let CheckOptions { atol, rtol, .. } = self.options;
        let tolerance = |_: &[f64]| Tolerance { absolute: atol, relative: rtol };
        Ok(self.blocks(shapes, self.by_rows(shapes)?, numeric, tolerance))
    }

    /// Whole Jacobians: columns by forward mode, rows by reverse mode.
    fn both_modes(&self, shapes: &[Option<Shape>]) -> Result<Blocks, Error> {
        let forward = self.by_columns(shapes, |input, unit| self.tangents(input, unit))?;
        Ok(self.blocks(shapes, forward, self.by_rows(shapes)?, Tolerance::rounding))
    }

    fn blocks(
        &self,
        shapes: &[Option<Shape>],
        analytic: Vec<Vec<f64>>,
        numeric: Vec<Vec<f64>>,
        tolerance: impl Fn(&[f64]) -> Tolerance,
    ) -> Blocks {
        let pairs = self.pairs(shapes);
        pairs
            .zip(analytic.into_iter().zip(numeric))
            .map(|((output, shape, input), (analytic, numeric))| {
                let shapes = Some((shape.clone(), self.inputs[input].shape().clone()));
                Block { output, input, shapes, tolerance: tolerance(&numeric), analytic, numeric }
            })
            .collect()
    }

    /// Outputs that are present, with each input.
    fn pairs<'a>(&'a self, shapes: &'a [Option<Shape>]) -> impl Iterator<Item = (usize, &'a Shape, usize)> + 'a {
        let present = shapes.iter().enumerate().filter_map(|(i, shape)| shape.as_ref().map(|shape| (i, shape)));
        present.flat_map(|(output, shape)| (0..self.inputs.len()).map(move |input| (output, shape, input)))
    }

    /// The Jacobians of all [`pairs`](Subject::pairs), by reverse mode.
    fn by_rows(&self, shapes: &[Option<Shape>]) -> Result<Vec<Vec<f64>>, Error> {
        let mut all = Vec::new();
        for (output, shape) in shapes.iter().enumerate() {
            let Some(shape) = shape else { continue };
            let first = all.len();
            all.resize(first + self.inputs.len(), Vec::new());
            let mut unit = vec![0.0; shape.numel()];
            for row in 0..shape.numel() {
                unit[row] = 1.0;
                let rows = self.cotangents(output, &Tensor::from_slice(&unit, shape)?)?;
                unit[row] = 0.0;
                all[first..].iter_mut().zip(rows).for_each(|(all, row)| all.extend(row));
            }
        }
        Ok(all)
    }

    /// The Jacobians of all [`pairs`](Subject::pairs), by `column(input, unit vector)`: all outputs' values.
    fn by_columns(
        &self,
        shapes: &[Option<Shape>],
        column: impl Fn(usize, &[f64]) -> Result<Vec<Vec<f64>>, Error>,
    ) -> Result<Vec<Vec<f64>>, Error> {
        let pairs: Vec<_> = self.pairs(shapes).collect();
        let mut all: Vec<Vec<f64>> =
            pairs.iter().map(|(_, shape, input)| vec![0.0; shape.numel() * self.inputs[*input].numel()]).collect();
        for (input, tensor) in self.inputs.iter().enumerate() {
            let columns = tensor.numel();
            let mut unit = vec![0.0; columns];
            for entry in 0..columns {
                unit[entry] = 1.0;
                let values = column(input, &unit)?;
                unit[entry] = 0.0;
                for (all, (output, _, _)) in all.iter_mut().zip(&pairs).filter(|(_, pair)| pair.2 == input) {
                    values[*output].iter().enumerate().for_each(|(row, value)| all[row * columns + entry] = *value);
                }
            }
        }
        Ok(all)
    }

    /// `vᵀ·J·u` for random `u` and `v`, by reverse mode, and by differences or by forward mode.
    fn directions(&self, shapes: &[Option<Shape>], mode: Mode) -> Result<Blocks, Error> {
        let mut random = Random::new(self.options.seed);
        let size = |v: &[f64]| v.iter().map(|x| x.abs()).sum::<f64>();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let us: Vec<Vec<f64>> = self.inputs.iter().map(|input| random.tensor(input.shape()).to_f64_vec()).collect();
        let mut columns = Vec::new();
        for (i, u) in us.iter().enumerate() {
            columns.push(if mode == Mode::Forward { self.tangents(i, u)? } else { self.difference(i, u)? });
        }
        let mut blocks = Vec::new();
        for (output, shape) in shapes.iter().enumerate() {
            let Some(shape) = shape else { continue };
            let ct = random.tensor(shape);
            let v = ct.to_f64_vec();
            let rows = self.cotangents(output, &ct)?;
            for (input, u) in us.iter().enumerate() {
                let (by_row, by_column) = (dot(&rows[input], u), dot(&columns[input][output], &v));
                // An error in every entry, as the entrywise check allows it.
                let entries = size(u) * size(&v);
                let (analytic, numeric, tolerance) = match mode {
                    Mode::Reverse => {
                        let CheckOptions { atol, rtol, .. } = self.options;
                        (by_row, by_column, Tolerance { absolute: atol * entries, relative: rtol })
                    }
                    Mode::Forward => {
                        let one = Tolerance::rounding(&rows[input]);
                        (by_column, by_row, Tolerance { absolute: one.absolute * entries, ..one })
                    }
                };
                let (analytic, numeric) = (vec![analytic], vec![numeric]);
                blocks.push(Block { output, input, shapes: None, analytic, numeric, tolerance });
            }
        }
        Ok(blocks)
    }
}

/// The values that are present; empty where they are not.
fn computed<'t>(tape: &'t Tape, vars: &[Option<Var<'t>>]) -> Result<Vec<Vec<f64>>, Error> {
    let present: Vec<Var<'t>> = vars.iter().flatten().copied().collect();
    let mut values = tape.eval_all(&present)?.into_iter();
    let next = |var: &Option<Var<'t>>| var.and_then(|_| values.next()).map_or(Vec::new(), |value| value.to_f64_vec());
    Ok(vars.iter().map(next).collect())
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
