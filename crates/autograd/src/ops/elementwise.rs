//! What every row of the elementwise table has in common: recording, derivative, execution.

use super::{Contribution, Rule};
use crate::dtype::DType;
use crate::grad::Local;
use crate::node::Op;
use crate::operand::Operand;
use crate::program::Lower;
use crate::record::{Fault, Recorded};
use crate::shape::Shape;
use crate::var::Var;
use std::hash::{Hash, Hasher};
use wengert_kernels::{Arith, Kernel};

/// One elementwise operation: everything the framework knows of it.
pub(crate) struct Row {
    pub name: &'static str,
    /// The kernels, by element type.
    pub kernels: Kernels,
    /// What the operation is to a pair of them.
    pub arith: Option<Arith>,
    /// What the result is made of.
    pub result: Type,
    /// The partial derivative with respect to each input; empty if no derivative flows: truth values, steps.
    pub partials: &'static [Partial],
    /// Where each input is sampled by the property tests; one an input.
    #[cfg_attr(not(test), allow(dead_code))]
    pub samples: &'static [Sample],
}

/// Records the partial derivative at a node.
pub(crate) type Partial = for<'a, 't> fn(&Local<'a, 't>) -> Slope<'t>;

/// A partial derivative, in the form in which it multiplies a cotangent or tangent.
pub(crate) enum Slope<'t> {
    /// Zero: the input receives nothing.
    Zero,
    /// One.
    One,
    /// Minus one.
    MinusOne,
    /// `1 / value`.
    Over(Var<'t>),
    /// A recorded value.
    Times(Var<'t>),
    /// One where the condition holds, zero elsewhere; never multiplies, so that an infinite
    /// cotangent of the branch not taken does not become NaN.
    Where(Var<'t>),
    /// One where the condition does not hold.
    Unless(Var<'t>),
}

impl<'t> Slope<'t> {
    /// The slope times `ct`.
    pub(crate) fn apply(self, ct: Var<'t>) -> Option<Var<'t>> {
        Some(match self {
            Slope::Zero => return None,
            Slope::One => ct,
            Slope::MinusOne => -ct,
            Slope::Over(value) => ct / value,
            Slope::Times(value) => ct * value,
            Slope::Where(condition) => condition.select(ct, 0.0),
            Slope::Unless(condition) => condition.select(0.0, ct),
        })
    }
}

/// The compiled forms of a row.
pub(crate) struct Kernels {
    pub f32: fn() -> Kernel<f32>,
    pub f64: fn() -> Kernel<f64>,
    /// Absent for operations on floats only.
    pub i64: Option<fn() -> Kernel<i64>>,
}

/// Element types of a row's operands and result.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    /// All operands and the result have one type.
    Same,
    /// Operands of one type, the result is Bool.
    Truth,
    /// The first operand is Bool, the others and the result have one type.
    Select,
    /// Bool operands, Bool result.
    Logic,
}

/// Where an operand is sampled: uniformly in a range, away from points where the derivative jumps.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) struct Sample {
    pub low: f64,
    pub high: f64,
    pub avoid: &'static [f64],
}

/// A row of the table as an operation.
#[derive(Clone, Copy)]
pub(crate) struct MapOp(pub &'static Row);

impl PartialEq for MapOp {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}
impl Eq for MapOp {}
impl Hash for MapOp {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.address().hash(state);
    }
}
impl std::fmt::Debug for MapOp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name)
    }
}

impl MapOp {
    /// Rows are statics: their addresses tell them apart for as long as the process lives.
    #[inline]
    pub(crate) fn address(self) -> u64 {
        std::ptr::from_ref(self.0).addr() as u64
    }

    /// The element type in which the kernel computes: that of the operands that are not Bool.
    pub(crate) fn lane(operands: impl Iterator<Item = DType>) -> DType {
        operands.max().filter(|d| *d != DType::Bool).unwrap_or(DType::F32)
    }
}

impl<'t> Var<'t> {
    #[track_caller]
    pub(crate) fn map1(self, row: &'static Row) -> Var<'t> {
        record(self.tape(), row, &[self])
    }

    /// Both operands; a bare number takes this value's type.
    #[track_caller]
    pub(crate) fn map2(self, row: &'static Row, rhs: impl Operand<'t>) -> Var<'t> {
        let _named = self.tape().composition(row.name);
        let rhs = rhs.resolve(self.tape(), Some(self.node(|n| n.dtype)));
        if let Some(folded) = fold(row, self, rhs) {
            return folded;
        }
        record(self.tape(), row, &[self, rhs])
    }

    #[doc(alias = "where")]
    /// `condition.select(a, b)`: elements of `a` where the condition (Bool) holds, of `b` elsewhere.
    ///
    /// Numbers take the other operand's element type. Shapes broadcast. The derivative flows to the branch taken
    /// only; the other receives zero. As in PyTorch, an operation in the other branch whose own slope is infinite turns that
    /// zero into NaN: give it a harmless argument there, `let s = x.gt(0.0); s.select(s.select(x, 1.0).log(), 0.0)`.
    #[track_caller]
    pub fn select(self, a: impl Operand<'t>, b: impl Operand<'t>) -> Var<'t> {
        let _named = self.tape().composition("select");
        let tape = self.tape();
        // A number on one side takes the type of the other, so the sides are resolved twice at most.
        let mark = tape.len();
        let a = a.resolve(tape, None);
        let bare_a = tape.len() > mark && a.node(|n| matches!(n.op, Op::Scalar(_) | Op::Literal(_)));
        let b = b.resolve(tape, Some(a.node(|n| n.dtype)));
        let a = if bare_a { a.retyped(b.node(|n| n.dtype)) } else { a };
        record(tape, &super::table::SELECT, &[self, a, b])
    }

    /// A bare number under another element type.
    #[track_caller]
    fn retyped(self, dtype: DType) -> Var<'t> {
        let value = self.tape().inner.borrow().number_of(self.id);
        match value {
            Some(value) => self.tape().number(value, dtype),
            None => self,
        }
    }
}

/// Simplifications that hold to the bit: `1·x`, `x·1`, `x/1`, `x - 0`, `-1·x`.
#[track_caller]
fn fold<'t>(row: &Row, a: Var<'t>, b: Var<'t>) -> Option<Var<'t>> {
    let (number, right) = {
        let inner = a.tape().inner.borrow();
        let (a, b) = (&inner.nodes[a.id as usize], &inner.nodes[b.id as usize]);
        let (x, number, right) = match (&a.op, &b.op) {
            (Op::Literal(_), Op::Literal(_)) => return None,
            (_, Op::Literal(number)) if b.shape.rank() == 0 => (a, *number, true),
            (Op::Literal(number), _) if a.shape.rank() == 0 => (b, *number, false),
            _ => return None,
        };
        // What the operation does not take stays an error.
        let taken = x.dtype.is_float() || (x.dtype == DType::I64 && row.kernels.i64.is_some());
        if matches!(x.op, Op::Error(_)) || a.dtype != b.dtype || !taken {
            return None;
        }
        (f64::from_bits(number), right)
    };
    let x = if right { a } else { b };
    match (row.name, right) {
        ("mul", _) if number == 1.0 => Some(x),
        ("mul", _) if number == -1.0 => Some(-x),
        ("div", true) if number == 1.0 => Some(x),
        ("div", true) if number == -1.0 => Some(-x),
        ("sub", true) if number == 0.0 && number.is_sign_positive() => Some(x),
        _ => None,
    }
}

#[track_caller]
pub(crate) fn record<'t>(tape: &'t crate::tape::Tape, row: &'static Row, inputs: &[Var<'t>]) -> Var<'t> {
    tape.op(row.name, inputs, |nodes| {
        let typed = match row.result {
            Type::Same | Type::Truth => nodes,
            Type::Select => {
                if nodes[0].dtype != DType::Bool {
                    return Err(Fault::dtype(
                        format!("the condition is {}, expected bool", nodes[0].dtype),
                        "compare it with something: x.gt(0.0)",
                    ));
                }
                &nodes[1..]
            }
            Type::Logic => {
                if let Some(other) = nodes.iter().find(|n| n.dtype != DType::Bool) {
                    return Err(Fault::dtype(
                        format!("an operand is {}, expected bool", other.dtype),
                        "compare it with something: x.gt(0.0)",
                    ));
                }
                nodes
            }
        };
        let dtype = typed[0].dtype;
        if let Some(other) = typed.iter().find(|n| n.dtype != dtype) {
            return Err(Fault::dtype(
                format!("element types {dtype} and {} are mixed", other.dtype),
                format!("convert one side: .cast(DType::{:?})", dtype.max(other.dtype)),
            ));
        }
        let lane = MapOp::lane(nodes.iter().map(|n| n.dtype));
        let fits = match row.result {
            Type::Same => dtype.is_float() || (dtype == DType::I64 && row.kernels.i64.is_some()),
            _ => lane != DType::I64 || row.kernels.i64.is_some(),
        };
        if !fits {
            let wanted = if row.kernels.i64.is_some() { "a number" } else { "f32 or f64" };
            return Err(Fault::dtype(
                format!("the operand is {dtype}, expected {wanted}"),
                "convert it: .cast(DType::F32)",
            ));
        }
        let mut shape: Shape = nodes[0].shape.clone();
        for node in nodes[1..].iter().filter(|node| node.shape != nodes[0].shape) {
            shape = shape.broadcast(&node.shape).ok_or_else(|| broadcast_fault(&shape, &node.shape))?;
        }
        let dtype = match row.result {
            Type::Same | Type::Select => dtype,
            Type::Truth | Type::Logic => DType::Bool,
        };
        Ok(Some(Recorded { op: Op::Map(MapOp(row)), shape, dtype }))
    })
}

#[cold]
fn broadcast_fault(a: &Shape, b: &Shape) -> Fault {
    let rank = a.rank().max(b.rank());
    let extent = |s: &Shape, back: usize| if back <= s.rank() { s[s.rank() - back] } else { 1 };
    let back = (1..=rank).find(|back| {
        let (x, y) = (extent(a, *back), extent(b, *back));
        x != y && x != 1 && y != 1
    });
    let back = back.unwrap_or(1);
    Fault::shape(
        format!(
            "shapes {a} and {b} do not broadcast: axis -{back} is {} on the left and {} on the right",
            extent(a, back),
            extent(b, back)
        ),
        "make the extents equal or 1 (unsqueeze, reshape, expand)",
    )
}

impl Rule for MapOp {
    fn name(&self) -> &'static str {
        self.0.name
    }

    fn vjp<'t>(&self, at: &Local<'_, 't>, ct: Var<'t>, give: &mut dyn FnMut(usize, Contribution<'t>)) {
        for (i, partial) in self.0.partials.iter().enumerate() {
            if at.wants(i)
                && let Some(value) = partial(at).apply(ct)
            {
                give(i, Contribution::Whole(value));
            }
        }
    }

    fn jvp<'t>(&self, at: &Local<'_, 't>, tangents: &[Option<Var<'t>>]) -> Option<Var<'t>> {
        let terms = self.0.partials.iter().zip(tangents).filter_map(|(partial, tangent)| {
            let tangent = (*tangent)?;
            partial(at).apply(tangent)
        });
        terms.reduce(|sum, term| sum + term)
    }

    fn lower(&self, lower: &mut Lower<'_>, node: usize) {
        lower.fused(node);
    }
}
