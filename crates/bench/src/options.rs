//! The command line.

use crate::shapes::{self, Shape};
use clap::{Parser, ValueEnum};
use wengert::prelude::*;

/// Times wengert: a table, or one JSON line a row.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// What to time.
    pub(crate) what: What,
    /// Shapes by name or as TxBxIxHxL, separated by commas, or `all`; each mode has its own default.
    #[arg(long)]
    shapes: Option<String>,
    /// Systems by name, separated by commas, or `all`; each mode has its own default.
    #[arg(long)]
    systems: Option<String>,
    /// Threads that share a program's work.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) threads: u8,
    /// The element type.
    #[arg(long, default_value = "f32")]
    pub(crate) dtype: Precision,
    /// Seconds to spend on each row.
    #[arg(long, default_value_t = 3.0)]
    pub(crate) budget: f64,
    /// The most runs of a row.
    #[arg(long, default_value_t = 200)]
    pub(crate) runs: usize,
    /// For `long`: the memory budget of its loop, in MiB.
    #[arg(long, default_value_t = 64)]
    pub(crate) checkpoint_mib: usize,
    /// One JSON object a line in place of a table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print what comes out for known weights, as loss and norm of the gradients: it does not depend on the system.
    #[arg(long)]
    pub(crate) check: bool,
    /// Measure in this process, and print bare numbers: how `memory` calls itself.
    #[arg(long, hide = true)]
    pub(crate) child: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum What {
    /// A training step: forward, loss = mean of squared outputs, backward; recording included.
    Train,
    /// Inference: single steps with the state carried, and whole sequences.
    Infer,
    /// A training step with a `for` loop over time, and the same with a scan.
    Unrolled,
    /// A user's cell against the library's, and a Hessian-vector product against a gradient, run for run.
    Custom,
    /// Elementwise operations, reductions and compositions, one at a time.
    Ops,
    /// The matrix products of a recurrent layer, and its training step, as shares of the processor's peak.
    Gemm,
    /// Updates of ten million parameters: ten matrices, and an LSTM's.
    Optim,
    /// The growth of resident memory by a training step.
    Memory,
    /// A training step on one long sequence, with everything kept and under a memory budget: time and memory by its length.
    Long,
    /// A training step on one thread, two, .. `--threads`; the cost of recording and planning.
    Scaling,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Precision {
    F32,
    F64,
}

impl Precision {
    pub(crate) fn dtype(self) -> DType {
        match self {
            Precision::F32 => DType::F32,
            Precision::F64 => DType::F64,
        }
    }
}

impl Options {
    /// Refuses what a mode would ignore.
    pub(crate) fn fit(&self) -> Result<(), String> {
        use What::{Custom, Gemm, Infer, Ops, Optim, Train, Unrolled};
        let what = format!("{:?}", self.what).to_lowercase();
        if self.shapes.is_some() && matches!(self.what, Ops | Optim) {
            return Err(format!("{what} takes no --shapes: its operands have one size"));
        }
        if self.systems.is_some() && matches!(self.what, Unrolled | Custom | Gemm) {
            return Err(format!("{what} takes no --systems: its rows are compared with each other"));
        }
        if self.check && !matches!(self.what, Train | Infer | Unrolled | Custom | Optim) {
            return Err("--check is for train, infer, unrolled, custom and optim".into());
        }
        Ok(())
    }

    /// The shapes asked for, or else those of `default`, a list in the same form.
    pub(crate) fn shapes(&self, default: &str) -> Result<Vec<Shape>, String> {
        shapes::named(self.shapes.as_deref().unwrap_or(default))
    }

    /// Those of `known` that are asked for, or else the first `usual`.
    pub(crate) fn systems<'k>(&self, known: &[&'k str], usual: usize) -> Result<Vec<&'k str>, String> {
        match self.systems.as_deref() {
            None => Ok(known[..usual].to_vec()),
            Some("all") => Ok(known.to_vec()),
            Some(list) => {
                let find = |name| known.iter().copied().find(|known| *known == name);
                let one = |name| find(name).ok_or(format!("no system '{name}': give all, or of {}", known.join(", ")));
                list.split(',').map(one).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Options {
        Options::try_parse_from(line.split(' ')).unwrap_or_else(|e| panic!("{line}: {e}"))
    }

    #[test]
    fn defaults_are_the_modes_own() {
        let options = parse("bench train");
        assert_eq!((options.what, options.threads, options.dtype), (What::Train, 1, Precision::F32));
        assert_eq!(options.shapes("seed,mid128").map(|s| s.len()), Ok(2));
        assert_eq!(options.systems(&["a", "b", "c"], 2), Ok(vec!["a", "b"]));
    }

    #[test]
    fn what_is_asked_for_counts() {
        let options = parse("bench memory --shapes 5x3x2x4x1 --systems c,a --threads 2 --dtype f64 --json");
        assert_eq!((options.what, options.threads, options.json), (What::Memory, 2, true));
        assert_eq!(options.dtype.dtype(), DType::F64);
        assert_eq!(options.shapes("all").map(|s| s.len()), Ok(1));
        assert_eq!(options.systems(&["a", "b", "c"], 1), Ok(vec!["c", "a"]));
        assert_eq!(parse("bench ops --systems all").systems(&["a", "b"], 1), Ok(vec!["a", "b"]));
    }

    #[test]
    fn what_a_mode_would_ignore_is_refused() {
        for line in
            ["ops --shapes seed", "optim --shapes seed", "gemm --systems input", "custom --systems all", "gemm --check"]
        {
            assert!(parse(&format!("bench {line}")).fit().is_err(), "{line}");
        }
        for line in ["ops --systems tanh", "gemm --shapes seed", "train --check --systems all --shapes seed"] {
            assert_eq!(parse(&format!("bench {line}")).fit(), Ok(()), "{line}");
        }
    }

    #[test]
    fn what_is_unknown_is_refused() {
        let error = parse("bench train --systems a,d").systems(&["a", "b"], 1).unwrap_err();
        assert_eq!(error, "no system 'd': give all, or of a, b");
        for line in ["bench", "bench fly", "bench train --threads 0", "bench train --dtype f16"] {
            assert!(Options::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
