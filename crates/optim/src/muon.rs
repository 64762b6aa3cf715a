//! Muon.

use crate::optimizer::Optimizer;
use crate::settings;
use crate::transform::{At, Transform, average};
use wengert_autograd::{Result, Var};
use wengert_derive::Tree;

/// Muon, momentum made orthogonal (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"), for matrices
/// `[in, out]`, as PyTorch's `Muon` for their transposes:
///
/// ```text
/// m ← β·m + (1 − β)·g                      x = (1 − β)·g + β·m  if nesterov, else m
/// x ← x / max(‖x‖, eps)
/// x ← a·x + (b·xxᵀ + c·(xxᵀ)²)·x           five times, (a, b, c) = (3.4445, −4.775, 2.0315)
/// p ← p − lr·√max(1, out / in)·x
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
}

impl Default for MuonRule {
    fn default() -> MuonRule {
        let coefficients = (3.4445, -4.775, 2.0315);
        MuonRule { momentum: 0.95, nesterov: true, coefficients, iterations: 5, eps: 1e-7 }
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
}

/// The state of [`Muon`].
#[derive(Clone, Copy, Debug, Tree)]
pub struct MuonState<'t> {
    /// The running mean of gradients.
    pub m: Var<'t>,
}

impl Transform for MuonRule {
    type State<'t> = MuonState<'t>;

    settings::of_fields!(MuonRule { momentum, nesterov, coefficients, iterations, eps });

    fn name(&self) -> &'static str {
        "Muon"
    }

    #[track_caller]
    fn check(&self) -> Result<()> {
        settings::rates("Muon", &[("momentum", self.momentum)])?;
        settings::from_zero("Muon", &[("eps", self.eps)])
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
        let ratio = (shape[1] as f64 / shape[0].max(1) as f64).max(1.0).sqrt();
        (u * ratio, MuonState { m })
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
