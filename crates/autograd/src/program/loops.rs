//! Loops: where carries, items and taps lie, and how the body's ports move through them.

use super::accumulate::{accumulation, can_be_added_to};
use super::cache;
use super::code::{Block, Buf, Instr, LoopInstr, Moving, Shard};
use super::graph::{Graph, GraphOp, Loop, LoopOutput, body_key};
use super::lower::{Lower, Place, body};
use super::shard::Separable;
use crate::shape::Shape;
use std::sync::Arc;
use wengert_kernels::{Path, threads};

/// Where a carry is at each step.
struct Carry {
    buf: Buf,
    /// Bytes of one state.
    row: usize,
    /// Elements of one state.
    len: usize,
    keeps: Keeps,
}

/// Which states of a carry there are.
#[derive(Clone, Copy, PartialEq)]
enum Keeps {
    /// All of them: `steps + 1`.
    All,
    /// The last two.
    Two,
    /// One, to which every step adds.
    Sum,
}

/// Lowers a loop: initial carries are copied to the first row of a slab of states, the body's ports
/// move from row to row, and taps are views of slabs.
pub(super) fn lower(lower: &mut Lower<'_>, id: usize) {
    let graph = lower.graph;
    let GraphOp::Loop(inside) = &graph.nodes[id].op else { unreachable!("the node is a loop") };
    let inputs = lower.inputs(id);
    let Loop { carries, items, steps, reverse, first, span, .. } = **inside;
    let options = lower.options;
    let written = inside.written();
    let compile = || body(&inside.body, inputs.len(), carries, &written, options);
    let block = match options.traced {
        true => Arc::new(compile()),
        false => cache::block(body_key(inside, &inside.body, options), compile),
    };

    let (next, taps) = inside.body.outputs.split_at(carries);
    let port_shape = |port: usize| -> Shape {
        let node = inside.body.port(port).expect("every port of a live loop has a node");
        inside.body.nodes[node].shape.clone()
    };
    let as_port = |node: usize| (0..carries).find(|k| inside.body.port(*k) == Some(node));

    let mut states: Vec<Carry> = Vec::new();
    let mut ports: Vec<Moving> = Vec::new();
    for k in 0..carries {
        let shape = port_shape(k);
        let dtype = lower.dtype(inputs[k]);
        let kept = inside.body.port(k).is_some_and(|port| taps.contains(&port)) || taps.contains(&next[k]);
        let len = shape.numel();
        let (keeps, rows) = match kept {
            true => (Keeps::All, steps + 1),
            false if accumulation(&inside.body, k).is_some() => (Keeps::Sum, 1),
            false => (Keeps::Two, 2),
        };
        let from = lower.place(inputs[k]);
        // A sum is where it was: with the body around, which carries it as well, or with what it begins as.
        let outer = output_of(graph, id, inside, k).is_some_and(|output| lower.is_assigned(output));
        let stays = keeps == Keeps::Sum && (outer || can_be_added_to(graph, inputs[k]));
        let buf = if stays { from.buf } else { lower.temporary(dtype, len * rows) };
        if !stays {
            let first = if kept && reverse { steps } else { 0 };
            let to = Place { buf, offset: first * len, strides: shape.contiguous_strides() };
            lower.copy(inputs[k], from, to);
        }
        let state = Carry { buf, row: len * dtype.size(), len, keeps };
        ports.push(state.moving(steps, reverse, false));
        states.push(state);
    }
    for j in 0..items {
        let source = lower.contiguous(inputs[carries + j]);
        let dtype = lower.dtype(inputs[carries + j]);
        let row = port_shape(carries + j).numel() * dtype.size();
        ports.push(travelling(source.buf, source.offset * dtype.size(), row, steps, reverse));
    }
    for input in &inputs[carries + items..] {
        let source = lower.contiguous(*input);
        ports.push(Moving { buf: source.buf, start: source.offset * lower.dtype(*input).size(), path: Path::Still });
    }
    for state in &states {
        ports.push(state.moving(steps, reverse, true));
    }

    // A tap of a carry is a view of its states; any other has a slab of its own.
    let mut slabs: Vec<Place> = Vec::new();
    for node in taps {
        let shape = &inside.body.nodes[*node].shape;
        let (dtype, len) = (inside.body.nodes[*node].dtype, shape.numel());
        let strides = shape.with_front(steps).contiguous_strides();
        let state = |k: usize, skip: bool| (states[k].buf, if skip { len } else { 0 });
        let before = taps[..slabs.len()].iter().position(|tap| tap == node);
        let (buf, offset) = match (as_port(*node), next.iter().position(|n| n == node), before) {
            (Some(k), _, _) => state(k, reverse),
            (_, Some(k), _) => state(k, !reverse),
            (_, _, Some(same)) => (slabs[same].buf, slabs[same].offset),
            _ => {
                let buf = lower.temporary(dtype, len * steps);
                ports.push(travelling(buf, 0, len * dtype.size(), steps, reverse));
                (buf, 0)
            }
        };
        slabs.push(Place { buf, offset, strides });
    }
    if steps > 0 {
        let shards = shards(lower, inside, block, ports, &written);
        lower.emit(Instr::Loop(LoopInstr { steps, reverse, first, span, shards }));
    }
    for (node, user) in graph.nodes.iter().enumerate() {
        if let GraphOp::LoopOutput(index) = user.op
            && user.inputs[0] == id
        {
            let place = match inside.outputs[index] {
                LoopOutput::Tap(tap) => slabs[tap].clone(),
                LoopOutput::Final(k) => {
                    let state = &states[k];
                    let row = match (state.keeps, reverse) {
                        (Keeps::All, false) => steps,
                        (Keeps::All, true) | (Keeps::Sum, _) => 0,
                        (Keeps::Two, _) => steps % 2,
                    };
                    Place { buf: state.buf, offset: row * state.len, strides: user.shape.contiguous_strides() }
                }
            };
            lower.alias(node, place);
        }
    }
}

/// The node that is a carry of a loop after the last step.
fn output_of(graph: &Graph, id: usize, inside: &Loop, carry: usize) -> Option<usize> {
    graph.nodes.iter().position(|node| match node.op {
        GraphOp::LoopOutput(index) => node.inputs[0] == id && inside.outputs[index] == LoopOutput::Final(carry),
        _ => false,
    })
}

/// The least work, in nanoseconds, that is worth another thread.
pub(super) const WORTHWHILE: usize = 40_000;

/// The loop in one piece, or its rows in as many parts as there are threads.
fn shards(
    lower: &mut Lower<'_>,
    inside: &Loop,
    block: Arc<Block>,
    ports: Vec<Moving>,
    written: &[usize],
) -> Vec<Shard> {
    // What is looked at runs in one order: in one piece.
    let most = if lower.options.traced { 1 } else { threads() };
    let parts = most.min(block.cost() * inside.steps / WORTHWHILE);
    let arena = |lower: &mut Lower<'_>, block: &Block| {
        lower.buffer(super::code::Home::Arena(0), crate::dtype::DType::Bool, block.arena_bytes)
    };
    let separable = if parts > 1 && lower.options.optimise && block.is_script() { Separable::of(inside) } else { None };
    let Some(separable) = separable else {
        return vec![Shard { arena: arena(lower, &block), block, ports }];
    };
    // Ports are the inputs in order, then the written nodes.
    let inputs = ports.len() - written.len();
    let port = |index: usize| match index.checked_sub(inputs) {
        Some(index) => Some(written[index]),
        None => inside.body.port(index),
    };
    let row_bytes: Vec<usize> =
        (0..ports.len()).map(|at| port(at).map_or(0, |node| separable.row_bytes(&inside.body, node))).collect();
    let parts = parts.min(separable.rows);
    let first = |part: usize| separable.rows * part / parts;
    (0..parts)
        .map(|part| {
            let count = first(part + 1) - first(part);
            let narrow = separable.narrowed(&inside.body, count);
            let key = body_key(inside, &narrow, lower.options);
            let block = cache::block(key, || body(&narrow, inputs, inside.carries, written, lower.options));
            let from = |(port, bytes): (&Moving, &usize)| Moving { start: port.start + first(part) * bytes, ..*port };
            let ports = ports.iter().zip(&row_bytes).map(from).collect();
            Shard { arena: arena(lower, &block), block, ports }
        })
        .collect()
}

impl Carry {
    /// The port that reads the state before a step, or writes the one after it.
    fn moving(&self, steps: usize, reverse: bool, after: bool) -> Moving {
        let (start, path) = match (self.keeps, reverse) {
            (Keeps::All, false) => (after as usize * self.row, Path::Forward(self.row)),
            (Keeps::All, true) => ((steps - (after as usize).min(steps)) * self.row, Path::Backward(self.row)),
            (Keeps::Two, _) => (0, Path::Alternate { row: self.row, odd_first: after }),
            (Keeps::Sum, _) => (0, Path::Still),
        };
        Moving { buf: self.buf, start, path }
    }
}

/// A port that visits the rows `0..steps` of a buffer in the loop's direction.
fn travelling(buf: Buf, base: usize, row: usize, steps: usize, reverse: bool) -> Moving {
    if reverse {
        Moving { buf, start: base + steps.saturating_sub(1) * row, path: Path::Backward(row) }
    } else {
        Moving { buf, start: base, path: Path::Forward(row) }
    }
}
