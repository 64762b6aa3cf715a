//! What a step asks of the allocator once it is warm. A program of its own: the counts are those of all threads.

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use wengert::optim::{AdamRule, ClipNorm};
use wengert::prelude::*;

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The most bytes that one of five steps allocates after five others, on three parameters of `n` F32 elements in all.
fn bytes<R: Transform>(mut optimizer: Optimizer<R>, n: usize, clip: bool) -> Result<usize> {
    let part = n / 4;
    let sizes = [[part / 10, 10], [2 * part / 10, 10], [part / 100, 100]];
    let net = sizes.map(|shape| Param::new(Tensor::full(&shape[..], 0.5, DType::F32)));
    let mut most = 0;
    for step in 0..10 {
        let tape = Tape::new();
        let loss = net.iter().map(|p| tape.param(p).square().sum()).reduce(|a, b| a + b).expect("three parameters");
        let mut gradients = loss.backward()?;
        drop(tape);
        let region = Region::new(GLOBAL);
        if clip {
            clip_grad_norm(&net, &mut gradients, 1.0)?;
        }
        optimizer.step(&net, &gradients)?;
        let change = region.change();
        if step >= 5 {
            most = most.max(change.bytes_allocated + change.bytes_reallocated.unsigned_abs());
        }
        optimizer.lr *= 0.99;
    }
    Ok(most)
}

#[test]
fn a_warm_step_allocates_no_memory_for_elements() -> Result<()> {
    fn check<R: Transform + Clone>(name: &str, optimizer: Optimizer<R>, clip: bool) -> Result<()> {
        let [small, large] = [10_000, 1_000_000].map(|n| bytes(optimizer.clone(), n, clip));
        let (small, large) = (small?, large?);
        println!("{name}: {small} bytes for 10,000 elements, {large} for 1,000,000");
        // The recording of the step.
        assert!(small < 40_000, "{name}: {small} bytes");
        // What the second thread is told.
        assert!(large <= small + 1_000, "{name}: {small} bytes, but {large} for more elements");
        Ok(())
    }
    wengert::set_threads(2);
    check("Adam", Adam::new(1e-3), false)?;
    check("AdamW", Adam::new(1e-3).decoupled_decay(0.01), false)?;
    check("AMSGrad, skipping", Adam::new(1e-3).amsgrad().skip_non_finite(), false)?;
    check("Sgd", Sgd::new(1e-3).momentum(0.9), false)?;
    check("clipped ahead", Adam::new(1e-3), true)?;
    check("clipped in a chain", Optimizer::chain(1e-3, (ClipNorm(1.0), AdamRule::default())), false)
}
