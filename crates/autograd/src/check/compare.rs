//! The comparison of Jacobians, entry by entry.

use super::failure::{InputReport, Mismatch, Mode, Worst};
use super::hint;
use crate::shape::Shape;

/// Two versions of the Jacobian of one output by one input, `rows × columns` in row-major order.
pub(super) struct Block {
    pub output: usize,
    pub input: usize,
    /// The shapes of output and input; `None` for one number, along random directions.
    pub shapes: Option<(Shape, Shape)>,
    /// By the rules.
    pub analytic: Vec<f64>,
    /// What it should be.
    pub numeric: Vec<f64>,
    pub tolerance: Tolerance,
}

/// How far apart two entries may be: `absolute + relative·|numeric|`.
#[derive(Clone, Copy)]
pub(super) struct Tolerance {
    pub absolute: f64,
    pub relative: f64,
}

impl Tolerance {
    /// For two derivatives by rules, which differ by rounding: relative to the largest entry.
    pub(super) fn rounding(numeric: &[f64]) -> Tolerance {
        let largest = numeric.iter().filter(|x| x.is_finite()).fold(1.0, |m: f64, x| m.max(x.abs()));
        Tolerance { absolute: 1e-9 * largest, relative: 0.0 }
    }

    fn of(self, numeric: f64) -> f64 {
        self.absolute + self.relative * numeric.abs()
    }
}

impl Block {
    pub(super) fn columns(&self) -> usize {
        self.shapes.as_ref().map_or(1, |(_, input)| input.numel())
    }

    /// Whether an entry agrees. Not a comparison of the ratio: the tolerance of a direction without entries is zero.
    pub(super) fn agrees(&self, at: usize) -> bool {
        (self.analytic[at] - self.numeric[at]).abs() <= self.tolerance.of(self.numeric[at])
    }

    pub(super) fn failed(&self) -> usize {
        (0..self.numeric.len()).filter(|at| !self.agrees(*at)).count()
    }

    fn ratio(&self, at: usize) -> f64 {
        (self.analytic[at] - self.numeric[at]).abs() / self.tolerance.of(self.numeric[at])
    }

    /// The entry that is furthest off; a NaN is further than any number.
    fn worst(&self) -> Option<usize> {
        let further = |a: f64, b: f64| a.is_nan() || a > b;
        (0..self.numeric.len())
            .filter(|at| !self.agrees(*at))
            .reduce(|best, at| if further(self.ratio(best), self.ratio(at)) { best } else { at })
    }
}

/// The names of what is compared.
pub(super) struct Names<'a> {
    pub order: usize,
    pub mode: Mode,
    pub output: &'a dyn Fn(usize) -> String,
    pub inputs: &'a [String],
    /// The inputs' values, for hints.
    pub values: &'a [Vec<f64>],
}

/// What is wrong with the blocks, if anything.
pub(super) fn judge(blocks: &[Block], names: &Names<'_>) -> Option<Mismatch> {
    let mut reports = Vec::new();
    let mut worst: Option<(usize, Worst)> = None;
    for (input, name) in names.inputs.iter().enumerate() {
        let of_input = || blocks.iter().filter(move |block| block.input == input);
        let failed = of_input().map(Block::failed).sum();
        let entries = of_input().map(|block| block.numeric.len()).sum();
        let found = of_input().filter_map(|block| block.worst().map(|at| (block, at)));
        let mine = found
            .reduce(|(a, i), (b, j)| if a.ratio(i).is_nan() || a.ratio(i) >= b.ratio(j) { (a, i) } else { (b, j) })
            .map(|(block, at)| describe(block, at, names));
        if let Some(mine) = &mine
            && worst.as_ref().is_none_or(|(_, w)| !w.ratio.is_nan() && (mine.ratio.is_nan() || mine.ratio > w.ratio))
        {
            worst = Some((input, mine.clone()));
        }
        reports.push(InputReport { input: name.clone(), failed: (failed, entries), worst: mine });
    }
    let (input, Worst { output, output_entry, input_entry, analytic, numeric, ratio }) = worst?;
    let failed = reports.iter().fold((0, 0), |sum, report| (sum.0 + report.failed.0, sum.1 + report.failed.1));
    Some(Mismatch {
        order: names.order,
        mode: names.mode,
        output,
        output_entry,
        input: names.inputs[input].clone(),
        input_entry,
        analytic,
        numeric,
        ratio,
        failed,
        inputs: reports,
        hint: hint::of(blocks, input, names),
    })
}

fn describe(block: &Block, at: usize, names: &Names<'_>) -> Worst {
    let (row, column) = (at / block.columns().max(1), at % block.columns().max(1));
    Worst {
        output: (names.output)(block.output),
        output_entry: block.shapes.as_ref().map(|(output, _)| super::index(output, row)),
        input_entry: block.shapes.as_ref().map(|(_, input)| super::index(input, column)),
        analytic: block.analytic[at],
        numeric: block.numeric[at],
        ratio: block.ratio(at),
    }
}
