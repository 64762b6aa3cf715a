//! Who records: the operation that errors name, and the line they point to.
//!
//! An operation may be composed of others. What its caller wrote is the outermost one, so that is the one an error names:
//! the first [`Composition`] in force decides on name and line, those inside of it change nothing.

use crate::error::Error;
use crate::record::Fault;
use crate::tape::Tape;
use std::cell::Cell;
use std::panic::Location;

/// On whose behalf a tape records.
#[derive(Clone, Copy, Default)]
pub(crate) struct Recorder {
    /// The composition in force.
    name: Option<&'static str>,
    /// The line that nodes and errors get; without, that of the caller of each operation.
    at: Option<&'static Location<'static>>,
    /// The operation whose derivative is being recorded.
    derivative: Option<&'static str>,
}

impl Recorder {
    /// The name in force, else `own`.
    pub(crate) fn name<'n>(&self, own: &'n str) -> &'n str {
        self.name.unwrap_or(own)
    }

    /// The line in force, else `own`.
    pub(crate) fn at(&self, own: &'static Location<'static>) -> &'static Location<'static> {
        self.at.unwrap_or(own)
    }

    /// A fault of operation `name` as an error.
    #[cold]
    pub(crate) fn error(&self, name: &str, fault: Fault, at: &'static Location<'static>) -> Error {
        let error = Error::at(fault.kind, name, fault.found, fault.remedy, Some(at));
        match self.derivative {
            Some(of) if of != name => error.within_at(format_args!("the derivative of {of}"), at),
            _ => error,
        }
    }
}

/// While it lives, errors of the operations recorded on the tape bear one name and one line; see [`Tape::composition`].
#[must_use = "the composition ends where this value is dropped"]
pub struct Composition<'t> {
    recorder: &'t Cell<Recorder>,
    before: Recorder,
}

impl Drop for Composition<'_> {
    fn drop(&mut self) {
        self.recorder.set(self.before);
    }
}

impl Tape {
    /// Begins an operation that is composed of others: until the answer is dropped, what is recorded on this tape has the
    /// caller's line, and errors name the composition. Inside of another composition it changes nothing.
    ///
    /// ```
    /// use wengert_autograd::{DType, Tape, Tensor, Var};
    /// /// `x / Σ x` over the last axis.
    /// #[track_caller]
    /// fn share(x: Var<'_>) -> Var<'_> {
    ///     let _named = x.tape().composition("share");
    ///     x / x.sum_keep(-1)
    /// }
    /// let tape = Tape::new();
    /// let error = share(tape.var(1.0f32)).value().unwrap_err();
    /// assert!(error.to_string().starts_with("share: axis -1 is out of range for shape []"));
    /// ```
    #[track_caller]
    pub fn composition(&self, name: &'static str) -> Composition<'_> {
        let before = self.recorder.get();
        if before.name.is_none() {
            let at = before.at.or(Some(Location::caller()));
            self.recorder.set(Recorder { name: Some(name), at, ..before });
        }
        Composition { recorder: &self.recorder, before }
    }

    /// Runs a closure that the caller of a composition gave: what it records has names and lines of its own.
    pub(crate) fn given<R>(&self, closure: impl FnOnce() -> R) -> R {
        let _suspended = self.recording(Recorder::default());
        closure()
    }

    /// Begins the derivative of `op`, recorded at `at`.
    pub(crate) fn derivative(&self, op: &'static str, at: &'static Location<'static>) -> Composition<'_> {
        self.recording(Recorder { name: None, at: Some(at), derivative: Some(op) })
    }

    fn recording(&self, now: Recorder) -> Composition<'_> {
        Composition { recorder: &self.recorder, before: self.recorder.replace(now) }
    }
}
