//! All optimizers on three tasks, which each must solve, and which it must not solve with a fault. The numbers of an update are compared with
//! references elsewhere; this holds that they train.

use crate::{Loss, Model, summing};
use wengert::optim::schedule::Cosine;
use wengert::optim::*;
use wengert::prelude::*;

pub(crate) fn rosenbrock<'t>(tape: &'t Tape, model: &Model) -> Var<'t> {
    let p = tape.param(&model.p);
    let (x, y) = (p.get(1, 0), p.get(1, 1));
    ((1.0 - x).square() + 100.0 * (y - x.square()).square()).sum()
}

/// `½ Σ cᵢ·pᵢ²` with curvatures from 1 to 1,000.
pub(crate) fn ill_conditioned<'t>(tape: &'t Tape, model: &Model) -> Var<'t> {
    let curvatures = Tensor::from_slice(&[1.0f64, 10.0, 100.0, 1000.0], [1, 4]).expect("four numbers");
    0.5 * (tape.param(&model.p).square() * &curvatures).sum()
}

/// What is left of the loss after a training whose rate falls to 0, relative to the first; infinite if a loss was not finite.
fn train<R: Transform>(mut optimizer: Optimizer<R>, model: &Model, loss: Loss, steps: usize) -> Result<f64> {
    let rate = Cosine { from: optimizer.lr, to: 0.0, steps };
    let first = loss(&Tape::new(), model).item()?;
    for step in 0..steps {
        let gradients = loss(&Tape::new(), model).backward()?;
        optimizer.lr = rate.at(step);
        optimizer.step(model, &gradients)?;
    }
    let last = loss(&Tape::new(), model).item()?;
    Ok(if last.is_finite() { last / first } else { f64::INFINITY })
}

/// What may be wrong with an update.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// There is none.
    Still,
    /// It goes uphill.
    Uphill,
    /// The last element of every parameter stays.
    LastStays,
    /// Every step begins with the first state.
    Forgets,
}

/// A transform with a fault.
struct Faulty<R> {
    rule: R,
    fault: Fault,
}

impl<R: Transform> Transform for Faulty<R> {
    type State<'t> = R::State<'t>;

    fn init<'t>(&self, at: &At<'t>) -> R::State<'t> {
        self.rule.init(at)
    }

    fn update<'t>(&self, at: &At<'t>, g: Var<'t>, state: R::State<'t>) -> (Var<'t>, R::State<'t>) {
        let (mut u, mut states) = self.update_all(&[*at], vec![g], vec![state]);
        (u.remove(0), states.remove(0))
    }

    fn update_all<'t>(
        &self,
        at: &[At<'t>],
        gradients: Vec<Var<'t>>,
        mut states: Vec<R::State<'t>>,
    ) -> (Vec<Var<'t>>, Vec<R::State<'t>>) {
        if self.fault == Fault::Forgets {
            states = at.iter().map(|at| self.rule.init(at)).collect();
        }
        let (mut updates, states) = self.rule.update_all(at, gradients, states);
        for u in &mut updates {
            *u = match self.fault {
                Fault::Still => *u * 0.0,
                Fault::Uphill => -*u,
                Fault::LastStays => *u * &all_but_the_last(&u.shape().expect("an update has a shape")),
                Fault::Forgets => *u,
            };
        }
        (updates, states)
    }
}

fn all_but_the_last(shape: &Shape) -> Tensor {
    let mut values = vec![1.0; shape.numel()];
    values[shape.numel() - 1] = 0.0;
    Tensor::from_vec(values, shape).expect("as many as there are elements")
}

/// Several starts for a transform of matrices, one for all others.
fn models(matrices: bool) -> Result<[Model; 3]> {
    Ok(match matrices {
        true => [
            Model::matrix(3, &[-1.2, 1.0, 0.5, -0.5, 1.5, 0.0])?,
            Model::matrix(3, &[1.0, 1.0, 1.0, 1.0, 1.0, -1.0, 1.0, -1.0, 0.5, 1.0, -1.0, 0.2])?,
            Model::net(),
        ],
        false => [Model::matrix(1, &[-1.2, 1.0])?, Model::matrix(1, &[1.0; 4])?, Model::net()],
    })
}

const TASKS: [(&str, Loss, usize); 3] =
    [("Rosenbrock", rosenbrock, 1000), ("quadratic", ill_conditioned, 500), ("LSTM", summing, 150)];

/// One row of the table: a transform with a first rate for each task, and what may be left of the loss at most. Gives what is wrong, and
/// which faults would not be seen.
fn row<R: Transform + Clone>(name: &str, like: Optimizer<R>, rates: [f64; 3], most: [f64; 3]) -> Result<Vec<String>> {
    let matrices = name == "muon";
    let mut wrong = Vec::new();
    for (i, model) in models(matrices)?.iter().enumerate() {
        let (task, loss, steps) = TASKS[i];
        let mut optimizer = like.clone();
        optimizer.lr = rates[i];
        if matrices && i == 2 {
            optimizer = optimizer.freeze("cell.b");
        }
        let found = train(optimizer, model, loss, steps)?;
        println!("{name:10} {task:10} {found:.1e}");
        if found > most[i] {
            wrong.push(format!("{name} on {task}: {found:e} of the loss is left, expected at most {:e}", most[i]));
        }
    }
    // A state that the update does not depend on cannot be missed: there is none, or it is an average.
    let forgetful = !matches!(name, "sgd" | "asgd");
    for fault in [Fault::Still, Fault::Uphill, Fault::LastStays, Fault::Forgets] {
        if fault == Fault::Forgets && !forgetful {
            continue;
        }
        let models = models(matrices)?;
        let mut seen = false;
        // The quickest first.
        for i in [1, 0, 2] {
            let (_, loss, steps) = TASKS[i];
            let mut optimizer = Optimizer::chain(rates[i], Faulty { rule: like.rule.clone(), fault });
            if matrices && i == 2 {
                optimizer = optimizer.freeze("cell.b");
            }
            let found = train(optimizer, &models[i], loss, steps)?;
            if found > most[i] {
                seen = true;
                break;
            }
        }
        if !seen {
            wrong.push(format!("{name} with the fault {fault:?} passes"));
        }
    }
    Ok(wrong)
}

#[test]
fn every_optimizer_trains_and_no_faulty_one_does() -> Result<()> {
    let chain = Optimizer::chain(0.1, (ClipNorm(1.0), AdamRule::default(), AddDecay(1e-4)));
    let radam = Optimizer::chain(0.1, (ClipNorm(1.0), RAdamRule::default()));
    let centered = RmsProp::new(0.1).centered().momentum(0.5);
    let wrong = [
        row("sgd", Sgd::new(0.1), [5e-3, 2e-3, 5.0], [5e-3, 1e-3, 1e-2])?,
        row("momentum", Sgd::new(0.1).momentum(0.9), [2e-3, 2e-3, 1.0], [1e-4, 1e-6, 1e-4])?,
        row("nesterov", Sgd::new(0.1).momentum(0.9).nesterov(), [2e-3, 2e-3, 0.5], [1e-3, 1e-6, 1e-3])?,
        row("adam", Adam::new(0.1), [0.5, 0.1, 0.1], [1e-4, 1e-12, 1e-5])?,
        row("adamw", Adam::new(0.1).decoupled_decay(1e-4), [0.2, 0.1, 0.1], [1e-3, 1e-12, 1e-5])?,
        row("amsgrad", Adam::new(0.1).amsgrad(), [0.5, 0.1, 0.1], [1e-4, 1e-12, 1e-5])?,
        row("adamax", Adamax::new(0.1), [1.0, 0.1, 0.1], [1e-2, 1e-10, 1e-4])?,
        row("nadam", NAdam::new(0.1), [0.1, 0.1, 0.05], [5e-3, 1e-12, 1e-5])?,
        row("radam", radam, [0.05, 0.05, 0.5], [1e-6, 1e-10, 1e-4])?,
        row("rmsprop", RmsProp::new(0.1), [0.02, 0.01, 0.01], [1e-2, 1e-8, 1e-4])?,
        row("centered", centered, [0.01, 0.005, 0.005], [1e-3, 1e-10, 1e-5])?,
        row("adagrad", Adagrad::new(0.1), [1.0, 0.5, 0.2], [5e-2, 1e-12, 1e-5])?,
        row("adadelta", Adadelta::new(0.1), [2.0, 2.0, 10.0], [1e-2, 1e-12, 1e-3])?,
        row("rprop", Rprop::new(0.01), [1.0; 3], [1e-3, 1e-12, 1e-8])?,
        row("asgd", Asgd::new(0.1), [5e-3, 2e-3, 5.0], [5e-3, 1e-3, 1e-2])?,
        row("lion", Lion::new(0.1), [0.02; 3], [1e-4, 1e-8, 1e-3])?,
        row("muon", Muon::new(0.1), [0.05; 3], [1e-8, 1e-6, 1e-4])?,
        row("chain", chain, [0.05, 0.05, 0.1], [1e-5, 1e-10, 1e-5])?,
    ];
    let wrong = wrong.concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
