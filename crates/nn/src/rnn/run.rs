//! What a run can be given.

use super::given::Given;

/// How a network is run over one batch of sequences: [`Rnn::forward_with`](super::Rnn::forward_with). By default all sequences are as long as the
/// input, nothing is reset, and the state begins as the cells' initial one.
///
/// ```
/// use rand::{SeedableRng, rngs::StdRng};
/// use wengert_autograd::{DType, Tape, Tensor};
/// use wengert_nn::{Cx, GruCell, Rnn, Run};
/// let mut rng = StdRng::seed_from_u64(0);
/// let net = Rnn::bidirectional(2, 10, |_, input| GruCell::new(input, 20, &mut rng)).batch_first();
/// let tape = Tape::new();
/// let x = tape.constant(Tensor::zeros([3, 5, 10], DType::F32));
/// let (y, _) = net.forward_with(&Cx::train(&tape), x, Run::new().lengths([5, 2, 4]));
/// assert_eq!(y.value()?.shape()[..], [3, 5, 40]);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Run<'t, S> {
    pub(super) lengths: Option<Given<'t>>,
    pub(super) resets: Option<Given<'t>>,
    pub(super) states: Option<Vec<S>>,
    pub(super) after: Option<usize>,
}

impl<S> Default for Run<'_, S> {
    fn default() -> Self {
        Run { lengths: None, resets: None, states: None, after: None }
    }
}

impl<'t, S> Run<'t, S> {
    /// A run without options.
    pub fn new() -> Run<'t, S> {
        Run::default()
    }

    /// The length of each sequence, `[B]` (I64, or numbers), at most the input's T; the rest of the input is padding. Each sequence gives what it gives alone:
    /// its last state is that after its own end, outputs behind its end are 0 (as of PyTorch's `pad_packed_sequence`), a backward direction
    /// begins at its end, and neither values nor derivatives depend on the padding, not even on a NaN in it. Lengths in a [`Var`](wengert_autograd::Var) are not
    /// checked: what is above T counts as T.
    pub fn lengths(self, lengths: impl Into<Given<'t>>) -> Run<'t, S> {
        Run { lengths: Some(lengths.into()), ..self }
    }

    /// Where a new sequence begins, `[T, B]` (Bool, or numbers of which 0 is false; `[B, T]` if the network is batch-first): before
    /// that step, the state is set back to the cell's initial one. Parts between resets give what they give alone, in either direction.
    pub fn resets(self, resets: impl Into<Given<'t>>) -> Run<'t, S> {
        Run { resets: Some(resets.into()), ..self }
    }

    /// The state to begin with, one for each layer.
    pub fn states(self, states: Vec<S>) -> Run<'t, S> {
        Run { states: Some(states), ..self }
    }

    /// The states to hand on are those after so many steps, in place of the last ones; with 0, the first. An earlier state is where a later
    /// window can begin that overlaps this one; see [`Truncated`](super::Truncated).
    pub fn states_after(self, steps: usize) -> Run<'t, S> {
        Run { after: Some(steps), ..self }
    }
}
