//! A cell as equations: what a step computes, and how its derivative comes back.

use crate::cell::Cell;
use crate::cx::Cx;
use crate::rnn::float_type;
use wengert_autograd::{DType, Explanation, Path, Result, Tape, Tree, Var};

/// The equations of a cell and of its derivative, for an input of size `input`: one step is recorded and differentiated
/// on a tape of its own, and read off it.
///
/// Parameters have their names in the module, states those of their fields, other values those of
/// [`Var::named`]. A cell that takes tokens gets tokens.
///
/// ```
/// use rand::{SeedableRng, rngs::StdRng};
/// use wengert_nn::{LstmCell, explain};
/// let cell = LstmCell::new(3, 4, &mut StdRng::seed_from_u64(0));
/// let text = explain(&cell, 3)?.to_string();
/// assert!(text.contains("∂L/∂w = Σₜ xₜᵀ·∂L/∂z"), "{text}");
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
///
/// # Errors
/// The error of a step that cannot be recorded.
#[track_caller]
pub fn explain<C: Cell>(cell: &C, input: usize) -> Result<Explanation> {
    let dtype = float_type(cell).unwrap_or(DType::F32);
    let (steps, batch) = (3, 2);
    let attempt = |tokens: bool| {
        let tape = Tape::new();
        tape.name_params(cell);
        let cx = Cx::train(&tape).with_dtype(dtype);
        let x = if tokens { tape.zeros([steps, batch], DType::I64) } else { cx.zeros([steps, batch, input]) };
        let state = cell.init(&cx, batch).map_vars(&mut Path::root(), &mut |path, var| named_by(path, var));
        let (state, y) = tape.scan(state, x.named("x"), |state, x| {
            let (y, state) = cell.step(x, state);
            (state, y)
        });
        // A cell without an output of its own is explained by its state.
        let result = if y.explain().is_ok() { Some(y) } else { state.leaves().first().copied() };
        result.unwrap_or(y).explain()
    };
    attempt(false).or_else(|error| attempt(true).map_err(|_| error))
}

/// A state's value with the name of its field; places in a tuple are not names.
fn named_by<'t>(path: &Path, var: Var<'t>) -> Var<'t> {
    let name = path.as_str();
    if name.is_empty() || name.ends_with(|c: char| c.is_ascii_digit()) { var } else { var.named(name) }
}
