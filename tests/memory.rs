//! Training does not grow: the resident size is flat over ten thousand steps.
#![cfg(target_os = "linux")]

use rand::{SeedableRng, rngs::StdRng};
use wengert::prelude::*;

/// Resident memory in pages: the second field of `/proc/self/statm`.
fn resident() -> Option<f64> {
    std::fs::read_to_string("/proc/self/statm").ok()?.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn ten_thousand_training_steps_take_no_more_memory_than_one_thousand() -> Result<()> {
    let mut rng = StdRng::seed_from_u64(0);
    let net = Rnn::stack(2, 10, |_, input| LstmCell::new(input, 20, &mut rng));
    let [x, target] = [[5, 3, 10], [5, 3, 20]].map(|shape| init::normal(&shape, 1.0, &mut rng));
    let mut sgd = Sgd::new(0.01).momentum(0.9);
    let mut carried: Option<Carried> = None;
    let mut early = None;
    for step in 1..=10_000 {
        let tape = Tape::new();
        let cx = Cx::train(&tape);
        let state = match &carried {
            Some(carried) => net.resume(&cx, 3, carried)?,
            None => net.init(&cx, 3),
        };
        let (y, state) = net.forward_from(&cx, tape.constant(&x), state);
        let state = state.keep();
        let mut gradients = loss::mse(y, &target).backward()?;
        carried = Some(Carried::of(&state)?);
        drop(tape);
        clip_grad_norm(&net, &mut gradients, 1.0)?;
        // The rate changes in every step, and nothing is planned anew for it.
        sgd.lr = 0.01 / (1.0 + 1e-4 * step as f64);
        sgd.step(&net, &gradients)?;
        if step == 1_000 {
            early = resident();
        }
    }
    // Where the size cannot be read there is nothing to compare.
    if let (Some(early), Some(late)) = (early, resident()) {
        assert!(late <= 1.02 * early, "{early} pages after 1,000 steps, {late} after 10,000");
    }
    Ok(())
}
