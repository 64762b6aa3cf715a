//! Which loops run in segments, and how long these are.

use super::PlanOptions;
use super::graph::{Graph, GraphOp, Schedule};
use super::lower::body;
use super::pair::{Pair, loop_of};
use super::segments::{backward_segments, split};
use super::simplify::simplify;
use crate::scan::Checkpoint;

/// The graph with its checkpointed loops in segments.
pub(super) fn scheduled(graph: Graph, options: PlanOptions) -> Graph {
    let mut graph = in_bodies(graph, options);
    while let Some((id, schedule)) = graph.nodes.iter_mut().enumerate().find_map(|(id, node)| match &mut node.op {
        GraphOp::Loop(inside) if inside.schedule != KEEP => Some((id, std::mem::replace(&mut inside.schedule, KEEP))),
        _ => None,
    }) {
        let Some(pair) = Pair::of(&graph, id) else { continue };
        let steps = loop_of(&graph, id).steps;
        let grain = pair.grain(&graph);
        let lengths = match schedule {
            Schedule::Asked(Checkpoint::None) => continue,
            Schedule::Asked(Checkpoint::Every(length)) => vec![length.max(1).saturating_add(grain - 1) / grain * grain],
            Schedule::Asked(Checkpoint::Budget(bytes)) => Costs::of(&graph, &pair, grain, options).lengths(bytes),
            Schedule::Lengths(lengths) => lengths,
        };
        let shorter = lengths.iter().position(|length| *length < steps);
        if let Some(from) = shorter {
            graph = split(&graph, &pair, &lengths[from..]);
            // The new bodies have loops with schedules of their own.
            graph = scheduled(graph, options);
        }
    }
    graph
}

/// [`scheduled`] in the bodies of loops.
fn in_bodies(graph: Graph, options: PlanOptions) -> Graph {
    let mut out = Graph { nodes: Vec::with_capacity(graph.nodes.len()), outputs: Vec::new() };
    let mut found: Vec<usize> = Vec::with_capacity(graph.nodes.len());
    for mut node in graph.nodes {
        node.inputs.iter_mut().for_each(|input| *input = found[*input]);
        if let GraphOp::Loop(inside) = &mut node.op {
            let body = std::mem::replace(&mut inside.body, Graph { nodes: Vec::new(), outputs: Vec::new() });
            inside.body = scheduled(body, options);
            // What sums start from: a body has its numbers from outside.
            for number in inside.body.nodes.iter_mut().filter(|node| matches!(node.op, GraphOp::Literal(_))) {
                let port = GraphOp::Port(node.inputs.len());
                node.inputs.push(out.add(number.clone()));
                number.op = port;
            }
        }
        found.push(out.add(node));
    }
    out.outputs = graph.outputs.iter().map(|id| found[*id]).collect();
    out
}

const KEEP: Schedule = Schedule::Asked(Checkpoint::None);

/// What segments take, in bytes.
struct Costs {
    steps: usize,
    grain: usize,
    /// The forward carry.
    carry: usize,
    /// A segment: whatever its length, and for each step.
    fixed: usize,
    step: usize,
}

impl Costs {
    fn of(graph: &Graph, pair: &Pair, grain: usize, options: PlanOptions) -> Costs {
        let inside = loop_of(graph, pair.forward);
        let bytes = |id: &usize| graph.nodes[*id].shape.numel() * graph.nodes[*id].dtype.size();
        let carry = graph.nodes[pair.forward].inputs[..inside.carries].iter().map(bytes).sum();
        let steps = inside.steps;
        // A few steps at least: loops of less do not pack their matrices.
        let short = 4_usize.div_ceil(grain) * grain;
        let (short, long) = (short.min(steps), (2 * short).min(steps));
        let measured = |length: usize| {
            let body_loop = backward_segments(graph, pair, length);
            let simple = simplify(body_loop.body.clone());
            let ports = simple.nodes.iter().filter(|node| matches!(node.op, GraphOp::Port(_))).count();
            let segment = super::graph::Loop { body: simple, ..body_loop };
            let block = body(&segment.body, ports, segment.carries, &segment.written(), options);
            (block.arena_bytes, block.packed_bytes_in_a_loop(segment.carries + segment.items..ports))
        };
        let ((a, packed), (b, _)) = (measured(short), measured(long));
        let step = b.saturating_sub(a) / (long - short).max(1);
        // A sum is in one place at all levels; that of a requested output is not counted.
        let sums = pair.sums.iter().map(|sum| &sum.node).filter(|node| !graph.outputs.contains(node));
        let sums: usize = sums.map(bytes).sum();
        let fixed = a.saturating_sub(step * short) + packed + sums;
        Costs { steps, grain, carry, fixed, step }
    }

    /// The lengths of the schedule with the fewest levels that fits, else of the one of least memory.
    fn lengths(&self, budget: usize) -> Vec<usize> {
        /// Levels of which each costs a forward pass.
        const DEEPEST: u32 = 6;
        if self.fixed + self.step * self.steps <= budget {
            return Vec::new();
        }
        let mut best = (usize::MAX, Vec::new());
        for levels in 1..=DEEPEST {
            let mut multiple = 1;
            while multiple * self.grain < self.steps {
                let schedule = self.schedule(multiple * self.grain, levels);
                if schedule.0 < best.0 {
                    best = schedule;
                }
                multiple += (multiple / 4).max(1);
            }
            if best.0 <= budget {
                break;
            }
        }
        best.1
    }

    /// The schedule whose shortest segments have a given length, and what it takes.
    fn schedule(&self, shortest: usize, levels: u32) -> (usize, Vec<usize>) {
        let whole = self.steps as f64 / shortest as f64;
        let ratio = whole.powf(1.0 / f64::from(levels)).ceil().max(2.0) as usize;
        let mut lengths = vec![shortest];
        for _ in 1..levels {
            lengths.insert(0, lengths[0].saturating_mul(ratio));
        }
        lengths.retain(|length| *length < self.steps);
        let mut states = 0;
        let mut steps = self.steps;
        for length in &lengths {
            // States at the starts and after the last one, the cotangent there, and those that alternate from segment to segment.
            states += steps.div_ceil(*length) + 4;
            steps = *length;
        }
        (self.carry * states + self.fixed + self.step * shortest, lengths)
    }
}
