//! Compositions with a derivative of their own, and hooks on gradients.

use super::{Contribution, Rule};
use crate::error::ErrorKind;
use crate::grad::Local;
use crate::node::Op;
use crate::program::Lower;
use crate::record::{Fault, Recorded};
use crate::tape::Tape;
use crate::var::Var;
use std::rc::Rc;

/// A value whose derivative with respect to some inputs is given by the user: an alias of input 0; the others are the
/// inputs of the derivative rule, which is number `rule` on the tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Custom {
    pub rule: u32,
}

/// A user's derivative: inputs, output and its cotangent to the inputs' cotangents, in recorded operations.
pub(crate) type UserVjp = Rc<dyn for<'t> Fn(&[Var<'t>], Var<'t>, Var<'t>) -> Vec<Var<'t>>>;

impl Tape {
    /// `forward(inputs)` with a derivative of its own: `vjp(inputs, output, cotangent)` gives the cotangent of each input,
    /// in recorded operations, so higher derivatives follow from it. What `forward` does inside is not differentiated.
    ///
    /// ```
    /// use wengert_autograd::Tape;
    /// // The straight-through estimator: rounds forward, is the identity backward.
    /// let tape = Tape::new();
    /// let x = tape.var(1.4f64);
    /// let y = tape.custom_vjp([x], |[x]| x.round(), |_inputs, _output, ct| vec![ct]);
    /// let [g] = (y * y).grad([x]);
    /// assert_eq!((y.item()?, g.item()?), (1.0, 2.0));
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    #[track_caller]
    pub fn custom_vjp<'t, const N: usize>(
        &'t self,
        inputs: [Var<'t>; N],
        forward: impl FnOnce([Var<'t>; N]) -> Var<'t>,
        vjp: impl for<'v> Fn(&[Var<'v>], Var<'v>, Var<'v>) -> Vec<Var<'v>> + 'static,
    ) -> Var<'t> {
        let value = forward(inputs);
        let mut all = vec![value];
        all.extend(inputs);
        let rule = self.inner.borrow().rules.len() as u32;
        let result = self.op("custom_vjp", &all, |nodes| {
            let value = nodes[0];
            Ok(Some(Recorded { op: Op::Custom(Custom { rule }), shape: value.shape.clone(), dtype: value.dtype }))
        });
        self.inner.borrow_mut().rules.push(Rc::new(vjp));
        result
    }

    pub(crate) fn user_rule(&self, custom: Custom) -> UserVjp {
        self.inner.borrow().rules[custom.rule as usize].clone()
    }
}

impl<'t> Var<'t> {
    /// The same value, whose gradient passes through `hook` on its way back: clipping, scaling, reversal.
    ///
    /// ```
    /// use wengert_autograd::Tape;
    /// let tape = Tape::new();
    /// let x = tape.var(3.0f64);
    /// let [g] = x.on_grad(|g| g.minimum(1.0)).square().grad([x]);
    /// assert_eq!(g.item()?, 1.0);
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    #[track_caller]
    pub fn on_grad(self, hook: impl for<'v> Fn(Var<'v>) -> Var<'v> + 'static) -> Var<'t> {
        self.tape().custom_vjp([self], |[x]| x, move |_, _, ct| vec![hook(ct)])
    }
}

impl Rule for Custom {
    fn name(&self) -> &'static str {
        "custom_vjp"
    }

    fn vjp<'t>(&self, at: &Local<'_, 't>, ct: Var<'t>, give: &mut dyn FnMut(usize, Contribution<'t>)) {
        let tape = ct.tape();
        let inputs: Vec<Var<'t>> = (1..at.len()).map(|i| at.input(i)).collect();
        let mut given = tape.user_rule(*self)(&inputs, at.output(), ct);
        if given.len() != inputs.len() {
            let found = format!("the derivative gave {} cotangents for {} inputs", given.len(), inputs.len());
            let remedy = "return one cotangent for each input";
            let broken = tape.fail("custom_vjp", Fault { kind: ErrorKind::Gradient, found, remedy: remedy.into() });
            given = vec![broken; inputs.len()];
        }
        for (i, ct) in given.into_iter().enumerate() {
            if at.wants(i + 1) {
                give(i + 1, Contribution::Whole(checked(ct, at, i + 1)));
            }
        }
    }

    fn jvp<'t>(&self, at: &Local<'_, 't>, tangents: &[Option<Var<'t>>]) -> Option<Var<'t>> {
        tangents[1..].iter().flatten().next()?;
        let found = "the value has a backward derivative of its own, but no forward one";
        let remedy = "use grad or vjp".into();
        Some(at.output().tape().fail("jvp", Fault { kind: ErrorKind::Gradient, found: found.into(), remedy }))
    }

    fn lower(&self, lower: &mut Lower<'_>, node: usize) {
        let place = lower.place(lower.inputs(node)[0]);
        lower.alias(node, place);
    }
}

/// A user's cotangent, if it has the shape and element type of its input; an invalid value if not.
fn checked<'t>(ct: Var<'t>, at: &Local<'_, 't>, i: usize) -> Var<'t> {
    let (Ok(shape), Ok(dtype)) = (ct.shape(), ct.dtype()) else { return ct };
    let wanted = at.shape(i);
    if shape == wanted && dtype == at.dtype(i) {
        return ct;
    }
    let found = format!("the cotangent of input {} is {dtype} {shape}, expected {} {wanted}", i - 1, at.dtype(i));
    ct.invalid("custom_vjp", found, "return cotangents of the inputs' shapes and element types")
}
