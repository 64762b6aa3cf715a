//! Layers one after the other.

use super::{Conv1d, Dropout, Embedding, LayerNorm, Linear, RmsNorm, TiedLinear};
use crate::cx::Cx;
use crate::rnn::{Layer, Rnn};
use wengert_autograd::{Param, ParamTree, Path, Var};

/// What can be applied to one value: what a [`Sequential`] is made of.
///
/// ```
/// use wengert_autograd::{Param, Var};
/// use wengert_nn::{Cx, Apply};
/// # extern crate wengert_nn as wengert;
/// #[derive(wengert_nn::Module)]
/// struct Gain { by: Param }
/// impl Apply for Gain {
///     fn apply<'t>(&self, _: &Cx<'t>, x: Var<'t>) -> Var<'t> {
///         x * &self.by
///     }
/// }
/// ```
pub trait Apply: ParamTree {
    /// The result for `x`, in a pass.
    fn apply<'t>(&self, cx: &Cx<'t>, x: Var<'t>) -> Var<'t>;
}

/// Layers one after the other, with the parameters of the `i`-th under the name `i`, as in PyTorch.
///
/// ```
/// use rand::{SeedableRng, rngs::StdRng};
/// use wengert_autograd::{DType, ParamTree, Tape};
/// use wengert_nn::{Cx, Dropout, Embedding, Linear, LstmCell, Rnn, Sequential};
/// let rng = &mut StdRng::seed_from_u64(0);
/// let model = Sequential::new()
///     .then(Embedding::new(50, 8, rng))
///     .then(Dropout::new(0.2))
///     .then(Rnn::new(LstmCell::new(8, 16, rng)))
///     .then(Linear::new(16, 4, rng))
///     .map(|x| x.log_softmax(-1));
/// assert_eq!(model.params()[0].0, "0.weight");
/// let tape = Tape::new();
/// let y = model.forward(&Cx::eval(&tape), tape.zeros([5, 3], DType::I64));
/// assert_eq!(y.shape()?[..], [5, 3, 4]);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[derive(Default)]
pub struct Sequential {
    layers: Vec<Box<dyn Apply>>,
}

impl Sequential {
    /// No layers: the identity.
    pub fn new() -> Sequential {
        Sequential::default()
    }

    /// The same layers with one more.
    pub fn then(mut self, layer: impl Apply + 'static) -> Sequential {
        self.layers.push(Box::new(layer));
        self
    }

    /// The same layers, and a function without parameters: `.map(|x| x.relu())`.
    pub fn map(self, f: impl for<'t> Fn(Var<'t>) -> Var<'t> + 'static) -> Sequential {
        self.then(Map(f))
    }

    /// The number of layers.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// Applies the layers in their order, each with a random key of its own. An error says in which of them it arose.
    #[track_caller]
    pub fn forward<'t>(&self, cx: &Cx<'t>, x: Var<'t>) -> Var<'t> {
        let mut y = x;
        for (i, layer) in self.layers.iter().enumerate() {
            let next = layer.apply(&cx.fold_in(i as i64), y);
            // What came in broken has said so already.
            y = if y.dtype().is_ok() { next.within(format_args!("layer {i} of the sequence")) } else { y };
        }
        y
    }
}

impl ParamTree for Sequential {
    fn visit_params(&self, path: &mut Path, visit: &mut dyn FnMut(&Path, &Param)) {
        for (i, layer) in self.layers.iter().enumerate() {
            path.within(i, |path| layer.visit_params(path, visit));
        }
    }
}

impl std::fmt::Debug for Sequential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shapes = self.params().into_iter().map(|(name, param)| (name, param.value().shape().clone()));
        f.debug_map().entries(shapes).finish()
    }
}

/// A function as a layer.
struct Map<F>(F);

impl<F> ParamTree for Map<F> {
    fn visit_params(&self, _: &mut Path, _: &mut dyn FnMut(&Path, &Param)) {}
}

impl<F: for<'t> Fn(Var<'t>) -> Var<'t>> Apply for Map<F> {
    fn apply<'t>(&self, _: &Cx<'t>, x: Var<'t>) -> Var<'t> {
        (self.0)(x)
    }
}

macro_rules! layers {
    ($($layer:ty),*) => {$(
        impl Apply for $layer {
            #[track_caller]
            fn apply<'t>(&self, _: &Cx<'t>, x: Var<'t>) -> Var<'t> {
                self.forward(x)
            }
        }
    )*};
}
layers!(Conv1d, Embedding, LayerNorm, Linear, RmsNorm, TiedLinear);

impl Apply for Dropout {
    #[track_caller]
    fn apply<'t>(&self, cx: &Cx<'t>, x: Var<'t>) -> Var<'t> {
        self.forward(cx, x)
    }
}

impl Apply for Sequential {
    #[track_caller]
    fn apply<'t>(&self, cx: &Cx<'t>, x: Var<'t>) -> Var<'t> {
        self.forward(cx, x)
    }
}

/// The outputs of the top layer at all steps.
impl<L: Layer> Apply for Rnn<L> {
    #[track_caller]
    fn apply<'t>(&self, cx: &Cx<'t>, x: Var<'t>) -> Var<'t> {
        self.forward(cx, x).0
    }
}

impl<L: Apply + ?Sized> Apply for Box<L> {
    fn apply<'t>(&self, cx: &Cx<'t>, x: Var<'t>) -> Var<'t> {
        (**self).apply(cx, x)
    }
}
