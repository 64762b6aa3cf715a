//! Optimizers. An update is written in recorded operations and runs as one fused program over all parameters.
//!
//! They know parameter trees, not networks.
#![forbid(unsafe_code)]

mod clip;
mod sgd;

pub use clip::clip_grad_norm;
pub use sgd::Sgd;
