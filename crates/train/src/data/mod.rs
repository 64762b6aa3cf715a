//! From files and numbers to batches of tensors.

mod batches;
#[cfg(feature = "bpe")]
mod bpe;
mod pad;
mod rows;
mod standard;
mod stream;
#[cfg(feature = "csv")]
mod table;
mod vocabulary;
mod windows;

pub use batches::Batches;
#[cfg(feature = "bpe")]
pub use bpe::Bpe;
pub use pad::{Padded, pad, pad_sequence, unpad_sequence};
pub use rows::take;
pub use standard::Standard;
pub use stream::{Piece, Stream};
#[cfg(feature = "csv")]
pub use table::{Missing, Table, TableOptions};
pub use vocabulary::{Vocabulary, VocabularyOptions};
pub use windows::Windows;

use wengert_autograd::{Error, ErrorKind};

/// An error of a value that the caller gave.
#[track_caller]
pub(crate) fn refused(op: &str, found: impl Into<String>, remedy: &str) -> Error {
    Error::new(ErrorKind::Value, op, found, remedy)
}
