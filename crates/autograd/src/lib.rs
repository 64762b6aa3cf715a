//! Tape-based automatic differentiation.
//!
//! A [`Tape`] records operations on [`Var`]s; nothing is computed until a value is asked for. Then what was asked
//! becomes a program (fused, laid out in one arena, cached by structure) and runs. Differentiation writes more
//! tape: gradients are `Var`s, so derivatives of any order come from the same rules. Time is a primitive:
//! [`Tape::scan`] records a step once, and its derivative is a scan in the other direction.
//!
//! ```
//! use wengert_autograd::{Param, Tape, Tensor};
//! let w = Param::new(Tensor::from_slice(&[0.5f32, -1.0], [2, 1])?);
//! let tape = Tape::new();
//! let x = tape.constant(Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], [2, 2])?);
//! let loss = x.matmul(&w).tanh().square().mean();
//! let gradients = loss.backward()?;
//! assert_eq!(gradients.get(&w).map(|g| g.shape().to_vec()), Some(vec![2, 1]));
//! # Ok::<(), wengert_autograd::Error>(())
//! ```
#![forbid(unsafe_code)]

pub mod check;
mod dtype;
mod error;
mod grad;
mod mark;
mod node;
mod operand;
mod ops;
mod origin;
mod param;
mod pool;
mod program;
mod record;
mod recorder;
mod replace;
mod scan;
mod shape;
mod storage;
mod tape;
mod tensor;
mod tensor_fmt;
#[cfg(feature = "ndarray")]
mod tensor_ndarray;
mod tensor_views;
mod tree;
mod var;
mod view;

#[cfg(test)]
mod tests;

pub use dtype::{DType, Element};
pub use error::{Error, ErrorKind, Result};
pub use grad::{Gradients, Wrt};
pub use operand::Operand;
pub use ops::{Axes, BoxError, Conv1dOptions, CustomOp, Derivative, Elementwise};
pub use origin::Pass;
pub use param::{Param, ParamId, ParamTree, Path};
pub use program::{Compiled, Instruction, Operation, Profile, ProfileEntry, ProgramView};
pub use recorder::Composition;
pub use replace::{Last, Place};
pub use scan::{Checkpoint, ScanOptions};
pub use shape::Shape;
pub use tape::{IntoTensor, Tape};
pub use tensor::Tensor;
pub use tree::Tree;
pub use var::Var;
pub use view::{Equation, Explanation};
pub use wengert_kernels::{set_threads, threads};
