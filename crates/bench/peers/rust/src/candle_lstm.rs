//! candle: its LSTM, a layer after the other.

use crate::{Outcome, Peer, wave};
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{LSTM, LSTMConfig, RNN, VarBuilder, VarMap, lstm};
use std::hint::black_box;

pub(crate) struct Net {
    layers: Vec<LSTM>,
    /// The parameters that the check counts: candle adds two biases, of which one is zero there.
    counted: Vec<Var>,
    x: Tensor,
}

impl Net {
    /// With drawn weights, or with known ones: waves of amplitude 0.3, transposed as candle keeps them.
    pub(crate) fn new([t, b, i, h, l]: [usize; 5], double: bool, known: bool) -> Result<Net> {
        let (device, dtype) = (Device::Cpu, if double { DType::F64 } else { DType::F32 });
        let map = VarMap::new();
        let builder = VarBuilder::from_varmap(&map, dtype, &device);
        let mut layers = Vec::new();
        let mut counted = Vec::new();
        for n in 0..l {
            let inputs = if n == 0 { i } else { h };
            let config = LSTMConfig { layer_idx: n, ..Default::default() };
            layers.push(lstm(inputs, h, config, builder.clone())?);
            if !known {
                continue;
            }
            // A poisoned map is whole: variables are inserted in one call.
            let vars = map.data().lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            for (name, rows) in [("weight_ih", inputs), ("weight_hh", h), ("bias_ih", 1)] {
                let Some(var) = vars.get(&format!("{name}_l{n}")) else { continue };
                let values = Tensor::from_vec(wave(rows * 4 * h, 0.3), (rows, 4 * h), &device)?.t()?;
                var.set(&values.reshape(var.shape())?.to_dtype(dtype)?)?;
                counted.push(var.clone());
            }
        }
        let x = Tensor::from_vec(wave(t * b * i, 1.0), (t, b, i), &device)?;
        Ok(Net { layers, counted, x: x.transpose(0, 1)?.contiguous()?.to_dtype(dtype)? })
    }

    fn gradients(&self) -> Result<(Tensor, GradStore)> {
        let mut y = self.x.clone();
        for layer in &self.layers {
            y = layer.states_to_tensor(&layer.seq(&y)?)?;
        }
        let loss = y.sqr()?.mean_all()?;
        let gradients = loss.backward()?;
        Ok((loss, gradients))
    }
}

impl Peer for Net {
    fn step(&mut self) -> Outcome<()> {
        black_box(self.gradients()?);
        Ok(())
    }

    fn checked(&mut self) -> Outcome<[f64; 2]> {
        let number = |x: Tensor| x.to_dtype(DType::F64)?.to_scalar::<f64>();
        let (loss, gradients) = self.gradients()?;
        let squares = |var: &Var| number(gradients.get(var).ok_or_else(|| lacking())?.sqr()?.sum_all()?);
        let sum: f64 = self.counted.iter().map(squares).sum::<Result<f64>>()?;
        Ok([number(loss)?, sum.sqrt()])
    }
}

fn lacking() -> candle_core::Error {
    candle_core::Error::Msg("a parameter has no gradient".into())
}
