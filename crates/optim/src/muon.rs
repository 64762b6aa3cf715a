//! Muon.

use crate::optimizer::Optimizer;
use crate::settings;
use crate::transform::{At, Transform, average};
use wengert_autograd::{Error, ErrorKind, Result, Var};
use wengert_derive::Tree;

/// Muon, momentum made orthogonal (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"), for matrices
/// `[in, out]`, as PyTorch's `Muon` for their transposes:
///
/// ```text
/// m ← β·m + (1 − β)·g                      x = (1 − β)·g + β·m  if nesterov, else m
/// x ← x / max(‖x‖, eps)
/// x ← a·x + (b·xxᵀ + c·(xxᵀ)²)·x           five times, (a, b, c) = (3.4445, −4.775, 2.0315)
/// p ← p − lr·√max(1, out / in)·x           or another factor: AdjustLr
/// ```
///
/// The iteration brings every singular value near to 1. PyTorch computes it in bfloat16, this in the parameter's
/// type. Vectors have no singular values; leave them to another optimizer:
///
/// ```
/// use wengert_optim::{Adam, Group, Muon};
/// let muon = Muon::new(0.02).freeze("*").group("layers.*.w", Group::default());
/// let adam = Adam::new(1e-3).freeze("layers.*.w");
/// ```
pub type Muon = Optimizer<MuonRule>;

/// The transform of [`Muon`].
#[derive(Clone, Debug)]
pub struct MuonRule {
    /// The rate β of the running average.
    pub momentum: f64,
    /// Whether the average is looked ahead.
    pub nesterov: bool,
    /// The coefficients of the iteration.
    pub coefficients: (f64, f64, f64),
    /// How often it is made.
    pub iterations: usize,
    /// The least norm that a gradient is divided by.
    pub eps: f64,
    /// The factor of the learning rate by the shape of a matrix.
    pub adjust_lr: AdjustLr,
}

/// The factor of the learning rate of [`Muon`] for a matrix `[in, out]`, PyTorch's `adjust_lr_fn`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdjustLr {
    /// `√max(1, out / in)` (`original`).
    #[default]
    Original,
    /// `0.2·√max(in, out)`: updates about as large as AdamW's, so that its rate and decay can be used (`match_rms_adamw`; Liu et al. 2025,
    /// "Muon is scalable for LLM training", equation 4).
    MatchRmsAdamW,
    /// `√(out / in)`: outputs change as much whatever the shape (`spectral_unclamped`).
    SpectralUnclamped,
}

impl AdjustLr {
    fn factor(self, input: usize, output: usize) -> f64 {
        let (input, output) = (input.max(1) as f64, output as f64);
        match self {
            AdjustLr::Original => (output / input).max(1.0).sqrt(),
            AdjustLr::MatchRmsAdamW => 0.2 * input.max(output).sqrt(),
            AdjustLr::SpectralUnclamped => (output / input).sqrt(),
        }
    }
}

impl Default for MuonRule {
    fn default() -> MuonRule {
        let coefficients = (3.4445, -4.775, 2.0315);
        let adjust_lr = AdjustLr::Original;
        MuonRule { momentum: 0.95, nesterov: true, coefficients, iterations: 5, eps: 1e-7, adjust_lr }
    }
}

impl Muon {
    /// With Nesterov's momentum of 0.95 and five iterations. A rate of 0.02 is usual.
    pub fn new(lr: f64) -> Muon {
        Optimizer::chain(lr, MuonRule::default())
    }

    /// With another momentum.
    pub fn momentum(mut self, momentum: f64) -> Muon {
        self.rule.momentum = momentum;
        self
    }

    /// With plain momentum.
    pub fn without_nesterov(mut self) -> Muon {
        self.rule.nesterov = false;
        self
    }

    /// With another number of iterations.
    pub fn iterations(mut self, iterations: usize) -> Muon {
        self.rule.iterations = iterations;
        self
    }

    /// With other coefficients of the iteration.
    pub fn coefficients(mut self, a: f64, b: f64, c: f64) -> Muon {
        self.rule.coefficients = (a, b, c);
        self
    }

    /// With another least norm that a gradient is divided by.
    pub fn eps(mut self, eps: f64) -> Muon {
        self.rule.eps = eps;
        self
    }

    /// With another factor of the learning rate.
    pub fn adjust_lr(mut self, adjust_lr: AdjustLr) -> Muon {
        self.rule.adjust_lr = adjust_lr;
        self
    }
}

/// The state of [`Muon`].
#[derive(Clone, Copy, Debug, Tree)]
pub struct MuonState<'t> {
    /// The running mean of gradients.
    pub m: Var<'t>,
}

impl Transform for MuonRule {
    type State<'t> = MuonState<'t>;

    settings::of_fields!(MuonRule { momentum, nesterov, coefficients, iterations, eps, adjust_lr });

    fn name(&self) -> &'static str {
        "Muon"
    }

    #[track_caller]
    fn check(&self) -> Result<()> {
        settings::rates("Muon", &[("momentum", self.momentum)])?;
        settings::from_zero("Muon", &[("eps", self.eps)])?;
        let (a, b, c) = self.coefficients;
        if [a, b, c].iter().all(|coefficient| coefficient.is_finite()) {
            return Ok(());
        }
        let found = format!("the coefficients of the iteration are {a}, {b} and {c}");
        Err(Error::new(ErrorKind::Value, "Muon", found, "give finite numbers"))
    }

    fn init<'t>(&self, at: &At<'t>) -> MuonState<'t> {
        MuonState { m: at.zeros() }
    }

    fn update<'t>(&self, _: &At<'t>, g: Var<'t>, state: MuonState<'t>) -> (Var<'t>, MuonState<'t>) {
        let shape = match g.shape() {
            Ok(shape) if shape.rank() == 2 => shape,
            Ok(shape) => {
                let found = format!("the parameter is {shape}, expected a matrix");
                let remedy = "freeze it here, and give it to another optimizer";
                return (g.invalid("Muon", found, remedy), state);
            }
            Err(_) => return (g, state),
        };
        let m = average(state.m, self.momentum, g);
        let x = if self.nesterov { average(m, self.momentum, g) } else { m };
        let u = self.orthogonal(x, shape[0] > shape[1]);
        (u * self.adjust_lr.factor(shape[0], shape[1]), MuonState { m })
    }
}

impl MuonRule {
    /// The Newton-Schulz iteration, on the transpose of a tall matrix: the products are the smaller ones then.
    fn orthogonal<'t>(&self, x: Var<'t>, tall: bool) -> Var<'t> {
        let (a, b, c) = self.coefficients;
        let mut x = if tall { x.t() } else { x };
        x = x / x.square().sum().sqrt().maximum(self.eps);
        for _ in 0..self.iterations {
            let gram = x.matmul(x.t());
            x = x * a + (gram * b + gram.matmul(gram) * c).matmul(x);
        }
        if tall { x.t() } else { x }
    }
}
