//! The table of elementwise operations as a list, for tests and tools that go through all of them.

use super::elementwise::{Row, record};
use super::table::TABLE;
use crate::error::ErrorKind;
use crate::record::Fault;
use crate::tape::Tape;
use crate::var::Var;
use std::fmt;

/// One elementwise operation: a row of the table from which its method, kernel and derivatives follow.
///
/// ```
/// use wengert_autograd::{Elementwise, Tape};
/// let tape = Tape::new();
/// let tanh = Elementwise::all().find(|op| op.name() == "tanh").expect("it is in the table");
/// assert_eq!(tanh.arity(), 1);
/// assert_eq!(tanh.apply(&tape, &[tape.var(0.0f64)]).item()?, 0.0);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Elementwise(&'static Row);

impl Elementwise {
    /// Every operation of the table.
    pub fn all() -> impl Iterator<Item = Elementwise> {
        TABLE.iter().map(|row| Elementwise(row))
    }

    /// The name, which is that of its method.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The number of operands.
    pub fn arity(self) -> usize {
        self.0.samples.len()
    }

    /// Records the operation. Operands of other types than it takes, or another number of them, make the result invalid.
    #[track_caller]
    pub fn apply<'t>(self, tape: &'t Tape, operands: &[Var<'t>]) -> Var<'t> {
        if operands.len() != self.arity() {
            let found = format!("{} operands are given, expected {}", operands.len(), self.arity());
            let remedy = "give as many as arity() says".into();
            return tape.fail(self.name(), Fault { kind: ErrorKind::Value, found, remedy });
        }
        record(tape, self.0, operands)
    }
}

impl fmt::Debug for Elementwise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
