//! Rows in strips: instructions that go over the rows of large values one after the other take some rows at a time, all of them,
//! so that what one has written is in the cache when the next reads it.
//!
//! A softmax, a layer norm or their derivatives are reductions of rows and elementwise code between them. Each is an instruction
//! over all rows; a chain of them becomes a loop over strips of rows, in which values that nobody else reads have the size of
//! a strip. Bits stay: a row's are its own.

use super::code::{
    AnyTile, Block, Buf, Home, Instr, LoopInstr, Moving, ReduceInstr, Shard, TileInput, TileInstr, extent,
};
use super::layout::layout;
use super::loops::WORTHWHILE;
use crate::dtype::DType;
use std::ops::Range;
use std::sync::Arc;
use wengert_kernels::{Blocks, Path, ReduceShape, TileLane, TileProgram, threads};

/// Bytes that fit into the second-level cache: values of fewer are there anyway, and a strip has about a fourth.
const CACHE: usize = 1 << 20;

/// The fewest bytes of a strip: each costs some tens of nanoseconds an instruction.
const FEWEST: usize = 32 << 10;

/// The most instructions of a loop.
const LONGEST: usize = 64;

/// The bytes of a buffer that an instruction touches for a row of its own.
#[derive(Clone, Copy)]
struct Touch {
    buf: Buf,
    writes: bool,
    /// The first row's first byte, and from there the end of the row.
    start: usize,
    len: usize,
    /// Bytes to the next row.
    advance: usize,
}

/// Puts loops over strips in the place of chains of instructions on rows.
pub(super) fn cut(code: &mut Vec<Instr>, homes: &mut Vec<Home>, sizes: &mut Vec<(DType, usize)>) {
    let found = chains(code);
    if found.is_empty() {
        return;
    }
    let mut uses: Vec<Option<(usize, usize)>> = vec![None; homes.len()];
    for (at, instr) in code.iter().enumerate() {
        instr.visit_buffers(&mut |buf| uses[buf] = Some((uses[buf].map_or(at, |(first, _)| first), at)));
    }
    let mut chains = found.into_iter().peekable();
    let mut rest = std::mem::take(code).into_iter().enumerate();
    while let Some((at, instr)) = rest.next() {
        let Some(chain) = chains.next_if(|chain| chain.at.start == at) else {
            code.push(instr);
            continue;
        };
        let own = |buf: Buf| {
            let inside = uses[buf].is_some_and(|(first, last)| chain.at.contains(&first) && chain.at.contains(&last));
            inside && matches!(homes[buf], Home::Arena(_))
        };
        let members: Vec<Instr> =
            std::iter::once(instr).chain(rest.by_ref().take(chain.at.len() - 1).map(|(_, instr)| instr)).collect();
        let (block, ports) = body(&members, &chain, own);
        let block = Arc::new(block);
        let steps = chain.rows / chain.strip;
        let parts = threads().min(block.cost() * steps / WORTHWHILE).max(1);
        let parts = (1..=parts).rev().find(|parts| steps.is_multiple_of(*parts)).unwrap_or(1);
        let shard = |part: usize| {
            homes.push(Home::Arena(0));
            sizes.push((DType::Bool, block.arena_bytes));
            let ahead = |port: &Moving| match port.path {
                Path::Forward(row) => port.start + part * (steps / parts) * row,
                _ => port.start,
            };
            let ports = ports.iter().map(|port| Moving { start: ahead(port), ..*port }).collect();
            Shard { block: block.clone(), arena: homes.len() - 1, ports }
        };
        let shards = (0..parts).map(shard).collect();
        code.push(Instr::Loop(LoopInstr { steps: steps / parts, reverse: false, first: 0, span: None, shards }));
    }
}

/// Adjacent instructions on so many rows, and the rows of a strip.
struct Chain {
    at: Range<usize>,
    rows: usize,
    strip: usize,
}

/// The chains of a program: around reductions of rows, as long as they go.
fn chains(code: &[Instr]) -> Vec<Chain> {
    let mut found: Vec<Chain> = Vec::new();
    for (seed, instr) in code.iter().enumerate() {
        let free = found.last().map_or(0, |chain| chain.at.end);
        let (rows, alone) = match instr {
            Instr::Reduce(op) => (op.shape.outer.0, false),
            Instr::Tile(tile) => match reduced_rows(&tile.program) {
                Some(rows) => (rows, true),
                None => continue,
            },
            _ => continue,
        };
        if seed < free || rows < 2 || fitting(&code[seed..=seed], rows).is_none() {
            continue;
        }
        let mut at = seed..seed + 1;
        while at.start > free && at.len() < LONGEST && fitting(&code[at.start - 1..at.end], rows).is_some() {
            at.start -= 1;
        }
        while at.end < code.len() && at.len() < LONGEST && fitting(&code[at.start..at.end + 1], rows).is_some() {
            at.end += 1;
        }
        let row = fitting(&code[at.clone()], rows).unwrap_or(0);
        // A pass that reduces rows is a chain by itself.
        if (alone || at.len() > 1)
            && row * rows > CACHE
            && let Some(strip) = strip(rows, row)
        {
            found.push(Chain { at, rows, strip });
        }
    }
    found
}

/// The rows of a program that reduces them.
fn reduced_rows(program: &AnyTile) -> Option<usize> {
    let (has_rows, dims) = match program {
        AnyTile::F32(program) => (program.has_rows(), program.dims()),
        AnyTile::F64(program) => (program.has_rows(), program.dims()),
        AnyTile::I64(program) => (program.has_rows(), program.dims()),
    };
    dims.first().copied().filter(|_| has_rows && dims.len() > 1)
}

/// The rows of a strip, of which there is a whole number; reductions like multiples of four.
fn strip(rows: usize, bytes: usize) -> Option<usize> {
    let most = (CACHE / 4 / bytes).clamp(1, rows / 2);
    let divides = |strip: &usize| rows.is_multiple_of(*strip);
    let by_four = (1..=most / 4).rev().map(|strip| 4 * strip).find(divides);
    by_four.or((1..=most).rev().find(divides)).filter(|strip| strip * bytes >= FEWEST)
}

/// The bytes that the instructions touch for each of so many rows, if they can go row by row.
fn fitting(code: &[Instr], rows: usize) -> Option<usize> {
    let mut all: Vec<Touch> = Vec::new();
    for instr in code {
        all.extend(touches(instr, rows)?);
    }
    for write in all.iter().filter(|touch| touch.writes) {
        // What is written belongs to one row, and so does whatever else is read or written there.
        let within = |touch: &&Touch| touch.advance == write.advance && touch.start + touch.len <= touch.advance;
        if !all.iter().filter(|touch| touch.buf == write.buf).all(|touch| within(&touch)) {
            return None;
        }
    }
    all.sort_unstable_by_key(|touch| (touch.buf, touch.advance));
    all.dedup_by_key(|touch| (touch.buf, touch.advance));
    Some(all.iter().map(|touch| touch.advance).sum())
}

/// What an instruction touches, if it goes over a multiple of so many rows.
fn touches(instr: &Instr, rows: usize) -> Option<Vec<Touch>> {
    let touch = |writes, (dtype, buf, offset): (DType, Buf, usize), dims: &[usize], strides: &[usize]| {
        let [own, others @ ..] = dims else { return None };
        if !own.is_multiple_of(rows) || dims.contains(&0) {
            return None;
        }
        let one: Vec<usize> = std::iter::once(own / rows).chain(others.iter().copied()).collect();
        let size = dtype.size();
        let (start, len) = (offset * size, extent(&one, strides) * size);
        Some(Touch { buf, writes, start, len, advance: own / rows * strides[0] * size })
    };
    match instr {
        Instr::Tile(tile) => match &tile.program {
            AnyTile::F32(program) => of_tile(program, tile, touch),
            AnyTile::F64(program) => of_tile(program, tile, touch),
            AnyTile::I64(program) => of_tile(program, tile, touch),
        },
        Instr::Reduce(ReduceInstr { dtype, shape, src, dst, blocks, .. }) if *blocks == Blocks::default() => {
            let ReduceShape { outer, reduced, inner } = *shape;
            let read = [outer.0, reduced.0, inner];
            Some(vec![
                touch(false, (*dtype, src.0, src.1), &read, &[outer.1, reduced.1, 1])?,
                touch(true, (*dtype, dst.0, dst.1), &[outer.0, inner], &[inner, 1])?,
            ])
        }
        _ => None,
    }
}

fn of_tile<E: TileLane>(
    program: &TileProgram<E>,
    tile: &TileInstr,
    touch: impl Fn(bool, (DType, Buf, usize), &[usize], &[usize]) -> Option<Touch>,
) -> Option<Vec<Touch>> {
    // The only axis is that of one row.
    if program.has_rows() && program.dims().len() < 2 {
        return None;
    }
    let reads = program.loads().zip(&tile.inputs).map(|(load, TileInput { dtype, buf, offset, .. })| {
        touch(false, (*dtype, *buf, *offset), program.dims(), &load.strides)
    });
    let writes = program.stores().map(|store| {
        let (dtype, buf, offset, _) = tile.outputs[store.buffer];
        touch(true, (dtype, buf, offset + store.offset), program.dims(), &store.strides)
    });
    reads.chain(writes).collect()
}

/// The body of a loop over strips, and where its ports are. `own` tells buffers that nothing else uses.
fn body(members: &[Instr], chain: &Chain, own: impl Fn(Buf) -> bool) -> (Block, Vec<Moving>) {
    let mut places = Places { buffers: Vec::new(), known: Vec::new(), ports: Vec::new() };
    let mut bytes: Vec<Option<usize>> = Vec::new();
    let mut code = Vec::with_capacity(members.len());
    for instr in members {
        let touched = touches(instr, chain.rows).expect("the members of a chain go by rows");
        let mut place = |touch: &Touch| {
            let at = places.of(touch, chain.strip, own(touch.buf));
            bytes.resize(places.buffers.len(), None);
            if places.buffers[at] != Home::Port {
                bytes[at] = Some(chain.strip * touch.advance);
            }
            at
        };
        let at: Vec<Buf> = touched.iter().map(&mut place).collect();
        code.push(narrowed(instr, chain, &at));
    }
    let (offsets, arena_bytes) = layout(&code, &bytes);
    for (home, offset) in places.buffers.iter_mut().zip(offsets) {
        if let Home::Arena(at) = home {
            *at = offset;
        }
    }
    let buffers = places.buffers;
    let port = |at: &Buf| buffers[*at] == Home::Port;
    let ports = (0..buffers.len()).filter(port).collect();
    let block =
        Block { buffers, code, arena_bytes, outputs: Vec::new(), ports, numbers: Vec::new(), notes: Vec::new() };
    (block, places.ports)
}

/// The buffers of a body.
struct Places {
    buffers: Vec<Home>,
    /// The buffer outside and the bytes from row to row.
    known: Vec<(Buf, usize)>,
    ports: Vec<Moving>,
}

impl Places {
    fn of(&mut self, touch: &Touch, strip: usize, own: bool) -> Buf {
        let key = (touch.buf, touch.advance);
        if let Some(at) = self.known.iter().position(|known| *known == key) {
            return at;
        }
        self.known.push(key);
        self.buffers.push(if own { Home::Arena(0) } else { Home::Port });
        if !own {
            let path = if touch.advance == 0 { Path::Still } else { Path::Forward(strip * touch.advance) };
            self.ports.push(Moving { buf: touch.buf, start: 0, path });
        }
        self.buffers.len() - 1
    }
}

/// An instruction on a strip; `at` are the buffers of what it touches, in order.
fn narrowed(instr: &Instr, chain: &Chain, at: &[Buf]) -> Instr {
    match instr {
        Instr::Tile(tile) => {
            let (reads, writes) = at.split_at(tile.inputs.len());
            match &tile.program {
                AnyTile::F32(program) => tile_on(program, tile, chain, reads, writes, AnyTile::F32),
                AnyTile::F64(program) => tile_on(program, tile, chain, reads, writes, AnyTile::F64),
                AnyTile::I64(program) => tile_on(program, tile, chain, reads, writes, AnyTile::I64),
            }
        }
        Instr::Reduce(op) => {
            let outer = (op.shape.outer.0 / chain.rows * chain.strip, op.shape.outer.1);
            let shape = ReduceShape { outer, ..op.shape };
            Instr::Reduce(ReduceInstr { shape, src: (at[0], op.src.1), dst: (at[1], op.dst.1), ..*op })
        }
        _ => unreachable!("chains are of elementwise code and reductions"),
    }
}

fn tile_on<E: TileLane>(
    program: &TileProgram<E>,
    tile: &TileInstr,
    chain: &Chain,
    reads: &[Buf],
    writes: &[Buf],
    any: impl Fn(TileProgram<E>) -> AnyTile,
) -> Instr {
    let program = program.with_rows(program.dims()[0] / chain.rows * chain.strip);
    let dims = program.dims();
    let inputs = program.loads().zip(&tile.inputs).zip(reads).map(|((load, input), buf)| TileInput {
        buf: *buf,
        extent: extent(dims, &load.strides),
        ..*input
    });
    let inputs = inputs.collect();
    let mut outputs = tile.outputs.iter().map(|output| (output.0, output.1, output.2, 0)).collect::<Vec<_>>();
    for (store, buf) in program.stores().zip(writes) {
        let output = &mut outputs[store.buffer];
        (output.1, output.3) = (*buf, output.3.max(store.offset + extent(dims, &store.strides)));
    }
    Instr::Tile(TileInstr { program: any(program), inputs, outputs })
}
