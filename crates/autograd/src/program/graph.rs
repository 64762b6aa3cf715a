//! What a request needs, cut out of the tape: live nodes only, loops as nested graphs, common
//! subexpressions shared.

use super::PlanOptions;
use super::trace::Site;
use crate::dtype::DType;
use crate::error::Result;
use crate::node::{NodeId, Op, StructureHasher};
use crate::scan::{Checkpoint, ScanDef};
use crate::shape::Shape;
use crate::tape::Inner;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::hash::Hash;

/// Live nodes in an order in which inputs come first.
#[derive(Clone)]
pub(super) struct Graph {
    pub nodes: Vec<GraphNode>,
    pub outputs: Vec<usize>,
}

#[derive(Clone)]
pub(super) struct GraphNode {
    pub op: GraphOp,
    pub inputs: SmallVec<[usize; 4]>,
    pub shape: Shape,
    pub dtype: DType,
    pub at: Site,
}

#[derive(Clone)]
pub(super) enum GraphOp {
    /// A tensor bound at run time.
    Leaf(u32),
    /// A number bound at run time.
    Number(u32),
    /// A number of the structure.
    Literal(f64),
    /// What a loop body receives: carries, then items, then captures.
    Port(usize),
    /// A loop; inputs: initial carries, items, captures.
    Loop(Box<Loop>),
    /// One of a loop's results.
    LoopOutput(usize),
    /// Any other operation of the tape.
    Op(Op),
    /// A sum that is added to the last input.
    Onto(Op),
}

/// A live loop.
#[derive(Clone)]
pub(super) struct Loop {
    /// Outputs: the next carries, then the taps.
    pub body: Graph,
    pub carries: usize,
    pub items: usize,
    pub steps: usize,
    pub reverse: bool,
    pub schedule: Schedule,
    /// The number of its first step.
    pub first: usize,
    /// If a run of the body is a segment of a loop: its steps.
    pub span: Option<usize>,
    pub outputs: Vec<LoopOutput>,
}

/// What of a loop is kept for its derivative; what it computes does not depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Schedule {
    Asked(Checkpoint),
    /// Segments of so many steps, and segments of those.
    Lengths(Vec<usize>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum LoopOutput {
    /// A carry after the last step.
    Final(usize),
    /// Body output `carries + index`, stacked.
    Tap(usize),
}

/// The graph of the asked nodes.
pub(super) fn build(inner: &Inner, asked: &[NodeId], options: PlanOptions) -> Result<Graph> {
    let end = asked.iter().max().map_or(0, |id| id + 1);
    let marks = Marks::of(inner, 0, 0..end, asked);
    emit(inner, &marks, &HashMap::new(), asked, options)
}

/// The live nodes of one level: of the tape, or of a loop body.
struct Marks {
    range: std::ops::Range<NodeId>,
    body: u32,
    live: Vec<bool>,
    /// Nodes of outer levels that are used, in order of first use.
    outer: Vec<NodeId>,
    loops: HashMap<NodeId, LoopNeed>,
}

/// What is needed of a loop.
#[derive(Default)]
struct LoopNeed {
    finals: Vec<usize>,
    taps: Vec<NodeId>,
    /// Live carries (without the invariant ones, which are read like captures) and items, as indices of the recording.
    carries: Vec<usize>,
    invariant: Vec<usize>,
    items: Vec<usize>,
    marks: Option<Box<Marks>>,
}

impl Marks {
    fn of(inner: &Inner, body: u32, range: std::ops::Range<NodeId>, seeds: &[NodeId]) -> Marks {
        let live = vec![false; range.len()];
        let mut marks = Marks { range, body, live, outer: Vec::new(), loops: HashMap::new() };
        for seed in seeds {
            marks.seed(inner, *seed);
        }
        for id in marks.range.clone().rev() {
            if !marks.live[(id - marks.range.start) as usize] {
                continue;
            }
            let node = &inner.nodes[id as usize];
            match node.op {
                Op::Tap(target) => {
                    let need = marks.loops.entry(node.inputs[0]).or_default();
                    if !need.taps.contains(&target) {
                        need.taps.push(target);
                    }
                    marks.mark(inner, node.inputs[0]);
                }
                Op::Final(index) if unchanged(inner, node.inputs[0], index).is_some() => {
                    unchanged(inner, node.inputs[0], index).into_iter().for_each(|init| marks.mark(inner, init));
                }
                Op::Final(index) => {
                    let need = marks.loops.entry(node.inputs[0]).or_default();
                    if !need.finals.contains(&(index as usize)) {
                        need.finals.push(index as usize);
                    }
                    marks.mark(inner, node.inputs[0]);
                }
                Op::Scan(number) => {
                    let def = &inner.scans[number as usize];
                    let mut need = marks.loops.remove(&id).unwrap_or_default();
                    need.resolve(inner, def);
                    for source in need.sources(inner, id, def) {
                        marks.mark(inner, source);
                    }
                    marks.loops.insert(id, need);
                }
                // A held value is a leaf, whatever it was computed from.
                Op::Leaf(_) => {}
                Op::Custom(_) | Op::Again => marks.mark(inner, node.inputs[0]),
                _ => node.inputs.iter().for_each(|input| marks.mark(inner, *input)),
            }
        }
        marks
    }

    fn is_own(&self, inner: &Inner, id: NodeId) -> bool {
        inner.nodes[id as usize].body == self.body
    }

    fn mark(&mut self, inner: &Inner, id: NodeId) {
        if self.is_own(inner, id) {
            self.live[(id - self.range.start) as usize] = true;
        } else if !self.outer.contains(&id) {
            self.outer.push(id);
        }
    }

    /// Marks a node that is asked for; a node of a nested body is asked of its loop.
    fn seed(&mut self, inner: &Inner, id: NodeId) {
        match self.loop_through(inner, id) {
            Some(scan) => {
                let need = self.loops.entry(scan).or_default();
                if !need.taps.contains(&id) {
                    need.taps.push(id);
                }
                self.mark(inner, scan);
            }
            None => self.mark(inner, id),
        }
    }

    /// The loop of this level in whose body (or in one nested in it) the node lies.
    fn loop_through(&self, inner: &Inner, id: NodeId) -> Option<NodeId> {
        let mut body = inner.nodes[id as usize].body;
        let mut through = None;
        while body != self.body {
            if body == 0 {
                return None;
            }
            let info = inner.bodies[body as usize];
            through = info.scan;
            body = info.parent;
        }
        through
    }
}

/// The initial value of a scan's carry component that is returned unchanged.
fn unchanged(inner: &Inner, scan: NodeId, index: u32) -> Option<NodeId> {
    let node = &inner.nodes[scan as usize];
    let Op::Scan(number) = node.op else { return None };
    inner.scans[number as usize].is_invariant(index as usize).then(|| node.inputs[index as usize])
}

impl LoopNeed {
    /// Finds the carries, items and body nodes that the asked outputs need.
    fn resolve(&mut self, inner: &Inner, def: &ScanDef) {
        let mut carries = vec![false; def.carries.len()];
        self.finals.iter().for_each(|k| carries[*k] = true);
        loop {
            let next = (0..carries.len()).filter(|k| carries[*k]).map(|k| def.next[k]);
            let seeds: Vec<NodeId> = next.chain(self.taps.iter().copied()).collect();
            let marks = Marks::of(inner, def.body, def.nodes.clone(), &seeds);
            let is_live = |port: &NodeId| marks.live[(port - def.nodes.start) as usize];
            let grown: Vec<usize> = (0..carries.len()).filter(|k| !carries[*k] && is_live(&def.carries[*k])).collect();
            if grown.is_empty() {
                let live = |invariant: bool| {
                    (0..carries.len()).filter(|k| carries[*k] && def.is_invariant(*k) == invariant).collect()
                };
                (self.carries, self.invariant) = (live(false), live(true));
                self.items = (0..def.items.len()).filter(|j| is_live(&def.items[*j])).collect();
                self.marks = Some(Box::new(marks));
                return;
            }
            grown.into_iter().for_each(|k| carries[k] = true);
        }
    }

    /// The outer nodes that the loop reads: initial carries, items, captures and invariant carries.
    fn sources(&self, inner: &Inner, scan: NodeId, def: &ScanDef) -> Vec<NodeId> {
        let inputs = &inner.nodes[scan as usize].inputs;
        let captures = self.marks.iter().flat_map(|marks| marks.outer.iter().copied());
        let carries = self.carries.iter().map(|k| inputs[*k]);
        let items = self.items.iter().map(|j| inputs[def.carries.len() + j]);
        let invariant = self.invariant.iter().map(|k| inputs[*k]);
        carries.chain(items).chain(captures).chain(invariant).collect()
    }
}

/// Builds the graph of a level; `ports` gives the port numbers of body inputs and captures.
fn emit(
    inner: &Inner,
    marks: &Marks,
    ports: &HashMap<NodeId, usize>,
    asked: &[NodeId],
    options: PlanOptions,
) -> Result<Graph> {
    let mut graph = Graph { nodes: Vec::new(), outputs: Vec::new() };
    let mut found: HashMap<NodeId, usize> = HashMap::new();
    let mut known: HashMap<u128, usize> = HashMap::new();
    let mut captured: Vec<(&NodeId, &usize)> = ports.iter().collect();
    captured.sort_by_key(|(_, port)| **port);
    for (id, port) in captured {
        let node = &inner.nodes[*id as usize];
        let site = Site { node: *id, at: node.at };
        found.insert(*id, graph.push(GraphOp::Port(*port), SmallVec::new(), node.shape.clone(), node.dtype, site));
    }
    for id in marks.range.clone() {
        if !marks.live[(id - marks.range.start) as usize] || found.contains_key(&id) {
            continue;
        }
        let node = &inner.nodes[id as usize];
        let site = Site { node: id, at: node.at };
        if options.optimise
            && let Some(same) = known.get(&node.hash)
        {
            found.insert(id, *same);
            continue;
        }
        let op = match &node.op {
            Op::Error(number) => return Err(inner.errors[*number as usize].clone()),
            Op::Leaf(ordinal) => GraphOp::Leaf(*ordinal),
            Op::Scalar(ordinal) => GraphOp::Number(*ordinal),
            Op::Literal(bits) => GraphOp::Literal(f64::from_bits(*bits)),
            Op::Scan(number) => {
                let def = &inner.scans[*number as usize];
                let need = &marks.loops[&id];
                let inputs = need.sources(inner, id, def).iter().map(|source| found[source]).collect();
                let lowered = live_loop(inner, def, need, options)?;
                let at = graph.push(GraphOp::Loop(Box::new(lowered)), inputs, node.shape.clone(), node.dtype, site);
                found.insert(id, at);
                continue;
            }
            // Derivatives have been recorded, or are not asked for: what is left is the value.
            Op::Custom(_) | Op::Again => {
                found.insert(id, found[&node.inputs[0]]);
                continue;
            }
            Op::Final(index) if unchanged(inner, node.inputs[0], *index).is_some() => {
                let init = unchanged(inner, node.inputs[0], *index).map(|init| found[&init]);
                found.extend(init.map(|init| (id, init)));
                continue;
            }
            Op::Final(index) => {
                let need = &marks.loops[&node.inputs[0]];
                GraphOp::LoopOutput(position(&need.finals, *index as usize))
            }
            Op::Tap(target) => {
                let need = &marks.loops[&node.inputs[0]];
                GraphOp::LoopOutput(need.finals.len() + position(&need.taps, *target))
            }
            other => GraphOp::Op(other.clone()),
        };
        let inputs = match op {
            GraphOp::Leaf(_) => SmallVec::new(),
            _ => node.inputs.iter().map(|input| found[input]).collect(),
        };
        let at = graph.push(op, inputs, node.shape.clone(), node.dtype, site);
        known.insert(node.hash, at);
        found.insert(id, at);
    }
    for id in asked {
        let at = match marks.loop_through(inner, *id) {
            Some(scan) if !found.contains_key(id) => {
                let need = &marks.loops[&scan];
                let node = &inner.nodes[*id as usize];
                let shape = nested_shape(inner, *id, marks.body);
                let output = GraphOp::LoopOutput(need.finals.len() + position(&need.taps, *id));
                let site = Site { node: *id, at: node.at };
                graph.push(output, SmallVec::from_slice(&[found[&scan]]), shape, node.dtype, site)
            }
            _ => found[id],
        };
        graph.outputs.push(at);
    }
    Ok(graph)
}

fn position<T: PartialEq>(list: &[T], item: T) -> usize {
    list.iter().position(|x| *x == item).expect("what is asked of a loop was marked")
}

/// The shape of a nested body's value as seen from `body`: with the lengths of the loops between in front.
fn nested_shape(inner: &Inner, id: NodeId, body: u32) -> Shape {
    let mut shape = inner.nodes[id as usize].shape.clone();
    let mut at = inner.nodes[id as usize].body;
    while at != body {
        let info = inner.bodies[at as usize];
        shape = shape.with_front(info.length);
        at = info.parent;
    }
    shape
}

fn live_loop(inner: &Inner, def: &ScanDef, need: &LoopNeed, options: PlanOptions) -> Result<Loop> {
    let marks = need.marks.as_ref().expect("a live loop has been resolved");
    let inputs = need.carries.iter().map(|k| def.carries[*k]).chain(need.items.iter().map(|j| def.items[*j]));
    let invariant = need.invariant.iter().map(|k| def.carries[*k]);
    let ports: HashMap<NodeId, usize> =
        inputs.chain(marks.outer.iter().copied()).chain(invariant).enumerate().map(|(port, id)| (id, port)).collect();
    let next = need.carries.iter().map(|k| def.next[*k]);
    let asked: Vec<NodeId> = next.chain(need.taps.iter().copied()).collect();
    let body = emit(inner, marks, &ports, &asked, options)?;
    let finals = need.finals.iter().map(|k| LoopOutput::Final(position(&need.carries, *k)));
    let taps = (0..need.taps.len()).map(LoopOutput::Tap);
    Ok(Loop {
        body,
        carries: need.carries.len(),
        items: need.items.len(),
        steps: def.length,
        reverse: def.reverse,
        schedule: Schedule::Asked(def.checkpoint),
        first: 0,
        span: None,
        outputs: finals.chain(taps).collect(),
    })
}

/// The structure of a loop's body as a key: equal for equal bodies, wherever on a tape they were recorded. Which ports
/// are carries decides what the body writes, so it is part of it; the number of steps is not.
pub(super) fn body_key(inside: &Loop, body: &Graph, options: PlanOptions) -> u128 {
    let mut hasher = StructureHasher::new();
    (options, inside.carries).hash(&mut hasher);
    body.write_key(&mut hasher);
    hasher.finish128()
}

impl Loop {
    /// The body nodes that need a place outside of the step: the next carries, and the taps that are neither
    /// a carry nor a next carry.
    pub(super) fn written(&self) -> Vec<usize> {
        let (next, taps) = self.body.outputs.split_at(self.carries);
        let is_carry = |node: usize| matches!(self.body.nodes[node].op, GraphOp::Port(p) if p < self.carries);
        let mut written = next.to_vec();
        for tap in taps {
            if !written.contains(tap) && !is_carry(*tap) {
                written.push(*tap);
            }
        }
        written
    }
}

impl Graph {
    fn push(&mut self, op: GraphOp, inputs: SmallVec<[usize; 4]>, shape: Shape, dtype: DType, at: Site) -> usize {
        self.nodes.push(GraphNode { op, inputs, shape, dtype, at });
        self.nodes.len() - 1
    }

    /// The node of a port.
    pub(super) fn port(&self, port: usize) -> Option<usize> {
        self.nodes.iter().position(|n| matches!(n.op, GraphOp::Port(p) if p == port))
    }

    fn write_key(&self, hasher: &mut StructureHasher) {
        for node in &self.nodes {
            match &node.op {
                GraphOp::Leaf(ordinal) => (0u8, ordinal).hash(hasher),
                GraphOp::Number(ordinal) => (6u8, ordinal).hash(hasher),
                GraphOp::Literal(value) => (1u8, value.to_bits()).hash(hasher),
                GraphOp::Port(port) => (2u8, port).hash(hasher),
                GraphOp::LoopOutput(index) => (3u8, index).hash(hasher),
                GraphOp::Op(op) => (4u8, op).hash(hasher),
                GraphOp::Onto(op) => (7u8, op).hash(hasher),
                GraphOp::Loop(inside) => {
                    let Loop { body, carries, items, steps, reverse, outputs, first, span, schedule: _ } = &**inside;
                    (5u8, carries, items, steps, reverse, outputs, first, span).hash(hasher);
                    body.write_key(hasher);
                }
            }
            (&node.inputs[..], &node.shape, node.dtype).hash(hasher);
            if matches!(&node.op, GraphOp::Op(op) if op.fails_at_run()) {
                node.at.at.hash(hasher);
            }
        }
        self.outputs.hash(hasher);
    }
}
