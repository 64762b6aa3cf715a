//! Graphs put together by hand: loops with other outputs, bodies that begin with their ports.

use super::graph::{Graph, GraphNode, GraphOp, Loop, LoopOutput, Schedule};
use crate::dtype::DType;
use crate::node::Op;
use crate::ops::{Expand, Slice};
use crate::scan::Checkpoint;
use crate::shape::Shape;
use smallvec::{SmallVec, smallvec};

/// A loop as it runs by itself, without a schedule.
pub(super) fn plain(of: &Loop) -> Loop {
    Loop { schedule: Schedule::Asked(Checkpoint::None), ..of.clone() }
}

/// The body of a loop, with other taps.
pub(super) fn with_taps(of: &Loop, taps: &[usize]) -> Graph {
    let outputs = of.body.outputs[..of.carries].iter().chain(taps).copied().collect();
    Graph { nodes: of.body.nodes.clone(), outputs }
}

pub(super) fn all_outputs(carries: usize, taps: usize) -> Vec<LoopOutput> {
    (0..carries).map(LoopOutput::Final).chain((0..taps).map(LoopOutput::Tap)).collect()
}

/// Adds a loop and its outputs.
pub(super) fn call(g: &mut Graph, inside: Loop, inputs: Vec<usize>, like: &GraphNode) -> Vec<usize> {
    let kinds: Vec<(Shape, DType)> = inside
        .outputs
        .iter()
        .map(|output| {
            let at = match output {
                LoopOutput::Final(k) => inside.body.outputs[*k],
                LoopOutput::Tap(tap) => inside.body.outputs[inside.carries + tap],
            };
            let node = &inside.body.nodes[at];
            let shape = match output {
                LoopOutput::Final(_) => node.shape.clone(),
                LoopOutput::Tap(_) => node.shape.with_front(inside.steps),
            };
            (shape, node.dtype)
        })
        .collect();
    let at = g.add(GraphNode { op: GraphOp::Loop(Box::new(inside)), inputs: inputs.into(), ..like.clone() });
    let output = |(index, (shape, dtype))| GraphNode {
        op: GraphOp::LoopOutput(index),
        inputs: smallvec![at],
        shape,
        dtype,
        at: like.at,
    };
    kinds.into_iter().enumerate().map(|kind| g.add(output(kind))).collect()
}

/// A body that has only ports: for carries, items and captures from `around`.
pub(super) fn body_ports(around: &Graph, inputs: [&[usize]; 3]) -> (Graph, [Vec<usize>; 3]) {
    let mut body = Graph { nodes: Vec::new(), outputs: Vec::new() };
    let mut ports = 0;
    let made = [0, 1, 2].map(|kind| {
        let port = |id: &usize| {
            let node = &around.nodes[*id];
            let shape = if kind == 1 { node.shape[1..].into() } else { node.shape.clone() };
            ports += 1;
            body.add(GraphNode { op: GraphOp::Port(ports - 1), inputs: SmallVec::new(), shape, ..node.clone() })
        };
        inputs[kind].iter().map(port).collect()
    });
    (body, made)
}

/// What a sum starts from: negative zeros, which change no addend.
pub(super) fn nothing(g: &mut Graph, sum: &GraphNode) -> usize {
    let zero = GraphNode { op: GraphOp::Literal(-0.0), inputs: SmallVec::new(), shape: Shape::scalar(), ..sum.clone() };
    let zero = g.add(zero);
    g.add(GraphNode { op: GraphOp::Op(Op::Expand(Expand)), inputs: smallvec![zero], ..sum.clone() })
}

/// `extent` entries of the leading axis from `start` on.
pub(super) fn slice(g: &mut Graph, id: usize, start: usize, extent: usize) -> usize {
    let node = g.nodes[id].clone();
    if node.shape[0] == extent {
        return id;
    }
    let shape = node.shape.with_axis(0, extent);
    g.add(GraphNode { op: GraphOp::Op(Op::Slice(Slice { axis: 0, start })), inputs: smallvec![id], shape, ..node })
}
