//! Errors with an address: what was asked, what was found, what to do, and where.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// What went wrong, for code that wants to tell errors apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Shapes or axes that do not fit the operation.
    Shape,
    /// Element types that do not fit the operation.
    DType,
    /// An index outside its axis, found when the program ran.
    Index,
    /// A value used where it does not exist: another tape, outside its scan body.
    Scope,
    /// A derivative that was asked for and cannot be given.
    Gradient,
    /// An infinity or NaN that arose, on a tape that [looks for them](crate::Tape::detect_anomaly).
    NonFinite,
    /// A value that is not what the call needs (an empty list, a count of zero, ...).
    Value,
    /// A program that needs more memory than there is.
    Memory,
}

/// The error of every fallible call of wengert.
///
/// A mistake in a recorded formula does not panic: the operation's result is invalid and carries
/// this error, operations on it pass it on, and whoever asks for a value receives it. It names the
/// operation, what was found, what was expected, a remedy, and the line of the caller's source.
#[derive(Clone, thiserror::Error)]
#[error("{0}")]
pub struct Error(Arc<Report>);

#[derive(Debug)]
struct Report {
    kind: ErrorKind,
    op: String,
    found: String,
    remedy: String,
    at: Option<&'static Location<'static>>,
    /// What the operation was part of, innermost first, and where that was called.
    context: Vec<(String, &'static Location<'static>)>,
}

/// The result of wengert's fallible calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of operation `op`: `found` says what was found and expected, `remedy` what to do
    /// (may be empty). The address is the caller's.
    #[track_caller]
    pub fn new(kind: ErrorKind, op: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Error::at(kind, op, found, remedy, Some(Location::caller()))
    }

    pub(crate) fn at(
        kind: ErrorKind,
        op: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
        at: Option<&'static Location<'static>>,
    ) -> Self {
        Error(Arc::new(Report {
            kind,
            op: op.into(),
            found: found.into(),
            remedy: remedy.into(),
            at,
            context: Vec::new(),
        }))
    }

    /// The same error, with a note of what the operation was part of and the caller's address.
    #[track_caller]
    pub fn within(&self, note: impl fmt::Display) -> Error {
        self.within_at(note, Location::caller())
    }

    pub(crate) fn within_at(&self, note: impl fmt::Display, caller: &'static Location<'static>) -> Error {
        let Report { kind, op, found, remedy, at, context } = &*self.0;
        let mut context = context.clone();
        context.push((note.to_string(), caller));
        let (op, found, remedy) = (op.clone(), found.clone(), remedy.clone());
        Error(Arc::new(Report { kind: *kind, op, found, remedy, at: *at, context }))
    }

    /// The same error, found in a step of a loop.
    pub(crate) fn at_step(&self, step: usize) -> Error {
        // A trace of non-finite values names loops and steps itself.
        if self.kind() == ErrorKind::NonFinite {
            return self.clone();
        }
        let Report { kind, op, found, remedy, at, .. } = &*self.0;
        Error::at(*kind, op.as_str(), format!("at step {step}: {found}"), remedy.as_str(), *at)
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The operation that failed first.
    pub fn op(&self) -> &str {
        &self.0.op
    }

    /// The line of source that recorded the failed operation.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.0.at
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.op, self.found)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        if let Some(at) = self.at {
            write!(f, " (at {}:{}:{})", at.file(), at.line(), at.column())?;
        }
        for (note, at) in &self.context {
            write!(f, ", in {note} (at {}:{}:{})", at.file(), at.line(), at.column())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({})", self.0)
    }
}
