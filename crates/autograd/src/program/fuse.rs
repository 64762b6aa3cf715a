//! Which nodes run in one pass over elements: elementwise ones, and reductions of rows.
//!
//! Every node gets a stage: one of a pass stays in the stage of the inputs it can be fused
//! with, anything else starts a later one. Stages never fall along an edge, so no path between two nodes of one stage leaves
//! the stage, and connected nodes of a stage can run together wherever their inputs are ready.
//!
//! A pass goes over a space of elements. A reduction of its last axis leaves one value a row of the space, and so does what is
//! computed from such values elementwise; a view spreads them over their rows again. So the norm of a layer, a softmax, or the derivative of
//! either is one pass.

use super::PlanOptions;
use super::graph::{Graph, GraphNode, GraphOp};
use crate::dtype::DType;
use crate::node::Op;
use crate::ops::{MapOp, Reduce};
use crate::shape::Shape;
use std::cmp::Ordering;
use wengert_kernels::Reduction;

/// The most operations in one group: keeps the registers of a tile within the first-level cache.
const LARGEST: usize = 48;

/// The units of execution of a graph, in the order in which they run.
pub(super) struct Units {
    pub order: Vec<Vec<usize>>,
    pub parts: Parts,
    /// Whether a node's value is used outside of its unit.
    pub leaves: Vec<bool>,
}

/// What nodes are to passes.
pub(super) struct Parts {
    /// The lane type of each node that can be in a pass.
    pub lanes: Vec<DType>,
    /// The space of which a node has one value a row: a reduction, or what is computed elementwise from one.
    pub rows: Vec<Option<Shape>>,
}

/// The longest row that is reduced in a pass, which keeps some values of it in the first-level cache.
const LONGEST_ROW: usize = 1024;

/// The node as an elementwise operation.
pub(super) fn map_of(node: &GraphNode) -> Option<MapOp> {
    match node.op {
        GraphOp::Op(Op::Map(map)) => Some(map),
        _ => None,
    }
}

/// The node as a reduction of the last axis that a pass can do.
pub(super) fn fold_of(graph: &Graph, node: &GraphNode) -> Option<Reduction> {
    let GraphOp::Op(Op::Reduce(Reduce { kind, first, count: 1, backward: false })) = node.op else { return None };
    let input = &graph.nodes[node.inputs[0]];
    let row = *input.shape.get(first).filter(|_| first + 1 == input.shape.rank())?;
    let lanes = input.dtype != DType::Bool && input.dtype == node.dtype;
    (lanes && (2..=LONGEST_ROW).contains(&row) && input.shape.numel() > 0).then_some(kind)
}

impl Parts {
    fn of(graph: &Graph) -> Parts {
        let n = graph.nodes.len();
        let mut parts = Parts { lanes: vec![DType::F32; n], rows: vec![None; n] };
        for (id, node) in graph.nodes.iter().enumerate() {
            if map_of(node).is_some() {
                // Truth values take the lane type of the comparisons that made them.
                let lane = node.inputs.iter().map(|input| match graph.nodes[*input].dtype {
                    DType::Bool if map_of(&graph.nodes[*input]).is_some() => parts.lanes[*input],
                    dtype => dtype,
                });
                let own = MapOp::lane(node.inputs.iter().map(|input| graph.nodes[*input].dtype));
                let logic = node.inputs.iter().all(|input| graph.nodes[*input].dtype == DType::Bool);
                parts.lanes[id] = if logic { MapOp::lane(lane) } else { own };
                parts.rows[id] = node.inputs.iter().find_map(|input| {
                    let values = parts.behind(graph, *input);
                    let space = parts.rows[values].as_ref()?;
                    let same = graph.nodes[*input].shape == node.shape && parts.lanes[values] == parts.lanes[id];
                    (same && is_rows_of(&node.shape, space)).then(|| space.clone())
                });
            } else if fold_of(graph, node).is_some() {
                let input = &graph.nodes[node.inputs[0]];
                parts.lanes[id] = input.dtype;
                parts.rows[id] = Some(input.shape.clone());
            }
        }
        parts
    }

    /// The node whose values of rows a view has, or the node itself.
    fn behind(&self, graph: &Graph, node: usize) -> usize {
        let mut at = node;
        while let (None, GraphOp::Op(Op::Reshape(_) | Op::StopGradient)) = (&self.rows[at], &graph.nodes[at].op) {
            at = graph.nodes[at].inputs[0];
        }
        if self.rows[at].is_some() { at } else { node }
    }

    /// Where `id` finds what it needs of an input if one pass computes both: the input, or the values of rows of which the input is a view.
    pub(super) fn source(&self, graph: &Graph, input: usize, id: usize) -> Option<usize> {
        let node = &graph.nodes[id];
        let elementwise = map_of(node).is_some();
        let shape = &graph.nodes[input].shape;
        let found = match &self.rows[id] {
            _ if !elementwise && fold_of(graph, node).is_none() => return None,
            // Values of rows from such values.
            Some(space) if elementwise => {
                let values = self.behind(graph, input);
                (self.rows[values].as_ref() == Some(space) && *shape == node.shape).then_some(values)
            }
            // Elements from elements.
            rows if self.rows[input].is_none() && map_of(&graph.nodes[input]).is_some() => {
                (shape == rows.as_ref().unwrap_or(&node.shape)).then_some(input)
            }
            // Elements from values of their rows.
            None => {
                let space = &node.shape;
                let column = match graph.nodes[input].op {
                    GraphOp::Op(Op::Expand(_)) if shape == space => graph.nodes[input].inputs[0],
                    _ => input,
                };
                let values = self.behind(graph, column);
                let along = graph.nodes[column].shape.rank() == space.rank() || space.rank() == 1;
                let fits = along && is_rows_of(&graph.nodes[column].shape, space);
                (fits && self.rows[values].as_ref() == Some(space)).then_some(values)
            }
            Some(_) => None,
        };
        found.filter(|source| self.lanes[*source] == self.lanes[id])
    }
}

/// Whether a shape has one element for each row of a space: that without its last axis, or with one of extent 1.
fn is_rows_of(shape: &Shape, space: &Shape) -> bool {
    let Some(above) = space.rank().checked_sub(1) else { return false };
    match shape.rank() {
        rank if rank == above => shape[..] == space[..above],
        rank if rank == above + 1 => shape[..above] == space[..above] && shape[above] == 1,
        _ => false,
    }
}

pub(super) fn units(graph: &Graph, options: PlanOptions) -> Units {
    let n = graph.nodes.len();
    let parts = Parts::of(graph);
    // What no node of a pass comes before has stage -1.
    let mut stage = vec![-1i32; n];
    for (id, node) in graph.nodes.iter().enumerate() {
        let in_pass = map_of(node).is_some() || parts.rows[id].is_some();
        let later = |input: &usize| (in_pass && parts.source(graph, *input, id).is_none()) as i32;
        let after = node.inputs.iter().map(|input| stage[*input] + later(input)).max();
        stage[id] = after.unwrap_or(in_pass as i32 - 1);
    }
    let mut set = Sets::new(n);
    if options.optimise {
        delay(graph, &parts, &mut stage);
        for (id, node) in graph.nodes.iter().enumerate() {
            for input in &node.inputs {
                if let Some(source) = parts.source(graph, *input, id).filter(|source| stage[*source] == stage[id]) {
                    set.join(source, id);
                }
            }
        }
    }
    schedule(graph, parts, &mut set)
}

/// Moves nodes to the stage of their first user, where they are fused with it, if no more memory waits for them than does now.
fn delay(graph: &Graph, parts: &Parts, stage: &mut [i32]) {
    let n = graph.nodes.len();
    let bytes = |id: usize| graph.nodes[id].shape.numel() * graph.nodes[id].dtype.size();
    // The latest stage that the users allow, and whether the node would be fused there; the latest stage of a user.
    let (mut latest, mut last) = (vec![(i32::MAX, false); n], vec![i32::MIN; n]);
    for id in &graph.outputs {
        (latest[*id], last[*id]) = ((i32::MIN, false), i32::MAX);
    }
    for (id, node) in graph.nodes.iter().enumerate().rev() {
        let (to, fused) = latest[id];
        if fused && to > stage[id] {
            // What is there anyway, or is used as late, does not wait for this node.
            let waits = |input: &&usize| !graph.nodes[**input].inputs.is_empty() && last[**input] < to;
            let waiting: usize = node.inputs.iter().filter(waits).map(|input| bytes(*input)).sum();
            if waiting <= bytes(id) {
                stage[id] = to;
            }
        }
        for input in &node.inputs {
            let fuses = parts.source(graph, *input, id) == Some(*input);
            let allowed = stage[id] - !fuses as i32;
            let (to, fused) = latest[*input];
            latest[*input] = match allowed.cmp(&to) {
                Ordering::Less => (allowed, fuses),
                Ordering::Equal => (to, fused || fuses),
                Ordering::Greater => (to, fused),
            };
            last[*input] = last[*input].max(stage[id]);
        }
    }
}

/// Gathers nodes into units and orders them so that inputs come first.
fn schedule(graph: &Graph, parts: Parts, set: &mut Sets) -> Units {
    let n = graph.nodes.len();
    let mut of = vec![usize::MAX; n];
    let mut members: Vec<Vec<usize>> = Vec::new();
    // The unit that is being filled for each set; a full one is followed by another, so a long chain is cut.
    let mut filling: Vec<usize> = vec![usize::MAX; n];
    for (id, unit) in of.iter_mut().enumerate() {
        let root = set.root(id);
        let open = filling[root];
        if open == usize::MAX || members[open].len() >= LARGEST {
            filling[root] = members.len();
            members.push(Vec::new());
        }
        *unit = filling[root];
        members[filling[root]].push(id);
    }
    let mut leaves = vec![false; n];
    graph.outputs.iter().for_each(|id| leaves[*id] = true);
    let mut waiting = vec![0u32; members.len()];
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); members.len()];
    for (id, node) in graph.nodes.iter().enumerate().rev() {
        if !leaves[id] && matches!(node.op, GraphOp::Op(Op::Reshape(_) | Op::StopGradient | Op::Expand(_))) {
            // A view through which passes see their own values alone.
            members[of[id]].clear();
            continue;
        }
        for input in &node.inputs {
            let inside = parts.source(graph, *input, id).is_some_and(|source| of[source] == of[id]);
            if !inside {
                leaves[*input] = true;
                users[of[*input]].push(of[id]);
                waiting[of[id]] += 1;
            }
        }
    }
    // Ready units run in the order of recording.
    let mut ready: std::collections::BinaryHeap<std::cmp::Reverse<(usize, usize)>> = Default::default();
    let units = members.iter().filter(|unit| !unit.is_empty()).count();
    for (unit, count) in waiting.iter().enumerate() {
        if *count == 0 && !members[unit].is_empty() {
            ready.push(std::cmp::Reverse((members[unit][0], unit)));
        }
    }
    let mut order = Vec::with_capacity(members.len());
    while let Some(std::cmp::Reverse((_, unit))) = ready.pop() {
        for user in std::mem::take(&mut users[unit]) {
            waiting[user] -= 1;
            if waiting[user] == 0 {
                ready.push(std::cmp::Reverse((members[user][0], user)));
            }
        }
        order.push(std::mem::take(&mut members[unit]));
    }
    assert!(order.len() == units, "the units of a graph have no cycle");
    Units { order, parts, leaves }
}

/// Disjoint sets of nodes.
struct Sets(Vec<u32>);

impl Sets {
    fn new(n: usize) -> Sets {
        Sets((0..n as u32).collect())
    }

    fn root(&mut self, id: usize) -> usize {
        let mut at = id;
        while self.0[at] as usize != at {
            self.0[at] = self.0[self.0[at] as usize];
            at = self.0[at] as usize;
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        let (low, high) = (a.min(b), a.max(b));
        self.0[high] = low as u32;
    }
}
