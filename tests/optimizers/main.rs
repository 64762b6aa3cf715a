//! Every optimizer at work: on test functions and a small network, differentiated through, with its driver's settings.

#[path = "../support/mod.rs"]
mod support;

mod table;

use support::{close, data, lstm_cell, says};
use wengert::optim::schedule::Exponential;
use wengert::optim::*;
use wengert::prelude::*;

/// A loss of a model, recorded.
type Loss = for<'t> fn(&'t Tape, &Model) -> Var<'t>;

/// What is trained: a matrix, or a net of matrices and vectors.
#[derive(Module)]
struct Model {
    p: Param,
    cell: Option<LstmCell>,
}

impl Model {
    fn matrix(rows: usize, values: &[f64]) -> Result<Model> {
        Ok(Model { p: Param::new(Tensor::from_slice(values, [rows, values.len() / rows])?), cell: None })
    }

    fn net() -> Model {
        Model { p: Param::new(data(&[4, 1], 9)), cell: Some(lstm_cell(2, 4, 3)) }
    }
}

/// Two inputs over six steps; wanted is the sum of the first over time.
fn summing<'t>(tape: &'t Tape, model: &Model) -> Var<'t> {
    let x = data(&[6, 8, 2], 4);
    let net = Rnn::from(model.cell.iter().cloned().collect::<Vec<_>>());
    let x = tape.constant(&x);
    let (y, _) = net.forward(&Cx::train(tape), x);
    let wanted = x.narrow(-1, 0, 1).sum_axes(0) * 0.3;
    loss::mse(y.get(0, 5).matmul(&model.p), wanted)
}

#[test]
fn muon_and_adam_share_a_net() -> Result<()> {
    let model = Model::net();
    let matrices = || Group::default();
    let mut muon = Muon::new(0.02).freeze("*").group("cell.w", matrices()).group("cell.u", matrices());
    let mut adam = Adam::new(0.02).freeze("cell.w").freeze("cell.u");
    let first = summing(&Tape::new(), &model).item()?;
    for _ in 0..200 {
        let tape = Tape::new();
        let gradients = summing(&tape, &model).backward()?;
        drop(tape);
        muon.step(&model, &gradients)?;
        adam.step(&model, &gradients)?;
    }
    let names = |state: Vec<(String, Tensor)>| state.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(muon.state(&model)?), ["cell.w.step", "cell.w.m", "cell.u.step", "cell.u.m"]);
    assert_eq!(names(adam.state(&model)?), ["p.step", "p.m", "p.v", "cell.b.step", "cell.b.m", "cell.b.v"]);
    assert!(summing(&Tape::new(), &model).item()? < 0.1 * first);
    Ok(())
}

#[test]
fn lbfgs_minimises_all_three() -> Result<()> {
    let tasks: [(Model, Loss); 3] = [
        (Model::matrix(1, &[-1.2, 1.0])?, table::rosenbrock),
        (Model::matrix(1, &[1.0; 4])?, table::ill_conditioned),
        (Model::net(), summing),
    ];
    for (model, loss) in tasks {
        let first = loss(&Tape::new(), &model).item()?;
        let found = Lbfgs::new().iterations(100).minimize(&model, || loss(&Tape::new(), &model).backward())?;
        assert!(found.loss < 1e-2 * first);
        assert!((loss(&Tape::new(), &model).item()? - found.loss).abs() < 1e-12);
    }
    Ok(())
}

/// The validation loss after five steps of training, as a function of the learning rate and the weights.
fn validation<'t, R: Transform + Clone>(
    optimizer: &Optimizer<R>,
    tape: &'t Tape,
    model: &Model,
    lr: Var<'t>,
) -> Result<Var<'t>> {
    let mut training = optimizer.unroll(tape, model)?;
    training.lr = lr;
    for _ in 0..5 {
        let loss = training.within(|| summing(tape, model));
        training.step(loss);
    }
    // Other data than in training.
    Ok(training.within(|| {
        let net = Rnn::from(model.cell.iter().cloned().collect::<Vec<_>>());
        let (y, _) = net.forward(&Cx::eval(tape), tape.constant(data(&[5, 3, 2], 77)));
        (y.get(0, 4).matmul(&model.p) - 0.2).square().mean()
    }))
}

fn through_training<R: Transform + Clone>(optimizer: Optimizer<R>, lr: f64) -> Result<()> {
    let model = Model::net();
    let tape = Tape::new();
    let rate = tape.var(lr);
    let after = validation(&optimizer, &tape, &model, rate)?;
    let params = model.params();
    let starts: Vec<Var<'_>> = params.iter().map(|(_, param)| tape.param(param)).collect();
    let [by_lr] = after.grad([rate]);
    let by_start = after.grad(&starts[..]);
    let mut asked = vec![by_lr];
    asked.extend(by_start);
    let found = tape.eval_all(&asked)?;
    drop(tape);

    let value = |lr: f64| -> Result<f64> {
        let tape = Tape::new();
        validation(&optimizer, &tape, &model, tape.constant(lr))?.item()
    };
    let near = |found: f64, numeric: f64, what: &str| {
        let close = (found - numeric).abs() <= 1e-7 + 1e-5 * numeric.abs();
        assert!(close, "by {what}: {found}, by finite differences {numeric}");
    };
    const STEP: f64 = 1e-5;
    let by_lr = (value(lr + STEP)? - value(lr - STEP)?) / (2.0 * STEP);
    assert!(by_lr.abs() > 1e-4);
    near(found[0].item()?, by_lr, "the learning rate");
    for ((name, param), found) in params.iter().zip(&found[1..]) {
        let start = param.value();
        let (values, found) = (start.to_f64_vec(), found.to_f64_vec());
        // Every third element: all of them would say the same and take longer.
        for i in (0..values.len()).step_by(3) {
            let shifted = |by: f64| -> Result<f64> {
                let mut values = values.clone();
                values[i] += by;
                param.set(Tensor::from_vec(values, start.shape())?)?;
                value(lr)
            };
            let numeric = (shifted(STEP)? - shifted(-STEP)?) / (2.0 * STEP);
            near(found[i], numeric, &format!("{name}[{i}]"));
        }
        param.set(start)?;
    }
    Ok(())
}

#[test]
fn a_derivative_flows_through_sgd() -> Result<()> {
    through_training(Sgd::new(0.1).momentum(0.9).l2(0.01), 0.3)
}

#[test]
fn a_derivative_flows_through_adam() -> Result<()> {
    through_training(Adam::new(0.1).decoupled_decay(0.01), 0.05)
}

#[test]
fn an_unrolled_training_is_the_training() -> Result<()> {
    /// Both ways from the same weights.
    fn both<R: Transform + Clone>(optimizer: Optimizer<R>) -> Result<()> {
        let model = Model::net();
        let tape = Tape::inference();
        let recording = Tape::new();
        let mut training = optimizer.unroll(&recording, &model)?;
        for _ in 0..3 {
            let loss = training.within(|| summing(&recording, &model));
            training.step(loss);
        }
        let unrolled = recording.eval_all(&training.params())?;
        drop(tape);
        let mut optimizer = optimizer;
        for _ in 0..3 {
            let gradients = summing(&Tape::new(), &model).backward()?;
            optimizer.step(&model, &gradients)?;
        }
        for ((name, param), unrolled) in model.params().iter().zip(&unrolled) {
            close(unrolled, &param.value(), 1e-14, name);
        }
        Ok(())
    }
    both(Sgd::new(0.1).momentum(0.9).nesterov())?;
    both(NAdam::new(0.01).group("cell.b", Group { lr: 0.5, ..Default::default() }))?;
    both(RmsProp::new(0.01).centered().momentum(0.3))?;
    both(Asgd::new(0.1).start(1.0))?;
    both(Optimizer::chain(0.1, (ClipNorm(0.1), ClipAdaptive::new(0.1), ScaleBy(Exponential { lr: 1.0, factor: 0.5 }))))
}

#[test]
fn an_update_is_one_pass() -> Result<()> {
    let p = Param::new(data(&[64, 64], 1));
    let tape = Tape::new();
    let gradient = tape.constant(data(&[64, 64], 2));
    let mut training = Adam::new(0.1).decoupled_decay(0.01).unroll(&tape, &p)?;
    training.apply(&[Some(gradient)]);
    let program = tape.program(&training.values())?;
    assert_eq!(program.instructions.len(), 1, "{program:#}");
    assert_eq!(program.output_bytes, 3 * 64 * 64 * 8, "the parameter and two moments");
    assert_eq!(program.arena_bytes, 0, "no value in between is stored");
    Ok(())
}

#[test]
fn a_gradient_of_zero_can_be_differentiated() -> Result<()> {
    // The slope of √v at v = 0 is infinite; no update depends on it.
    let p = Param::new(Tensor::from_slice(&[1.0f64, 2.0], [2])?);
    let tape = Tape::new();
    let mut training = Adam::new(0.1).unroll(&tape, &p)?;
    training.lr = tape.var(0.1f64);
    let lr = training.lr;
    let loss = training.within(|| tape.param(&p).get(0, 0).square());
    training.step(loss);
    let after = training.within(|| tape.param(&p).square().sum());
    let [by_start] = after.grad([&p]);
    let [by_lr] = after.grad([lr]);
    assert!(by_start.value()?.to_f64_vec().iter().all(|v| v.is_finite()));
    assert!((by_lr.item()? + 2.0 * 0.9).abs() < 1e-6);
    Ok(())
}

/// Gradients that are what is given, whatever the parameters.
fn given(pair: &(Param, Param), a: &Tensor, b: &Tensor) -> Result<Gradients> {
    let tape = Tape::new();
    ((tape.param(&pair.0) * a).sum() + (tape.param(&pair.1) * b).sum()).backward()
}

fn pair() -> (Param, Param) {
    (Param::new(data(&[3, 2], 1)), Param::new(data(&[4], 2)))
}

#[test]
fn groups_and_frozen_parameters() -> Result<()> {
    let (a, b) = (data(&[3, 2], 5), data(&[4], 6));
    let run = |sgd: Sgd| -> Result<Vec<Tensor>> {
        let (net, mut sgd) = (pair(), sgd);
        sgd.step(&net, &given(&net, &a, &b)?)?;
        Ok(net.snapshot())
    };
    let tape = Tape::inference();
    let step = |p: &Param, g: &Tensor, lr: f64, decay: f64| {
        let p = tape.param(p);
        (p - (tape.constant(g) + p * decay) * lr).value()
    };
    let start = pair();
    let group = |lr, decay| Group { lr, decay, frozen: false };
    let found = run(Sgd::new(0.1).l2(0.5).group("*", group(0.5, 1.0)).group("1", group(2.0, 0.0)))?;
    close(&found[0], &step(&start.0, &a, 0.05, 0.5)?, 1e-15, "the last pattern that matches counts");
    close(&found[1], &step(&start.1, &b, 0.2, 0.0)?, 1e-15, "no decay");
    let found = run(Sgd::new(0.1).decoupled_decay(0.5).group("1", group(2.0, 0.1)))?;
    close(&found[1], &step(&start.1, &b, 0.2, 0.05)?, 1e-15, "decoupled");
    let found = run(Sgd::new(0.1).freeze("0"))?;
    assert!(found[0].bit_eq(&start.0.value()) && !found[1].bit_eq(&start.1.value()));
    let found = run(Sgd::new(0.1).freeze("*"))?;
    assert!(found[0].bit_eq(&start.0.value()) && found[1].bit_eq(&start.1.value()));
    says(&run(Sgd::new(0.1).freeze("cell.*")).unwrap_err(), &["Sgd", "'cell.*' matches no parameter: 0, 1"]);
    says(&run(Sgd::new(0.1).group("*", group(-1.0, 1.0))).unwrap_err(), &["factor of the learning rate is -1"]);
    Ok(())
}

#[test]
fn gradients_that_are_not_finite() -> Result<()> {
    let (a, b) = (data(&[3, 2], 5), data(&[4], 6));
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut values = b.to_f64_vec();
        values[2] = bad;
        let broken = Tensor::from_vec(values, [4])?;
        let net = pair();
        let before = net.snapshot();
        let gradients = || {
            let mut gradients = given(&net, &a, &b)?;
            gradients.insert(&net.1, broken.clone());
            Ok::<_, Error>(gradients)
        };
        let unchanged = || net.snapshot().iter().zip(&before).all(|(now, before)| now.bit_eq(before));
        let mut adam = Adam::new(0.1).skip_non_finite();
        adam.step(&net, &gradients()?)?;
        assert!(unchanged() && adam.skipped() == 1);
        // Their number is saved, and nothing else.
        let state = adam.state(&net)?;
        let mut other = Adam::new(0.1);
        other.load_state(&net, state.clone())?;
        assert!(state.len() == 1 && other.skipped() == 1);
        let line = line!() + 1;
        let error = Adam::new(0.1).refuse_non_finite().step(&net, &gradients()?).unwrap_err();
        says(&error, &["Adam: the gradient of '1' is not finite", &format!("main.rs:{line}")]);
        assert!(unchanged());
        adam.step(&net, &given(&net, &a, &b)?)?;
        assert!(!unchanged() && adam.skipped() == 1);
        // Without either they are used as they are.
        Sgd::new(0.1).step(&net, &gradients()?)?;
        assert!(!net.1.value().to_f64_vec()[2].is_finite());
    }
    Ok(())
}

#[test]
fn state_that_does_not_fit_is_refused() -> Result<()> {
    let (net, a, b) = (pair(), data(&[3, 2], 5), data(&[4], 6));
    let mut adam = Adam::new(0.1);
    adam.step(&net, &given(&net, &a, &b)?)?;
    let state = adam.state(&net)?;
    let without = |name: &str| state.iter().filter(|(other, _)| other != name).cloned().collect::<Vec<_>>();
    let refuses = |state: Vec<(String, Tensor)>, parts: &[&str]| {
        let mut other = Adam::new(0.1);
        says(&other.load_state(&net, state).unwrap_err(), parts);
        assert!(other.state(&net).is_ok_and(|state| state.is_empty()));
    };
    refuses(without("0.m"), &["'0.m' is missing"]);
    refuses(without("1.step"), &["'1.m' belongs to nothing, '1.v' belongs to nothing"]);
    let mut wrong = without("1.v");
    wrong.push(("1.v".into(), data(&[5], 1)));
    refuses(wrong, &["'1.v' is f64 [5], expected f64 [4]"]);
    let mut wrong = without("1.step");
    wrong.push(("1.step".into(), Tensor::scalar(0i64)));
    refuses(wrong, &["'1.step' is no count"]);
    let mut wrong = state.clone();
    wrong.push(("skipped".into(), Tensor::scalar(-1i64)));
    refuses(wrong, &["'skipped' is no count"]);
    // Settings that change what is kept.
    let error = adam.clone().amsgrad().step(&net, &given(&net, &a, &b)?).unwrap_err();
    says(&error, &["the state of '0' has 2 values, expected 3", "before the first step"]);
    // A file of it.
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("adam.safetensors");
    io::save_tensors(state.clone(), &path).expect("a writable folder");
    let mut other = Adam::new(0.1);
    other.load_state(&net, io::load_tensors(&path).expect("the file"))?;
    for ((name, kept), (other, loaded)) in state.iter().zip(other.state(&net)?) {
        assert!(*name == other && kept.bit_eq(&loaded));
    }
    Ok(())
}

#[test]
fn settings_of_every_kind_are_checked() -> Result<()> {
    fn refuses<R: Transform>(mut optimizer: Optimizer<R>, part: &str) {
        let p = Param::new(data(&[2, 2], 1));
        let gradients = Tape::new().param(&p).square().sum().backward().expect("a loss");
        says(&optimizer.step(&p, &gradients).unwrap_err(), &[part, "main.rs"]);
        assert!(p.value().bit_eq(&data(&[2, 2], 1)));
    }
    refuses(Adam::new(-1.0), "Adam: the learning rate is -1");
    refuses(Adam::new(0.1).betas(1.0, 0.9), "beta1 is 1");
    refuses(Adam::new(0.1).betas(0.9, f64::NAN), "beta2 is NaN");
    refuses(Adam::new(0.1).decoupled_decay(-1.0), "decoupled decay is -1");
    refuses(Adamax::new(0.1).eps(-1.0), "eps is -1");
    refuses(NAdam::new(0.1).momentum_decay(f64::INFINITY), "momentum decay is inf");
    refuses(RAdam::new(0.1).betas(-0.1, 0.9), "beta1 is -0.1");
    refuses(RmsProp::new(0.1).alpha(2.0), "alpha is 2");
    refuses(Adagrad::new(0.1).lr_decay(-1.0), "decay of the learning rate is -1");
    refuses(Adadelta::new(0.1).rho(1.5), "rho is 1.5");
    refuses(Rprop::new(0.1).etas(1.2, 0.5), "factors of the step size are 1.2 and 0.5");
    refuses(Rprop::new(0.1).steps(0.5, 0.1), "Rprop: the least step is 0.5, the greatest 0.1");
    refuses(Asgd::new(0.1).alpha(-1.0), "alpha is -1");
    refuses(Lion::new(0.1).betas(0.9, 1.0), "beta2 is 1");
    refuses(Muon::new(0.1).momentum(1.0), "momentum is 1");
    refuses(Muon::new(0.1).coefficients(1.0, f64::NAN, 0.0), "coefficients of the iteration are 1, NaN and 0");
    refuses(Optimizer::chain(0.1, (AddDecay(-1.0), SgdRule::default())), "rate is -1");
    Ok(())
}
