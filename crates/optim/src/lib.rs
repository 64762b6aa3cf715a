//! Optimizers. An update is written in recorded operations, runs as one fused program over all parameters, and can be
//! differentiated.
//!
//! An [`Optimizer`] drives a [`Transform`], which makes updates of gradients; [`Sgd`], [`Adam`] and the others are optimizers
//! of one transform, and a tuple of transforms is their chain. [`Optimizer::unroll`] records a training on a tape, through which
//! a derivative flows. A [`schedule::Schedule`] gives the learning rate of a step.
//!
//! They know parameter trees, not networks.
#![forbid(unsafe_code)]

// The derives name this crate by its facade's name.
extern crate self as wengert;
#[doc(hidden)]
pub use wengert_autograd as autograd;

mod accumulate;
mod adadelta;
mod adagrad;
mod adam;
mod adamax;
mod asgd;
mod average;
mod clip;
mod group;
mod lbfgs;
mod lion;
mod muon;
mod nadam;
mod optimizer;
mod radam;
mod rmsprop;
mod rprop;
mod scale;
pub mod schedule;
mod settings;
mod sgd;
mod state;
mod transform;
mod unroll;

pub use accumulate::Accumulate;
pub use adadelta::{Adadelta, AdadeltaRule, AdadeltaState};
pub use adagrad::{Adagrad, AdagradRule, AdagradState};
pub use adam::{Adam, AdamRule, AdamState};
pub use adamax::{Adamax, AdamaxRule, AdamaxState};
pub use asgd::{Asgd, AsgdRule, AsgdState};
pub use average::Average;
pub use clip::{ClipAdaptive, ClipNorm, ClipValue, NormOptions, clip_grad_norm, clip_grad_norm_with, clip_grad_value};
pub use group::Group;
pub use lbfgs::{Lbfgs, Minimum};
pub use lion::{Lion, LionRule, LionState};
pub use muon::{AdjustLr, Muon, MuonRule, MuonState};
pub use nadam::{NAdam, NAdamRule, NAdamState};
pub use optimizer::Optimizer;
pub use radam::{RAdam, RAdamRule, RAdamState};
pub use rmsprop::{RmsProp, RmsPropRule, RmsPropState};
pub use rprop::{Rprop, RpropRule, RpropState};
pub use scale::{AddDecay, ScaleBy};
pub use sgd::{Sgd, SgdRule, Velocity};
pub use transform::{At, Transform};
pub use unroll::Unrolled;

use wengert_autograd::{Error, ErrorKind, Gradients, Param, ParamTree, Result, Tensor};

/// The parameters of a module that have a gradient, with their names and gradients. A gradient that would broadcast is not let through.
#[track_caller]
fn fitting(op: &str, module: &impl ParamTree, gradients: &Gradients) -> Result<Vec<(String, Param, Tensor)>> {
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
        all.push((name, param, gradient.clone()));
    }
    Ok(all)
}
