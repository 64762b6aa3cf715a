//! Scripts: the instructions of a loop's body, with operands that were checked for every step before the first one
//! runs.
//!
//! A step of a small cell takes nanoseconds an instruction; resolving and checking operands at
//! each step would cost more than the arithmetic. Here each operand is a slot (a place that moves from step
//! to step in a known way) and an offset, so bounds, alignment and overlaps are proved once.

use crate::gemm::{GemmElem, Mat, MatMut, PackedB, gemm, gemm_packed};
use crate::memory::{Memory, Span};
use crate::reduce::{ReduceShape, Reduction, reduce};
use crate::strided::{copy, for_each_row};
use crate::threads::for_each;
use crate::tile::{Scratch, TileLane, TileProgram};
use smallvec::SmallVec;

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

/// The extents and strides (in elements) of a product `C = A·B`; the columns of C are adjacent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GemmShape {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Row and column stride of A.
    pub a: (usize, usize),
    /// Row and column stride of B.
    pub b: (usize, usize),
    /// Row stride of C.
    pub c: usize,
}

/// Extents of a batch of products, and the element strides of A, B and C along them.
#[derive(Clone, Copy, Debug)]
pub struct BatchShape<'p> {
    /// Extents.
    pub dims: &'p [usize],
    /// Strides of A, B and C.
    pub steps: [&'p [usize]; 3],
}

/// What an instruction does. Reads and writes are given in the order named here.
pub enum Call<'p> {
    /// A tile program: its inputs; its output buffers.
    TileF32(&'p TileProgram<f32>),
    /// As `TileF32`.
    TileF64(&'p TileProgram<f64>),
    /// As `TileF32`.
    TileI64(&'p TileProgram<i64>),
    /// A product: A and B; C.
    GemmF32(GemmShape),
    /// As `GemmF32`.
    GemmF64(GemmShape),
    /// A product for each index of a batch: A and B; C.
    BatchF32(GemmShape, BatchShape<'p>),
    /// As `BatchF32`.
    BatchF64(GemmShape, BatchShape<'p>),
    /// A product with a packed right operand: A; C.
    PackedF32(GemmShape, &'p PackedB<f32>),
    /// As `PackedF32`.
    PackedF64(GemmShape, &'p PackedB<f64>),
    /// A reduction: its input; its output.
    ReduceF32(Reduction, ReduceShape),
    /// As `ReduceF32`.
    ReduceF64(Reduction, ReduceShape),
    /// As `ReduceF32`.
    ReduceI64(Reduction, ReduceShape),
    /// A strided copy over `dims` of elements of `size` 1, 4 or 8 bytes: source; destination.
    Copy {
        /// Bytes of an element.
        size: usize,
        /// Extents.
        dims: &'p [usize],
        /// Element strides of the source.
        from: &'p [usize],
        /// Element strides of the destination.
        to: &'p [usize],
    },
}

/// Elements needed and bytes an element, of each operand.
type Needs = (Vec<(usize, usize)>, Vec<(usize, usize)>);

fn reach(dims: &[usize], strides: &[usize]) -> usize {
    if dims.contains(&0) { 0 } else { 1 + dims.iter().zip(strides).map(|(n, s)| (n - 1) * s).sum::<usize>() }
}

impl Call<'_> {
    fn needs(&self) -> Needs {
        fn tile<E: TileLane>(program: &TileProgram<E>) -> Needs {
            let size = |bools: bool| if bools { 1 } else { size_of::<E>() };
            let reads = program.reads().map(|(n, bools)| (n, size(bools))).collect();
            (reads, program.writes().map(|(n, bools)| (n, size(bools))).collect())
        }
        let gemm = |g: &GemmShape, size: usize| -> Needs {
            let reads = vec![(reach(&[g.m, g.k], &[g.a.0, g.a.1]), size), (reach(&[g.k, g.n], &[g.b.0, g.b.1]), size)];
            (reads, vec![(reach(&[g.m, g.n], &[g.c, 1]), size)])
        };
        let batch = |g: &GemmShape, b: &BatchShape<'_>, size: usize| -> Needs {
            let whole = |rows: usize, cols: usize, strides: [usize; 2], steps: &[usize]| {
                let dims: Vec<usize> = b.dims.iter().copied().chain([rows, cols]).collect();
                let strides: Vec<usize> = steps.iter().copied().chain(strides).collect();
                (reach(&dims, &strides), size)
            };
            let reads = vec![whole(g.m, g.k, [g.a.0, g.a.1], b.steps[0]), whole(g.k, g.n, [g.b.0, g.b.1], b.steps[1])];
            (reads, vec![whole(g.m, g.n, [g.c, 1], b.steps[2])])
        };
        let reduce = |shape: &ReduceShape, size: usize| -> Needs {
            let dims = [shape.outer.0, shape.reduced.0, shape.inner];
            let read = reach(&dims, &[shape.outer.1, shape.reduced.1, 1]);
            (vec![(read, size)], vec![(shape.outer.0 * shape.inner, size)])
        };
        let first_read = |mut needs: Needs| {
            needs.0.truncate(1);
            needs
        };
        match self {
            Call::TileF32(program) => tile(program),
            Call::TileF64(program) => tile(program),
            Call::TileI64(program) => tile(program),
            Call::GemmF32(shape) => gemm(shape, 4),
            Call::GemmF64(shape) => gemm(shape, 8),
            Call::BatchF32(shape, b) => batch(shape, b, 4),
            Call::BatchF64(shape, b) => batch(shape, b, 8),
            Call::PackedF32(shape, _) => first_read(gemm(shape, 4)),
            Call::PackedF64(shape, _) => first_read(gemm(shape, 8)),
            Call::ReduceF32(_, shape) => reduce(shape, 4),
            Call::ReduceF64(_, shape) => reduce(shape, 8),
            Call::ReduceI64(_, shape) => reduce(shape, 8),
            Call::Copy { size, dims, from, to } => (vec![(reach(dims, from), *size)], vec![(reach(dims, to), *size)]),
        }
    }

    /// A tile program is bound to `place`.
    ///
    /// # Safety
    /// The addresses are those of operands as long and aligned as `needs` says; nothing else reaches the written ones, and
    /// reads overlap no write.
    #[inline]
    unsafe fn run(
        &self,
        (scratch, place): (&mut Scratch, usize),
        needs: &Needs,
        reads: &[*const u8],
        writes: &[*mut u8],
    ) {
        // SAFETY: by the contract, here and below.
        unsafe fn from<'a, T>(at: *const u8, need: (usize, usize)) -> &'a [T] {
            // SAFETY: by the contract.
            unsafe { std::slice::from_raw_parts(at.cast(), need.0) }
        }
        // SAFETY: by the contract.
        unsafe fn into<'a, T>(at: *mut u8, need: (usize, usize)) -> &'a mut [T] {
            // SAFETY: by the contract.
            unsafe { std::slice::from_raw_parts_mut(at.cast(), need.0) }
        }
        // SAFETY: by the contract.
        unsafe fn product<E: GemmElem>(g: &GemmShape, needs: &Needs, reads: &[*const u8], writes: &[*mut u8]) {
            // SAFETY: by the contract.
            let (a, b, c) =
                unsafe { (from(reads[0], needs.0[0]), from(reads[1], needs.0[1]), into(writes[0], needs.1[0])) };
            let (a, b) = (Mat::new(a, g.m, g.k, g.a.0, g.a.1), Mat::new(b, g.k, g.n, g.b.0, g.b.1));
            gemm::<E>(a, b, MatMut::new(c, g.m, g.n, g.c), false);
        }
        // SAFETY: by the contract.
        unsafe fn batch<E: GemmElem>(
            g: &GemmShape,
            b: &BatchShape<'_>,
            needs: &Needs,
            reads: &[*const u8],
            writes: &[*mut u8],
        ) {
            // SAFETY: by the contract.
            let (left, right, out): (&[E], &[E], &mut [E]) =
                unsafe { (from(reads[0], needs.0[0]), from(reads[1], needs.0[1]), into(writes[0], needs.1[0])) };
            if out.is_empty() {
                return;
            }
            // The walk's last axis is made of single steps.
            let dims: SmallVec<[usize; 6]> = b.dims.iter().copied().chain([1]).collect();
            let steps: [SmallVec<[usize; 6]>; 3] = b.steps.map(|steps| steps.iter().copied().chain([0]).collect());
            for_each_row(&dims, [&steps[0][..], &steps[1], &steps[2]], |at| {
                let (a, b) = (
                    Mat::new(&left[at[0]..], g.m, g.k, g.a.0, g.a.1),
                    Mat::new(&right[at[1]..], g.k, g.n, g.b.0, g.b.1),
                );
                gemm(a, b, MatMut::new(&mut out[at[2]..], g.m, g.n, g.c), false);
            });
        }
        // SAFETY: by the contract.
        unsafe fn packed<E: GemmElem>(
            g: &GemmShape,
            b: &PackedB<E>,
            needs: &Needs,
            reads: &[*const u8],
            writes: &[*mut u8],
        ) {
            // SAFETY: by the contract.
            let (a, c) = unsafe { (from(reads[0], needs.0[0]), into(writes[0], needs.1[0])) };
            gemm_packed(Mat::new(a, g.m, g.k, g.a.0, g.a.1), b, MatMut::new(c, g.m, g.n, g.c), false);
        }
        // SAFETY: the contract is handed on.
        unsafe {
            match self {
                Call::TileF32(program) => scratch.bound(place).run(program, reads, writes),
                Call::TileF64(program) => scratch.bound(place).run(program, reads, writes),
                Call::TileI64(program) => scratch.bound(place).run(program, reads, writes),
                Call::GemmF32(shape) => product::<f32>(shape, needs, reads, writes),
                Call::GemmF64(shape) => product::<f64>(shape, needs, reads, writes),
                Call::BatchF32(shape, b) => batch::<f32>(shape, b, needs, reads, writes),
                Call::BatchF64(shape, b) => batch::<f64>(shape, b, needs, reads, writes),
                Call::PackedF32(shape, b) => packed(shape, b, needs, reads, writes),
                Call::PackedF64(shape, b) => packed(shape, b, needs, reads, writes),
                Call::ReduceF32(kind, shape) => {
                    reduce(*kind, *shape, into::<f32>(writes[0], needs.1[0]), from(reads[0], needs.0[0]));
                }
                Call::ReduceF64(kind, shape) => {
                    reduce(*kind, *shape, into::<f64>(writes[0], needs.1[0]), from(reads[0], needs.0[0]));
                }
                Call::ReduceI64(kind, shape) => {
                    reduce(*kind, *shape, into::<i64>(writes[0], needs.1[0]), from(reads[0], needs.0[0]));
                }
                Call::Copy { size, dims, from: f, to: t } => match size {
                    1 => copy(dims, into::<u8>(writes[0], needs.1[0]), t, from(reads[0], needs.0[0]), f),
                    4 => copy(dims, into::<f32>(writes[0], needs.1[0]), t, from(reads[0], needs.0[0]), f),
                    _ => copy(dims, into::<i64>(writes[0], needs.1[0]), t, from(reads[0], needs.0[0]), f),
                },
            }
        }
    }
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
    scratch.bind(program, place).look_ahead(program, reads, writes);
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
        for (place, line) in lines.iter().enumerate() {
            let ahead = |o: &Operand| if far { slots[o.slot].ahead() } else { 0 };
            let reads: SmallVec<[isize; 32]> = line.reads.iter().map(ahead).collect();
            let writes: SmallVec<[isize; 32]> = line.writes.iter().map(ahead).collect();
            match line.call {
                Call::TileF32(program) => bind(scratch, program, place, &reads, &writes),
                Call::TileF64(program) => bind(scratch, program, place, &reads, &writes),
                Call::TileI64(program) => bind(scratch, program, place, &reads, &writes),
                _ => {}
            }
        }
        let mut places: Vec<*mut u8> = vec![std::ptr::null_mut(); slots.len()];
        let mut reads: Vec<*const u8> = Vec::with_capacity(64);
        let mut writes: Vec<*mut u8> = Vec::with_capacity(64);
        for s in 0..steps {
            for ((place, base), slot) in places.iter_mut().zip(&self.bases).zip(slots) {
                // An unused slot may lie anywhere, so the address is computed without a claim about its object.
                *place = base.wrapping_add(slot.at(s));
            }
            for (at, (line, needs)) in lines.iter().zip(self.needs).enumerate() {
                reads.clear();
                writes.clear();
                reads.extend(line.reads.iter().map(|o| places[o.slot].wrapping_add(o.offset).cast_const()));
                writes.extend(line.writes.iter().map(|o| places[o.slot].wrapping_add(o.offset)));
                // SAFETY: by the contract.
                unsafe { line.call.run((scratch, at), needs, &reads, &writes) };
            }
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
