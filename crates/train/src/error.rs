//! What can go wrong with files; everything else is an error of the tape's.

use std::path::{Path, PathBuf};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system refused.
    #[error("{path}: {source}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file is damaged, or not what it should be.
    #[error("{path}: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A checkpoint is whole, but of another run.
    #[error("the checkpoint does not fit the run: {problem}; {remedy}")]
    Mismatch {
        /// What differs.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// A cell of a table that does not hold what is asked of it.
    #[error("{path}, line {line}, column '{column}': '{found}' is not {expected}")]
    Cell {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The name of the column.
        column: String,
        /// The text of the cell.
        found: String,
        /// What was expected there.
        expected: String,
    },
    /// A wrong value or shape.
    #[error(transparent)]
    Value(#[from] wengert_autograd::Error),
}

/// The result of this crate's fallible calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn file(path: &Path, source: std::io::Error) -> Error {
        Error::File { path: path.into(), source }
    }

    pub(crate) fn format(path: &Path, reason: impl Into<String>) -> Error {
        Error::Format { path: path.into(), reason: reason.into() }
    }

    pub(crate) fn mismatch(problem: impl Into<String>, remedy: impl Into<String>) -> Error {
        Error::Mismatch { problem: problem.into(), remedy: remedy.into() }
    }
}
