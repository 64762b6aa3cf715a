//! Truncated backpropagation through time.

use super::given::Given;
use super::{Layer, Rnn, Run};
use crate::carried::Carried;
use crate::cx::Cx;
use std::ops::Range;
use wengert_autograd::{Error, ErrorKind, Result, Tensor, Tree, Var};

/// Truncated backpropagation through time, BPTT(k2; k1) of Williams & Peng (1990): after every `k1` steps, the loss of these steps is
/// differentiated through the last `k2` steps, k2 ≥ k1. With k1 = k2 sequences are cut into chunks. Each window is computed with the parameters
/// at its time; the state that it begins with is a constant.
///
/// ```
/// use rand::{SeedableRng, rngs::StdRng};
/// use wengert_autograd::{DType, Tape, Tensor};
/// use wengert_nn::{Carried, Cx, LstmCell, Rnn, Run, Truncated, loss};
///
/// let net = Rnn::new(LstmCell::new(1, 8, &mut StdRng::seed_from_u64(0)));
/// let (x, target) = (Tensor::full([50, 4, 1], 0.1, DType::F32), Tensor::zeros([50, 4, 8], DType::F32));
/// let mut carried: Option<Carried> = None;
/// for window in Truncated::new(10, 20)?.windows(50) {
///     let tape = Tape::new();
///     let (y, state) = window.forward(&net, &Cx::train(&tape), &x, Run::new(), carried.as_ref())?;
///     let target = target.narrow(0, window.new.start, window.new.len())?;
///     let _gradients = loss::mse(y, &target).backward()?;
///     carried = Some(Carried::of(&state)?);
/// }
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncated {
    k1: usize,
    k2: usize,
}

/// One window of [`Truncated`] backpropagation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// All steps that it runs over: at most k2.
    pub steps: Range<usize>,
    /// Those at its end whose loss is taken: k1, fewer in the last window.
    pub new: Range<usize>,
    /// The step with which the next window begins.
    pub next: usize,
}

impl Truncated {
    /// A loss after every `k1` steps, differentiated through `k2`.
    ///
    /// # Errors
    /// If `k1` is 0 or greater than `k2`.
    #[track_caller]
    pub fn new(k1: usize, k2: usize) -> Result<Truncated> {
        if k1 == 0 || k2 < k1 {
            let found = format!("k1 = {k1} and k2 = {k2}, expected 1 ≤ k1 ≤ k2");
            let remedy = "k1 is the number of new steps of a window, k2 that of all its steps";
            return Err(Error::new(ErrorKind::Value, "Truncated::new", found, remedy));
        }
        Ok(Truncated { k1, k2 })
    }

    /// The windows over sequences of so many steps, in their order.
    pub fn windows(self, steps: usize) -> impl Iterator<Item = Window> {
        let end = move |start: usize| start.saturating_add(self.k1).min(steps);
        let first = move |start: usize| end(start).saturating_sub(self.k2);
        (0..steps).step_by(self.k1).map(move |new| {
            let next = if end(new) < steps { first(end(new)) } else { steps };
            Window { steps: first(new)..end(new), new: new..end(new), next }
        })
    }
}

impl Window {
    /// Runs a network over this window of `x` `[T, B, ..]` (`[B, T, ..]` if it is batch-first). Gives the outputs of the window's new steps, and the
    /// states that the next window begins with, [kept](Tree::keep) for [`Carried::of`]. `run` is that of the whole sequences; its states are those at their
    /// beginning. `carried` are the states from the window before, not needed as long as windows begin at 0.
    ///
    /// # Errors
    /// If `carried` is missing, or no state of this network, or if `x` does not have the window's steps.
    #[track_caller]
    pub fn forward<'t, L: Layer>(
        &self,
        net: &Rnn<L>,
        cx: &Cx<'t>,
        x: &Tensor,
        run: Run<'t, L::State<'t>>,
        carried: Option<&Carried>,
    ) -> Result<(Var<'t>, Vec<L::State<'t>>)> {
        let time = usize::from(net.batch_first);
        let x = self.part(x, time)?;
        let batch = x.shape().get(1 - time).copied().unwrap_or(0);
        let states = match (self.steps.start, carried) {
            (0, _) => run.states,
            (_, Some(carried)) => Some(net.resume(cx, batch, carried)?),
            (start, None) => {
                let found = format!("the window begins at step {start}, without a state");
                let remedy = "carry over the state that the window before gave: Carried::of(&state)?";
                return Err(Error::new(ErrorKind::Value, "Window::forward", found, remedy));
            }
        };
        let start = self.steps.start as f64;
        let resets = match run.resets {
            Some(Given::Tensor(resets)) => Some(Given::Tensor(self.part(&resets, time)?)),
            Some(Given::Var(resets)) => {
                Some(Given::Var(resets.narrow(time as isize, self.steps.start, self.steps.len())))
            }
            None => None,
        };
        // What is negative has ended before, what is too large does not end here.
        let lengths = run.lengths.map(|lengths| Given::Var(lengths.on(cx.tape()) - start));
        let part = Run { lengths, resets, states, after: Some(self.next - self.steps.start) };
        let (y, states) = net.forward_with(cx, cx.tape().constant(x), part);
        let new = y.narrow(time as isize, self.new.start - self.steps.start, self.new.len());
        Ok((new, states.keep()))
    }

    /// The window's steps of a tensor.
    #[track_caller]
    fn part(&self, whole: &Tensor, time: usize) -> Result<Tensor> {
        whole.narrow(time, self.steps.start, self.steps.len())
    }
}
