//! Cells, one file each.

mod lstm;

pub use lstm::LstmCell;
