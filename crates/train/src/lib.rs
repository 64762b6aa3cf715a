//! What stands around a training loop: pieces, not a framework.
#![forbid(unsafe_code)]

mod batches;
mod checkpoint;
mod error;
mod seeds;

pub use batches::Batches;
pub use checkpoint::{Checkpointed, Checkpoints, Parts, Resumed, Value};
pub use error::{Error, Result};
pub use seeds::{Random, Seeds, permutation};
