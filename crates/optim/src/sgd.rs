//! Stochastic gradient descent.

use crate::optimizer::Optimizer;
use crate::settings;
use crate::transform::{At, Transform};
use wengert_autograd::{Error, ErrorKind, Result, Var};
use wengert_derive::Tree;

/// Stochastic gradient descent with momentum and weight decay, as PyTorch's `SGD` (Polyak 1964; Nesterov 1983 as in Sutskever,
/// Martens, Dahl & Hinton 2013):
///
/// ```text
/// g ← g + l2·p
/// v ← momentum·v + (1 − dampening)·g       (v = g at the first step)
/// g ← g + momentum·v  if nesterov, else v
/// p ← p − lr·g
/// ```
///
/// ```
/// use wengert_autograd::{Param, Tape, Tensor};
/// use wengert_optim::Sgd;
/// let p = Param::new(Tensor::from_slice(&[1.0f64, -2.0], [2])?);
/// let mut sgd = Sgd::new(0.1).momentum(0.9);
/// for _ in 0..100 {
///     let tape = Tape::new();
///     let gradients = tape.param(&p).square().sum().backward()?;
///     drop(tape);
///     sgd.step(&p, &gradients)?;
/// }
/// assert!(p.value().to_vec::<f64>()?.iter().all(|v| v.abs() < 0.1));
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
pub type Sgd = Optimizer<SgdRule>;

/// The transform of [`Sgd`].
#[derive(Clone, Debug, Default)]
pub struct SgdRule {
    /// The share of the velocity that stays.
    pub momentum: f64,
    /// What the velocity does not take of a gradient.
    pub dampening: f64,
    /// Whether the velocity is looked ahead.
    pub nesterov: bool,
}

impl Sgd {
    /// Plain gradient descent: `p ← p − lr·g`.
    pub fn new(lr: f64) -> Sgd {
        Optimizer::chain(lr, SgdRule::default())
    }

    /// With momentum (0.9 is usual).
    pub fn momentum(mut self, momentum: f64) -> Sgd {
        self.rule.momentum = momentum;
        self
    }

    /// With dampening of the momentum.
    pub fn dampening(mut self, dampening: f64) -> Sgd {
        self.rule.dampening = dampening;
        self
    }

    /// With Nesterov's momentum.
    pub fn nesterov(mut self) -> Sgd {
        self.rule.nesterov = true;
        self
    }
}

/// The state of [`Sgd`]: nothing without momentum.
#[derive(Clone, Copy, Debug, Tree)]
pub struct Velocity<'t> {
    /// The velocity.
    pub v: Option<Var<'t>>,
}

impl Transform for SgdRule {
    type State<'t> = Velocity<'t>;

    settings::of_fields!(SgdRule { momentum, dampening, nesterov });

    fn name(&self) -> &'static str {
        "Sgd"
    }

    #[track_caller]
    fn check(&self) -> Result<()> {
        settings::from_zero("Sgd", &[("momentum", self.momentum)])?;
        let (found, remedy) = if !self.dampening.is_finite() {
            (format!("the dampening is {}", self.dampening), "give a finite number")
        } else if self.nesterov && (self.momentum == 0.0 || self.dampening != 0.0) {
            let found = format!("Nesterov with momentum {} and dampening {}", self.momentum, self.dampening);
            (found, "give it a momentum and no dampening")
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Value, "Sgd", found, remedy))
    }

    fn init<'t>(&self, at: &At<'t>) -> Velocity<'t> {
        Velocity { v: (self.momentum != 0.0).then(|| at.zeros()) }
    }

    fn update<'t>(&self, at: &At<'t>, g: Var<'t>, state: Velocity<'t>) -> (Var<'t>, Velocity<'t>) {
        let Some(v) = state.v else { return (g, state) };
        let v = if at.step == 1 { g } else { v * self.momentum + g * (1.0 - self.dampening) };
        let u = if self.nesterov { g + v * self.momentum } else { v };
        (u, Velocity { v: Some(v) })
    }
}
