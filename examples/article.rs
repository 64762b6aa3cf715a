//! PyTorch's LSTM tutorial: two layers, a loss, its gradients, an update; then the same a few hundred times.
//!
//! ```text
//! cargo run --release --example article [-- --smoke]
//! ```

use rand::{SeedableRng, rngs::StdRng};
use wengert::prelude::*;

fn main() -> Result<()> {
    let steps = if std::env::args().any(|arg| arg == "--smoke") { 20 } else { 400 };
    let mut rng = StdRng::seed_from_u64(0);

    // lstm = nn.LSTM(input_size=10, hidden_size=20, num_layers=2)
    let net = Rnn::stack(2, 10, |_layer, input| LstmCell::new(input, 20, &mut rng));
    println!("{} parameters:", net.num_params());
    for (name, param) in net.params() {
        println!("  {name:<10} {}", param.value().shape());
    }

    // 5 time steps of 3 sequences, a target, and the state (h, c) in which each layer starts.
    let mut randn = |shape: &[usize]| init::normal(shape, 1.0, &mut rng);
    let input = randn(&[5, 3, 10]);
    let target = randn(&[5, 3, 20]);
    let start = [(); 2].map(|()| (randn(&[3, 20]), randn(&[3, 20])));

    let mut sgd = Sgd::new(0.01);
    for step in 0..=steps {
        // A tape records what is computed; nothing runs yet.
        let tape = Tape::new();
        let cx = Cx::train(&tape);
        let state = start.iter().map(|(h, c)| (tape.constant(h), tape.constant(c))).collect();
        let (output, _state) = net.forward_from(&cx, tape.constant(&input), state);
        let loss = loss::mse(output, &target);

        // One program computes the loss and the gradient of every parameter.
        let gradients = loss.backward()?;
        if step % (steps / 10).max(1) == 0 {
            println!("step {step:>3}   loss {:.4}   learning rate {}", gradients.loss().item()?, sgd.lr);
        }

        // p -= lr * p.grad, for every parameter.
        drop(tape);
        sgd.step(&net, &gradients)?;

        // The tutorial ends after one step of 0.01. To learn the target by heart, larger ones help.
        sgd.lr = 2.0;
    }
    Ok(())
}
