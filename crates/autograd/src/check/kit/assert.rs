//! `assert_gradients!`: looks for a case that fails, and makes it small.

use super::inputs::Inputs;
use super::paste::{self, Found};
use crate::check::{Body, Call, CheckFailure, CheckOptions, Mode};
use crate::error::{Error, ErrorKind};
use crate::param::ParamTree;
use crate::tensor::Tensor;
use crate::var::Var;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngSeed, TestRunner};

/// Checks the derivatives of a function on many inputs: `assert_gradients!(|x, w| .., strategy)`.
///
/// The closure takes [`Var`]s and gives a `Var` of any shape. The strategy gives its inputs, in order: [`floats`], any strategy
/// of `proptest` whose values are [`Inputs`] (tensors, arrays, vectors and tuples of tensors), or
/// tensors, which are one case. Every case is checked in reverse mode against central differences, at first and second
/// order, and in forward mode against reverse mode; an operation that has no forward rule is left to reverse mode. The
/// function is also run twice, and must give the same values.
///
/// If a case fails, smaller ones that fail in the same way are looked for. The panic carries the report of the
/// smallest, its inputs, and a test to paste that keeps it.
///
/// ```
/// use wengert_autograd::check::{GradientOptions, assert_gradients, floats};
/// assert_gradients!(|x, w, b| (x.matmul(w) + b).sigmoid(), floats("B I, I H, H"));
/// // Not at the kink.
/// assert_gradients!(|x| x.relu(), floats("N").avoiding(0.0));
/// // Fewer cases, first order only.
/// let options = GradientOptions::default().cases(8).first_order();
/// assert_gradients!(|x| x.softmax(-1), floats("B N"), options: options);
/// ```
///
/// After `params:` stands something with parameters, such as a module. The function is checked by these as well,
/// at their present values, which must be `f64`:
///
/// ```
/// # use wengert_autograd::{Param, Tensor, check::{assert_gradients, floats}};
/// let w = Param::new(Tensor::from_slice(&[0.5f64, -1.0, 2.0], [3])?);
/// assert_gradients!(|x| (x * &w).tanh(), floats("B 3"), params: w);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
///
/// The cases are the same in every run. The environment variable `PROPTEST_RNG_SEED` (a number) gives others, and
/// `PROPTEST_CASES` another number of them.
///
/// # Panics
/// If a case fails.
///
/// [`Var`]: crate::Var
/// [`floats`]: crate::check::floats
/// [`Inputs`]: crate::check::Inputs
#[macro_export]
macro_rules! assert_gradients {
    (|$($input:ident),+ $(,)?| $body:expr, $strategy:expr
        $(, params: $params:expr)? $(, options: $options:expr)? $(,)?) => {
        $crate::check::run(
            &$crate::check::Site {
                inputs: &[$(stringify!($input)),+],
                body: stringify!($body),
                params: [$(stringify!($params))?].first().copied(),
                file: file!(),
                line: line!(),
            },
            |inputs| {
                let &[$($input),+] = inputs else { unreachable!("the number of inputs was compared with the closure's") };
                $body
            },
            $strategy,
            $crate::assert_gradients!(@params $($params)?),
            $crate::assert_gradients!(@options $($options)?),
        )
    };
    (@params) => { ::core::option::Option::None };
    (@params $params:expr) => { ::core::option::Option::Some(&$params as &dyn $crate::ParamTree) };
    (@options) => { $crate::check::GradientOptions::default() };
    (@options $options:expr) => { $options };
}

/// What [`assert_gradients!`](crate::assert_gradients) checks, and how often.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradientOptions {
    /// Step, tolerances and mode of each check.
    pub check: CheckOptions,
    /// The number of cases.
    pub cases: u32,
    /// Whether forward mode is compared with reverse mode.
    pub forward: bool,
    /// Whether the gradients' gradients are checked.
    pub second_order: bool,
}

impl Default for GradientOptions {
    /// 64 cases, PyTorch's tolerances, random directions; forward mode and second order as well.
    fn default() -> Self {
        let check = CheckOptions::default().fast();
        GradientOptions { check, cases: 64, forward: true, second_order: true }
    }
}

impl GradientOptions {
    /// Another number of cases.
    pub fn cases(self, cases: u32) -> Self {
        GradientOptions { cases, ..self }
    }

    /// Without second derivatives.
    pub fn first_order(self) -> Self {
        GradientOptions { second_order: false, ..self }
    }

    /// Without forward mode.
    pub fn reverse_only(self) -> Self {
        GradientOptions { forward: false, ..self }
    }

    /// Another step, other tolerances, every entry in place of random directions.
    pub fn check(self, check: CheckOptions) -> Self {
        GradientOptions { check, ..self }
    }
}

/// The text of a call of the macro, and where it stands.
#[doc(hidden)]
#[derive(Debug)]
pub struct Site {
    pub inputs: &'static [&'static str],
    pub body: &'static str,
    pub params: Option<&'static str>,
    pub file: &'static str,
    pub line: u32,
}

/// What the macro expands to.
#[doc(hidden)]
#[track_caller]
pub fn run<S>(
    site: &Site,
    f: impl for<'t> Fn(&[Var<'t>]) -> Var<'t>,
    strategy: S,
    params: Option<&dyn ParamTree>,
    options: GradientOptions,
) where
    S: Strategy,
    S::Value: Inputs,
{
    let check = |inputs: &[Tensor]| check(&|_, v| f(v), site, inputs, params, &options);
    if let Some(found) = search(&strategy, &options, &check) {
        panic!("{}", paste::report(site, &found));
    }
}

fn check(
    f: &Body<'_>,
    site: &Site,
    inputs: &[Tensor],
    params: Option<&dyn ParamTree>,
    options: &GradientOptions,
) -> Result<(), CheckFailure> {
    if inputs.len() != site.inputs.len() {
        let found = format!("the closure takes {} inputs, the strategy gives {}", site.inputs.len(), inputs.len());
        return Err(Error::new(ErrorKind::Value, "assert_gradients", found, "name one input for each tensor").into());
    }
    let call = Call::named(f, site.inputs.iter().map(|name| name.to_string()).collect());
    let call = match params {
        Some(params) => call.with_params(params),
        None => call,
    };
    let point = call.at(inputs, options.check)?;
    point.first()?;
    if options.forward {
        match point.forward() {
            // The value exists, so what is missing is a forward rule.
            Err(CheckFailure::Error(error)) if error.kind() == ErrorKind::Gradient => {}
            other => other?,
        }
    }
    if options.second_order {
        point.second()?;
    }
    Ok(())
}

/// The smallest case found that fails as the first one did.
fn search<S>(
    strategy: &S,
    options: &GradientOptions,
    check: &dyn Fn(&[Tensor]) -> Result<(), CheckFailure>,
) -> Option<Found>
where
    S: Strategy,
    S::Value: Inputs,
{
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = options.cases;
    }
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(0);
    }
    let cases = config.cases;
    let mut runner = TestRunner::new(config);
    let mut before: Option<Vec<Tensor>> = None;
    for case in 0..cases {
        let mut tree = match strategy.new_tree(&mut runner) {
            Ok(tree) => tree,
            Err(reason) => panic!("the strategy gives no case: {reason}"),
        };
        let inputs = tree.current().tensors();
        // Given tensors are one case.
        if before.as_ref().is_some_and(|before| same(before, &inputs)) {
            continue;
        }
        if let Err(failure) = check(&inputs) {
            let larger = failure.mismatch().and_then(|found| found.hint.clone());
            let mut found = Found { failure, inputs, case, cases, steps: 0 };
            shrink(&mut tree, &mut found, check);
            // A larger case has more entries to see a pattern in.
            if let (Some(larger), CheckFailure::Mismatch(mismatch)) = (larger, &mut found.failure)
                && mismatch.hint.as_ref() != Some(&larger)
            {
                mismatch.hint = Some(format!("in a larger case, {larger}"));
            }
            return Some(found);
        }
        before = Some(inputs);
    }
    None
}

/// Makes a failing case smaller, as long as it fails in the same way.
fn shrink<T>(tree: &mut T, found: &mut Found, check: &dyn Fn(&[Tensor]) -> Result<(), CheckFailure>)
where
    T: ValueTree,
    T::Value: Inputs,
{
    /// It ends by itself; this bounds it for slow functions.
    const STEPS: usize = 500;
    while found.steps < STEPS && tree.simplify() {
        loop {
            found.steps += 1;
            let inputs = tree.current().tensors();
            match check(&inputs) {
                Err(failure) if kind(&failure) == kind(&found.failure) => {
                    (found.failure, found.inputs) = (failure, inputs);
                    break;
                }
                // Passes, or fails in another way, which would be another bug.
                _ if found.steps < STEPS && tree.complicate() => {}
                _ => return,
            }
        }
    }
}

fn same(a: &[Tensor], b: &[Tensor]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.bit_eq(b) && a.strides() == b.strides())
}

/// What tells one way to fail from another.
fn kind(failure: &CheckFailure) -> (u8, usize, Option<Mode>, Option<ErrorKind>) {
    match failure {
        CheckFailure::Mismatch(found) => (0, found.order, Some(found.mode), None),
        CheckFailure::Nondeterministic { order, .. } => (1, *order, None, None),
        CheckFailure::Error(error) => (2, 0, None, Some(error.kind())),
    }
}
