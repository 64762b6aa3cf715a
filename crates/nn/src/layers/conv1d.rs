//! Convolution over time.

use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Conv1dOptions, Param, Var};

/// The convolution of [`Var::conv1d`] with weights and biases of its own: `[N, C, L] -> [N, O, L']`, as `torch.nn.Conv1d`.
///
/// Sequences `[T, B, C]` become `[N, C, L]` by `permute(&[1, 2, 0])`, a view, and go back by `permute(&[2, 0, 1])`.
///
/// ```
/// use rand::{SeedableRng, rngs::StdRng};
/// use wengert_autograd::{Conv1dOptions, DType, Tape};
/// use wengert_nn::Conv1d;
/// let options = Conv1dOptions::default().padding(2).stride(2);
/// let conv = Conv1d::new(3, 8, 5, options, &mut StdRng::seed_from_u64(0));
/// let tape = Tape::new();
/// assert_eq!(conv.forward(tape.zeros([4, 3, 20], DType::F32)).shape()?[..], [4, 8, 10]);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[derive(Clone, Debug, Module)]
pub struct Conv1d {
    /// `[O, C/groups, K]`.
    pub weight: Param,
    /// `[O]`.
    pub bias: Option<Param>,
    /// Stride, padding, dilation and groups.
    #[module(skip)]
    pub options: Conv1dOptions,
}

impl Conv1d {
    /// A layer from `input` to `output` channels with windows of `kernel` entries, all weights drawn from
    /// `uniform(±1/√(input/groups·kernel))`, as PyTorch draws them.
    pub fn new(input: usize, output: usize, kernel: usize, options: Conv1dOptions, rng: &mut impl Rng) -> Conv1d {
        // No groups at all are reported by the first call.
        let channels = input / options.groups.max(1);
        let bound = 1.0 / ((channels * kernel).max(1) as f64).sqrt();
        let weight = Param::new(init::uniform(&[output, channels, kernel], bound, rng));
        Conv1d { weight, bias: Some(Param::new(init::uniform(&[output], bound, rng))), options }
    }

    /// The same layer without bias.
    pub fn without_bias(self) -> Conv1d {
        Conv1d { bias: None, ..self }
    }

    /// Applies the layer to `x` `[N, C, L]` or `[C, L]`.
    #[track_caller]
    pub fn forward<'t>(&self, x: Var<'t>) -> Var<'t> {
        let _named = x.tape().composition("conv1d");
        let y = x.conv1d(&self.weight, self.options);
        match &self.bias {
            Some(bias) => y + x.tape().param(bias).unsqueeze(1),
            None => y,
        }
    }
}
