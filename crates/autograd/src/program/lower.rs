//! Nodes to instructions.

use super::accumulate::{accumulation, can_be_added_to};
use super::code::{Block, Buf, Home, Instr, Number, OutputView, extent, merge_axes};
use super::fuse::{Units, map_of, units};
use super::graph::{Graph, GraphOp};
use super::layout::layout;
use super::merge::merge_products;
use super::trace::Note;
use super::{PlanOptions, Program, loops, strips};
use crate::dtype::DType;
use crate::node::Op;
use crate::shape::{Shape, Strides};
use smallvec::SmallVec;
use std::panic::Location;
use std::sync::{Arc, OnceLock};

/// Where a value lies: a strided view of a buffer, in elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub buf: Buf,
    pub offset: usize,
    pub strides: Strides,
}

/// A block being built.
pub(crate) struct Lower<'g> {
    pub(super) graph: &'g Graph,
    pub(super) units: Units,
    pub(super) options: PlanOptions,
    places: Vec<Option<Place>>,
    /// Where a node must be computed: part of a joined value, or a port of the body.
    assigned: Vec<Option<Assigned>>,
    copies: Vec<Option<Place>>,
    homes: Vec<Home>,
    sizes: Vec<(DType, usize)>,
    numbers: Vec<(Number, DType)>,
    code: Vec<Instr>,
    /// The unit being lowered.
    current: Vec<usize>,
    notes: Vec<Note>,
}

#[derive(Clone, Debug)]
enum Assigned {
    /// A fixed place.
    At(Place),
    /// The part of concat node `whole` that starts at `start` on `axis`.
    Part { whole: usize, axis: usize, start: usize },
}

/// The program of a request.
pub(super) fn program(graph: &Graph, options: PlanOptions) -> Program {
    let mut lower = Lower::new(graph, options, &[]);
    lower.run();
    let mut outputs = Vec::new();
    let mut homes: Vec<Home> = Vec::new();
    for node in &graph.outputs {
        let place = lower.output_place(*node);
        let shape = graph.nodes[*node].shape.clone();
        if let Home::Arena(_) = lower.homes[place.buf] {
            lower.homes[place.buf] = Home::Output(homes.len());
            homes.push(Home::Output(place.buf));
        }
        let source = lower.homes[place.buf];
        outputs.push(OutputView { source, shape, strides: place.strides, offset: place.offset });
    }
    if options.optimise && !options.traced {
        merge_products(&mut lower.code);
        strips::cut(&mut lower.code, &mut lower.homes, &mut lower.sizes);
    }
    Program { block: Arc::new(lower.finish(Vec::new())), outputs, pairs: OnceLock::new() }
}

/// The block of a loop body: ports are its inputs, then the `written` nodes, of which the first `carries` are the next carries.
pub(super) fn body(graph: &Graph, inputs: usize, carries: usize, written: &[usize], options: PlanOptions) -> Block {
    let mut lower = Lower::new(graph, options, written);
    let mut stays = vec![false; written.len()];
    for (carry, stays) in stays[..carries].iter_mut().enumerate() {
        for node in accumulation(graph, carry).into_iter().flatten() {
            lower.assigned[node] = Some(Assigned::At(lower.port(carry, node)));
            *stays = true;
        }
    }
    lower.run();
    // A body with a loop in it is no script, which would have one product a line.
    if options.optimise && !options.traced && lower.code.iter().any(|instr| matches!(instr, Instr::Loop(_))) {
        merge_products(&mut lower.code);
    }
    for (index, node) in written.iter().enumerate().filter(|(index, _)| !stays[*index]) {
        let port = lower.port(inputs + index, *node);
        let place = lower.place(*node);
        if place != port {
            lower.current = vec![*node];
            lower.copy(*node, place, port);
        }
    }
    lower.finish((0..inputs + written.len()).collect())
}

impl<'g> Lower<'g> {
    /// `bound` are the outputs of a body, which are computed in their ports where possible.
    fn new(graph: &'g Graph, options: PlanOptions, bound: &[usize]) -> Lower<'g> {
        let n = graph.nodes.len();
        let units = units(graph, options);
        let mut lower = Lower {
            graph,
            units,
            options,
            places: vec![None; n],
            assigned: vec![None; n],
            copies: vec![None; n],
            homes: Vec::new(),
            sizes: Vec::new(),
            numbers: Vec::new(),
            code: Vec::new(),
            current: Vec::new(),
            notes: Vec::new(),
        };
        let inputs = graph.nodes.iter().filter(|node| matches!(node.op, GraphOp::Port(_))).count();
        // Ports are the first buffers, in order.
        let mut kinds = vec![(DType::F32, 0); inputs + bound.len()];
        for node in &graph.nodes {
            if let GraphOp::Port(port) = node.op {
                kinds[port] = (node.dtype, node.shape.numel());
            }
        }
        for (index, node) in bound.iter().enumerate() {
            kinds[inputs + index] = (graph.nodes[*node].dtype, graph.nodes[*node].shape.numel());
        }
        for (dtype, len) in kinds {
            lower.buffer(Home::Port, dtype, len);
        }
        for (index, node) in bound.iter().enumerate() {
            if lower.computes(*node) && lower.assigned[*node].is_none() {
                lower.assigned[*node] = Some(Assigned::At(lower.port(inputs + index, *node)));
            }
        }
        if options.optimise {
            lower.assign_parts();
        }
        lower
    }

    /// Lets the parts of a concat be computed where they belong.
    fn assign_parts(&mut self) {
        for (id, node) in self.graph.nodes.iter().enumerate().rev() {
            let GraphOp::Op(Op::Concat(concat)) = &node.op else { continue };
            let first = self.first_part(id, &node.inputs);
            let mut start = 0;
            for input in &node.inputs {
                if *input >= first && self.can_be_part(*input) {
                    self.assigned[*input] = Some(Assigned::Part { whole: id, axis: concat.axis, start });
                }
                start += self.graph.nodes[*input].shape[concat.axis];
            }
        }
    }

    fn can_be_part(&self, id: usize) -> bool {
        let part = &self.graph.nodes[id];
        let strided = matches!(part.op, GraphOp::Op(Op::Map(_) | Op::Matmul(_)));
        strided && self.assigned[id].is_none() && part.shape.numel() > 0
    }

    /// From which node on parts of concat `whole` are computed where they belong. The buffer of all parts is live from the
    /// first of them on: one that is computed long before the others, ahead of a recomputation, stays apart.
    fn first_part(&self, whole: usize, parts: &[usize]) -> usize {
        /// Nodes between which a buffer may well wait.
        const NEAR: usize = 64;
        /// How much longer the whole may be live than its parts would be.
        const WASTE: u128 = 3;
        let mut early: Vec<usize> =
            parts.iter().copied().filter(|id| whole - id > NEAR && self.can_be_part(*id)).collect();
        early.sort_unstable();
        early.dedup();
        let size = |id: usize| self.graph.nodes[id].shape.numel() as u128;
        let mut apart: u128 = early.iter().map(|id| size(*id) * (whole - id) as u128).sum();
        for id in early {
            if size(whole) * (whole - id) as u128 <= WASTE * apart {
                return id;
            }
            apart -= size(id) * (whole - id) as u128;
        }
        whole.saturating_sub(NEAR)
    }

    /// Whether the node writes its own result (it is not a view, input or number).
    fn computes(&self, id: usize) -> bool {
        match &self.graph.nodes[id].op {
            GraphOp::Op(op) => {
                let view = matches!(op, Op::Reshape(_) | Op::Permute(_) | Op::Expand(_) | Op::Slice(_) | Op::Step(_));
                !view && !matches!(op, Op::StopGradient | Op::Fence)
            }
            GraphOp::Onto(_) => true,
            _ => false,
        }
    }

    fn run(&mut self) {
        for unit in std::mem::take(&mut self.units.order) {
            self.unit(&unit);
        }
    }

    fn unit(&mut self, unit: &[usize]) {
        let id = unit[0];
        let node = &self.graph.nodes[id];
        if self.options.traced {
            self.current = unit.to_vec();
        }
        let before = self.code.len();
        match &node.op {
            GraphOp::Leaf(ordinal) => {
                let buf = self.buffer(Home::Leaf(*ordinal), node.dtype, node.shape.numel());
                self.place_whole(id, buf);
            }
            GraphOp::Number(ordinal) => {
                let buf = self.number(Number::Bound(*ordinal), node.dtype);
                self.place_whole(id, buf);
            }
            GraphOp::Literal(value) => {
                let buf = self.number(Number::Literal(*value), node.dtype);
                self.place_whole(id, buf);
            }
            GraphOp::Port(port) => self.place_whole(id, *port),
            GraphOp::Loop(_) => loops::lower(self, id),
            // A loop places its outputs itself.
            GraphOp::LoopOutput(_) => {}
            GraphOp::Op(op) => match op.rule() {
                Some(_) if unit.len() > 1 || map_of(node).is_some() => self.group(unit),
                Some(rule) => rule.lower(self, id),
                None => unreachable!("leaves, loops and errors are not operations of a graph"),
            },
            GraphOp::Onto(op) => self.onto(op, id),
        }
        self.complete_note(before);
    }

    /// A sum that is added to what its place holds before.
    fn onto(&mut self, op: &Op, id: usize) {
        let before = *self.inputs(id).last().expect("what a sum is added to is its last input");
        let from = self.place(before);
        if self.assigned[id].is_none() && can_be_added_to(self.graph, before) {
            self.assigned[id] = Some(Assigned::At(from.clone()));
        }
        let to = self.alloc_any(id);
        if from != to {
            self.copy(before, from, to);
        }
        let rule = op.rule().expect("a sum has a rule");
        rule.lower(self, id);
        match self.code.last_mut() {
            Some(Instr::Gemm(sum)) => sum.blocks.onto = true,
            Some(Instr::Reduce(sum)) => sum.blocks.onto = true,
            _ => unreachable!("a sum ends with its product or reduction"),
        }
    }

    /// Marks the last instruction of a unit, whose first would have been number `first`.
    fn complete_note(&mut self, first: usize) {
        if let Some(note) = self.notes.last_mut().filter(|_| self.code.len() > first) {
            note.is_last = true;
        }
    }

    fn place_whole(&mut self, id: usize, buf: Buf) {
        let strides = self.graph.nodes[id].shape.contiguous_strides();
        self.places[id] = Some(Place { buf, offset: 0, strides });
    }

    /// Whether a node has its place from outside.
    pub(super) fn is_assigned(&self, node: usize) -> bool {
        self.assigned[node].is_some()
    }

    fn port(&self, buf: Buf, node: usize) -> Place {
        Place { buf, offset: 0, strides: self.graph.nodes[node].shape.contiguous_strides() }
    }

    fn number(&mut self, number: Number, dtype: DType) -> Buf {
        self.numbers.push((number, dtype));
        self.buffer(Home::Number(self.numbers.len() - 1), dtype, 1)
    }

    pub(super) fn buffer(&mut self, home: Home, dtype: DType, len: usize) -> Buf {
        self.homes.push(home);
        self.sizes.push((dtype, len));
        self.homes.len() - 1
    }

    /// A new temporary buffer.
    pub(super) fn temporary(&mut self, dtype: DType, len: usize) -> Buf {
        self.buffer(Home::Arena(0), dtype, len)
    }

    /// The inputs of a node.
    pub(crate) fn inputs(&self, node: usize) -> SmallVec<[usize; 4]> {
        self.graph.nodes[node].inputs.clone()
    }

    /// The shape of a node.
    pub(crate) fn shape(&self, node: usize) -> Shape {
        self.graph.nodes[node].shape.clone()
    }

    /// The element type of a node.
    pub(crate) fn dtype(&self, node: usize) -> DType {
        self.graph.nodes[node].dtype
    }

    /// The line that recorded a node.
    pub(crate) fn location(&self, node: usize) -> &'static Location<'static> {
        self.graph.nodes[node].at.at
    }

    /// Where a lowered node lies.
    pub(crate) fn place(&self, node: usize) -> Place {
        self.places[node].clone().expect("inputs are lowered before their users")
    }

    /// Where a node lies, if it is lowered.
    pub(super) fn place_if_known(&self, node: usize) -> Option<Place> {
        self.places[node].clone()
    }

    /// Makes the node a view.
    pub(crate) fn alias(&mut self, node: usize, place: Place) {
        self.places[node] = Some(place);
    }

    /// The place for a node's result, which its instruction can write with any strides.
    pub(super) fn alloc_any(&mut self, node: usize) -> Place {
        if let Some(place) = &self.places[node] {
            return place.clone();
        }
        let place = match self.assigned[node].clone() {
            Some(Assigned::At(place)) => place,
            Some(Assigned::Part { whole, axis, start }) => {
                let whole = self.alloc_any(whole);
                Place { offset: whole.offset + start * whole.strides[axis], ..whole }
            }
            None => {
                let (dtype, shape) = (self.dtype(node), self.shape(node));
                Place { buf: self.temporary(dtype, shape.numel()), offset: 0, strides: shape.contiguous_strides() }
            }
        };
        self.places[node] = Some(place.clone());
        place
    }

    /// The place for a node's result, contiguous.
    pub(crate) fn alloc(&mut self, node: usize) -> Place {
        let place = self.alloc_any(node);
        debug_assert!(
            self.shape(node).is_contiguous(&place.strides)
                || matches!(self.graph.nodes[node].op, GraphOp::Op(Op::Concat(_))),
            "only operations that write with strides are given strided places"
        );
        place
    }

    /// The place for a node's result, with adjacent columns.
    pub(crate) fn alloc_rows(&mut self, node: usize) -> Place {
        let inputs = self.inputs(node);
        self.keep_apart(node, &inputs);
        self.alloc_any(node)
    }

    /// Computes a part of a concat elsewhere if its instruction reads another part: their bytes interleave.
    pub(super) fn keep_apart(&mut self, node: usize, inputs: &[usize]) {
        if let Some(Assigned::Part { whole, .. }) = self.assigned[node]
            && self.places[node].is_none()
        {
            let whole = self.alloc_any(whole).buf;
            if inputs.iter().any(|input| self.places[*input].as_ref().is_some_and(|place| place.buf == whole)) {
                self.assigned[node] = None;
            }
        }
    }

    /// Where a lowered node lies contiguously: itself or a copy.
    pub(crate) fn contiguous(&mut self, node: usize) -> Place {
        let place = self.place(node);
        let shape = self.shape(node);
        if shape.is_contiguous(&place.strides) {
            return Place { strides: shape.contiguous_strides(), ..place };
        }
        if let Some(copy) = &self.copies[node] {
            return copy.clone();
        }
        let buf = self.temporary(self.dtype(node), shape.numel());
        let copy = Place { buf, offset: 0, strides: shape.contiguous_strides() };
        self.copy(node, place, copy.clone());
        self.copies[node] = Some(copy.clone());
        copy
    }

    /// Emits a copy of a node's value.
    pub(crate) fn copy(&mut self, node: usize, from: Place, to: Place) {
        let shape = self.shape(node);
        if shape.numel() == 0 {
            return;
        }
        let span = |place: &Place| (place.offset, place.offset + extent(&shape, &place.strides));
        let ((start, end), (low, high)) = (span(&from), span(&to));
        if from.buf == to.buf && start < high && low < end {
            // A value that stands twice in a concat along a later axis: its places interleave.
            let buf = self.temporary(self.dtype(node), shape.numel());
            let between = Place { buf, offset: 0, strides: shape.contiguous_strides() };
            self.copy(node, from, between.clone());
            return self.copy(node, between, to);
        }
        let (mut src, mut dst) = (from.strides.to_vec(), to.strides.to_vec());
        let dims = merge_axes(&shape, &mut [&mut src, &mut dst]);
        let dtype = self.dtype(node);
        self.emit(Instr::Copy { dtype, dims, src: (from.buf, from.offset, src), dst: (to.buf, to.offset, dst) });
        let copied = self.options.traced.then(|| self.noted(node));
        if let Some(note) = self.notes.last_mut() {
            note.copied = copied;
        }
    }

    /// Appends an instruction.
    pub(crate) fn emit(&mut self, instr: Instr) {
        self.code.push(instr);
        if self.options.traced {
            self.notes.push(self.note(&self.current));
        }
    }

    /// Where an asked value can be handed out: in an output buffer of its own or shared, or in a leaf.
    fn output_place(&mut self, node: usize) -> Place {
        let place = self.place(node);
        let shape = self.shape(node);
        let dtype = self.dtype(node);
        self.current = vec![node];
        let (held, len) = (self.homes[place.buf], self.sizes[place.buf].1);
        // A small view of a large buffer would keep all of it alive.
        let fits = match held {
            Home::Arena(_) | Home::Output(_) => shape.numel() * 2 >= len,
            Home::Leaf(_) => true,
            Home::Port | Home::Number(_) => false,
        };
        let repeats = shape.iter().zip(&place.strides).any(|(n, s)| *n > 1 && *s == 0);
        if fits && !repeats {
            return place;
        }
        let buf = self.temporary(dtype, shape.numel());
        let to = Place { buf, offset: 0, strides: shape.contiguous_strides() };
        self.copy(node, place, to.clone());
        to
    }

    fn finish(mut self, ports: Vec<Buf>) -> Block {
        let bytes: Vec<Option<usize>> = self
            .homes
            .iter()
            .zip(&self.sizes)
            .map(|(home, (dtype, len))| matches!(home, Home::Arena(_)).then_some(dtype.size() * len))
            .collect();
        let (offsets, arena_bytes) = layout(&self.code, &bytes);
        let mut outputs = Vec::new();
        for (buf, home) in self.homes.iter_mut().enumerate() {
            match home {
                Home::Arena(offset) => *offset = offsets[buf],
                Home::Output(index) => outputs.push((*index, self.sizes[buf])),
                _ => {}
            }
        }
        outputs.sort_by_key(|(index, _)| *index);
        Block {
            buffers: self.homes,
            code: self.code,
            arena_bytes,
            outputs: outputs.into_iter().map(|(_, kind)| kind).collect(),
            ports,
            numbers: self.numbers,
            notes: self.notes,
        }
    }
}
