//! Cotangents on their way: contributions are collected, then summed once.

use crate::node::{Node, NodeId, Op};
use crate::ops::Contribution;
use crate::tape::Tape;
use crate::var::Var;
use smallvec::SmallVec;
use std::collections::HashMap;

/// The cotangents of the outputs of one scan.
#[derive(Default)]
pub(super) struct ScanCotangents<'t> {
    /// Of the carries after the last step.
    pub finals: HashMap<usize, Var<'t>>,
    /// Of body values at all steps; the node, and its cotangent `[T, ..]`.
    pub taps: Vec<(NodeId, Var<'t>)>,
}

/// The cotangents of a range of nodes, and what flows out of it.
pub(super) struct Store<'t> {
    tape: &'t Tape,
    start: NodeId,
    pending: Vec<Pending<'t>>,
    scans: HashMap<NodeId, ScanCotangents<'t>>,
    /// Contributions to nodes that the range does not hold, kept apart for the caller.
    pub outside: Vec<(NodeId, Var<'t>)>,
    /// Whether a node belongs to this store.
    body: Option<u32>,
}

/// What has been contributed to one cotangent.
#[derive(Default)]
struct Pending<'t> {
    whole: Option<Var<'t>>,
    /// Those that need more than a sum; most values have none.
    special: Option<Box<Special<'t>>>,
}

#[derive(Default)]
struct Special<'t> {
    parts: SmallVec<[Part<'t>; 4]>,
    /// Products `leftᵀ · right`.
    products: Vec<(Var<'t>, Var<'t>)>,
    /// Small values `[rows, ..]` to be summed over their rows.
    rows: Vec<Var<'t>>,
}

#[derive(Clone, Copy)]
struct Part<'t> {
    axis: usize,
    start: usize,
    extent: usize,
    value: Var<'t>,
}

impl<'t> Store<'t> {
    pub(super) fn new(tape: &'t Tape, start: NodeId, end: NodeId) -> Store<'t> {
        let pending = (start..end).map(|_| Pending::default()).collect();
        Store { tape, start, pending, scans: HashMap::new(), outside: Vec::new(), body: None }
    }

    /// A store for the nodes of one body; what flows to other nodes is kept in `outside`.
    pub(super) fn of_body(tape: &'t Tape, range: &std::ops::Range<NodeId>, body: u32) -> Store<'t> {
        Store { body: Some(body), ..Store::new(tape, range.start, range.end) }
    }

    pub(super) fn range(&self) -> std::ops::Range<NodeId> {
        self.start..self.start + self.pending.len() as NodeId
    }

    pub(super) fn is_reached(&self, id: NodeId) -> bool {
        self.pending[(id - self.start) as usize].is_reached() || self.scans.contains_key(&id)
    }

    /// Adds a contribution to the cotangent of node `id`, summing over axes that were broadcast.
    pub(super) fn add(&mut self, id: NodeId, contribution: Contribution<'t>) {
        let tape = self.tape;
        let (id, own, fits) = {
            let inner = tape.inner.borrow();
            // Straight to the value that it stands for: sums have the order that they have without a checkpoint.
            let id = match &inner.nodes[id as usize] {
                Node { op: Op::Again, inputs, .. } => inputs[1],
                _ => id,
            };
            let target = &inner.nodes[id as usize];
            let fits = match &contribution {
                Contribution::Whole(ct) => inner.nodes[ct.id as usize].shape == target.shape,
                _ => true,
            };
            (id, self.body.is_none_or(|body| target.body == body), fits)
        };
        let mut alone = Pending::default();
        let pending = if own { &mut self.pending[(id - self.start) as usize] } else { &mut alone };
        match contribution {
            Contribution::Whole(ct) if !fits => pending.broadcast(ct, Var { tape, id }),
            contribution => pending.push(contribution),
        }
        if !own {
            self.outside.push((id, alone.total(Var { tape, id })));
        }
    }

    pub(super) fn add_final(&mut self, scan: NodeId, index: usize, ct: Var<'t>) {
        let finals = &mut self.scans.entry(scan).or_default().finals;
        // Several nodes may read the same final carry.
        let total = finals.get(&index).map_or(ct, |before| *before + ct);
        finals.insert(index, total);
    }

    pub(super) fn add_tap(&mut self, scan: NodeId, node: NodeId, ct: Var<'t>) {
        self.scans.entry(scan).or_default().taps.push((node, ct));
    }

    /// The sum of a node's contributions.
    pub(super) fn take(&mut self, id: NodeId) -> Var<'t> {
        let pending = std::mem::take(&mut self.pending[(id - self.start) as usize]);
        let total = pending.total(Var { tape: self.tape, id });
        self.tape.note_cotangent(total.id);
        total
    }

    pub(super) fn take_scan(&mut self, id: NodeId) -> ScanCotangents<'t> {
        self.scans.remove(&id).unwrap_or_default()
    }
}

impl<'t> Pending<'t> {
    fn is_reached(&self) -> bool {
        self.whole.is_some() || self.special.is_some()
    }

    fn special(&mut self) -> &mut Special<'t> {
        self.special.get_or_insert_default()
    }

    fn push(&mut self, contribution: Contribution<'t>) {
        match contribution {
            Contribution::Whole(ct) => self.whole = Some(self.whole.map_or(ct, |sum| sum + ct)),
            Contribution::Part { axis, start, value } => {
                let extent = value.node(|n| n.shape.get(axis).copied().unwrap_or(0));
                self.special().parts.push(Part { axis, start, extent, value });
            }
            Contribution::Product { left, right } => {
                if is_slim(left, right) {
                    let products = &mut self.special().products;
                    products.push((left, right));
                    if rows(products.iter().map(|(left, _)| *left)) >= WAITING_ROWS {
                        self.multiply();
                    }
                } else {
                    self.push(Contribution::Whole(left.t().matmul(right)));
                }
            }
        }
    }

    /// Adds a cotangent of another shape than the target's.
    fn broadcast(&mut self, ct: Var<'t>, target: Var<'t>) {
        let (from, to) = (ct.node(|n| n.shape.clone()), target.node(|n| n.shape.clone()));
        if to.rank() > 0 && from.rank() == to.rank() + 1 && from[1..] == to[..] && from.numel() <= LITTLE {
            let waiting = &mut self.special().rows;
            waiting.push(ct);
            if rows(waiting.iter().copied()) >= WAITING_ROWS {
                self.sum_rows(target);
            }
        } else {
            self.push(Contribution::Whole(unbroadcast(ct, target)));
        }
    }

    /// Adds the products that wait, as one.
    fn multiply(&mut self) {
        let (left, right): (Vec<_>, Vec<_>) = self.special().products.drain(..).unzip();
        if let (Some(left), Some(right)) = (stacked(&left), stacked(&right)) {
            self.push(Contribution::Whole(left.t().matmul(right)));
        }
    }

    /// Adds the sum of the rows that wait.
    fn sum_rows(&mut self, target: Var<'t>) {
        let waiting = std::mem::take(&mut self.special().rows);
        if let Some(rows) = stacked(&waiting) {
            self.push(Contribution::Whole(unbroadcast(rows, target)));
        }
    }

    /// The whole cotangent.
    fn total(mut self, target: Var<'t>) -> Var<'t> {
        if let Some(special) = &mut self.special {
            let parts = std::mem::take(&mut special.parts);
            self.join_parts(parts, target);
            self.multiply();
            self.sum_rows(target);
        }
        self.whole.expect("a reached node has a contribution")
    }

    /// Disjoint parts are joined, with zeros in the gaps, instead of being padded and added.
    fn join_parts(&mut self, mut parts: SmallVec<[Part<'t>; 4]>, target: Var<'t>) {
        while let Some(first) = parts.first().copied() {
            let mut row: SmallVec<[Part<'t>; 4]> = SmallVec::new();
            let mut rest: SmallVec<[Part<'t>; 4]> = SmallVec::new();
            for part in parts.drain(..) {
                let apart = |other: &Part<'t>| {
                    part.start >= other.start + other.extent || other.start >= part.start + part.extent
                };
                let fits = part.axis == first.axis && row.iter().all(apart);
                if fits { row.push(part) } else { rest.push(part) }
            }
            parts = rest;
            self.push(Contribution::Whole(join(row, target)));
        }
    }
}

/// As many rows are summed by one product or reduction. What waits is alive, so more would cost a loop the memory that
/// its checkpoints save, and a product gains little from them.
const WAITING_ROWS: usize = 128;

/// So few elements cost less to copy than an instruction does.
const LITTLE: usize = 1 << 14;

/// Whether it is cheaper to copy the operands of a product `leftᵀ · right` than to add a further matrix of its size; little
/// work always is.
fn is_slim(left: Var<'_>, right: Var<'_>) -> bool {
    let extents = |v: Var<'_>| v.node(|n| if let [rows, columns] = n.shape[..] { Some((rows, columns)) } else { None });
    let (Some((rows, k)), Some((_, n))) = (extents(left), extents(right)) else { return false };
    rows.saturating_mul(k + n) <= k * n + LITTLE
}

/// The rows of some matrices together.
fn rows<'t>(values: impl Iterator<Item = Var<'t>>) -> usize {
    values.map(|v| v.node(|n| n.shape.first().copied().unwrap_or(0))).sum()
}

/// Values one behind another along the first axis, the last first: the walk meets the steps of a loop from the end.
fn stacked<'t>(values: &[Var<'t>]) -> Option<Var<'t>> {
    let ordered: Vec<Var<'t>> = values.iter().rev().copied().collect();
    match ordered[..] {
        [] => None,
        [one] => Some(one),
        [first, ..] => Some(first.tape().concat(&ordered, 0)),
    }
}

/// Disjoint parts of one axis as a value of the target's shape.
fn join<'t>(mut row: SmallVec<[Part<'t>; 4]>, target: Var<'t>) -> Var<'t> {
    let (shape, dtype) = target.node(|n| (n.shape.clone(), n.dtype));
    // An empty part stands before the one that starts where it does.
    row.sort_by_key(|part| (part.start, part.extent));
    let axis = row[0].axis;
    let tape = target.tape();
    let zeros = |extent: usize| tape.literal(0.0, dtype).expand(shape.with_axis(axis, extent));
    let mut pieces: Vec<Var<'t>> = Vec::new();
    let mut at = 0;
    for part in row {
        if part.start > at {
            pieces.push(zeros(part.start - at));
        }
        at = part.start + part.extent;
        pieces.push(part.value);
    }
    if at < shape[axis] {
        pieces.push(zeros(shape[axis] - at));
    }
    tape.concat(&pieces, axis as isize)
}

/// Sums `ct` over the axes along which the target was broadcast to `ct`'s shape.
fn unbroadcast<'t>(ct: Var<'t>, target: Var<'t>) -> Var<'t> {
    let (Ok(from), to) = (ct.shape(), target.node(|n| n.shape.clone())) else { return ct };
    if from == to {
        return ct;
    }
    if from.rank() < to.rank() || from.broadcast(&to).as_ref() != Some(&from) {
        // A rule gave a cotangent of a smaller shape: it holds for every element.
        return ct.expand(to);
    }
    let lead = from.rank() - to.rank();
    let axes: Vec<isize> = (0..from.rank())
        .filter(|axis| *axis < lead || (to[axis - lead] == 1 && from[*axis] != 1))
        .map(|axis| axis as isize)
        .collect();
    ct.sum_axes(axes.as_slice()).reshape(to)
}
