//! Updates and averages.

use crate::support::{Fixture, close, data, says};
use crate::{Pair, at, gradients};
use wengert::optim::schedule::Exponential;
use wengert::optim::*;
use wengert::prelude::*;

/// How far parameters in F32 may be from PyTorch's after 20 steps, relative to the larger of 1 and themselves. Both round the parameter in every
/// step, by at most 2⁻²⁴ of it; roundings within an update count as much less as it is smaller than the parameter.
const SINGLE: f64 = 2.0 * 20.0 / (1 << 24) as f64;

/// Makes 20 steps and compares the parameters after each, in F64 and in F32.
fn compare<R: Transform + Clone>(fixtures: &[Fixture; 2], case: &str, optimizer: Optimizer<R>) -> Result<()> {
    for (fixture, tolerance) in fixtures.iter().zip([1e-12, SINGLE]) {
        compare_one(fixture, case, optimizer.clone(), tolerance)?;
    }
    Ok(())
}

fn compare_one<R: Transform + Clone>(
    fixture: &Fixture,
    case: &str,
    optimizer: Optimizer<R>,
    tolerance: f64,
) -> Result<()> {
    let pair = Pair::start(fixture);
    let mut trained = optimizer.clone();
    for t in 0..20 {
        trained.step(&pair, &gradients(fixture, &pair, t)?)?;
        for (name, param) in pair.params() {
            let wanted = at(fixture, &format!("{case}.{name}"), t)?;
            assert_eq!(param.value().dtype(), wanted.dtype());
            close(&param.value(), &wanted, tolerance, &format!("{case}, {name} after step {t}"));
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
    let f = &["optim_f64", "optim_f32"].map(Fixture::open);
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
    let decayed = || Muon::new(0.05).decoupled_decay(0.1);
    let spectral = || decayed().adjust_lr(AdjustLr::SpectralUnclamped).coefficients(3.0, -3.2, 1.2).eps(1.0);
    let cases = [
        ("muon", decayed()),
        ("muon.plain", plain()),
        ("muon.rms", decayed().adjust_lr(AdjustLr::MatchRmsAdamW)),
        ("muon.spectral", spectral()),
    ];
    for (case, muon) in cases {
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
    says(&error, &["Muon: the parameter is [3], expected a matrix", "the update of ''", "updates.rs"]);
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
fn groups_have_settings_of_their_own() -> Result<()> {
    let f = &Fixture::open("optim_f64");
    let group = |lr, decay| Group { lr, decay, frozen: false };
    let nesterov = SgdRule { momentum: 0.5, nesterov: true, ..Default::default() };
    let sgd = Sgd::new(0.05).momentum(0.9).l2(0.1).group("a", group(1.0, 0.0)).group("b", group(2.0, 1.0));
    compare_one(f, "groups.sgd", sgd.group_rule("b", nesterov), 1e-12)?;
    let own = AdamRule { betas: (0.7, 0.95), eps: 1e-3, amsgrad: true };
    // The last pattern that matches counts, and what all have is that of no pattern.
    let adam = Adam::new(0.05).group("b", group(0.4, 1.0)).group_rule("*", own.clone());
    compare_one(f, "groups.adam", adam.group_rule("a", AdamRule::default()), 1e-12)?;
    let own = RmsPropRule { alpha: 0.9, momentum: 0.8, centered: true, ..Default::default() };
    compare_one(f, "groups.rmsprop", RmsProp::new(0.05).group_rule("b", own), 1e-12)?;

    // An unrolled training has the same groups.
    let pair = Pair::start(f);
    let tape = Tape::new();
    let nesterov = SgdRule { momentum: 0.5, nesterov: true, ..Default::default() };
    let sgd = Sgd::new(0.05).momentum(0.9).l2(0.1).group("a", group(1.0, 0.0)).group("b", group(2.0, 1.0));
    let mut training = sgd.group_rule("b", nesterov).unroll(&tape, &pair)?;
    for t in 0..20 {
        let b = (t % 4 != 3).then(|| at(f, "grad.b", t)).transpose()?;
        training.apply(&[Some(tape.constant(at(f, "grad.a", t)?)), b.map(|b| tape.constant(b))]);
    }
    for (name, value) in ["a", "b"].into_iter().zip(tape.eval_all(&training.params())?) {
        close(&value, &at(f, &format!("groups.sgd.{name}"), 19)?, 1e-12, name);
    }

    // A common norm is that of a group.
    let chain = |greatest| (ClipNorm(greatest), SgdRule::default());
    let pair = Pair::start(f);
    let before = pair.snapshot();
    let given = gradients(f, &pair, 0)?;
    Optimizer::chain(1.0, chain(0.1)).group_rule("b", chain(0.2)).step(&pair, &given)?;
    for ((before, (name, param)), greatest) in before.iter().zip(pair.params()).zip([0.1, 0.2]) {
        let (before, after) = (before.to_f64_vec(), param.value().to_f64_vec());
        let norm = before.iter().zip(after).map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt();
        assert!((norm - greatest).abs() < 1e-6, "{name}: {norm}");
    }

    // Their settings are among those of the optimizer.
    let own = AdamRule { betas: (0.7, 0.95), ..Default::default() };
    let settings = Adam::new(0.1).group_rule("b", own).settings();
    assert!(settings.contains(&("'b' betas".into(), "(0.7, 0.95)".into())), "{settings:?}");
    assert!(settings.contains(&("betas".into(), "(0.9, 0.999)".into())), "{settings:?}");

    // Their settings and patterns are checked like all others.
    let wrong = AdamRule { betas: (1.0, 0.9), ..Default::default() };
    let error = Adam::new(0.1).group_rule("b", wrong).step(&pair, &given).unwrap_err();
    says(&error, &["Adam: the beta1 is 1", "updates.rs"]);
    let error = Adam::new(0.1).group_rule("c*", AdamRule::default()).step(&pair, &given).unwrap_err();
    says(&error, &["Adam", "the pattern 'c*' matches no parameter: a, b"]);
    // State belongs to the rule that kept it.
    let amsgrad = AdamRule { amsgrad: true, ..Default::default() };
    let mut adam = Adam::new(0.1).group_rule("b", amsgrad);
    adam.step(&pair, &given)?;
    let names: Vec<String> = adam.state(&pair)?.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a.step", "a.m", "a.v", "b.step", "b.m", "b.v", "b.largest"]);
    let error = Adam::new(0.1).load_state(&pair, adam.state(&pair)?).unwrap_err();
    says(&error, &["'b.largest' belongs to nothing"]);
    Ok(())
}

#[test]
fn a_momentum_may_change_between_steps() -> Result<()> {
    // By hand: v ← μ·v + g, p ← p − lr·v, the first velocity being the gradient.
    let f = &Fixture::open("optim_f64");
    let pair = Pair::start(f);
    let mut sgd = Sgd::new(0.1).momentum(0.5);
    let (mut p, mut v) = (pair.a.value().to_f64_vec(), vec![0.0; 12]);
    for t in 0..6 {
        let momentum = 0.9 - 0.1 * t as f64;
        sgd.rule.momentum = momentum;
        sgd.step(&pair, &gradients(f, &pair, t)?)?;
        for ((p, v), g) in p.iter_mut().zip(&mut v).zip(at(f, "grad.a", t)?.to_f64_vec()) {
            *v = momentum * *v + g;
            *p -= 0.1 * *v;
        }
    }
    close(&pair.a.value(), &Tensor::from_vec(p, [3, 4])?, 1e-14, "a momentum that falls");
    Ok(())
}

#[test]
fn decay_and_scale_where_they_stand_in_a_chain() -> Result<()> {
    let f = &Fixture::open("optim_f64");
    // Ahead of Adam an L2 penalty, behind it AdamW's decay.
    compare_one(f, "adam.l2", Optimizer::chain(0.05, (AddDecay(0.1), AdamRule::default())), 1e-12)?;
    compare_one(f, "adamw", Optimizer::chain(0.05, (AdamRule::default(), AddDecay(0.1))), 1e-12)?;

    // u = (g + 0.3·p) · 0.5ᵗ, by hand; `b` has no gradient at every fourth step, and counts its own.
    let pair = Pair::start(f);
    let halved = Exponential { lr: 1.0, factor: 0.5 };
    let mut chain = Optimizer::chain(0.2, (AddDecay(0.3), ScaleBy(halved)))
        .group("a", Group { lr: 1.0, decay: 0.5, frozen: false });
    let mut wanted = pair.snapshot().iter().map(Tensor::to_f64_vec).collect::<Vec<_>>();
    let mut counts = [0, 0];
    for t in 0..8 {
        chain.step(&pair, &gradients(f, &pair, t)?)?;
        for (i, (name, decay)) in [("grad.a", 0.15), ("grad.b", 0.3)].into_iter().enumerate() {
            if i == 1 && t % 4 == 3 {
                continue;
            }
            for (p, g) in wanted[i].iter_mut().zip(at(f, name, t)?.to_f64_vec()) {
                *p -= 0.2 * (g + decay * *p) * 0.5f64.powi(counts[i]);
            }
            counts[i] += 1;
        }
    }
    for ((name, param), wanted) in pair.params().into_iter().zip(wanted) {
        close(&param.value(), &Tensor::from_vec(wanted, param.value().shape())?, 1e-14, &name);
    }
    Ok(())
}
