//! Compositions with a derivative of their own, and hooks on gradients.

use super::{Contribution, Rule};
use crate::error::ErrorKind;
use crate::grad::{Local, transposed};
use crate::node::Op;
use crate::program::Lower;
use crate::record::{Fault, Recorded};
use crate::tape::Tape;
use crate::var::Var;
use std::rc::Rc;
use std::sync::Arc;

/// The value of input 0 with a derivative given by the user: through input 1 with `rule` absent, else by rule number `rule`
/// of the tape, whose inputs are the further ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Custom {
    pub rule: Option<u32>,
}

/// A user's derivative as a tape holds it: inputs, output, and cotangent or tangents.
pub(crate) struct UserRule {
    /// What errors call the operation.
    pub name: String,
    pub vjp: Option<Box<UserVjp>>,
    pub jvp: Option<Box<UserJvp>>,
}

type UserVjp = dyn for<'v> Fn(&[Var<'v>], Var<'v>, Var<'v>) -> Vec<Option<Var<'v>>>;
type UserJvp = dyn for<'v> Fn(&[Var<'v>], Var<'v>, &[Var<'v>]) -> Var<'v>;

type VjpOf<const N: usize> = dyn for<'v> Fn([Var<'v>; N], Var<'v>, Var<'v>) -> [Option<Var<'v>>; N] + Send + Sync;
type JvpOf<const N: usize> = dyn for<'v> Fn([Var<'v>; N], Var<'v>, [Var<'v>; N]) -> Var<'v> + Send + Sync;
type SameAs<const N: usize> = dyn for<'v> Fn([Var<'v>; N]) -> Var<'v> + Send + Sync;

/// A derivative of one's own, for a function of `N` values: recorded operations, so higher derivatives follow from it.
///
/// | made by | reverse mode (`grad`, `vjp`) | forward mode (`jvp`) |
/// |---|---|---|
/// | [`vjp`](Derivative::vjp) | the rule | an error |
/// | [`jvp`](Derivative::jvp) | the rule transposed | the rule |
/// | [`vjp`](Derivative::vjp), then [`and_jvp`](Derivative::and_jvp) | the first | the second |
/// | [`of`](Derivative::of) | that of the composition | that of the composition |
///
/// A reverse rule need not be linear (clipping), so no forward one is derived from it.
///
/// Used by [`Tape::custom_derivative`] and [`CustomOp`](crate::CustomOp).
#[derive(Clone)]
pub struct Derivative<const N: usize> {
    vjp: Option<Arc<VjpOf<N>>>,
    jvp: Option<Arc<JvpOf<N>>>,
    of: Option<Arc<SameAs<N>>>,
}

impl<const N: usize> Derivative<N> {
    /// No derivative: asking for one is an error.
    pub(crate) fn none() -> Self {
        Derivative { vjp: None, jvp: None, of: None }
    }

    /// By a vector-Jacobian product: `rule(inputs, output, cotangent)` gives the cotangent of each input, with the input's shape
    /// and element type, or `None` where nothing flows.
    pub fn vjp(
        rule: impl for<'v> Fn([Var<'v>; N], Var<'v>, Var<'v>) -> [Option<Var<'v>>; N] + Send + Sync + 'static,
    ) -> Self {
        Derivative { vjp: Some(Arc::new(rule)), ..Self::none() }
    }

    /// By a Jacobian-vector product: `rule(inputs, output, tangents)` gives the tangent of the output, with its shape and element
    /// type. An input that does not move has a tangent of zeros. Reverse mode transposes the rule, which must be linear in the
    /// tangents; one that is not is an error.
    pub fn jvp(rule: impl for<'v> Fn([Var<'v>; N], Var<'v>, [Var<'v>; N]) -> Var<'v> + Send + Sync + 'static) -> Self {
        Derivative { jvp: Some(Arc::new(rule)), ..Self::none() }
    }

    /// The derivative of another composition of the same inputs, with a result of the same shape and element type.
    pub fn of(composition: impl for<'v> Fn([Var<'v>; N]) -> Var<'v> + Send + Sync + 'static) -> Self {
        Derivative { of: Some(Arc::new(composition)), ..Self::none() }
    }

    /// The same derivative with a rule for forward mode, as in [`jvp`](Derivative::jvp).
    pub fn and_jvp(
        self,
        rule: impl for<'v> Fn([Var<'v>; N], Var<'v>, [Var<'v>; N]) -> Var<'v> + Send + Sync + 'static,
    ) -> Self {
        Derivative { jvp: Some(Arc::new(rule)), ..self }
    }

    /// Whether it is a derivative at all.
    pub(super) fn is_given(&self) -> bool {
        self.vjp.is_some() || self.jvp.is_some() || self.of.is_some()
    }

    /// `value` with this derivative with respect to `inputs`.
    #[track_caller]
    pub(crate) fn around<'t>(&self, name: &str, inputs: [Var<'t>; N], value: Var<'t>) -> Var<'t> {
        if let Some(composition) = &self.of {
            return value.with_derivative_as(name, composition(inputs));
        }
        let vjp = self.vjp.clone();
        let jvp = self.jvp.clone();
        let rule = UserRule {
            name: name.into(),
            vjp: vjp.map(|rule| -> Box<UserVjp> { Box::new(move |x, y, ct| rule(array(x), y, ct).into()) }),
            jvp: jvp.map(|rule| -> Box<UserJvp> { Box::new(move |x, y, t| rule(array(x), y, array(t))) }),
        };
        value.ruled(name, &inputs, rule)
    }
}

/// The inputs of a rule as the array that the user's closure takes.
fn array<'v, const N: usize>(values: &[Var<'v>]) -> [Var<'v>; N] {
    values.try_into().expect("a rule receives the inputs that it was recorded with")
}

impl Tape {
    /// `forward(inputs)` with a derivative of its own: `vjp(inputs, output, cotangent)` gives the cotangent of each input, with
    /// its shape and element type, or `None` where nothing flows. It consists of recorded operations, so higher derivatives follow
    /// from it. What `forward` does inside is not differentiated: what it captures is a constant.
    ///
    /// Forward mode through it is an error; [`custom_derivative`](Tape::custom_derivative) takes rules for both.
    ///
    /// ```
    /// use wengert_autograd::Tape;
    /// // Clipping in backward: the gradient that leaves the square is at most 1.
    /// let tape = Tape::new();
    /// let x = tape.var(3.0f64);
    /// let y = tape.custom_vjp([x], |[x]| x.square(), |[x], _y, ct| [Some((ct * 2.0 * x).minimum(1.0))]);
    /// let [g] = y.grad([x]);
    /// assert_eq!((y.item()?, g.item()?), (9.0, 1.0));
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    #[track_caller]
    pub fn custom_vjp<'t, const N: usize>(
        &'t self,
        inputs: [Var<'t>; N],
        forward: impl FnOnce([Var<'t>; N]) -> Var<'t>,
        vjp: impl for<'v> Fn([Var<'v>; N], Var<'v>, Var<'v>) -> [Option<Var<'v>>; N] + 'static,
    ) -> Var<'t> {
        let vjp: Box<UserVjp> = Box::new(move |x, y, ct| vjp(array(x), y, ct).into());
        forward(inputs).ruled("custom_vjp", &inputs, UserRule { name: "custom_vjp".into(), vjp: Some(vjp), jvp: None })
    }

    /// `forward(inputs)` with any [`Derivative`] of its own.
    ///
    /// ```
    /// use wengert_autograd::{Derivative, Tape};
    /// // log(1 + eˣ), whose own derivative would overflow to ∞/∞ for large x: one rule serves both modes.
    /// let tape = Tape::new();
    /// let x = tape.var(800.0f64);
    /// let stable = Derivative::jvp(|[x], _y, [t]| t * x.sigmoid());
    /// let y = tape.custom_derivative([x], |[x]| x.maximum(0.0) + (-x.abs()).exp().log1p(), stable);
    /// let [g] = y.grad([x]);
    /// assert_eq!((g.item()?, y.jvp([(x, tape.constant(2.0f64))]).item()?), (1.0, 2.0));
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    #[track_caller]
    pub fn custom_derivative<'t, const N: usize>(
        &'t self,
        inputs: [Var<'t>; N],
        forward: impl FnOnce([Var<'t>; N]) -> Var<'t>,
        derivative: Derivative<N>,
    ) -> Var<'t> {
        derivative.around("custom_derivative", inputs, forward(inputs))
    }

    fn user_rule(&self, number: u32) -> Rc<UserRule> {
        self.inner.borrow().rules[number as usize].clone()
    }
}

impl<'t> Var<'t> {
    /// This value with the derivative of `other`, which has the same shape and element type, in both modes and at any order. Where
    /// no derivative asks for it, `other` is not computed.
    ///
    /// ```
    /// use wengert_autograd::Tape;
    /// // The straight-through estimator: rounds forward, is the identity backward.
    /// let tape = Tape::new();
    /// let x = tape.var(1.4f64);
    /// let y = x.round().with_derivative_of(x);
    /// let [g] = y.square().grad([x]);
    /// assert_eq!((y.item()?, g.item()?), (1.0, 2.0));
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    #[track_caller]
    pub fn with_derivative_of(self, other: Var<'t>) -> Var<'t> {
        self.with_derivative_as("with_derivative_of", other)
    }

    #[track_caller]
    fn with_derivative_as(self, name: &str, other: Var<'t>) -> Var<'t> {
        self.tape().op(name, &[self, other], |nodes| {
            let (value, other) = (nodes[0], nodes[1]);
            if (value.dtype, &value.shape) != (other.dtype, &other.shape) {
                let kinds = (value.dtype, &value.shape, other.dtype, &other.shape);
                let found =
                    format!("the value is {} {}, what gives its derivative {} {}", kinds.0, kinds.1, kinds.2, kinds.3);
                return Err(Fault::shape(found, "give both one shape and element type"));
            }
            let op = Op::Custom(Custom { rule: None });
            Ok(Some(Recorded { op, shape: value.shape.clone(), dtype: value.dtype }))
        })
    }

    /// This value with a rule for its derivative with respect to `inputs`.
    #[track_caller]
    fn ruled(self, name: &str, inputs: &[Var<'t>], rule: UserRule) -> Var<'t> {
        let tape = self.tape();
        let number = {
            let rules = &mut tape.inner.borrow_mut().rules;
            rules.push(Rc::new(rule));
            rules.len() as u32 - 1
        };
        let all: Vec<Var<'t>> = std::iter::once(self).chain(inputs.iter().copied()).collect();
        tape.op(name, &all, |nodes| {
            let op = Op::Custom(Custom { rule: Some(number) });
            Ok(Some(Recorded { op, shape: nodes[0].shape.clone(), dtype: nodes[0].dtype }))
        })
    }

    /// The same value, whose gradient passes through `hook` on its way back: clipping, scaling, reversal.
    ///
    /// ```
    /// use wengert_autograd::Tape;
    /// let tape = Tape::new();
    /// let x = tape.var(3.0f64);
    /// // Clipping in backward.
    /// let [g] = x.on_grad(|g| g.minimum(1.0)).square().grad([x]);
    /// assert_eq!(g.item()?, 1.0);
    /// // Gradient reversal: what is trained on top descends, what lies below ascends.
    /// let [g] = x.on_grad(|g| -g).square().grad([x]);
    /// assert_eq!(g.item()?, -6.0);
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    #[track_caller]
    pub fn on_grad(self, hook: impl for<'v> Fn(Var<'v>) -> Var<'v> + 'static) -> Var<'t> {
        let vjp: Box<UserVjp> = Box::new(move |_, _, ct| vec![Some(hook(ct))]);
        self.ruled("on_grad", &[self], UserRule { name: "on_grad".into(), vjp: Some(vjp), jvp: None })
    }
}

impl Rule for Custom {
    fn name(&self) -> &'static str {
        "custom_vjp"
    }

    fn vjp<'t>(&self, at: &Local<'_, 't>, ct: Var<'t>, give: &mut dyn FnMut(usize, Contribution<'t>)) {
        let Some(number) = self.rule else { return give(1, Contribution::Whole(ct)) };
        let rule = ct.tape().user_rule(number);
        let inputs: Vec<Var<'t>> = (1..at.len()).map(|i| at.input(i)).collect();
        let given = match (&rule.vjp, &rule.jvp) {
            (Some(vjp), _) => vjp(&inputs, at.output(), ct),
            (None, Some(jvp)) => {
                let wants: Vec<bool> = (1..at.len()).map(|i| at.wants(i)).collect();
                transposed(&inputs, &wants, ct, |tangents| {
                    let tangent = jvp(&inputs, at.output(), tangents);
                    checked(tangent, &rule.name, "the tangent", at.own_shape(), at.own_dtype())
                })
                .unwrap_or_else(|| {
                    let found = "the forward rule is not linear in the tangents, so no reverse one follows from it";
                    let remedy = "multiply tangents by values only, or give a reverse rule: Derivative::vjp";
                    vec![Some(fail(ct.tape(), &rule.name, found, remedy)); inputs.len()]
                })
            }
            (None, None) => vec![Some(fail(ct.tape(), &rule.name, NONE, REMEDY)); inputs.len()],
        };
        for (i, ct) in given.into_iter().enumerate() {
            if let Some(ct) = ct.filter(|_| at.wants(i + 1)) {
                let what = format!("the cotangent of input {i}");
                let ct = checked(ct, &rule.name, &what, at.shape(i + 1), at.dtype(i + 1));
                give(i + 1, Contribution::Whole(ct));
            }
        }
    }

    fn jvp<'t>(&self, at: &Local<'_, 't>, tangents: &[Option<Var<'t>>]) -> Option<Var<'t>> {
        let Some(number) = self.rule else { return tangents[1] };
        tangents[1..].iter().flatten().next()?;
        let tape = at.tape();
        let rule = tape.user_rule(number);
        let Some(jvp) = &rule.jvp else {
            let found = if rule.vjp.is_some() {
                "its derivative is given for reverse mode, not for forward mode"
            } else {
                NONE
            };
            let remedy = "give a forward rule: Derivative::jvp, or Derivative::vjp(..).and_jvp(..)";
            return Some(fail(tape, &rule.name, found, remedy));
        };
        let inputs: Vec<Var<'t>> = (1..at.len()).map(|i| at.input(i)).collect();
        let zeros = |i: usize| tape.literal(0.0, at.dtype(i)).expand(at.shape(i));
        let tangents: Vec<Var<'t>> = (1..at.len()).map(|i| tangents[i].unwrap_or_else(|| zeros(i))).collect();
        let tangent = jvp(&inputs, at.output(), &tangents);
        Some(checked(tangent, &rule.name, "the tangent", at.own_shape(), at.own_dtype()))
    }

    fn lower(&self, _: &mut Lower<'_>, _: usize) {
        unreachable!("a value with a derivative of its own is that value in a graph");
    }
}

/// What an operation without derivative says, and what helps.
pub(super) const NONE: &str = "the operation was given no derivative";
pub(super) const REMEDY: &str = "give it one (Derivative), or detach its result";

/// An invalid value: a derivative that cannot be given.
#[track_caller]
pub(super) fn fail<'t>(tape: &'t Tape, name: &str, found: &str, remedy: &str) -> Var<'t> {
    tape.fail(name, Fault { kind: ErrorKind::Gradient, found: found.into(), remedy: remedy.into() })
}

/// A user's cotangent or tangent, if it is what it should be; an invalid value if not.
fn checked<'t>(given: Var<'t>, name: &str, what: &str, shape: crate::Shape, dtype: crate::DType) -> Var<'t> {
    match (given.shape(), given.dtype()) {
        (Ok(found), Ok(kind)) if found != shape || kind != dtype => {
            let found = format!("{what} is {kind} {found}, expected {dtype} {shape}");
            given.invalid(name, found, "give derivatives the shapes and element types of their values")
        }
        _ => given,
    }
}
