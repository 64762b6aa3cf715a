//! Derivatives against central differences.
//!
//! [`gradcheck`] compares the vector-Jacobian products of a function with finite differences of its
//! values, [`gradgradcheck`] does the same for its gradients, [`gradcheck_forward`] compares forward mode with
//! reverse mode, and [`gradcheck_params`] checks a function of parameters. Tolerances and modes mean what they mean in
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
//!
//! With the feature `proptest` there are also strategies for inputs (`floats`), for whole graphs (`graphs`) and cells
//! (`cells`), and `assert_gradients!`, which looks for a failing case and makes it small. The guide is
//! `docs/checking-gradients.md`.

mod compare;
mod failure;
mod hint;
mod jacobian;
mod layout;
mod random;

#[cfg(feature = "proptest")]
mod kit;

pub use failure::{CheckFailure, InputReport, Mismatch, Mode, Worst};
#[cfg(feature = "proptest")]
pub use kit::*;

use crate::dtype::DType;
use crate::error::{Error, ErrorKind};
use crate::grad::vjp;
use crate::param::{Param, ParamTree};
use crate::shape::Shape;
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
/// masks) are not differentiated. An input that is a strided view is recorded as one; an axis that repeats one element
/// (stride zero) is differentiated as that element.
///
/// # Errors
/// The entries that do not match; that `f` gives two values for the same inputs; or why nothing could be compared: an
/// input or the value is not `f64`, or `f` is invalid.
#[track_caller]
pub fn gradcheck(
    f: impl for<'t> Fn(&[Var<'t>]) -> Var<'t>,
    inputs: &[Tensor],
    options: CheckOptions,
) -> Result<(), CheckFailure> {
    Call::of(&|_, v| f(v), inputs).at(inputs, options)?.first()
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
    Call::of(&|_, v| f(v), inputs).at(inputs, options)?.second()
}

/// Checks the tangents of `f` at `inputs` against its cotangents: forward mode and reverse mode give one Jacobian. They
/// differ by rounding only, so the tolerances of `options` have no part in it: 1e-9, relative to the largest entry (or
/// to 1, if that is smaller).
///
/// ```
/// use wengert_autograd::{Tensor, check};
/// let x = Tensor::from_slice(&[0.3f64, -1.2, 0.7], [3])?;
/// check::gradcheck_forward(|v| v[0].tanh().cumsum(0), &[x], Default::default())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`gradcheck`]; an operation without a forward rule is one.
#[track_caller]
pub fn gradcheck_forward(
    f: impl for<'t> Fn(&[Var<'t>]) -> Var<'t>,
    inputs: &[Tensor],
    options: CheckOptions,
) -> Result<(), CheckFailure> {
    Call::of(&|_, v| f(v), inputs).at(inputs, options)?.forward()
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
    let check = |point: Point<'_>| {
        point.first()?;
        point.second()
    };
    check(Call::named(&|tape, _| f(tape), Vec::new()).with_params(params).at(&[], options)?)
}

/// A function of variables on a tape.
type Body<'f> = dyn for<'t> Fn(&'t Tape, &[Var<'t>]) -> Var<'t> + 'f;

/// A function of variables and parameters, with the names of both: the parameters follow the variables.
struct Call<'f> {
    f: &'f Body<'f>,
    names: Vec<String>,
    params: Vec<Param>,
}

/// A function at a point.
struct Point<'f> {
    call: Call<'f>,
    inputs: Vec<Tensor>,
    options: CheckOptions,
}

impl<'f> Call<'f> {
    fn of(f: &'f Body<'f>, inputs: &[Tensor]) -> Call<'f> {
        Call::named(f, (0..inputs.len()).map(|i| format!("input {i}")).collect())
    }

    fn named(f: &'f Body<'f>, names: Vec<String>) -> Call<'f> {
        Call { f, names, params: Vec::new() }
    }

    fn with_params(mut self, params: &(impl ParamTree + ?Sized)) -> Call<'f> {
        for (path, param) in params.params() {
            self.names.push(if path.is_empty() { "the parameter".into() } else { format!("parameter '{path}'") });
            self.params.push(param);
        }
        self
    }

    /// At `inputs` and the present values of the parameters.
    #[track_caller]
    fn at(self, inputs: &[Tensor], options: CheckOptions) -> Result<Point<'f>, Error> {
        let inputs: Vec<Tensor> = inputs.iter().cloned().chain(self.params.iter().map(Param::value)).collect();
        if inputs.is_empty() {
            let found = "there is nothing to differentiate by";
            return Err(Error::new(ErrorKind::Value, "gradcheck", found, "give an input"));
        }
        let given = inputs.len() - self.params.len();
        if let Some(i) = inputs.iter().position(|input| input.dtype() != DType::F64) {
            let (name, dtype) = (&self.names[i], inputs[i].dtype());
            let found = format!("{name} is {dtype}, expected f64: differences of f32 values have no digits left");
            let remedy = if i < given {
                "convert it: .cast(DType::F64); capture what is not differentiated"
            } else {
                "convert the module: .set_dtype(DType::F64)"
            };
            return Err(Error::new(ErrorKind::DType, "gradcheck", found, remedy));
        }
        Ok(Point { call: self, inputs, options })
    }
}

impl Point<'_> {
    fn subject<'s>(&'s self, order: usize, function: &'s dyn Function) -> Subject<'s> {
        Subject::new(order, function, &self.call.names, &self.inputs, self.options)
    }

    /// The gradients, against differences.
    fn first(&self) -> Result<(), CheckFailure> {
        self.subject(1, &self.call).check()
    }

    /// The gradients' gradients, against differences.
    fn second(&self) -> Result<(), CheckFailure> {
        let gradients = Gradients(&self.call);
        self.subject(2, &gradients).with_cotangent()?.map_or(Ok(()), |subject| subject.check())
    }

    /// Forward mode against reverse mode.
    fn forward(&self) -> Result<(), CheckFailure> {
        self.subject(1, &self.call).check_forward()
    }
}

impl Function for Call<'_> {
    fn record<'t>(&self, tape: &'t Tape, inputs: &[Var<'t>]) -> Outputs<'t> {
        fn bind<'t, R>(tape: &'t Tape, params: &[Param], vars: &[Var<'t>], f: &dyn Fn() -> R) -> R {
            match (params, vars) {
                ([param, params @ ..], [var, vars @ ..]) => tape.bind(param, *var, || bind(tape, params, vars, f)),
                _ => f(),
            }
        }
        let (inputs, params) = inputs.split_at(inputs.len() - self.params.len());
        vec![Some(bind(tape, &self.params, params, &|| (self.f)(tape, inputs)))]
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

/// The index of entry `flat` of a shape, in row-major order.
fn index(shape: &Shape, mut flat: usize) -> Vec<usize> {
    let mut at = vec![0; shape.rank()];
    for axis in (0..shape.rank()).rev() {
        at[axis] = flat % shape[axis];
        flat /= shape[axis];
    }
    at
}
