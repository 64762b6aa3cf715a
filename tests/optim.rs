//! Optimizers, averages and schedules against torch.optim and pseudo-code, from `optim_f64` in `tests/fixtures`.

mod support;

use support::{Fixture, close, data, says};
use wengert::optim::schedule::*;
use wengert::optim::*;
use wengert::prelude::*;

/// The parameters `a` and `b` of the fixtures.
#[derive(Module)]
struct Pair {
    a: Param,
    b: Param,
}

impl Pair {
    fn start(fixture: &Fixture) -> Pair {
        let start = |name: &str| Param::new(fixture.get(&format!("start.{name}")).clone());
        Pair { a: start("a"), b: start("b") }
    }
}

/// Tensor `name` of step `t`.
fn at(fixture: &Fixture, name: &str, t: usize) -> Result<Tensor> {
    let all = fixture.get(name);
    all.narrow(0, t, 1)?.reshape(&all.shape()[1..])
}

/// Gradients that are what the fixture says, whatever the parameters; `b` has none at every fourth step.
fn gradients(fixture: &Fixture, pair: &Pair, t: usize) -> Result<Gradients> {
    let tape = Tape::new();
    let mut loss = (tape.param(&pair.a) * &at(fixture, "grad.a", t)?).sum();
    if t % 4 != 3 {
        loss = loss + (tape.param(&pair.b) * &at(fixture, "grad.b", t)?).sum();
    }
    loss.backward()
}

/// Makes 20 steps and compares the parameters after each.
fn compare<R: Transform + Clone>(fixture: &Fixture, case: &str, optimizer: Optimizer<R>) -> Result<()> {
    let pair = Pair::start(fixture);
    let mut trained = optimizer.clone();
    for t in 0..20 {
        trained.step(&pair, &gradients(fixture, &pair, t)?)?;
        for (name, param) in pair.params() {
            let wanted = at(fixture, &format!("{case}.{name}"), t)?;
            close(&param.value(), &wanted, 1e-12, &format!("{case}, {name} after step {t}"));
        }
    }
    // State that is saved after ten steps and loaded into a new optimizer gives the same bits.
    let other = Pair::start(fixture);
    let mut first = optimizer.clone();
    for t in 0..10 {
        first.step(&other, &gradients(fixture, &other, t)?)?;
    }
    let mut second = optimizer;
    second.load_state(&other, first.state(&other)?)?;
    for t in 10..20 {
        second.step(&other, &gradients(fixture, &other, t)?)?;
    }
    assert!(other.a.value().bit_eq(&pair.a.value()) && other.b.value().bit_eq(&pair.b.value()), "{case} resumed");
    Ok(())
}

#[test]
fn updates_are_those_of_the_references() -> Result<()> {
    let f = &Fixture::open("optim_f64");
    compare(f, "sgd", Sgd::new(0.05).momentum(0.9).dampening(0.2).l2(0.1))?;
    compare(f, "adam", Adam::new(0.05))?;
    compare(f, "adam.betas", Adam::new(0.05).betas(0.7, 0.95).eps(1e-3))?;
    compare(f, "adam.l2", Adam::new(0.05).l2(0.1))?;
    compare(f, "adam.amsgrad", Adam::new(0.05).betas(0.9, 0.9).amsgrad())?;
    compare(f, "adamw", Adam::new(0.05).decoupled_decay(0.1))?;
    compare(f, "adamw.amsgrad", Adam::new(0.05).decoupled_decay(0.1).amsgrad())?;
    compare(f, "adamax", Adamax::new(0.05))?;
    compare(f, "adamax.l2", Adamax::new(0.05).betas(0.8, 0.9).eps(1e-2).l2(0.1))?;
    compare(f, "nadam", NAdam::new(0.05))?;
    compare(f, "nadam.l2", NAdam::new(0.05).betas(0.8, 0.95).eps(1e-3).momentum_decay(0.1).l2(0.1))?;
    compare(f, "nadam.decoupled", NAdam::new(0.05).decoupled_decay(0.1))?;
    compare(f, "radam", RAdam::new(0.05))?;
    compare(f, "radam.l2", RAdam::new(0.05).betas(0.8, 0.95).eps(1e-3).l2(0.1))?;
    compare(f, "radam.decoupled", RAdam::new(0.05).decoupled_decay(0.1))?;
    compare(f, "rmsprop", RmsProp::new(0.05))?;
    compare(f, "rmsprop.momentum", RmsProp::new(0.05).alpha(0.9).eps(1e-3).momentum(0.8).l2(0.1))?;
    compare(f, "rmsprop.centered", RmsProp::new(0.05).centered())?;
    compare(f, "rmsprop.all", RmsProp::new(0.05).momentum(0.8).centered().l2(0.1))?;
    compare(f, "adagrad", Adagrad::new(0.05))?;
    compare(f, "adagrad.decay", Adagrad::new(0.05).lr_decay(0.1).initial(0.3).eps(1e-3).l2(0.1))?;
    compare(f, "adadelta", Adadelta::new(1.0))?;
    compare(f, "adadelta.l2", Adadelta::new(0.5).rho(0.8).eps(1e-3).l2(0.1))?;
    compare(f, "rprop", Rprop::new(0.05))?;
    compare(f, "rprop.bounds", Rprop::new(0.05).etas(0.3, 1.7).steps(0.02, 0.12))?;
    compare(f, "asgd", Asgd::new(0.05))?;
    compare(f, "asgd.early", Asgd::new(0.05).lambda(0.1).alpha(0.6).start(5.0).l2(0.1))?;
    compare(f, "lion", Lion::new(0.05))?;
    compare(f, "lion.decay", Lion::new(0.05).betas(0.95, 0.98).decoupled_decay(0.1))
}

#[test]
fn the_average_of_asgd() -> Result<()> {
    let fixture = Fixture::open("optim_f64");
    let pair = Pair::start(&fixture);
    let mut asgd = Asgd::new(0.05).lambda(0.1).alpha(0.6).start(5.0).l2(0.1);
    for t in 0..20 {
        asgd.step(&pair, &gradients(&fixture, &pair, t)?)?;
    }
    for (name, tensor) in asgd.state(&pair)? {
        if let Some(name) = name.strip_suffix(".average") {
            close(&tensor, fixture.get(&format!("asgd.early.average.{name}")), 1e-12, name);
        }
    }
    Ok(())
}

#[test]
fn muon() -> Result<()> {
    let fixture = Fixture::open("optim_f64");
    let plain = || Muon::new(0.05).momentum(0.8).without_nesterov();
    for (case, muon) in [("muon", Muon::new(0.05).decoupled_decay(0.1)), ("muon.plain", plain())] {
        for name in ["a", "tall"] {
            let param = Param::new(fixture.get(&format!("start.{name}")).clone());
            let mut muon = muon.clone();
            for t in 0..20 {
                let tape = Tape::new();
                let gradients = (tape.param(&param) * &at(&fixture, &format!("grad.{name}"), t)?).sum().backward()?;
                muon.step(&param, &gradients)?;
                let wanted = at(&fixture, &format!("{case}.{name}"), t)?;
                close(&param.value(), &wanted, 1e-12, &format!("{case}, {name} after step {t}"));
            }
        }
    }
    let vector = Param::new(data(&[3], 1));
    let gradients = { Tape::new().param(&vector).sum().backward()? };
    let error = Muon::new(0.1).step(&vector, &gradients).unwrap_err();
    says(&error, &["Muon: the parameter is [3], expected a matrix", "the update of ''", "optim.rs"]);
    Ok(())
}

#[test]
fn averages_of_parameters() -> Result<()> {
    let fixture = Fixture::open("optim_f64");
    for (case, mut average) in [("equal", Average::equal()), ("exponential", Average::exponential(0.9))] {
        let pair = Pair::start(&fixture);
        let mut sgd = Sgd::new(0.1);
        for t in 0..20 {
            let tape = Tape::new();
            let (a, b) = (at(&fixture, "grad.a", t)?, at(&fixture, "grad.b", t)?);
            let gradients = ((tape.param(&pair.a) * &a).sum() + (tape.param(&pair.b) * &b).sum()).backward()?;
            sgd.step(&pair, &gradients)?;
            average.update(&pair)?;
        }
        let trained = pair.snapshot();
        average.swap(&pair)?;
        for (name, param) in pair.params() {
            close(&param.value(), fixture.get(&format!("average.{case}.{name}")), 1e-12, case);
        }
        says(&average.update(&pair).unwrap_err(), &["exchanged", "swap"]);
        average.swap(&pair)?;
        assert!(pair.snapshot().iter().zip(&trained).all(|(a, b)| a.bit_eq(b)));
        assert_eq!(average.count(), 20);
    }
    says(&Average::equal().swap(&Param::new(data(&[2], 1))).unwrap_err(), &["nothing was averaged"]);
    Ok(())
}

#[test]
fn schedules_are_those_of_pytorch() {
    let fixture = Fixture::open("optim_f64");
    let compare = |case: &str, schedule: &dyn Schedule| {
        for (step, wanted) in fixture.get(&format!("schedule.{case}")).to_f64_vec().into_iter().enumerate() {
            let found = schedule.at(step);
            assert!((found - wanted).abs() <= 1e-14, "{case}, step {step}: {found} against {wanted}");
        }
    };
    let exponential = Exponential { lr: 0.1, factor: 0.93 };
    let linear = Line { from: 0.025, to: 0.1, steps: 12 };
    compare("constant", &0.1);
    compare("step", &schedule::Step { lr: 0.1, every: 7, factor: 0.5 });
    compare("multi_step", &MultiStep { lr: 0.1, milestones: vec![5, 20, 20, 43], factor: 0.3 });
    compare("exponential", &exponential);
    compare("polynomial", &Polynomial { from: 0.1, to: 0.0, steps: 40, power: 2.5 });
    compare("cosine", &Cosine { from: 0.1, to: 0.01, steps: 40 });
    compare("warm_restarts", &WarmRestarts { from: 0.1, to: 0.01, steps: 7, growth: 2 });
    compare("warm_restarts_equal", &WarmRestarts { from: 0.1, to: 0.01, steps: 7, growth: 1 });
    compare("linear", &linear);
    compare("one_cycle", &OneCycle::new(0.1, 61));
    compare("one_cycle_early", &OneCycle { rise: 0.13, start: 10.0, end: 100.0, ..OneCycle::new(0.1, 50) });
    let cyclic = |up, down, heights| Cyclic { low: 0.01, high: 0.1, up, down, heights };
    compare("triangular", &cyclic(7, 4, Heights::Equal));
    compare("triangular2", &cyclic(7, 7, Heights::Halved));
    compare("exp_range", &cyclic(5, 9, Heights::Falling(0.97)));
    compare("chained", &schedule::Step { lr: 1.0, every: 7, factor: 0.5 }.times(exponential.clone()));
    compare("sequence", &linear.then(13, exponential));

    let mut plateau = Plateau::new(0.3).patience(2).threshold(0.01).cooldown(3).least(1e-4);
    let mut lr = 0.1;
    let losses = fixture.get("plateau.loss").to_f64_vec();
    for (step, (loss, wanted)) in losses.into_iter().zip(fixture.get("plateau.lr").to_f64_vec()).enumerate() {
        lr = plateau.next(lr, loss);
        assert!((lr - wanted).abs() < 1e-16, "step {step}");
    }
}

#[test]
fn schedules_in_closed_form() {
    let close = |schedule: &dyn Schedule, wanted: &[(usize, f64)]| {
        for (step, wanted) in wanted {
            let found = schedule.at(*step);
            assert!((found - wanted).abs() <= 1e-15, "step {step}: {found} against {wanted}");
        }
    };
    // The rise and the fall of Noam's rate meet at the end of the warm-up.
    let noam = Noam { size: 256, warm_up: 100, scale: 2.0 };
    close(&noam, &[(0, 2.0 / 16.0 / 1000.0), (99, 2.0 / 16.0 / 10.0), (399, 2.0 / 16.0 / 20.0)]);
    close(&InverseSqrt { lr: 0.1, flat: 25 }, &[(0, 0.1), (24, 0.1), (99, 0.05), (2499, 0.01)]);
    let wsd = Wsd { lr: 1.0, warm_up: 3, stable: 4, decay: 4, to: 0.2 };
    close(&wsd, &[(0, 0.25), (2, 0.75), (3, 1.0), (7, 1.0), (8, 0.8), (10, 0.4), (11, 0.2), (99, 0.2)]);
    let points = vec![(2, 1.0), (6, 3.0), (8, 0.5)];
    let constant = Piecewise { points: points.clone(), between: Between::Constant };
    close(&constant, &[(0, 1.0), (2, 1.0), (5, 1.0), (6, 3.0), (7, 3.0), (8, 0.5), (80, 0.5)]);
    let lines = Piecewise { points, between: Between::Linear };
    close(&lines, &[(0, 1.0), (2, 1.0), (3, 1.5), (5, 2.5), (6, 3.0), (7, 1.75), (8, 0.5), (80, 0.5)]);
    // Beyond their last step, and degenerate lengths: numbers all the same.
    let degenerate: [&dyn Schedule; 9] = [
        &schedule::Step { lr: 0.1, every: 0, factor: 0.5 },
        &Cosine { from: 0.1, to: 0.0, steps: 0 },
        &WarmRestarts { from: 0.1, to: 0.0, steps: 0, growth: 0 },
        &WarmRestarts { from: 0.1, to: 0.0, steps: 1, growth: usize::MAX },
        &Polynomial { from: 0.1, to: 0.0, steps: 0, power: 2.0 },
        &OneCycle::new(0.1, 0),
        &Cyclic { low: 0.0, high: 0.1, up: 0, down: 0, heights: Heights::Halved },
        &Noam { size: 0, warm_up: 0, scale: 1.0 },
        &Piecewise { points: Vec::new(), between: Between::Linear },
    ];
    for schedule in degenerate {
        assert!([0, 1, 2, 1_000_000].iter().all(|step| schedule.at(*step).is_finite()));
    }
}

#[test]
fn lbfgs() -> Result<()> {
    let fixture = Fixture::open("optim_f64");
    let cases = [
        ("short", Lbfgs::new().iterations(5)),
        ("long", Lbfgs::new().iterations(20)),
        ("history", Lbfgs::new().iterations(20).history(3).lr(0.5)),
        ("converged", Lbfgs::new().iterations(200)),
    ];
    for (case, lbfgs) in cases {
        let p = Param::new(Tensor::from_slice(&[-1.2f64, 1.0, -0.5, 0.8], [4])?);
        let found = lbfgs.minimize(&p, || rosenbrock(&Tape::new(), &p).backward())?;
        let number = |name: &str| fixture.number(&format!("lbfgs.{case}.{name}"));
        assert_eq!(found.iterations as f64, number("iterations"), "{case}");
        assert_eq!(found.evaluations as f64, number("evaluations"), "{case}");
        if found.iterations <= 20 {
            close(&p.value(), fixture.get(&format!("lbfgs.{case}.p")), 1e-12, case);
            assert!((found.loss - number("loss")).abs() <= 1e-12, "{case}");
        } else {
            // Each step on this function makes rounding errors larger: after 40 they are 5e-12.
            close(&p.value(), fixture.get(&format!("lbfgs.{case}.p")), 1e-9, case);
        }
        assert_eq!(found.converged, case == "converged");
    }
    let p = Param::new(Tensor::from_slice(&[-1.2f64, 1.0], [2])?);
    let refused = Lbfgs::new().lr(0.0).minimize(&p, || rosenbrock(&Tape::new(), &p).backward());
    says(&refused.unwrap_err(), &["the learning rate is 0"]);
    Ok(())
}

/// `Σ (1 − pᵢ)² + 100·(pᵢ₊₁ − pᵢ²)²`.
fn rosenbrock<'t>(tape: &'t Tape, p: &Param) -> Var<'t> {
    let p = tape.param(p);
    let n = p.shape().map_or(0, |shape| shape[0]);
    let (here, next) = (p.narrow(0, 0, n - 1), p.narrow(0, 1, n - 1));
    ((1.0 - here).square() + 100.0 * (next - here.square()).square()).sum()
}
