//! Cells as a user writes them: no line of the library or of the planner knows of any.

mod attention;
mod gru;
mod layer_norm;
mod lstm;
mod multiplicative;
mod peephole;

pub(crate) use attention::Attention;
pub(crate) use gru::Gru;
pub(crate) use layer_norm::LayerNormLstm;
pub(crate) use lstm::Custom;
pub(crate) use multiplicative::Multiplicative;
pub(crate) use peephole::Peephole;

use rand::rngs::StdRng;
use wengert::prelude::*;

/// Parameters uniform in ±1/√hidden.
fn drawn(hidden: usize, rng: &mut StdRng) -> impl FnMut(&[usize]) -> Param {
    let bound = (hidden as f64).powf(-0.5);
    move |shape| Param::new(init::uniform(shape, bound, rng))
}

/// Parameters that are one everywhere.
fn ones(n: usize) -> Param {
    Param::new(Tensor::full([n], 1.0, DType::F32))
}
