//! What a module is told about the pass it takes part in.

use wengert_autograd::{DType, Shape, Tape, Var};

/// The context of a forward pass: the tape, whether it trains or evaluates, and the element type of new values.
#[derive(Clone, Copy, Debug)]
pub struct Cx<'t> {
    tape: &'t Tape,
    training: bool,
    dtype: DType,
}

impl<'t> Cx<'t> {
    /// A pass that trains; new values are F32.
    pub fn train(tape: &'t Tape) -> Cx<'t> {
        Cx { tape, training: true, dtype: DType::F32 }
    }

    /// A pass that evaluates; new values are F32.
    pub fn eval(tape: &'t Tape) -> Cx<'t> {
        Cx { tape, training: false, dtype: DType::F32 }
    }

    /// The same pass with another element type for new values. [`Rnn`](crate::Rnn) sets that of a cell's parameters.
    pub fn with_dtype(self, dtype: DType) -> Cx<'t> {
        Cx { dtype, ..self }
    }

    /// The tape.
    pub fn tape(&self) -> &'t Tape {
        self.tape
    }

    /// Whether the pass trains.
    pub fn is_training(&self) -> bool {
        self.training
    }

    /// The element type of new values.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Zeros of a shape: the usual initial state.
    #[track_caller]
    pub fn zeros(&self, shape: impl Into<Shape>) -> Var<'t> {
        self.tape.zeros(shape, self.dtype)
    }
}
