//! Training on one tape, so that it can be differentiated.

use crate::optimizer::Optimizer;
use crate::transform::Transform;
use wengert_autograd::{DType, Param, ParamTree, Result, Tape, Tree, Var};

/// Steps of an optimizer recorded on a tape: the parameters after them are recorded values, and a derivative flows
/// through the updates to the learning rate, the initial parameters, and whatever the losses depend on.
///
/// ```
/// use wengert_autograd::{DType, Param, Tape, Tensor};
/// use wengert_optim::Sgd;
///
/// let p = Param::new(Tensor::scalar(3.0f64));
/// let tape = Tape::new();
/// let loss = || tape.param(&p).square();
/// let mut training = Sgd::new(0.1).unroll(&tape, &p)?;
/// training.lr = tape.var(0.1f64);
/// let lr = training.lr;
/// for _ in 0..2 {
///     let loss = training.within(loss);
///     training.step(loss);
/// }
/// let after = training.within(loss);
/// let [by_lr, by_start] = [after.grad([lr])[0], after.grad([&p])[0]];
/// // p₂ = (1 − 2·lr)²·p₀, and the loss is its square.
/// assert!((by_lr.item()? - -8.0 * 0.8f64.powi(3) * 9.0).abs() < 1e-12);
/// assert!((by_start.item()? - 2.0 * 0.8f64.powi(4) * 3.0).abs() < 1e-12);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
pub struct Unrolled<'t, R: Transform> {
    /// The learning rate of the next steps: a number, or any value of the tape without axes.
    pub lr: Var<'t>,
    optimizer: Optimizer<R>,
    tape: &'t Tape,
    trained: Vec<Trained<'t, R>>,
}

/// A parameter, its present value, and the state of the optimizer.
struct Trained<'t, R: Transform> {
    name: String,
    param: Param,
    /// Which of the optimizer's transforms it has.
    rule: usize,
    value: Var<'t>,
    steps: u64,
    state: Option<R::State<'t>>,
}

impl<R: Transform + Clone> Optimizer<R> {
    /// Begins a training of `module` on a tape, from its present parameters and with this optimizer's settings, without state. Neither
    /// the parameters nor this optimizer change.
    ///
    /// # Errors
    /// If a setting is not in its range, or a pattern matches nothing.
    #[track_caller]
    pub fn unroll<'t>(&self, tape: &'t Tape, module: &impl ParamTree) -> Result<Unrolled<'t, R>> {
        let params = module.params();
        self.check(&params)?;
        let mut trained = Vec::new();
        for (name, param) in params {
            if !self.is_frozen(&name) {
                let value = tape.param(&param);
                let rule = self.rule_index(&name);
                trained.push(Trained { name, param, rule, value, steps: 0, state: None });
            }
        }
        let dtype = trained.first().map_or(Ok(DType::F64), |first| first.value.dtype())?;
        let lr = tape.full([], self.lr, dtype);
        Ok(Unrolled { lr, optimizer: self.clone(), tape, trained })
    }
}

impl<'t, R: Transform> Unrolled<'t, R> {
    /// The present values of the parameters that are trained, in the order of the module's.
    pub fn params(&self) -> Vec<Var<'t>> {
        self.trained.iter().map(|trained| trained.value).collect()
    }

    /// The present values of the parameters, each followed by the state of the optimizer for it.
    pub fn values(&self) -> Vec<Var<'t>> {
        let of = |trained: &Trained<'t, R>| {
            let state = trained.state.as_ref().map_or(Vec::new(), |state| state.leaves());
            std::iter::once(trained.value).chain(state)
        };
        self.trained.iter().flat_map(of).collect()
    }

    /// Runs `f` with every trained parameter [bound](Tape::bind) to its present value.
    #[track_caller]
    pub fn within<T>(&self, f: impl FnOnce() -> T) -> T {
        let (mut f, mut result) = (Some(f), None);
        self.bind(0, &mut || result = f.take().map(|f| f()));
        result.expect("the innermost binding runs the function")
    }

    fn bind(&self, from: usize, f: &mut dyn FnMut()) {
        match self.trained.get(from) {
            Some(trained) => self.tape.bind(&trained.param, trained.value, || self.bind(from + 1, f)),
            None => f(),
        }
    }

    /// Records a step down the gradient of a loss, made [`within`](Unrolled::within) the present values. Parameters that the
    /// loss does not depend on stay.
    #[track_caller]
    pub fn step(&mut self, loss: Var<'t>) {
        let gradients = loss.grad_or_none(&self.params()[..]);
        self.apply(&gradients);
    }

    /// Records a step with gradients of one's own, one for each of [`params`](Unrolled::params); `None` leaves a parameter as it is.
    #[track_caller]
    pub fn apply(&mut self, gradients: &[Option<Var<'t>>]) {
        let (mut at, mut states, mut given) = (Vec::new(), Vec::new(), Vec::new());
        let (mut moved, mut rules): (Vec<&mut Trained<'t, R>>, Vec<usize>) = (Vec::new(), Vec::new());
        for (trained, g) in self.trained.iter_mut().zip(gradients) {
            let Some(g) = g else { continue };
            trained.steps += 1;
            let place = self.optimizer.at(&trained.name, trained.value, Some(self.lr), trained.steps);
            states.push(trained.state.take().unwrap_or_else(|| self.optimizer.rule_at(trained.rule).init(&place)));
            at.push(place);
            given.push(*g);
            rules.push(trained.rule);
            moved.push(trained);
        }
        let (values, states) = self.optimizer.advance(&at, &rules, given, states);
        for ((trained, value), state) in moved.into_iter().zip(values).zip(states) {
            trained.value = value;
            trained.state = Some(state);
        }
    }
}
