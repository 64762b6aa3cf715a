//! Rates along a cosine.

use super::{Schedule, passed};
use std::f64::consts::PI;

/// From `from` to `to` along half a period, as `part` goes from 0 to 1.
pub(super) fn anneal(from: f64, to: f64, part: f64) -> f64 {
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
