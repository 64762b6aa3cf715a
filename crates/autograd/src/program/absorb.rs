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

/// An operand outside of the loop: scanned, or the same at every step; with its shape at a step. Either may be spread over axes.
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

/// How a body reaches an operand of a value `[T, ..]`: step by step, or as it is.
fn operand(graph: &Graph, mut id: usize, shape: &Shape) -> Option<Operand> {
    if let GraphNode { op: GraphOp::Op(Op::Expand(_)), inputs, .. } = &graph.nodes[id]
        && graph.nodes[inputs[0]].shape.rank() == 0
    {
        id = inputs[0];
    }
    let node = &graph.nodes[id];
    match node.shape.rank() {
        rank if rank < shape.rank() => Some(Operand::Same(id, node.shape.clone(), node.dtype)),
        _ if node.shape[0] == shape[0] => Some(Operand::Scanned(id, node.shape[1..].into(), node.dtype)),
        _ => None,
    }
}

/// Rewrites the body: the port gives way to ports of the operands, those that it has and new ones, and the operation on them.
fn take(inside: &mut Loop, inputs: &mut SmallVec<[usize; 4]>, taken: Taken) {
    let first_capture = inside.carries + inside.items;
    let (items, captures) = (inside.carries..first_capture, first_capture..inputs.len());
    let known = |id: usize, ports: &std::ops::Range<usize>| {
        ports.clone().find(|port| *port != taken.port && inputs[*port] == id && inside.body.port(*port).is_some())
    };
    // What each operand's port is, and the sources of new ones: further items come behind the others.
    let mut new: [SmallVec<[usize; 4]>; 2] = Default::default();
    let place = |of: &mut SmallVec<[usize; 4]>, id: usize| {
        of.iter().position(|known| *known == id).unwrap_or_else(|| {
            of.push(id);
            of.len() - 1
        })
    };
    enum Port {
        Known(usize),
        Item(usize),
        Capture(usize),
    }
    let found: SmallVec<[Port; 3]> = taken
        .operands
        .iter()
        .map(|operand| match operand {
            Operand::Scanned(id, ..) => {
                known(*id, &items).map_or_else(|| Port::Item(place(&mut new[0], *id)), Port::Known)
            }
            Operand::Same(id, ..) => {
                known(*id, &captures).map_or_else(|| Port::Capture(place(&mut new[1], *id)), Port::Known)
            }
        })
        .collect();
    let [new_items, new_captures] = new;
    let added = new_items.len();
    let shifted = |port: usize| if port < first_capture { port } else { port + added };
    let number = |port: &Port| match port {
        Port::Known(port) => shifted(*port),
        Port::Item(at) => first_capture + at,
        Port::Capture(at) => inputs.len() + added + at,
    };
    let ports: SmallVec<[usize; 3]> = found.iter().map(number).collect();

    let body = std::mem::replace(&mut inside.body, Graph { nodes: Vec::new(), outputs: Vec::new() });
    let mut out = Graph { nodes: Vec::with_capacity(body.nodes.len() + 4), outputs: Vec::new() };
    let port_of = |out: &mut Graph, port: usize, node: GraphNode| {
        out.port(port).unwrap_or_else(|| out.add(GraphNode { op: GraphOp::Port(port), ..node }))
    };
    let mut found = Vec::with_capacity(body.nodes.len());
    for mut node in body.nodes {
        match node.op {
            GraphOp::Port(port) if port == taken.port => {
                let operands = ports.iter().zip(&taken.operands).map(|(port, operand)| {
                    let (Operand::Scanned(_, shape, dtype) | Operand::Same(_, shape, dtype)) = operand;
                    let (op, inputs) = (GraphOp::Port(*port), SmallVec::new());
                    port_of(
                        &mut out,
                        *port,
                        GraphNode { op, inputs, shape: shape.clone(), dtype: *dtype, at: taken.at },
                    )
                });
                let inputs = operands.collect();
                let (op, shape) = (GraphOp::Op(taken.op.clone()), taken.shape.clone());
                found.push(out.add(GraphNode { op, inputs, shape, dtype: taken.dtype, at: taken.at }));
            }
            GraphOp::Port(port) => found.push(port_of(&mut out, shifted(port), node)),
            _ => {
                node.inputs.iter_mut().for_each(|input| *input = found[*input]);
                found.push(out.add(node));
            }
        }
    }
    out.outputs = body.outputs.iter().map(|id| found[*id]).collect();
    inside.body = out;

    inputs.insert_many(first_capture, new_items);
    inputs.extend(new_captures);
    // The port that gave way.
    let gone = shifted(taken.port);
    inputs.remove(gone);
    inside.items += added;
    if taken.port < first_capture {
        inside.items -= 1;
    }
    for node in &mut inside.body.nodes {
        if let GraphOp::Port(port) = &mut node.op
            && *port > gone
        {
            *port -= 1;
        }
    }
}
