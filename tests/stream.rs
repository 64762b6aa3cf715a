//! Streams against whole sequences.

use rand::{SeedableRng, rngs::StdRng};
use wengert::prelude::*;

fn data(shape: &[usize]) -> Tensor {
    let n = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..n).map(|i| ((i * 7919) % 101) as f32 / 50.0 - 1.0).collect();
    Tensor::from_slice(&values, shape).expect("as many values as the shape holds")
}

fn row(xs: &Tensor, t: usize) -> Result<Tensor> {
    xs.narrow(0, t, 1)?.contiguous().reshape(&xs.shape()[1..])
}

#[test]
fn steps_equal_the_sequence() -> Result<()> {
    let mut rng = StdRng::seed_from_u64(0);
    let net = Rnn::stack(2, 3, |_, input| LstmCell::new(input, 5, &mut rng));
    for batch in [1, 4] {
        let xs = data(&[7, batch, 3]);
        let tape = Tape::inference();
        let (ys, _) = net.forward(&Cx::eval(&tape), tape.constant(&xs));
        let ys = ys.value()?;
        let mut stream = net.stream();
        for _ in 0..2 {
            for t in 0..7 {
                assert!(stream.step(&row(&xs, t)?)?.bit_eq(&row(&ys, t)?), "step {t}");
            }
            stream.reset();
        }
    }
    Ok(())
}

#[test]
fn another_batch_starts_anew() -> Result<()> {
    let net = Rnn::new(GruCell::new(2, 3, &mut StdRng::seed_from_u64(0)));
    let mut stream = net.stream();
    let first = stream.step(&data(&[1, 2]))?;
    stream.step(&data(&[4, 2]))?;
    assert!(stream.step(&data(&[1, 2]))?.bit_eq(&first));
    assert_ne!(stream.step(&data(&[1, 2]))?.to_f64_vec(), first.to_f64_vec());
    Ok(())
}

#[test]
fn a_wrong_input_is_an_error() {
    let net = Rnn::new(GruCell::new(2, 3, &mut StdRng::seed_from_u64(0)));
    let text = net.stream().step(&data(&[1, 5])).expect_err("five features").to_string();
    assert!(text.contains("[1, 5]") && text.contains("matmul"), "{text}");
}
