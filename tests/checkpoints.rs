//! A long sequence under a memory budget: resident memory and time. Slow; run in release with `--ignored --nocapture`.
#![cfg(target_os = "linux")]

use rand::{SeedableRng, rngs::StdRng};
use std::time::Instant;
use wengert::prelude::*;

/// The most memory that was ever resident, in bytes.
fn peak() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<usize>().ok()? << 10)
}

/// A step of training on `steps` steps of one sequence, the loss added up in the body: the loss, and seconds.
fn step(cell: &LstmCell, steps: usize, checkpoint: Checkpoint) -> Result<(Gradients, f64)> {
    let x = init::normal(&[steps, 1, 2], 1.0, &mut StdRng::seed_from_u64(1));
    let begin = Instant::now();
    let tape = Tape::new();
    let cx = Cx::train(&tape);
    let start = (cell.init(&cx, 1), cx.zeros([1]));
    let options = ScanOptions::default().checkpoint(checkpoint);
    let ((_, loss), ()) = tape.scan_with(options, start, tape.constant(&x), |(state, loss), x| {
        let (y, state) = cell.step(x, state);
        ((state, loss + y.square().mean_axes(-1)), ())
    });
    let gradients = (loss.sum() / steps as f64).backward()?;
    Ok((gradients, begin.elapsed().as_secs_f64()))
}

#[test]
fn a_network_has_the_same_gradients_with_checkpoints() -> Result<()> {
    let gradients = |checkpoint: Checkpoint| -> Result<Vec<Tensor>> {
        let rng = &mut StdRng::seed_from_u64(3);
        let net = Rnn::stack(2, 3, |_, input| LstmCell::new(input, 4, rng)).checkpoint(checkpoint);
        let x = init::normal(&[50, 32, 3], 1.0, rng);
        let tape = Tape::new();
        let (y, _) = net.forward(&Cx::train(&tape), tape.constant(&x));
        let gradients = y.square().mean().backward()?;
        Ok(net.params().iter().filter_map(|(_, param)| gradients.get(param).cloned()).collect())
    };
    let wanted = gradients(Checkpoint::None)?;
    for checkpoint in [Checkpoint::Every(16), Checkpoint::Budget(1 << 16)] {
        let found = gradients(checkpoint)?;
        assert!(found.len() == wanted.len() && found.iter().zip(&wanted).all(|(a, b)| a.bit_eq(b)), "{checkpoint:?}");
    }
    Ok(())
}

#[test]
#[ignore = "measures: needs a release build and a quiet machine"]
fn a_budget_of_64_mib_holds_for_a_hundred_thousand_steps() -> Result<()> {
    const STEPS: usize = 100_000;
    let budget = Checkpoint::Budget(64 << 20);
    let cell = LstmCell::new(2, 128, &mut StdRng::seed_from_u64(0));
    step(&cell, 100, budget)?;
    let before = peak();
    let (found, _) = step(&cell, STEPS, budget)?;
    let after = peak();
    let best = |checkpoint: Checkpoint, steps: usize| -> Result<f64> {
        (0..3).try_fold(f64::INFINITY, |best, _| Ok(best.min(step(&cell, steps, checkpoint)?.1)))
    };
    let (long, short, tenth) = (best(budget, STEPS)?, best(budget, 1_000)?, best(budget, 10_000)?);
    let (wanted, _) = step(&cell, STEPS, Checkpoint::None)?;
    let plain = best(Checkpoint::None, STEPS)?;
    let unbounded = peak();
    let inputs = STEPS * 2 * 4;
    if let (Some(before), Some(after), Some(unbounded)) = (before, after, unbounded) {
        let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
        println!("growth {:.1} MiB; without checkpoints {:.1} MiB", mib(after - before), mib(unbounded - before));
        assert!(after - before <= (64 << 20) + 2 * inputs, "{} bytes", after - before);
    }
    println!(
        "us a step: {:.2}, plain {:.2}, 10,000 steps {:.2}, 1,000 steps {:.2}",
        long * 10.0,
        plain * 10.0,
        tenth * 100.0,
        short * 1000.0
    );
    let same = cell
        .params()
        .iter()
        .all(|(_, param)| found.get(param).zip(wanted.get(param)).is_some_and(|(a, b)| a.bit_eq(b)));
    assert!(same && found.loss().bit_eq(wanted.loss()), "the gradients have the bits of those without checkpoints");
    assert!(long <= 1.6 * plain, "{long} s, without checkpoints {plain} s");
    Ok(())
}
