//! What a failed check says.

use crate::error::Error;
use std::fmt;

/// Why a check failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckFailure {
    /// An analytic and a numeric derivative differ.
    #[error("{0}")]
    Mismatch(Box<Mismatch>),
    /// Nothing could be compared: the inputs are not `f64`, or the function is invalid.
    #[error("{0}")]
    Error(#[from] Error),
}

impl CheckFailure {
    /// The mismatch, if there was something to compare.
    pub fn mismatch(&self) -> Option<&Mismatch> {
        match self {
            CheckFailure::Mismatch(mismatch) => Some(mismatch),
            CheckFailure::Error(_) => None,
        }
    }
}

/// The worst entry of a Jacobian that does not agree with its differences.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Mismatch {
    /// 1 for the derivative of the function, 2 for the derivative of its gradients.
    pub order: usize,
    /// What was differentiated: "the value", "the gradient of input 0".
    pub output: String,
    /// The index of the differentiated entry; `None` for a random combination of all entries (fast mode).
    pub output_entry: Option<Vec<usize>>,
    /// What it was differentiated by: "input 1", "parameter 'cell.w'", "the cotangent".
    pub input: String,
    /// The index of the input's entry; `None` for a random direction (fast mode).
    pub input_entry: Option<Vec<usize>>,
    /// The derivative by the recorded rules.
    pub analytic: f64,
    /// The derivative by central differences.
    pub numeric: f64,
    /// The difference over the tolerance; more than one, or NaN.
    pub ratio: f64,
    /// How many entries failed, of how many.
    pub failed: (usize, usize),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mismatch { order, output, output_entry, input, input_entry, analytic, numeric, ratio, failed } = self;
        let entry = |entry: &Option<Vec<usize>>| match entry {
            Some(index) => format!("{index:?}"),
            None => " (random direction)".into(),
        };
        write!(
            f,
            "gradcheck, order {order}: the derivative of {output}{} by {input}{} is {analytic:e} by the rules and \
             {numeric:e} by differences, {ratio:.3e} times the tolerance apart; {} of {} entries differ",
            entry(output_entry),
            entry(input_entry),
            failed.0,
            failed.1
        )
    }
}
