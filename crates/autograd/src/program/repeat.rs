//! Loops at run time: frames of bodies, and bodies as scripts.

use super::code::{AnyTile, Buf, Home, Instr, LoopInstr, Moving, Shard};
use super::packs::{Packed, Packs};
use super::run::{Address, Frame, Machine};
use crate::dtype::DType;
use crate::error::Result;
use wengert_kernels::{BatchShape, Call, GemmShape, Line, Operand, Path, Script, Slot, run_scripts};

impl Machine<'_, '_, '_> {
    pub(super) fn steps(&mut self, inside: &LoopInstr, frame: &[Address]) -> Result<()> {
        let frames: Vec<Frame> = inside.shards.iter().map(|shard| body_frame(shard, frame)).collect();
        // Ports that stay where they are can be packed before the first step.
        let mut packed = Packs::default();
        let numbers: Vec<Vec<Option<usize>>> = inside
            .shards
            .iter()
            .zip(&frames)
            .map(|(shard, body)| {
                let code = shard.block.code.iter();
                code.map(|instr| packed.number(instr, shard, inside.steps, body, self)).collect()
            })
            .collect();
        let packs: Vec<Vec<Option<&Packed>>> =
            numbers.iter().map(|at| at.iter().map(|at| at.map(|at| packed.get(at))).collect()).collect();
        if self.watch.is_none() && inside.shards.iter().all(|shard| shard.block.is_script()) {
            let parts = inside.shards.iter().zip(&frames).zip(&packs);
            let scripts: Vec<Script<'_>> = parts
                .map(|((shard, body), packs)| Script {
                    slots: slots(shard, frame, body),
                    lines: shard.block.code.iter().zip(packs).map(|(instr, packed)| line(instr, *packed)).collect(),
                })
                .collect();
            run_scripts(&mut self.memory, self.scratch, &scripts, inside.steps);
            drop(scripts);
            self.spare.give(packed);
            return Ok(());
        }
        // Errors name the step of the recording.
        let first = self.first_step + inside.first;
        for ((shard, mut body), packs) in inside.shards.iter().zip(frames).zip(&packs) {
            for s in 0..inside.steps {
                if let Some(watch) = &mut self.watch {
                    watch.step(s);
                }
                for (buf, port) in shard.block.ports.iter().zip(&shard.ports) {
                    let slot = slot(port, frame);
                    body[*buf] = Address { region: slot.region, byte: slot.at(s) };
                }
                let time = if inside.reverse { inside.steps - 1 - s } else { s };
                self.first_step = inside.span.map_or(0, |span| first + time * span);
                let ran = self.block(&shard.block, &body, packs);
                self.first_step = first - inside.first;
                ran.map_err(|error| if inside.span.is_some() { error } else { error.at_step(first + time) })?;
            }
        }
        self.spare.give(packed);
        Ok(())
    }
}

/// The addresses of a body's buffers; ports are where the first step finds them.
fn body_frame(shard: &Shard, frame: &[Address]) -> Frame {
    let arena = frame[shard.arena];
    let home = |home: &Home| match *home {
        Home::Arena(offset) => Address { region: arena.region, byte: arena.byte + offset },
        Home::Port => Address::default(),
        Home::Leaf(_) | Home::Output(_) | Home::Number(_) => {
            unreachable!("a body reaches outer values through its ports")
        }
    };
    let mut body: Frame = shard.block.buffers.iter().map(home).collect();
    for (buf, port) in shard.block.ports.iter().zip(&shard.ports) {
        let slot = slot(port, frame);
        body[*buf] = Address { region: slot.region, byte: slot.at(0) };
    }
    body
}

fn slot(port: &Moving, frame: &[Address]) -> Slot {
    let base = frame[port.buf];
    Slot { region: base.region, start: base.byte + port.start, path: port.path }
}

/// The slots of a body's buffers: its ports move, everything else stays.
fn slots(shard: &Shard, frame: &[Address], body: &[Address]) -> Vec<Slot> {
    let still = |at: &Address| Slot { region: at.region, start: at.byte, path: Path::Still };
    let mut slots: Vec<Slot> = body.iter().map(still).collect();
    for (buf, port) in shard.block.ports.iter().zip(&shard.ports) {
        slots[*buf] = slot(port, frame);
    }
    slots
}

/// An instruction of a block that [is a script](Block::is_script).
fn line<'p>(instr: &'p Instr, packed: Option<&'p Packed>) -> Line<'p> {
    let at = |dtype: DType, buf: Buf, offset: usize| Operand { slot: buf, offset: offset * dtype.size() };
    match instr {
        Instr::Tile(tile) => Line {
            call: match &tile.program {
                AnyTile::F32(program) => Call::TileF32(program),
                AnyTile::F64(program) => Call::TileF64(program),
                AnyTile::I64(program) => Call::TileI64(program),
            },
            reads: tile.inputs.iter().map(|input| at(input.dtype, input.buf, input.offset)).collect(),
            writes: tile.outputs.iter().map(|(dtype, buf, offset, _)| at(*dtype, *buf, *offset)).collect(),
        },
        Instr::Gemm(op) => {
            let shape = GemmShape { m: op.m, n: op.n, k: op.k, a: op.a.2, b: op.b.2, c: op.c.2 };
            let (a, b) = (at(op.dtype, op.a.0, op.a.1), at(op.dtype, op.b.0, op.b.1));
            let (call, reads) = match (packed, op.dtype) {
                (Some(Packed::F32(b)), _) => (Call::PackedF32(shape, b), vec![a]),
                (Some(Packed::F64(b)), _) => (Call::PackedF64(shape, b), vec![a]),
                (None, dtype) if !op.batch.is_empty() => {
                    let [a_steps, b_steps, c_steps] = &op.steps;
                    let batch = BatchShape { dims: &op.batch, steps: [a_steps, b_steps, c_steps] };
                    let call = if dtype == DType::F64 { Call::BatchF64 } else { Call::BatchF32 };
                    (call(shape, batch), vec![a, b])
                }
                (None, DType::F64) => (Call::GemmF64(shape), vec![a, b]),
                (None, _) => (Call::GemmF32(shape), vec![a, b]),
            };
            Line { call, reads, writes: vec![at(op.dtype, op.c.0, op.c.1)] }
        }
        Instr::Reduce(op) => Line {
            call: match op.dtype {
                DType::F64 => Call::ReduceF64(op.kind, op.shape),
                DType::I64 => Call::ReduceI64(op.kind, op.shape),
                _ => Call::ReduceF32(op.kind, op.shape),
            },
            reads: vec![at(op.dtype, op.src.0, op.src.1)],
            writes: vec![at(op.dtype, op.dst.0, op.dst.1)],
        },
        Instr::Along(op) => Line {
            call: match op.dtype {
                DType::F64 => Call::LinesF64(op.what, op.lines),
                DType::I64 => Call::LinesI64(op.what, op.lines),
                _ => Call::LinesF32(op.what, op.lines),
            },
            reads: vec![at(op.dtype, op.src.0, op.src.1)],
            writes: vec![at(op.result().0, op.dst.0, op.dst.1)],
        },
        Instr::Copy { dtype, dims, src, dst } => Line {
            call: Call::Copy { size: dtype.size(), dims, from: &src.2, to: &dst.2 },
            reads: vec![at(*dtype, src.0, src.1)],
            writes: vec![at(*dtype, dst.0, dst.1)],
        },
        _ => unreachable!("the block is a script"),
    }
}
