//! A loop and the loop that goes back through its values: what would be stored for all steps, and who reads it.

use super::graph::{Graph, GraphOp, Loop, LoopOutput};
use crate::node::Op;
use crate::ops::{Matmul, Reduce};
use smallvec::SmallVec;
use wengert_kernels::Reduction;
use wengert_kernels::gemm::GemmElem;
use wengert_kernels::reduce_block;

/// A checkpointed loop and the loop in the other direction that reads its values.
pub(super) struct Pair {
    pub forward: usize,
    pub backward: usize,
    /// The loops' outputs: nodes of the graph.
    pub forward_outputs: Vec<usize>,
    pub backward_outputs: Vec<usize>,
    /// Sums over time that can be added up segment by segment.
    pub sums: Vec<Sum>,
    /// For each node, whether it is a value at all steps that exists for the backward loop and the sums alone.
    pub passing: Vec<bool>,
}

/// A sum over time, and over rows at each step.
pub(super) struct Sum {
    pub node: usize,
    pub operands: SmallVec<[Rows; 2]>,
}

/// An operand of a sum: values at all steps, and what is done to them.
pub(super) struct Rows {
    /// Values at all steps: time leads, or time and rows together.
    pub source: usize,
    pub transposed: bool,
}

pub(super) fn loop_of(graph: &Graph, id: usize) -> &Loop {
    match &graph.nodes[id].op {
        GraphOp::Loop(inside) => inside,
        _ => unreachable!("the node is a loop"),
    }
}

/// Whether an output node of a loop has a value for each step.
pub(super) fn is_tap(graph: &Graph, output: usize) -> bool {
    let node = &graph.nodes[output];
    let GraphOp::LoopOutput(index) = node.op else { return false };
    matches!(loop_of(graph, node.inputs[0]).outputs[index], LoopOutput::Tap(_))
}

impl Pair {
    /// The pair of a loop, if a loop in the other direction reads values of it that nobody else needs at once.
    pub(super) fn of(graph: &Graph, forward: usize) -> Option<Pair> {
        let inside = loop_of(graph, forward);
        if inside.steps < 2 {
            return None;
        }
        let opposite = |id: &usize| match &graph.nodes[*id].op {
            GraphOp::Loop(other) => {
                let items = &graph.nodes[*id].inputs[other.carries..other.carries + other.items];
                let reads = |item: &usize| is_tap(graph, *item) && graph.nodes[*item].inputs[0] == forward;
                other.steps == inside.steps && other.reverse != inside.reverse && items.iter().any(reads)
            }
            _ => false,
        };
        (forward + 1..graph.nodes.len()).filter(opposite).find_map(|backward| Pair::with(graph, forward, backward))
    }

    fn with(graph: &Graph, forward: usize, backward: usize) -> Option<Pair> {
        let outputs = |of: usize| {
            let is =
                |id: &usize| matches!(graph.nodes[*id].op, GraphOp::LoopOutput(_)) && graph.nodes[*id].inputs[0] == of;
            (0..graph.nodes.len()).filter(is).collect::<Vec<_>>()
        };
        let (forward_outputs, backward_outputs) = (outputs(forward), outputs(backward));
        let passing = vec![false; graph.nodes.len()];
        let mut pair = Pair { forward, backward, forward_outputs, backward_outputs, sums: Vec::new(), passing };
        // What is computed from the backward loop cannot be given to it.
        let mut later = vec![false; graph.nodes.len()];
        later[backward] = true;
        for id in backward + 1..graph.nodes.len() {
            later[id] = graph.nodes[id].inputs.iter().any(|input| later[*input]);
        }
        pair.sums = (backward + 1..graph.nodes.len()).filter_map(|id| pair.sum(graph, id, &later)).collect();
        pair.find_passing(graph);
        pair.forward_outputs.iter().any(|id| pair.passing[*id]).then_some(pair)
    }

    /// Whether a node is a value of one of the two loops at all steps.
    pub(super) fn is_inner(&self, graph: &Graph, id: usize) -> bool {
        is_tap(graph, id) && [self.forward, self.backward].contains(&graph.nodes[id].inputs[0])
    }

    /// The node as a sum over time in the order of the backward loop.
    fn sum(&self, graph: &Graph, id: usize, later: &[bool]) -> Option<Sum> {
        let node = &graph.nodes[id];
        let Loop { steps, reverse, .. } = *loop_of(graph, self.backward);
        let (op, onto) = match &node.op {
            GraphOp::Op(op) => (op, None),
            GraphOp::Onto(op) => (op, node.inputs.last()),
            _ => return None,
        };
        if onto.is_some_and(|before| later[*before]) {
            return None;
        }
        let mut operands: SmallVec<[Rows; 2]> = SmallVec::new();
        match op {
            Op::Matmul(Matmul { backward }) if *backward == reverse && node.shape.rank() == 2 => {
                let left = &graph.nodes[node.inputs[0]];
                match &left.op {
                    GraphOp::Op(Op::Permute(permute)) if permute.order[..] == [1, 0] => {
                        operands.push(Rows { source: self.rows(graph, left.inputs[0])?, transposed: true });
                    }
                    _ => return None,
                }
                operands.push(Rows { source: self.rows(graph, node.inputs[1])?, transposed: false });
            }
            Op::Reduce(Reduce { kind: Reduction::Sum, first: 0, backward, .. }) if *backward == reverse => {
                operands.push(Rows { source: node.inputs[0], transposed: false });
            }
            _ => return None,
        }
        let ready = |rows: &Rows| {
            let inner = self.is_inner(graph, rows.source);
            let extent = graph.nodes[rows.source].shape.first().copied().unwrap_or(0);
            inner || (!later[rows.source] && extent > 0 && extent % steps == 0)
        };
        let any_inner = operands.iter().any(|rows| self.is_inner(graph, rows.source));
        (any_inner && operands.iter().all(ready)).then_some(Sum { node: id, operands })
    }

    /// The values at all steps behind a matrix of the rows of all steps: a loop's, or the matrix itself.
    fn rows(&self, graph: &Graph, matrix: usize) -> Option<usize> {
        let node = &graph.nodes[matrix];
        Some(match node.op {
            GraphOp::Op(Op::Reshape(_)) => {
                let source = node.inputs[0];
                let shape = &graph.nodes[source].shape;
                let leading: usize = shape[..shape.rank().saturating_sub(1)].iter().product();
                let flattened = leading == node.shape[0] && shape.last() == node.shape.last();
                if flattened && self.is_inner(graph, source) { source } else { matrix }
            }
            _ => matrix,
        })
    }

    /// Values at all steps are passing if all that they are used for is: items of the backward loop, sums, views for sums.
    fn find_passing(&mut self, graph: &Graph) {
        let mut needed = vec![false; graph.nodes.len()];
        graph.outputs.iter().for_each(|id| needed[*id] = true);
        let inside = loop_of(graph, self.backward);
        let items = inside.carries..inside.carries + inside.items;
        for id in (0..graph.nodes.len()).rev() {
            let node = &graph.nodes[id];
            let sum = self.sums.iter().find(|sum| sum.node == id);
            let view = matches!(node.op, GraphOp::Op(Op::Reshape(_) | Op::Permute(_)));
            let of = if view { node.inputs[0] } else { id };
            let of =
                if matches!(graph.nodes[of].op, GraphOp::Op(Op::Reshape(_))) { graph.nodes[of].inputs[0] } else { of };
            self.passing[id] = !needed[id] && self.is_inner(graph, of);
            for (at, input) in node.inputs.iter().enumerate() {
                let rows = sum.and_then(|sum| sum.operands.get(at));
                let passes = rows.is_some_and(|rows| self.is_inner(graph, rows.source))
                    || (id == self.backward && items.contains(&at))
                    || (view && self.passing[id]);
                needed[*input] |= !passes;
            }
        }
    }

    /// Segments of multiples of so many steps cut every sum between two of its blocks.
    pub(super) fn grain(&self, graph: &Graph) -> usize {
        let steps = loop_of(graph, self.backward).steps.max(1);
        self.sums.iter().fold(1, |all, sum| {
            let node = &graph.nodes[sum.node];
            let input = &graph.nodes[node.inputs[0]];
            let (rows, block) = match &node.op {
                GraphOp::Op(Op::Reduce(op)) | GraphOp::Onto(Op::Reduce(op)) => {
                    (input.shape[..op.count].iter().product::<usize>(), reduce_block(node.shape.numel()))
                }
                _ => (input.shape[1], lcm(f32::K_BLOCK, f64::K_BLOCK)),
            };
            let rows = (rows / steps).max(1);
            lcm(all, block / gcd(block, rows))
        })
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn lcm(a: usize, b: usize) -> usize {
    a / gcd(a, b) * b
}
