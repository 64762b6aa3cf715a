//! Operations whose forward pass is the user's own code on tensors.

use super::custom::{Derivative, NONE, REMEDY, fail};
use super::{Contribution, Rule};
use crate::dtype::DType;
use crate::grad::Local;
use crate::node::Op;
use crate::program::{Instr, Lower, OpaqueInstr};
use crate::record::{Fault, Recorded};
use crate::shape::Shape;
use crate::tape::{LeafValue, Tape};
use crate::tensor::Tensor;
use crate::var::Var;
use std::fmt;
use std::sync::Arc;

/// Why a user's function failed: any error, or a text.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A call of the user's function that is leaf `function` of the tape: like data, it is bound when the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Opaque {
    pub function: u32,
}

/// A user's function, as programs call it.
pub(crate) struct Function {
    pub name: String,
    pub forward: Box<Forward>,
}

type Forward = dyn Fn(&[&Tensor]) -> Result<Tensor, BoxError> + Send + Sync;
type Infer<const N: usize> = dyn Fn([(&Shape, DType); N]) -> Result<(Shape, DType), BoxError> + Send + Sync;

/// An operation of `N` inputs whose forward pass is one's own function on tensors: a kernel written elsewhere, a solver, a
/// table. Applied by [`Tape::custom_op`], any number of times, on any tape and inside of loops.
///
/// The function is a function of its inputs alone: it may be called again where its value is recomputed, and once for
/// equal calls of one line. It receives contiguous tensors. Without [`output`](CustomOp::output), the result has the shape and
/// element type of the first input. Without a [`derivative`](CustomOp::derivative), asking for one is an error.
///
/// ```
/// use wengert_autograd::{CustomOp, Derivative, Tape, Tensor};
/// // Sorting, whose derivative puts the cotangents back to where the values came from.
/// let sort = CustomOp::new("sort", |[x]| {
///     let mut values = x.to_vec::<f64>()?;
///     values.sort_by(f64::total_cmp);
///     Ok(Tensor::from_vec(values, x.shape().clone())?)
/// })
/// .derivative(Derivative::vjp(|[x], y, ct| {
///     let from = x.unsqueeze(1).eq(y.unsqueeze(0)); // [from, to], for distinct values
///     [Some(from.select(ct.unsqueeze(0), 0.0).sum_axes(1))]
/// }));
///
/// let tape = Tape::new();
/// let x = tape.var(Tensor::from_slice(&[3.0f64, 1.0, 2.0], [3])?);
/// let y = tape.custom_op(&sort, [x]);
/// let [g] = (y * y * y).sum().grad([x]);
/// assert_eq!(y.value()?.to_vec::<f64>()?, [1.0, 2.0, 3.0]);
/// assert_eq!(g.value()?.to_vec::<f64>()?, [27.0, 3.0, 12.0]);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[derive(Clone)]
pub struct CustomOp<const N: usize> {
    function: Arc<Function>,
    infer: Arc<Infer<N>>,
    derivative: Derivative<N>,
}

impl<const N: usize> CustomOp<N> {
    /// An operation called `name` in errors and listings, computed by `forward`.
    ///
    /// What `forward` returns with `Err`, and a result of another shape or element type than [declared](CustomOp::output), is an
    /// error of the program with the address of the call.
    pub fn new(
        name: impl Into<String>,
        forward: impl Fn([&Tensor; N]) -> Result<Tensor, BoxError> + Send + Sync + 'static,
    ) -> Self {
        const { assert!(N > 0, "a custom operation has at least one input") };
        let forward: Box<Forward> =
            Box::new(move |x| forward(x.try_into().expect("a call has the inputs that were recorded")));
        let first = |inputs: [(&Shape, DType); N]| Ok((inputs[0].0.clone(), inputs[0].1));
        let function = Arc::new(Function { name: name.into(), forward });
        CustomOp { function, infer: Arc::new(first), derivative: Derivative::none() }
    }

    /// The same operation with a rule for the shape and element type of its result, from those of the inputs. An `Err` is an
    /// error of the recorded call.
    pub fn output(
        self,
        infer: impl Fn([(&Shape, DType); N]) -> Result<(Shape, DType), BoxError> + Send + Sync + 'static,
    ) -> Self {
        CustomOp { infer: Arc::new(infer), ..self }
    }

    /// The same operation with a derivative.
    pub fn derivative(self, derivative: Derivative<N>) -> Self {
        CustomOp { derivative, ..self }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.function.name
    }
}

impl<const N: usize> fmt::Debug for CustomOp<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomOp({}, {N} inputs)", self.name())
    }
}

impl Tape {
    /// Applies an operation of one's own.
    #[track_caller]
    pub fn custom_op<'t, const N: usize>(&'t self, op: &CustomOp<N>, inputs: [Var<'t>; N]) -> Var<'t> {
        let known = self.function(&op.function);
        let value = self.op(op.name(), &inputs, |nodes| {
            let kinds = std::array::from_fn(|i| (&nodes[i].shape, nodes[i].dtype));
            let (shape, dtype) = (op.infer)(kinds).map_err(|e| Fault::shape(e.to_string(), ""))?;
            Ok(Some(Recorded { op: Op::Opaque(Opaque { function: known }), shape, dtype }))
        });
        let float = value.dtype().is_ok_and(DType::is_float);
        if float && op.derivative.is_given() { op.derivative.around(op.name(), inputs, value) } else { value }
    }

    /// The number of the leaf that holds a function.
    fn function(&self, function: &Arc<Function>) -> u32 {
        let inner = &mut *self.inner.borrow_mut();
        // The tape owns what it has seen, so addresses tell functions apart.
        *inner.functions.entry(Arc::as_ptr(function)).or_insert_with(|| {
            inner.leaves.push(LeafValue::Function(function.clone()));
            inner.leaves.len() as u32 - 1
        })
    }
}

impl Opaque {
    /// What stands for the derivative of a function that was given none.
    fn refuse<'t>(&self, at: &Local<'_, 't>) -> Var<'t> {
        let name = at.tape().inner.borrow().label(&Op::Opaque(*self)).to_string();
        fail(at.tape(), &name, NONE, REMEDY)
    }
}

impl Rule for Opaque {
    fn name(&self) -> &'static str {
        "custom_op"
    }

    fn vjp<'t>(&self, at: &Local<'_, 't>, _: Var<'t>, give: &mut dyn FnMut(usize, Contribution<'t>)) {
        let broken = self.refuse(at);
        (0..at.len()).filter(|i| at.wants(*i)).for_each(|i| give(i, Contribution::Whole(broken)));
    }

    fn jvp<'t>(&self, at: &Local<'_, 't>, _: &[Option<Var<'t>>]) -> Option<Var<'t>> {
        Some(self.refuse(at))
    }

    fn lower(&self, lower: &mut Lower<'_>, node: usize) {
        let operand = |lower: &mut Lower<'_>, input: usize| {
            let place = lower.contiguous(input);
            (lower.dtype(input), lower.shape(input), place.buf, place.offset)
        };
        let inputs = lower.inputs(node).iter().map(|input| operand(lower, *input)).collect();
        let place = lower.alloc(node);
        let out = (lower.dtype(node), lower.shape(node), place.buf, place.offset);
        lower.emit(Instr::Opaque(OpaqueInstr { function: self.function, inputs, out, at: lower.location(node) }));
    }
}
