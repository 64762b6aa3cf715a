//! Whole sequences through all layers.

use super::checks::{placed, spoiled};
use super::given::Given;
use super::layer::Layer;
use super::time::emptied;
use super::{Rnn, Run, Time};
use crate::cx::Cx;
use wengert_autograd::{DType, Tree, Var};

impl<L: Layer> Rnn<L> {
    /// Runs the layers over `x` `[T, B, I]` from the cells' initial states. Gives the top layer's outputs `[T, B, O]` and
    /// every layer's last state.
    #[track_caller]
    pub fn forward<'t>(&self, cx: &Cx<'t>, x: Var<'t>) -> (Var<'t>, Vec<L::State<'t>>) {
        self.forward_with(cx, x, Run::new())
    }

    /// As [`forward`](Rnn::forward), from given states: one for each layer. Another number of them is an error
    /// that all results carry.
    #[track_caller]
    pub fn forward_from<'t>(&self, cx: &Cx<'t>, x: Var<'t>, states: Vec<L::State<'t>>) -> (Var<'t>, Vec<L::State<'t>>) {
        self.forward_with(cx, x, Run::new().states(states))
    }

    /// As [`forward`](Rnn::forward), with options: lengths of sequences, resets within them, states to begin with.
    #[track_caller]
    pub fn forward_with<'t>(
        &self,
        cx: &Cx<'t>,
        x: Var<'t>,
        run: Run<'t, L::State<'t>>,
    ) -> (Var<'t>, Vec<L::State<'t>>) {
        let shape = x.shape().unwrap_or_default();
        let batch = shape.get(if self.batch_first { 0 } else { 1 }).copied().unwrap_or(0);
        let Run { lengths, resets, states, after } = run;
        let states = states.unwrap_or_else(|| {
            let dtype = x.dtype().ok().filter(|dtype| dtype.is_float());
            self.init(&cx.with_dtype(dtype.unwrap_or(cx.dtype())), batch)
        });
        let axes = if self.batch_first { ["B", "T", "I"] } else { ["T", "B", "I"] };
        // No closures, which would not pass the caller's address on.
        let x = match self.check(x, &axes, &states) {
            Ok(x) if self.batch_first => x.transpose(0, 1),
            Ok(x) => x,
            Err(broken) => return (broken, spoiled(&states, broken)),
        };
        let time = match self.time(x, lengths, resets, after, &states) {
            Ok(time) => time,
            Err(broken) => return (broken, spoiled(&states, broken)),
        };
        // Whatever the padding holds, a step on zeros is finite, so that no derivative of it is NaN.
        let mut y = match time.alive {
            Some(alive) => emptied(alive, x),
            None => x,
        };
        let first = y;
        let mut last = Vec::with_capacity(states.len());
        for (number, (layer, state)) in self.layers.iter().zip(states).enumerate() {
            y = self.joined(number, y, first);
            let (outputs, end) = layer.run(cx, y, state, &time);
            let (outputs, end) = placed(number, y, outputs, end);
            last.push(end);
            y = self.connected(y, outputs);
            if number + 1 < self.layers.len() {
                y = self.dropped(cx, y);
            }
        }
        (if self.batch_first { y.transpose(0, 1) } else { y }, last)
    }

    /// What a layer reads: the outputs `y` of the one below and, if there are skips, the network's input.
    #[track_caller]
    pub(super) fn joined<'t>(&self, layer: usize, y: Var<'t>, first: Var<'t>) -> Var<'t> {
        if self.skips && layer > 0 { y.concat([first], -1) } else { y }
    }

    /// A layer's outputs, with its input if the network is residual.
    #[track_caller]
    pub(super) fn connected<'t>(&self, x: Var<'t>, y: Var<'t>) -> Var<'t> {
        let same =
            |x: Var<'t>, y: Var<'t>| Some(x.shape().ok()? == y.shape().ok()? && x.dtype().ok()? == y.dtype().ok()?);
        if self.residual && same(x, y) == Some(true) { y + x } else { y }
    }

    /// Outputs `[T, B, O]` on their way to the next layer.
    #[track_caller]
    fn dropped<'t>(&self, cx: &Cx<'t>, y: Var<'t>) -> Var<'t> {
        let (Ok(shape), Ok(dtype)) = (y.shape(), y.dtype()) else { return y };
        let cx = cx.with_dtype(dtype);
        let each = cx.dropout_mask(self.dropout, shape.clone());
        let locked = cx.dropout_mask(self.locked_dropout, &shape[1..]);
        let mut y = y;
        for mask in [each, locked].into_iter().flatten() {
            y = y * mask;
        }
        y
    }

    /// The input, or an invalid value in its place: without all of the `axes`, or with a wrong number of states.
    #[track_caller]
    pub(super) fn check<'t>(&self, x: Var<'t>, axes: &[&str], states: &[L::State<'t>]) -> Result<Var<'t>, Var<'t>> {
        let (Ok(shape), Ok(dtype)) = (x.shape(), x.dtype()) else { return Err(x) };
        // Without this check an input [T, I] would count as batch I, each of its rows broadcast to all sequences.
        let axes = if dtype.is_float() { axes } else { &axes[..axes.len() - 1] };
        if shape.rank() < axes.len() {
            let found = format!("the input is {dtype} {shape}, expected [{}]", axes.join(", "));
            let remedy = match axes[0] {
                "T" | "I" => "add the missing axis: unsqueeze(-2) for one sequence, (-1) for one feature",
                _ => "add the missing axis: unsqueeze(0) for one sequence, (-1) for one feature",
            };
            return Err(x.invalid("rnn", found, remedy));
        }
        if states.len() != self.layers.len() {
            let found =
                format!("expected one state for each of the {} layers, found {}", self.layers.len(), states.len());
            return Err(x.invalid("rnn", found, "give what init, resume or an earlier call returned"));
        }
        Ok(x)
    }

    /// How the layers run over `x` `[T, B, ..]`, or an invalid value.
    #[track_caller]
    fn time<'t>(
        &self,
        x: Var<'t>,
        lengths: Option<Given<'t>>,
        resets: Option<Given<'t>>,
        after: Option<usize>,
        states: &[L::State<'t>],
    ) -> Result<Time<'t>, Var<'t>> {
        let shape = x.shape().map_err(|_| x)?;
        let (steps, batch) = (shape[0], shape[1]);
        let tape = x.tape();
        if let Some(after) = after.filter(|after| *after > steps) {
            let found = format!("states after {after} steps are asked of an input of {steps}");
            return Err(x.invalid("rnn", found, "ask for those after the last step, or an earlier one"));
        }
        if (lengths.is_some() || resets.is_some())
            && let Some(broken) = without_rows(x, batch, states)
        {
            return Err(broken);
        }
        let alive = match lengths {
            Some(lengths) => Some(alive(x, steps, batch, lengths)?),
            None => None,
        };
        let resets = match resets {
            Some(resets) => {
                let resets = resets.on(tape);
                let (found, dtype) = (resets.shape().map_err(|_| resets)?, resets.dtype().map_err(|_| resets)?);
                let wanted = if self.batch_first { [batch, steps] } else { [steps, batch] };
                if found[..] != wanted {
                    let axes = if self.batch_first { "[B, T]" } else { "[T, B]" };
                    let found =
                        format!("the resets are {dtype} {found}, expected {axes} = [{}, {}]", wanted[0], wanted[1]);
                    return Err(x.invalid("rnn", found, "give one truth value for each step of each sequence"));
                }
                let resets = if self.batch_first { resets.transpose(0, 1) } else { resets };
                let resets = if dtype == DType::Bool { resets } else { resets.ne(0) };
                // In the padding there is nothing to begin.
                Some(match alive {
                    Some(alive) => resets.and(alive),
                    None => resets,
                })
            }
            None => None,
        };
        Ok(Time { alive, resets, after, checkpoint: self.checkpoint, reverse: false })
    }
}

/// An invalid value, if a component of a state has no rows that could be told apart.
#[track_caller]
fn without_rows<'t, S: Tree<'t>>(x: Var<'t>, batch: usize, states: &[S]) -> Option<Var<'t>> {
    for (layer, state) in states.iter().enumerate() {
        for (name, v) in state.named_leaves() {
            let Ok(shape) = v.shape() else { continue };
            if shape.first() != Some(&batch) {
                let name = if name.is_empty() { String::new() } else { format!(" '{name}'") };
                let found =
                    format!("the state{name} of layer {layer} is {shape}, with lengths or resets it is [{batch}, ..]");
                return Some(x.invalid("rnn", found, "give every component of a state one row for each sequence"));
            }
        }
    }
    None
}

/// Where sequences of these lengths have not ended: `[T, B]`, Bool.
#[track_caller]
fn alive<'t>(x: Var<'t>, steps: usize, batch: usize, lengths: Given<'t>) -> Result<Var<'t>, Var<'t>> {
    let tape = x.tape();
    let values = match &lengths {
        Given::Tensor(lengths) => lengths.to_vec::<i64>().unwrap_or_default(),
        Given::Var(_) => Vec::new(),
    };
    let lengths = lengths.on(tape);
    let (found, dtype) = (lengths.shape().map_err(|_| lengths)?, lengths.dtype().map_err(|_| lengths)?);
    if dtype != DType::I64 || found[..] != [batch] {
        let found = format!("the lengths are {dtype} {found}, expected i64 [B] = [{batch}]");
        return Err(x.invalid("rnn", found, "give one length for each sequence"));
    }
    if let Some((row, length)) = values.iter().enumerate().find(|(_, length)| !(0..=steps as i64).contains(*length)) {
        let found = format!("sequence {row} has length {length}, the input has {steps} steps");
        return Err(x.invalid("rnn", found, "give lengths from 0 to the number of steps"));
    }
    Ok(tape.arange(steps).unsqueeze(1).lt(lengths.unsqueeze(0)))
}
