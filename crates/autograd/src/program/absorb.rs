//! Loops take in what is computed for them alone: elementwise values that they scan are computed at each step instead of
//! being written out for all steps, and transposes of what they capture become views in the body.

use super::graph::{Graph, GraphNode, GraphOp, Loop};
use super::simplify::without_dead;
use super::trace::Site;
use crate::dtype::DType;
use crate::node::Op;
use crate::ops::MapOp;
use crate::shape::Shape;
use smallvec::{SmallVec, smallvec};

/// Bytes of a scanned value from which it is worth the calls at each step.
const LARGE: usize = 64 << 10;
/// Rounds: a value that is taken in may bring others within reach.
const DEEPEST: usize = 4;

/// Applies the rewrite to every loop of the graph.
pub(super) fn absorb(mut graph: Graph) -> Graph {
    for _ in 0..DEEPEST {
        let mut uses = vec![0usize; graph.nodes.len()];
        graph.nodes.iter().flat_map(|node| &node.inputs).for_each(|input| uses[*input] += 1);
        graph.outputs.iter().for_each(|output| uses[*output] += 1);
        let mut changed = false;
        for id in 0..graph.nodes.len() {
            if !matches!(graph.nodes[id].op, GraphOp::Loop(_)) {
                continue;
            }
            let op = std::mem::replace(&mut graph.nodes[id].op, GraphOp::Literal(0.0));
            let GraphOp::Loop(mut inside) = op else { unreachable!("just looked at") };
            let mut inputs = graph.nodes[id].inputs.clone();
            while let Some(taken) = find(&graph, &uses, &inside, &inputs) {
                take(&mut inside, &mut inputs, taken);
                changed = true;
            }
            graph.nodes[id].op = GraphOp::Loop(inside);
            graph.nodes[id].inputs = inputs;
        }
        if !changed {
            break;
        }
        graph = without_dead(graph);
    }
    for node in &mut graph.nodes {
        if let GraphOp::Loop(inside) = &mut node.op {
            let body = std::mem::replace(&mut inside.body, Graph { nodes: Vec::new(), outputs: Vec::new() });
            inside.body = absorb(body);
        }
    }
    graph
}

/// What a body computes in place of a port.
struct Taken {
    port: usize,
    op: Op,
    dtype: DType,
    at: Site,
    /// Shape at a step.
    shape: Shape,
    operands: SmallVec<[Operand; 3]>,
}

/// An operand outside of the loop: scanned, or the same at every step; with its shape at a step.
enum Operand {
    Scanned(usize, Shape, DType),
    Same(usize, Shape, DType),
}

fn find(graph: &Graph, uses: &[usize], inside: &Loop, inputs: &[usize]) -> Option<Taken> {
    let node = |id: usize| &graph.nodes[id];
    (inside.carries..inputs.len()).find_map(|port| {
        let source = node(inputs[port]);
        let scanned = port < inside.carries + inside.items;
        let (op, dtype, at) = match &source.op {
            GraphOp::Op(op) => (op.clone(), source.dtype, source.at),
            _ => return None,
        };
        inside.body.port(port)?;
        let operands = match (&op, scanned) {
            (Op::Map(MapOp(_)), true) if uses[inputs[port]] == 1 && source.shape.numel() * dtype.size() >= LARGE => {
                let operands: SmallVec<[Operand; 3]> =
                    source.inputs.iter().map(|input| operand(graph, *input, &source.shape)).collect::<Option<_>>()?;
                operands.iter().any(|operand| matches!(operand, Operand::Scanned(..))).then_some(operands)?
            }
            (Op::Permute(_), false) => {
                let base = source.inputs[0];
                smallvec![Operand::Same(base, node(base).shape.clone(), node(base).dtype)]
            }
            _ => return None,
        };
        let shape = if scanned { source.shape[1..].into() } else { source.shape.clone() };
        Some(Taken { port, op, dtype, at, shape, operands })
    })
}

/// How a body reaches an operand of a value `[T, ..]`: row by row, or as one number.
fn operand(graph: &Graph, mut id: usize, shape: &Shape) -> Option<Operand> {
    let node = &graph.nodes[id];
    if let (GraphOp::Op(Op::Expand(_)), true) = (&node.op, graph.nodes[*node.inputs.first()?].shape.rank() == 0) {
        id = node.inputs[0];
    }
    let node = &graph.nodes[id];
    match node.shape.rank() {
        0 => Some(Operand::Same(id, node.shape.clone(), node.dtype)),
        _ if node.shape == *shape => Some(Operand::Scanned(id, shape[1..].into(), node.dtype)),
        _ => None,
    }
}

/// Rewrites the body: the port gives way to ports of the operands and the operation on them.
fn take(inside: &mut Loop, inputs: &mut SmallVec<[usize; 4]>, taken: Taken) {
    let first_capture = inside.carries + inside.items;
    // The port's number serves the first operand of its kind; further scanned ones come last among the items.
    let mut own = Some(taken.port);
    let scanned_port = taken.port < first_capture;
    let mut ports: Vec<(usize, Shape, DType)> = Vec::new();
    let mut added = 0;
    for operand in &taken.operands {
        if let Operand::Scanned(id, shape, dtype) = operand {
            let port = own.take().unwrap_or_else(|| {
                added += 1;
                inputs.insert(first_capture + added - 1, *id);
                first_capture + added - 1
            });
            inputs[port] = *id;
            ports.push((port, shape.clone(), *dtype));
        } else {
            ports.push((usize::MAX, Shape::scalar(), DType::F32));
        }
    }
    for (slot, operand) in ports.iter_mut().zip(&taken.operands) {
        if let Operand::Same(id, shape, dtype) = operand {
            let port = match own.take_if(|_| !scanned_port) {
                Some(port) => port,
                None => {
                    inputs.push(*id);
                    inputs.len() - 1
                }
            };
            inputs[port] = *id;
            *slot = (port, shape.clone(), *dtype);
        }
    }
    inside.items += added;

    let body = std::mem::replace(&mut inside.body, Graph { nodes: Vec::new(), outputs: Vec::new() });
    let mut out = Graph { nodes: Vec::with_capacity(body.nodes.len() + 4), outputs: Vec::new() };
    let mut found = Vec::with_capacity(body.nodes.len());
    for mut node in body.nodes {
        if matches!(node.op, GraphOp::Port(port) if port == taken.port) {
            let operands = ports
                .iter()
                .map(|(port, shape, dtype)| {
                    let (op, inputs) = (GraphOp::Port(*port), SmallVec::new());
                    out.add(GraphNode { op, inputs, shape: shape.clone(), dtype: *dtype, at: taken.at })
                })
                .collect();
            let (op, shape) = (GraphOp::Op(taken.op.clone()), taken.shape.clone());
            found.push(out.add(GraphNode { op, inputs: operands, shape, dtype: taken.dtype, at: taken.at }));
            continue;
        }
        if let GraphOp::Port(port) = &mut node.op
            && *port >= first_capture
        {
            *port += added;
        }
        node.inputs.iter_mut().for_each(|input| *input = found[*input]);
        found.push(out.add(node));
    }
    out.outputs = body.outputs.iter().map(|id| found[*id]).collect();
    inside.body = out;
}
