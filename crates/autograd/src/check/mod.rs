//! Derivatives against central differences.
//!
//! [`gradcheck`] compares the vector-Jacobian products of a function with finite differences of its
//! values, [`gradgradcheck`] does the same for its gradients, and [`gradcheck_params`] checks a
//! function of parameters at both orders. Tolerances and modes mean what they mean in
//! `torch.autograd.gradcheck`: an entry passes if `|analytic - numeric| <= atol + rtol·|numeric|`.
//!
//! ```
//! use wengert_autograd::{Tensor, check};
//! let x = Tensor::from_slice(&[0.3f64, -1.2, 0.7], [3])?;
//! let w = Tensor::from_slice(&[0.5f64, 2.0, -0.1], [3])?;
//! let options = check::CheckOptions::default();
//! check::gradcheck(|v| (v[0] * v[1]).tanh(), &[x.clone(), w.clone()], options)?;
//! check::gradgradcheck(|v| (v[0] * v[1]).tanh(), &[x, w], options)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod failure;
mod jacobian;
mod random;

pub use failure::{CheckFailure, Mismatch};

use crate::dtype::DType;
use crate::error::{Error, ErrorKind};
use crate::grad::vjp;
use crate::param::{Param, ParamTree};
use crate::tape::Tape;
use crate::tensor::Tensor;
use crate::var::Var;
use jacobian::{Function, Outputs, Subject};

/// Step, tolerances and mode of a check. The defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CheckOptions {
    /// The step of the central difference: `(f(x + eps) - f(x - eps)) / 2 eps`.
    pub eps: f64,
    /// The absolute tolerance.
    pub atol: f64,
    /// The tolerance relative to the numeric derivative.
    pub rtol: f64,
    /// Compares the Jacobian in one random direction for each pair of input and output, instead of entry by
    /// entry: the cost no longer grows with the number of elements. A failure is looked up entry by entry.
    pub fast: bool,
    /// Chooses the random directions of the fast mode and the cotangents of second-order checks.
    pub seed: u64,
}

impl Default for CheckOptions {
    fn default() -> Self {
        CheckOptions { eps: 1e-6, atol: 1e-5, rtol: 1e-3, fast: false, seed: 0 }
    }
}

impl CheckOptions {
    /// One random direction for each pair of input and output.
    pub fn fast(self) -> Self {
        CheckOptions { fast: true, ..self }
    }
}

/// Checks the gradients of `f` at `inputs` against central differences.
///
/// `f` is recorded many times, each time on a fresh tape, with variables that hold the inputs or shifted copies of
/// them. Its value may have any shape. A gradient that does not exist counts as zero. Captured tensors (indices,
/// masks) are not differentiated.
///
/// # Errors
/// The entry with the worst mismatch; or why nothing could be compared: an input or the value is not `f64`, or `f` is
/// invalid.
#[track_caller]
pub fn gradcheck(
    f: impl for<'t> Fn(&[Var<'t>]) -> Var<'t>,
    inputs: &[Tensor],
    options: CheckOptions,
) -> Result<(), CheckFailure> {
    let names = numbered(inputs);
    check_inputs(inputs, &names)?;
    Subject { order: 1, function: &Value(&f), names, options }.check(inputs)
}

/// Checks the gradients of the gradients of `f` at `inputs` against central differences.
///
/// The function that is checked maps the inputs and a cotangent of `f` (random, fixed by the seed) to
/// the cotangents of the inputs; it is differentiated with respect to both.
///
/// # Errors
/// As [`gradcheck`].
#[track_caller]
pub fn gradgradcheck(
    f: impl for<'t> Fn(&[Var<'t>]) -> Var<'t>,
    inputs: &[Tensor],
    options: CheckOptions,
) -> Result<(), CheckFailure> {
    let names = numbered(inputs);
    check_inputs(inputs, &names)?;
    second_order(&f, inputs, names, options)
}

/// Checks the gradients of `f` with respect to parameters, at order one and two.
///
/// Each parameter is [bound](Tape::bind) to a variable while `f` is recorded, so any use of it is found: in a
/// layer, in a scan, by several names. Other data are captured by `f`, which records on the tape it is given.
///
/// ```
/// use wengert_autograd::{Param, Tensor, check};
/// let w = Param::new(Tensor::from_slice(&[0.5f64, -1.0], [2])?);
/// let x = Tensor::from_slice(&[0.1f64, 0.2], [2])?;
/// check::gradcheck_params(|tape| (tape.constant(&x) * &w).tanh().sum(), &w, Default::default())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`gradcheck`]; the report names the parameter by its path.
#[track_caller]
pub fn gradcheck_params(
    f: impl for<'t> Fn(&'t Tape) -> Var<'t>,
    params: &impl ParamTree,
    options: CheckOptions,
) -> Result<(), CheckFailure> {
    let (paths, params): (Vec<String>, Vec<Param>) = params.params().into_iter().unzip();
    let names: Vec<String> = paths
        .iter()
        .map(|path| if path.is_empty() { "the parameter".to_string() } else { format!("parameter '{path}'") })
        .collect();
    let inputs: Vec<Tensor> = params.iter().map(Param::value).collect();
    check_inputs(&inputs, &names)?;
    let bound = Bound { f: &f, params: &params };
    Subject { order: 1, function: &bound, names: names.clone(), options }.check(&inputs)?;
    Subject { order: 2, function: &Gradients(&bound), names, options }.check_with_cotangent(&inputs)
}

fn second_order<F: for<'t> Fn(&[Var<'t>]) -> Var<'t>>(
    f: &F,
    inputs: &[Tensor],
    names: Vec<String>,
    options: CheckOptions,
) -> Result<(), CheckFailure> {
    Subject { order: 2, function: &Gradients(&Value(f)), names, options }.check_with_cotangent(inputs)
}

fn numbered(inputs: &[Tensor]) -> Vec<String> {
    (0..inputs.len()).map(|i| format!("input {i}")).collect()
}

#[track_caller]
fn check_inputs(inputs: &[Tensor], names: &[String]) -> Result<(), Error> {
    if inputs.is_empty() {
        return Err(Error::new(ErrorKind::Value, "gradcheck", "there is nothing to differentiate by", "give an input"));
    }
    match inputs.iter().zip(names).find(|(input, _)| input.dtype() != DType::F64) {
        Some((input, name)) => Err(Error::new(
            ErrorKind::DType,
            "gradcheck",
            format!("{name} is {}, expected f64: differences of f32 values have no digits left", input.dtype()),
            "convert it: .cast(DType::F64); capture what is not differentiated",
        )),
        None => Ok(()),
    }
}

/// A function of variables; its only output is its value.
struct Value<'f, F>(&'f F);

impl<F: for<'t> Fn(&[Var<'t>]) -> Var<'t>> Function for Value<'_, F> {
    fn record<'t>(&self, _: &'t Tape, inputs: &[Var<'t>]) -> Outputs<'t> {
        vec![Some((self.0)(inputs))]
    }

    fn output(&self, _: usize, _: &[String]) -> String {
        "the value".into()
    }
}

/// A function of parameters as a function of variables bound to them.
struct Bound<'f, F> {
    f: &'f F,
    params: &'f [Param],
}

impl<F: for<'t> Fn(&'t Tape) -> Var<'t>> Function for Bound<'_, F> {
    fn record<'t>(&self, tape: &'t Tape, inputs: &[Var<'t>]) -> Outputs<'t> {
        fn bind<'t, R>(tape: &'t Tape, params: &[Param], vars: &[Var<'t>], f: &dyn Fn() -> R) -> R {
            match (params, vars) {
                ([param, params @ ..], [var, vars @ ..]) => tape.bind(param, *var, || bind(tape, params, vars, f)),
                _ => f(),
            }
        }
        vec![Some(bind(tape, self.params, inputs, &|| (self.f)(tape)))]
    }

    fn output(&self, _: usize, _: &[String]) -> String {
        "the value".into()
    }
}

/// The gradients of a function with one output: the last input is the output's cotangent.
struct Gradients<'f>(&'f dyn Function);

impl Function for Gradients<'_> {
    fn record<'t>(&self, tape: &'t Tape, inputs: &[Var<'t>]) -> Outputs<'t> {
        let Some((ct, inputs)) = inputs.split_last() else { return Vec::new() };
        match self.0.record(tape, inputs)[..] {
            [Some(value)] => vjp(&[(value, *ct)], inputs),
            _ => vec![None; inputs.len()],
        }
    }

    fn output(&self, index: usize, names: &[String]) -> String {
        format!("the gradient of {}", names[index])
    }

    fn value_shape<'t>(&self, tape: &'t Tape, inputs: &[Var<'t>]) -> Option<Var<'t>> {
        self.0.record(tape, inputs).into_iter().next().flatten()
    }
}
