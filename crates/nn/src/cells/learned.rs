//! Initial states that are learned.

use crate::Module;
use crate::cell::Cell;
use crate::cx::Cx;
use crate::dropout::Noise;
use crate::rnn::float_type;
use wengert_autograd::{DType, Param, Path, Tape, Tensor, Tree, Var};

/// Any cell, whose initial state is a parameter: the same for all sequences, zeros at first. Components that are not
/// floats start as the cell's own.
///
/// ```
/// use rand::{SeedableRng, rngs::StdRng};
/// use wengert_nn::{Learned, LstmCell};
/// let cell = Learned::new(LstmCell::new(10, 20, &mut StdRng::seed_from_u64(0)));
/// assert_eq!(cell.initial.len(), 2);
/// ```
#[derive(Clone, Debug, Module)]
pub struct Learned<C> {
    /// The cell.
    pub cell: C,
    /// The initial values of one sequence, without the batch axis, for each float component in the order of the state's leaves.
    pub initial: Vec<Param>,
}

impl<C: Cell> Learned<C> {
    /// `cell` with parameters for its initial state, of the element type of its weights.
    pub fn new(cell: C) -> Learned<C> {
        let tape = Tape::inference();
        let dtype = float_type(&cell).unwrap_or(DType::F32);
        let leaves = cell.init(&Cx::eval(&tape).with_dtype(dtype), 1).leaves();
        let one = |v: Var<'_>| {
            let (dtype, shape) = (v.dtype().ok()?, v.shape().ok()?);
            dtype.is_float().then(|| Param::new(Tensor::zeros(shape.get(1..).unwrap_or(&[]), dtype)))
        };
        Learned { initial: leaves.into_iter().filter_map(one).collect(), cell }
    }
}

impl<C: Cell> Cell for Learned<C> {
    type State<'t> = C::State<'t>;

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        let mut initial = self.initial.iter();
        self.cell.init(cx, batch).map_vars(&mut Path::unnamed(), &mut |_, v| match (v.dtype(), v.shape()) {
            (Ok(dtype), Ok(shape)) if dtype.is_float() => {
                initial.next().map_or(v, |param| cx.tape().param(param).expand(shape))
            }
            _ => v,
        })
    }

    #[track_caller]
    fn noise<'t>(&self, cx: &Cx<'t>, steps: usize, batch: usize) -> Noise<'t> {
        self.cell.noise(cx, steps, batch)
    }

    #[track_caller]
    fn step<'t>(&self, x: Var<'t>, state: Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        self.cell.step(x, state)
    }

    #[track_caller]
    fn noisy_step<'t>(&self, x: Var<'t>, state: Self::State<'t>, noise: Noise<'t>) -> (Var<'t>, Self::State<'t>) {
        self.cell.noisy_step(x, state, noise)
    }
}
