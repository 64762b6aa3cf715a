//! A tile program with memory for its registers: kernel calls whose operands are addresses.

use super::copies::{Row, run};
use super::{Feed, LONG_TILE, Sink, Source, Store, TILE, TileOp, TileProgram, Tiling, has_rows};
use crate::ahead::{Hint, LINE};
use crate::lane::Num;
use crate::map::{OPERANDS, Piece, Raw, Rows, Steps};
use crate::memory::{Arena, Pod};
use crate::strided::MAX_AXES;
use smallvec::SmallVec;
use std::num::NonZeroU64;

mod walk;

/// Memory in which tile programs run; kept between runs.
#[derive(Default)]
pub struct Scratch {
    f32: Vec<Bound<f32>>,
    f64: Vec<Bound<f64>>,
    i64: Vec<Bound<i64>>,
}

/// An element type that tile programs have as lanes.
pub trait TileLane: Num + Pod {
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn bounds(scratch: &mut Scratch) -> &mut Vec<Bound<Self>>;
}

macro_rules! tile_lane {
    ($($t:ident),*) => {$(
        impl TileLane for $t {
            #[allow(private_interfaces)]
            fn bounds(scratch: &mut Scratch) -> &mut Vec<Bound<Self>> {
                &mut scratch.$t
            }
        }
    )*};
}
tile_lane!(f32, f64, i64);

impl Scratch {
    /// Binds a program, with the inputs that lie in its outputs, to place `number` of those for its element type.
    pub(crate) fn bind<E: TileLane>(
        &mut self,
        program: &TileProgram<E>,
        number: usize,
        replaced: &[(usize, usize)],
    ) -> &mut Bound<E> {
        let bounds = E::bounds(self);
        if bounds.len() <= number {
            bounds.resize_with(number + 1, Bound::default);
        }
        bounds[number].bind(program, replaced);
        &mut bounds[number]
    }

    /// The program bound to place `number`.
    #[inline]
    pub(crate) fn bound<E: TileLane>(&mut self, number: usize) -> &mut Bound<E> {
        &mut E::bounds(self)[number]
    }
}

/// The calls of one program, over registers that it owns.
pub(crate) struct Bound<E> {
    memory: Arena,
    calls: Vec<Call<E>>,
    /// The addresses of each call's operands.
    rows: Vec<Rows<E>>,
    /// Operands that lie in inputs or outputs.
    uses: Vec<Use>,
    moving: Vec<Moving<E>>,
    /// The present address of each moving operand's first element of the tile.
    places: Vec<*mut E>,
    /// What the calls of a tile ask for ahead, one call after the other.
    asks: Vec<Ask>,
    /// Inputs that fill a register: input, register, and the value it holds.
    constants: Vec<(usize, *mut E, Option<E>)>,
    /// Inputs copied to registers, and results copied from them, by number.
    gathers: Vec<(usize, *mut E)>,
    scatters: Vec<(usize, *mut E)>,
    /// Results that wait in their registers for the end of a tile, with their moving operands.
    waiting: Vec<(usize, *mut E)>,
    /// What a small program copies.
    reads: Copies<E>,
    writes: Copies<E>,
    /// Elements from row to row of a register.
    step: usize,
    /// Whether some calls go over one value a row.
    by_row: bool,
    /// The program to which the rest belongs, if it is bound as it is, without replaced inputs.
    serial: Option<NonZeroU64>,
}

/// A kernel call.
struct Call<E> {
    raw: Raw<E>,
    steps: Steps,
    /// Whether it goes over one value a row.
    by_row: bool,
    /// The end of what it asks for.
    asked: usize,
}

/// A cache line that is asked for ahead.
struct Ask {
    moving: u32,
    hint: Hint,
    /// Bytes from the operand's place.
    offset: isize,
}

/// The rows of which a small program's operands consist, with the operands' numbers: adjacent lanes, and others.
struct Copies<E> {
    pieces: Vec<Piece>,
    rows: Vec<(usize, Row<E>)>,
}

impl<E> Default for Copies<E> {
    fn default() -> Self {
        Copies { pieces: Vec::new(), rows: Vec::new() }
    }
}

impl<E: Num + Pod> Copies<E> {
    fn push(&mut self, operand: usize, row: &Row<E>) {
        match row.pieces(operand) {
            Some(pieces) => self.pieces.extend(pieces),
            None => self.rows.push((operand, *row)),
        }
    }

    fn clear(&mut self) {
        self.pieces.clear();
        self.rows.clear();
    }
}

/// Of all calls' operands, one after the other, this is that moving operand.
struct Use {
    operand: u32,
    moving: u32,
}

/// An operand in memory of the caller's.
struct Moving<E> {
    /// The address at the present outer index.
    outer: *mut E,
    /// Elements from row to row of a tile.
    row: usize,
    /// Number of the input, or of the store.
    source: Result<usize, usize>,
}

impl<E> Default for Bound<E> {
    fn default() -> Self {
        Bound {
            memory: Arena::default(),
            calls: Vec::new(),
            rows: Vec::new(),
            uses: Vec::new(),
            moving: Vec::new(),
            places: Vec::new(),
            asks: Vec::new(),
            constants: Vec::new(),
            gathers: Vec::new(),
            scatters: Vec::new(),
            waiting: Vec::new(),
            reads: Copies::default(),
            writes: Copies::default(),
            step: 0,
            by_row: false,
            serial: None,
        }
    }
}

impl<E: Num + Pod> Bound<E> {
    /// Gives the registers of a program their places.
    fn bind(&mut self, program: &TileProgram<E>, replaced: &[(usize, usize)]) {
        if self.serial == Some(program.serial) && replaced.is_empty() {
            self.ask(&[], (0, 0));
            return;
        }
        // Whole only at the end: a panic on the way leaves nothing that counts as bound.
        self.serial = None;
        let block = 64 / size_of::<E>();
        let n: usize = program.dims.iter().product();
        let (width, step) = match program.tiling {
            Tiling::Small => (n.next_multiple_of(block), 0),
            Tiling::Across => (TILE, 0),
            Tiling::Long => (LONG_TILE / size_of::<E>(), 0),
            Tiling::Rows { cols, rows } => (rows * cols.next_multiple_of(block), cols.next_multiple_of(block)),
        };
        self.step = step;
        self.by_row = has_rows(&program.ops);
        let slots = program.registers + program.feeds.len();
        let base = self.memory.lanes::<E>(slots * width).as_mut_ptr();
        let register = |slot: usize| base.wrapping_add(slot * width);
        let feed = |i: usize| register(program.registers + i);

        self.calls.clear();
        self.rows.clear();
        self.uses.clear();
        self.moving.clear();
        self.places.clear();
        self.constants.clear();
        self.gathers.clear();
        self.scatters.clear();
        self.waiting.clear();
        self.reads.clear();
        self.writes.clear();
        // Rows of an operand in memory are apart by its stride along the axis above the last.
        let row_step = |strides: &[usize]| match program.tiling {
            Tiling::Rows { .. } => strides.len().checked_sub(2).map_or(0, |axis| strides[axis]),
            _ => 0,
        };
        let mut moving_of = [(); 2].map(|()| SmallVec::<[u32; 32]>::new());
        for (i, (kind, load)) in program.feeds.iter().enumerate() {
            moving_of[0].push(self.moving.len() as u32);
            match kind {
                Feed::Constant => self.constants.push((i, feed(i), None)),
                Feed::Direct => self.moving.push(Moving::of(Ok(i), row_step(&load.strides))),
                Feed::Gather if program.tiling == Tiling::Small => {
                    run(&program.dims, load, 0, &[0; MAX_AXES], n, feed(i), |row| self.reads.push(i, row));
                }
                Feed::Gather => self.gathers.push((i, feed(i))),
            }
        }
        // What a later kernel reads must still be there, and not every kernel runs in place: such results wait in their registers
        // for the end of the tile.
        let in_place = |store: &Store, op: &TileOp<E>| {
            let reads = |(input, buffer): &(usize, usize)| {
                *buffer == store.buffer && op.src.contains(&Source::Input(*input as u16))
            };
            replaced.iter().any(reads)
        };
        let waits = |i: usize, store: &Store| {
            let writer = program.sinks.iter().position(|sink| *sink == Some(i)).unwrap_or(0);
            let [own, later @ ..] = &program.ops[writer..] else { return false };
            in_place(store, own) && own.code.ways(0).in_place.is_none() || later.iter().any(|op| in_place(store, op))
        };
        let mut waiting = SmallVec::<[bool; 32]>::new();
        for (i, (sink, store)) in program.stores.iter().enumerate() {
            moving_of[1].push(self.moving.len() as u32);
            waiting.push(!replaced.is_empty() && waits(i, store));
            if waiting[i] {
                self.waiting.push((self.moving.len(), register(store.register as usize)));
            }
            match sink {
                Sink::Direct => self.moving.push(Moving::of(Err(i), row_step(&store.strides))),
                Sink::Scatter if program.tiling == Tiling::Small => {
                    let from = register(store.register as usize);
                    run(&program.dims, store, store.offset, &[0; MAX_AXES], n, from, |row| {
                        self.writes.push(store.buffer, row);
                    });
                }
                Sink::Scatter => self.scatters.push((i, register(store.register as usize))),
            }
        }
        // Where the value of each register is: in the register, or in the output that it was written to.
        let mut held: SmallVec<[Option<u32>; 64]> = smallvec::smallvec![None; program.registers];
        for (call, (op, sink)) in program.ops.iter().zip(&program.sinks).enumerate() {
            let sink = &sink.filter(|store| !waiting[*store]);
            let mut rows: Rows<E> = [std::ptr::null_mut(); OPERANDS];
            let mut steps: Steps = [0; OPERANDS];
            let mut in_memory = |steps: &mut Steps, operand: usize, moving: u32| {
                steps[operand] = self.moving[moving as usize].row;
                self.uses.push(Use { operand: (call * OPERANDS + operand) as u32, moving });
            };
            let mut same = 0;
            for (operand, source) in (1..).zip(op.src) {
                match source {
                    Source::None => {}
                    Source::Input(i) => match &program.feeds[i as usize] {
                        (Feed::Direct, _) => in_memory(&mut steps, operand, moving_of[0][i as usize]),
                        (Feed::Constant, _) => {
                            rows[operand] = feed(i as usize);
                            same |= 1 << (operand - 1);
                        }
                        (Feed::Gather, _) => (rows[operand], steps[operand]) = (feed(i as usize), step),
                    },
                    Source::Register(r) => match held[r as usize] {
                        Some(store) => in_memory(&mut steps, operand, moving_of[1][store as usize]),
                        None => (rows[operand], steps[operand]) = (register(r as usize), step),
                    },
                }
            }
            held[op.dst as usize] = sink.map(|store| store as u32);
            match sink {
                Some(store) => in_memory(&mut steps, 0, moving_of[1][*store]),
                None => (rows[0], steps[0]) = (register(op.dst as usize), step),
            }
            let in_place = sink.is_some_and(|store| in_place(&program.stores[store].1, op));
            let ways = op.code.ways(same);
            let raw = ways.in_place.filter(|_| in_place).unwrap_or(ways.raw);
            self.calls.push(Call { raw, steps, by_row: op.code.by_row() == (true, true), asked: 0 });
            self.rows.push(rows);
        }
        self.ask(&[], (0, 0));
        self.places.resize(self.moving.len(), std::ptr::null_mut());
        self.serial = replaced.is_empty().then_some(program.serial);
    }

    /// Says how many bytes further the next run finds each input and each output buffer; 0: nothing is to be fetched.
    pub(crate) fn look_ahead(&mut self, program: &TileProgram<E>, reads: &[isize], writes: &[isize]) {
        // The processor foresees what a long program touches; the operands of a small one do not move.
        let Tiling::Rows { cols, rows } = program.tiling else { return };
        let ahead = |moving: &Moving<E>| match moving.source {
            Ok(input) => reads[input],
            Err(store) => writes[program.stores[store].1.buffer],
        };
        let aheads: SmallVec<[isize; 32]> = self.moving.iter().map(ahead).collect();
        self.ask(&aheads, (cols, rows));
    }

    /// Divides what a tile asks for among its calls, since a processor keeps few requests: of each moving operand the lines of a tile so many
    /// bytes further; 0, or none: nothing.
    fn ask(&mut self, aheads: &[isize], (cols, rows): (usize, usize)) {
        let bytes = |elements: usize| elements * size_of::<E>();
        let asked: SmallVec<[(usize, isize); 32]> =
            aheads.iter().copied().enumerate().filter(|(_, ahead)| *ahead != 0).collect();
        self.asks.clear();
        for row in 0..if asked.is_empty() { 0 } else { rows } {
            for line in 0..bytes(cols).div_ceil(LINE) {
                for (number, ahead) in &asked {
                    let moving = &self.moving[*number];
                    // One row that is every row is asked for once.
                    if row == 0 || moving.row > 0 {
                        let hint = if moving.source.is_ok() { Hint::Read } else { Hint::Written };
                        let offset = ahead + (bytes(row * moving.row) + line * LINE) as isize;
                        self.asks.push(Ask { moving: *number as u32, hint, offset });
                    }
                }
            }
        }
        let (lines, calls) = (self.asks.len(), self.calls.len());
        let mut from = 0;
        for (number, call) in self.calls.iter_mut().enumerate() {
            call.asked = lines * (number + 1) / calls;
            self.asks[from..call.asked].sort_by_key(|ask| ask.hint);
            from = call.asked;
        }
    }
}

impl<E> Moving<E> {
    fn of(source: Result<usize, usize>, row: usize) -> Self {
        Moving { outer: std::ptr::null_mut(), row, source }
    }
}

/// A truth value as a lane.
pub(super) fn truth<E: Num>(bit: u8) -> E {
    if bit != 0 { E::ONE } else { E::ZERO }
}
