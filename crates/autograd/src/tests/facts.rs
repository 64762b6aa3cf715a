//! Facts of tapes and programs that are larger than one operation.
