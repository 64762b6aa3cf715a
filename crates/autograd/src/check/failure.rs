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
    /// The function is not one: it gave two values for the same inputs.
    #[error(
        "gradcheck, order {order}: {output}{} is {} and then {} for the same inputs, so there is no derivative to \
         compare; draw random numbers from a key that is captured or given, and keep no state between calls",
        Entry(.entry), .values.0, .values.1
    )]
    Nondeterministic {
        /// 1 for the function, 2 for its gradients.
        order: usize,
        /// What changed: "the value", "the gradient of input 0".
        output: String,
        /// The index of the first entry that changed.
        entry: Option<Vec<usize>>,
        /// The entry in the first call and in the second.
        values: (f64, f64),
    },
    /// Nothing could be compared: the inputs are not `f64`, or the function is invalid.
    #[error("{0}")]
    Error(#[from] Error),
}

impl CheckFailure {
    /// The mismatch, if there was something to compare.
    pub fn mismatch(&self) -> Option<&Mismatch> {
        match self {
            CheckFailure::Mismatch(mismatch) => Some(mismatch),
            _ => None,
        }
    }
}

/// Which derivative was compared with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Reverse mode with central differences.
    Reverse,
    /// Forward mode with reverse mode, to rounding.
    Forward,
}

/// Derivatives that do not agree: the worst entry, and a summary for each input.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Mismatch {
    /// 1 for the derivative of the function, 2 for the derivative of its gradients.
    pub order: usize,
    /// Which derivative was compared.
    pub mode: Mode,
    /// What was differentiated: "the value", "the gradient of input 0".
    pub output: String,
    /// The index of the differentiated entry; `None` for a random combination of all entries (fast mode).
    pub output_entry: Option<Vec<usize>>,
    /// What it was differentiated by: "input 1", "parameter 'cell.w'", "the cotangent".
    pub input: String,
    /// The index of the input's entry; `None` for a random direction (fast mode).
    pub input_entry: Option<Vec<usize>>,
    /// The derivative by the recorded rules: those of the mode.
    pub analytic: f64,
    /// What it should be: the central difference or, for forward mode, the derivative by reverse mode.
    pub numeric: f64,
    /// The difference over the tolerance; more than one, or NaN.
    pub ratio: f64,
    /// How many entries failed, of how many.
    pub failed: (usize, usize),
    /// The same for each input, in order; of several outputs, the one that is furthest off.
    pub inputs: Vec<InputReport>,
    /// What the pattern of the wrong entries looks like, if it looks like something.
    pub hint: Option<String>,
}

/// How the derivatives by one input compare.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct InputReport {
    /// The name of the input.
    pub input: String,
    /// How many entries failed, of how many.
    pub failed: (usize, usize),
    /// The entry that is furthest off, if one failed.
    pub worst: Option<Worst>,
}

/// The entry of a Jacobian that is furthest off.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Worst {
    /// What was differentiated.
    pub output: String,
    /// The index of the differentiated entry; `None` for a random combination.
    pub output_entry: Option<Vec<usize>>,
    /// The index of the input's entry; `None` for a random direction.
    pub input_entry: Option<Vec<usize>>,
    /// The derivative by the recorded rules.
    pub analytic: f64,
    /// What it should be.
    pub numeric: f64,
    /// The difference over the tolerance.
    pub ratio: f64,
}

/// An index as text.
struct Entry<'a>(&'a Option<Vec<usize>>);

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(index) => write!(f, "{index:?}"),
            None => f.write_str(" (random direction)"),
        }
    }
}

/// A derivative as text: nine digits, which is more than differences have.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        if size != 0.0 && !(1e-3..1e6).contains(&size) {
            // Reads NaN and infinities as Rust writes them.
            return write!(f, "{:.8e}", self.0);
        }
        let text = format!("{:.9}", self.0);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mismatch { order, output, output_entry, input, input_entry, analytic, numeric, ratio, failed, .. } = self;
        let (subject, by) = match self.mode {
            Mode::Reverse => ("the rules", "differences"),
            Mode::Forward => ("forward mode", "reverse mode"),
        };
        write!(
            f,
            "gradcheck, order {order}: the derivative of {output}{} by {input}{} is {} by {subject} and \
             {} by {by}, {ratio:.3e} times the tolerance apart; {} of {} entries differ",
            Entry(output_entry),
            Entry(input_entry),
            Number(*analytic),
            Number(*numeric),
            failed.0,
            failed.1
        )?;
        // One input has been described.
        for report in self.inputs.iter().filter(|_| self.inputs.len() > 1) {
            write!(f, "\n  by {}: ", report.input)?;
            match &report.worst {
                None => write!(f, "all {} entries agree", report.failed.1)?,
                Some(worst) => write!(
                    f,
                    "{} of {} entries differ; worst: {}{} by {}, {}, not {}, ratio {:.3e}",
                    report.failed.0,
                    report.failed.1,
                    worst.output,
                    Entry(&worst.output_entry),
                    Entry(&worst.input_entry),
                    Number(worst.analytic),
                    Number(worst.numeric),
                    worst.ratio
                )?,
            }
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}
