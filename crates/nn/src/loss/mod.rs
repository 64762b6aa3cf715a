//! Losses: values to be minimised, composed of recorded operations.
//!
//! A loss without options is a function, which gives the mean; beside it stands one with `_with`, which takes a [`Reduction`]. A loss
//! with options is a struct whose `loss` is called:
//!
//! ```
//! use wengert_autograd::{DType, Tape, Tensor};
//! use wengert_nn::{length_mask, loss};
//! let tape = Tape::new();
//! let y = tape.var(Tensor::full([4, 2, 3], 0.5, DType::F32));            // [T, B, H]
//! // Sequences of 4 and of 2 steps; whatever stands behind their ends takes no part.
//! let mask = length_mask(&tape, 4, &[4, 2]);
//! let masked = loss::mse_with(y, 0.0, loss::Reduction::MeanOver(mask));
//! assert_eq!(masked.item()?, 0.25);
//! let tokens = tape.zeros([4, 2], DType::I64);
//! let smoothed = loss::CrossEntropy { label_smoothing: 0.1, ..Default::default() }.loss(y, tokens);
//! # smoothed.backward()?;
//! # Ok::<(), wengert_autograd::Error>(())
//! ```

mod binary;
mod crf;
mod cross_entropy;
mod ctc;
mod density;
mod divergence;
mod margin;
mod quantile;
mod reduction;
mod regression;
mod regularise;

pub use binary::{BceWithLogits, bce_with_logits};
pub use crf::Crf;
pub use cross_entropy::{CrossEntropy, Nll, cross_entropy, nll};
pub use ctc::{Ctc, ctc};
pub use density::{GaussianNll, gaussian_nll, mixture_nll, mixture_nll_with};
pub use divergence::{KlDiv, kl_div};
pub use margin::{
    Triplet, cosine_embedding, cosine_embedding_with, hinge, hinge_with, margin_ranking, margin_ranking_with,
    triplet_margin,
};
pub use quantile::{pinball, pinball_with, quantiles, quantiles_with};
pub use reduction::Reduction;
pub use regression::{huber, huber_with, l1, l1_with, mse, mse_with, smooth_l1, smooth_l1_with};
pub use regularise::{activation_regularization, temporal_activation_regularization};
