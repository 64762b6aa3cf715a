//! Rates in phases.

use super::{Schedule, passed};

/// A line from `from` to `to`, then `to`, as PyTorch's `LinearLR`.
#[derive(Clone, Debug)]
pub struct Line {
    /// The first rate.
    pub from: f64,
    /// The last rate.
    pub to: f64,
    /// The number of steps until the last.
    pub steps: usize,
}

impl Schedule for Line {
    fn at(&self, step: usize) -> f64 {
        self.from + (self.to - self.from) * passed(step, self.steps)
    }
}

/// Warm-up, stable, decay (Hu et al. 2024, "MiniCPM"): a rise as [`Schedule::warm_up`], a constant rate, and a line down to `to`.
#[derive(Clone, Debug)]
pub struct Wsd {
    /// The greatest rate.
    pub lr: f64,
    /// The number of steps in which the rate rises.
    pub warm_up: usize,
    /// The number of steps at the greatest rate.
    pub stable: usize,
    /// The number of steps in which the rate falls.
    pub decay: usize,
    /// The last rate.
    pub to: f64,
}

impl Schedule for Wsd {
    fn at(&self, step: usize) -> f64 {
        let fall = Line { from: self.lr, to: self.to, steps: self.decay };
        self.lr.then(self.stable, fall).warm_up(self.warm_up).at(step)
    }
}

/// Rates at given steps.
#[derive(Clone, Debug)]
pub struct Piecewise {
    /// Steps and their rates, by rising step. Ahead of the first, its rate holds, and from the last on, that of the last.
    pub points: Vec<(usize, f64)>,
    /// What lies between two points.
    pub between: Between,
}

/// What lies between two points of [`Piecewise`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// The rate of the earlier.
    Constant,
    /// A line.
    Linear,
}

impl Schedule for Piecewise {
    /// 0 if there are no points.
    fn at(&self, step: usize) -> f64 {
        let next = self.points.partition_point(|(at, _)| *at <= step);
        let before = next.checked_sub(1).and_then(|last| self.points.get(last));
        match (before, self.points.get(next)) {
            (Some((start, from)), Some((end, to))) if self.between == Between::Linear => {
                Line { from: *from, to: *to, steps: end - start }.at(step - start)
            }
            (Some((_, lr)), _) | (None, Some((_, lr))) => *lr,
            (None, None) => 0.0,
        }
    }
}
