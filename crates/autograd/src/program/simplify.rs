//! Rewrites of a graph that keep every bit: products leave loops, slices move to the inputs of elementwise operations.

use super::absorb::absorb;
use super::graph::{Graph, GraphNode, GraphOp, Loop, LoopOutput};
use super::rematerialise::rematerialise;
use crate::node::Op;
use crate::ops::{Matmul, Reshape, Slice};
use crate::shape::Shape;
use smallvec::{SmallVec, smallvec};
use std::collections::HashMap;

/// The most elementwise operations that a rewrite passes through.
const DEEPEST: u32 = 8;

/// Applies all rewrites.
pub(super) fn simplify(graph: Graph) -> Graph {
    push_slices(absorb(rematerialise(move_products(graph))))
}

/// [`push_slices`] in the bodies of loops.
fn push_in_bodies(nodes: &mut [GraphNode]) {
    for node in nodes {
        if let GraphOp::Loop(inside) = &mut node.op {
            let body = std::mem::replace(&mut inside.body, Graph { nodes: Vec::new(), outputs: Vec::new() });
            inside.body = push_slices(body);
        }
    }
}

/// Moves matrix products with a loop-invariant right operand out of loops.
///
/// A product whose rows come from scanned values alone is computed before the loop, for all steps at once; one that is
/// only tapped is computed after it. The bits of a product do not depend on its number of rows.
fn move_products(graph: Graph) -> Graph {
    let mut out = Graph { nodes: Vec::with_capacity(graph.nodes.len()), outputs: Vec::new() };
    let mut found: Vec<usize> = Vec::with_capacity(graph.nodes.len());
    // For each loop (as a node of `out`), what its outputs are multiplied by after the loop.
    let mut sunk: HashMap<usize, Vec<Option<Sunk>>> = HashMap::new();
    for node in graph.nodes {
        let inputs: SmallVec<[usize; 4]> = node.inputs.iter().map(|i| found[*i]).collect();
        let at = match node.op {
            GraphOp::Loop(inside) => {
                let mut inside = *inside;
                inside.body = move_products(inside.body);
                let inputs = hoist(&mut out, &mut inside, inputs);
                let after = sink(&mut inside, &inputs);
                inside.body = without_dead(inside.body);
                let at = out.add(GraphNode { op: GraphOp::Loop(Box::new(inside)), inputs, ..node });
                sunk.insert(at, after);
                at
            }
            GraphOp::LoopOutput(index) => match sunk[&inputs[0]][index].clone() {
                Some(sunk) => {
                    let steps = node.shape[0];
                    let (rows, k, n) = (steps * sunk.left[0], sunk.left[1], node.shape[2]);
                    let left = GraphNode {
                        shape: sunk.left.with_front(steps),
                        ..node.like(GraphOp::LoopOutput(index), inputs)
                    };
                    let left = out.add(left);
                    let left = out.reshape(left, [rows, k].into());
                    let product = GraphNode {
                        shape: [rows, n].into(),
                        ..node.like(GraphOp::Op(Op::Matmul(Matmul::default())), smallvec![left, sunk.right])
                    };
                    let product = out.add(product);
                    out.reshape(product, node.shape)
                }
                None => out.add(GraphNode { op: GraphOp::LoopOutput(index), inputs, ..node }),
            },
            op => out.add(GraphNode { op, inputs, ..node }),
        };
        found.push(at);
    }
    out.outputs = graph.outputs.iter().map(|id| found[*id]).collect();
    out
}

/// A tapped product that is computed after the loop.
#[derive(Clone)]
struct Sunk {
    /// Shape of the left operand at a step.
    left: Shape,
    /// The right operand, outside of the loop.
    right: usize,
}

/// `left·right` if the body node is a product of a matrix and a captured matrix: the left node, and the capture's number.
fn invariant_product(inside: &Loop, node: usize) -> Option<(usize, usize)> {
    let GraphNode { op: GraphOp::Op(Op::Matmul(Matmul { backward: false })), inputs, .. } = &inside.body.nodes[node]
    else {
        return None;
    };
    let (left, right) = (inputs[0], inputs[1]);
    let rank = |id: usize| inside.body.nodes[id].shape.rank();
    match inside.body.nodes[right].op {
        GraphOp::Port(port) if rank(left) == 2 && rank(right) == 2 => {
            port.checked_sub(inside.carries + inside.items).map(|_| (left, port))
        }
        _ => None,
    }
}

/// Computes products of scanned values before the loop; their results are scanned instead.
fn hoist(out: &mut Graph, inside: &mut Loop, mut inputs: SmallVec<[usize; 4]>) -> SmallVec<[usize; 4]> {
    /// Rows from which a product runs at full speed; with as many at each step, nothing is gained by taking all steps
    /// together, and the results need not go through memory.
    const ENOUGH_ROWS: usize = 16;
    /// Bytes of matrices that stay in the second-level cache from step to step.
    const NEAR: usize = 640 << 10;
    let matrices = (0..inside.body.nodes.len()).filter_map(|node| invariant_product(inside, node)).map(|(_, right)| {
        let node = &out.nodes[inputs[right]];
        node.shape.numel() * node.dtype.size()
    });
    let near = matrices.sum::<usize>() <= NEAR;
    let mut new_items: Vec<(usize, usize)> = Vec::new();
    for node in 0..inside.body.nodes.len() {
        let Some((left, right)) = invariant_product(inside, node) else { continue };
        let right = inputs[right];
        let enough = inside.body.nodes[node].shape[0] >= ENOUGH_ROWS;
        if (enough && near) || !liftable(inside, left, 0) {
            continue;
        }
        let rows = lift(out, inside, &inputs, left);
        let shape = inside.body.nodes[node].shape.clone();
        let (b, k, n) = (shape[0], inside.body.nodes[left].shape[1], shape[1]);
        let flat = out.reshape(rows, [inside.steps * b, k].into());
        let (dtype, at) = (inside.body.nodes[node].dtype, inside.body.nodes[node].at);
        let product = out.add(GraphNode {
            op: GraphOp::Op(Op::Matmul(Matmul::default())),
            inputs: smallvec![flat, right],
            shape: [inside.steps * b, n].into(),
            dtype,
            at,
        });
        let stacked = out.reshape(product, shape.with_front(inside.steps));
        new_items.push((node, stacked));
    }
    let first = inside.carries + inside.items;
    for node in &mut inside.body.nodes {
        if let GraphOp::Port(port) = &mut node.op
            && *port >= first
        {
            *port += new_items.len();
        }
    }
    for (index, (node, source)) in new_items.iter().enumerate() {
        let node = &mut inside.body.nodes[*node];
        node.op = GraphOp::Port(first + index);
        node.inputs.clear();
        inputs.insert(first + index, *source);
    }
    inside.items += new_items.len();
    inputs
}

/// The values of a [`liftable`] body node at all steps, computed outside.
fn lift(out: &mut Graph, inside: &Loop, inputs: &[usize], node: usize) -> usize {
    let body = &inside.body.nodes[node];
    let map = match &body.op {
        GraphOp::Port(port) => return inputs[*port],
        GraphOp::Op(Op::Map(map)) => *map,
        _ => unreachable!("only ports and elementwise operations are liftable"),
    };
    let rank = body.shape.rank();
    let lifted = body
        .inputs
        .iter()
        .map(|input| match inside.body.nodes[*input].op {
            GraphOp::Port(port) if port >= inside.carries + inside.items => inputs[port],
            _ => {
                let value = lift(out, inside, inputs, *input);
                // Time comes in front of the axes that broadcasting would put there.
                let shape = &inside.body.nodes[*input].shape;
                let padded = std::iter::repeat_n(1, rank - shape.rank()).chain(shape.iter().copied());
                out.reshape(value, padded.collect::<Shape>().with_front(inside.steps))
            }
        })
        .collect();
    let shape = body.shape.with_front(inside.steps);
    out.add(GraphNode { op: GraphOp::Op(Op::Map(map)), inputs: lifted, shape, dtype: body.dtype, at: body.at })
}

/// Whether a body node depends on scanned and captured values alone, through a few elementwise operations.
fn liftable(inside: &Loop, node: usize, depth: u32) -> bool {
    let body = &inside.body.nodes[node];
    match &body.op {
        GraphOp::Port(port) => (inside.carries..inside.carries + inside.items).contains(port),
        // At least one input changes over time, or the operation would have been recorded outside.
        GraphOp::Op(Op::Map(_)) if depth < DEEPEST => body.inputs.iter().all(|input| {
            matches!(inside.body.nodes[*input].op, GraphOp::Port(port) if port >= inside.carries + inside.items)
                || liftable(inside, *input, depth + 1)
        }),
        _ => false,
    }
}

/// Replaces taps of products that nothing else in the body uses by taps of their left operands; for each output of
/// the loop, what is to be multiplied afterwards.
fn sink(inside: &mut Loop, inputs: &[usize]) -> Vec<Option<Sunk>> {
    let mut uses = vec![0; inside.body.nodes.len()];
    for node in &inside.body.nodes {
        node.inputs.iter().for_each(|input| uses[*input] += 1);
    }
    inside.body.outputs[..inside.carries].iter().for_each(|next| uses[*next] += 1);
    let mut after = vec![None; inside.outputs.len()];
    for (index, output) in inside.outputs.clone().iter().enumerate() {
        let LoopOutput::Tap(tap) = output else { continue };
        let node = inside.body.outputs[inside.carries + tap];
        let Some((left, right)) = invariant_product(inside, node).filter(|_| uses[node] == 0) else { continue };
        after[index] = Some(Sunk { left: inside.body.nodes[left].shape.clone(), right: inputs[right] });
        inside.body.outputs[inside.carries + tap] = left;
    }
    after
}

/// The graph without nodes that no output needs; ports stay.
pub(super) fn without_dead(graph: Graph) -> Graph {
    let mut live = vec![false; graph.nodes.len()];
    graph.outputs.iter().for_each(|id| live[*id] = true);
    for id in (0..graph.nodes.len()).rev() {
        live[id] |= matches!(graph.nodes[id].op, GraphOp::Port(_));
        if live[id] {
            graph.nodes[id].inputs.iter().for_each(|input| live[*input] = true);
        }
    }
    let mut found = vec![usize::MAX; live.len()];
    let mut out = Graph { nodes: Vec::new(), outputs: Vec::new() };
    for (id, mut node) in graph.nodes.into_iter().enumerate() {
        if live[id] {
            node.inputs.iter_mut().for_each(|input| *input = found[*input]);
            found[id] = out.add(node);
        }
    }
    out.outputs = graph.outputs.iter().map(|id| found[*id]).collect();
    out
}

/// Slices the inputs of elementwise operations that are used through slices only, so that gates cut from one
/// pre-activation are computed in one pass without storing it.
fn push_slices(mut graph: Graph) -> Graph {
    push_in_bodies(&mut graph.nodes);
    let n = graph.nodes.len();
    // How many elementwise operations may be passed from here down; 0: the node is computed whole.
    let mut passes = vec![0u32; n];
    let mut users: Vec<SmallVec<[usize; 4]>> = vec![SmallVec::new(); n];
    for (id, node) in graph.nodes.iter().enumerate() {
        node.inputs.iter().for_each(|input| users[*input].push(id));
    }
    let mut is_output = vec![false; n];
    graph.outputs.iter().for_each(|id| is_output[*id] = true);
    for id in (0..n).rev() {
        let node = &graph.nodes[id];
        let elementwise = matches!(node.op, GraphOp::Op(Op::Map(_)));
        if !elementwise || is_output[id] || users[id].is_empty() {
            continue;
        }
        let mut depth = DEEPEST;
        let mut sliced = 0;
        for user in &users[id] {
            let user_node = &graph.nodes[*user];
            match &user_node.op {
                GraphOp::Op(Op::Slice(_)) => sliced += user_node.shape.numel(),
                GraphOp::Op(Op::Map(_)) if passes[*user] > 1 && user_node.shape == node.shape => {
                    depth = depth.min(passes[*user] - 1);
                }
                _ => depth = 0,
            }
        }
        // Slices that overlap would compute elements twice.
        if sliced <= node.shape.numel() {
            passes[id] = depth;
        }
    }
    if passes.iter().all(|p| *p == 0) {
        return graph;
    }
    let outputs = graph.outputs.clone();
    let mut pusher = Pusher {
        old: graph.nodes.into_iter().map(Some).collect(),
        passes,
        out: Graph { nodes: Vec::with_capacity(n), outputs: Vec::new() },
        found: vec![usize::MAX; n],
        parts: HashMap::new(),
    };
    for id in 0..n {
        if pusher.passes[id] > 0 {
            continue;
        }
        let slice = match &pusher.old[id] {
            Some(GraphNode { op: GraphOp::Op(Op::Slice(slice)), inputs, shape, .. })
                if pusher.passes[inputs[0]] > 0 =>
            {
                Some((inputs[0], *slice, shape[slice.axis]))
            }
            _ => None,
        };
        pusher.found[id] = match slice {
            Some((input, slice, extent)) => pusher.part(input, slice, extent),
            None => {
                let mut node = pusher.old[id].take().expect("every node is moved once");
                node.inputs.iter_mut().for_each(|input| *input = pusher.found[*input]);
                pusher.out.add(node)
            }
        };
    }
    pusher.out.outputs = outputs.iter().map(|id| pusher.found[*id]).collect();
    pusher.out
}

struct Pusher {
    old: Vec<Option<GraphNode>>,
    passes: Vec<u32>,
    out: Graph,
    found: Vec<usize>,
    /// Parts of nodes that were pushed through: node, axis, start, extent.
    parts: HashMap<(usize, usize, usize, usize), usize>,
}

impl Pusher {
    /// The slice of a node that is not computed whole: the same operation on slices of its inputs.
    fn part(&mut self, id: usize, slice: Slice, extent: usize) -> usize {
        let key = (id, slice.axis, slice.start, extent);
        if let Some(known) = self.parts.get(&key) {
            return *known;
        }
        let node = self.old[id].as_ref().expect("a node that is pushed through stays in place");
        let (rank, shape) = (node.shape.rank(), node.shape.with_axis(slice.axis, extent));
        let (map, dtype, at) = match &node.op {
            GraphOp::Op(Op::Map(map)) => (*map, node.dtype, node.at),
            _ => unreachable!("only elementwise operations are pushed through"),
        };
        let inputs: SmallVec<[usize; 4]> = node.inputs.clone();
        let inputs = inputs.iter().map(|input| self.input_part(*input, slice, extent, rank)).collect();
        let part = self.out.add(GraphNode { op: GraphOp::Op(Op::Map(map)), inputs, shape, dtype, at });
        self.parts.insert(key, part);
        part
    }

    fn input_part(&mut self, input: usize, slice: Slice, extent: usize, rank: usize) -> usize {
        if self.passes[input] > 0 {
            return self.part(input, slice, extent);
        }
        let found = self.found[input];
        let shape = self.out.nodes[found].shape.clone();
        // Broadcasting aligns axes at the back; an input without the axis is used whole.
        let Some(axis) = (slice.axis + shape.rank()).checked_sub(rank) else { return found };
        if shape[axis] == 1 {
            return found;
        }
        let key = (usize::MAX - found, axis, slice.start, extent);
        if let Some(known) = self.parts.get(&key) {
            return *known;
        }
        let op = GraphOp::Op(Op::Slice(Slice { axis, start: slice.start }));
        let node = self.out.nodes[found].like(op, smallvec![found]);
        let part = self.out.add(GraphNode { shape: shape.with_axis(axis, extent), ..node });
        self.parts.insert(key, part);
        part
    }
}

impl GraphNode {
    /// A node of the same shape, type and address.
    fn like(&self, op: GraphOp, inputs: SmallVec<[usize; 4]>) -> GraphNode {
        GraphNode { op, inputs, shape: self.shape.clone(), dtype: self.dtype, at: self.at }
    }
}

impl Graph {
    pub(super) fn add(&mut self, node: GraphNode) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    pub(super) fn reshape(&mut self, id: usize, shape: Shape) -> usize {
        if self.nodes[id].shape == shape {
            return id;
        }
        let node = self.nodes[id].like(GraphOp::Op(Op::Reshape(Reshape)), smallvec![id]);
        self.add(GraphNode { shape, ..node })
    }
}
