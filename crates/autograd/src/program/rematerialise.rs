//! Values that a loop would store for another one, its derivative above all, and that follow in an operation or two from what it stores
//! anyway: the other loop computes them again.
//!
//! A stored value costs its bytes twice, written and read, most of them beyond the second-level cache; a product or a sum of values that
//! are at hand costs less. What takes longer, a division or an exponential, stays stored. No bit changes: the operation is the same, on the
//! same values.

use super::fuse::map_of;
use super::graph::{Graph, GraphNode, GraphOp, LoopOutput};
use super::pair::loop_of;
use super::simplify::without_dead;
use crate::node::Op;
use crate::ops::table;
use crate::shape::Shape;
use smallvec::SmallVec;

/// Bytes of a stored value, all steps together, from which it is computed again: the second-level cache does not hold fewer of them. Not
/// fewer than those from which a loop absorbs a value.
const LARGE: usize = 1 << 20;

/// Operations that computing a value again may take.
const CHEAP: usize = 2;

/// Applies the rewrite at every level: what is not stored becomes an operation on stacked values, which the other loop
/// [absorbs](super::absorb).
pub(super) fn rematerialise(graph: Graph) -> Graph {
    let mut graph = outputs_first(graph);
    for node in &mut graph.nodes {
        if let GraphOp::Loop(inside) = &mut node.op {
            let body = std::mem::replace(&mut inside.body, Graph { nodes: Vec::new(), outputs: Vec::new() });
            inside.body = rematerialise(body);
        }
    }
    let mut id = 0;
    while id < graph.nodes.len() {
        if matches!(graph.nodes[id].op, GraphOp::Loop(_)) {
            let plans = Finder::of(&graph, id).plans();
            graph = apply(graph, id, plans);
        }
        id += 1;
    }
    graph
}

/// The graph with the outputs of each loop behind it.
fn outputs_first(graph: Graph) -> Graph {
    let mut outputs: Vec<SmallVec<[usize; 8]>> = vec![SmallVec::new(); graph.nodes.len()];
    for (id, node) in graph.nodes.iter().enumerate() {
        if let GraphOp::LoopOutput(_) = node.op {
            outputs[node.inputs[0]].push(id);
        }
    }
    let mut old: Vec<Option<GraphNode>> = graph.nodes.into_iter().map(Some).collect();
    let mut found = vec![usize::MAX; old.len()];
    let mut out = Graph { nodes: Vec::with_capacity(old.len()), outputs: Vec::new() };
    for (id, outputs) in outputs.iter().enumerate() {
        for id in std::iter::once(id).chain(outputs.iter().copied()) {
            if let Some(mut node) = old[id].take() {
                node.inputs.iter_mut().for_each(|input| *input = found[*input]);
                found[id] = out.add(node);
            }
        }
    }
    out.outputs = graph.outputs.iter().map(|id| found[*id]).collect();
    out
}

/// How the value of a tap is computed again: the graph's node for the tap, and the operation.
struct Plan {
    node: usize,
    again: Again,
}

/// A value of a loop's body at all steps.
enum Again {
    /// A node of the graph.
    Known(usize),
    /// An operation of the body, by node, on such values.
    Computed(usize, Vec<Again>),
}

/// Looks for what one loop need not store.
struct Finder<'g> {
    graph: &'g Graph,
    at: usize,
    /// The graph's nodes for the loop's taps, with the body's nodes.
    taps: Vec<(usize, usize)>,
    /// Of the taps, which are given up, and which others are computed from.
    dropped: Vec<bool>,
    needed: Vec<bool>,
}

impl<'g> Finder<'g> {
    fn of(graph: &'g Graph, at: usize) -> Finder<'g> {
        let inside = loop_of(graph, at);
        let mut taps = Vec::new();
        for (id, node) in graph.nodes.iter().enumerate().skip(at + 1) {
            match node.op {
                GraphOp::LoopOutput(index) if node.inputs[0] == at => {
                    if let LoopOutput::Tap(tap) = inside.outputs[index] {
                        taps.push((id, inside.body.outputs[inside.carries + tap]));
                    }
                }
                _ => {}
            }
        }
        let n = taps.len();
        Finder { graph, at, taps, dropped: vec![false; n], needed: vec![false; n] }
    }

    /// What to compute again: earlier values of the body first, so that later ones may follow from them in the operations that are left.
    fn plans(mut self) -> Vec<Plan> {
        let mut order: Vec<usize> = (0..self.taps.len()).filter(|tap| self.is_for_a_loop_alone(*tap)).collect();
        order.sort_by_key(|tap| self.taps[*tap].1);
        let mut plans = Vec::new();
        for tap in order {
            if self.needed[tap] {
                continue;
            }
            self.dropped[tap] = true;
            let (node, body) = self.taps[tap];
            let mut budget = CHEAP;
            let mut used = Vec::new();
            match self.again(body, &mut budget, &mut used) {
                Some(again @ Again::Computed(..)) => {
                    used.iter().for_each(|tap| self.needed[*tap] = true);
                    plans.push(Plan { node, again });
                }
                _ => self.dropped[tap] = false,
            }
        }
        plans
    }

    /// Whether a large stored value is scanned by one other loop and used for nothing else.
    fn is_for_a_loop_alone(&self, tap: usize) -> bool {
        let (id, body) = self.taps[tap];
        let (inside, node) = (loop_of(self.graph, self.at), &self.graph.nodes[id]);
        if node.shape.numel() * node.dtype.size() < LARGE {
            return false;
        }
        let twice = self.taps.iter().filter(|(_, other)| *other == body).count() > 1;
        // The next carry is written anyway.
        if twice || inside.body.outputs[..inside.carries].contains(&body) || self.graph.outputs.contains(&id) {
            return false;
        }
        let mut users = self.graph.nodes.iter().skip(id).filter(|node| node.inputs.contains(&id));
        let (Some(user), None) = (users.next(), users.next()) else { return false };
        let GraphOp::Loop(other) = &user.op else { return false };
        let uses = user.inputs.iter().enumerate().filter(|(_, input)| **input == id);
        let scanned = other.carries..other.carries + other.items;
        let ports: SmallVec<[usize; 2]> = uses.map(|(port, _)| port).collect();
        matches!(ports[..], [port] if scanned.contains(&port))
    }

    /// A body node at all steps, of what is stored and what the loop reads, in at most so many operations.
    fn again(&self, node: usize, budget: &mut usize, used: &mut Vec<usize>) -> Option<Again> {
        let inside = loop_of(self.graph, self.at);
        if let Some(tap) = (0..self.taps.len()).find(|tap| self.taps[*tap].1 == node && !self.dropped[*tap]) {
            used.push(tap);
            return Some(Again::Known(self.taps[tap].0));
        }
        let body = &inside.body.nodes[node];
        match body.op {
            GraphOp::Port(port) if port >= inside.carries => Some(Again::Known(self.graph.nodes[self.at].inputs[port])),
            GraphOp::Op(Op::Map(_)) if is_cheap(body) => {
                *budget = budget.checked_sub(1)?;
                let mut inputs = Vec::with_capacity(body.inputs.len());
                for input in &body.inputs {
                    let fixed = matches!(inside.body.nodes[*input].op, GraphOp::Port(port) if port >= inside.carries + inside.items);
                    // Time comes in front of the axes that broadcasting would put there.
                    if !fixed && inside.body.nodes[*input].shape.rank() != body.shape.rank() {
                        return None;
                    }
                    inputs.push(self.again(*input, budget, used)?);
                }
                Some(Again::Computed(node, inputs))
            }
            _ => None,
        }
    }
}

/// Whether an operation takes about as long as reading its arguments.
fn is_cheap(node: &GraphNode) -> bool {
    let cheap = [&table::NEG, &table::SQUARE];
    map_of(node).is_some_and(|map| map.0.arith.is_some() || cheap.iter().any(|row| std::ptr::eq(*row, map.0)))
}

/// The graph in which loop `at` does not store what is computed again.
fn apply(graph: Graph, at: usize, plans: Vec<Plan>) -> Graph {
    if plans.is_empty() {
        return graph;
    }
    let GraphOp::Loop(inside) = &graph.nodes[at].op else { return graph };
    let mut inside = inside.clone();
    let bodies: Vec<GraphNode> = inside.body.nodes.clone();
    let index_of = |node: usize| match graph.nodes[node].op {
        GraphOp::LoopOutput(index) => Some(index),
        _ => None,
    };
    let dropped: Vec<usize> = plans.iter().filter_map(|plan| index_of(plan.node)).collect();
    // Outputs and taps that stay move together.
    let mut outputs = Vec::new();
    let mut taps = Vec::new();
    let mut moved = vec![usize::MAX; inside.outputs.len()];
    for (index, output) in inside.outputs.iter().enumerate().filter(|(index, _)| !dropped.contains(index)) {
        moved[index] = outputs.len();
        outputs.push(match output {
            LoopOutput::Tap(tap) => {
                taps.push(inside.body.outputs[inside.carries + tap]);
                LoopOutput::Tap(taps.len() - 1)
            }
            last => *last,
        });
    }
    inside.outputs = outputs;
    inside.body.outputs.truncate(inside.carries);
    inside.body.outputs.extend(taps);
    let body = std::mem::replace(&mut inside.body, Graph { nodes: Vec::new(), outputs: Vec::new() });
    inside.body = without_dead(body);
    let steps = inside.steps;

    let mut inside = Some(inside);
    let mut out = Graph { nodes: Vec::with_capacity(graph.nodes.len()), outputs: Vec::new() };
    let mut found: Vec<usize> = vec![usize::MAX; graph.nodes.len()];
    // What is computed again comes behind the outputs that it is computed from.
    let last = graph.nodes.iter().rposition(|node| matches!(node.op, GraphOp::LoopOutput(_)) && node.inputs[0] == at);
    for (id, node) in graph.nodes.into_iter().enumerate() {
        let plan = plans.iter().any(|plan| plan.node == id);
        if !plan {
            let mut node = node;
            match &mut node.op {
                GraphOp::Loop(_) if id == at => {
                    node.op = GraphOp::Loop(inside.take().expect("the loop is one node"));
                }
                GraphOp::LoopOutput(index) if node.inputs[0] == at => *index = moved[*index],
                _ => {}
            }
            node.inputs.iter_mut().for_each(|input| *input = found[*input]);
            found[id] = out.add(node);
        }
        if Some(id) == last {
            for plan in &plans {
                found[plan.node] = computed(&mut out, &found, &bodies, steps, &plan.again);
            }
        }
    }
    out.outputs = graph.outputs.iter().map(|id| found[*id]).collect();
    out
}

/// Adds what computes a value at all steps.
fn computed(out: &mut Graph, found: &[usize], bodies: &[GraphNode], steps: usize, again: &Again) -> usize {
    match again {
        Again::Known(node) => found[*node],
        Again::Computed(node, inputs) => {
            let inputs = inputs.iter().map(|input| computed(out, found, bodies, steps, input)).collect();
            let body = &bodies[*node];
            let shape: Shape = body.shape.with_front(steps);
            out.add(GraphNode { op: body.op.clone(), inputs, shape, dtype: body.dtype, at: body.at })
        }
    }
}
