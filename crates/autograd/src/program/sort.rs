//! The instruction that sorts.

use super::code::Buf;
use crate::dtype::DType;
use wengert_kernels::{Access, SortShape, Span, argsort};

/// The sorting permutation of adjacent elements; `src` and `dst` (I64) are buffers and element offsets.
pub(crate) struct SortInstr {
    pub dtype: DType,
    pub shape: SortShape,
    pub descending: bool,
    pub src: (Buf, usize),
    pub dst: (Buf, usize),
}

impl SortInstr {
    /// Sorts what lies at `from`; `access` writes the permutation.
    pub(super) fn run(&self, mut access: Access<'_>, from: Span) {
        let out = access.take::<i64>(0);
        match self.dtype {
            DType::Bool => argsort(self.shape, self.descending, out, access.read::<u8>(from)),
            DType::I64 => argsort(self.shape, self.descending, out, access.read::<i64>(from)),
            DType::F32 => argsort(self.shape, self.descending, out, access.read::<f32>(from)),
            DType::F64 => argsort(self.shape, self.descending, out, access.read::<f64>(from)),
        }
    }
}
