//! Normalisation over features.

use crate::{Module, init};
use wengert_autograd::{Param, Var};

/// `y = (x − mean(x)) / √(var(x) + eps) · gain + bias` over the last axis (Ba, Kiros & Hinton 2016, arXiv 1607.06450).
#[derive(Clone, Debug, Module)]
pub struct LayerNorm {
    /// The gain `[N]`.
    pub weight: Param,
    /// `[N]`.
    pub bias: Option<Param>,
    /// What is added to the variance.
    pub eps: f64,
}

impl LayerNorm {
    /// A layer for `size` features: gain 1, bias 0, `eps` 1e-5.
    pub fn new(size: usize) -> LayerNorm {
        let bias = Some(Param::new(init::zeros(&[size])));
        LayerNorm { weight: Param::new(init::ones(&[size])), bias, eps: 1e-5 }
    }

    /// The same layer without bias.
    pub fn without_bias(self) -> LayerNorm {
        LayerNorm { bias: None, ..self }
    }

    /// Applies the layer to `x` `[.., N]`.
    #[track_caller]
    pub fn forward<'t>(&self, x: Var<'t>) -> Var<'t> {
        let _named = x.tape().composition("layer_norm");
        if let Some(broken) = misfit("layer_norm", x, &self.weight) {
            return broken;
        }
        let y = x.layer_norm(self.eps) * &self.weight;
        match &self.bias {
            Some(bias) => y + bias,
            None => y,
        }
    }
}

/// `y = x / √(mean(x²) + eps) · gain` over the last axis (Zhang & Sennrich 2019, arXiv 1910.07467).
#[derive(Clone, Debug, Module)]
pub struct RmsNorm {
    /// The gain `[N]`.
    pub weight: Param,
    /// What is added to the mean square.
    pub eps: f64,
}

impl RmsNorm {
    /// A layer for `size` features: gain 1, `eps` 1e-6.
    pub fn new(size: usize) -> RmsNorm {
        RmsNorm { weight: Param::new(init::ones(&[size])), eps: 1e-6 }
    }

    /// Applies the layer to `x` `[.., N]`.
    #[track_caller]
    pub fn forward<'t>(&self, x: Var<'t>) -> Var<'t> {
        let _named = x.tape().composition("rms_norm");
        misfit("rms_norm", x, &self.weight).unwrap_or_else(|| x.rms_norm(self.eps) * &self.weight)
    }
}

/// An invalid value if `x` has another number of features than the layer: one feature would be broadcast.
#[track_caller]
fn misfit<'t>(name: &str, x: Var<'t>, gain: &Param) -> Option<Var<'t>> {
    let shape = x.shape().ok()?;
    let size = gain.value().numel();
    if shape.last() == Some(&size) {
        return None;
    }
    let found = format!("the input is {shape}, the layer has {size} features");
    Some(x.invalid(name, found, "make the layer with the extent of the last axis"))
}
