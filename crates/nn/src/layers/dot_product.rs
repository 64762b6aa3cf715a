//! Scaled dot-product attention.

use super::masks::masked_softmax;
use wengert_autograd::Var;

/// `softmax(q·kᵀ/√E + mask)·v` (Vaswani et al. 2017, arXiv 1706.03762): queries `[.., L, E]`, keys `[.., S, E]`, values `[.., S, V]`
/// give `[.., L, V]`.
///
/// The mask broadcasts to the scores `[.., L, S]`. A Bool mask is true where a key is seen, and masks combine by `and`; a float mask is
/// added, and −∞ in it hides a key. A query that sees nothing gives 0. [`causal_mask`](crate::causal_mask) and
/// [`length_mask`](crate::length_mask) make masks.
///
/// ```
/// use wengert_autograd::{DType, Tape};
/// use wengert_nn::{causal_mask, scaled_dot_product_attention};
/// let tape = Tape::new();
/// let x = tape.ones([2, 5, 4], DType::F32);
/// let y = scaled_dot_product_attention(x, x, x, Some(causal_mask(&tape, 5, 5)));
/// assert_eq!(y.shape()?[..], [2, 5, 4]);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[track_caller]
pub fn scaled_dot_product_attention<'t>(q: Var<'t>, k: Var<'t>, v: Var<'t>, mask: Option<Var<'t>>) -> Var<'t> {
    let _named = q.tape().composition("scaled_dot_product_attention");
    attention_weights("scaled_dot_product_attention", q, k, mask).matmul(v)
}

/// `softmax(q·kᵀ/√E + mask)` `[.., L, S]`.
#[track_caller]
pub(super) fn attention_weights<'t>(name: &str, q: Var<'t>, k: Var<'t>, mask: Option<Var<'t>>) -> Var<'t> {
    let size = q.shape().ok().and_then(|shape| shape.last().copied()).unwrap_or(1).max(1);
    let scores = q.matmul(k.t()) / (size as f64).sqrt();
    masked_softmax(name, scores, mask, -1)
}
