//! One long sequence, its loss added up in the loop: time and resident memory as they grow with its length, with
//! everything kept for the backward pass and under a memory budget.

use crate::Outcome;
use crate::known::wave;
use crate::memory;
use crate::options::Options;
use crate::report::Report;
use crate::shapes::Shape;
use crate::timing::interleaved;
use crate::train::row;
use rand::{SeedableRng, rngs::StdRng};
use wengert::prelude::*;

const SHAPES: &str = "1000x1x2x128x1,10000x1x2x128x1,100000x1x2x128x1";

const SYSTEMS: [&str; 2] = ["wengert_kept", "wengert_budget"];

/// Rows of a system come with the time of a step over that of its first shape (`linear`), and over that of the first system
/// at the same shape (`to_first`), run for run: all take turns in one process. Memory is that of a process of its own.
pub(crate) fn run(options: &Options, report: &mut Report) -> Outcome {
    let (shapes, systems) = (options.shapes(SHAPES)?, options.systems(&SYSTEMS, SYSTEMS.len())?);
    if options.child {
        let sequence = Sequence::new(&shapes[0], options)?;
        return memory::tell(options, || sequence.step(systems[0]).map(drop));
    }
    let sequences: Vec<Sequence> = shapes.iter().map(|shape| Sequence::new(shape, options)).collect::<Result<_>>()?;
    let cases: Vec<(&Sequence, &str)> =
        sequences.iter().flat_map(|sequence| systems.iter().map(move |system| (sequence, *system))).collect();
    for (sequence, system) in &cases {
        sequence.compare(system, systems[0])?;
    }
    let mut steps: Vec<_> = cases.iter().map(|(sequence, system)| || sequence.step(system).map(drop)).collect();
    let mut turns: Vec<&mut dyn FnMut() -> Result<()>> = Vec::new();
    turns.extend(steps.iter_mut().map(|step| step as &mut dyn FnMut() -> _));
    let timings = interleaved(options.budget * cases.len() as f64, options.runs, &mut turns)?;
    let per_t: Vec<_> = timings.iter().zip(&cases).map(|(timing, (of, _))| timing.per(of.shape.t)).collect();
    for (at, (sequence, system)) in cases.iter().enumerate() {
        let (_, peak) = memory::in_a_process("long", system, &sequence.shape, options)?;
        let (shortest, first) = (at % systems.len(), at / systems.len() * systems.len());
        let t = sequence.shape.t as f64;
        let row = row(system, &sequence.shape, options).timing(&timings[at]).real("us_per_t", per_t[at].median * 1e3);
        let row =
            row.real("linear", per_t[at].ratio(&per_t[shortest])).real("to_first", per_t[at].ratio(&per_t[first]));
        report.row(&row.real("peak_mib", peak).real("kib_per_t", peak * 1024.0 / t));
    }
    Ok(())
}

/// A cell with its input, ready for training steps.
struct Sequence {
    shape: Shape,
    cell: LstmCell,
    x: Tensor,
    budget: usize,
}

impl Sequence {
    fn new(shape: &Shape, options: &Options) -> Result<Sequence> {
        let cell = LstmCell::new(shape.i, shape.h, &mut StdRng::seed_from_u64(0));
        cell.set_dtype(options.dtype.dtype())?;
        let x = wave(&[shape.t, shape.b, shape.i], 1.0, options.dtype.dtype())?;
        Ok(Sequence { shape: shape.clone(), cell, x, budget: options.checkpoint_mib << 20 })
    }

    /// The mean of squared outputs, and its gradients: no value is as long as the sequence, but the input.
    fn step(&self, system: &str) -> Result<Gradients> {
        let checkpoint = if system == SYSTEMS[1] { Checkpoint::Budget(self.budget) } else { Checkpoint::None };
        let tape = Tape::new();
        let cx = Cx::train(&tape).with_dtype(self.x.dtype());
        let start = (self.cell.init(&cx, self.shape.b), cx.zeros([self.shape.b]));
        let options = ScanOptions::default().checkpoint(checkpoint);
        let ((_, sum), ()) = tape.scan_with(options, start, tape.constant(&self.x), |(state, sum), x| {
            let (y, state) = self.cell.step(x, state);
            ((state, sum + y.square().mean_axes(-1)), ())
        });
        (sum.mean() / self.shape.t as f64).backward()
    }

    /// Refuses to time systems that do not give the same bits.
    fn compare(&self, system: &str, first: &str) -> Outcome {
        let (found, wanted) = (self.step(system)?, self.step(first)?);
        let same = |(_, param): &(String, Param)| match (found.get(param), wanted.get(param)) {
            (Some(found), Some(wanted)) => found.bit_eq(wanted),
            _ => false,
        };
        if found.loss().bit_eq(wanted.loss()) && self.cell.params().iter().all(same) {
            Ok(())
        } else {
            Err(format!("{}: {system} does not give the loss and gradients of {first}", self.shape.name).into())
        }
    }
}
