//! Dropout of weights.

use super::Noise;
use crate::Module;
use crate::cell::Cell;
use crate::cx::Cx;
use wengert_autograd::{Param, Path, Tape, Tree, Var};

/// Any cell, with entries of some of its parameters dropped for a whole run: DropConnect on recurrent weights (Wan et
/// al. 2013; Merity, Keskar & Socher 2017, arXiv 1708.02182). Parameters are chosen by their names in the cell; what
/// remains is scaled by `1 / (1 − rate)`.
///
/// ```
/// use rand::{SeedableRng, rngs::StdRng};
/// use wengert_nn::{GruCell, Rnn, WeightDrop};
/// let rng = &mut StdRng::seed_from_u64(0);
/// let net = Rnn::stack(3, 10, |_, input| WeightDrop::new(GruCell::new(input, 20, rng), 0.5, ["u"]));
/// ```
#[derive(Clone, Debug, Module)]
pub struct WeightDrop<C> {
    /// The cell.
    pub cell: C,
    /// The probability that an entry is dropped.
    pub rate: f64,
    /// The names of the parameters.
    pub names: Vec<String>,
}

impl<C: Cell> WeightDrop<C> {
    /// `cell` with weight-drop at a rate for parameters such as `"u"`; in a wrapper, `"cell.u"`.
    pub fn new<N: Into<String>>(cell: C, rate: f64, names: impl IntoIterator<Item = N>) -> WeightDrop<C> {
        WeightDrop { cell, rate, names: names.into_iter().map(Into::into).collect() }
    }

    /// The chosen parameters, or the name that there is not, and those that there are.
    fn chosen(&self) -> Result<Vec<Param>, (String, String)> {
        let mut all: Vec<(String, Param)> = Vec::new();
        // A shared parameter is found under each of its names.
        self.cell.visit_params(&mut Path::root(), &mut |path, param| all.push((path.as_str().into(), param.clone())));
        let find = |name: &String| {
            let found = all.iter().find(|(path, _)| path == name).map(|(_, param)| param.clone());
            found.ok_or_else(|| {
                let names: Vec<&str> = all.iter().map(|(path, _)| path.as_str()).collect();
                (name.clone(), names.join(", "))
            })
        };
        self.names.iter().map(find).collect()
    }
}

/// Runs `f` with parameters bound to values.
fn bound<'t, R>(tape: &'t Tape, params: &[Param], values: &[Var<'t>], f: Box<dyn FnOnce() -> R + '_>) -> R {
    match (params, values) {
        ([param, params @ ..], [value, values @ ..]) => tape.bind(param, *value, || bound(tape, params, values, f)),
        _ => f(),
    }
}

impl<C: Cell> Cell for WeightDrop<C> {
    type State<'t> = C::State<'t>;

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        self.cell.init(cx, batch)
    }

    #[track_caller]
    fn noise<'t>(&self, cx: &Cx<'t>, steps: usize, batch: usize) -> Noise<'t> {
        let inner = self.cell.noise(cx, steps, batch);
        let mut dropped = Vec::new();
        match self.chosen() {
            Ok(params) => {
                for param in params {
                    let whole = cx.tape().param(&param);
                    let (Ok(dtype), Ok(shape)) = (whole.dtype(), whole.shape()) else { continue };
                    dropped.extend(cx.with_dtype(dtype).dropout_mask(self.rate, shape).map(|mask| whole * mask));
                }
            }
            Err((name, names)) => {
                let found = format!("the cell has no parameter '{name}'");
                dropped.push(cx.zeros([]).invalid("weight_drop", found, &format!("its parameters are {names}")));
            }
        }
        Noise::around(inner, dropped, Vec::new())
    }

    #[track_caller]
    fn step<'t>(&self, x: Var<'t>, state: Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        self.cell.step(x, state)
    }

    #[track_caller]
    fn noisy_step<'t>(&self, x: Var<'t>, state: Self::State<'t>, noise: Noise<'t>) -> (Var<'t>, Self::State<'t>) {
        if let Some(broken) = noise.fixed.iter().find(|value| value.shape().is_err()) {
            return (*broken, state.map_vars(&mut Path::unnamed(), &mut |_, _| *broken));
        }
        let (params, values) = (self.chosen().unwrap_or_default(), noise.fixed.clone());
        bound(x.tape(), &params, &values, Box::new(|| self.cell.noisy_step(x, state, noise.into_inner())))
    }
}
