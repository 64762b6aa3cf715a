//! A network under checkpoints. What they cost and save is measured by `wengert-bench long`.

use rand::{SeedableRng, rngs::StdRng};
use wengert::prelude::*;

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
