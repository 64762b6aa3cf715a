//! Random numbers: pure functions of a key.

use super::{Contribution, Rule};
use crate::dtype::DType;
use crate::error::ErrorKind;
use crate::grad::Local;
use crate::node::Op;
use crate::operand::Operand;
use crate::program::{Instr, Lower};
use crate::record::{Fault, Recorded};
use crate::shape::Shape;
use crate::tape::Tape;
use crate::var::Var;

/// A draw, or the derivation of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Random {
    /// Uniform in [0, 1) from a key.
    Uniform,
    /// A key from a key and a number.
    FoldIn,
}

impl Tape {
    /// Random numbers uniform in `[0, 1)`: element `i` is a pure function of the key and `i`.
    ///
    /// `key` is an integer (I64, no axes). The same key draws the same numbers: derive keys with
    /// [`fold_in`](Var::fold_in), one for each use. A key captured by a scan's closure draws the same numbers at every step; fold
    /// the step's number into it for fresh ones.
    ///
    /// ```
    /// use wengert_autograd::{DType, Tape};
    /// let tape = Tape::new();
    /// let key = tape.constant(42i64);
    /// let mask = tape.uniform(key, [2, 3], DType::F32).lt(0.9);
    /// let other = tape.uniform(key.fold_in(1), [2, 3], DType::F32);
    /// assert!(!mask.value()?.bit_eq(&other.value()?));
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    #[track_caller]
    pub fn uniform<'t>(&'t self, key: impl Operand<'t>, shape: impl Into<Shape>, dtype: DType) -> Var<'t> {
        let _named = self.composition("uniform");
        let key = key.resolve(self, Some(DType::I64));
        let shape = shape.into();
        self.op("uniform", &[key], |nodes| {
            check_key(nodes[0])?;
            if !dtype.is_float() {
                let found = format!("draws are asked as {dtype}, expected f32 or f64");
                return Err(Fault::dtype(found, format!("cast the draws: .cast(DType::{dtype:?})")));
            }
            Ok(Some(Recorded { op: Op::Random(Random::Uniform), shape, dtype }))
        })
    }

    /// Random numbers from the standard normal distribution, by the transform of Box and Muller (1958); see
    /// [`uniform`](Tape::uniform).
    #[track_caller]
    pub fn normal<'t>(&'t self, key: impl Operand<'t>, shape: impl Into<Shape>, dtype: DType) -> Var<'t> {
        let _named = self.composition("normal");
        let key = key.resolve(self, Some(DType::I64));
        let shape = shape.into();
        let radius = self.uniform(key.fold_in(0), shape.clone(), dtype);
        let angle = self.uniform(key.fold_in(1), shape, dtype);
        let (Ok(dtype), Ok(_)) = (radius.dtype(), angle.dtype()) else { return radius };
        let lit = |value: f64| self.literal(value, dtype);
        // 1 - u lies in (0, 1], so the logarithm is finite.
        let radius = (lit(-2.0) * (lit(1.0) - radius).log()).sqrt();
        radius * (lit(2.0 * std::f64::consts::PI) * angle).cos()
    }
}

impl Tape {
    /// Ones with probability `p`, else zeros, of an element type (Bool for a mask): element `i` is 1 where
    /// [`uniform`](Tape::uniform) gives less than `p`. `p` is a number from 0 to 1, or a float value that broadcasts to the
    /// shape; there, what is below 0 or NaN never gives a 1, what is 1 or more always does. No derivative flows to `p`.
    ///
    /// ```
    /// use wengert_autograd::{DType, Tape};
    /// let tape = Tape::new();
    /// let keep = tape.bernoulli(tape.constant(7i64), 0.9, [4, 8], DType::F32);
    /// let dropped = tape.ones([4, 8], DType::F32) * keep / 0.9;
    /// # dropped.value()?;
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    #[track_caller]
    pub fn bernoulli<'t>(
        &'t self,
        key: impl Operand<'t>,
        p: impl Operand<'t>,
        shape: impl Into<Shape>,
        dtype: DType,
    ) -> Var<'t> {
        let _named = self.composition("bernoulli");
        let shape = shape.into();
        let p = p.resolve(self, Some(if dtype.is_float() { dtype } else { DType::F32 }));
        let (Ok(own), Ok(lane)) = (p.shape(), p.dtype()) else { return p };
        let number = self.inner.borrow().number_of(p.id);
        let fault = if let Some(outside) = number.filter(|p| !(0.0..=1.0).contains(p)) {
            let found = format!("the probability is {outside}, expected a number from 0 to 1");
            Some(Fault { kind: ErrorKind::Value, found, remedy: "divide a percentage by 100".into() })
        } else if !lane.is_float() {
            Some(Fault::dtype(
                format!("the probability is {lane}, expected f32 or f64"),
                "convert it: .cast(DType::F32)",
            ))
        } else if own.broadcast(&shape).as_ref() != Some(&shape) {
            let found = format!("the probabilities {own} do not broadcast to the shape {shape}");
            Some(Fault::shape(found, "give one number, or extents that are equal or 1"))
        } else {
            None
        };
        match fault {
            Some(fault) => self.fail("bernoulli", fault),
            None => self.uniform(key, shape, lane).lt(p).cast(dtype),
        }
    }
}

impl<'t> Var<'t> {
    /// A new random key from this key and a number (both I64, no axes).
    #[track_caller]
    pub fn fold_in(self, data: impl Operand<'t>) -> Var<'t> {
        let _named = self.tape().composition("fold_in");
        let data = data.resolve(self.tape(), Some(DType::I64));
        self.tape().op("fold_in", &[self, data], |nodes| {
            nodes.iter().try_for_each(|node| check_key(node))?;
            Ok(Some(Recorded { op: Op::Random(Random::FoldIn), shape: Shape::scalar(), dtype: DType::I64 }))
        })
    }
}

/// Sets keys apart that [`Var::next_key`] hands out from those that [`Var::fold_in`] derives by numbers of the caller's.
const IN_TURN: i64 = 0x6e_6578_7420;

impl<'t> Var<'t> {
    /// A random key derived from this one, another at every call: for draws that must differ though they are recorded by code
    /// that knows nothing of one another. The n-th call gives the same key on every tape.
    ///
    /// ```
    /// use wengert_autograd::{DType, Tape};
    /// let tape = Tape::new();
    /// let key = tape.constant(42i64);
    /// let [a, b] = [(); 2].map(|()| tape.uniform(key.next_key(), [3], DType::F32));
    /// assert!(!a.value()?.bit_eq(&b.value()?));
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    #[track_caller]
    pub fn next_key(self) -> Var<'t> {
        let _named = self.tape().composition("next_key");
        if self.shape().is_err() {
            return self;
        }
        let taken = {
            let inner = &mut *self.tape().inner.borrow_mut();
            let taken = inner.keys_taken.entry(self.id).or_default();
            *taken += 1;
            *taken
        };
        self.fold_in(IN_TURN).fold_in(taken - 1)
    }
}

fn check_key(node: &crate::node::Node) -> Result<(), Fault> {
    if node.dtype == DType::I64 && node.shape.rank() == 0 {
        return Ok(());
    }
    Err(Fault::dtype(
        format!("the key is {} {}, expected an i64 without axes", node.dtype, node.shape),
        "make one with tape.constant(42i64)",
    ))
}

impl Rule for Random {
    fn name(&self) -> &'static str {
        match self {
            Random::Uniform => "uniform",
            Random::FoldIn => "fold_in",
        }
    }

    fn vjp<'t>(&self, _: &Local<'_, 't>, _: Var<'t>, _: &mut dyn FnMut(usize, Contribution<'t>)) {}

    fn jvp<'t>(&self, _: &Local<'_, 't>, _: &[Option<Var<'t>>]) -> Option<Var<'t>> {
        None
    }

    fn lower(&self, lower: &mut Lower<'_>, node: usize) {
        let operands = lower.inputs(node).iter().map(|input| lower.place(*input)).map(|p| (p.buf, p.offset)).collect();
        let out = lower.alloc(node);
        lower.emit(Instr::Random {
            op: *self,
            dtype: lower.dtype(node),
            inputs: operands,
            out: (out.buf, out.offset),
            len: lower.shape(node).numel(),
        });
    }
}
