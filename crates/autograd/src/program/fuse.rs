//! Which elementwise nodes run in one pass.
//!
//! Every node gets a stage: an elementwise node stays in the stage of the elementwise inputs it can be fused
//! with, anything else starts a later one. Stages never fall along an edge, so no path between two nodes of one stage leaves
//! the stage, and connected nodes of a stage can run together wherever their inputs are ready.

use super::PlanOptions;
use super::graph::{Graph, GraphNode, GraphOp};
use crate::dtype::DType;
use crate::node::Op;
use crate::ops::MapOp;
use std::cmp::Ordering;

/// The most operations in one group: keeps the registers of a tile within the first-level cache.
const LARGEST: usize = 48;

/// The units of execution of a graph, in the order in which they run.
pub(super) struct Units {
    pub order: Vec<Vec<usize>>,
    /// The lane type of each elementwise node.
    pub lanes: Vec<DType>,
    /// Whether a node's value is used outside of its unit.
    pub leaves: Vec<bool>,
}

/// The node as an elementwise operation.
pub(super) fn map_of(node: &GraphNode) -> Option<MapOp> {
    match node.op {
        GraphOp::Op(Op::Map(map)) => Some(map),
        _ => None,
    }
}

pub(super) fn units(graph: &Graph, options: PlanOptions) -> Units {
    let n = graph.nodes.len();
    let mut lanes = vec![DType::F32; n];
    // What no elementwise node comes before has stage -1.
    let mut stage = vec![-1i32; n];
    for (id, node) in graph.nodes.iter().enumerate() {
        let Some(_) = map_of(node) else {
            stage[id] = node.inputs.iter().map(|input| stage[*input]).max().unwrap_or(-1);
            continue;
        };
        // Truth values take the lane type of the comparisons that made them.
        let lane = node.inputs.iter().map(|input| match graph.nodes[*input].dtype {
            DType::Bool if map_of(&graph.nodes[*input]).is_some() => lanes[*input],
            dtype => dtype,
        });
        let own = MapOp::lane(node.inputs.iter().map(|input| graph.nodes[*input].dtype));
        let logic = node.inputs.iter().all(|input| graph.nodes[*input].dtype == DType::Bool);
        lanes[id] = if logic { MapOp::lane(lane) } else { own };
        let after = |input: &usize| stage[*input] + !fuses(graph, &lanes, *input, id) as i32;
        stage[id] = node.inputs.iter().map(after).max().unwrap_or(0);
    }
    let mut set = Sets::new(n);
    if options.optimise {
        delay(graph, &lanes, &mut stage);
        for (id, node) in graph.nodes.iter().enumerate() {
            for input in &node.inputs {
                if stage[*input] == stage[id] && fuses(graph, &lanes, *input, id) {
                    set.join(*input, id);
                }
            }
        }
    }
    schedule(graph, lanes, &mut set)
}

/// Whether one pass can compute both nodes of an edge.
fn fuses(graph: &Graph, lanes: &[DType], input: usize, id: usize) -> bool {
    let (input_node, node) = (&graph.nodes[input], &graph.nodes[id]);
    let elementwise = map_of(input_node).is_some() && map_of(node).is_some();
    elementwise && input_node.shape == node.shape && lanes[input] == lanes[id]
}

/// Moves nodes to the stage of their first user, where they are fused with it, if no more memory waits for them than does now.
fn delay(graph: &Graph, lanes: &[DType], stage: &mut [i32]) {
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
            let fuses = fuses(graph, lanes, *input, id);
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
fn schedule(graph: &Graph, lanes: Vec<DType>, set: &mut Sets) -> Units {
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
    for (id, node) in graph.nodes.iter().enumerate() {
        for input in &node.inputs {
            if of[*input] != of[id] {
                leaves[*input] = true;
                users[of[*input]].push(of[id]);
                waiting[of[id]] += 1;
            }
        }
    }
    // Ready units run in the order of recording.
    let mut ready: std::collections::BinaryHeap<std::cmp::Reverse<(usize, usize)>> = Default::default();
    for (unit, count) in waiting.iter().enumerate() {
        if *count == 0 {
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
    assert!(order.iter().map(Vec::len).sum::<usize>() == n, "the units of a graph have no cycle");
    Units { order, lanes, leaves }
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
