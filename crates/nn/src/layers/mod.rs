//! Layers, one file each: what stands in front of, between and behind recurrent networks.
//!
//! A layer is called with `forward`. What does something else in training than in evaluation, such as [`Dropout`], takes the pass
//! ([`Cx`](crate::Cx)) as well. [`Sequential`] is a chain of them, or of anything that can be [applied](Apply) to one value.

mod additive;
mod conv1d;
mod dot_product;
mod dropout;
mod embedding;
mod linear;
mod luong;
mod masks;
mod multi_head;
mod norm;
mod sequential;

pub use additive::BahdanauAttention;
pub use conv1d::Conv1d;
pub use dot_product::scaled_dot_product_attention;
pub use dropout::Dropout;
pub use embedding::{Embedding, TiedLinear};
pub use linear::Linear;
pub use luong::LuongAttention;
pub use masks::{causal_mask, length_mask};
pub use multi_head::MultiHeadAttention;
pub use norm::{LayerNorm, RmsNorm};
pub use sequential::{Apply, Sequential};
