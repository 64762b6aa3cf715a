//! Fused groups to tile programs.

use super::calls::{Code, Registers, Step, steps};
use super::code::{AnyTile, Buf, Instr, TileInput, TileInstr, extent, merge_axes};
use super::fuse::{fold_of, map_of};
use super::lower::{Lower, Place};
use crate::dtype::DType;
use crate::shape::Shape;
use smallvec::SmallVec;
use wengert_kernels::{
    Kernel, Load, MAX_SOURCES, Source, Store, TileCode, TileLane, TileOp, TileProgram, arith_kernel, pair_kernel,
    products_kernel, slope_kernel, slope_of_product_kernel, square_kernel,
};

impl Lower<'_> {
    /// Elementwise nodes are lowered by group.
    pub(crate) fn fused(&mut self, node: usize) {
        self.group(&[node]);
    }

    /// Lowers a fused group to one tile instruction.
    pub(super) fn group(&mut self, members: &[usize]) {
        let group = Group::of(self, members);
        let space = &group.space;
        if space.numel() == 0 {
            for id in members {
                self.alloc_any(*id);
            }
            return;
        }
        let stored: Vec<usize> = members.iter().copied().filter(|id| self.units.leaves[*id]).collect();
        let inputs: Vec<usize> = group.operands.iter().map(|(node, _)| *node).collect();
        let mut operands: Vec<(Place, Vec<usize>)> =
            group.operands.iter().map(|(node, strides)| (self.place(*node), strides.clone())).collect();
        for id in &stored {
            self.keep_apart(*id, &inputs);
            let place = self.alloc_any(*id);
            let strides = group.strides(&self.shape(*id), &place.strides, group.is_row(*id));
            operands.push((place, strides));
        }
        let mut views: Vec<&mut Vec<usize>> = operands.iter_mut().map(|(_, strides)| strides).collect();
        // Rows of the space stay rows.
        let mut rows = group.row_strides();
        views.extend(rows.as_mut());
        let dims = merge_axes(space, &mut views);
        let results = operands.split_off(inputs.len());

        // Results that share a buffer are one write.
        let mut writes: Vec<(DType, Buf, usize, usize)> = Vec::new();
        for (id, (place, strides)) in stored.iter().zip(&results) {
            let (start, end) = (place.offset, place.offset + extent(&dims, strides));
            match writes.iter_mut().find(|w| w.1 == place.buf) {
                Some(write) => {
                    let (low, high) = (write.2.min(start), (write.2 + write.3).max(end));
                    (write.2, write.3) = (low, high - low);
                }
                None => writes.push((self.dtype(*id), place.buf, start, end - start)),
            }
        }
        let loads: Vec<Load> = operands
            .iter()
            .zip(&inputs)
            .map(|((_, strides), input)| Load { strides: strides.clone(), bools: self.dtype(*input) == DType::Bool })
            .collect();
        let sources = operands
            .into_iter()
            .zip(&inputs)
            .map(|((place, strides), input)| TileInput {
                dtype: self.dtype(*input),
                buf: place.buf,
                offset: place.offset,
                extent: extent(&dims, &strides),
            })
            .collect();
        let steps = steps(self.graph, &group, &stored);
        let registers = Registers::assign(&steps, &stored);
        let stores: Vec<Store> = stored
            .iter()
            .zip(&results)
            .map(|(id, (place, strides))| {
                let buffer = writes.iter().position(|w| w.1 == place.buf).expect("every result has a write");
                Store {
                    register: registers.of(Value::Member(*id)),
                    buffer,
                    offset: place.offset - writes[buffer].2,
                    strides: strides.clone(),
                    bools: self.dtype(*id) == DType::Bool,
                }
            })
            .collect();
        let plan = TilePlan { steps: &steps, registers: &registers, loads, stores, dims };
        let program = match self.units.parts.lanes[members[0]] {
            DType::F64 => AnyTile::F64(plan.build(|kernels| (kernels.f64)())),
            DType::I64 => AnyTile::I64(plan.build(|kernels| {
                kernels.i64.expect("an operation without integer kernel is not recorded on integers")()
            })),
            _ => AnyTile::F32(plan.build(|kernels| (kernels.f32)())),
        };
        self.emit(Instr::Tile(TileInstr { program, inputs: sources, outputs: writes }));
    }
}

/// A value in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// That of a member.
    Member(usize),
    /// An operand, by number.
    Operand(usize),
    /// Values of rows over the elements of their rows, by number.
    Spread(usize),
}

/// Nodes that one pass computes, and from what.
pub(super) struct Group<'u> {
    pub members: &'u [usize],
    /// The index space of the pass.
    pub space: Shape,
    /// Which members have one value a row of the space; none if all of them do, since the rows are the space then.
    rows: Vec<usize>,
    /// Nodes that others compute, with their strides in the space.
    operands: Vec<(usize, Vec<usize>)>,
    /// Which operands are read one value a row.
    by_row: Vec<bool>,
    /// Values of rows that are spread, in the order of first use.
    pub spreads: Vec<Value>,
    /// The arguments of each member.
    pub arguments: Vec<SmallVec<[Value; MAX_SOURCES]>>,
}

impl<'u> Group<'u> {
    fn of(lower: &Lower<'_>, members: &'u [usize]) -> Group<'u> {
        let (graph, parts) = (lower.graph, &lower.units.parts);
        let folded = members.iter().find(|id| fold_of(graph, &graph.nodes[**id]).is_some());
        let elements = members.iter().find(|id| parts.rows[**id].is_none());
        let (space, by_row) = match (folded.and_then(|id| parts.rows[*id].clone()), elements) {
            (Some(space), _) => (space, true),
            (None, Some(id)) => (lower.shape(*id), true),
            // The axis of extent 1, if there is one, is the last.
            (None, None) => {
                let shapes = members.iter().map(|id| lower.shape(*id));
                (shapes.min_by_key(Shape::rank).unwrap_or_else(Shape::scalar), false)
            }
        };
        let rows = members.iter().copied().filter(|id| by_row && parts.rows[*id].is_some()).collect();
        let mut group = Group {
            members,
            space,
            rows,
            operands: Vec::new(),
            by_row: Vec::new(),
            spreads: Vec::new(),
            arguments: Vec::new(),
        };
        for id in members {
            let arguments = graph.nodes[*id].inputs.iter().map(|input| group.argument(lower, *id, *input)).collect();
            group.arguments.push(arguments);
        }
        group
    }

    /// Whether a member has one value a row.
    pub(super) fn is_row(&self, id: usize) -> bool {
        self.rows.contains(&id)
    }

    /// What an input is to a member.
    fn argument(&mut self, lower: &Lower<'_>, id: usize, input: usize) -> Value {
        let graph = lower.graph;
        let from_rows = self.is_row(id) && map_of(&graph.nodes[id]).is_some();
        let own = lower.units.parts.source(graph, input, id).filter(|source| self.members.contains(source));
        let (value, is_row) = match own {
            Some(source) => (Value::Member(source), self.is_row(source)),
            None => {
                let shape = if map_of(&graph.nodes[id]).is_some() { lower.shape(id) } else { self.space.clone() };
                let strides = lower.shape(input).broadcast_strides(&lower.place(input).strides, &shape);
                let strides = self.strides(&shape, &strides, from_rows);
                let is_row = !self.rows.is_empty() && matches!(strides[..], [.., 0]) && strides.iter().any(|s| *s > 0);
                // One number is an operand of elements and another one of rows.
                let is_row = is_row || from_rows;
                let same = |(node, known): &(usize, Vec<usize>)| *node == input && *known == strides;
                let alike = |at: &usize| same(&self.operands[*at]) && self.by_row[*at] == is_row;
                let known = (0..self.operands.len()).find(alike);
                let at = known.unwrap_or_else(|| {
                    self.operands.push((input, strides));
                    self.by_row.push(is_row);
                    self.operands.len() - 1
                });
                (Value::Operand(at), is_row)
            }
        };
        if from_rows || !is_row {
            return value;
        }
        let known = self.spreads.iter().position(|spread| *spread == value);
        Value::Spread(known.unwrap_or_else(|| {
            self.spreads.push(value);
            self.spreads.len() - 1
        }))
    }

    /// The strides in the space of what has these strides in the shape of a member.
    fn strides(&self, shape: &Shape, strides: &[usize], is_row: bool) -> Vec<usize> {
        let mut strides = strides.to_vec();
        match (is_row, shape.rank() == self.space.rank()) {
            (true, true) => strides[shape.rank() - 1] = 0,
            (true, false) => strides.push(0),
            (false, true) => {}
            (false, false) => strides.truncate(self.space.rank()),
        }
        strides
    }

    /// The strides of a value of each row, if there are any.
    fn row_strides(&self) -> Option<Vec<usize>> {
        let last = self.space.rank().checked_sub(1).filter(|_| !self.rows.is_empty())?;
        let mut strides = self.space.without_axis(last).contiguous_strides().to_vec();
        strides.push(0);
        Some(strides)
    }
}

/// What a tile program is made from.
struct TilePlan<'p> {
    steps: &'p [Step],
    registers: &'p Registers,
    loads: Vec<Load>,
    stores: Vec<Store>,
    dims: Vec<usize>,
}

impl TilePlan<'_> {
    fn build<E: TileLane>(self, kernel: impl Fn(&crate::ops::Kernels) -> Kernel<E>) -> TileProgram<E> {
        let source = |value: Value| match value {
            Value::Operand(input) => Source::Input(input as u16),
            computed => Source::Register(self.registers.of(computed)),
        };
        let op = |code, step: &Step, src| TileOp { code, dst: self.registers.of(step.value), src };
        let ops = self
            .steps
            .iter()
            .map(|step| {
                let mut src = [Source::None; MAX_SOURCES];
                for (slot, value) in src.iter_mut().zip(&step.sources) {
                    *slot = source(*value);
                }
                let kernel = match step.code {
                    Code::Fold(kind) => return op(TileCode::Fold(kind), step, src),
                    Code::Spread => return op(TileCode::Spread, step, src),
                    Code::Row(row) => row.arith.map_or_else(|| kernel(&row.kernels), arith_kernel),
                    Code::Pair { first, second, place } => pair_kernel(first, second, place),
                    Code::Products { last } => products_kernel(last),
                    Code::Square => square_kernel(),
                    Code::Slope(of) => slope_kernel(of),
                    Code::SlopeOfProduct(of) => slope_of_product_kernel(of),
                    Code::Float(kernels) => kernel(kernels),
                };
                let code = if step.by_row { TileCode::MapRows(kernel) } else { TileCode::Map(kernel) };
                op(code, step, src)
            })
            .collect();
        TileProgram::new(ops, self.loads, self.stores, self.dims)
    }
}
