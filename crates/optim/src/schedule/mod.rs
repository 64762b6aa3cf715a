//! Learning rates as functions of the step.
//!
//! ```
//! use wengert_optim::schedule::{Cosine, Schedule};
//! let schedule = Cosine { from: 0.1, to: 0.0, steps: 100 }.warm_up(9);
//! assert_eq!((schedule.at(0), schedule.at(9)), (0.01, 0.1));
//! assert!((schedule.at(59) - 0.05).abs() < 1e-15);
//! assert_eq!(schedule.at(10_000), 0.0);
//! ```
//!
//! In a training loop: `adam.lr = schedule.at(step)`, with the first step 0. The rate is bound when a step runs, so nothing is planned anew.
//! Other numbers may follow a schedule as well: `adam.rule.betas.0 = momentum.at(step)` ([`OneCycle::momentum`], [`Cyclic::momentum`]).

mod cosine;
mod cycle;
mod decay;
mod one_cycle;
mod phases;
mod plateau;

pub use cosine::{Cosine, WarmRestarts};
pub use cycle::{Cyclic, Heights};
pub use decay::{Exponential, InverseSqrt, MultiStep, Noam, Polynomial, Step};
pub use one_cycle::{Anneal, OneCycle};
pub use phases::{Between, Line, Piecewise, Wsd};
pub use plateau::Plateau;

/// A learning rate for every step: a struct of this module, a number (constant), or a function.
///
/// ```
/// use wengert_optim::schedule::{Exponential, Schedule, Step};
/// let halved = |step: usize| 0.5f64.powi(step as i32);
/// assert_eq!(halved.at(2), 0.25);
/// // A constant rate for 3 steps, then another schedule from its beginning.
/// let sequence = 0.1.then(3, Exponential { lr: 0.1, factor: 0.5 });
/// assert_eq!([2, 3, 4].map(|step| sequence.at(step)), [0.1, 0.1, 0.05]);
/// // A product: the factor of each takes effect.
/// let product = Step { lr: 1.0, every: 2, factor: 0.1 }.times(halved);
/// assert_eq!(product.at(2), 0.1 * 0.25);
/// ```
pub trait Schedule {
    /// The learning rate of a step; the first is 0.
    fn at(&self, step: usize) -> f64;

    /// This schedule for `steps` steps, then `next` from its beginning.
    fn then<S: Schedule>(self, steps: usize, next: S) -> Then<Self, S>
    where
        Self: Sized,
    {
        Then { first: self, steps, next }
    }

    /// The product of two schedules.
    fn times<S: Schedule>(self, other: S) -> Times<Self, S>
    where
        Self: Sized,
    {
        Times(self, other)
    }

    /// First a linear rise over `steps` steps to this schedule's first rate, which comes after them:
    /// `(step + 1) / (steps + 1)` of it.
    fn warm_up(self, steps: usize) -> WarmUp<Self>
    where
        Self: Sized,
    {
        WarmUp { steps, next: self }
    }
}

impl Schedule for f64 {
    fn at(&self, _: usize) -> f64 {
        *self
    }
}

impl<F: Fn(usize) -> f64> Schedule for F {
    fn at(&self, step: usize) -> f64 {
        self(step)
    }
}

/// See [`Schedule::then`].
#[derive(Clone, Debug)]
pub struct Then<A, B> {
    first: A,
    steps: usize,
    next: B,
}

impl<A: Schedule, B: Schedule> Schedule for Then<A, B> {
    fn at(&self, step: usize) -> f64 {
        match step.checked_sub(self.steps) {
            Some(step) => self.next.at(step),
            None => self.first.at(step),
        }
    }
}

/// See [`Schedule::times`].
#[derive(Clone, Debug)]
pub struct Times<A, B>(A, B);

impl<A: Schedule, B: Schedule> Schedule for Times<A, B> {
    fn at(&self, step: usize) -> f64 {
        self.0.at(step) * self.1.at(step)
    }
}

/// See [`Schedule::warm_up`].
#[derive(Clone, Debug)]
pub struct WarmUp<S> {
    steps: usize,
    next: S,
}

impl<S: Schedule> Schedule for WarmUp<S> {
    fn at(&self, step: usize) -> f64 {
        match step.checked_sub(self.steps) {
            Some(step) => self.next.at(step),
            None => self.next.at(0) * (step + 1) as f64 / (self.steps + 1) as f64,
        }
    }
}

/// Which part of `steps` has passed, at most 1.
fn passed(step: usize, steps: usize) -> f64 {
    if step >= steps { 1.0 } else { step as f64 / steps as f64 }
}
