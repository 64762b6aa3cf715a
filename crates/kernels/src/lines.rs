//! What goes along the lines of a value: sorts, running sums, places of extrema.

use crate::cumulate::cumsum;
use crate::extremum::arg_extremum;
use crate::lane::Num;
use crate::memory::Pod;
use crate::sort::{SortKey, argsort};

/// Contiguous extents `[outer, line, inner]`; an operation goes along the middle axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lines {
    /// Positions outside of the axis.
    pub outer: usize,
    /// Entries of the axis.
    pub line: usize,
    /// Positions inside of the axis.
    pub inner: usize,
}

impl Lines {
    /// The extents of a value around one of its axes.
    pub fn of(dims: &[usize], axis: usize) -> Lines {
        let extents = |part: &[usize]| part.iter().product();
        Lines { outer: extents(&dims[..axis]), line: dims[axis], inner: extents(&dims[axis + 1..]) }
    }

    /// The number of elements.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.count() * self.line
    }

    /// The number of lines.
    pub fn count(&self) -> usize {
        self.outer * self.inner
    }
}

/// An operation on each line of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LineOp {
    /// The indices of the first `kept` entries in sorted order ([`argsort`]).
    ArgSort {
        /// Entries of the result.
        kept: usize,
        /// Whether the greatest comes first.
        descending: bool,
    },
    /// Running sums ([`cumsum`]).
    Cumsum {
        /// Whether from the last entry to the first.
        reverse: bool,
    },
    /// The index of the greatest entry or the least ([`arg_extremum`]).
    ArgExtremum {
        /// Whether of the least.
        least: bool,
    },
}

impl LineOp {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            LineOp::ArgSort { .. } => "argsort",
            LineOp::Cumsum { .. } => "cumsum",
            LineOp::ArgExtremum { least: false } => "argmax",
            LineOp::ArgExtremum { least: true } => "argmin",
        }
    }

    /// The entries of a result's line.
    pub fn line(self, lines: Lines) -> usize {
        match self {
            LineOp::ArgSort { kept, .. } => kept,
            LineOp::Cumsum { .. } => lines.line,
            LineOp::ArgExtremum { .. } => 1,
        }
    }

    /// Whether the result is indices, not elements.
    pub fn gives_indices(self) -> bool {
        !matches!(self, LineOp::Cumsum { .. })
    }

    /// Runs the operation; the result is indices or elements, in the same layout.
    ///
    /// # Panics
    /// If a slice is shorter than the extents, or an extremum of nothing is asked: a planner's bug.
    pub fn run<E: Num + SortKey>(self, lines: Lines, dst: LineResult<'_, E>, src: &[E]) {
        match (self, dst) {
            (LineOp::ArgSort { kept, descending }, LineResult::Indices(dst)) => {
                argsort(lines, kept, descending, dst, src);
            }
            (LineOp::ArgExtremum { least }, LineResult::Indices(dst)) => arg_extremum(lines, least, dst, src),
            (LineOp::Cumsum { reverse }, LineResult::Elements(dst)) => cumsum(lines, reverse, dst, src),
            _ => panic!("a result of another kind"),
        }
    }
}

/// Where an operation on lines writes.
pub enum LineResult<'a, E: Pod> {
    /// Indices.
    Indices(&'a mut [i64]),
    /// Elements.
    Elements(&'a mut [E]),
}
