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

    /// A random key (I64, no axes) for one draw: another at every call, whoever makes it, of this context or a copy. So two layers,
    /// or two uses of one, never share what they draw. A context that was given its seed or number anew begins anew.
    /// A pass without a key gives an invalid value.
    #[track_caller]
    pub fn next_key(&self) -> Var<'t> {
        match self.key {
            Some(key) => key.next_key(),
            None => self.tape.zeros([], DType::I64).invalid(
                "next_key",
                "something random, such as dropout, is drawn in a pass without a key",
                "give the pass one, another for each step: Cx::train(&tape).with_seed(step)",
            ),
        }
    }

    /// A mask for dropout of `rate`: with this probability 0, else `1 / (1 − rate)`, so that the mean of what is
    /// multiplied by it stays. Every call draws another, of this pass's element type. There is none (no dropout) in an
    /// evaluation and for rate 0.
    #[track_caller]
    pub fn dropout_mask(&self, rate: f64, shape: impl Into<Shape>) -> Option<Var<'t>> {
        // A rate of 1 leaves zeros.
        let scale = if rate < 1.0 { 1.0 / (1.0 - rate) } else { 0.0 };
        let dropped = self.chosen(rate, shape)?;
        let (zero, scale) = (self.tape.full([], 0.0, self.dtype), self.tape.full([], scale, self.dtype));
        Some(dropped.select(zero, scale))
    }

    /// Truth values (Bool) that hold with probability `rate`: what is dropped. Every call draws others. There are none
    /// in an evaluation and for rate 0.
    #[track_caller]
    pub fn chosen(&self, rate: f64, shape: impl Into<Shape>) -> Option<Var<'t>> {
        if !self.training || rate == 0.0 {
            return None;
        }
        if !(0.0..=1.0).contains(&rate) {
            let found = format!("the rate is {rate}, expected a number from 0 to 1");
            return Some(self.tape.zeros([], DType::Bool).invalid("dropout", found, "divide a percentage by 100"));
        }
        Some(self.tape.bernoulli(self.next_key(), rate, shape, DType::Bool))
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
