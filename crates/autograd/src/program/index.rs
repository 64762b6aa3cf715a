//! The instructions that read and accumulate by index.

use super::code::{Buf, extent, merge_axes};
use super::lower::{Lower, Place};
use super::refuse;
use super::run::{Address, span};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ops::Asker;
use crate::shape::Shape;
use std::panic::Location;
use wengert_kernels::{IndexShape, Memory, Num, OutOfRange, Pod, Span, gather, scatter_add};

/// Gather or scatter-add along one axis.
pub(crate) struct IndexInstr {
    pub dtype: DType,
    /// Extents of the indexed value.
    pub table_shape: Shape,
    /// Extents of the index and of the values gathered or added.
    pub index_shape: Shape,
    pub table: Operand,
    pub index: Operand,
    pub values: Operand,
    /// The extents of the index, adjacent axes merged.
    dims: Vec<usize>,
    /// The table's elements from an entry to the next.
    step: usize,
    pub asker: Asker,
    pub at: &'static Location<'static>,
}

/// A strided operand: its place, the elements from its first to its last, and the strides along merged axes (of the table, 0
/// along the one that is indexed).
pub(crate) struct Operand {
    pub buf: Buf,
    pub offset: usize,
    reach: usize,
    strides: Vec<usize>,
}

impl IndexInstr {
    /// Of the operation `node`; `values_node` has the shape of the index, `table_node` that of the indexed value.
    pub(crate) fn new(
        lower: &Lower<'_>,
        node: usize,
        asker: Asker,
        [table, index, values]: [Place; 3],
        [table_node, values_node]: [usize; 2],
    ) -> IndexInstr {
        let (table_shape, index_shape) = (lower.shape(table_node), lower.shape(values_node));
        let operand = |place: &Place, shape: &Shape| Operand {
            buf: place.buf,
            offset: place.offset,
            reach: extent(shape, &place.strides),
            strides: place.strides.to_vec(),
        };
        let mut table = operand(&table, &table_shape);
        let [mut index, mut values] = [index, values].map(|place| operand(&place, &index_shape));
        let step = std::mem::take(&mut table.strides[asker.axis()]);
        let dims = merge_axes(&index_shape, &mut [&mut values.strides, &mut index.strides, &mut table.strides]);
        let (dtype, at) = (lower.dtype(values_node), lower.location(node));
        IndexInstr { dtype, table_shape, index_shape, table, index, values, dims, step, asker, at }
    }

    fn span(&self, frame: &[Address], operand: &Operand, dtype: DType) -> Span {
        span(frame, dtype, operand.buf, operand.offset, operand.reach)
    }

    fn shape(&self) -> IndexShape<'_> {
        IndexShape {
            dims: &self.dims,
            strides: [&self.values.strides, &self.index.strides, &self.table.strides],
            entries: self.table_shape[self.asker.axis()],
            step: self.step,
        }
    }

    /// The error for an index that names no entry.
    #[cold]
    fn refuse(&self, OutOfRange { position, index }: OutOfRange) -> Error {
        let mut rest = position;
        let mut at = vec![0; self.index_shape.rank()];
        for (at, extent) in at.iter_mut().zip(self.index_shape.iter()).rev() {
            (*at, rest) = (rest % extent, rest / extent);
        }
        refuse::index(self, index, &at)
    }

    /// Reads the values from the table.
    pub(super) fn gather(&self, memory: &mut Memory<'_>, frame: &[Address]) -> Result<()> {
        fn typed<T: Pod>(op: &IndexInstr, memory: &mut Memory<'_>, frame: &[Address]) -> Result<()> {
            let writes = [op.span(frame, &op.values, op.dtype)];
            let mut access = memory.open(&writes);
            let table = access.read::<T>(op.span(frame, &op.table, op.dtype));
            let index = access.read(op.span(frame, &op.index, DType::I64));
            gather(op.shape(), access.take(0), table, index).map_err(|found| op.refuse(found))
        }
        match self.dtype {
            DType::Bool => typed::<u8>(self, memory, frame),
            DType::I64 => typed::<i64>(self, memory, frame),
            DType::F32 => typed::<f32>(self, memory, frame),
            DType::F64 => typed::<f64>(self, memory, frame),
        }
    }

    /// Adds the values to the table.
    pub(super) fn scatter_add(&self, memory: &mut Memory<'_>, frame: &[Address]) -> Result<()> {
        fn typed<T: Num + Pod>(op: &IndexInstr, memory: &mut Memory<'_>, frame: &[Address]) -> Result<()> {
            let writes = [op.span(frame, &op.table, op.dtype)];
            let mut access = memory.open(&writes);
            let values = access.read::<T>(op.span(frame, &op.values, op.dtype));
            let index = access.read(op.span(frame, &op.index, DType::I64));
            scatter_add(op.shape(), access.take(0), index, values).map_err(|found| op.refuse(found))
        }
        match self.dtype {
            DType::I64 => typed::<i64>(self, memory, frame),
            DType::F64 => typed::<f64>(self, memory, frame),
            _ => typed::<f32>(self, memory, frame),
        }
    }
}
