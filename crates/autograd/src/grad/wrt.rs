//! Lists of inputs that derivatives are taken with respect to.

use crate::operand::Operand;
use crate::tape::Tape;
use crate::var::Var;

/// What a derivative is taken with respect to: an array or a `Vec` of [operands](Operand), or a slice of [`Var`]s. Results
/// come as an array for an array, and as a `Vec` otherwise.
///
/// ```
/// use wengert_autograd::{Tape, Var};
/// let tape = Tape::new();
/// let xs: Vec<Var<'_>> = (1..4).map(|i| tape.var(i as f64)).collect();
/// let product = xs.iter().fold(tape.constant(1.0f64), |product, x| product * *x);
/// let [last] = product.grad([xs[2]]);
/// let all: Vec<Var<'_>> = product.grad(&xs[..]);
/// assert_eq!((last.item()?, all[1].item()?), (2.0, 3.0));
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
pub trait Wrt<'t>: Sized {
    /// One result for each input.
    type Of<T>;

    /// The inputs as values of `tape`.
    fn resolve(self, tape: &'t Tape) -> Vec<Var<'t>>;

    /// The form of the results; there is one for each input.
    fn collect<T>(results: Vec<T>) -> Self::Of<T>;
}

impl<'t, R: Operand<'t>, const N: usize> Wrt<'t> for [R; N] {
    type Of<T> = [T; N];

    #[track_caller]
    fn resolve(self, tape: &'t Tape) -> Vec<Var<'t>> {
        self.map(|input| input.resolve(tape, None)).into()
    }

    fn collect<T>(results: Vec<T>) -> [T; N] {
        results.try_into().unwrap_or_else(|_| unreachable!("one result for each input"))
    }
}

impl<'t, R: Operand<'t>> Wrt<'t> for Vec<R> {
    type Of<T> = Vec<T>;

    #[track_caller]
    fn resolve(self, tape: &'t Tape) -> Vec<Var<'t>> {
        self.into_iter().map(|input| input.resolve(tape, None)).collect()
    }

    fn collect<T>(results: Vec<T>) -> Vec<T> {
        results
    }
}

impl<'t> Wrt<'t> for &[Var<'t>] {
    type Of<T> = Vec<T>;

    #[track_caller]
    fn resolve(self, tape: &'t Tape) -> Vec<Var<'t>> {
        self.iter().map(|input| input.resolve(tape, None)).collect()
    }

    fn collect<T>(results: Vec<T>) -> Vec<T> {
        results
    }
}
