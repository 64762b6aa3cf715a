//! The instruction that goes along lines.

use super::code::Buf;
use crate::dtype::DType;
use wengert_kernels::{Access, LineOp, LineResult, Lines, Num, SortKey, Span, argsort};

/// An operation on lines of adjacent elements; `src` and `dst` are buffers and element offsets.
pub(crate) struct LineInstr {
    pub dtype: DType,
    pub what: LineOp,
    pub lines: Lines,
    pub src: (Buf, usize),
    pub dst: (Buf, usize),
}

impl LineInstr {
    /// The result's element type and number of elements.
    pub(super) fn result(&self) -> (DType, usize) {
        let dtype = if self.what.gives_indices() { DType::I64 } else { self.dtype };
        (dtype, self.lines.count() * self.what.line(self.lines))
    }

    /// Reads what lies at `from`; `access` writes the result.
    pub(super) fn run(&self, access: Access<'_>, from: Span) {
        match (self.dtype, self.what) {
            (DType::Bool, LineOp::ArgSort { kept, descending }) => {
                let mut access = access;
                argsort(self.lines, kept, descending, access.take(0), access.read::<u8>(from));
            }
            (DType::Bool, _) => unreachable!("truth values are neither added nor compared"),
            (DType::I64, _) => self.typed::<i64>(access, from),
            (DType::F32, _) => self.typed::<f32>(access, from),
            (DType::F64, _) => self.typed::<f64>(access, from),
        }
    }

    fn typed<E: Num + SortKey>(&self, mut access: Access<'_>, from: Span) {
        let result = match self.what.gives_indices() {
            true => LineResult::Indices(access.take(0)),
            false => LineResult::Elements(access.take(0)),
        };
        self.what.run::<E>(self.lines, result, access.read(from));
    }
}
