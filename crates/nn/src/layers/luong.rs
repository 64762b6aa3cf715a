//! Multiplicative attention.

use super::additive::{read, sequences};
use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Param, Var};

/// The attention of Luong, Pham & Manning 2015 (arXiv 1508.04025), with one of their three scores:
///
/// ```text
/// dot      e_s = q·m_s
/// general  e_s = q·W·m_s
/// concat   e_s = v·tanh([q, m_s]·W)
/// a = softmax(e)      context = Σ_s a_s·m_s
/// ```
#[derive(Clone, Debug, Module)]
pub enum LuongAttention {
    /// `q·m`: queries and memories have one size.
    Dot,
    /// `q·W·m`.
    General {
        /// `[Q, M]`.
        w: Param,
    },
    /// `v·tanh([q, m]·W)`.
    Concat {
        /// `[Q + M, A]`.
        w: Param,
        /// `[A]`.
        v: Param,
    },
}

impl LuongAttention {
    /// The score `q·W·m`, with `W` drawn by Glorot & Bengio's rule.
    pub fn general(query: usize, memory: usize, rng: &mut impl Rng) -> LuongAttention {
        LuongAttention::General { w: Param::new(init::xavier_uniform(&[query, memory], 1.0, rng)) }
    }

    /// The score `v·tanh([q, m]·W)` with `size` hidden units; `W` is drawn by Glorot & Bengio's rule, `v` from
    /// `uniform(±1/√size)`.
    pub fn concat(query: usize, memory: usize, size: usize, rng: &mut impl Rng) -> LuongAttention {
        let w = Param::new(init::xavier_uniform(&[query + memory, size], 1.0, rng));
        LuongAttention::Concat { w, v: init::recurrent(size, rng)(&[size]) }
    }

    /// Reads a memory `[S, B, M]` for queries `[B, Q]`: the context `[B, M]` and the weights `[S, B]`. A mask (Bool, `[S, B]`)
    /// is true where the memory can be read; a sequence without such places has context 0.
    #[track_caller]
    pub fn forward<'t>(&self, query: Var<'t>, memory: Var<'t>, mask: Option<Var<'t>>) -> (Var<'t>, Var<'t>) {
        let tape = query.tape();
        let _named = tape.composition("luong_attention");
        let (query, memory) = match sequences("luong_attention", query, memory) {
            Ok(both) => both,
            Err(broken) => return (broken, broken),
        };
        let dot = |query: Var<'t>| match (query.shape(), memory.shape()) {
            (Ok(q), Ok(m)) if q[1] != m[2] => {
                let found = format!("the query has {} entries, the memory {}", q[1], m[2]);
                query.invalid("luong_attention", found, "give both one size, or use LuongAttention::general")
            }
            _ => (query * memory).sum_axes(-1),
        };
        let scores = match self {
            LuongAttention::Dot => dot(query),
            LuongAttention::General { w } => dot(query.matmul(w)),
            LuongAttention::Concat { w, v } => {
                let (w, size) = (tape.param(w), query.shape().map_or(0, |q| q[1]));
                let rows = w.shape().map_or(0, |w| w[0]);
                // By parts, so that the memory's does not wait for the query.
                let (own, other) = (w.narrow(0, 0, size), w.narrow(0, size, rows.saturating_sub(size)));
                (query.matmul(own) + memory.matmul(other)).tanh().matmul(v)
            }
        };
        read("luong_attention", scores, memory, mask)
    }
}
