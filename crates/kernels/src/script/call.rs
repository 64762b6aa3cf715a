//! What the lines of a script do.

use crate::ahead::Ahead;
use crate::gemm::{GemmElem, Mat, MatMut, PackedB, gemm, gemm_ahead, spare_steps};
use crate::lane::Num;
use crate::lines::{LineOp, LineResult, Lines};
use crate::memory::Pod;
use crate::reduce::{ReduceShape, Reduction, reduce};
use crate::sort::SortKey;
use crate::strided::{copy, for_each_row};
use crate::tile::{Scratch, TileLane, TileProgram};
use smallvec::SmallVec;

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
    /// An operation on lines: its input; its output.
    LinesF32(LineOp, Lines),
    /// As `LinesF32`.
    LinesF64(LineOp, Lines),
    /// As `LinesF32`.
    LinesI64(LineOp, Lines),
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
pub(super) type Needs = (Vec<(usize, usize)>, Vec<(usize, usize)>);

fn reach(dims: &[usize], strides: &[usize]) -> usize {
    if dims.contains(&0) { 0 } else { 1 + dims.iter().zip(strides).map(|(n, s)| (n - 1) * s).sum::<usize>() }
}

impl Call<'_> {
    pub(super) fn needs(&self) -> Needs {
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
        let along = |op: &LineOp, lines: &Lines, size: usize| -> Needs {
            let written = (lines.count() * op.line(*lines), if op.gives_indices() { size_of::<i64>() } else { size });
            (vec![(lines.len(), size)], vec![written])
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
            Call::LinesF32(op, lines) => along(op, lines, 4),
            Call::LinesF64(op, lines) | Call::LinesI64(op, lines) => along(op, lines, 8),
            Call::Copy { size, dims, from, to } => (vec![(reach(dims, from), *size)], vec![(reach(dims, to), *size)]),
        }
    }

    /// The steps of k in which it has time to ask for memory.
    pub(super) fn spare_steps(&self) -> usize {
        match self {
            Call::GemmF32(g) | Call::PackedF32(g, _) => spare_steps::<f32>(g.m, g.n, g.k),
            Call::GemmF64(g) | Call::PackedF64(g, _) => spare_steps::<f64>(g.m, g.n, g.k),
            _ => 0,
        }
    }

    /// Whether it is an elementwise program.
    pub(super) fn is_tile(&self) -> bool {
        matches!(self, Call::TileF32(_) | Call::TileF64(_) | Call::TileI64(_))
    }

    /// A tile program is bound to `place`.
    ///
    /// # Safety
    /// The addresses are those of operands as long and aligned as `needs` says; nothing else reaches the written ones, and
    /// reads overlap no write.
    #[inline]
    pub(super) unsafe fn run(
        &self,
        (scratch, place): (&mut Scratch, usize),
        needs: &Needs,
        reads: &[*mut u8],
        writes: &[*mut u8],
        ahead: &mut Ahead<'_>,
    ) {
        // SAFETY: by the contract, here and below.
        unsafe fn from<'a, T>(at: *mut u8, need: (usize, usize)) -> &'a [T] {
            // SAFETY: by the contract.
            unsafe { std::slice::from_raw_parts(at.cast_const().cast(), need.0) }
        }
        // SAFETY: by the contract.
        unsafe fn into<'a, T>(at: *mut u8, need: (usize, usize)) -> &'a mut [T] {
            // SAFETY: by the contract.
            unsafe { std::slice::from_raw_parts_mut(at.cast(), need.0) }
        }
        // SAFETY: by the contract.
        unsafe fn product<E: GemmElem>(
            g: &GemmShape,
            needs: &Needs,
            reads: &[*mut u8],
            writes: &[*mut u8],
            ahead: &mut Ahead<'_>,
        ) {
            // SAFETY: by the contract.
            let (a, b, c) =
                unsafe { (from(reads[0], needs.0[0]), from(reads[1], needs.0[1]), into(writes[0], needs.1[0])) };
            let (a, b) = (Mat::new(a, g.m, g.k, g.a.0, g.a.1), Mat::new(b, g.k, g.n, g.b.0, g.b.1));
            gemm_ahead::<E>(a, Ok(b), MatMut::new(c, g.m, g.n, g.c), ahead);
        }
        // SAFETY: by the contract.
        unsafe fn batch<E: GemmElem>(
            g: &GemmShape,
            b: &BatchShape<'_>,
            needs: &Needs,
            reads: &[*mut u8],
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
            reads: &[*mut u8],
            writes: &[*mut u8],
            ahead: &mut Ahead<'_>,
        ) {
            // SAFETY: by the contract.
            let (a, c) = unsafe { (from(reads[0], needs.0[0]), into(writes[0], needs.1[0])) };
            gemm_ahead(Mat::new(a, g.m, g.k, g.a.0, g.a.1), Err(b), MatMut::new(c, g.m, g.n, g.c), ahead);
        }
        // SAFETY: by the contract.
        unsafe fn along<E: Num + SortKey + Pod>(
            (op, lines): (&LineOp, &Lines),
            needs: &Needs,
            reads: &[*mut u8],
            writes: &[*mut u8],
        ) {
            // SAFETY: by the contract; the needs are those of the result's kind.
            unsafe {
                let to = match op.gives_indices() {
                    true => LineResult::Indices(into(writes[0], needs.1[0])),
                    false => LineResult::Elements(into(writes[0], needs.1[0])),
                };
                op.run::<E>(*lines, to, from(reads[0], needs.0[0]));
            }
        }
        // SAFETY: the contract is handed on.
        unsafe {
            match self {
                Call::TileF32(program) => scratch.bound(place).run(program, program.whole(), reads, writes),
                Call::TileF64(program) => scratch.bound(place).run(program, program.whole(), reads, writes),
                Call::TileI64(program) => scratch.bound(place).run(program, program.whole(), reads, writes),
                Call::GemmF32(shape) => product::<f32>(shape, needs, reads, writes, ahead),
                Call::GemmF64(shape) => product::<f64>(shape, needs, reads, writes, ahead),
                Call::BatchF32(shape, b) => batch::<f32>(shape, b, needs, reads, writes),
                Call::BatchF64(shape, b) => batch::<f64>(shape, b, needs, reads, writes),
                Call::PackedF32(shape, b) => packed(shape, b, needs, reads, writes, ahead),
                Call::PackedF64(shape, b) => packed(shape, b, needs, reads, writes, ahead),
                Call::ReduceF32(kind, shape) => {
                    reduce(*kind, *shape, into::<f32>(writes[0], needs.1[0]), from(reads[0], needs.0[0]));
                }
                Call::ReduceF64(kind, shape) => {
                    reduce(*kind, *shape, into::<f64>(writes[0], needs.1[0]), from(reads[0], needs.0[0]));
                }
                Call::ReduceI64(kind, shape) => {
                    reduce(*kind, *shape, into::<i64>(writes[0], needs.1[0]), from(reads[0], needs.0[0]));
                }
                Call::LinesF32(op, lines) => along::<f32>((op, lines), needs, reads, writes),
                Call::LinesF64(op, lines) => along::<f64>((op, lines), needs, reads, writes),
                Call::LinesI64(op, lines) => along::<i64>((op, lines), needs, reads, writes),
                Call::Copy { size, dims, from: f, to: t } => match size {
                    1 => copy(dims, into::<u8>(writes[0], needs.1[0]), t, from(reads[0], needs.0[0]), f),
                    4 => copy(dims, into::<f32>(writes[0], needs.1[0]), t, from(reads[0], needs.0[0]), f),
                    _ => copy(dims, into::<i64>(writes[0], needs.1[0]), t, from(reads[0], needs.0[0]), f),
                },
            }
        }
    }
}
