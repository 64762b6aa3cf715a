//! L-BFGS: PyTorch's path on Rosenbrock's function, frozen parameters, losses that are not finite.

use crate::support::{Fixture, close, says};
use std::cell::Cell as Counter;
use wengert::optim::*;
use wengert::prelude::*;

#[test]
fn minima_are_those_of_pytorch() -> Result<()> {
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

fn vector(values: &[f64]) -> Result<Param> {
    Ok(Param::new(Tensor::from_slice(values, [values.len()])?))
}

#[test]
fn a_beginning_that_is_not_finite_is_an_error() -> Result<()> {
    // A loss that is NaN, one that is infinite, and one that is finite with a gradient that is not.
    type Loss = for<'t> fn(Var<'t>) -> Var<'t>;
    let cases: [(f64, Loss, &str); 4] = [
        (-1.0, |p| p.log().sum(), "the loss NaN"),
        (0.0, |p| p.log().sum(), "the loss -inf"),
        (0.0, |p| (1.0 / p).sum(), "the loss inf"),
        (0.0, |p| p.sqrt().sum(), "a gradient"),
    ];
    for (value, loss, what) in cases {
        let p = vector(&[2.0, value])?;
        let before = p.value();
        let line = line!() + 1;
        let error = Lbfgs::new().minimize(&p, || loss(Tape::new().param(&p)).backward()).unwrap_err();
        says(&error, &["Lbfgs", what, "is not finite at the beginning", &format!("lbfgs.rs:{line}")]);
        assert!(p.value().bit_eq(&before), "{what}");
    }
    Ok(())
}

#[test]
fn steps_stay_where_the_loss_is_finite() -> Result<()> {
    // x − log x has its minimum at 1 and no value below 0; steps of 100 from 0.01 or 5 lead there.
    let barrier = |p: &Param| {
        let tape = Tape::new();
        let p = tape.param(p);
        (p - p.log()).sum().backward()
    };
    for start in [[0.01, 5.0], [3.0, 0.5], [8.0, 9.0]] {
        let p = vector(&start)?;
        let lbfgs = Lbfgs::new().lr(100.0).iterations(100).tolerances(1e-7, 1e-16);
        let found = lbfgs.minimize(&p, || barrier(&p))?;
        assert!(found.converged && found.non_finite > 0 && found.gradient <= 1e-7, "{found:?}");
        assert!(p.value().to_f64_vec().iter().all(|x| (x - 1.0).abs() < 1e-6), "{found:?}");
        assert!((found.loss - 2.0).abs() < 1e-12);
    }
    Ok(())
}

#[test]
fn without_a_finite_step_nothing_is_lost_and_nothing_converged() -> Result<()> {
    // Falls towards 0, and is NaN everywhere but at the start.
    let p = vector(&[0.7, -0.3])?;
    let start = p.value();
    let evaluated = Counter::new(0);
    let found = Lbfgs::new().iterations(50).minimize(&p, || {
        evaluated.set(evaluated.get() + 1);
        let tape = Tape::new();
        let loss = tape.param(&p).square().sum();
        let wall = if p.value().bit_eq(&start) { 0.0 } else { f64::NAN };
        (loss + wall).backward()
    })?;
    assert!(!found.converged && found.iterations == 1, "{found:?}");
    assert_eq!((found.evaluations, found.non_finite), (evaluated.get(), evaluated.get() - 1));
    assert!(p.value().bit_eq(&start) && (found.loss - 0.58).abs() < 1e-15 && found.gradient == 1.4);
    // Only the gradient is NaN, from the third evaluation on: the parameters are those of the last finite ones.
    let p = vector(&[-1.2, 1.0])?;
    let (count, last) = (Counter::new(0), Counter::new(f64::NAN));
    let found = Lbfgs::new().iterations(50).minimize(&p, || {
        count.set(count.get() + 1);
        let mut gradients = rosenbrock(&Tape::new(), &p).backward()?;
        match count.get() > 3 {
            true => gradients.insert(&p, Tensor::full([2], f64::NAN, DType::F64)),
            false => last.set(gradients.loss().item()?),
        }
        Ok(gradients)
    })?;
    assert!(!found.converged && found.gradient.is_finite() && found.loss <= last.get(), "{found:?}");
    assert_eq!(rosenbrock(&Tape::new(), &p).item()?, found.loss);
    Ok(())
}

#[test]
fn evaluations_that_end_in_a_search_are_no_minimum() -> Result<()> {
    let p = vector(&[-1.2, 1.0])?;
    let before = p.value();
    // The first step is far too long, and there is no time to find a shorter one.
    let lbfgs = Lbfgs::new().lr(1e4).evaluations(3);
    let found = lbfgs.minimize(&p, || rosenbrock(&Tape::new(), &p).backward())?;
    assert!(!found.converged && found.evaluations == 4 && found.gradient > 1.0, "{found:?}");
    assert!(p.value().bit_eq(&before));
    Ok(())
}

#[test]
fn gradients_too_large_for_their_products() -> Result<()> {
    let p = vector(&[1e200, 1.0])?;
    let before = p.value();
    let found = Lbfgs::new().minimize(&p, || (Tape::new().param(&p) * 1e200).sum().backward());
    // The loss itself is infinite.
    says(&found.unwrap_err(), &["the loss inf"]);
    let found = Lbfgs::new().minimize(&p, || {
        let tape = Tape::new();
        // The slope is 1e200, the loss 0.
        ((tape.param(&p) - &p.value()) * 1e200).sum().backward()
    })?;
    assert!(!found.converged && p.value().bit_eq(&before), "{found:?}");
    Ok(())
}

#[test]
fn an_error_of_the_closure_leaves_the_last_step() -> Result<()> {
    let p = vector(&[-1.2, 1.0, -0.5, 0.8])?;
    let first = rosenbrock(&Tape::new(), &p).item()?;
    let count = Counter::new(0);
    let error = Lbfgs::new().minimize(&p, || {
        count.set(count.get() + 1);
        // The eighth evaluation is in the middle of a search.
        if count.get() == 8 {
            return Tape::new().param(&p).reshape([3]).sum().backward();
        }
        rosenbrock(&Tape::new(), &p).backward()
    });
    says(&error.unwrap_err(), &["reshape"]);
    assert!(rosenbrock(&Tape::new(), &p).item()? < 0.2 * first);
    // From the start, if there was no step.
    let p = vector(&[-1.2, 1.0])?;
    let before = p.value();
    let count = Counter::new(0);
    let failing = || {
        count.set(count.get() + 1);
        let tape = Tape::new();
        let loss = rosenbrock(&tape, &p);
        if count.get() == 2 { loss.reshape([2]).backward() } else { loss.backward() }
    };
    assert!(Lbfgs::new().minimize(&p, failing).is_err());
    assert!(p.value().bit_eq(&before));
    Ok(())
}

#[test]
fn frozen_parameters_stay() -> Result<()> {
    let net = (vector(&[3.0, -2.0])?, vector(&[1.0, 5.0])?);
    let loss = || {
        let tape = Tape::new();
        let (a, b) = (tape.param(&net.0), tape.param(&net.1));
        ((a - b).square().sum() + (b - 2.0).square().sum()).backward()
    };
    let before = net.1.value();
    let found = Lbfgs::new().freeze("1").minimize(&net, loss)?;
    // Only `a` moves, to `b`; the gradient of `b` does not count.
    assert!(found.converged && (found.loss - 10.0).abs() < 1e-12, "{found:?}");
    assert!(net.1.value().bit_eq(&before));
    close(&net.0.value(), &before, 1e-7, "the trained parameter");
    assert!(Lbfgs::new().tolerances(1e-7, 1e-16).minimize(&net, loss)?.loss < 1e-12);
    says(&Lbfgs::new().freeze("b").minimize(&net, loss).unwrap_err(), &["Lbfgs", "'b' matches no parameter: 0, 1"]);
    Ok(())
}
