//! A loop and its derivative in segments: the forward pass keeps the carry at their starts, the backward pass computes
//! a segment again, goes back through it, and adds to the sums over time.
//!
//! Time is cut at multiples of a length; what is left over is a shorter segment at the end of time. Every value is computed by
//! the operations that compute it without segments, and sums are cut between their blocks and added in the
//! direction of the backward loop, so no bit changes.

use super::assemble::{all_outputs, body_ports, call, nothing, plain, with_taps};
use super::graph::{Graph, GraphNode, GraphOp, Loop, LoopOutput, Schedule};
use super::pair::{Pair, is_tap, loop_of};
use super::pieces::{Ahead, Cut, Starts};
use crate::node::Op;
use smallvec::{SmallVec, smallvec};

/// The graph with a pair of loops in segments of `lengths[0]` steps, and these in segments of `lengths[1]`, and so on.
pub(super) fn split(graph: &Graph, pair: &Pair, lengths: &[usize]) -> Graph {
    let (mut out, found, _) = Splitter::run(graph, pair, lengths);
    out.outputs = graph.outputs.iter().map(|id| found[*id]).collect();
    out
}

/// The backward pass over segments of so many steps.
pub(super) fn backward_segments(graph: &Graph, pair: &Pair, length: usize) -> Loop {
    let (out, _, at) = Splitter::run(graph, pair, &[length]);
    loop_of(&out, at).clone()
}

/// What the backward pass carries from segment to segment.
#[derive(Clone)]
struct Carried {
    cotangents: Vec<usize>,
    sums: Vec<Option<usize>>,
}

struct Splitter<'g> {
    graph: &'g Graph,
    pair: &'g Pair,
    cut: Cut,
    nested: Vec<usize>,
    out: Graph,
    found: Vec<usize>,
    starts: Starts,
    /// The backward pass over segments.
    segments: usize,
}

/// Values that a segment reads: of all steps (by step) or fixed; nodes of the graph around, and of the segment's graph.
struct Reads {
    stacked: Vec<(usize, usize)>,
    fixed: Vec<(usize, usize)>,
}

impl Reads {
    fn get(list: &[(usize, usize)], of: usize) -> usize {
        list.iter().find(|(outer, _)| *outer == of).expect("what a segment reads was listed").1
    }
}

impl<'g> Splitter<'g> {
    /// The new graph, where it has the old nodes, and the loop that is the backward pass.
    fn run(graph: &'g Graph, pair: &'g Pair, lengths: &[usize]) -> (Graph, Vec<usize>, usize) {
        let steps = loop_of(graph, pair.forward).steps;
        let cut = Cut::new(steps, lengths[0]);
        let found = vec![usize::MAX; graph.nodes.len()];
        let out = Graph { nodes: Vec::new(), outputs: Vec::new() };
        let (starts, nested) = (Starts::default(), lengths[1..].to_vec());
        let mut splitter = Splitter { graph, pair, cut, nested, out, found, starts, segments: usize::MAX };
        for id in 0..graph.nodes.len() {
            if id == pair.forward {
                splitter.forward_pass();
            } else if id == pair.backward {
                splitter.backward_pass();
            } else if !pair.passing[id] {
                splitter.copy(id);
            }
        }
        (splitter.out, splitter.found, splitter.segments)
    }

    /// Copies nodes, after those that they need.
    fn emit(&mut self, asked: &[usize]) {
        let Some(last) = asked.iter().max() else { return };
        let mut needed = vec![false; last + 1];
        asked.iter().for_each(|id| needed[*id] = true);
        for id in (0..=*last).rev() {
            if needed[id] && self.found[id] == usize::MAX {
                self.graph.nodes[id].inputs.iter().for_each(|input| needed[*input] = true);
            }
        }
        (0..=*last).filter(|id| needed[*id]).for_each(|id| self.copy(id));
    }

    /// Copies a node whose inputs are there, unless it is there itself.
    fn copy(&mut self, id: usize) {
        if self.found[id] == usize::MAX {
            let node = &self.graph.nodes[id];
            let inputs = node.inputs.iter().map(|input| self.found[*input]).collect();
            self.found[id] = self.out.add(GraphNode { inputs, ..node.clone() });
        }
    }

    fn forward_pass(&mut self) {
        let (graph, pair) = (self.graph, self.pair);
        let node = &graph.nodes[pair.forward];
        let inside = loop_of(graph, pair.forward);
        let taps = self.taps(&pair.forward_outputs, false);
        let ahead = Ahead { inside, node, taps: taps.iter().map(|(_, tap)| *tap).collect() };
        let inputs: Vec<usize> = node.inputs.iter().map(|input| self.found[*input]).collect();
        let (init, outer) = inputs.split_at(inside.carries);
        // What is computed before a loop over steps is as long as the loop: the shortest segments bound it.
        let shortest = self.nested.last().copied();
        let (last, parts, starts) = ahead.cut(&mut self.out, (self.cut, inside.first), init, outer, shortest, true);
        self.starts = starts;
        self.place_outputs(&pair.forward_outputs, &taps, &last, [&parts[0], &parts[1]]);
    }

    fn backward_pass(&mut self) {
        let (graph, pair, Cut { length, count, rest }) = (self.graph, self.pair, self.cut);
        // What sums are added to, at an inner level, came before the loops: only their operands may come later.
        let operands = pair.sums.iter().flat_map(|sum| &sum.operands).map(|rows| rows.source);
        let early: Vec<usize> = operands.filter(|source| !self.in_segment(*source)).collect();
        self.emit(&early);
        let node = &graph.nodes[pair.backward];
        let (inside, forward) = (loop_of(graph, pair.backward), loop_of(graph, pair.forward));
        let taps = self.taps(&pair.backward_outputs, true);
        let start = Carried {
            cotangents: node.inputs[..inside.carries].iter().map(|input| self.found[*input]).collect(),
            sums: pair
                .sums
                .iter()
                .map(|sum| match graph.nodes[sum.node].op {
                    GraphOp::Onto(_) => graph.nodes[sum.node].inputs.last().map(|before| self.found[*before]),
                    _ => None,
                })
                .collect(),
        };
        let (stacked, fixed) = self.reads(inside, forward);
        let (whole, last) = (self.cut.segments(&mut self.out, &stacked), self.cut.rest(&mut self.out, &stacked));

        let run_rest = |this: &mut Self, carried: Carried| -> (Carried, Vec<usize>) {
            if rest == 0 {
                return (carried, Vec::new());
            }
            let mut out = std::mem::replace(&mut this.out, Graph { nodes: Vec::new(), outputs: Vec::new() });
            let reads = Reads {
                stacked: stacked.iter().copied().zip(last.iter().copied()).collect(),
                fixed: fixed.iter().map(|id| (*id, *id)).collect(),
            };
            let first = forward.first + count * length;
            let result = this.segment(&mut out, (rest, first), &this.starts.rest, &reads, carried);
            this.out = out;
            result
        };
        let run_segments = |this: &mut Self, carried: Carried| -> (Carried, Vec<usize>) {
            let sums: Vec<usize> = carried
                .sums
                .iter()
                .zip(&pair.sums)
                .map(|(sum, of)| sum.unwrap_or_else(|| nothing(&mut this.out, &graph.nodes[of.node])))
                .collect();
            let (carries, items) =
                ([&carried.cotangents[..], &sums].concat(), [&this.starts.segments[..], &whole].concat());
            let (mut body, ports) = body_ports(&this.out, [&carries, &items, &fixed]);
            let (starts, inner) = ports[1].split_at(forward.carries);
            let reads = Reads {
                stacked: stacked.iter().copied().zip(inner.iter().copied()).collect(),
                fixed: fixed.iter().copied().zip(ports[2].iter().copied()).collect(),
            };
            let (cotangents, sums) = ports[0].split_at(inside.carries);
            let before = Carried { cotangents: cotangents.to_vec(), sums: sums.iter().map(|sum| Some(*sum)).collect() };
            let (after, tapped) = this.segment(&mut body, (length, 0), starts, &reads, before);
            body.outputs = after.cotangents.into_iter().chain(after.sums.into_iter().flatten()).chain(tapped).collect();
            let segments = Loop {
                outputs: all_outputs(carries.len(), body.outputs.len() - carries.len()),
                body,
                carries: carries.len(),
                items: items.len(),
                steps: count,
                span: Some(length),
                first: forward.first,
                ..plain(inside)
            };
            let mut all = call(&mut this.out, segments, [carries, items, fixed.clone()].concat(), node);
            let tapped = all.split_off(inside.carries + pair.sums.len());
            this.segments = this.out.nodes.iter().rposition(|node| matches!(node.op, GraphOp::Loop(_))).unwrap_or(0);
            let sums = all.split_off(inside.carries).into_iter().map(Some).collect();
            (Carried { cotangents: all, sums }, tapped)
        };
        let (carried, in_segments, in_rest) = if inside.reverse {
            let (carried, in_rest) = run_rest(self, start);
            let (carried, in_segments) = run_segments(self, carried);
            (carried, in_segments, in_rest)
        } else {
            let (carried, in_segments) = run_segments(self, start);
            let (carried, in_rest) = run_rest(self, carried);
            (carried, in_segments, in_rest)
        };
        for (sum, total) in pair.sums.iter().zip(&carried.sums) {
            self.found[sum.node] = total.expect("every sum has a segment or a rest");
        }
        self.place_outputs(&pair.backward_outputs, &taps, &carried.cotangents, [&in_segments, &in_rest]);
    }

    /// One segment in graph `g`: the forward values again, the loop back through them, the sums.
    fn segment(
        &self,
        g: &mut Graph,
        (steps, first): (usize, usize),
        starts: &[usize],
        reads: &Reads,
        before: Carried,
    ) -> (Carried, Vec<usize>) {
        let (graph, pair) = (self.graph, self.pair);
        let (ahead, back) = (loop_of(graph, pair.forward), loop_of(graph, pair.backward));
        let (forward_node, backward_node) = (&graph.nodes[pair.forward], &graph.nodes[pair.backward]);
        // Old nodes of values at all steps, and their values at those of the segment.
        let mut inner: Vec<(usize, usize)> = Vec::new();
        let value = |id: usize, inner: &[(usize, usize)]| match inner.iter().find(|(old, _)| *old == id) {
            Some((_, new)) => *new,
            None => Reads::get(&reads.stacked, self.found[id]),
        };
        let fixed =
            |inputs: &[usize]| inputs.iter().map(|id| Reads::get(&reads.fixed, self.found[*id])).collect::<Vec<_>>();

        let taps: Vec<(usize, usize)> =
            self.taps(&pair.forward_outputs, true).into_iter().filter(|(node, _)| pair.passing[*node]).collect();
        let (items, captures) = forward_node.inputs[ahead.carries..].split_at(ahead.items);
        let again = Loop {
            body: with_taps(ahead, &taps.iter().map(|(_, tap)| *tap).collect::<Vec<_>>()),
            outputs: (0..taps.len()).map(LoopOutput::Tap).collect(),
            steps,
            first,
            schedule: Schedule::Lengths(self.nested.clone()),
            ..plain(ahead)
        };
        let inputs =
            [starts, &items.iter().map(|id| value(*id, &inner)).collect::<Vec<_>>(), &fixed(captures)].concat();
        let values = call(g, again, inputs, forward_node);
        inner.extend(taps.iter().map(|(node, _)| *node).zip(values));

        let taps = self.taps(&pair.backward_outputs, true);
        let (items, captures) = backward_node.inputs[back.carries..].split_at(back.items);
        let part = Loop {
            body: with_taps(back, &taps.iter().map(|(_, tap)| *tap).collect::<Vec<_>>()),
            outputs: all_outputs(back.carries, taps.len()),
            steps,
            first,
            ..plain(back)
        };
        let items: Vec<usize> = items.iter().map(|id| value(*id, &inner)).collect();
        let mut cotangents = call(g, part, [&before.cotangents[..], &items, &fixed(captures)].concat(), backward_node);
        let values = cotangents.split_off(back.carries);
        inner.extend(taps.iter().map(|(node, _)| *node).zip(values));

        let sums = pair.sums.iter().zip(before.sums).map(|(sum, before)| {
            let node = &graph.nodes[sum.node];
            let (GraphOp::Op(op) | GraphOp::Onto(op)) = &node.op else { unreachable!("a sum is an operation") };
            let mut inputs: SmallVec<[usize; 4]> = SmallVec::new();
            for rows in &sum.operands {
                let mut operand = value(rows.source, &inner);
                if let Op::Matmul(_) = op {
                    let shape = g.nodes[operand].shape.clone();
                    let width = shape.last().copied().unwrap_or(1);
                    let height = shape[..shape.rank() - 1].iter().product();
                    operand = g.reshape(operand, [height, width].into());
                    if rows.transposed {
                        let turned = &graph.nodes[node.inputs[0]];
                        let shape = [width, height].into();
                        operand = g.add(GraphNode { inputs: smallvec![operand], shape, ..turned.clone() });
                    }
                }
                inputs.push(operand);
            }
            inputs.extend(before);
            let op = if before.is_some() { GraphOp::Onto(op.clone()) } else { GraphOp::Op(op.clone()) };
            Some(g.add(GraphNode { op, inputs, ..node.clone() }))
        });
        let sums = sums.collect();
        let kept = taps.iter().filter(|(node, _)| !pair.passing[*node]).map(|(node, _)| value(*node, &inner)).collect();
        (Carried { cotangents, sums }, kept)
    }

    /// Whether a value at all steps is computed in the segments of the backward pass.
    fn in_segment(&self, id: usize) -> bool {
        let pair = self.pair;
        pair.backward_outputs.contains(&id) || (pair.forward_outputs.contains(&id) && pair.passing[id])
    }

    /// What the segments of the backward pass read from outside: values at all steps, and others.
    fn reads(&self, inside: &Loop, forward: &Loop) -> (Vec<usize>, Vec<usize>) {
        let (mut stacked, mut fixed): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
        let put = |list: &mut Vec<usize>, id: &usize| {
            if !self.in_segment(*id) && !list.contains(&self.found[*id]) {
                list.push(self.found[*id]);
            }
        };
        for (at, of) in [(self.pair.forward, forward), (self.pair.backward, inside)] {
            let (items, captures) = self.graph.nodes[at].inputs[of.carries..].split_at(of.items);
            items.iter().for_each(|id| put(&mut stacked, id));
            captures.iter().for_each(|id| put(&mut fixed, id));
        }
        let operands = self.pair.sums.iter().flat_map(|sum| &sum.operands);
        operands.for_each(|rows| put(&mut stacked, &rows.source));
        (stacked, fixed)
    }

    /// The nodes of a loop's outputs that are values at all steps (without those that pass, unless asked for), and the body's nodes.
    fn taps(&self, outputs: &[usize], passing: bool) -> Vec<(usize, usize)> {
        let taps = outputs.iter().filter(|id| is_tap(self.graph, **id) && (passing || !self.pair.passing[**id]));
        taps.map(|id| {
            let node = &self.graph.nodes[*id];
            let inside = loop_of(self.graph, node.inputs[0]);
            match (&node.op, &inside.outputs) {
                (GraphOp::LoopOutput(index), outputs) => match outputs[*index] {
                    LoopOutput::Tap(tap) => (*id, inside.body.outputs[inside.carries + tap]),
                    LoopOutput::Final(_) => unreachable!("the output is a tap"),
                },
                _ => unreachable!("the node is an output"),
            }
        })
        .collect()
    }

    /// Finds the outputs of a loop: its carries after the last step, and the values that somebody reads at all steps.
    fn place_outputs(&mut self, outputs: &[usize], taps: &[(usize, usize)], finals: &[usize], parts: [&[usize]; 2]) {
        for id in outputs {
            let node = &self.graph.nodes[*id];
            let GraphOp::LoopOutput(index) = node.op else { continue };
            if let LoopOutput::Final(k) = loop_of(self.graph, node.inputs[0]).outputs[index] {
                self.found[*id] = finals[k];
            }
        }
        for (at, (id, _)) in taps.iter().filter(|(id, _)| !self.pair.passing[*id]).enumerate() {
            self.found[*id] = self.cut.join(&mut self.out, parts[0][at], parts[1].get(at).copied());
        }
    }
}
