//! Rates along a cosine.

use super::{Schedule, passed};
use std::f64::consts::PI;

/// From `from` to `to` along half a period, as `part` goes from 0 to 1.
fn anneal(from: f64, to: f64, part: f64) -> f64 {
    to + (from - to) * (1.0 + (PI * part).cos()) / 2.0
}

/// `to + (from − to)·(1 + cos(π·step / steps)) / 2`, then `to` (Loshchilov & Hutter 2017, "SGDR"), as PyTorch's `CosineAnnealingLR`,
/// which rises again after `steps`.
#[derive(Clone, Debug)]
pub struct Cosine {
    /// The first rate.
    pub from: f64,
    /// The last rate.
    pub to: f64,
    /// The number of steps until the last.
    pub steps: usize,
}

impl Schedule for Cosine {
    fn at(&self, step: usize) -> f64 {
        if step >= self.steps { self.to } else { anneal(self.from, self.to, passed(step, self.steps)) }
    }
}

/// A [`Cosine`] that begins anew, each time `growth` times as long (Loshchilov & Hutter 2017), as PyTorch's
/// `CosineAnnealingWarmRestarts`.
#[derive(Clone, Debug)]
pub struct WarmRestarts {
    /// The rate after each restart.
    pub from: f64,
    /// The rate that is approached.
    pub to: f64,
    /// The number of steps until the first restart; 0 counts as 1.
    pub steps: usize,
    /// From one length to the next; 0 counts as 1.
    pub growth: usize,
}

impl Schedule for WarmRestarts {
    fn at(&self, step: usize) -> f64 {
        let (mut step, mut length) = (step, self.steps.max(1));
        if self.growth <= 1 {
            step %= length;
        }
        while step >= length {
            step -= length;
            length = length.saturating_mul(self.growth);
        }
        anneal(self.from, self.to, step as f64 / length as f64)
    }
}

/// One cycle (Smith & Topin 2019, "Super-convergence"), as PyTorch's `OneCycleLR`: along cosines from `highest / start` to `highest`
/// and from there to `highest / (start·end)`.
///
/// ```
/// use wengert_optim::schedule::{OneCycle, Schedule};
/// let cycle = OneCycle { rise: 0.2, ..OneCycle::new(0.1, 100) };
/// assert!((cycle.at(0) - 0.004).abs() < 1e-15 && (cycle.at(19) - 0.1).abs() < 1e-15);
/// ```
#[derive(Clone, Debug)]
pub struct OneCycle {
    /// The greatest rate.
    pub highest: f64,
    /// The number of all steps.
    pub steps: usize,
    /// The part of the steps in which the rate rises.
    pub rise: f64,
    /// What the greatest rate is of the first.
    pub start: f64,
    /// What the first rate is of the last.
    pub end: f64,
}

impl OneCycle {
    /// With a rise over 0.3 of the steps, from 1/25 of the greatest rate, and to 1/10,000 of the first.
    pub fn new(highest: f64, steps: usize) -> OneCycle {
        OneCycle { highest, steps, rise: 0.3, start: 25.0, end: 1e4 }
    }
}

impl Schedule for OneCycle {
    fn at(&self, step: usize) -> f64 {
        let first = self.highest / self.start;
        let (step, last) = (step as f64, self.steps as f64 - 1.0);
        let top = self.rise * self.steps as f64 - 1.0;
        if step >= last {
            first / self.end
        } else if step <= top {
            anneal(first, self.highest, if top > 0.0 { step / top } else { 1.0 })
        } else {
            anneal(self.highest, first / self.end, (step - top) / (last - top))
        }
    }
}
