//! Reverse-mode differentiation: a walk over the tape, backwards, that records.

mod backward;
mod cotangent;
mod flow;
mod jvp;
mod modes;
mod recompute;
mod scan_vjp;
mod scope;
mod strict;
mod transpose;
mod wrt;

pub use backward::Gradients;
pub(crate) use jvp::tangents;
pub(crate) use scope::Local;
pub(crate) use transpose::transposed;
pub use wrt::Wrt;

use crate::dtype::DType;
use crate::error::ErrorKind;
use crate::node::{Inputs, Node, NodeId, Op};
use crate::operand::Operand;
use crate::ops::Contribution;
use crate::origin::Pass;
use crate::record::Fault;
use crate::tape::Tape;
use crate::var::Var;
use cotangent::Store;
use scope::Scope;
use smallvec::SmallVec;

impl<'t> Var<'t> {
    /// The gradients of this scalar with respect to `wrt`, recorded on the tape: they are ordinary
    /// values, and can be differentiated again.
    ///
    /// A gradient that cannot flow is an error that says where it stops; [`grad_or_none`](Var::grad_or_none) gives `None` instead.
    #[track_caller]
    pub fn grad<W: Wrt<'t>>(self, wrt: W) -> W::Of<Var<'t>> {
        let _named = self.tape().composition("grad");
        let wrt = wrt.resolve(self.tape());
        W::collect(self.strict("grad", &wrt, self.gradients(&wrt)))
    }

    /// As [`grad`](Var::grad), with `None` for values that no gradient flows to.
    #[track_caller]
    pub fn grad_or_none<W: Wrt<'t>>(self, wrt: W) -> W::Of<Option<Var<'t>>> {
        let _named = self.tape().composition("grad_or_none");
        let wrt = wrt.resolve(self.tape());
        W::collect(self.gradients(&wrt))
    }

    #[track_caller]
    fn gradients(self, wrt: &[Var<'t>]) -> Vec<Option<Var<'t>>> {
        // Ahead of the value: an operand that could not be resolved is what the caller wrote here.
        if let Some(broken) = self.tape().unusable("grad", wrt) {
            return vec![Some(broken); wrt.len()];
        }
        match self.check_scalar() {
            Ok(seed) => vjp(&[(self, seed)], wrt),
            Err(broken) => vec![Some(broken); wrt.len()],
        }
    }

    /// What was found, with an error for what was not.
    #[track_caller]
    fn strict(self, op: &str, wrt: &[Var<'t>], found: Vec<Option<Var<'t>>>) -> Vec<Var<'t>> {
        let each = found.into_iter().enumerate();
        each.map(|(i, found)| found.unwrap_or_else(|| self.unreached(op, "the value", wrt, &[i]))).collect()
    }

    /// The seed of a scalar's gradient, or an invalid value.
    #[track_caller]
    fn check_scalar(self) -> Result<Var<'t>, Var<'t>> {
        let tape = self.tape();
        if let Some(broken) = tape.unusable("grad", &[self]) {
            return Err(broken);
        }
        let (shape, dtype) = self.node(|n| (n.shape.clone(), n.dtype));
        let fail = |kind, found: String, remedy: &str| {
            let fault = Fault { kind, found, remedy: remedy.into() };
            Err(tape.fail("grad", fault))
        };
        if !tape.is_differentiable() {
            return fail(ErrorKind::Gradient, "the tape is for inference".into(), "record on Tape::new()");
        }
        if !dtype.is_float() {
            return fail(
                ErrorKind::DType,
                format!("the value is {dtype}, which has no derivative"),
                "cast it to a float type first",
            );
        }
        if shape.numel() != 1 {
            let found = format!("the value is {shape}, expected a scalar");
            return fail(ErrorKind::Shape, found, "reduce it (sum, mean), or give cotangents to vjp");
        }
        // A gradient that could not be given earlier says nothing about this one.
        let recorded = tape.inner.borrow().errors.iter().find(|e| e.kind() != ErrorKind::Gradient).cloned();
        if let Some(error) = recorded {
            let found = format!("the tape holds an error: {error}");
            return fail(error.kind(), found, "mend the operation it names");
        }
        Ok(tape.literal(1.0, dtype).expand(shape))
    }
}

impl<'t> Var<'t> {
    /// Vector-Jacobian products: the gradients of `Σ cotangent·self` with respect to `wrt`, recorded; the cotangent has this
    /// value's shape and element type. As [`grad`](Var::grad) for values that are not scalars.
    #[track_caller]
    pub fn vjp<W: Wrt<'t>>(self, cotangent: impl Operand<'t>, wrt: W) -> W::Of<Var<'t>> {
        let _named = self.tape().composition("vjp");
        let wrt = wrt.resolve(self.tape());
        W::collect(self.strict("vjp", &wrt, self.products(cotangent, &wrt)))
    }

    /// As [`vjp`](Var::vjp), with `None` for values that no derivative flows to.
    #[track_caller]
    pub fn vjp_or_none<W: Wrt<'t>>(self, cotangent: impl Operand<'t>, wrt: W) -> W::Of<Option<Var<'t>>> {
        let _named = self.tape().composition("vjp_or_none");
        let wrt = wrt.resolve(self.tape());
        W::collect(self.products(cotangent, &wrt))
    }

    #[track_caller]
    fn products(self, cotangent: impl Operand<'t>, wrt: &[Var<'t>]) -> Vec<Option<Var<'t>>> {
        let tape = self.tape();
        let cotangent = cotangent.resolve(tape, self.dtype().ok());
        let all = |broken: Var<'t>| vec![Some(broken); wrt.len()];
        if let Some(broken) = tape.unusable("vjp", &[self, cotangent]) {
            return all(broken);
        }
        if !tape.is_differentiable() {
            return all(tape.fail("vjp", Fault::gradient("the tape is for inference", "record on Tape::new()")));
        }
        let kind = |v: Var<'t>| v.node(|n| (n.dtype, n.shape.clone()));
        let (own, given) = (kind(self), kind(cotangent));
        if own != given || !own.0.is_float() {
            let found = format!("the value is {} {}, its cotangent {} {}", own.0, own.1, given.0, given.1);
            let remedy = "give the cotangent the value's shape and (float) element type";
            return all(tape.fail("vjp", Fault::shape(found, remedy)));
        }
        vjp(&[(self, cotangent)], wrt)
    }
}

/// Vector-Jacobian products: given cotangents of some values, records those of `wrt`; `None` where nothing flows.
///
/// The cotangent of each output has the output's shape and element type.
#[track_caller]
pub(crate) fn vjp<'t>(outputs: &[(Var<'t>, Var<'t>)], wrt: &[Var<'t>]) -> Vec<Option<Var<'t>>> {
    let Some((first, _)) = outputs.first() else { return vec![None; wrt.len()] };
    let tape = first.tape();
    if let Some(broken) = tape.unusable("grad", wrt) {
        return vec![Some(broken); wrt.len()];
    }
    vjp_since(0, outputs, wrt)
}

/// As [`vjp`], of values that depend on `wrt` only through nodes from `start` on; `wrt` are such nodes.
#[track_caller]
fn vjp_since<'t>(start: NodeId, outputs: &[(Var<'t>, Var<'t>)], wrt: &[Var<'t>]) -> Vec<Option<Var<'t>>> {
    let Some((first, _)) = outputs.first() else { return vec![None; wrt.len()] };
    let tape = first.tape();
    let end = outputs.iter().map(|(v, _)| v.id).max().unwrap_or(0) + 1;
    let active = active_nodes(tape, wrt, start..end);
    let active = |id: NodeId| id.checked_sub(start).is_some_and(|i| active[i as usize]);
    let scope = Scope::root(tape);
    let mut store = Store::new(tape, start, end);
    for (output, ct) in outputs {
        if active(output.id) {
            store.add(output.id, Contribution::Whole(*ct));
        }
    }
    let mut found: Vec<Option<Var<'t>>> = vec![None; wrt.len()];
    walk(&scope, &mut store, &active, &mut |id, ct| {
        for (slot, v) in found.iter_mut().zip(wrt) {
            if v.id == id {
                *slot = Some(ct);
            }
        }
    });
    found
}

/// For each node of a range, whether it depends differentiably, through nodes of the range, on one of `wrt`.
pub(crate) fn active_nodes(tape: &Tape, wrt: &[Var<'_>], range: std::ops::Range<NodeId>) -> Vec<bool> {
    let inner = tape.inner.borrow();
    let mut active = vec![false; range.len()];
    for v in wrt.iter().filter(|v| range.contains(&v.id)) {
        active[(v.id - range.start) as usize] = inner.nodes[v.id as usize].dtype.is_float();
    }
    for i in 0..active.len() {
        let node = &inner.nodes[range.start as usize + i];
        let from = |input: &NodeId| input.checked_sub(range.start).is_some_and(|i| active[i as usize]);
        active[i] |= carries_derivative(&node.op, node.dtype) && derivative_inputs(node).iter().any(from);
    }
    active
}

/// Whether a derivative can flow from an input of the operation to its output.
fn carries_derivative(op: &Op, dtype: DType) -> bool {
    match op {
        Op::StopGradient | Op::Fence => false,
        Op::Scan(_) => true,
        Op::Map(map) => dtype.is_float() && !map.0.partials.is_empty(),
        _ => dtype.is_float(),
    }
}

/// The inputs that a derivative can flow to.
fn derivative_inputs(node: &Node) -> &[NodeId] {
    match node.op {
        Op::Custom(_) | Op::Again => &node.inputs[1..],
        _ => &node.inputs,
    }
}

/// Walks the store's range backwards: finalises each node's cotangent, shows it to `visit`, and hands it on
/// to the node's active inputs.
fn walk<'t>(
    scope: &Scope<'_, 't>,
    store: &mut Store<'t>,
    active: &dyn Fn(NodeId) -> bool,
    visit: &mut dyn FnMut(NodeId, Var<'t>),
) {
    let tape = scope.tape();
    let outer = tape.inner.borrow().recording_for();
    for id in store.range().rev() {
        if !store.is_reached(id) {
            continue;
        }
        let (op, inputs, at) = {
            let inner = tape.inner.borrow();
            let node = &inner.nodes[id as usize];
            (node.op.clone(), Inputs::from_slice(&node.inputs), node.at)
        };
        let _rule = tape.derivative(op.name(), at);
        tape.inner.borrow_mut().record_for(Some((Pass::Backward, id)));
        match op {
            Op::Scan(_) => {
                let cts = store.take_scan(id);
                scan_vjp::scan_vjp(scope, id, cts, active, &mut |input, ct| store.add(input, Contribution::Whole(ct)));
            }
            Op::Final(index) => {
                let ct = store.take(id);
                visit(id, ct);
                store.add_final(inputs[0], index as usize, ct);
            }
            Op::Tap(node) => {
                let ct = store.take(id);
                visit(id, ct);
                store.add_tap(inputs[0], node, ct);
            }
            Op::Leaf(_) => {
                let ct = store.take(id);
                visit(id, ct);
                // A held value hands its cotangent to what it was computed from.
                if let Some(source) = inputs.first().filter(|source| active(**source)) {
                    store.add(*source, Contribution::Whole(ct));
                }
            }
            ref op => {
                let ct = store.take(id);
                visit(id, ct);
                if let Some(rule) = op.rule() {
                    let mut wants: SmallVec<[bool; 4]> = SmallVec::with_capacity(inputs.len());
                    inputs.iter().for_each(|input| wants.push(active(*input)));
                    let local = Local::new(scope, id, &inputs, &wants);
                    rule.vjp(&local, ct, &mut |i, contribution| store.add(inputs[i], contribution));
                }
            }
        }
    }
    tape.inner.borrow_mut().record_for(outer);
}
