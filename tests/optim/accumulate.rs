//! Gradients of several batches as one: means, weights, groups that are not full, and what is saved of them.

use crate::support::{close, data, says};
use crate::{given, pair};
use wengert::optim::*;
use wengert::prelude::*;

#[test]
fn accumulated_gradients_are_their_mean() -> Result<()> {
    let net = pair();
    let (a, b) = ([data(&[3, 2], 5), data(&[3, 2], 7)], data(&[4], 6));
    let mut accumulate = Accumulate::every(2);
    for round in 0..2 {
        assert!(accumulate.add(&net, given(&net, &a[0], &b)?)?.is_none(), "round {round}");
        let only_first = (Tape::new().param(&net.0) * &a[1]).sum().backward()?;
        let mean = accumulate.add(&net, only_first)?.expect("the second of two");
        let half = |x: f64, y: f64| (x + y) / 2.0;
        let wanted: Vec<f64> = a[0].to_f64_vec().iter().zip(a[1].to_f64_vec()).map(|(x, y)| half(*x, y)).collect();
        assert_eq!(mean.get(&net.0).unwrap().to_f64_vec(), wanted);
        let wanted: Vec<f64> = b.to_f64_vec().iter().map(|x| half(*x, 0.0)).collect();
        assert_eq!(mean.get(&net.1).unwrap().to_f64_vec(), wanted);
    }
    says(&Accumulate::every(0).add(&net, given(&net, &a[0], &b)?).unwrap_err(), &["0 batches"]);
    Ok(())
}

/// The gradients of a mean over some samples.
fn of_samples(net: &(Param, Param), samples: &[usize]) -> Result<Gradients> {
    let tape = Tape::new();
    let of = |i: &usize| {
        let (a, b) = (data(&[3, 2], 30 + *i as u64), data(&[4], 60 + *i as u64));
        (tape.param(&net.0) - &a).square().sum() + (tape.param(&net.1) * &b).sum().tanh()
    };
    let sum = samples.iter().map(of).reduce(|a, b| a + b).expect("a sample");
    (sum / samples.len() as f64).backward()
}

fn same(net: &(Param, Param), found: &Gradients, wanted: &Gradients) -> Result<()> {
    for param in [&net.0, &net.1] {
        close(found.get(param).expect("a mean"), wanted.get(param).expect("a gradient"), 1e-14, "the mean");
    }
    assert!((found.loss().item()? - wanted.loss().item()?).abs() < 1e-14);
    Ok(())
}

#[test]
fn batches_of_unequal_sizes_are_one_batch_of_all_samples() -> Result<()> {
    let net = pair();
    let all: Vec<usize> = (0..10).collect();
    let wanted = of_samples(&net, &all)?;
    let mut accumulate = Accumulate::every(4);
    let mut means = Vec::new();
    for batch in [&all[..3], &all[3..4], &all[4..9], &all[9..]] {
        means.extend(accumulate.add_weighted(&net, of_samples(&net, batch)?, batch.len() as f64)?);
    }
    assert!(means.len() == 1 && accumulate.waiting() == 0);
    same(&net, &means[0], &wanted)?;
    // Without weights every batch counts the same: another mean.
    for batch in [&all[..3], &all[3..4], &all[4..9], &all[9..]] {
        means.extend(accumulate.add(&net, of_samples(&net, batch)?)?);
    }
    assert!((means[1].loss().item()? - wanted.loss().item()?).abs() > 1e-3);
    for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let refused = accumulate.add_weighted(&net, of_samples(&net, &all)?, weight).unwrap_err();
        says(&refused, &[&format!("the weight of the batch is {weight}"), "accumulate.rs"]);
    }
    assert_eq!(accumulate.waiting(), 0);
    Ok(())
}

#[test]
fn the_last_group_may_be_smaller() -> Result<()> {
    let net = pair();
    let mut accumulate = Accumulate::every(4);
    assert!(accumulate.flush()?.is_none());
    for i in 0..3 {
        assert!(accumulate.add(&net, of_samples(&net, &[i])?)?.is_none());
    }
    assert_eq!(accumulate.waiting(), 3);
    same(&net, &accumulate.flush()?.expect("three wait"), &of_samples(&net, &[0, 1, 2])?)?;
    assert!(accumulate.waiting() == 0 && accumulate.flush()?.is_none());
    // A batch that does not fit is not taken in.
    accumulate.add(&net, of_samples(&net, &[0])?)?;
    let mut wrong = of_samples(&net, &[1])?;
    wrong.insert(&net.1, data(&[5], 1));
    says(&accumulate.add(&net, wrong).unwrap_err(), &["the gradient of '1' is f64 [5], the parameter f64 [4]"]);
    assert_eq!(accumulate.waiting(), 1);
    same(&net, &accumulate.flush()?.expect("one waits"), &of_samples(&net, &[0])?)
}

#[test]
fn what_waits_can_be_saved() -> Result<()> {
    let net = pair();
    let mut accumulate = Accumulate::every(3);
    assert!(accumulate.state(&net)?.is_empty());
    accumulate.add_weighted(&net, of_samples(&net, &[0, 1])?, 2.0)?;
    let only_first = (Tape::new().param(&net.0) * &data(&[3, 2], 8)).sum().backward()?;
    accumulate.add(&net, only_first)?;
    let state = accumulate.state(&net)?;
    let names: Vec<&str> = state.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["count", "weight", "loss", "sum.0", "sum.1"]);
    // In another program, with other parameters of the same names.
    let other = (net.0.fork(), net.1.fork());
    let mut loaded = Accumulate::every(3);
    loaded.load_state(&other, state.clone())?;
    assert_eq!(loaded.waiting(), 2);
    let mean = accumulate.add(&net, of_samples(&net, &[2])?)?.expect("the third");
    let found = loaded.add(&other, of_samples(&other, &[2])?)?.expect("the third");
    for (a, b) in [(&net.0, &other.0), (&net.1, &other.1)] {
        assert!(mean.get(a).unwrap().bit_eq(found.get(b).unwrap()));
    }
    assert!(mean.loss().bit_eq(found.loss()));
    // An empty state is that of no batches.
    loaded.load_state(&other, state.clone())?;
    loaded.load_state(&other, Vec::new())?;
    assert_eq!(loaded.waiting(), 0);
    // What does not fit changes nothing.
    loaded.load_state(&other, state.clone())?;
    let without = |name: &str| state.iter().filter(|(other, _)| other != name).cloned().collect::<Vec<_>>();
    let with = |name: &str, tensor: Tensor| [without(name), vec![(name.to_string(), tensor)]].concat();
    for (state, part) in [
        (without("loss"), "three numbers"),
        (with("count", Tensor::scalar(0i64)), "three numbers"),
        (with("weight", Tensor::scalar(f64::NAN)), "three numbers"),
        (with("count", Tensor::scalar(3i64)), "3 batches wait for a mean of 3"),
        (with("sum.1", data(&[5], 1)), "'sum.1' is f64 [5], expected f64 [4]"),
        (with("sum.2", data(&[5], 1)), "'sum.2' belongs to nothing"),
    ] {
        says(&loaded.load_state(&other, state).unwrap_err(), &["Accumulate", part]);
        assert_eq!(loaded.waiting(), 2);
    }
    says(
        &accumulate.add(&net, of_samples(&net, &[0])?).and_then(|_| accumulate.state(&net.0)).unwrap_err(),
        &["1 gradients belong to no parameter"],
    );
    Ok(())
}
