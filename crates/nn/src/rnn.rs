//! The driver: cells over time.

use crate::Module;
use crate::carried::Carried;
use crate::cell::Cell;
use crate::cx::Cx;
use wengert_autograd::{Checkpoint, DType, ParamTree, Path, Result, ScanOptions, Tape, Tree, Var};

/// One or more layers of a cell, run over time.
///
/// The input is time-major, `[T, B, I]` (or `[T, B]` of integers, for a cell that takes tokens). Layer 0 reads it, every
/// further layer reads the outputs of the one below.
#[derive(Clone, Debug, Module)]
#[module(kind = "rnn")]
pub struct Rnn<C> {
    /// The cells, lowest layer first.
    pub layers: Vec<C>,
    #[module(skip)]
    checkpoint: Checkpoint,
}

impl<C> From<Vec<C>> for Rnn<C> {
    /// The cells, lowest layer first.
    fn from(layers: Vec<C>) -> Rnn<C> {
        Rnn { layers, checkpoint: Checkpoint::None }
    }
}

impl<C: Cell> Rnn<C> {
    /// One layer.
    pub fn new(cell: C) -> Rnn<C> {
        vec![cell].into()
    }

    /// `n` layers over an input of size `input`: `make(layer, input_size)` gives the cell of each layer.
    /// The input size of a layer is the output size of the one below, whatever the cell's output is.
    pub fn stack(n: usize, input: usize, mut make: impl FnMut(usize, usize) -> C) -> Rnn<C> {
        let mut layers: Vec<C> = Vec::with_capacity(n);
        let mut size = input;
        for layer in 0..n {
            let cell = make(layer, size);
            // A cell whose step is wrong is reported by the first forward pass.
            size = output_size(&cell, size).unwrap_or(size);
            layers.push(cell);
        }
        layers.into()
    }

    /// What every layer keeps for its derivative; results have the same bits. A [`Checkpoint::Budget`] is that of each layer.
    /// The outputs of layers are kept whatever it is.
    pub fn checkpoint(self, checkpoint: Checkpoint) -> Rnn<C> {
        Rnn { checkpoint, ..self }
    }

    /// The state before the first step of every layer, for `batch` sequences. Its values have the element type of the
    /// layer's parameters, or that of `cx` if the layer has none.
    pub fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Vec<C::State<'t>> {
        let start = |cell: &C| cell.init(&cx.with_dtype(float_type(cell).unwrap_or(cx.dtype())), batch);
        self.layers.iter().map(start).collect()
    }

    /// Runs the layers over `x` `[T, B, I]` from the cells' initial states. Gives the top layer's outputs `[T, B, O]` and
    /// every layer's last state.
    #[track_caller]
    pub fn forward<'t>(&self, cx: &Cx<'t>, x: Var<'t>) -> (Var<'t>, Vec<C::State<'t>>) {
        let batch = x.shape().ok().and_then(|shape| shape.get(1).copied()).unwrap_or(0);
        let dtype = x.dtype().ok().filter(|dtype| dtype.is_float());
        let states = self.init(&cx.with_dtype(dtype.unwrap_or(cx.dtype())), batch);
        self.forward_from(cx, x, states)
    }

    /// As [`forward`](Rnn::forward), from given states: one for each layer. Another number of them is an error
    /// that all results carry.
    #[track_caller]
    pub fn forward_from<'t>(&self, cx: &Cx<'t>, x: Var<'t>, states: Vec<C::State<'t>>) -> (Var<'t>, Vec<C::State<'t>>) {
        let mut y = match self.check(x, &["T", "B", "I"], &states) {
            Ok(x) => x,
            Err(broken) => return (broken, spoiled(&states, broken)),
        };
        let mut last = Vec::with_capacity(states.len());
        for (layer, (cell, state)) in self.layers.iter().zip(states).enumerate() {
            let options = ScanOptions::default().checkpoint(self.checkpoint);
            let (end, outputs) = cx.tape().scan_with(options, state, y, |state, x| {
                let (y, state) = cell.step(x, state);
                (state, y)
            });
            let (outputs, end) = placed(layer, y, outputs, end);
            last.push(end);
            y = outputs;
        }
        (y, last)
    }

    /// One step, for streaming: input `[B, I]` and the states to output `[B, O]` and states. A step that changes the shape of a
    /// state, as a whole sequence `[T, B, I]` would, is an error that all results carry.
    #[track_caller]
    pub fn step<'t>(&self, x: Var<'t>, states: Vec<C::State<'t>>) -> (Var<'t>, Vec<C::State<'t>>) {
        let mut y = match self.check(x, &["B", "I"], &states) {
            Ok(x) => x,
            Err(broken) => return (broken, spoiled(&states, broken)),
        };
        let mut next = Vec::with_capacity(states.len());
        for (layer, (cell, state)) in self.layers.iter().zip(states).enumerate() {
            let before = state.named_leaves();
            let (output, state) = cell.step(y, state);
            let (output, state) = match grown(layer, y, &before, &state) {
                Some(broken) => (broken, spoil(&state, broken)),
                None => placed(layer, y, output, state),
            };
            next.push(state);
            y = output;
        }
        (y, next)
    }

    /// A state that was carried over from another tape, for `batch` sequences.
    ///
    /// # Errors
    /// If it is not a state of these layers for `batch` sequences.
    #[track_caller]
    pub fn resume<'t>(&self, cx: &Cx<'t>, batch: usize, carried: &Carried) -> Result<Vec<C::State<'t>>> {
        carried.onto(cx.tape(), self.init(cx, batch))
    }

    /// The input, or an invalid value in its place: without all of the `axes`, or with a wrong number of states.
    #[track_caller]
    fn check<'t>(&self, x: Var<'t>, axes: &[&str], states: &[C::State<'t>]) -> Result<Var<'t>, Var<'t>> {
        let (Ok(shape), Ok(dtype)) = (x.shape(), x.dtype()) else { return Err(x) };
        // Without this check an input [T, I] would count as batch I, each of its rows broadcast to all sequences.
        let axes = if dtype.is_float() { axes } else { &axes[..axes.len() - 1] };
        if shape.rank() < axes.len() {
            let found = format!("the input is {dtype} {shape}, expected [{}]", axes.join(", "));
            return Err(x.invalid(
                "rnn",
                found,
                "add the missing axis: unsqueeze(-2) for one sequence, (-1) for one feature",
            ));
        }
        if states.len() != self.layers.len() {
            let found =
                format!("expected one state for each of the {} layers, found {}", self.layers.len(), states.len());
            return Err(x.invalid("rnn", found, "give what init, resume or an earlier call returned"));
        }
        Ok(x)
    }
}

/// A layer's output and state. An error that arose in them says which layer it was and where the network was called;
/// one that came in with the layer's input has said so already.
#[track_caller]
fn placed<'t, S: Tree<'t>>(layer: usize, input: Var<'t>, y: Var<'t>, state: S) -> (Var<'t>, S) {
    if y.dtype().is_ok() {
        return (y, state);
    }
    let arose = input.dtype().is_ok();
    let broken = if arose { y.within(format_args!("layer {layer} of the network")) } else { y };
    (broken, spoil(&state, broken))
}

/// An invalid value if a step changed the shape or element type of a component of its state: then `x` was not one step's input.
#[track_caller]
fn grown<'t, S: Tree<'t>>(layer: usize, x: Var<'t>, before: &[(String, Var<'t>)], after: &S) -> Option<Var<'t>> {
    let kind = |v: Var<'t>| Some((v.dtype().ok()?, v.shape().ok()?));
    for ((name, old), new) in before.iter().zip(after.leaves()) {
        let (Some((old_type, old)), Some((new_type, new))) = (kind(*old), kind(new)) else { continue };
        if (old_type, &old) != (new_type, &new) {
            let name = if name.is_empty() { String::new() } else { format!(" '{name}'") };
            let (dtype, shape) = kind(x)?;
            let found = format!(
                "the input {dtype} {shape} turns the state{name} of layer {layer} from {old_type} {old} to {new_type} {new}"
            );
            return Some(x.invalid(
                "rnn",
                found,
                "give one step [B, I] and a state of B rows; forward takes a sequence",
            ));
        }
    }
    None
}

/// A state whose every value is the invalid value `broken`.
fn spoil<'t, S: Tree<'t>>(state: &S, broken: Var<'t>) -> S {
    state.map_vars(&mut Path::root(), &mut |_, _| broken)
}

/// As many spoilt states as there are.
fn spoiled<'t, S: Tree<'t>>(states: &[S], broken: Var<'t>) -> Vec<S> {
    states.iter().map(|state| spoil(state, broken)).collect()
}

/// The element type of the first float parameter.
pub(crate) fn float_type(module: &impl ParamTree) -> Option<DType> {
    let mut found = None;
    module.visit_params(&mut Path::root(), &mut |_, param| {
        found = found.or_else(|| Some(param.value().dtype()).filter(|dtype| dtype.is_float()));
    });
    found
}

/// The size of a cell's output, found by recording one step on a tape of its own: on `input` features or, for a cell
/// that refuses them, on a token.
fn output_size<C: Cell>(cell: &C, input: usize) -> Option<usize> {
    let dtype = float_type(cell).unwrap_or(DType::F32);
    let probe = |tokens: bool| {
        let tape = Tape::inference();
        let cx = Cx::eval(&tape).with_dtype(dtype);
        let x = if tokens { tape.zeros([1], DType::I64) } else { cx.zeros([1, input]) };
        let (y, _) = cell.step(x, cell.init(&cx, 1));
        y.shape().ok()?.last().copied()
    };
    probe(false).or_else(|| probe(true))
}
