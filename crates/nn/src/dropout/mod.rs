//! Dropout inside of a recurrence, as cells around cells.
//!
//! | | where | masks |
//! |---|---|---|
//! | [`Zoneout`] | what of the state is kept as it was | another for each step |
//! | [`RecurrentDropout`] | the state, where it enters the gates | one for each gate, the same at all steps |
//! | [`WeightDrop`] | recurrent weights, or any parameters by name | one, for all steps and sequences |
//! | [`Rnn::dropout`](crate::Rnn::dropout) | outputs between layers | another for each step |
//! | [`Rnn::locked_dropout`](crate::Rnn::locked_dropout) | outputs between layers | one for each sequence, the same at all steps |
//!
//! All draw from the key of the pass ([`Cx::with_seed`](crate::Cx::with_seed)), scale up what they keep, and do nothing in an evaluation; there
//! zoneout takes its mean.
//!
//! ```
//! use rand::{SeedableRng, rngs::StdRng};
//! use wengert_autograd::{DType, Tape, Tensor};
//! use wengert_nn::{Cx, LstmCell, Rnn, WeightDrop, Zoneout};
//! let mut rng = StdRng::seed_from_u64(0);
//! let net = Rnn::stack(2, 10, |_, input| {
//!     Zoneout::new(WeightDrop::new(LstmCell::new(input, 20, &mut rng), 0.5, ["u"]), [0.1])
//! });
//! let net = net.locked_dropout(0.3);
//! let tape = Tape::new();
//! let x = tape.constant(Tensor::zeros([5, 3, 10], DType::F32));
//! let (y, _) = net.forward(&Cx::train(&tape).with_seed(1), x);
//! assert_eq!(y.value()?.shape()[..], [5, 3, 20]);
//! # Ok::<(), wengert_autograd::Error>(())
//! ```

mod recurrent;
mod weight_drop;
mod zoneout;

pub use recurrent::{Gated, Product, RecurrentDropout};
pub use weight_drop::WeightDrop;
pub use zoneout::Zoneout;

pub(crate) use recurrent::plain;

use wengert_autograd::{Path, Tree, Var};

/// What a [`Cell`](crate::Cell) draws at random for one run. As a tree it has the leaves `each`, its own and the inner ones.
#[derive(Clone, Debug, Default)]
pub struct Noise<'t> {
    /// Values that are the same at all steps.
    pub fixed: Vec<Var<'t>>,
    /// Values with one entry for each step, `[T, ..]`; a step gets its own, `[..]`.
    pub each: Vec<Var<'t>>,
    /// What the cell inside of a wrapper draws.
    pub inner: Option<Box<Noise<'t>>>,
}

impl<'t> Noise<'t> {
    /// Nothing random.
    pub fn none() -> Noise<'t> {
        Noise::default()
    }

    /// What a wrapper draws, and the cell in it.
    pub fn around(inner: Noise<'t>, fixed: Vec<Var<'t>>, each: Vec<Var<'t>>) -> Noise<'t> {
        Noise { fixed, each, inner: Some(Box::new(inner)) }
    }

    /// What the cell inside of a wrapper draws.
    pub fn into_inner(self) -> Noise<'t> {
        self.inner.map(|inner| *inner).unwrap_or_default()
    }
}

impl<'t> Tree<'t> for Noise<'t> {
    fn map_vars(&self, path: &mut Path, f: &mut dyn FnMut(&Path, Var<'t>) -> Var<'t>) -> Self {
        Noise {
            fixed: self.fixed.clone(),
            each: path.within("noise", |path| self.each.map_vars(path, f)),
            inner: path.within("inner", |path| self.inner.as_ref().map(|inner| Box::new(inner.map_vars(path, f)))),
        }
    }
}
