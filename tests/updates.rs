//! Updates of optimizers in the memory of what they replace.

mod support;

use support::data;
use wengert::optim::*;
use wengert::prelude::*;

/// Five steps on matrices of more than a tile; with `hold` everything that a step could overwrite has another owner.
/// Gives the parameters and the state, and how many of them the last step left where they were.
fn stepped<R: Transform>(mut optimizer: Optimizer<R>, dtype: DType, hold: bool) -> Result<(Vec<Tensor>, usize)> {
    let data = |shape: &[usize], seed| data(shape, seed).cast(dtype);
    let net = [Param::new(data(&[70, 33], 1)), Param::new(data(&[33, 70], 2)), Param::new(data(&[601], 3))];
    let values = |optimizer: &Optimizer<R>| -> Result<Vec<Tensor>> {
        let state = optimizer.state(&net)?.into_iter().map(|(_, value)| value);
        Ok(net.snapshot().into_iter().chain(state).collect())
    };
    let places = |optimizer: &Optimizer<R>| -> Result<Vec<_>> {
        // Counters and products over time are single numbers.
        let large = values(optimizer)?.into_iter().filter(|value| value.numel() > 1);
        large
            .map(|value| match dtype {
                DType::F32 => Ok(value.as_slice::<f32>()?.as_ptr() as usize),
                _ => Ok(value.as_slice::<f64>()?.as_ptr() as usize),
            })
            .collect()
    };
    let (mut held, mut seen) = (Vec::new(), Vec::new());
    let mut stayed = 0;
    for step in 0..5 {
        let tape = Tape::new();
        let loss = (tape.param(&net[0]).matmul(&net[1]) - &data(&[70, 70], 9 + step)).square().mean();
        let gradients = (loss + (tape.param(&net[2]) - 0.1).square().sum()).backward()?;
        drop(tape);
        if hold {
            let now = values(&optimizer)?;
            seen.extend(now.iter().map(Tensor::to_f64_vec));
            held.extend(now);
        }
        let before = places(&optimizer)?;
        optimizer.step(&net, &gradients)?;
        stayed = places(&optimizer)?.iter().filter(|place| before.contains(place)).count();
    }
    assert!(held.iter().zip(&seen).all(|(tensor, seen)| tensor.to_f64_vec() == *seen), "an old value changed");
    Ok((values(&optimizer)?, stayed))
}

#[test]
fn steps_are_in_place_and_have_the_same_bits_elsewhere() -> Result<()> {
    fn compare<R: Transform + Clone>(name: &str, optimizer: Optimizer<R>, share: f64) -> Result<()> {
        compare_in(name, optimizer.clone(), DType::F64, share)?;
        compare_in(name, optimizer, DType::F32, share)
    }

    fn compare_in<R: Transform + Clone>(name: &str, optimizer: Optimizer<R>, dtype: DType, share: f64) -> Result<()> {
        let (own, stayed) = stepped(optimizer.clone(), dtype, false)?;
        let (apart, moved) = stepped(optimizer, dtype, true)?;
        assert!(own.iter().zip(&apart).all(|(a, b)| a.bit_eq(b)), "{name}");
        let frozen = (name == "muon") as usize;
        assert_eq!(moved, frozen, "{name}: what others hold was overwritten");
        let large = own.iter().filter(|value| value.numel() > 1).count();
        assert!(stayed as f64 >= share * large as f64, "{name}: {stayed} of {large} in place");
        Ok(())
    }
    compare("sgd", Sgd::new(0.1), 1.0)?;
    compare("sgd with an L2 penalty", Sgd::new(0.1).l2(0.01), 1.0)?;
    compare("momentum", Sgd::new(0.1).momentum(0.9), 1.0)?;
    compare("nesterov", Sgd::new(0.1).momentum(0.9).nesterov(), 1.0)?;
    compare("adam", Adam::new(0.1), 1.0)?;
    compare("adamw", Adam::new(0.1).decoupled_decay(0.01), 1.0)?;
    compare("amsgrad", Adam::new(0.1).amsgrad(), 1.0)?;
    compare("checked", Adam::new(0.1).skip_non_finite(), 1.0)?;
    compare("adamax", Adamax::new(0.1), 1.0)?;
    compare("nadam", NAdam::new(0.1), 1.0)?;
    compare("radam", RAdam::new(0.1), 1.0)?;
    compare("rmsprop", RmsProp::new(0.01).centered().momentum(0.5), 1.0)?;
    compare("adagrad", Adagrad::new(0.1), 1.0)?;
    compare("adadelta", Adadelta::new(1.0), 1.0)?;
    compare("rprop", Rprop::new(0.01), 1.0)?;
    compare("asgd", Asgd::new(0.1).start(1.0), 1.0)?;
    // Until it starts, the average is the parameter itself: one memory with two owners.
    compare("asgd before its start", Asgd::new(0.1), 0.0)?;
    compare("lion", Lion::new(0.01), 1.0)?;
    // Its products read the momentum again.
    compare("muon", Muon::new(0.01).freeze("2"), 0.0)?;
    compare("chain", Optimizer::chain(0.1, (ClipNorm(1.0), AdamRule::default(), AddDecay(1e-4))), 1.0)
}
