//! wengert: a framework for research on recurrent networks.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub use wengert_autograd as autograd;
pub use wengert_autograd::check;
pub use wengert_autograd::{set_threads, threads};
pub use wengert_nn as nn;
pub use wengert_optim as optim;
#[cfg(feature = "train")]
pub use wengert_train as train;

/// What a program that defines and trains a network uses.
pub mod prelude {
    pub use wengert_autograd::{
        Checkpoint, Compiled, Conv1dOptions, DType, Error, Gradients, Operand, Param, ParamTree, Result, ScanOptions,
        Shape, Tape, Tensor, Tree, Var,
    };
    pub use wengert_nn::cells::*;
    pub use wengert_nn::dropout::{RecurrentDropout, WeightDrop, Zoneout};
    pub use wengert_nn::{
        Apply, Bidirectional, Carried, Cell, Cx, Dropout, Embedding, LayerNorm, Linear, Module, Rnn, Run, Sequential,
        Tree, Truncated, decode, init, io, loss, metrics,
    };
    pub use wengert_optim::schedule::{self, Schedule};
    pub use wengert_optim::{
        Accumulate, Adadelta, Adagrad, Adam, Adamax, Asgd, Average, ClipAdaptive, ClipNorm, ClipValue, Group, Lbfgs,
        Lion, Muon, NAdam, Optimizer, RAdam, RmsProp, Rprop, Sgd, Transform, clip_grad_norm, clip_grad_value,
    };
}

/// The programs in the guides run as tests.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../docs/checking-gradients.md")]
    mod checking_gradients {}
    #[doc = include_str!("../docs/custom-cells.md")]
    mod custom_cells {}
    #[cfg(feature = "train")]
    #[doc = include_str!("../docs/from-pytorch.md")]
    mod from_pytorch {}
    #[cfg(feature = "train")]
    #[doc = include_str!("../docs/training.md")]
    mod training {}
}
