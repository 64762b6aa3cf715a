//! The function of a gate.

use crate::Module;
use wengert_autograd::Var;

/// The function that makes a gate, between 0 and 1, of its sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Module)]
pub enum Gate {
    /// The logistic function `1 / (1 + e^−z)`.
    #[default]
    Sigmoid,
    /// [`Var::hard_sigmoid`], a line between −3 and 3: cheaper, and a gate that can close for good.
    HardSigmoid,
}

impl Gate {
    /// The gate of the sums `z`.
    #[track_caller]
    pub fn apply<'t>(self, z: Var<'t>) -> Var<'t> {
        match self {
            Gate::Sigmoid => z.sigmoid(),
            Gate::HardSigmoid => z.hard_sigmoid(),
        }
    }
}
