//! Rates that fall.

use super::{Schedule, passed};

/// `lr·factor^⌊step / every⌋`, as PyTorch's `StepLR`.
#[derive(Clone, Debug)]
pub struct Step {
    /// The first rate.
    pub lr: f64,
    /// The number of steps of each rate; 0 counts as 1.
    pub every: usize,
    /// From one rate to the next.
    pub factor: f64,
}

impl Schedule for Step {
    fn at(&self, step: usize) -> f64 {
        self.lr * self.factor.powf((step / self.every.max(1)) as f64)
    }
}

/// `lr·factor^n`, where `n` milestones have been reached, as PyTorch's `MultiStepLR`.
#[derive(Clone, Debug)]
pub struct MultiStep {
    /// The first rate.
    pub lr: f64,
    /// The steps at which the rate changes, in any order; one that is there twice counts twice.
    pub milestones: Vec<usize>,
    /// From one rate to the next.
    pub factor: f64,
}

impl Schedule for MultiStep {
    fn at(&self, step: usize) -> f64 {
        let reached = self.milestones.iter().filter(|milestone| step >= **milestone).count();
        self.lr * self.factor.powf(reached as f64)
    }
}

/// `lr·factor^step`, as PyTorch's `ExponentialLR`.
#[derive(Clone, Debug)]
pub struct Exponential {
    /// The first rate.
    pub lr: f64,
    /// From one step to the next.
    pub factor: f64,
}

impl Schedule for Exponential {
    fn at(&self, step: usize) -> f64 {
        self.lr * self.factor.powf(step as f64)
    }
}

/// `to + (from − to)·(1 − step / steps)^power`, then `to`; with `to = 0` PyTorch's `PolynomialLR`.
#[derive(Clone, Debug)]
pub struct Polynomial {
    /// The first rate.
    pub from: f64,
    /// The last rate.
    pub to: f64,
    /// The number of steps until the last.
    pub steps: usize,
    /// 1 is a line.
    pub power: f64,
}

impl Schedule for Polynomial {
    fn at(&self, step: usize) -> f64 {
        self.to + (self.from - self.to) * (1.0 - passed(step, self.steps)).powf(self.power)
    }
}

/// `lr` for `flat` steps, then `lr·√(flat / (step + 1))` (Raffel et al. 2020); usually after a
/// [`warm_up`](Schedule::warm_up).
#[derive(Clone, Debug)]
pub struct InverseSqrt {
    /// The first rate.
    pub lr: f64,
    /// The number of steps at the first rate; 0 counts as 1.
    pub flat: usize,
}

impl Schedule for InverseSqrt {
    fn at(&self, step: usize) -> f64 {
        let flat = self.flat.max(1) as f64;
        self.lr * (flat / flat.max(step as f64 + 1.0)).sqrt()
    }
}

/// `scale·size^−½·min(s^−½, s·warm_up^−3/2)` with `s = step + 1` (Vaswani et al. 2017, equation 3).
#[derive(Clone, Debug)]
pub struct Noam {
    /// The width of the model; 0 counts as 1.
    pub size: usize,
    /// The number of steps in which the rate rises; 0 counts as 1.
    pub warm_up: usize,
    /// A factor of all rates; the paper's is 1.
    pub scale: f64,
}

impl Schedule for Noam {
    fn at(&self, step: usize) -> f64 {
        let (s, warm_up, size) = (step as f64 + 1.0, self.warm_up.max(1) as f64, self.size.max(1) as f64);
        self.scale * size.powf(-0.5) * s.powf(-0.5).min(s * warm_up.powf(-1.5))
    }
}
