//! Additive attention.

use super::masks::masked_softmax;
use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Param, Var};

/// Additive attention (Bahdanau, Cho & Bengio 2015, arXiv 1409.0473):
///
/// ```text
/// e_s = v·tanh(q·W + m_s·U)      a = softmax(e)      context = Σ_s a_s·m_s
/// ```
///
/// In the step of a loop, give it a memory from outside: `m·U` is then computed once.
#[derive(Clone, Debug, Module)]
pub struct BahdanauAttention {
    /// Weights of the query `[Q, A]`.
    pub w: Param,
    /// Weights of the memory `[M, A]`.
    pub u: Param,
    /// `[A]`.
    pub v: Param,
}

impl BahdanauAttention {
    /// For queries and memories of these sizes, with `size` hidden units; matrices are drawn by Glorot & Bengio's rule, `v` from
    /// `uniform(±1/√size)`.
    pub fn new(query: usize, memory: usize, size: usize, rng: &mut impl Rng) -> BahdanauAttention {
        let w = Param::new(init::xavier_uniform(&[query, size], 1.0, rng));
        let u = Param::new(init::xavier_uniform(&[memory, size], 1.0, rng));
        BahdanauAttention { w, u, v: init::recurrent(size, rng)(&[size]) }
    }

    /// Reads a memory `[S, B, M]` for queries `[B, Q]`: the context `[B, M]` and the weights `[S, B]`. A mask (Bool, `[S, B]`)
    /// is true where the memory can be read; a sequence without such places has context 0.
    #[track_caller]
    pub fn forward<'t>(&self, query: Var<'t>, memory: Var<'t>, mask: Option<Var<'t>>) -> (Var<'t>, Var<'t>) {
        let _named = query.tape().composition("bahdanau_attention");
        let (query, memory) = match sequences("bahdanau_attention", query, memory) {
            Ok(both) => both,
            Err(broken) => return (broken, broken),
        };
        let scores = (query.matmul(&self.w) + memory.matmul(&self.u)).tanh().matmul(&self.v);
        read("bahdanau_attention", scores, memory, mask)
    }
}

/// A query for each sequence of a memory, or the invalid value to answer with.
#[track_caller]
pub(super) fn sequences<'t>(name: &str, query: Var<'t>, memory: Var<'t>) -> Result<(Var<'t>, Var<'t>), Var<'t>> {
    let (Ok(q), Ok(m)) = (query.shape(), memory.shape()) else {
        return Err(if query.shape().is_err() { query } else { memory });
    };
    match (&q[..], &m[..]) {
        ([batch, _], [_, sequences, _]) if batch == sequences => Ok((query, memory)),
        _ => {
            let found = format!("the query is {q}, the memory {m}");
            Err(query.invalid(name, found, "give a query [B, Q] and a memory [S, B, M]"))
        }
    }
}

/// The memory `[S, B, M]` weighted by the softmax of scores `[S, B]`, and the weights.
#[track_caller]
pub(super) fn read<'t>(name: &str, scores: Var<'t>, memory: Var<'t>, mask: Option<Var<'t>>) -> (Var<'t>, Var<'t>) {
    let weights = masked_softmax(name, scores, mask, 0);
    ((weights.unsqueeze(-1) * memory).sum_axes(0), weights)
}
