//! Scripts: the instructions of a loop's body, with operands that were checked for every step before the first one
//! runs.
//!
//! A step of a small cell takes nanoseconds an instruction; resolving and checking operands at
//! each step would cost more than the arithmetic. Here each operand is a slot (a place that moves from step
//! to step in a known way) and an offset, so bounds, alignment and overlaps are proved once.

use crate::ahead::{Ahead, LINE};
use crate::memory::{Memory, Span};
use crate::threads::for_each;
use crate::tile::{Scratch, TileLane, TileProgram};
use call::Needs;
use smallvec::SmallVec;

pub use call::{BatchShape, Call, GemmShape};

mod call;

/// How a place moves from step to step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// It stays.
    Still,
    /// So many bytes further at every step.
    Forward(usize),
    /// So many bytes back at every step.
    Backward(usize),
    /// `start` at even steps and so many bytes further at odd ones, or the other way round.
    Alternate {
        /// Bytes between the two places.
        row: usize,
        /// Whether step 0 is at the further place.
        odd_first: bool,
    },
}

/// A place in memory that moves.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// The region's number.
    pub region: u32,
    /// The byte at which step 0 finds it (for [`Path::Alternate`], the nearer place).
    pub start: usize,
    /// How it moves.
    pub path: Path,
}

impl Slot {
    /// Bytes from a step to the next, if it goes through a buffer.
    fn ahead(&self) -> isize {
        match self.path {
            Path::Forward(row) => row as isize,
            Path::Backward(row) => -(row as isize),
            Path::Still | Path::Alternate { .. } => 0,
        }
    }

    /// The byte at step `s`.
    #[inline]
    pub fn at(&self, s: usize) -> usize {
        match self.path {
            Path::Still => self.start,
            Path::Forward(row) => self.start + s * row,
            Path::Backward(row) => self.start - s * row,
            Path::Alternate { row, odd_first } => self.start + (s % 2 != odd_first as usize) as usize * row,
        }
    }
}

/// An operand: a slot, and bytes from its place on.
#[derive(Clone, Copy, Debug)]
pub struct Operand {
    /// The slot's number.
    pub slot: usize,
    /// Bytes behind the slot's place.
    pub offset: usize,
}

/// One instruction of a script.
pub struct Line<'p> {
    /// What it does.
    pub call: Call<'p>,
    /// Operands read.
    pub reads: Vec<Operand>,
    /// Operands written.
    pub writes: Vec<Operand>,
}

/// Lines over slots of their own.
pub struct Script<'p> {
    /// Places that move from step to step.
    pub slots: Vec<Slot>,
    /// What happens at a step.
    pub lines: Vec<Line<'p>>,
}

/// Runs scripts for `steps` steps, each on a thread of its own as far as there are threads; `scratch` is grown to one for
/// each.
///
/// # Panics
/// If an operand leaves its region at some step, is misaligned, or a write is to a read-only region or overlaps another
/// operand of its instruction, or any operand of another script at any step: a planner's bug. Nothing has run then.
pub fn run_scripts(memory: &mut Memory<'_>, scratch: &mut Vec<Scratch>, scripts: &[Script<'_>], steps: usize) {
    if steps == 0 {
        return;
    }
    let needs: Vec<Vec<Needs>> =
        scripts.iter().map(|script| script.lines.iter().map(|line| line.call.needs()).collect()).collect();
    for (script, needs) in scripts.iter().zip(&needs) {
        for (line, needs) in script.lines.iter().zip(needs) {
            check(memory, &script.slots, line, needs, steps);
        }
    }
    check_apart(scripts, &needs, steps);
    if scratch.len() < scripts.len() {
        scratch.resize_with(scripts.len(), Scratch::default);
    }
    let runs: Vec<Run<'_>> = scripts
        .iter()
        .zip(&needs)
        .zip(scratch)
        .map(|((script, needs), scratch)| {
            let bases = script.slots.iter().map(|slot| memory.base(slot.region)).collect();
            Run { script, needs, scratch, bases }
        })
        .collect();
    for_each(runs, |run| {
        // SAFETY: `check` proved for every step that operands are inside their regions, aligned, and that no write
        // overlaps another operand of its line, `check_apart` that none overlaps an operand of another script;
        // `&mut Memory` keeps everything else away until all have ended.
        unsafe { run.all(steps) }
    });
}

/// Bytes that stay in the second-level cache from one loop to the next.
const NEAR: usize = 512 << 10;

fn bind<E: TileLane>(scratch: &mut Scratch, program: &TileProgram<E>, place: usize, reads: &[isize], writes: &[isize]) {
    scratch.bind(program, place, &[]).look_ahead(program, reads, writes);
}

/// A checked script on its way.
struct Run<'r> {
    script: &'r Script<'r>,
    needs: &'r [Needs],
    scratch: &'r mut Scratch,
    /// The address of each slot's region.
    bases: Vec<*mut u8>,
}

// SAFETY: the addresses are used under the contract of `all`.
unsafe impl Send for Run<'_> {}

impl Run<'_> {
    /// # Safety
    /// Operands are inside their regions and aligned at every step, and while this runs nothing else writes what it reads
    /// or touches what it writes.
    unsafe fn all(self, steps: usize) {
        let Script { slots, lines } = self.script;
        let scratch = self.scratch;
        let far = slots.iter().map(|slot| slot.ahead().unsigned_abs() * steps).sum::<usize>() > NEAR;
        let mut errands = if far { Errands::of(slots, lines, self.needs, &self.bases) } else { Errands::default() };
        let mut cursors: Vec<(Cursors, Cursors)> = Vec::with_capacity(lines.len());
        for (place, line) in lines.iter().enumerate() {
            let ahead = |o: &Operand| if far && errands.ranges.is_empty() { slots[o.slot].ahead() } else { 0 };
            let reads: SmallVec<[isize; 32]> = line.reads.iter().map(ahead).collect();
            let writes: SmallVec<[isize; 32]> = line.writes.iter().map(ahead).collect();
            match line.call {
                Call::TileF32(program) => bind(scratch, program, place, &reads, &writes),
                Call::TileF64(program) => bind(scratch, program, place, &reads, &writes),
                Call::TileI64(program) => bind(scratch, program, place, &reads, &writes),
                _ => {}
            }
            let of = |operands: &[Operand]| Cursors::new(operands, slots, &self.bases);
            cursors.push((of(&line.reads), of(&line.writes)));
        }
        for _ in 0..steps {
            let mut ahead = Ahead::of(&errands.ranges);
            for (at, ((line, needs), (reads, writes))) in lines.iter().zip(self.needs).zip(&mut cursors).enumerate() {
                // SAFETY: by the contract.
                unsafe { line.call.run((scratch, at), needs, &reads.at, &writes.at, &mut ahead) };
                reads.advance();
                writes.advance();
            }
            errands.advance();
        }
    }
}

/// What the elementwise programs of the next step will touch, for the products of this step to ask for; nothing if they do not
/// have the time, and the programs ask themselves.
#[derive(Default)]
struct Errands {
    /// Addresses and bytes, and the bytes from a step to the next.
    ranges: Vec<(*mut u8, usize)>,
    moves: Vec<isize>,
}

impl Errands {
    fn of(slots: &[Slot], lines: &[Line<'_>], needs: &[Needs], bases: &[*mut u8]) -> Errands {
        let mut ranges: Vec<(*mut u8, usize, isize)> = Vec::new();
        for (line, needs) in lines.iter().zip(needs).filter(|(line, _)| line.call.is_tile()) {
            let operands = line.reads.iter().zip(&needs.0).chain(line.writes.iter().zip(&needs.1));
            for (o, (n, size)) in operands.filter(|(o, _)| slots[o.slot].ahead() != 0) {
                let slot = &slots[o.slot];
                let next = bases[o.slot].wrapping_add(slot.at(0) + o.offset).wrapping_byte_offset(slot.ahead());
                ranges.push((next, n * size, slot.ahead()));
            }
        }
        // Parts of one row, as of a matrix that is written by columns, are one range.
        ranges.sort_unstable();
        ranges.dedup_by(|next, range| {
            let apart = next.0.addr() - range.0.addr();
            let joined = next.2 == range.2 && apart <= range.1;
            if joined {
                range.1 = range.1.max(apart + next.1);
            }
            joined
        });
        let bytes: usize = ranges.iter().map(|range| range.1).sum();
        let steps: usize = lines.iter().map(|line| line.call.spare_steps()).sum();
        if bytes > LINE * steps / 2 {
            return Errands::default();
        }
        let moves = ranges.iter().map(|range| range.2).collect();
        Errands { ranges: ranges.into_iter().map(|(at, bytes, _)| (at, bytes)).collect(), moves }
    }

    fn advance(&mut self) {
        for ((at, _), step) in self.ranges.iter_mut().zip(&self.moves) {
            *at = at.wrapping_byte_offset(*step);
        }
    }
}

/// The addresses of a line's operands, and how they move.
struct Cursors {
    at: Vec<*mut u8>,
    /// Bytes to the next place, and what they are multiplied by then: -1 where two places alternate.
    moves: Vec<(isize, isize)>,
}

impl Cursors {
    fn new(operands: &[Operand], slots: &[Slot], bases: &[*mut u8]) -> Cursors {
        let start = |o: &Operand| bases[o.slot].wrapping_add(slots[o.slot].at(0) + o.offset);
        let moves = |o: &Operand| match slots[o.slot].path {
            Path::Still => (0, 1),
            Path::Forward(row) => (row as isize, 1),
            Path::Backward(row) => (-(row as isize), 1),
            Path::Alternate { row, odd_first: false } => (row as isize, -1),
            Path::Alternate { row, odd_first: true } => (-(row as isize), -1),
        };
        Cursors { at: operands.iter().map(start).collect(), moves: operands.iter().map(moves).collect() }
    }

    #[inline(always)]
    fn advance(&mut self) {
        for (at, (step, turn)) in self.at.iter_mut().zip(&mut self.moves) {
            // Behind the last step it may lie anywhere, so it is computed without a claim about its object.
            *at = at.wrapping_byte_offset(*step);
            *step *= *turn;
        }
    }
}

/// Proves that no write of a script overlaps an operand of another one, whatever steps they are at.
fn check_apart(scripts: &[Script<'_>], needs: &[Vec<Needs>], steps: usize) {
    if scripts.len() < 2 {
        return;
    }
    let ranges = |at: usize, writes: bool| -> Vec<Range> {
        let mut all: Vec<Range> = Vec::new();
        for (line, (read, write)) in scripts[at].lines.iter().zip(&needs[at]) {
            let (operands, needs) = if writes { (&line.writes, write) } else { (&line.reads, read) };
            for (o, (n, size)) in operands.iter().zip(needs) {
                all.push(Range { slot: scripts[at].slots[o.slot], offset: o.offset, bytes: n * size });
            }
        }
        all
    };
    for i in 0..scripts.len() {
        let writes = ranges(i, true);
        for j in (0..scripts.len()).filter(|j| *j != i) {
            for other in ranges(j, true).iter().chain(&ranges(j, false)) {
                assert!(writes.iter().all(|w| w.never_meets(other, steps)), "scripts share what one of them writes");
            }
        }
    }
}

fn check(memory: &Memory<'_>, slots: &[Slot], line: &Line<'_>, (reads, writes): &Needs, steps: usize) {
    assert!(reads.len() == line.reads.len() && writes.len() == line.writes.len(), "one operand for each need");
    let ranges = |operands: &[Operand], needs: &[(usize, usize)]| -> Vec<Range> {
        operands
            .iter()
            .zip(needs)
            .map(|(o, (n, size))| Range { slot: slots[o.slot], offset: o.offset, bytes: n * size })
            .collect()
    };
    let (read, write) = (ranges(&line.reads, reads), ranges(&line.writes, writes));
    for (range, (_, size)) in read.iter().zip(reads).chain(write.iter().zip(writes)) {
        if range.bytes > 0 {
            let (low, high) = range.hull(steps);
            memory.check_span(Span { region: range.slot.region, start: low, bytes: high - low });
        }
        // Slices without elements must be aligned as well.
        let step = match range.slot.path {
            Path::Still => 0,
            Path::Forward(row) | Path::Backward(row) | Path::Alternate { row, .. } => row,
        };
        let first = memory.base(range.slot.region).addr() + range.slot.start + range.offset;
        assert!(first.is_multiple_of(*size) && step.is_multiple_of(*size), "misaligned operand");
    }
    for (i, w) in write.iter().enumerate() {
        assert!(memory.is_writable(w.slot.region), "write to a read-only region");
        let apart = |other: &Range| !w.ever_overlaps(other, steps);
        assert!(write[..i].iter().all(apart) && read.iter().all(apart), "an operand overlaps a write");
    }
}

/// The bytes of an operand at each step.
struct Range {
    slot: Slot,
    offset: usize,
    bytes: usize,
}

impl Range {
    fn at(&self, s: usize) -> (usize, usize) {
        let start = self.slot.at(s) + self.offset;
        (start, start + self.bytes)
    }

    /// The bytes from the lowest to the highest that any step touches.
    fn hull(&self, steps: usize) -> (usize, usize) {
        let ends = [self.at(0), self.at(steps - 1), self.at(Ord::min(1, steps - 1))];
        (ends.map(|e| e.0).into_iter().fold(usize::MAX, Ord::min), ends.map(|e| e.1).into_iter().fold(0, Ord::max))
    }

    /// Whether this, at any step, overlaps no byte of the other at any step. May answer no where it is so.
    fn never_meets(&self, other: &Range, steps: usize) -> bool {
        if self.slot.region != other.slot.region || self.bytes == 0 || other.bytes == 0 {
            return true;
        }
        let apart = |a: (usize, usize), b: (usize, usize)| a.1 <= b.0 || b.1 <= a.0;
        if apart(self.hull(steps), other.hull(steps)) {
            return true;
        }
        // Parts of rows: whichever row each is at, they are apart if they are so around a row.
        let row = |path: Path| match path {
            Path::Forward(row) | Path::Backward(row) | Path::Alternate { row, .. } => row,
            Path::Still => 0,
        };
        let (row, other_row) = (row(self.slot.path), row(other.slot.path));
        if row != other_row || row == 0 {
            return false;
        }
        let (a, b) = (self.at(0).0 % row, other.at(0).0 % row);
        let ahead = (b + row - a) % row;
        self.bytes <= ahead && ahead + other.bytes <= row
    }

    fn ever_overlaps(&self, other: &Range, steps: usize) -> bool {
        if self.slot.region != other.slot.region || self.bytes == 0 || other.bytes == 0 {
            return false;
        }
        let meet = |a: (usize, usize), b: (usize, usize)| a.0 < b.1 && b.0 < a.1;
        if !meet(self.hull(steps), other.hull(steps)) {
            return false;
        }
        if self.slot.path == other.slot.path {
            return meet(self.at(0), other.at(0));
        }
        (0..steps).any(|s| meet(self.at(s), other.at(s)))
    }
}
