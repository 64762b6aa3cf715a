//! Sums that a loop carries and only adds to: they lie in one place, to which every step adds.
//!
//! The gradient of a weight is carried through segments as such a sum. With two states that alternate, as other carries have,
//! each segment would copy it, and there would be two for each level of segments.

use super::graph::{Graph, GraphOp, Loop, LoopOutput};
use crate::node::Op;

/// The nodes of a loop's body through which carry `k` passes to its next value, the last first, if each only adds to it: a
/// sum onto it, or a loop inside that accumulates it. Nothing else in the body reads it, before or between.
pub(super) fn accumulation(body: &Graph, carry: usize) -> Option<Vec<usize>> {
    let mut at = body.outputs[carry];
    let mut nodes = Vec::new();
    loop {
        let node = &body.nodes[at];
        let before = match &node.op {
            GraphOp::Port(port) if *port == carry && !nodes.is_empty() => {
                return read_once(body, at).then_some(nodes);
            }
            GraphOp::Onto(_) => *node.inputs.last().expect("what a sum is added to is its last input"),
            GraphOp::LoopOutput(index) => {
                let id = node.inputs[0];
                let GraphOp::Loop(inside) = &body.nodes[id].op else { unreachable!("outputs are of loops") };
                body.nodes[id].inputs[accumulated(body, id, inside, *index)?]
            }
            _ => return None,
        };
        if !read_once(body, at) {
            return None;
        }
        nodes.push(at);
        at = before;
    }
}

/// Whether what is added to the value of a node can be added where the value lies: nothing else reads it, and the place is its own.
pub(super) fn can_be_added_to(graph: &Graph, at: usize) -> bool {
    let node = &graph.nodes[at];
    let own = match &node.op {
        GraphOp::Op(Op::Matmul(_) | Op::Reduce(_)) | GraphOp::Onto(_) => true,
        GraphOp::LoopOutput(index) => match &graph.nodes[node.inputs[0]].op {
            GraphOp::Loop(inside) => accumulated(graph, node.inputs[0], inside, *index).is_some(),
            _ => false,
        },
        _ => false,
    };
    own && read_once(graph, at)
}

fn read_once(graph: &Graph, at: usize) -> bool {
    let readers = graph.nodes.iter().flat_map(|node| &node.inputs).chain(&graph.outputs);
    readers.filter(|id| **id == at).count() == 1
}

/// The carry that is an output of loop `id` after the last step, if the loop accumulates it and no other node is that output.
fn accumulated(body: &Graph, id: usize, inside: &Loop, index: usize) -> Option<usize> {
    let LoopOutput::Final(k) = inside.outputs[index] else { return None };
    let finals = body.nodes.iter().filter(|node| match node.op {
        GraphOp::LoopOutput(index) => node.inputs[0] == id && inside.outputs[index] == LoopOutput::Final(k),
        _ => false,
    });
    (finals.count() == 1 && accumulation(&inside.body, k).is_some()).then_some(k)
}
