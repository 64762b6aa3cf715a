//! Fused groups to tile programs.

use super::code::{AnyTile, Buf, Instr, TileInput, TileInstr, extent, merge_axes};
use super::fuse::map_of;
use super::graph::Graph;
use super::lower::{Lower, Place};
use crate::dtype::DType;
use crate::ops::{Kernels, Row, table};
use smallvec::{SmallVec, smallvec};
use wengert_kernels::{
    Arith, Kernel, Load, MAX_SOURCES, Slope, Source, Store, TileLane, TileOp, TileProgram, arith_kernel, pair_kernel,
    products_kernel, quotient_kernel, root_kernel, sigmoid_of_sum_kernel, sigmoid_of_sums_kernel, slope_kernel,
    slope_of_product_kernel, square_kernel, tanh_of_sum_kernel, tanh_of_sums_kernel,
};

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
        let steps = steps(self.graph, members, &stored);
        let registers = Registers::assign(&steps, &stored);
        let stores: Vec<Store> = stored
            .iter()
            .zip(&results)
            .map(|(id, (place, strides))| {
                let buffer = writes.iter().position(|w| w.1 == place.buf).expect("every result has a write");
                Store {
                    register: registers.of(*id),
                    buffer,
                    offset: place.offset - writes[buffer].2,
                    strides: strides.clone(),
                    bools: self.dtype(*id) == DType::Bool,
                }
            })
            .collect();
        let plan = TilePlan { steps: &steps, inputs: &inputs, registers: &registers, loads, stores, dims };
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

/// One kernel call of a group.
struct Step {
    /// The node whose value it computes.
    id: usize,
    sources: SmallVec<[usize; MAX_SOURCES]>,
    code: Code,
}

#[derive(Clone, Copy)]
enum Code {
    /// An operation of the table.
    Row(&'static Row),
    /// `second(first(x, y), z)`, or with exchanged arguments for place 1.
    Pair { first: Arith, second: Arith, place: usize },
    /// `last(x·y, z·w)`.
    Products { last: Arith },
    /// `x·y + (z·w)·z`.
    Square,
    /// `x·slope(z, w)`.
    Slope(Slope),
    /// `(x·y)·slope(z, w)`.
    SlopeOfProduct(Slope),
    /// What only floats have.
    Float(&'static Kernels),
}

/// `√x·y + z`.
static ROOT: Kernels = Kernels { f32: root_kernel, f64: root_kernel, i64: None };

/// `z - (x / y)·w`.
static QUOTIENT: Kernels = Kernels { f32: quotient_kernel, f64: quotient_kernel, i64: None };

/// Functions of `x + y` and of `(x + y) + z`.
static SQUASHES: [(&Row, [Kernels; 2]); 2] = {
    const fn of(f32: fn() -> Kernel<f32>, f64: fn() -> Kernel<f64>) -> Kernels {
        Kernels { f32, f64, i64: None }
    }
    let sigmoid =
        [of(sigmoid_of_sum_kernel, sigmoid_of_sum_kernel), of(sigmoid_of_sums_kernel, sigmoid_of_sums_kernel)];
    let tanh = [of(tanh_of_sum_kernel, tanh_of_sum_kernel), of(tanh_of_sums_kernel, tanh_of_sums_kernel)];
    [(&table::SIGMOID, sigmoid), (&table::TANH, tanh)]
};

/// The calls of a group: one a member, but for operations that a later one, which alone uses them, does in the same call.
fn steps(graph: &Graph, members: &[usize], stored: &[usize]) -> Vec<Step> {
    let mut uses = vec![0usize; members.len()];
    let index = |id: usize| members.binary_search(&id).ok();
    for id in members {
        graph.nodes[*id].inputs.iter().filter_map(|input| index(*input)).for_each(|member| uses[member] += 1);
    }
    let mut steps: Vec<Option<Step>> = Vec::with_capacity(members.len());
    for id in members {
        let node = &graph.nodes[*id];
        let row = map_of(node).expect("the members of a group are elementwise").0;
        // The call that computes a value for this one alone, and its place.
        let alone = |id: usize| {
            let member = index(id).filter(|m| uses[*m] == 1 && !stored.contains(&id))?;
            Some((member, steps[member].as_ref()?))
        };
        let found = match row.arith {
            Some(last) => joined(last, &node.inputs, &alone),
            None => squashed(row, &node.inputs, &alone),
        };
        let Joined { taken, sources, code } = found.unwrap_or_else(|| Joined {
            taken: SmallVec::new(),
            sources: node.inputs.iter().copied().collect(),
            code: Code::Row(row),
        });
        for member in taken {
            steps[member] = None;
        }
        steps.push(Some(Step { id: *id, sources, code }));
    }
    steps.into_iter().flatten().collect()
}

/// A call, and the steps whose operations it does as well.
struct Joined {
    taken: SmallVec<[usize; 2]>,
    sources: SmallVec<[usize; MAX_SOURCES]>,
    code: Code,
}

/// The call of a squashing function that does the additions of its argument as well, if there is one.
fn squashed<'s>(row: &Row, inputs: &[usize], alone: &impl Fn(usize) -> Option<(usize, &'s Step)>) -> Option<Joined> {
    let (_, kernels) = SQUASHES.iter().find(|(squash, _)| std::ptr::eq(*squash, row))?;
    let (member, step) = alone(*inputs.first()?)?;
    let kernels = match step.code {
        Code::Row(sum) if sum.arith == Some(Arith::Add) => &kernels[0],
        Code::Pair { first: Arith::Add, second: Arith::Add, .. } => &kernels[1],
        _ => return None,
    };
    Some(Joined { taken: smallvec![member], sources: step.sources.clone(), code: Code::Float(kernels) })
}

/// The call that does `last` on two values and operations that computed them, if there is one. `alone` finds the step of a value
/// that nothing else uses.
fn joined<'s>(last: Arith, inputs: &[usize], alone: &impl Fn(usize) -> Option<(usize, &'s Step)>) -> Option<Joined> {
    let [a, b] = *inputs else { return None };
    let joined = |taken: &[usize], sources: &[usize], code: Code| {
        Some(Joined { taken: SmallVec::from_slice(taken), sources: SmallVec::from_slice(sources), code })
    };
    let arith = |argument: usize| -> Option<(usize, [usize; 2], Arith)> {
        let (member, step) = alone(argument)?;
        match (step.code, &step.sources[..]) {
            (Code::Row(row), [x]) if std::ptr::eq(row, &table::SQUARE) => Some((member, [*x, *x], Arith::Mul)),
            (Code::Row(row), [x, y]) => Some((member, [*x, *y], row.arith?)),
            _ => None,
        }
    };
    // What is multiplied by the slope of a squashing function: the slope's step, the function's value and what it is taken from.
    let slope = |argument: usize| {
        let (member, step) = alone(argument)?;
        let Code::Pair { first, second, place: 1 } = step.code else { return None };
        match (first, second, &step.sources[..]) {
            (Arith::Sub, Arith::Mul, [w, z, again]) if z == again => Some((member, Slope::Sigmoid, [*z, *w])),
            (Arith::Mul, Arith::Sub, [z, again, w]) if z == again => Some((member, Slope::Tanh, [*z, *w])),
            _ => None,
        }
    };
    // An operation of the table in a product with a value: the steps of both, the operation's sources, the value.
    let factor = |argument: usize, row: &'static Row| {
        let (product, sources, Arith::Mul) = arith(argument)? else { return None };
        let (member, step) = alone(sources[0])?;
        let fits = matches!(step.code, Code::Row(own) if std::ptr::eq(own, row));
        fits.then(|| ([product, member], &step.sources, sources[1]))
    };
    if let (Arith::Add, Some((left, x, Arith::Mul)), Some((right, step))) = (last, arith(a), alone(b)) {
        let product = matches!(step.code, Code::Pair { first: Arith::Mul, second: Arith::Mul, place: 0 });
        if product && step.sources[0] == step.sources[2] {
            return joined(&[left, right], &[x[0], x[1], step.sources[0], step.sources[1]], Code::Square);
        }
    }
    let scaled = slope(b).map(|slope| (slope, a)).or_else(|| slope(a).map(|slope| (slope, b)));
    if let (Arith::Mul, Some(((member, of, [z, w]), other))) = (last, scaled) {
        return match arith(other) {
            Some((product, [x, y], Arith::Mul)) => joined(&[member, product], &[x, y, z, w], Code::SlopeOfProduct(of)),
            _ => joined(&[member], &[other, z, w], Code::Slope(of)),
        };
    }
    if let (Some((left, x, Arith::Mul)), Some((right, z, Arith::Mul))) = (arith(a), arith(b)) {
        return joined(&[left, right], &[x[0], x[1], z[0], z[1]], Code::Products { last });
    }
    if let (Arith::Sub, Some((taken, x, w))) = (last, factor(b, &table::DIV)) {
        return joined(&taken, &[x[0], x[1], w, a], Code::Float(&QUOTIENT));
    }
    if let (Arith::Add, Some((taken, x, y))) = (last, factor(a, &table::SQRT)) {
        return joined(&taken, &[x[0], y, b], Code::Float(&ROOT));
    }
    let (place, (member, x, first), other) = match arith(a) {
        Some(part) => (0, part, b),
        None => (1, arith(b)?, a),
    };
    joined(&[member], &[x[0], x[1], other], Code::Pair { first, second: last, place })
}

/// The registers of a group: one for each step, reused after the last use.
struct Registers(Vec<(usize, u16)>);

impl Registers {
    fn assign(steps: &[Step], stored: &[usize]) -> Registers {
        let mut last: Vec<usize> = (0..steps.len()).collect();
        let index = |id: usize| steps.binary_search_by_key(&id, |step| step.id).ok();
        for (at, step) in steps.iter().enumerate() {
            for source in &step.sources {
                if let Some(before) = index(*source) {
                    last[before] = at;
                }
            }
        }
        for id in stored {
            if let Some(step) = index(*id) {
                last[step] = usize::MAX;
            }
        }
        let mut assigned = vec![0u16; steps.len()];
        let mut free: Vec<u16> = Vec::new();
        let mut count = 0u16;
        for at in 0..steps.len() {
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
        Registers(steps.iter().map(|step| step.id).zip(assigned).collect())
    }

    fn of(&self, id: usize) -> u16 {
        let step = self.0.binary_search_by_key(&id, |(id, _)| *id).expect("the node is computed in the group");
        self.0[step].1
    }
}

/// What a tile program is made from.
struct TilePlan<'p> {
    steps: &'p [Step],
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
            None => Source::Register(self.registers.of(id)),
        };
        let ops = self
            .steps
            .iter()
            .map(|step| {
                let mut src = [Source::None; MAX_SOURCES];
                for (slot, id) in src.iter_mut().zip(&step.sources) {
                    *slot = source(*id);
                }
                let kernel = match step.code {
                    Code::Row(row) => row.arith.map_or_else(|| kernel(&row.kernels), arith_kernel),
                    Code::Pair { first, second, place } => pair_kernel(first, second, place),
                    Code::Products { last } => products_kernel(last),
                    Code::Square => square_kernel(),
                    Code::Slope(of) => slope_kernel(of),
                    Code::SlopeOfProduct(of) => slope_of_product_kernel(of),
                    Code::Float(kernels) => kernel(kernels),
                };
                TileOp { kernel, dst: self.registers.of(step.id), src }
            })
            .collect();
        TileProgram::new(ops, self.loads, self.stores, self.dims)
    }
}
