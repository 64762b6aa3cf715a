//! A loop over time as a loop over segments of a loop over steps, and the stacked values that go with it.

use super::assemble::{all_outputs, body_ports, call, plain, slice, with_taps};
use super::graph::{Graph, GraphNode, GraphOp, Loop};
use super::simplify::without_dead;
use crate::node::Op;
use crate::ops::Concat;
use crate::shape::Shape;
use smallvec::smallvec;

/// Where time is cut.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    pub length: usize,
    pub count: usize,
    pub rest: usize,
}

impl Cut {
    pub(super) fn new(steps: usize, length: usize) -> Cut {
        let count = steps / length;
        Cut { length, count, rest: steps - count * length }
    }

    /// The rows of a step in stacked values whose leading axis is time and rows together.
    fn rows(self, shape: &Shape) -> usize {
        shape[0] / (self.count * self.length + self.rest)
    }

    /// Stacked values by segment: `[count, length, ..]`.
    pub(super) fn segments(self, g: &mut Graph, stacked: &[usize]) -> Vec<usize> {
        let Cut { length, count, .. } = self;
        let each = |id: &usize| {
            let shape = g.nodes[*id].shape.clone();
            let rows = self.rows(&shape);
            let part = slice(g, *id, 0, count * length * rows);
            g.reshape(part, shape.with_axis(0, length * rows).with_front(count))
        };
        stacked.iter().map(each).collect()
    }

    /// Stacked values of the rest.
    pub(super) fn rest(self, g: &mut Graph, stacked: &[usize]) -> Vec<usize> {
        let Cut { length, count, rest } = self;
        let each = |id: &usize| {
            let rows = self.rows(&g.nodes[*id].shape);
            slice(g, *id, count * length * rows, rest * rows)
        };
        if rest == 0 { Vec::new() } else { stacked.iter().map(each).collect() }
    }

    /// Values of all steps from those of the segments and of the rest.
    pub(super) fn join(self, g: &mut Graph, segments: usize, rest: Option<usize>) -> usize {
        let Cut { length, count, rest: left } = self;
        let node = g.nodes[segments].clone();
        let shape: Shape = node.shape[1..].into();
        let whole = g.reshape(segments, shape.with_axis(0, count * length));
        rest.map_or(whole, |rest| {
            let shape = shape.with_axis(0, count * length + left);
            let op = GraphOp::Op(Op::Concat(Concat { axis: 0 }));
            g.add(GraphNode { op, inputs: smallvec![whole, rest], shape, ..node })
        })
    }
}

/// The forward carry at the start of each segment, stacked, and of the rest.
#[derive(Default)]
pub(super) struct Starts {
    pub segments: Vec<usize>,
    pub rest: Vec<usize>,
}

/// The forward loop, with the taps that are kept.
pub(super) struct Ahead<'g> {
    pub inside: &'g Loop,
    pub node: &'g GraphNode,
    pub taps: Vec<usize>,
}

impl Ahead<'_> {
    /// The loop over some steps, in pieces of at most `piece`: the carries after it, then the taps. `outer` are its items and
    /// captures.
    fn steps(
        &self,
        g: &mut Graph,
        (steps, first): (usize, usize),
        init: &[usize],
        outer: &[usize],
        piece: Option<usize>,
    ) -> Vec<usize> {
        if let Some(piece) = piece.filter(|piece| *piece < steps) {
            let cut = Cut::new(steps, piece);
            let (last, [segments, rest], _) = self.cut(g, (cut, first), init, outer, None, false);
            let taps = segments.iter().enumerate().map(|(at, tap)| cut.join(g, *tap, rest.get(at).copied()));
            return last.into_iter().chain(taps).collect();
        }
        let part = Loop {
            body: without_dead(with_taps(self.inside, &self.taps)),
            outputs: all_outputs(self.inside.carries, self.taps.len()),
            steps,
            first,
            ..plain(self.inside)
        };
        call(g, part, [init, outer].concat(), self.node)
    }

    /// The loop over segments and over the rest: the carries after it, the taps of both; the carries at the starts, for
    /// segments if they are `kept`.
    pub(super) fn cut(
        &self,
        g: &mut Graph,
        (cut, first): (Cut, usize),
        init: &[usize],
        outer: &[usize],
        piece: Option<usize>,
        kept: bool,
    ) -> (Vec<usize>, [Vec<usize>; 2], Starts) {
        let (inside, Cut { length, count, rest }) = (self.inside, cut);
        let (items, captures) = outer.split_at(inside.items);
        let mut starts = Starts::default();
        let run_rest = |g: &mut Graph, starts: &mut Starts, init: &[usize]| {
            starts.rest = init.to_vec();
            if rest == 0 {
                return (init.to_vec(), Vec::new());
            }
            let outer = [&cut.rest(g, items)[..], captures].concat();
            let mut all = self.steps(g, (rest, first + count * length), init, &outer, piece);
            let taps = all.split_off(inside.carries);
            (all, taps)
        };
        let run_segments = |g: &mut Graph, starts: &mut Starts, init: &[usize]| {
            let whole = cut.segments(g, items);
            let (mut body, ports) = body_ports(g, [init, &whole, captures]);
            let outer = [&ports[1][..], &ports[2]].concat();
            let mut outputs = self.steps(&mut body, (length, 0), &ports[0], &outer, piece);
            let tapped = outputs.split_off(inside.carries);
            let start = if kept { &ports[0][..] } else { &[] };
            body.outputs = [&outputs[..], start, &tapped].concat();
            let segments = Loop {
                body,
                steps: count,
                first,
                span: Some(length),
                outputs: all_outputs(inside.carries, start.len() + tapped.len()),
                ..plain(inside)
            };
            let mut all = call(g, segments, [init, &whole, captures].concat(), self.node);
            let tapped = all.split_off(all.len() - tapped.len());
            starts.segments = all.split_off(inside.carries);
            (all, tapped)
        };
        if inside.reverse {
            let (carry, in_rest) = run_rest(g, &mut starts, init);
            let (carry, in_segments) = run_segments(g, &mut starts, &carry);
            (carry, [in_segments, in_rest], starts)
        } else {
            let (carry, in_segments) = run_segments(g, &mut starts, init);
            let (carry, in_rest) = run_rest(g, &mut starts, &carry);
            (carry, [in_segments, in_rest], starts)
        }
    }
}
