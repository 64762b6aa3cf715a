//! L-BFGS.

mod wolfe;

use crate::group::{Group, Groups};
use wengert_autograd::{Error, ErrorKind, Gradients, Param, ParamTree, Result, Tensor};
use wolfe::{Point, search};

/// L-BFGS (Nocedal 1980; Nocedal & Wright 2006, algorithm 7.5) with a line search for the strong Wolfe conditions, as PyTorch's
/// `LBFGS` with `line_search_fn="strong_wolfe"`.
///
/// It minimises a loss that is the same at each evaluation (whole batches, no dropout), and evaluates it several times for a step,
/// so it has an interface of its own:
///
/// ```
/// use wengert_autograd::{Param, Tape, Tensor};
/// use wengert_optim::Lbfgs;
/// let p = Param::new(Tensor::from_slice(&[-1.2f64, 1.0], [2])?);
/// let rosenbrock = || {
///     let tape = Tape::new();
///     let (x, y) = (tape.param(&p).get(0, 0), tape.param(&p).get(0, 1));
///     ((1.0 - x).square() + 100.0 * (y - x.square()).square()).backward()
/// };
/// let found = Lbfgs::new().iterations(100).tolerances(1e-9, 1e-14).minimize(&p, rosenbrock)?;
/// assert!(found.converged && found.loss < 1e-10);
/// assert!(p.value().to_vec::<f64>()?.iter().all(|v| (v - 1.0).abs() < 1e-5));
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
///
/// A call of [`minimize`](Lbfgs::minimize) begins without history. PyTorch keeps it from one call of `step` to the next because such a call
/// makes few steps; here one call makes as many as are wanted: [`iterations`](Lbfgs::iterations).
///
/// Where the loss or an element of its gradient is not finite, a step is too long: shorter ones are tried. So the parameters that are
/// found are always such with a finite loss.
///
/// Its vectors are kept in F64 whatever the parameters are: `2·history + 5` numbers for each trained element.
#[derive(Clone, Debug)]
pub struct Lbfgs {
    lr: f64,
    iterations: usize,
    evaluations: Option<usize>,
    history: usize,
    least_gradient: f64,
    least_change: f64,
    frozen: Groups,
}

/// How a minimisation ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Minimum {
    /// The loss at the parameters that were found.
    pub loss: f64,
    /// The largest absolute value in its gradient.
    pub gradient: f64,
    /// The number of steps.
    pub iterations: usize,
    /// The number of evaluations of the loss.
    pub evaluations: usize,
    /// The number of those where the loss or its gradient was not finite.
    pub non_finite: usize,
    /// Whether it ended because gradient, step or change of the loss got small, not because its iterations or evaluations were used up.
    /// A step that is small because all longer ones lead to a loss that is not finite does not count.
    pub converged: bool,
}

impl Default for Lbfgs {
    fn default() -> Lbfgs {
        Lbfgs::new()
    }
}

impl Lbfgs {
    /// With 20 iterations, 100 pairs of history, and PyTorch's tolerances: 1e-7 for the gradient, 1e-9 for changes.
    pub fn new() -> Lbfgs {
        Lbfgs {
            lr: 1.0,
            iterations: 20,
            evaluations: None,
            history: 100,
            least_gradient: 1e-7,
            least_change: 1e-9,
            frozen: Groups::default(),
        }
    }

    /// With another length of the first step that is tried.
    pub fn lr(self, lr: f64) -> Lbfgs {
        Lbfgs { lr, ..self }
    }

    /// With at most so many steps.
    pub fn iterations(self, iterations: usize) -> Lbfgs {
        Lbfgs { iterations, ..self }
    }

    /// With at most so many evaluations of the loss, of which the last search may take one more; without, 5/4 of the number of steps.
    pub fn evaluations(self, evaluations: usize) -> Lbfgs {
        Lbfgs { evaluations: Some(evaluations), ..self }
    }

    /// With so many pairs of changes to approximate the Hessian.
    pub fn history(self, history: usize) -> Lbfgs {
        Lbfgs { history, ..self }
    }

    /// Ends when no element of the gradient is larger than `gradient`, or when neither steps nor losses change by more than `change`.
    pub fn tolerances(self, gradient: f64, change: f64) -> Lbfgs {
        Lbfgs { least_gradient: gradient, least_change: change, ..self }
    }

    /// Leaves the parameters whose name is of `pattern` as they are, as [`Optimizer::freeze`](crate::Optimizer::freeze).
    pub fn freeze(mut self, pattern: &str) -> Lbfgs {
        self.frozen.push(pattern, Group { frozen: true, ..Default::default() });
        self
    }

    /// Minimises a loss over the parameters of a module. `closure` gives the loss and its gradients at the present parameters, which it
    /// finds in the module. Parameters that are frozen or have no gradient stay.
    ///
    /// # Errors
    /// If the loss or its gradient is not finite at the beginning, a gradient does not fit its parameter, a pattern matches nothing, or `lr`
    /// is not a finite number above 0; and those of the closure. After an error the parameters are those of the last whole step.
    #[track_caller]
    pub fn minimize(&self, module: &impl ParamTree, mut closure: impl FnMut() -> Result<Gradients>) -> Result<Minimum> {
        if !self.lr.is_finite() || self.lr <= 0.0 {
            let found = format!("the learning rate is {}", self.lr);
            return Err(Error::new(ErrorKind::Value, "Lbfgs", found, "give a finite number above 0"));
        }
        let all = module.params();
        self.frozen.check("Lbfgs", &all)?;
        let trained =
            all.into_iter().filter(|(name, param)| param.value().dtype().is_float() && !self.frozen.of(name).frozen);
        let params = Flat(trained.map(|(_, param)| param).collect());
        let evaluate = |x: &[f64]| -> Result<(f64, Vec<f64>)> {
            params.set(x)?;
            let gradients = closure()?;
            crate::fitting("Lbfgs", module, &gradients)?;
            Ok((gradients.loss().item()?, params.gather(&gradients)))
        };
        let mut x = params.values();
        let found = self.descend(&mut x, evaluate);
        // Whatever happened: not a point that was only tried.
        params.set(&x)?;
        found
    }

    /// Minimises a function of a vector; `x` is the last point that was accepted, after an error as well.
    #[track_caller]
    fn descend(
        &self,
        x: &mut Vec<f64>,
        mut evaluate: impl FnMut(&[f64]) -> Result<(f64, Vec<f64>)>,
    ) -> Result<Minimum> {
        let most = self.evaluations.unwrap_or(self.iterations * 5 / 4);
        let (mut loss, mut g) = evaluate(x)?;
        if !is_finite(loss, &g) {
            let what = if loss.is_finite() { "a gradient".into() } else { format!("the loss {loss}") };
            let found = format!("{what} is not finite at the beginning");
            let remedy = "begin elsewhere, or look for the origin with Tape::detect_anomaly";
            return Err(Error::new(ErrorKind::NonFinite, "Lbfgs", found, remedy));
        }
        let (mut iterations, mut evaluations, mut non_finite) = (0, 1, 0);
        let mut history = History::default();
        let mut converged = largest(&g) <= self.least_gradient;
        while !converged && iterations < self.iterations && evaluations < most.max(1) {
            let d = history.direction(&g);
            let slope = dot(&g, &d);
            let first = match iterations {
                0 => self.lr * (1.0 / g.iter().map(|g| g.abs()).sum::<f64>()).min(1.0),
                _ => self.lr,
            };
            iterations += 1;
            // Gradients so large that their products are infinite.
            if !slope.is_finite() {
                break;
            }
            // Not downhill any more.
            if slope > -self.least_change {
                converged = true;
                break;
            }
            let start = Point { at: 0.0, loss, slope, g: g.clone() };
            let mut walls = 0;
            let along = |t: f64| {
                let (loss, g) = evaluate(&moved(x, t, &d))?;
                if is_finite(loss, &g) {
                    return Ok(Point { at: t, loss, slope: dot(&g, &d), g });
                }
                // Worse than any other point, and of no use for a cubic: the search halves the interval.
                walls += 1;
                Ok(Point { at: t, loss: f64::INFINITY, slope: f64::NAN, g })
            };
            let (found, used) = search(along, start, first, largest(&d), most - evaluations, self.least_change)?;
            evaluations += used;
            non_finite += walls;
            // Nothing better: a minimum, unless there were only losses that are not finite, or the evaluations ended.
            if found.at == 0.0 {
                converged = walls == 0 && evaluations < most;
                break;
            }
            *x = moved(x, found.at, &d);
            let step: Vec<f64> = d.iter().map(|d| d * found.at).collect();
            let change = (found.loss - loss).abs();
            history.push(step, &found.g, &g, self.history);
            (loss, g) = (found.loss, found.g);
            let small = largest(&d) * found.at.abs() <= self.least_change || change < self.least_change;
            converged = largest(&g) <= self.least_gradient || (small && walls == 0);
        }
        Ok(Minimum { loss, gradient: largest(&g), iterations, evaluations, non_finite, converged })
    }
}

/// Pairs of changes of parameters `s` and of gradients `y`, oldest first.
#[derive(Default)]
struct History {
    pairs: Vec<(Vec<f64>, Vec<f64>)>,
    /// `s·y / y·y` of the last pair, the scale of the first approximation.
    scale: Option<f64>,
}

impl History {
    /// Takes a step in, if the loss is convex along it.
    fn push(&mut self, s: Vec<f64>, g: &[f64], before: &[f64], most: usize) {
        /// PyTorch's least curvature.
        const LEAST: f64 = 1e-10;
        let y: Vec<f64> = g.iter().zip(before).map(|(g, before)| g - before).collect();
        let curvature = dot(&y, &s);
        if curvature <= LEAST {
            return;
        }
        self.scale = Some(curvature / dot(&y, &y));
        self.pairs.push((s, y));
        if self.pairs.len() > most {
            self.pairs.remove(0);
        }
    }

    /// `−H·g` by the two-loop recursion (Nocedal & Wright 2006, algorithm 7.4).
    fn direction(&self, g: &[f64]) -> Vec<f64> {
        let mut q: Vec<f64> = g.iter().map(|g| -g).collect();
        let mut shares = Vec::with_capacity(self.pairs.len());
        for (s, y) in self.pairs.iter().rev() {
            let share = dot(s, &q) / dot(y, s);
            q = moved(&q, -share, y);
            shares.push(share);
        }
        let scale = self.scale.unwrap_or(1.0);
        q.iter_mut().for_each(|q| *q *= scale);
        for ((s, y), share) in self.pairs.iter().zip(shares.into_iter().rev()) {
            let other = dot(y, &q) / dot(y, s);
            q = moved(&q, share - other, s);
        }
        q
    }
}

/// The float parameters of a module as one vector.
struct Flat(Vec<Param>);

impl Flat {
    fn values(&self) -> Vec<f64> {
        self.0.iter().flat_map(|param| param.value().to_f64_vec()).collect()
    }

    /// Zeros where a parameter has no gradient.
    fn gather(&self, gradients: &Gradients) -> Vec<f64> {
        let of = |param: &Param| match gradients.get(param) {
            Some(gradient) => gradient.to_f64_vec(),
            None => vec![0.0; param.value().numel()],
        };
        self.0.iter().flat_map(of).collect()
    }

    fn set(&self, x: &[f64]) -> Result<()> {
        let mut rest = x;
        for param in &self.0 {
            let value = param.value();
            let (own, next) = rest.split_at(value.numel());
            rest = next;
            param.set(Tensor::from_slice(own, value.shape())?.cast(value.dtype()))?;
        }
        Ok(())
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn is_finite(loss: f64, g: &[f64]) -> bool {
    loss.is_finite() && g.iter().all(|g| g.is_finite())
}

/// The largest absolute value of finite numbers.
fn largest(a: &[f64]) -> f64 {
    a.iter().fold(0.0, |largest, a| largest.max(a.abs()))
}

/// `x + t·d`.
fn moved(x: &[f64], t: f64, d: &[f64]) -> Vec<f64> {
    x.iter().zip(d).map(|(x, d)| x + t * d).collect()
}
