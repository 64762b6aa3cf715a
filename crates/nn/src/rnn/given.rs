//! What a run is given besides its input.

use wengert_autograd::{Tape, Tensor, Var};

/// Data of a run: a recorded value, a tensor, or numbers such as lengths.
#[derive(Clone, Debug)]
pub enum Given<'t> {
    /// A recorded value.
    Var(Var<'t>),
    /// A tensor.
    Tensor(Tensor),
}

impl<'t> Given<'t> {
    /// It as a value of a tape.
    #[track_caller]
    pub(super) fn on(&self, tape: &'t Tape) -> Var<'t> {
        match self {
            Given::Var(var) => *var,
            Given::Tensor(tensor) => tape.constant(tensor),
        }
    }
}

impl<'t> From<Var<'t>> for Given<'t> {
    fn from(var: Var<'t>) -> Given<'t> {
        Given::Var(var)
    }
}

impl From<Tensor> for Given<'_> {
    fn from(tensor: Tensor) -> Self {
        Given::Tensor(tensor)
    }
}

impl From<&Tensor> for Given<'_> {
    fn from(tensor: &Tensor) -> Self {
        Given::Tensor(tensor.clone())
    }
}

impl From<&[usize]> for Given<'_> {
    fn from(numbers: &[usize]) -> Self {
        // No sequence in memory is longer.
        let numbers: Vec<i64> = numbers.iter().map(|n| i64::try_from(*n).unwrap_or(i64::MAX)).collect();
        let n = numbers.len();
        Given::Tensor(Tensor::from_vec(numbers, [n]).expect("n numbers for n entries"))
    }
}

impl From<&Vec<usize>> for Given<'_> {
    fn from(numbers: &Vec<usize>) -> Self {
        numbers.as_slice().into()
    }
}

impl<const N: usize> From<[usize; N]> for Given<'_> {
    fn from(numbers: [usize; N]) -> Self {
        numbers.as_slice().into()
    }
}
