//! burn: its LSTM on the processor, a layer after the other.

use crate::{Outcome, Peer, wave};
use burn::module::Param;
use burn::nn::{Linear, Lstm, LstmConfig};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use std::hint::black_box;

pub(crate) struct Net {
    layers: Vec<Lstm>,
    x: Tensor<3>,
}

impl Net {
    /// With drawn weights, or with known ones: the columns of waves of amplitude 0.3, a gate each.
    pub(crate) fn new([t, b, i, h, l]: [usize; 5], known: bool) -> Net {
        let device = Device::flex().autodiff();
        let mut layers = Vec::new();
        for n in 0..l {
            let inputs = if n == 0 { i } else { h };
            let mut layer = LstmConfig::new(inputs, h, true).init(&device);
            if known {
                for (gate, (input, hidden)) in gates(&mut layer).into_iter().enumerate() {
                    let columns = |rows| tensor(columns(rows, h, gate), [rows, h], &device);
                    input.weight = Param::from_tensor(columns(inputs));
                    input.bias = Some(Param::from_tensor(columns(1).reshape([h])));
                    hidden.weight = Param::from_tensor(columns(h));
                    hidden.bias = Some(Param::from_tensor(Tensor::zeros([h], &device)));
                }
            }
            layers.push(layer);
        }
        let x = tensor(wave(t * b * i, 1.0), [t, b, i], &device);
        Net { layers, x: x.swap_dims(0, 1) }
    }

    fn gradients(&self) -> (Tensor<1>, Gradients) {
        let mut y = self.x.clone();
        for layer in &self.layers {
            y = layer.forward(y, None).0;
        }
        let loss = (y.clone() * y).mean();
        let gradients = loss.backward();
        (loss, gradients)
    }
}

impl Peer for Net {
    fn step(&mut self) -> Outcome<()> {
        black_box(self.gradients());
        Ok(())
    }

    fn checked(&mut self) -> Outcome<[f64; 2]> {
        let (loss, gradients) = self.gradients();
        let mut sum = 0.0;
        for layer in &mut self.layers {
            for (input, hidden) in gates(layer) {
                // burn adds two biases, of which one is zero here.
                for weight in [&input.weight, &hidden.weight] {
                    sum += squares(weight.val().grad(&gradients))?;
                }
                let Some(bias) = &input.bias else { return Err("a gate has no bias".into()) };
                sum += squares(bias.val().grad(&gradients))?;
            }
        }
        Ok([f64::from(loss.into_scalar::<f32>()), sum.sqrt()])
    }
}

fn squares<const D: usize>(gradient: Option<Tensor<D>>) -> Outcome<f64> {
    let gradient = gradient.ok_or("a parameter has no gradient")?;
    Ok(f64::from((gradient.clone() * gradient).sum().into_scalar::<f32>()))
}

/// The products with input and state of each gate, in PyTorch's order.
fn gates(layer: &mut Lstm) -> Vec<(&mut Linear, &mut Linear)> {
    let all = [Some(&mut layer.input_gate), layer.forget_gate.as_mut(), Some(&mut layer.cell_gate), Some(&mut layer.output_gate)];
    all.into_iter().flatten().map(|gate| (&mut gate.input_transform, &mut gate.hidden_transform)).collect()
}

/// The columns of one gate out of those of all four.
fn columns(rows: usize, hidden: usize, gate: usize) -> Vec<f64> {
    let all = wave(rows * 4 * hidden, 0.3);
    all.chunks(4 * hidden).flat_map(|row| &row[gate * hidden..(gate + 1) * hidden]).copied().collect()
}

fn tensor<const D: usize>(values: Vec<f64>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape).convert::<f32>(), device)
}
