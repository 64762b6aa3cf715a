//! Every operation as a family of random uses, each with its definition over [dual numbers](super::dual): the rows of the
//! elementwise table, the [other](shaped) [operations](selected), and the [compositions](composed).
//!
//! The property tests and the random graphs draw from this one registry. A new operation needs one entry; until it has
//! one, `every_variant_has_a_family` or `every_method_has_a_family` fails.

mod composed;
mod selected;
mod shaped;

use super::dual::{Dual, Duals, broadcast, scalar};
use super::elementwise::apply;
use super::support::{Rng, WIDE};
use crate::ops::{Row, Sample, TABLE, Type};
use crate::{Tensor, Var};
use composed::{COMPOSED, EACH, Each};
use selected::SELECTED;
use shaped::SHAPED;

type Record = dyn for<'t> Fn(&[Var<'t>]) -> Var<'t>;
type Reference = dyn Fn(&[Duals]) -> Duals;

/// An operation with its operands' shapes and attributes chosen.
pub(super) struct Use {
    pub shapes: Vec<Vec<usize>>,
    /// Where each operand may lie.
    pub samples: Vec<Sample>,
    pub record: Box<Record>,
    pub reference: Box<Reference>,
}

/// A use over operands of the given shapes.
pub(super) fn used(
    shapes: &[&[usize]],
    record: impl for<'t> Fn(&[Var<'t>]) -> Var<'t> + 'static,
    reference: impl Fn(&[Duals]) -> Duals + 'static,
) -> Option<Use> {
    Some(Use {
        shapes: shapes.iter().map(|s| s.to_vec()).collect(),
        samples: vec![WIDE; shapes.len()],
        record: Box::new(record),
        reference: Box::new(reference),
    })
}

impl Use {
    /// Confines the operands.
    pub(super) fn within(self, sample: Sample) -> Option<Use> {
        let samples = vec![sample; self.samples.len()];
        Some(Use { samples, ..self })
    }
}

/// What choices are made from: random numbers, and the shapes that other operands might have.
pub(super) struct Draw<'a> {
    pub rng: &'a mut Rng,
    pub pool: &'a [Vec<usize>],
}

impl Draw<'_> {
    pub(super) fn coin(&mut self) -> bool {
        self.rng.below(2) == 0
    }

    /// An axis, if there is one.
    pub(super) fn axis(&mut self, shape: &[usize]) -> Option<usize> {
        (!shape.is_empty()).then(|| self.rng.below(shape.len()))
    }

    /// An axis as it may be written: from the front or from the back.
    pub(super) fn written(&mut self, axis: usize, rank: usize) -> isize {
        axis as isize - if self.coin() { rank as isize } else { 0 }
    }

    /// Some axes in order, at least one if there is any.
    pub(super) fn axes(&mut self, shape: &[usize]) -> Vec<usize> {
        let chosen: Vec<usize> = (0..shape.len()).filter(|_| self.rng.below(2) == 0).collect();
        if chosen.is_empty() { self.axis(shape).into_iter().collect() } else { chosen }
    }

    /// The shape of another operand: sometimes one of the pool that fits, else the one that is given.
    pub(super) fn other(&mut self, invented: Vec<usize>, fits: impl Fn(&[usize]) -> bool) -> Vec<usize> {
        let found: Vec<&Vec<usize>> = self.pool.iter().filter(|s| fits(s)).collect();
        if found.is_empty() || self.rng.below(4) == 0 { invented } else { (*self.rng.pick(&found)).clone() }
    }

    /// The shape of an operand that broadcasts with some others, and they with it.
    fn partner(&mut self, shapes: &[Vec<usize>]) -> Vec<usize> {
        let first = &shapes[0];
        let mut own: Vec<usize> = first.iter().map(|n| if self.rng.below(3) == 0 { 1 } else { *n }).collect();
        match self.rng.below(4) {
            0 => drop(own.drain(..self.rng.below(own.len() + 1))),
            1 if own.len() < 4 => own.insert(0, 1 + self.rng.below(3)),
            _ => {}
        }
        let mut all: Vec<&[usize]> = shapes.iter().map(|s| &s[..]).collect();
        all.push(&own);
        if broadcast(&all).is_none() {
            own.clone_from(first);
        }
        self.other(own, |s| {
            let mut all: Vec<&[usize]> = shapes.iter().map(|s| &s[..]).collect();
            all.push(s);
            broadcast(&all).is_some_and(|all| all.iter().product::<usize>() <= 64)
        })
    }

    pub(super) fn index(&mut self, shape: &[usize], extent: usize) -> Vec<usize> {
        (0..shape.iter().product()).map(|_| self.rng.below(extent)).collect()
    }
}

/// What is known of all uses of an operation.
#[derive(Clone, Copy)]
pub(super) struct Facts {
    /// Integers are taken.
    pub integers: bool,
    /// It has no jumps or kinks, so it may stand anywhere in a graph that is judged by differences.
    pub smooth: bool,
    /// Its derivative is that of its value; if not, differences say nothing.
    pub honest: bool,
    /// The error of its derivatives in F64.
    pub slopes: f64,
    /// It has a forward derivative.
    pub tangents: bool,
    /// The error of its values in F64, relative to the larger of 1 and the result.
    pub tolerance: f64,
}

/// No arithmetic or little of it.
pub(super) const MOVES: Facts =
    Facts { integers: true, smooth: true, honest: true, slopes: 1e-10, tangents: true, tolerance: 0.0 };
/// Sums in some order, and approximated functions.
pub(super) const FLOATS: Facts = Facts { integers: false, tolerance: 1e-13, ..MOVES };
pub(super) const SUMS: Facts = Facts { integers: true, ..FLOATS };

/// A way to choose a use for a first operand of a given shape; `None` if that shape does not do.
pub(super) type Drawn = fn(&mut Draw<'_>, &[usize]) -> Option<Use>;
pub(super) type Entry = (&'static str, Facts, Drawn);

/// An operation.
pub(super) enum Family {
    Row(&'static Row),
    /// A composition of one operand, element by element.
    Each(&'static Each),
    Shaped(&'static Entry),
}

pub(super) fn families() -> Vec<Family> {
    let rows = TABLE.iter().map(|row| Family::Row(row));
    let each = EACH.iter().map(Family::Each);
    rows.chain(each).chain(SHAPED.iter().chain(SELECTED).chain(COMPOSED).map(Family::Shaped)).collect()
}

impl Family {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Family::Row(row) => row.name,
            Family::Each(each) => each.name,
            Family::Shaped(entry) => entry.0,
        }
    }

    pub(super) fn facts(&self) -> Facts {
        match self {
            Family::Row(row) => Facts {
                integers: row.kernels.i64.is_some(),
                // A condition is made by comparison, which jumps.
                smooth: row.result == Type::Same && row.samples.iter().all(|s| s.avoid.is_empty()),
                tolerance: 1e-13,
                ..MOVES
            },
            Family::Each(each) => Facts { smooth: each.sample.avoid.is_empty(), ..FLOATS },
            Family::Shaped(entry) => entry.1,
        }
    }

    pub(super) fn draw(&self, draw: &mut Draw<'_>, shape: &[usize]) -> Option<Use> {
        match self {
            Family::Row(row) => row_use(row, draw, shape),
            Family::Each(each) => {
                used(&[shape], |v| (each.record)(v[0]), |x| x[0].map(each.reference))?.within(each.sample)
            }
            Family::Shaped(entry) => (entry.2)(draw, shape),
        }
    }
}

/// A row over operands that broadcast. Conditions are comparisons with 0, truth values are converted.
fn row_use(row: &'static Row, draw: &mut Draw<'_>, shape: &[usize]) -> Option<Use> {
    let mut shapes = vec![shape.to_vec()];
    while shapes.len() < row.samples.len() {
        let next = draw.partner(&shapes);
        shapes.push(next);
    }
    let condition = |i: usize| row.result == Type::Logic || row.result == Type::Select && i == 0;
    let all = broadcast(&shapes.iter().map(|s| &s[..]).collect::<Vec<_>>())?;
    Some(Use {
        shapes,
        samples: row.samples.to_vec(),
        record: Box::new(move |v| {
            let operands: Vec<Var<'_>> =
                v.iter().enumerate().map(|(i, v)| if condition(i) { v.gt(0) } else { *v }).collect();
            apply(row, &operands).cast(v[0].dtype().expect("a valid operand"))
        }),
        reference: Box::new(move |x| {
            Duals::build(&all, |i| {
                let read = |(k, x): (usize, &Duals)| {
                    let x = x.cast_at(i);
                    if condition(k) { (x.above(0.0) as u8 as f64).into() } else { x }
                };
                scalar(row.name, &x.iter().enumerate().map(read).collect::<Vec<_>>())
            })
        }),
    })
}

/// A reduction over some axes: dropped, or kept as extent 1.
pub(super) fn reduced(
    draw: &mut Draw<'_>,
    shape: &[usize],
    dropped: for<'t> fn(Var<'t>, &[isize]) -> Var<'t>,
    kept: Option<for<'t> fn(Var<'t>, &[isize]) -> Var<'t>>,
    f: fn(&[Dual]) -> Dual,
) -> Option<Use> {
    let axes = draw.axes(shape);
    let mut left = shape.to_vec();
    axes.iter().for_each(|axis| left[*axis] = 1);
    let names: Vec<isize> = axes.iter().map(|axis| draw.written(*axis, shape.len())).collect();
    match kept {
        Some(kept) if draw.coin() => {
            used(&[shape], move |v| kept(v[0], &names), move |x| x[0].over(&axes, f).reshaped(&left))
        }
        _ => used(&[shape], move |v| dropped(v[0], &names), move |x| x[0].over(&axes, f)),
    }
}

pub(super) fn full(shape: &[usize]) -> bool {
    shape.iter().all(|n| *n > 0)
}

/// An index tensor.
pub(super) fn list(values: &[usize], shape: &[usize]) -> Tensor {
    Tensor::from_vec(values.iter().map(|i| *i as i64).collect(), shape).expect("counted")
}

/// A shape or an index with another number on one axis.
pub(super) fn swapped(shape: &[usize], axis: usize, extent: usize) -> Vec<usize> {
    let mut shape = shape.to_vec();
    shape[axis] = extent;
    shape
}
