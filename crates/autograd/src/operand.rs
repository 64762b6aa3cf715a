//! What can stand beside a [`Var`] in a formula, and the operators.

use crate::dtype::DType;
use crate::param::Param;
use crate::record::Fault;
use crate::tape::Tape;
use crate::tensor::Tensor;
use crate::var::Var;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A value an operation accepts: a [`Var`], a `&Param`, a `&Tensor` (a constant) or a Rust number,
/// which takes the other operand's element type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot stand beside a `Var` in a formula",
    label = "not an operand",
    note = "operands are `Var`, `&Param`, `&Tensor` and numbers (f64, f32, i32, i64, usize)",
    note = "take a parameter or a tensor by reference: `x * &w`"
)]
pub trait Operand<'t> {
    /// The operand as a value on `tape`; `like` is the element type a bare number takes.
    fn resolve(self, tape: &'t Tape, like: Option<DType>) -> Var<'t>;
}

impl<'t> Operand<'t> for Var<'t> {
    #[track_caller]
    fn resolve(self, tape: &'t Tape, _: Option<DType>) -> Var<'t> {
        if std::ptr::eq(self.tape, tape) {
            return self;
        }
        let found = "the operands are recorded on different tapes";
        tape.fail("operand", Fault::scope(found, "bring a value over with tape.constant(other.value()?)"))
    }
}

impl<'t> Operand<'t> for &Param {
    #[track_caller]
    fn resolve(self, tape: &'t Tape, _: Option<DType>) -> Var<'t> {
        tape.param(self)
    }
}

impl<'t> Operand<'t> for &Tensor {
    #[track_caller]
    fn resolve(self, tape: &'t Tape, _: Option<DType>) -> Var<'t> {
        tape.constant(self)
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident),*) => {$(
        impl<'t, R: Operand<'t>> $trait<R> for Var<'t> {
            type Output = Var<'t>;
            #[track_caller]
            fn $method(self, rhs: R) -> Var<'t> {
                Var::$method(self, rhs)
            }
        }
        impl<'t> $trait<Var<'t>> for &Param {
            type Output = Var<'t>;
            #[track_caller]
            fn $method(self, rhs: Var<'t>) -> Var<'t> {
                let _named = rhs.tape.composition(stringify!($method));
                Var::$method(rhs.tape.param(self), rhs)
            }
        }
        impl<'t> $trait<Var<'t>> for &Tensor {
            type Output = Var<'t>;
            #[track_caller]
            fn $method(self, rhs: Var<'t>) -> Var<'t> {
                let _named = rhs.tape.composition(stringify!($method));
                Var::$method(rhs.tape.constant(self), rhs)
            }
        }
    )*};
}
operators!(Add add, Sub sub, Mul mul, Div div);

macro_rules! numbers {
    ($($type:ty: $default:ident),*) => {$(
        impl<'t> Operand<'t> for $type {
            #[track_caller]
            fn resolve(self, tape: &'t Tape, like: Option<DType>) -> Var<'t> {
                tape.number(self as f64, like.unwrap_or(DType::$default))
            }
        }
    )*};
}
numbers!(f64: F32, f32: F32, i32: I64, i64: I64, usize: I64);

/// Numbers on the left of an operator: one float and one integer type, so that the type of a literal is known and
/// methods can follow, as in `(1.0 - x).tanh()`.
macro_rules! on_the_left {
    ($($type:ty),*) => {$(
        on_the_left!(@ $type: Add add, Sub sub, Mul mul, Div div);
    )*};
    (@ $type:ty: $($trait:ident $method:ident),*) => {$(
        impl<'t> $trait<Var<'t>> for $type {
            type Output = Var<'t>;
            #[track_caller]
            fn $method(self, rhs: Var<'t>) -> Var<'t> {
                let _named = rhs.tape.composition(stringify!($method));
                let like = rhs.node(|n| n.dtype);
                Var::$method(rhs.tape.number(self as f64, like), rhs)
            }
        }
    )*};
}
on_the_left!(f64, i64);

impl<'t> Neg for Var<'t> {
    type Output = Var<'t>;
    #[track_caller]
    fn neg(self) -> Var<'t> {
        Var::neg(self)
    }
}
