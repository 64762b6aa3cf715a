//! The kernel calls of a fused group.

use super::fuse::{fold_of, map_of};
use super::graph::Graph;
use super::group::{Group, Value};
use crate::ops::{Kernels, Row, table};
use smallvec::{SmallVec, smallvec};
use wengert_kernels::{
    Arith, Kernel, MAX_SOURCES, Reduction, Slope, quotient_kernel, root_kernel, sigmoid_of_sum_kernel,
    sigmoid_of_sums_kernel, tanh_of_sum_kernel, tanh_of_sums_kernel,
};

/// One kernel call of a group.
pub(super) struct Step {
    /// What it computes.
    pub value: Value,
    pub sources: SmallVec<[Value; MAX_SOURCES]>,
    pub code: Code,
    /// Whether it goes over one value a row.
    pub by_row: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Code {
    /// An operation of the table.
    Row(&'static Row),
    /// `second(first(x, y), z)`, or with exchanged arguments for place 1.
    Pair { first: Arith, second: Arith, place: usize },
    /// `last(x·y, z·w)`.
    Products { last: Arith },
    /// `x·y + (z·w)·z`.
    Square,
    /// `x·slope(z, w)`.
    Slope(Slope),
    /// `(x·y)·slope(z, w)`.
    SlopeOfProduct(Slope),
    /// What only floats have.
    Float(&'static Kernels),
    /// A reduction of rows.
    Fold(Reduction),
    /// Values of rows over the elements of their rows.
    Spread,
}

/// `√x·y + z`.
static ROOT: Kernels = Kernels { f32: root_kernel, f64: root_kernel, i64: None };

/// `z - (x / y)·w`.
static QUOTIENT: Kernels = Kernels { f32: quotient_kernel, f64: quotient_kernel, i64: None };

/// Functions of `x + y` and of `(x + y) + z`.
static SQUASHES: [(&Row, [Kernels; 2]); 2] = {
    const fn of(f32: fn() -> Kernel<f32>, f64: fn() -> Kernel<f64>) -> Kernels {
        Kernels { f32, f64, i64: None }
    }
    let sigmoid =
        [of(sigmoid_of_sum_kernel, sigmoid_of_sum_kernel), of(sigmoid_of_sums_kernel, sigmoid_of_sums_kernel)];
    let tanh = [of(tanh_of_sum_kernel, tanh_of_sum_kernel), of(tanh_of_sums_kernel, tanh_of_sums_kernel)];
    [(&table::SIGMOID, sigmoid), (&table::TANH, tanh)]
};

/// The calls of a group: one a member, but for operations that a later one, which alone uses them, does in the same call; and what
/// spreads values of rows.
pub(super) fn steps(graph: &Graph, group: &Group<'_>, stored: &[usize]) -> Vec<Step> {
    let mut uses = vec![0usize; group.members.len()];
    let index = |value: Value| match value {
        Value::Member(id) => group.members.binary_search(&id).ok(),
        _ => None,
    };
    for value in group.arguments.iter().flatten().chain(&group.spreads) {
        index(*value).into_iter().for_each(|member| uses[member] += 1);
    }
    let mut steps: Vec<Option<Step>> = Vec::with_capacity(group.members.len() + group.spreads.len());
    // The step of each member.
    let mut at: Vec<usize> = Vec::with_capacity(group.members.len());
    let mut spread = 0;
    for (id, arguments) in group.members.iter().zip(&group.arguments) {
        // Numbered in the order of first use.
        while arguments.contains(&Value::Spread(spread)) {
            let (value, sources) = (Value::Spread(spread), smallvec![group.spreads[spread]]);
            steps.push(Some(Step { value, sources, code: Code::Spread, by_row: false }));
            spread += 1;
        }
        let node = &graph.nodes[*id];
        let by_row = group.is_row(*id);
        // The call that computes a value for this one alone, and its place.
        let alone = |value: Value| {
            let member = index(value).filter(|m| uses[*m] == 1 && !stored.contains(&group.members[*m]))?;
            Some((at[member], steps[at[member]].as_ref()?))
        };
        let (found, code) = match (map_of(node), fold_of(graph, node)) {
            (Some(map), _) => {
                let found = match map.0.arith {
                    Some(last) => joined(last, arguments, &alone),
                    None => squashed(map.0, arguments, &alone),
                };
                (found, Code::Row(map.0))
            }
            (None, Some(kind)) => (None, Code::Fold(kind)),
            (None, None) => unreachable!("the members of a group are elementwise operations and reductions of rows"),
        };
        let Joined { taken, sources, code } =
            found.unwrap_or_else(|| Joined { taken: SmallVec::new(), sources: arguments.clone(), code });
        for step in taken {
            steps[step] = None;
        }
        at.push(steps.len());
        steps.push(Some(Step { value: Value::Member(*id), sources, code, by_row }));
    }
    steps.into_iter().flatten().collect()
}

/// A call, and the steps whose operations it does as well.
struct Joined {
    taken: SmallVec<[usize; 2]>,
    sources: SmallVec<[Value; MAX_SOURCES]>,
    code: Code,
}

/// The call of a squashing function that does the additions of its argument as well, if there is one.
fn squashed<'s>(row: &Row, inputs: &[Value], alone: &impl Fn(Value) -> Option<(usize, &'s Step)>) -> Option<Joined> {
    let (_, kernels) = SQUASHES.iter().find(|(squash, _)| std::ptr::eq(*squash, row))?;
    let (member, step) = alone(*inputs.first()?)?;
    let kernels = match step.code {
        Code::Row(sum) if sum.arith == Some(Arith::Add) => &kernels[0],
        Code::Pair { first: Arith::Add, second: Arith::Add, .. } => &kernels[1],
        _ => return None,
    };
    Some(Joined { taken: smallvec![member], sources: step.sources.clone(), code: Code::Float(kernels) })
}

/// The call that does `last` on two values and operations that computed them, if there is one. `alone` finds the step of a value
/// that nothing else uses.
fn joined<'s>(last: Arith, inputs: &[Value], alone: &impl Fn(Value) -> Option<(usize, &'s Step)>) -> Option<Joined> {
    let [a, b] = *inputs else { return None };
    let joined = |taken: &[usize], sources: &[Value], code: Code| {
        Some(Joined { taken: SmallVec::from_slice(taken), sources: SmallVec::from_slice(sources), code })
    };
    let arith = |argument: Value| -> Option<(usize, [Value; 2], Arith)> {
        let (member, step) = alone(argument)?;
        match (step.code, &step.sources[..]) {
            (Code::Row(row), [x]) if std::ptr::eq(row, &table::SQUARE) => Some((member, [*x, *x], Arith::Mul)),
            (Code::Row(row), [x, y]) => Some((member, [*x, *y], row.arith?)),
            _ => None,
        }
    };
    // What is multiplied by the slope of a squashing function: the slope's step, the function's value and what it is taken from.
    let slope = |argument: Value| {
        let (member, step) = alone(argument)?;
        let Code::Pair { first, second, place: 1 } = step.code else { return None };
        match (first, second, &step.sources[..]) {
            (Arith::Sub, Arith::Mul, [w, z, again]) if z == again => Some((member, Slope::Sigmoid, [*z, *w])),
            (Arith::Mul, Arith::Sub, [z, again, w]) if z == again => Some((member, Slope::Tanh, [*z, *w])),
            _ => None,
        }
    };
    // An operation of the table in a product with a value: the steps of both, the operation's sources, the value.
    let factor = |argument: Value, row: &'static Row| {
        let (product, sources, Arith::Mul) = arith(argument)? else { return None };
        let (member, step) = alone(sources[0])?;
        let fits = matches!(step.code, Code::Row(own) if std::ptr::eq(own, row));
        fits.then(|| ([product, member], &step.sources, sources[1]))
    };
    if let (Arith::Add, Some((left, x, Arith::Mul)), Some((right, step))) = (last, arith(a), alone(b)) {
        let product = matches!(step.code, Code::Pair { first: Arith::Mul, second: Arith::Mul, place: 0 });
        if product && step.sources[0] == step.sources[2] {
            return joined(&[left, right], &[x[0], x[1], step.sources[0], step.sources[1]], Code::Square);
        }
    }
    let scaled = slope(b).map(|slope| (slope, a)).or_else(|| slope(a).map(|slope| (slope, b)));
    if let (Arith::Mul, Some(((member, of, [z, w]), other))) = (last, scaled) {
        return match arith(other) {
            Some((product, [x, y], Arith::Mul)) => joined(&[member, product], &[x, y, z, w], Code::SlopeOfProduct(of)),
            _ => joined(&[member], &[other, z, w], Code::Slope(of)),
        };
    }
    if let (Some((left, x, Arith::Mul)), Some((right, z, Arith::Mul))) = (arith(a), arith(b)) {
        return joined(&[left, right], &[x[0], x[1], z[0], z[1]], Code::Products { last });
    }
    if let (Arith::Sub, Some((taken, x, w))) = (last, factor(b, &table::DIV)) {
        return joined(&taken, &[x[0], x[1], w, a], Code::Float(&QUOTIENT));
    }
    if let (Arith::Add, Some((taken, x, y))) = (last, factor(a, &table::SQRT)) {
        return joined(&taken, &[x[0], y, b], Code::Float(&ROOT));
    }
    let (place, (member, x, first), other) = match arith(a) {
        Some(part) => (0, part, b),
        None => (1, arith(b)?, a),
    };
    joined(&[member], &[x[0], x[1], other], Code::Pair { first, second: last, place })
}

/// The registers of a group: one for each step, reused after the last use.
pub(super) struct Registers(Vec<(Value, u16)>);

impl Registers {
    pub(super) fn assign(steps: &[Step], stored: &[usize]) -> Registers {
        let mut last: Vec<usize> = (0..steps.len()).collect();
        let index = |value: Value| steps.iter().position(|step| step.value == value);
        for (at, step) in steps.iter().enumerate() {
            for source in &step.sources {
                if let Some(before) = index(*source) {
                    last[before] = at;
                }
            }
        }
        for id in stored {
            if let Some(step) = index(Value::Member(*id)) {
                last[step] = usize::MAX;
            }
        }
        let mut assigned = vec![0u16; steps.len()];
        let mut free: Vec<u16> = Vec::new();
        let mut count = 0u16;
        for at in 0..steps.len() {
            assigned[at] = free.pop().unwrap_or_else(|| {
                count += 1;
                count - 1
            });
            // A register is free for the operation after its last use: kernels do not run in place.
            for before in 0..=at {
                if last[before] == at && before != at {
                    free.push(assigned[before]);
                    last[before] = usize::MAX - 1;
                }
            }
        }
        Registers(steps.iter().map(|step| step.value).zip(assigned).collect())
    }

    pub(super) fn of(&self, value: Value) -> u16 {
        let found = self.0.iter().find(|(computed, _)| *computed == value);
        found.expect("the value is computed in the group").1
    }
}
