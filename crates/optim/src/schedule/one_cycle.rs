//! One cycle of a rate, and of a momentum against it.

use super::Schedule;
use super::cosine::anneal;

/// One cycle (Smith & Topin 2019, "Super-convergence"), as PyTorch's `OneCycleLR`: from `highest / start` to `highest` and from there to
/// `highest / (start·end)`, or, in three phases, back to `highest / start` first.
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
    /// The part of the steps in which the rate rises; with three phases at most a half.
    pub rise: f64,
    /// What the greatest rate is of the first.
    pub start: f64,
    /// What the first rate is of the last.
    pub end: f64,
    /// Whether the rate falls to the first in as many steps as it rises, and only then to the last.
    pub three_phases: bool,
    /// What lies between these rates.
    pub anneal: Anneal,
}

/// The way from one rate to another in [`OneCycle`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anneal {
    /// Half a period of a cosine.
    #[default]
    Cosine,
    /// A line.
    Linear,
}

impl OneCycle {
    /// With a rise over 0.3 of the steps, from 1/25 of the greatest rate, and to 1/10,000 of the first; two phases, along cosines.
    pub fn new(highest: f64, steps: usize) -> OneCycle {
        let (rise, start, end) = (0.3, 25.0, 1e4);
        OneCycle { highest, steps, rise, start, end, three_phases: false, anneal: Anneal::Cosine }
    }

    /// The momentum that goes with it: from `high` to `low` while the rate rises, and back while it falls. PyTorch's are 0.85 and 0.95. It is
    /// set like the rate; Adam's is β₁:
    ///
    /// ```
    /// use wengert_optim::schedule::{OneCycle, Schedule};
    /// use wengert_optim::{Adam, Sgd};
    /// let cycle = OneCycle::new(0.1, 100);
    /// let momentum = cycle.momentum(0.85, 0.95);
    /// let (mut sgd, mut adam) = (Sgd::new(0.1).momentum(0.95), Adam::new(0.1));
    /// for step in 0..100 {
    ///     (sgd.lr, sgd.rule.momentum) = (cycle.at(step), momentum.at(step));
    ///     (adam.lr, adam.rule.betas.0) = (cycle.at(step), momentum.at(step));
    ///     // .. and the steps
    /// }
    /// assert_eq!(sgd.rule.momentum, 0.95);
    /// ```
    ///
    /// It stays one of the optimizer's [settings](crate::Optimizer::settings): a run that resumes from a checkpoint sets it for the step first, or
    /// allows it to differ.
    pub fn momentum(&self, low: f64, high: f64) -> impl Schedule + Clone + use<> {
        let cycle = self.clone();
        move |step: usize| cycle.through(step, high, low, high)
    }

    /// From `first` to `top` and to `last`, over `first` if there are three phases.
    fn through(&self, step: usize, first: f64, top: f64, last: f64) -> f64 {
        let between = |from: f64, to: f64, part: f64| match self.anneal {
            Anneal::Cosine => anneal(from, to, part),
            Anneal::Linear => from + (to - from) * part,
        };
        let (step, end) = (step as f64, self.steps as f64 - 1.0);
        let rise = self.rise * self.steps as f64 - 1.0;
        if step >= end {
            last
        } else if step <= rise {
            between(first, top, if rise > 0.0 { step / rise } else { 1.0 })
        } else if !self.three_phases {
            between(top, last, (step - rise) / (end - rise))
        } else if step <= 2.0 * rise {
            between(top, first, (step - rise) / rise)
        } else {
            between(first, last, (step - 2.0 * rise) / (end - 2.0 * rise))
        }
    }
}

impl Schedule for OneCycle {
    fn at(&self, step: usize) -> f64 {
        let first = self.highest / self.start;
        self.through(step, first, self.highest, first / self.end)
    }
}
