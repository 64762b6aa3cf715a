//! The handle of a recorded value.

use crate::dtype::DType;
use crate::error::{Error, ErrorKind, Result};
use crate::node::{Node, NodeId, Op};
use crate::record::{Fault, Recorded};
use crate::shape::Shape;
use crate::tape::Tape;
use crate::tensor::Tensor;
use std::fmt;
use std::panic::Location;

/// A recorded value: a copyable handle into its [`Tape`].
///
/// Operations never fail on the spot. A mistake (shapes that do not fit, mixed element types)
/// makes the result invalid; the error, with the address of the offending line, is handed to
/// whoever asks for a value, a shape or a gradient.
#[derive(Clone, Copy)]
pub struct Var<'t> {
    pub(crate) tape: &'t Tape,
    pub(crate) id: NodeId,
}

impl<'t> Var<'t> {
    /// The tape it is recorded on.
    pub fn tape(self) -> &'t Tape {
        self.tape
    }

    /// The shape.
    ///
    /// # Errors
    /// The error this value carries.
    pub fn shape(self) -> Result<Shape> {
        self.tape.owned(self)?;
        Ok(self.node(|n| n.shape.clone()))
    }

    /// Whether this and another value have one shape and one element type. An invalid value is like any: it has its own error
    /// to tell.
    ///
    /// ```
    /// use wengert_autograd::{DType, Tape};
    /// let tape = Tape::new();
    /// let (a, b) = (tape.zeros([2, 3], DType::F32), tape.ones([2, 3], DType::F32));
    /// assert!(a.is_like(b) && !a.is_like(b.t()) && !a.is_like(b.cast(DType::F64)) && a.is_like(b.reshape([7])));
    /// ```
    pub fn is_like(self, other: Var<'_>) -> bool {
        self.node(|a| other.node(|b| (a.dtype == b.dtype && a.shape == b.shape) || a.is_invalid() || b.is_invalid()))
    }

    /// The extents as an array, for destructuring: `let [t, b, h] = x.dims()?;`.
    ///
    /// # Errors
    /// The error this value carries, or that it does not have `N` axes.
    #[track_caller]
    pub fn dims<const N: usize>(self) -> Result<[usize; N]> {
        let shape = self.shape()?;
        match <[usize; N]>::try_from(&shape[..]) {
            Ok(dims) => Ok(dims),
            // Not in a closure, which would not pass the caller's address on.
            Err(_) => {
                let remedy = "name as many extents as there are axes";
                Err(Error::new(ErrorKind::Shape, "dims", format!("expected {N} axes, found the shape {shape}"), remedy))
            }
        }
    }

    /// The element type.
    ///
    /// # Errors
    /// The error this value carries.
    pub fn dtype(self) -> Result<DType> {
        self.tape.owned(self)?;
        Ok(self.node(|n| n.dtype))
    }

    /// Computes the value. What was asked is held: operations recorded later read it, and asking again costs nothing.
    ///
    /// # Errors
    /// The error this value carries, or one found while running (an index out of range).
    #[track_caller]
    pub fn value(self) -> Result<Tensor> {
        let _named = self.tape.composition("value");
        let [value] = self.tape.eval([self])?;
        Ok(value)
    }

    /// Computes the value of a one-element tensor.
    ///
    /// # Errors
    /// As [`value`](Var::value), or if there is not exactly one element.
    #[track_caller]
    pub fn item(self) -> Result<f64> {
        let _named = self.tape.composition("item");
        let shape = self.shape()?;
        if shape.numel() != 1 {
            return Err(Error::new(
                ErrorKind::Shape,
                "item",
                format!("the value {shape} has {} elements, expected one", shape.numel()),
                "reduce it first (sum, mean), or use value()",
            ));
        }
        self.value()?.item()
    }

    /// Marks the value: the next program that runs on this tape computes and holds it along the way, so that
    /// asking for it later costs nothing.
    #[track_caller]
    pub fn keep(self) -> Var<'t> {
        if self.tape.owned(self).is_ok() && self.node(|n| n.body) != 0 {
            let found = "the value belongs to a scan body: it has one value for each step";
            let remedy = "return it from the body's closure as an output, and keep that";
            return self.tape.fail("keep", Fault::scope(found, remedy));
        }
        self.tape.inner.borrow_mut().marked.push(self.id);
        self
    }

    /// An invalid value in place of this one, for checks of one's own: whoever asks for it receives an error
    /// of `op` that says what was `found` and gives a `remedy` (may be empty), with the caller's address.
    #[track_caller]
    pub fn invalid(self, op: &str, found: impl Into<String>, remedy: &str) -> Var<'t> {
        if self.tape.owned(self).is_err() {
            return self;
        }
        let at = self.tape.recorder.get().at(Location::caller());
        let error = Error::at(ErrorKind::Shape, op, found, remedy, Some(at));
        Var { tape: self.tape, id: self.tape.inner.borrow_mut().push_error(error) }
    }

    /// Whether both are the same recorded value: not equal numbers, but one node of one tape.
    pub fn is(self, other: Var<'_>) -> bool {
        std::ptr::eq(self.tape, other.tape) && self.id == other.id
    }

    /// Labels the value for errors and listings.
    pub fn named(self, name: &str) -> Var<'t> {
        self.tape.name(self.id, name);
        self
    }

    /// The same value, through which no derivative flows.
    #[track_caller]
    pub fn detach(self) -> Var<'t> {
        self.tape.op("detach", &[self], |inputs| {
            let [x] = inputs else { unreachable!("one input was given") };
            Ok(Some(Recorded { op: Op::StopGradient, shape: x.shape.clone(), dtype: x.dtype }))
        })
    }

    /// If this value is invalid, an invalid value whose error says in addition what it was part of, with the caller's
    /// address: `y.within("layer 2")`. A valid value as it is.
    #[track_caller]
    pub fn within(self, note: impl fmt::Display) -> Var<'t> {
        match self.tape.owned(self) {
            Ok(()) => self,
            Err(error) => {
                let error = error.within(note);
                Var { tape: self.tape, id: self.tape.inner.borrow_mut().push_error(error) }
            }
        }
    }

    /// Reads the node.
    #[inline]
    pub(crate) fn node<R>(self, read: impl FnOnce(&Node) -> R) -> R {
        read(&self.tape.inner.borrow().nodes[self.id as usize])
    }
}

impl fmt::Debug for Var<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.id)?;
        if let Some(name) = self.tape.name_of(self.id) {
            write!(f, " {name}")?;
        }
        match self.shape() {
            Ok(shape) => write!(f, ": {}{}", self.node(|n| n.dtype), shape),
            Err(error) => write!(f, ": {error}"),
        }
    }
}
