//! The affine layer.

use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Param, Var};

/// `y = x·W + b` over the last axis: `[.., I] -> [.., O]`.
#[derive(Clone, Debug, Module)]
#[module(kind = "linear")]
pub struct Linear {
    /// `[I, O]`.
    pub weight: Param,
    /// `[O]`.
    pub bias: Option<Param>,
}

impl Linear {
    /// A layer with weights and bias drawn from `uniform(±1/√input)`, as PyTorch draws them.
    pub fn new(input: usize, output: usize, rng: &mut impl Rng) -> Linear {
        let bound = 1.0 / (input.max(1) as f64).sqrt();
        Linear {
            weight: Param::new(init::uniform(&[input, output], bound, rng)),
            bias: Some(Param::new(init::uniform(&[output], bound, rng))),
        }
    }

    /// The same layer without bias.
    pub fn without_bias(self) -> Linear {
        Linear { bias: None, ..self }
    }

    /// Applies the layer to `x` `[.., I]`.
    #[track_caller]
    pub fn forward<'t>(&self, x: Var<'t>) -> Var<'t> {
        let _named = x.tape().composition("linear");
        let y = x.matmul(&self.weight);
        match &self.bias {
            Some(bias) => y + bias,
            None => y,
        }
    }
}
