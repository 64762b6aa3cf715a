//! Tokens as vectors, and back.

use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Param, Shape, Var};

/// A vector for each of `V` tokens: I64 `[..]` of any shape to `[.., E]`.
///
/// ```
/// use rand::{SeedableRng, rngs::StdRng};
/// use wengert_autograd::{Tape, Tensor};
/// use wengert_nn::Embedding;
/// let embedding = Embedding::new(100, 16, &mut StdRng::seed_from_u64(0)).with_padding(0);
/// // Scores of all tokens, from the same matrix.
/// let readout = embedding.tied();
/// let tape = Tape::new();
/// let tokens = tape.constant(Tensor::from_slice(&[5i64, 7, 0, 99, 0, 0], [3, 2])?);
/// let x = embedding.forward(tokens);
/// assert_eq!(x.shape()?[..], [3, 2, 16]);
/// assert_eq!(readout.forward(x).shape()?[..], [3, 2, 100]);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[derive(Clone, Debug, Module)]
pub struct Embedding {
    /// One row for each token, `[V, E]`.
    pub weight: Param,
    padding: Option<usize>,
}

impl Embedding {
    /// Vectors of `size` entries for `tokens` tokens, drawn from the standard normal distribution, as PyTorch draws them.
    pub fn new(tokens: usize, size: usize, rng: &mut impl Rng) -> Embedding {
        Embedding { weight: Param::new(init::normal(&[tokens, size], 1.0, rng)), padding: None }
    }

    /// The embedding with a token that stands for nothing: its row is set to zeros and gets no gradient from
    /// [`forward`](Embedding::forward).
    pub fn with_padding(self, token: usize) -> Embedding {
        let size = self.weight.value().shape().last().copied().unwrap_or(0);
        init::change(&self.weight, token * size..(token + 1) * size, |_, _| 0.0);
        Embedding { padding: Some(token), ..self }
    }

    /// A layer from vectors to scores of tokens that shares this matrix: both receive its gradient as one (Press & Wolf 2017).
    pub fn tied(&self) -> TiedLinear {
        TiedLinear { weight: self.weight.clone(), bias: None }
    }

    /// The vectors of `tokens` (I64, any shape). A token that is not in `0..V` is an error when the program runs, which names its
    /// place in row-major order.
    #[track_caller]
    pub fn forward<'t>(&self, tokens: Var<'t>) -> Var<'t> {
        let _named = tokens.tape().composition("embedding");
        let weight = tokens.tape().param(&self.weight);
        let (Ok(shape), Ok([count, size])) = (tokens.shape(), weight.dims()) else {
            return if tokens.shape().is_err() { tokens } else { weight.index_select(0, tokens) };
        };
        if let Some(padding) = self.padding.filter(|padding| *padding >= count) {
            let found = format!("the padding index is {padding}, but there are {count} tokens");
            return tokens.invalid("embedding", found, "give with_padding a token of the embedding");
        }
        let wide: Shape = shape.iter().copied().chain([size]).collect();
        let rows = weight.index_select(0, tokens.reshape([shape.numel()])).reshape(wide);
        match self.padding {
            Some(padding) => tokens.eq(padding).unsqueeze(-1).select(rows.detach(), rows),
            None => rows,
        }
    }
}

/// `y = x·Wᵀ + b`, with the matrix `W` of an [`Embedding`]: `[.., E] -> [.., V]`. [`Embedding::tied`] makes it.
///
/// A module that holds both has one parameter under the name of the first, and files have it once.
#[derive(Clone, Debug, Module)]
pub struct TiedLinear {
    /// `[V, E]`, shared with the embedding.
    pub weight: Param,
    /// `[V]`.
    pub bias: Option<Param>,
}

impl TiedLinear {
    /// The layer with biases of its own, which start as zeros.
    pub fn with_bias(self) -> TiedLinear {
        let weight = self.weight.value();
        let rows = weight.shape().first().copied().unwrap_or(0);
        let bias = Param::new(init::zeros(&[rows]).cast(weight.dtype()));
        TiedLinear { bias: Some(bias), ..self }
    }

    /// Applies the layer to `x` `[.., E]`.
    #[track_caller]
    pub fn forward<'t>(&self, x: Var<'t>) -> Var<'t> {
        let _named = x.tape().composition("tied_linear");
        let y = x.matmul(x.tape().param(&self.weight).t());
        match &self.bias {
            Some(bias) => y + bias,
            None => y,
        }
    }
}
