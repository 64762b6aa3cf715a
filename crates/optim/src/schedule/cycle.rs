//! Rates that rise and fall along lines.

use super::Schedule;

/// From `low` up to `high` in `up` steps and down again in `down`, over and over (Smith 2017, "Cyclical learning rates"), as PyTorch's
/// `CyclicLR`.
#[derive(Clone, Debug)]
pub struct Cyclic {
    /// The rate at the ends of a cycle.
    pub low: f64,
    /// The rate at the top of the first.
    pub high: f64,
    /// The number of steps in which it rises; 0 counts as 1.
    pub up: usize,
    /// The number of steps in which it falls.
    pub down: usize,
    /// How high later cycles are.
    pub heights: Heights,
}

/// The heights of the cycles of [`Cyclic`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Heights {
    /// All the same (`triangular`).
    #[default]
    Equal,
    /// Half of the one before (`triangular2`).
    Halved,
    /// Times this number at each step (`exp_range`).
    Falling(f64),
}

impl Cyclic {
    /// The momentum that goes with it, as PyTorch's `cycle_momentum`: `high` where the rate is `low`, and `low` at the top of the first
    /// cycle. Later cycles are as high as those of the rate. PyTorch's are 0.8 and 0.9; see [`OneCycle::momentum`](super::OneCycle::momentum) for its use.
    pub fn momentum(&self, low: f64, high: f64) -> impl Schedule + Clone + use<> {
        let cycle = self.clone();
        move |step: usize| high - (high - low) * cycle.height(step)
    }

    /// 0 at the ends of a cycle, 1 at the top of the first.
    fn height(&self, step: usize) -> f64 {
        let up = self.up.max(1);
        let (cycle, place) = (step / (up + self.down), step % (up + self.down));
        let part = match place.checked_sub(up) {
            None => place as f64 / up as f64,
            // Past `up` there are steps in which it falls.
            Some(fallen) => 1.0 - fallen as f64 / self.down.max(1) as f64,
        };
        let height = match self.heights {
            Heights::Equal => 1.0,
            Heights::Halved => 0.5f64.powf(cycle as f64),
            Heights::Falling(factor) => factor.powf(step as f64),
        };
        part * height
    }
}

impl Schedule for Cyclic {
    fn at(&self, step: usize) -> f64 {
        self.low + (self.high - self.low) * self.height(step)
    }
}
