//! Multi-head attention.

use super::dot_product::attention_weights;
use super::{Dropout, Linear};
use crate::cx::Cx;
use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Param, Var};

/// Several attentions over parts of the features, side by side (Vaswani et al. 2017, arXiv 1706.03762):
///
/// ```text
/// head_h = softmax(q_h·k_hᵀ/√D)·v_h       for the h-th D = E/heads columns of q·W_q + b_q, k·W_k + b_k, v·W_v + b_v
/// y = [head_1, .., head_n]·W_o + b_o
/// ```
///
/// Sequences are time-major, as everywhere: `[L, B, E]`.
#[derive(Clone, Debug, Module)]
pub struct MultiHeadAttention {
    /// From queries, `[E, E]`.
    pub query: Linear,
    /// From keys, `[E, E]`.
    pub key: Linear,
    /// From values, `[E, E]`.
    pub value: Linear,
    /// To the output, `[E, E]`.
    pub output: Linear,
    /// Dropout of the weights.
    pub dropout: Dropout,
    heads: usize,
}

impl MultiHeadAttention {
    /// For `size` features in `heads` parts; matrices are drawn by Glorot & Bengio's rule, biases are 0.
    pub fn new(size: usize, heads: usize, rng: &mut impl Rng) -> MultiHeadAttention {
        let mut linear = || Linear {
            weight: Param::new(init::xavier_uniform(&[size, size], 1.0, rng)),
            bias: Some(Param::new(init::zeros(&[size]))),
        };
        let (query, key, value, output) = (linear(), linear(), linear(), linear());
        MultiHeadAttention { query, key, value, output, dropout: Dropout::new(0.0), heads }
    }

    /// The same layer with dropout of its weights.
    pub fn with_dropout(self, p: f64) -> MultiHeadAttention {
        MultiHeadAttention { dropout: Dropout::new(p), ..self }
    }

    /// Queries `[L, B, E]` over keys and values `[S, B, E]`: the result `[L, B, E]` and the weights `[B, heads, L, S]`. The mask broadcasts to the
    /// weights, as in [`scaled_dot_product_attention`](crate::scaled_dot_product_attention): `[L, S]` for all sequences;
    /// of a [`length_mask`](crate::length_mask) `[S, B]`, `mask.t().unsqueeze(1).unsqueeze(1)`.
    #[track_caller]
    pub fn forward<'t>(&self, cx: &Cx<'t>, [q, k, v]: [Var<'t>; 3], mask: Option<Var<'t>>) -> (Var<'t>, Var<'t>) {
        let name = "multi_head_attention";
        let _named = q.tape().composition(name);
        let parts = [(q, &self.query), (k, &self.key), (v, &self.value)].map(|(x, from)| self.split(from.forward(x)));
        let [q, k, v] = parts;
        let weights = self.dropout.forward(cx, attention_weights(name, q, k, mask));
        // [B, heads, L, D]
        let heads = weights.matmul(v);
        let joined = match heads.dims() {
            Ok([batch, heads_, steps, size]) => heads.permute(&[2, 0, 1, 3]).reshape([steps, batch, heads_ * size]),
            Err(_) => heads,
        };
        (self.output.forward(joined), weights)
    }

    /// `[L, B, E]` as `[B, heads, L, D]`.
    #[track_caller]
    fn split<'t>(&self, x: Var<'t>) -> Var<'t> {
        let Ok(shape) = x.shape() else { return x };
        match shape[..] {
            [steps, batch, size] if self.heads > 0 && size % self.heads == 0 => {
                x.reshape([steps, batch, self.heads, size / self.heads]).permute(&[1, 2, 0, 3])
            }
            _ => {
                let found = format!("the projected input is {shape}, to be cut into {} heads", self.heads);
                let remedy = "give [L, B, E], with as many features as the layer has, a multiple of the heads";
                x.invalid("multi_head_attention", found, remedy)
            }
        }
    }
}
