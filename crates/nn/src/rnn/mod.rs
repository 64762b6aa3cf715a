//! The driver: cells over time.

mod checks;
mod directions;
mod forward;
mod given;
mod layer;
mod run;
mod step;
mod time;
mod truncated;
mod watch;

pub use directions::Bidirectional;
pub use given::Given;
pub use layer::Layer;
pub use run::Run;
pub use time::Time;
pub use truncated::{Truncated, Window};
pub use watch::{Watched, watch};

pub(crate) use checks::float_type;

use crate::Module;
use crate::carried::Carried;
use crate::cell::Cell;
use crate::cx::Cx;
use wengert_autograd::{Checkpoint, DType, Result, Tape};

/// One or more layers, run over time: cells ([`stack`](Rnn::stack)) or both directions of cells
/// ([`bidirectional`](Rnn::bidirectional)).
///
/// The input is time-major, `[T, B, I]` (or `[T, B]` of integers, for a cell that takes tokens), unless the network is
/// [`batch_first`](Rnn::batch_first). Layer 0 reads it, every further layer reads the outputs of the one below.
///
/// Options of the network are methods here, those of a single run are in [`Run`], and those of a step are cells around
/// cells: [`Zoneout`](crate::Zoneout), [`WeightDrop`](crate::WeightDrop), [`RecurrentDropout`](crate::RecurrentDropout),
/// [`Learned`](crate::Learned), [`Projected`](crate::Projected), [`Clipped`](crate::Clipped).
#[derive(Clone, Debug, Module)]
#[module(kind = "rnn")]
pub struct Rnn<L> {
    /// The layers, lowest first.
    pub layers: Vec<L>,
    #[module(skip)]
    checkpoint: Checkpoint,
    dropout: f64,
    locked_dropout: f64,
    residual: bool,
    skips: bool,
    batch_first: bool,
}

impl<L> From<Vec<L>> for Rnn<L> {
    /// The layers, lowest first.
    fn from(layers: Vec<L>) -> Rnn<L> {
        let checkpoint = Checkpoint::None;
        Rnn { layers, checkpoint, dropout: 0.0, locked_dropout: 0.0, residual: false, skips: false, batch_first: false }
    }
}

impl<L: Layer> Rnn<L> {
    /// One layer.
    pub fn new(layer: L) -> Rnn<L> {
        vec![layer].into()
    }

    /// `n` layers over an input of size `input`: `make(layer, input_size)` gives the cell of each layer.
    /// The input size of a layer is the output size of the one below, whatever the cell's output is.
    pub fn stack(n: usize, input: usize, make: impl FnMut(usize, usize) -> L) -> Rnn<L> {
        Rnn::build(n, input, 0, make)
    }

    /// As [`stack`](Rnn::stack), with connections from the input to every layer (Graves 2013, arXiv 1308.0850): above
    /// the first, a layer reads the outputs of the one below and, after them, the network's input.
    ///
    /// ```
    /// use rand::{SeedableRng, rngs::StdRng};
    /// use wengert_nn::{LstmCell, Rnn};
    /// let mut rng = StdRng::seed_from_u64(0);
    /// let net = Rnn::stack_with_skips(3, 10, |_, input| LstmCell::new(input, 20, &mut rng));
    /// assert_eq!(net.layers[2].w.value().shape()[..], [20 + 10, 80]);
    /// ```
    pub fn stack_with_skips(n: usize, input: usize, make: impl FnMut(usize, usize) -> L) -> Rnn<L> {
        Rnn { skips: true, ..Rnn::build(n, input, input, make) }
    }

    /// Layers of which all but the first read `more` values beside the outputs of the one below.
    fn build(n: usize, input: usize, more: usize, mut make: impl FnMut(usize, usize) -> L) -> Rnn<L> {
        let mut layers: Vec<L> = Vec::with_capacity(n);
        let mut size = input;
        for number in 0..n {
            let layer = make(number, size);
            // A cell whose step is wrong is reported by the first forward pass.
            size = output_size(&layer, size).unwrap_or(size) + more;
            layers.push(layer);
        }
        layers.into()
    }

    /// What every layer keeps for its derivative; results have the same bits. Training takes memory in proportion to the length
    /// of sequences: where it does not suffice, give [`Checkpoint::Budget`] the bytes that each layer and direction may take.
    ///
    /// Inputs and the outputs of layers, `[T, B, H]` each, are kept whatever it is. Where they alone are too much, train on
    /// pieces of the sequence and carry the state over ([`Carried`](crate::Carried)).
    pub fn checkpoint(self, checkpoint: Checkpoint) -> Rnn<L> {
        Rnn { checkpoint, ..self }
    }

    /// Dropout of the outputs of every layer but the last, as PyTorch's `dropout`: in training, each is 0 with
    /// probability `rate`, else scaled by `1 / (1 − rate)`. The pass needs a key: [`Cx::with_seed`].
    pub fn dropout(self, rate: f64) -> Rnn<L> {
        Rnn { dropout: rate, ..self }
    }

    /// As [`dropout`](Rnn::dropout), with the same units dropped at all steps of a sequence: variational dropout (Gal & Ghahramani
    /// 2016, arXiv 1512.05287), AWD-LSTM's `dropouth` (Merity, Keskar & Socher 2017).
    pub fn locked_dropout(self, rate: f64) -> Rnn<L> {
        Rnn { locked_dropout: rate, ..self }
    }

    /// Adds to the outputs of every layer its input, where these are of equal size.
    pub fn residual(self) -> Rnn<L> {
        Rnn { residual: true, ..self }
    }

    /// Inputs and outputs are `[B, T, ..]` in place of `[T, B, ..]`. States stay `[B, ..]`.
    pub fn batch_first(self) -> Rnn<L> {
        Rnn { batch_first: true, ..self }
    }

    /// The state before the first step of every layer, for `batch` sequences. Its values have the element type of the
    /// layer's parameters, or that of `cx` if the layer has none.
    pub fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Vec<L::State<'t>> {
        let start = |layer: &L| layer.start(&cx.with_dtype(float_type(layer).unwrap_or(cx.dtype())), batch);
        self.layers.iter().map(start).collect()
    }

    /// A state that was carried over from another tape, for `batch` sequences.
    ///
    /// # Errors
    /// If it is not a state of these layers for `batch` sequences.
    #[track_caller]
    pub fn resume<'t>(&self, cx: &Cx<'t>, batch: usize, carried: &Carried) -> Result<Vec<L::State<'t>>> {
        carried.onto(cx.tape(), self.init(cx, batch))
    }
}

impl<C: Cell> Rnn<Bidirectional<C>> {
    /// `n` layers of both directions over an input of size `input`: `make(layer, input_size)` gives the forward cell of
    /// a layer, then its backward one. Every layer reads the outputs of both directions of the one below.
    ///
    /// ```
    /// use rand::{SeedableRng, rngs::StdRng};
    /// use wengert_nn::{LstmCell, Rnn};
    /// let mut rng = StdRng::seed_from_u64(0);
    /// let net = Rnn::bidirectional(2, 10, |_, input| LstmCell::new(input, 20, &mut rng)).dropout(0.3);
    /// assert_eq!(net.layers[1].backward.w.value().shape()[..], [40, 80]);
    /// ```
    pub fn bidirectional(n: usize, input: usize, mut make: impl FnMut(usize, usize) -> C) -> Rnn<Bidirectional<C>> {
        let both = |layer, input| Bidirectional { forward: make(layer, input), backward: make(layer, input) };
        Rnn::stack(n, input, both)
    }
}

/// The size of a layer's output, found by recording one step on a tape of its own: on `input` features or, for a cell
/// that refuses them, on a token.
fn output_size<L: Layer>(layer: &L, input: usize) -> Option<usize> {
    let dtype = float_type(layer).unwrap_or(DType::F32);
    let probe = |tokens: bool| {
        let tape = Tape::inference();
        let cx = Cx::eval(&tape).with_dtype(dtype);
        let x = if tokens { tape.zeros([1, 1], DType::I64) } else { cx.zeros([1, 1, input]) };
        let (y, _) = layer.run(&cx, x, layer.start(&cx, 1), &Time::default());
        y.shape().ok()?.last().copied()
    };
    probe(false).or_else(|| probe(true))
}
