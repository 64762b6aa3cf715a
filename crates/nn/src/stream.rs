//! Streaming: one step at a time, with the state carried on.

use crate::cell::Cell;
use crate::cx::Cx;
use crate::rnn::Rnn;
use wengert_autograd::{Compiled, Result, Tensor, Tree};

/// A network that gets its input step by step, as in a server or a controller, and remembers its state.
///
/// The step is recorded and planned once, for the first input; a step then takes little more than its arithmetic. The
/// parameters are those of that moment.
///
/// ```
/// use rand::{SeedableRng, rngs::StdRng};
/// use wengert_autograd::Tensor;
/// use wengert_nn::{GruCell, Rnn};
///
/// let net = Rnn::new(GruCell::new(2, 8, &mut StdRng::seed_from_u64(0)));
/// let mut stream = net.stream();
/// for t in 0..3 {
///     let x = Tensor::from_slice(&[t as f32, 1.0], [1, 2])?;
///     let y = stream.step(&x)?;
///     assert_eq!(y.shape()[..], [1, 8]);
/// }
/// stream.reset();
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[derive(Debug)]
pub struct Stream<'n, C> {
    net: &'n Rnn<C>,
    step: Option<Step>,
}

/// The compiled step for one kind of input.
#[derive(Debug)]
struct Step {
    input: Tensor,
    compiled: Compiled,
    /// Leaves of the states at the start, and now.
    start: Vec<Tensor>,
    states: Vec<Tensor>,
}

impl<C: Cell> Rnn<C> {
    /// The network as a stream, in evaluation, from its initial state.
    pub fn stream(&self) -> Stream<'_, C> {
        Stream { net: self, step: None }
    }
}

impl<C: Cell> Stream<'_, C> {
    /// The next input `[B, I]` to the output `[B, O]`. An input of another shape or element type than the one before starts
    /// anew.
    ///
    /// # Errors
    /// Of the cell, for such an input.
    #[track_caller]
    pub fn step(&mut self, x: &Tensor) -> Result<Tensor> {
        let known = self.step.take().filter(|s| s.input.shape() == x.shape() && s.input.dtype() == x.dtype());
        let step = self.step.insert(match known {
            Some(step) => step,
            None => Step::new(self.net, x)?,
        });
        let inputs: Vec<&Tensor> = std::iter::once(x).chain(&step.states).collect();
        let mut values = step.compiled.run(&inputs)?;
        let y = values.remove(0);
        step.states = values;
        Ok(y)
    }

    /// Back to the initial state.
    pub fn reset(&mut self) {
        if let Some(step) = &mut self.step {
            step.states.clone_from(&step.start);
        }
    }
}

impl Step {
    #[track_caller]
    fn new<C: Cell>(net: &Rnn<C>, x: &Tensor) -> Result<Step> {
        let batch = x.shape().first().copied().unwrap_or(0);
        let dtype = Some(x.dtype()).filter(|dtype| dtype.is_float());
        fn of<'t>(tape: &'t wengert_autograd::Tape, dtype: Option<wengert_autograd::DType>) -> Cx<'t> {
            let cx = Cx::eval(tape);
            cx.with_dtype(dtype.unwrap_or(cx.dtype()))
        }
        let start = Compiled::new(&[], |tape, _| net.init(&of(tape, dtype), batch).leaves())?.run(&[])?;
        let examples: Vec<&Tensor> = std::iter::once(x).chain(&start).collect();
        let compiled = Compiled::new(&examples, |tape, inputs| {
            let states = net.init(&of(tape, dtype), batch).with_leaves(&inputs[1..]);
            let (y, states) = net.step(inputs[0], states);
            std::iter::once(y).chain(states.leaves()).collect()
        })?;
        Ok(Step { input: x.clone(), compiled, states: start.clone(), start })
    }
}
