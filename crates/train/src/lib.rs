//! What stands around a training loop: pieces, not a framework.
#![forbid(unsafe_code)]

mod checkpoint;
mod data;
mod error;
mod folds;
mod log;
#[cfg(feature = "plot")]
pub mod plot;
#[cfg(feature = "progress")]
mod progress;
mod range_test;
mod seeds;
mod stopping;

pub use checkpoint::{Checkpointed, Checkpoints, Parts, Resumed, Value};
#[cfg(feature = "bpe")]
pub use data::Bpe;
#[cfg(feature = "csv")]
pub use data::Table;
pub use data::{Batches, Padded, Piece, Standard, Stream, Vocabulary, Windows, pad, take};
pub use error::{Error, Result};
pub use folds::{Fold, WalkForward, k_fold, split};
pub use log::{CsvLog, JsonLog, Log, TensorBoard};
#[cfg(feature = "progress")]
pub use progress::Progress;
pub use range_test::{RangeFound, RangeTest};
pub use seeds::{Random, Seeds, permutation};
pub use stopping::EarlyStopping;
