//! Rates by step.

use crate::support::Fixture;
use wengert::optim::schedule::*;
use wengert::prelude::*;

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

    // With a momentum that goes against the rate.
    let momentum = |case: &str, schedule: &dyn Schedule| {
        for (step, wanted) in fixture.get(&format!("momentum.{case}")).to_f64_vec().into_iter().enumerate() {
            let found = schedule.at(step);
            assert!((found - wanted).abs() <= 1e-14, "momentum of {case}, step {step}: {found} against {wanted}");
        }
    };
    let one = OneCycle::new(0.1, 60);
    let three = OneCycle { three_phases: true, ..one.clone() };
    let linear = OneCycle { anneal: Anneal::Linear, ..one.clone() };
    let both = OneCycle { rise: 0.21, three_phases: true, anneal: Anneal::Linear, ..OneCycle::new(0.1, 50) };
    for (case, cycle, low, high) in [
        ("one_cycle_momentum", one, 0.85, 0.95),
        ("three_phases", three, 0.85, 0.95),
        ("one_cycle_linear", linear, 0.85, 0.95),
        ("three_phases_linear", both, 0.6, 0.9),
    ] {
        compare(case, &cycle);
        momentum(case, &cycle.momentum(low, high));
    }
    let halved = cyclic(7, 4, Heights::Halved);
    compare("cyclic_momentum", &halved);
    momentum("cyclic_momentum", &halved.momentum(0.8, 0.9));
    let falling = cyclic(5, 9, Heights::Falling(0.97));
    compare("cyclic_momentum_falling", &falling);
    momentum("cyclic_momentum_falling", &falling.momentum(0.5, 0.95));
}

#[test]
fn plateaus_are_those_of_pytorch() {
    let fixture = Fixture::open("optim_f64");
    let new = || Plateau::new(0.3).patience(2).cooldown(3).least(1e-4);
    for (case, mut plateau) in [
        ("plateau", new().threshold(0.01)),
        ("plateau.max", new().rising().threshold(0.01)),
        ("plateau.abs", new().absolute_threshold(0.03)),
        ("plateau.max_abs", new().rising().absolute_threshold(0.03)),
    ] {
        let mut lr = 0.1;
        let losses = fixture.get("plateau.loss").to_f64_vec();
        for (step, (loss, wanted)) in
            losses.into_iter().zip(fixture.get(&format!("{case}.lr")).to_f64_vec()).enumerate()
        {
            lr = plateau.next(lr, loss);
            assert!((lr - wanted).abs() < 1e-16, "{case}, step {step}");
            // What is saved goes on the same way.
            let state = plateau.state();
            plateau.load_state(state);
        }
    }
    // Where the best is negative, better is still towards more, or less, than it.
    let mut rising = Plateau::new(0.5).patience(0).threshold(0.1).rising();
    assert_eq!([-1.0, -0.95, -0.8].map(|value| rising.next(1.0, value)), [1.0, 0.5, 1.0]);
    let mut falling = Plateau::new(0.5).patience(0).threshold(0.1);
    assert_eq!([-1.0, -1.05, -1.2].map(|value| falling.next(1.0, value)), [1.0, 0.5, 1.0]);
    // NaN is no progress.
    assert_eq!([f64::NAN, 1.0].map(|value| Plateau::new(0.5).patience(0).next(1.0, value)), [0.5, 1.0]);
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
    let momenta = (
        OneCycle { three_phases: true, ..OneCycle::new(0.1, 1) }.momentum(0.8, 0.9),
        Cyclic { low: 0.0, high: 0.1, up: 0, down: 0, heights: Heights::Equal }.momentum(0.8, 0.9),
    );
    let degenerate: [&dyn Schedule; 12] = [
        &schedule::Step { lr: 0.1, every: 0, factor: 0.5 },
        &Cosine { from: 0.1, to: 0.0, steps: 0 },
        &WarmRestarts { from: 0.1, to: 0.0, steps: 0, growth: 0 },
        &WarmRestarts { from: 0.1, to: 0.0, steps: 1, growth: usize::MAX },
        &Polynomial { from: 0.1, to: 0.0, steps: 0, power: 2.0 },
        &OneCycle::new(0.1, 0),
        &OneCycle { three_phases: true, rise: 0.0, ..OneCycle::new(0.1, 2) },
        &momenta.0,
        &momenta.1,
        &Cyclic { low: 0.0, high: 0.1, up: 0, down: 0, heights: Heights::Halved },
        &Noam { size: 0, warm_up: 0, scale: 1.0 },
        &Piecewise { points: Vec::new(), between: Between::Linear },
    ];
    for schedule in degenerate {
        assert!([0, 1, 2, 1_000_000].iter().all(|step| schedule.at(*step).is_finite()));
    }
}
