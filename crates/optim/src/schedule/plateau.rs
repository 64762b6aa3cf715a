//! A rate that falls when progress stops.

/// Lowers a learning rate when a loss has not fallen for more than `patience` looks at it, as PyTorch's `ReduceLROnPlateau`.
///
/// It depends on what it is shown, so it is no [`Schedule`](super::Schedule):
///
/// ```
/// use wengert_optim::schedule::Plateau;
/// let mut plateau = Plateau::new(0.1).patience(1);
/// let mut lr = 1.0;
/// for loss in [3.0, 2.0, 2.0, 2.0] {
///     lr = plateau.next(lr, loss);
/// }
/// assert_eq!(lr, 0.1);
/// ```
#[derive(Clone, Debug)]
pub struct Plateau {
    factor: f64,
    patience: usize,
    threshold: f64,
    absolute: bool,
    rising: bool,
    cooldown: usize,
    least: f64,
    best: f64,
    bad: usize,
    cooling: usize,
}

impl Plateau {
    /// Multiplies the rate by `factor`; with a patience of 10, a threshold of 1e-4, no cooldown, and 0 as the least rate.
    pub fn new(factor: f64) -> Plateau {
        Plateau {
            factor,
            patience: 10,
            threshold: 1e-4,
            absolute: false,
            rising: false,
            cooldown: 0,
            least: 0.0,
            best: f64::INFINITY,
            bad: 0,
            cooling: 0,
        }
    }

    /// With another number of looks without progress that are tolerated.
    pub fn patience(self, patience: usize) -> Plateau {
        Plateau { patience, ..self }
    }

    /// With another part of the best loss so far by which it must fall to count as progress.
    pub fn threshold(self, threshold: f64) -> Plateau {
        Plateau { threshold, absolute: false, ..self }
    }

    /// With an amount by which the loss must fall below the best so far to count as progress (PyTorch's `threshold_mode="abs"`).
    pub fn absolute_threshold(self, threshold: f64) -> Plateau {
        Plateau { threshold, absolute: true, ..self }
    }

    /// Of a value that shall rise, such as an accuracy, in place of a loss (PyTorch's `mode="max"`). It belongs before the first look.
    pub fn rising(self) -> Plateau {
        Plateau { rising: true, best: f64::NEG_INFINITY, ..self }
    }

    /// With a number of looks after a fall of the rate at which a lack of progress does not count.
    pub fn cooldown(self, cooldown: usize) -> Plateau {
        Plateau { cooldown, ..self }
    }

    /// With another least rate.
    pub fn least(self, least: f64) -> Plateau {
        Plateau { least, ..self }
    }

    /// What was set, by name.
    pub fn settings(&self) -> Vec<(String, String)> {
        // What is not named is the state.
        let Plateau { factor, patience, threshold, absolute, rising, cooldown, least, best: _, bad: _, cooling: _ } =
            self;
        let all = [
            ("factor", factor.to_string()),
            ("patience", patience.to_string()),
            ("threshold", threshold.to_string()),
            ("absolute", absolute.to_string()),
            ("rising", rising.to_string()),
            ("cooldown", cooldown.to_string()),
            ("least", least.to_string()),
        ];
        all.map(|(name, value)| (name.into(), value)).into()
    }

    /// What it remembers: the best loss so far, the looks without progress since, and the rest of the cooldown.
    pub fn state(&self) -> (f64, usize, usize) {
        (self.best, self.bad, self.cooling)
    }

    /// Goes on from the [`state`](Plateau::state) of another.
    ///
    /// ```
    /// use wengert_optim::schedule::Plateau;
    /// let mut plateau = Plateau::new(0.1).patience(1);
    /// plateau.next(1.0, 3.0);
    /// let mut other = Plateau::new(0.1).patience(1);
    /// other.load_state(plateau.state());
    /// assert_eq!(other.next(1.0, 3.0), 1.0);
    /// assert_eq!(other.next(1.0, 3.0), 0.1);
    /// ```
    pub fn load_state(&mut self, (best, bad, cooling): (f64, usize, usize)) {
        (self.best, self.bad, self.cooling) = (best, bad, cooling);
    }

    /// The rate after one that gave this loss.
    pub fn next(&mut self, lr: f64, loss: f64) -> f64 {
        /// PyTorch's least change of a rate.
        const LEAST_CHANGE: f64 = 1e-8;
        // Towards the better also if the best is negative; PyTorch's relative threshold goes the other way there.
        let margin = match self.best.is_infinite() {
            true => 0.0,
            false => self.threshold * if self.absolute { 1.0 } else { self.best.abs() },
        };
        let better = if self.rising { loss > self.best + margin } else { loss < self.best - margin };
        if better {
            self.best = loss;
            self.bad = 0;
        } else {
            self.bad += 1;
        }
        if self.cooling > 0 {
            self.cooling -= 1;
            self.bad = 0;
        }
        if self.bad <= self.patience {
            return lr;
        }
        self.bad = 0;
        self.cooling = self.cooldown;
        let next = (lr * self.factor).max(self.least);
        if lr - next > LEAST_CHANGE { next } else { lr }
    }
}
