//! Facts of tapes and programs that are larger than one operation.

use super::support::{Rng, WIDE, assert_equal, same_bits, sampled};
use crate::{DType, Param, ScanOptions, Tape, Tensor, Var};

