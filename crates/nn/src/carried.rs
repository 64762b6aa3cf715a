//! States that cross from one tape to the next: truncated backpropagation through time, streaming.

use wengert_autograd::{Error, ErrorKind, Result, Tape, Tensor, Tree};

/// The values of a state, cut off from the tape that computed them.
///
/// Mark the state with [`Tree::keep`] before [`backward`](wengert_autograd::Var::backward), so that one program computes
/// gradients and state:
///
/// ```
/// use rand::{SeedableRng, rngs::StdRng};
/// use wengert_autograd::{DType, Tape, Tensor, Tree};
/// use wengert_nn::{Carried, Cx, LstmCell, Rnn};
///
/// let net = Rnn::new(LstmCell::new(1, 8, &mut StdRng::seed_from_u64(0)));
/// let mut carried: Option<Carried> = None;
/// for _chunk in 0..3 {
///     let tape = Tape::new();
///     let cx = Cx::train(&tape);
///     let x = tape.constant(Tensor::full([20, 4, 1], 0.1, DType::F32));
///     let state = match &carried {
///         Some(carried) => net.resume(&cx, 4, carried)?,
///         None => net.init(&cx, 4),
///     };
///     let (y, state) = net.forward_from(&cx, x, state);
///     let state = state.keep();
///     let _gradients = y.square().mean().backward()?;
///     carried = Some(Carried::of(&state)?);
/// }
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Carried {
    leaves: Vec<(String, Tensor)>,
}

impl Carried {
    /// The values of a state's leaves.
    ///
    /// # Errors
    /// The error that a leaf carries.
    pub fn of<'t>(state: &impl Tree<'t>) -> Result<Carried> {
        let named = state.named_leaves();
        let Some((_, first)) = named.first() else { return Ok(Carried { leaves: Vec::new() }) };
        let vars: Vec<_> = named.iter().map(|(_, var)| *var).collect();
        let values = first.tape().eval_all(&vars)?;
        Ok(Carried { leaves: named.into_iter().map(|(name, _)| name).zip(values).collect() })
    }

    /// The state on another tape, as constants: `skeleton` (an initial state) gives the structure.
    ///
    /// # Errors
    /// If the skeleton's leaves differ in number, name, shape or element type, or the skeleton carries an error.
    #[track_caller]
    pub fn onto<'t, S: Tree<'t>>(&self, tape: &'t Tape, skeleton: S) -> Result<S> {
        let wanted = skeleton.named_leaves();
        if wanted.len() != self.leaves.len() {
            let found = format!("the carried state has {} leaves, expected {}", self.leaves.len(), wanted.len());
            return Err(Error::new(ErrorKind::Shape, "resume", found, "carry a state of the same network"));
        }
        for ((name, var), (held, value)) in wanted.iter().zip(&self.leaves) {
            let (shape, dtype) = (var.shape()?, var.dtype()?);
            if name != held || shape != *value.shape() || dtype != value.dtype() {
                let found = format!(
                    "component '{held}' of the carried state is {} {}, expected '{name}' {dtype} {shape}",
                    value.dtype(),
                    value.shape()
                );
                return Err(Error::new(ErrorKind::Shape, "resume", found, "keep batch and network the same"));
            }
        }
        let vars: Vec<_> = self.leaves.iter().map(|(_, value)| tape.constant(value)).collect();
        Ok(skeleton.with_leaves(&vars))
    }

    /// A state of the [`leaves`](Carried::leaves) of another: one that was saved.
    pub fn from_leaves(leaves: Vec<(String, Tensor)>) -> Carried {
        Carried { leaves }
    }

    /// The values, with their paths in the state.
    pub fn leaves(&self) -> &[(String, Tensor)] {
        &self.leaves
    }
}
