//! Operations that move no numbers: reshape, permute, expand; and conversion of the element type.

use super::{Contribution, Rule, axis_of, resolve_axis};
use crate::dtype::DType;
use crate::grad::Local;
use crate::node::Op;
use crate::program::{Instr, Lower, Place};
use crate::record::{Fault, Recorded};
use crate::shape::Shape;
use crate::var::Var;
use smallvec::SmallVec;
use wengert_kernels::MAX_AXES;

/// The same elements, in row-major order, under the node's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Reshape;

/// Axes in another order: output axis `i` is input axis `order[i]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Permute {
    pub order: Order,
}

/// Axes in some order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Order {
    rank: u8,
    axes: [u8; MAX_AXES],
}

impl Order {
    /// At most [`MAX_AXES`] axes, as many as a recorded value has.
    fn of(axes: impl Iterator<Item = usize>) -> Order {
        let mut order = Order { rank: 0, axes: [0; MAX_AXES] };
        for axis in axes {
            order.axes[usize::from(order.rank)] = axis as u8;
            order.rank += 1;
        }
        order
    }
}

impl std::ops::Deref for Order {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.axes[..usize::from(self.rank)]
    }
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self[..].fmt(f)
    }
}

/// Broadcast to the node's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Expand;

/// Conversion to the node's element type.
pub(crate) struct CastRule;
pub(crate) static CAST: CastRule = CastRule;

/// Identity without derivative.
pub(crate) struct StopGradientRule;
pub(crate) static STOP_GRADIENT: StopGradientRule = StopGradientRule;

impl<'t> Var<'t> {
    /// The same elements, in row-major order, under another shape.
    #[track_caller]
    pub fn reshape(self, shape: impl Into<Shape>) -> Var<'t> {
        let shape = shape.into();
        self.tape().op("reshape", &[self], |nodes| {
            let x = nodes[0];
            if x.shape == shape {
                return Ok(None);
            }
            let shape = shape.bounded().map_err(|found| Fault::shape(found, ""))?;
            if x.shape.numel() != shape.numel() {
                return Err(Fault::shape(
                    format!(
                        "the value {} has {} elements, the shape {shape} holds {}",
                        x.shape,
                        x.shape.numel(),
                        shape.numel()
                    ),
                    "give a shape of as many elements",
                ));
            }
            Ok(Some(Recorded { op: Op::Reshape(Reshape), shape, dtype: x.dtype }))
        })
    }

    /// Broadcasts to `shape`: axes of extent 1 are repeated, missing leading axes are added.
    #[track_caller]
    pub fn expand(self, shape: impl Into<Shape>) -> Var<'t> {
        let shape = shape.into();
        self.tape().op("expand", &[self], |nodes| {
            let x = nodes[0];
            if x.shape == shape {
                return Ok(None);
            }
            if x.shape.broadcast(&shape).as_ref() != Some(&shape) {
                return Err(Fault::shape(
                    format!("the value {} does not broadcast to {shape}", x.shape),
                    "from the last axis on, extents agree or are 1",
                ));
            }
            Ok(Some(Recorded { op: Op::Expand(Expand), shape, dtype: x.dtype }))
        })
    }

    /// The axes in another order: axis `i` of the result is axis `order[i]` of this value.
    #[track_caller]
    pub fn permute(self, order: &[usize]) -> Var<'t> {
        self.tape().op("permute", &[self], |nodes| {
            let x = nodes[0];
            let rank = x.shape.rank();
            // A recorded value has few axes: as many bits hold them.
            let seen = order.iter().filter(|axis| **axis < rank).fold(0u32, |seen, axis| seen | 1 << axis);
            if order.len() != rank || seen != (1 << rank) - 1 {
                return Err(Fault::shape(
                    format!("{order:?} is not a permutation of the axes of {}", x.shape),
                    format!("name each of 0..{} once", rank),
                ));
            }
            if order.iter().copied().eq(0..order.len()) {
                return Ok(None);
            }
            let shape = order.iter().map(|axis| x.shape[*axis]).collect();
            let order = Order::of(order.iter().copied());
            Ok(Some(Recorded { op: Op::Permute(Permute { order }), shape, dtype: x.dtype }))
        })
    }

    /// Two axes exchanged; negative axes count from the back.
    #[track_caller]
    pub fn transpose(self, a: isize, b: isize) -> Var<'t> {
        let _named = self.tape().composition("transpose");
        let Ok(shape) = self.shape() else { return self };
        let (first, second) = match (axis_of(a, &shape), axis_of(b, &shape)) {
            (Ok(first), Ok(second)) => (first, second),
            (Err(fault), _) | (_, Err(fault)) => return self.tape().fail("transpose", fault),
        };
        let mut order: SmallVec<[usize; 8]> = (0..shape.rank()).collect();
        order.swap(first, second);
        self.permute(&order)
    }

    /// The transposed matrix; for more axes, the last two are exchanged.
    #[track_caller]
    pub fn t(self) -> Var<'t> {
        let _named = self.tape().composition("t");
        if let Ok(shape) = self.shape()
            && shape.rank() < 2
        {
            let found = format!("the value {shape} is not a matrix");
            return self.tape().fail("t", Fault::shape(found, "give it two axes or more (unsqueeze, reshape)"));
        }
        self.transpose(-2, -1)
    }

    /// A new axis of extent 1 at position `axis`; negative positions count from the back, `-1` is behind the last axis.
    #[track_caller]
    pub fn unsqueeze(self, axis: isize) -> Var<'t> {
        let _named = self.tape().composition("unsqueeze");
        let Ok(shape) = self.shape() else { return self };
        let Some(axis) = resolve_axis(axis, shape.rank() + 1) else {
            let found = format!("position {axis} for a new axis is out of range for shape {shape}");
            let remedy = format!("positions go from -{} to {}", shape.rank() + 1, shape.rank());
            return self.tape().fail("unsqueeze", Fault::shape(found, remedy));
        };
        self.reshape(shape.with_axis_at(axis, 1))
    }

    /// Drops an axis of extent 1; negative axes count from the back.
    #[track_caller]
    pub fn squeeze(self, axis: isize) -> Var<'t> {
        let _named = self.tape().composition("squeeze");
        let Ok(shape) = self.shape() else { return self };
        let at = match axis_of(axis, &shape) {
            Ok(at) => at,
            Err(fault) => return self.tape().fail("squeeze", fault),
        };
        if shape[at] != 1 {
            let found = format!("axis {axis} of {shape} has {} entries, expected one", shape[at]);
            return self.tape().fail("squeeze", Fault::shape(found, "choose an entry with get, or reduce the axis"));
        }
        self.reshape(shape.without_axis(at))
    }

    /// The value converted to another element type: numbers as Rust's `as` does it, Bool to 0 and 1, non-zero to `true`.
    #[track_caller]
    pub fn cast(self, dtype: DType) -> Var<'t> {
        self.tape().op("cast", &[self], |nodes| {
            let x = nodes[0];
            if x.dtype == dtype {
                return Ok(None);
            }
            Ok(Some(Recorded { op: Op::Cast, shape: x.shape.clone(), dtype }))
        })
    }
}

impl Rule for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }
    fn vjp<'t>(&self, at: &Local<'_, 't>, ct: Var<'t>, give: &mut dyn FnMut(usize, Contribution<'t>)) {
        if at.wants(0) {
            give(0, Contribution::Whole(ct.reshape(at.shape(0))));
        }
    }
    fn jvp<'t>(&self, at: &Local<'_, 't>, tangents: &[Option<Var<'t>>]) -> Option<Var<'t>> {
        Some(tangents[0]?.reshape(at.own_shape()))
    }
    fn lower(&self, lower: &mut Lower<'_>, node: usize) {
        let input = lower.inputs(node)[0];
        let place = lower.place(input);
        let (from, to) = (lower.shape(input), lower.shape(node));
        let (place, strides) = match restride(&from, &place.strides, &to) {
            Some(strides) => (place, strides),
            None => (lower.contiguous(input), to.contiguous_strides()),
        };
        lower.alias(node, Place { strides, ..place });
    }
}

/// The strides of a reshaped view, if the axes that are merged or split lie evenly.
fn restride(from: &Shape, strides: &[usize], to: &Shape) -> Option<crate::shape::Strides> {
    if from.is_contiguous(strides) {
        return Some(to.contiguous_strides());
    }
    // Axes of extent 1 carry no layout. What is left is matched group by group from the front: the smallest
    // runs of axes on both sides with equal element counts.
    let old: SmallVec<[(usize, usize); 4]> =
        from.iter().copied().zip(strides.iter().copied()).filter(|(extent, _)| *extent != 1).collect();
    let mut out: crate::shape::Strides = SmallVec::from_elem(0, to.rank());
    let (mut i, mut j) = (0, 0);
    while i < old.len() {
        let (i_start, j_start) = (i, j);
        let (mut a, mut b) = (old[i].0, to[j]);
        (i, j) = (i + 1, j + 1);
        while a != b {
            if a < b {
                a *= old[i].0;
                i += 1;
            } else {
                b *= to[j];
                j += 1;
            }
        }
        if !old[i_start..i].windows(2).all(|pair| pair[0].1 == pair[1].0 * pair[1].1) {
            return None;
        }
        let mut step = old[i - 1].1;
        for axis in (j_start..j).rev() {
            out[axis] = step;
            step *= to[axis];
        }
    }
    Some(out)
}

impl Rule for Permute {
    fn name(&self) -> &'static str {
        "permute"
    }
    fn vjp<'t>(&self, at: &Local<'_, 't>, ct: Var<'t>, give: &mut dyn FnMut(usize, Contribution<'t>)) {
        if at.wants(0) {
            let mut inverse: SmallVec<[usize; 8]> = SmallVec::from_elem(0, self.order.len());
            for (to, from) in self.order.iter().enumerate() {
                inverse[*from as usize] = to;
            }
            give(0, Contribution::Whole(ct.permute(&inverse)));
        }
    }
    fn jvp<'t>(&self, _: &Local<'_, 't>, tangents: &[Option<Var<'t>>]) -> Option<Var<'t>> {
        let order: SmallVec<[usize; 8]> = self.order.iter().map(|axis| *axis as usize).collect();
        Some(tangents[0]?.permute(&order))
    }
    fn lower(&self, lower: &mut Lower<'_>, node: usize) {
        let place = lower.place(lower.inputs(node)[0]);
        let strides = self.order.iter().map(|axis| place.strides[*axis as usize]).collect();
        lower.alias(node, Place { strides, ..place });
    }
}

impl Rule for Expand {
    fn name(&self) -> &'static str {
        "expand"
    }
    fn vjp<'t>(&self, at: &Local<'_, 't>, ct: Var<'t>, give: &mut dyn FnMut(usize, Contribution<'t>)) {
        if at.wants(0) {
            // The backward walk sums over the axes that were broadcast.
            give(0, Contribution::Whole(ct));
        }
    }
    fn jvp<'t>(&self, _: &Local<'_, 't>, tangents: &[Option<Var<'t>>]) -> Option<Var<'t>> {
        tangents[0]
    }
    fn lower(&self, lower: &mut Lower<'_>, node: usize) {
        let input = lower.inputs(node)[0];
        let place = lower.place(input);
        let strides = lower.shape(input).broadcast_strides(&place.strides, &lower.shape(node));
        lower.alias(node, Place { strides, ..place });
    }
}

impl Rule for CastRule {
    fn name(&self) -> &'static str {
        "cast"
    }
    fn vjp<'t>(&self, at: &Local<'_, 't>, ct: Var<'t>, give: &mut dyn FnMut(usize, Contribution<'t>)) {
        if at.wants(0) {
            give(0, Contribution::Whole(ct.cast(at.dtype(0))));
        }
    }
    fn jvp<'t>(&self, at: &Local<'_, 't>, tangents: &[Option<Var<'t>>]) -> Option<Var<'t>> {
        Some(tangents[0]?.cast(at.own_dtype()))
    }
    fn lower(&self, lower: &mut Lower<'_>, node: usize) {
        let input = lower.inputs(node)[0];
        let place = lower.contiguous(input);
        let out = lower.alloc(node);
        lower.emit(Instr::Cast {
            from: (lower.dtype(input), place.buf, place.offset),
            to: (lower.dtype(node), out.buf, out.offset),
            len: lower.shape(node).numel(),
        });
    }
}

impl Rule for StopGradientRule {
    fn name(&self) -> &'static str {
        "detach"
    }
    fn vjp<'t>(&self, _: &Local<'_, 't>, _: Var<'t>, _: &mut dyn FnMut(usize, Contribution<'t>)) {}
    fn jvp<'t>(&self, _: &Local<'_, 't>, _: &[Option<Var<'t>>]) -> Option<Var<'t>> {
        None
    }
    fn lower(&self, lower: &mut Lower<'_>, node: usize) {
        let place = lower.place(lower.inputs(node)[0]);
        lower.alias(node, place);
    }
}
