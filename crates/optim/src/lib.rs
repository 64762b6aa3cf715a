//! Optimizers. An update is written in recorded operations and runs as one fused program over all parameters.
//!
//! They know parameter trees, not networks.
#![forbid(unsafe_code)]

mod clip;
mod sgd;

pub use clip::clip_grad_norm;
pub use sgd::Sgd;

use wengert_autograd::{Error, ErrorKind, Gradients, Param, ParamTree, Result, Tensor};

/// The parameters of a module that have a gradient, with it. A gradient that would broadcast is not let through.
#[track_caller]
fn fitting(op: &str, module: &impl ParamTree, gradients: &Gradients) -> Result<Vec<(Param, Tensor)>> {
    let mut all = Vec::new();
    for (name, param) in module.params() {
        let Some(gradient) = gradients.get(&param) else { continue };
        let value = param.value();
        if gradient.shape() != value.shape() || gradient.dtype() != value.dtype() {
            let (dtype, shape) = (gradient.dtype(), gradient.shape());
            let found = format!(
                "the gradient of '{name}' is {dtype} {shape}, the parameter {} {}",
                value.dtype(),
                value.shape()
            );
            return Err(Error::new(ErrorKind::Shape, op, found, "give a gradient of this very parameter"));
        }
        all.push((param, gradient.clone()));
    }
    Ok(all)
}
