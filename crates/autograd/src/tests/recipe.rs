//! Random programs as data: a list of steps drawn from the [registry](super::families), with loops that hold lists.
//!
//! A recipe has three readings: it is recorded on a tape, with its loops as `scan` or as Rust loops, and it is evaluated over
//! dual numbers. It is grown next to its values, so that operands lie where an operation is well-conditioned, and what
//! grows too large or comes too near to a jump is not kept.

use super::dual::{Dual, Duals, unfit, watched};
use super::families::{Draw, Facts, Family, Use, families, used};
use super::support::{Rng, WIDE, typed};
use crate::ops::Sample;
use crate::{ScanOptions, Var};

/// What may be part of a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavour {
    /// Everything, any shapes, any values.
    Any,
    /// What dual numbers can judge: off the jumps, with values and derivatives of order one.
    Judged,
    /// What differences can judge, too.
    Smooth,
}

impl Flavour {
    fn takes(self, facts: Facts) -> bool {
        match self {
            Flavour::Any => true,
            Flavour::Judged => facts.slopes < 1e-8,
            Flavour::Smooth => facts.smooth && facts.honest,
        }
    }
}

/// The steps of a program or of a loop's body. Values are counted: the inputs first, then what each step gives.
pub(super) struct Recipe {
    steps: Vec<Step>,
    shapes: Vec<Vec<usize>>,
    /// The length of the longest way from an input to each value.
    depths: Vec<usize>,
    /// Whether every operation has a forward derivative.
    pub tangents: bool,
}

enum Step {
    Constant(Duals),
    Apply { name: &'static str, used: Use, operands: Vec<Operand>, hold: bool },
    Loop(Loop),
}

/// A value, moved and scaled into the domain of an operation.
#[derive(Clone, Copy)]
struct Operand {
    at: usize,
    /// `x · scale + shift`.
    moved: Option<(f64, f64)>,
}

/// Values of a loop: the last carries, then the outputs at all steps.
struct Loop {
    length: usize,
    reverse: bool,
    carries: Vec<usize>,
    items: Vec<usize>,
    captured: Vec<usize>,
    /// Its inputs are what is captured, the items, and the carries.
    body: Recipe,
    next: Vec<usize>,
    outputs: Vec<usize>,
}

impl Loop {
    fn order(&self) -> impl Iterator<Item = usize> {
        let (length, reverse) = (self.length, self.reverse);
        (0..length).map(move |step| if reverse { length - 1 - step } else { step })
    }
}

/// The greatest number of elements of a value.
const LARGEST: usize = 40;

impl Recipe {
    pub(super) fn depth(&self) -> usize {
        self.depths.iter().copied().max().unwrap_or(0)
    }

    /// Records the steps; gives all values. With `unroll`, loops are Rust loops.
    pub(super) fn record<'t>(&self, inputs: &[Var<'t>], unroll: bool) -> Vec<Var<'t>> {
        self.record_at(inputs, unroll, 0)
    }

    fn record_at<'t>(&self, inputs: &[Var<'t>], unroll: bool, level: usize) -> Vec<Var<'t>> {
        let (tape, dtype) = (inputs[0].tape(), inputs[0].dtype().expect("a valid input"));
        let mut values = inputs.to_vec();
        for step in &self.steps {
            match step {
                Step::Constant(value) => values.push(tape.constant(typed(&value.values(), &value.shape[..], dtype))),
                Step::Apply { used, operands, hold, .. } => {
                    let moved = |o: &Operand| match o.moved {
                        Some((scale, shift)) => values[o.at] * scale + shift,
                        None => values[o.at],
                    };
                    let y = (used.record)(&operands.iter().map(moved).collect::<Vec<_>>());
                    if *hold && level == 0 && !unroll {
                        y.value().expect("a valid value");
                    }
                    values.push(y);
                }
                Step::Loop(inside) => inside.record(&mut values, unroll, level),
            }
        }
        for (value, shape) in values.iter().zip(&self.shapes) {
            match value.shape() {
                Ok(found) => assert_eq!(found.to_vec(), *shape, "the shape that the tape infers"),
                Err(error) => panic!("a mistake was recorded: {error}"),
            }
        }
        values
    }

    fn write(&self, f: &mut std::fmt::Formatter<'_>, indent: usize) -> std::fmt::Result {
        let count = |step: &Step| match step {
            Step::Loop(inside) => inside.next.len() + inside.outputs.len(),
            _ => 1,
        };
        let mut at = self.shapes.len() - self.steps.iter().map(count).sum::<usize>();
        writeln!(f, "{:indent$}inputs {:?}", "", &self.shapes[..at])?;
        for step in &self.steps {
            let shape = &self.shapes[at];
            write!(f, "{:indent$}{at} {shape:?} = ", "")?;
            match step {
                Step::Constant(_) => writeln!(f, "constant")?,
                Step::Apply { name, operands, .. } => writeln!(f, "{name} {operands:?}")?,
                Step::Loop(Loop { length, reverse, carries, items, captured, body, next, outputs }) => {
                    writeln!(f, "loop of {length}, reverse {reverse}: {captured:?}, {items:?}, {carries:?}")?;
                    body.write(f, indent + 4)?;
                    writeln!(f, "{:indent$}    next {next:?}, outputs {outputs:?}", "")?;
                }
            }
            at += count(step);
        }
        Ok(())
    }

    /// All values over dual numbers.
    pub(super) fn evaluate(&self, inputs: &[Duals]) -> Vec<Duals> {
        let mut values = inputs.to_vec();
        self.steps.iter().for_each(|step| step.evaluate(&mut values));
        values
    }
}

impl std::fmt::Display for Recipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.write(f, 0)
    }
}

impl std::fmt::Debug for Operand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.moved {
            Some((scale, shift)) => write!(f, "%{}·{scale:.3} + {shift:.3}", self.at),
            None => write!(f, "%{}", self.at),
        }
    }
}

impl Step {
    fn evaluate(&self, values: &mut Vec<Duals>) {
        match self {
            Step::Constant(value) => values.push(value.clone()),
            Step::Apply { used, operands, .. } => {
                let moved = |o: &Operand| match o.moved {
                    Some((scale, shift)) => values[o.at].map(|x| x * scale.into() + shift.into()),
                    None => values[o.at].clone(),
                };
                values.push((used.reference)(&operands.iter().map(moved).collect::<Vec<_>>()));
            }
            Step::Loop(inside) => inside.evaluate(values),
        }
    }
}

impl Loop {
    fn record<'t>(&self, values: &mut Vec<Var<'t>>, unroll: bool, level: usize) {
        let tape = values[0].tape();
        let pick = |list: &[usize]| list.iter().map(|at| values[*at]).collect::<Vec<Var<'t>>>();
        let (carries, items, captured) = (pick(&self.carries), pick(&self.items), pick(&self.captured));
        let step = |state: Vec<Var<'t>>, items: Vec<Var<'t>>| {
            let inputs: Vec<Var<'t>> = captured.iter().chain(&items).chain(&state).copied().collect();
            let inside = self.body.record_at(&inputs, unroll, level + 1);
            let pick = |list: &[usize]| list.iter().map(|at| inside[*at]).collect::<Vec<Var<'t>>>();
            (pick(&self.next), pick(&self.outputs))
        };
        let (last, ys) = if unroll && self.length > 0 {
            let mut state = carries;
            let mut rows = vec![Vec::new(); self.length];
            for t in self.order() {
                (state, rows[t]) = step(state, items.iter().map(|x| x.get(0, t)).collect());
            }
            let column = |j: usize| rows.iter().map(|row| row[j]).collect::<Vec<_>>();
            (state, (0..self.outputs.len()).map(|j| tape.stack(&column(j), 0)).collect())
        } else {
            let checkpoint = crate::Checkpoint::Every(1 + self.length / 2);
            let options = ScanOptions { reverse: self.reverse, length: Some(self.length), checkpoint };
            tape.scan_with(options, carries, items, step)
        };
        values.extend(last);
        values.extend(ys);
    }

    fn evaluate(&self, values: &mut Vec<Duals>) {
        let mut state: Vec<Duals> = self.carries.iter().map(|at| values[*at].clone()).collect();
        let mut rows: Vec<Vec<Vec<Dual>>> = vec![vec![Vec::new(); self.length]; self.outputs.len()];
        for t in self.order() {
            let inside = self.body.evaluate(&self.inputs(values, &state, t));
            // A NaN that no output shows may still be in a derivative.
            if !inside.iter().flat_map(|value| &value.data).all(|v| v.is_tame(50.0, 200.0)) {
                unfit();
            }
            for (column, at) in rows.iter_mut().zip(&self.outputs) {
                column[t] = inside[*at].data.clone();
            }
            state = self.next.iter().map(|at| inside[*at].clone()).collect();
        }
        values.extend(state);
        for (column, at) in rows.into_iter().zip(&self.outputs) {
            let shape = std::iter::once(self.length).chain(self.body.shapes[*at].iter().copied()).collect();
            values.push(Duals { shape, data: column.concat() });
        }
    }

    fn inputs(&self, values: &[Duals], state: &[Duals], t: usize) -> Vec<Duals> {
        let captured = self.captured.iter().map(|at| values[*at].clone());
        captured.chain(self.items.iter().map(|at| values[*at].row(t))).chain(state.iter().cloned()).collect()
    }
}

/// A recipe with values for its inputs.
pub(super) struct Grown {
    pub recipe: Recipe,
    pub inputs: Vec<Duals>,
    /// The values of which a loss is made, the last one among them.
    pub asked: Vec<usize>,
}

/// Graph `seed`, of at most `steps` steps.
pub(super) fn grown(seed: u64, flavour: Flavour, steps: usize) -> Grown {
    let rng = &mut Rng::new(seed);
    let inputs: Vec<Duals> = (0..1 + rng.below(3))
        .map(|_| {
            let smallest = if flavour == Flavour::Any && rng.below(12) == 0 { 0 } else { 1 };
            let mut shape: Vec<usize> = (0..rng.below(4)).map(|_| smallest + rng.below(4)).collect();
            while shape.iter().product::<usize>() > 16 {
                shape.pop();
            }
            let values: Vec<f64> = (0..shape.iter().product()).map(|_| 4.0 * rng.unit() - 2.0).collect();
            Duals::seeded(&shape, &values, rng)
        })
        .collect();
    let families = families();
    let steps = 2 + rng.below(steps - 1);
    let mut grower = Grower::new(rng, &families, flavour, inputs.clone(), 0);
    grower.grow(steps);
    let (recipe, values) = (grower.recipe, grower.values);
    let mut asked = vec![values.len() - 1];
    (0..rng.below(3)).for_each(|_| asked.push(rng.below(values.len())));
    Grown { recipe, inputs, asked }
}

struct Grower<'g> {
    rng: &'g mut Rng,
    families: &'g [Family],
    flavour: Flavour,
    recipe: Recipe,
    values: Vec<Duals>,
    /// The number of loops around.
    level: usize,
}

impl<'g> Grower<'g> {
    fn new(rng: &'g mut Rng, families: &'g [Family], flavour: Flavour, inputs: Vec<Duals>, level: usize) -> Self {
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|x| x.shape.clone()).collect();
        let recipe = Recipe { steps: Vec::new(), depths: vec![0; shapes.len()], shapes, tangents: true };
        Grower { rng, families, flavour, recipe, values: inputs, level }
    }

    /// Adds steps; an attempt that does not do is followed by another.
    fn grow(&mut self, steps: usize) {
        let (mut left, mut attempts) = (steps, 20 * steps);
        while left > 0 && attempts > 0 {
            attempts -= 1;
            // The last value mostly, so that graphs are deep; any other, so that values are shared.
            let n = self.values.len();
            let first = if self.rng.below(5) < 3 { n - 1 } else { self.rng.below(n) };
            let kept = match self.rng.below(16) {
                0 | 1 if self.level < 2 => self.time(first),
                2 => self.fitted(first),
                _ => {
                    let family = self.rng.pick(self.families);
                    self.flavour.takes(family.facts()) && self.apply(family, first)
                }
            };
            left -= kept as usize;
        }
    }

    /// A use of a family with value `first` as its first operand.
    fn apply(&mut self, family: &Family, first: usize) -> bool {
        let shape = self.recipe.shapes[first].clone();
        let pool = self.recipe.shapes.clone();
        let Some(used) = family.draw(&mut Draw { rng: self.rng, pool: &pool }, &shape) else { return false };
        let mark = (self.recipe.steps.len(), self.values.len());
        let mut at = vec![first];
        for shape in &used.shapes[1..] {
            at.push(self.fit(shape));
        }
        let operands = at.iter().zip(&used.samples).map(|(at, sample)| self.operand(*at, sample)).collect();
        let hold = self.flavour == Flavour::Any && self.rng.below(16) == 0;
        let kept = self.keep(Step::Apply { name: family.name(), used, operands, hold }, &at, 1);
        if kept {
            self.recipe.tangents &= family.facts().tangents;
        } else {
            self.cut(mark);
        }
        kept
    }

    fn cut(&mut self, (steps, values): (usize, usize)) {
        self.recipe.steps.truncate(steps);
        self.recipe.shapes.truncate(values);
        self.recipe.depths.truncate(values);
        self.values.truncate(values);
    }

    /// A value of a shape: one there is, the entries of another one, or a constant.
    fn fit(&mut self, shape: &[usize]) -> usize {
        let same: Vec<usize> = (0..self.values.len()).filter(|i| self.recipe.shapes[*i] == shape).collect();
        if !same.is_empty() {
            return *self.rng.pick(&same);
        }
        let from = self.rng.below(self.values.len());
        if self.rng.below(3) > 0 && self.entries(from, shape) {
            return self.values.len() - 1;
        }
        let values: Vec<f64> = (0..shape.iter().product()).map(|_| 4.0 * self.rng.unit() - 2.0).collect();
        self.push(Step::Constant(Duals::of(shape, &values)), 0);
        self.values.len() - 1
    }

    /// A value under the shape of another.
    fn fitted(&mut self, first: usize) -> bool {
        let shape = self.rng.pick(&self.recipe.shapes).clone();
        self.entries(first, &shape)
    }

    /// Entries of a value, by number, under a shape.
    fn entries(&mut self, from: usize, shape: &[usize]) -> bool {
        let (have, want) = (self.values[from].data.len(), shape.iter().product::<usize>());
        if have == 0 {
            return false;
        }
        let index: Vec<usize> = (0..want).map(|_| self.rng.below(have)).collect();
        let (own, shape) = (self.recipe.shapes[from].clone(), shape.to_vec());
        let list: Vec<i64> = index.iter().map(|i| *i as i64).collect();
        let target = shape.clone();
        let chosen = used(
            &[&own],
            move |v| {
                let list = crate::Tensor::from_vec(list.clone(), [list.len()]).expect("counted");
                v[0].reshape([have]).index_select(0, &list).reshape(target.clone())
            },
            move |x| Duals { shape: shape.clone(), data: index.iter().map(|i| x[0].data[*i]).collect() },
        );
        let operands = vec![Operand { at: from, moved: None }];
        self.keep(Step::Apply { name: "entries", used: chosen.expect("a use"), operands, hold: false }, &[from], 1)
    }

    /// A value as an operand from a domain.
    fn operand(&self, at: usize, sample: &Sample) -> Operand {
        let slack = if sample.avoid.is_empty() && sample.low == WIDE.low { 1.0 } else { 0.0 };
        let values = self.values[at].data.iter().map(|v| v.x);
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
        if low > high || low >= sample.low - slack && high <= sample.high + slack {
            return Operand { at, moved: None };
        }
        let scale = (0.8 * (sample.high - sample.low) / (high - low).max(1e-3)).min(1.0);
        let shift = (sample.low + sample.high) / 2.0 - scale * (low + high) / 2.0;
        Operand { at, moved: Some((scale, shift)) }
    }

    fn push(&mut self, step: Step, depth: usize) {
        step.evaluate(&mut self.values);
        self.recipe.steps.push(step);
        for value in &self.values[self.recipe.shapes.len()..] {
            self.recipe.shapes.push(value.shape.clone());
            self.recipe.depths.push(depth);
        }
    }

    /// Adds a step of some operands if what it gives is small enough, of order one, and off the jumps.
    fn keep(&mut self, step: Step, operands: &[usize], length: usize) -> bool {
        let mark = (self.recipe.steps.len(), self.values.len());
        let depth = length + operands.iter().map(|at| self.recipe.depths[*at]).max().unwrap_or(0);
        let ((), margin) = watched(|| self.push(step, depth));
        let mut new = self.values[mark.1..].iter();
        let judged = self.flavour != Flavour::Any;
        let good = new.all(|value| {
            value.data.len() <= LARGEST
                && value.shape.len() <= 5
                && (!judged || !value.data.is_empty() && value.data.iter().all(|v| v.is_tame(8.0, 20.0)))
        });
        // A tie here may be a difference of one rounding there.
        let apart = !judged || margin.closest > 1e-5 && !margin.tied;
        if !good || !apart {
            self.cut(mark);
        }
        good && apart
    }

    /// A loop over the leading axis of a value, or over nothing.
    fn time(&mut self, first: usize) -> bool {
        let shape = self.recipe.shapes[first].clone();
        let scanned = self.rng.below(6) > 0 && shape.first().is_some_and(|n| *n <= 5);
        let length = if scanned { shape[0] } else { 1 + self.rng.below(4) };
        if length == 0 && self.flavour != Flavour::Any {
            return false;
        }
        let n = self.values.len();
        let mut some = |least: usize, most: usize| -> Vec<usize> {
            (0..least + self.rng.below(most)).map(|_| self.rng.below(n)).collect()
        };
        let (carries, captured) = (some(1, 3), some(0, 3));
        let mut items = if scanned { vec![first] } else { Vec::new() };
        let fits = |i: &usize| scanned && *i != first && self.recipe.shapes[*i].first() == Some(&length);
        items.extend((0..n).find(fits));
        let reverse = self.rng.below(2) == 0;
        let state: Vec<Duals> = carries.iter().map(|at| self.values[*at].clone()).collect();
        let empty = Recipe { steps: vec![], shapes: vec![], depths: vec![], tangents: true };
        let mut inside = Loop { length, reverse, carries, items, captured, body: empty, next: vec![], outputs: vec![] };
        // The body is grown next to the values of its first step.
        let Some(t) = inside.order().next() else { return false };
        let inputs = inside.inputs(&self.values, &state, t);
        let count = inputs.len();
        let mut grower = Grower::new(self.rng, self.families, self.flavour, inputs, self.level + 1);
        let steps = 1 + grower.rng.below(6);
        grower.grow(steps);
        inside.next = (count - state.len()..count).map(|carry| grower.next(carry, count)).collect();
        let last = grower.values.len() - 1;
        inside.outputs = vec![last];
        (0..grower.rng.below(3)).for_each(|_| inside.outputs.push(grower.rng.below(last + 1)));
        inside.body = grower.recipe;
        let (depth, tangents) = (1 + inside.body.depth(), inside.body.tangents);
        let operands: Vec<usize> =
            [&inside.carries, &inside.items, &inside.captured].into_iter().flatten().copied().collect();
        let kept = self.keep(Step::Loop(inside), &operands, depth);
        self.recipe.tangents &= tangents || !kept;
        kept
    }

    /// What a carry becomes: itself, another value of its shape, or a mixture that does not grow.
    fn next(&mut self, carry: usize, inputs: usize) -> usize {
        let shape = self.recipe.shapes[carry].clone();
        let n = self.values.len();
        let same: Vec<usize> = (0..n).filter(|i| self.recipe.shapes[*i] == shape).collect();
        match self.rng.below(8) {
            0 => return *self.rng.pick(&same),
            1 => return carry,
            _ => {}
        }
        let grown: Vec<usize> = same.into_iter().filter(|i| *i >= inputs).collect();
        let other = if grown.is_empty() { self.fit(&shape) } else { *self.rng.pick(&grown) };
        let mixed = used(
            &[&shape, &shape],
            |v| v[0] * 0.5 + v[1].tanh() * 0.7,
            |x| Duals::build(&x[0].shape, |i| x[0].at(i) * 0.5.into() + x[1].at(i).tanh() * 0.7.into()),
        );
        let operands = [carry, other].map(|at| Operand { at, moved: None }).to_vec();
        let step = Step::Apply { name: "mixture", used: mixed.expect("a use"), operands, hold: false };
        if self.keep(step, &[carry, other], 2) { self.values.len() - 1 } else { carry }
    }
}
