//! What a module is told about the pass it takes part in.

use wengert_autograd::{DType, Shape, Tape, Var};

/// The context of a forward pass: the tape, whether it trains or evaluates, the element type of new values, and a
/// random key.
#[derive(Clone, Copy, Debug)]
pub struct Cx<'t> {
    tape: &'t Tape,
    training: bool,
    dtype: DType,
    key: Option<Var<'t>>,
}

impl<'t> Cx<'t> {
    /// A pass that trains; new values are F32.
    pub fn train(tape: &'t Tape) -> Cx<'t> {
        Cx { tape, training: true, dtype: DType::F32, key: None }
    }

    /// A pass that evaluates; new values are F32.
    pub fn eval(tape: &'t Tape) -> Cx<'t> {
        Cx { tape, training: false, dtype: DType::F32, key: None }
    }

    /// The same pass with another element type for new values. [`Rnn`](crate::Rnn) sets that of a cell's parameters.
    pub fn with_dtype(self, dtype: DType) -> Cx<'t> {
        Cx { dtype, ..self }
    }

    /// The same pass with a random key, a number that is bound when the program runs: another seed for every step does
    /// not compile anything anew.
    #[track_caller]
    pub fn with_seed(self, seed: i64) -> Cx<'t> {
        Cx { key: Some(self.tape.constant(seed)), ..self }
    }

    /// The same pass with a random key that is a value: in a loop, one for each step.
    pub fn with_key(self, key: Var<'t>) -> Cx<'t> {
        Cx { key: Some(key), ..self }
    }

    /// The same pass with a key of its own, derived from this one's by a number: one for each random part of a model.
    #[track_caller]
    pub fn fold_in(self, data: i64) -> Cx<'t> {
        Cx { key: self.key.map(|key| key.fold_in(data)), ..self }
    }

    /// The random key (I64, no axes), if the pass has one.
    pub fn key(&self) -> Option<Var<'t>> {
        self.key
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
