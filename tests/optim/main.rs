//! Optimizers, averages, clipping and schedules against torch.optim and pseudo-code, from `optim_f64` in `tests/fixtures`, and what
//! happens to settings and numbers that are out of range.

#[path = "../support/mod.rs"]
mod support;

mod accumulate;
mod clipping;
mod lbfgs;
mod schedules;
mod updates;

use support::{Fixture, data};
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

/// Gradients that are what is given, whatever the parameters.
fn given(pair: &(Param, Param), a: &Tensor, b: &Tensor) -> Result<Gradients> {
    let tape = Tape::new();
    ((tape.param(&pair.0) * a).sum() + (tape.param(&pair.1) * b).sum()).backward()
}

fn pair() -> (Param, Param) {
    (Param::new(data(&[3, 2], 1)), Param::new(data(&[4], 2)))
}
