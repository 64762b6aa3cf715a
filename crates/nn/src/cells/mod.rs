//! Cells, one file each.

mod lstm;
#[cfg(feature = "proptest")]
mod random;

pub use lstm::LstmCell;
