//! Fused groups to tile programs.

use super::code::{AnyTile, Buf, Instr, TileInput, TileInstr, extent, merge_axes};
use super::fuse::map_of;
use super::graph::Graph;
use super::lower::{Lower, Place};
use crate::dtype::DType;
use wengert_kernels::{Kernel, Load, Source, Store, TileLane, TileOp, TileProgram};

impl Lower<'_> {
    /// Elementwise nodes are lowered by group.
    pub(crate) fn fused(&mut self, node: usize) {
        self.group(&[node]);
    }

    /// Lowers a fused group to one tile instruction.
    pub(super) fn group(&mut self, members: &[usize]) {
        let shape = self.shape(members[0]);
        if shape.numel() == 0 {
            for id in members {
                self.alloc_any(*id);
            }
            return;
        }
        let lane = self.units.lanes[members[0]];
        let mut inputs: Vec<usize> = Vec::new();
        for id in members {
            for input in &self.graph.nodes[*id].inputs {
                if !members.contains(input) && !inputs.contains(input) {
                    inputs.push(*input);
                }
            }
        }
        let stored: Vec<usize> = members.iter().copied().filter(|id| self.units.leaves[*id]).collect();
        let mut operands: Vec<(Place, Vec<usize>)> = Vec::new();
        for input in &inputs {
            let place = self.place(*input);
            let strides = self.shape(*input).broadcast_strides(&place.strides, &shape).to_vec();
            operands.push((place, strides));
        }
        for id in &stored {
            self.keep_apart(*id, &inputs);
            let place = self.alloc_any(*id);
            let strides = place.strides.to_vec();
            operands.push((place, strides));
        }
        let mut views: Vec<&mut Vec<usize>> = operands.iter_mut().map(|(_, strides)| strides).collect();
        let dims = merge_axes(&shape, &mut views);
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
        let registers = Registers::assign(self.graph, members, &stored);
        let stores: Vec<Store> = stored
            .iter()
            .zip(&results)
            .map(|(id, (place, strides))| {
                let buffer = writes.iter().position(|w| w.1 == place.buf).expect("every result has a write");
                Store {
                    register: registers.of(members, *id),
                    buffer,
                    offset: place.offset - writes[buffer].2,
                    strides: strides.clone(),
                    bools: self.dtype(*id) == DType::Bool,
                }
            })
            .collect();
        let plan = TilePlan { graph: self.graph, members, inputs: &inputs, registers: &registers, loads, stores, dims };
        let program = match lane {
            DType::F64 => AnyTile::F64(plan.build(|kernels| (kernels.f64)())),
            DType::I64 => AnyTile::I64(plan.build(|kernels| {
                kernels.i64.expect("an operation without integer kernel is not recorded on integers")()
            })),
            _ => AnyTile::F32(plan.build(|kernels| (kernels.f32)())),
        };
        self.emit(Instr::Tile(TileInstr { program, inputs: sources, outputs: writes }));
    }
}

/// The registers of a group: one for each member, reused after the last use.
struct Registers(Vec<u16>);

impl Registers {
    fn assign(graph: &Graph, members: &[usize], stored: &[usize]) -> Registers {
        let mut last: Vec<usize> = (0..members.len()).collect();
        let index = |id: usize| members.binary_search(&id).ok();
        for (at, id) in members.iter().enumerate() {
            for input in &graph.nodes[*id].inputs {
                if let Some(member) = index(*input) {
                    last[member] = at;
                }
            }
        }
        for id in stored {
            if let Some(member) = index(*id) {
                last[member] = usize::MAX;
            }
        }
        let mut assigned = vec![0u16; members.len()];
        let mut free: Vec<u16> = Vec::new();
        let mut count = 0u16;
        for at in 0..members.len() {
            assigned[at] = free.pop().unwrap_or_else(|| {
                count += 1;
                count - 1
            });
            // A register is free for the operation after its last use: kernels do not run in place.
            for before in 0..=at {
                if last[before] == at && before != at {
                    free.push(assigned[before]);
                    last[before] = usize::MAX - 1;
                }
            }
        }
        Registers(assigned)
    }

    fn of(&self, members: &[usize], id: usize) -> u16 {
        let member = members.binary_search(&id).expect("the node is a member of the group");
        self.0[member]
    }
}

/// What a tile program is made from.
struct TilePlan<'p> {
    graph: &'p Graph,
    members: &'p [usize],
    inputs: &'p [usize],
    registers: &'p Registers,
    loads: Vec<Load>,
    stores: Vec<Store>,
    dims: Vec<usize>,
}

impl TilePlan<'_> {
    fn build<E: TileLane>(self, kernel: impl Fn(&crate::ops::Kernels) -> Kernel<E>) -> TileProgram<E> {
        let source = |id: usize| match self.inputs.iter().position(|input| *input == id) {
            Some(input) => Source::Input(input as u16),
            None => Source::Register(self.registers.of(self.members, id)),
        };
        let ops = self
            .members
            .iter()
            .map(|id| {
                let node = &self.graph.nodes[*id];
                let map = map_of(node).expect("the members of a group are elementwise");
                let mut src = [Source::None; 3];
                for (slot, input) in src.iter_mut().zip(&node.inputs) {
                    *slot = source(*input);
                }
                TileOp { kernel: kernel(&map.0.kernels), dst: self.registers.of(self.members, *id), src }
            })
            .collect();
        TileProgram::new(ops, self.loads, self.stores, self.dims)
    }
}
