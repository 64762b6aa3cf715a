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
    pending: Vec<Option<Box<Pending<'t>>>>,
    scans: HashMap<NodeId, ScanCotangents<'t>>,
    /// Contributions to nodes that the range does not hold, kept apart for the caller.
    pub outside: Vec<(NodeId, Var<'t>)>,
    /// Whether a node belongs to this store.
    body: Option<u32>,
}

#[derive(Default)]
struct Pending<'t> {
    whole: Option<Var<'t>>,
    parts: SmallVec<[Part<'t>; 4]>,
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
        let pending = (start..end).map(|_| None).collect();
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
        self.pending[(id - self.start) as usize].is_some() || self.scans.contains_key(&id)
    }

    /// Adds a contribution to the cotangent of node `id`, summing over axes that were broadcast.
    pub(super) fn add(&mut self, id: NodeId, contribution: Contribution<'t>) {
        let tape = self.tape;
        let id = match &tape.inner.borrow().nodes[id as usize] {
            // Straight to the value that it stands for: sums have the order that they have without a checkpoint.
            Node { op: Op::Again, inputs, .. } => inputs[1],
            _ => id,
        };
        let target = Var { tape, id };
        let contribution = match contribution {
            Contribution::Whole(ct) => Contribution::Whole(unbroadcast(ct, target)),
            part => part,
        };
        let own = self.body.is_none_or(|body| target.node(|n| n.body) == body);
        if !own {
            let mut alone = Pending::default();
            alone.push(contribution);
            self.outside.push((id, alone.total(target)));
            return;
        }
        self.pending[(id - self.start) as usize].get_or_insert_default().push(contribution);
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
        let pending = self.pending[(id - self.start) as usize].take();
        let total = pending.expect("the walk takes what it has reached").total(Var { tape: self.tape, id });
        self.tape.note_cotangent(total.id);
        total
    }

    pub(super) fn take_scan(&mut self, id: NodeId) -> ScanCotangents<'t> {
        self.scans.remove(&id).unwrap_or_default()
    }
}

impl<'t> Pending<'t> {
    fn push(&mut self, contribution: Contribution<'t>) {
        match contribution {
            Contribution::Whole(ct) => self.whole = Some(self.whole.map_or(ct, |sum| sum + ct)),
            Contribution::Part { axis, start, value } => {
                let extent = value.node(|n| n.shape.get(axis).copied().unwrap_or(0));
                self.parts.push(Part { axis, start, extent, value });
            }
        }
    }

    /// The whole cotangent: disjoint parts are joined, with zeros in the gaps, instead of being padded and added.
    fn total(mut self, target: Var<'t>) -> Var<'t> {
        while let Some(first) = self.parts.first().copied() {
            let mut row: SmallVec<[Part<'t>; 4]> = SmallVec::new();
            let mut rest: SmallVec<[Part<'t>; 4]> = SmallVec::new();
            for part in self.parts.drain(..) {
                let apart = |other: &Part<'t>| {
                    part.start >= other.start + other.extent || other.start >= part.start + part.extent
                };
                let fits = part.axis == first.axis && row.iter().all(apart);
                if fits { row.push(part) } else { rest.push(part) }
            }
            self.parts = rest;
            let joined = join(row, target);
            self.push(Contribution::Whole(joined));
        }
        self.whole.expect("a reached node has a contribution")
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
