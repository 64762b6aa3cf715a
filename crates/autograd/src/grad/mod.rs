//! Reverse-mode differentiation: a walk over the tape, backwards, that records.

mod cotangent;
mod flow;
mod jvp;
mod modes;
mod scan_vjp;
mod scope;

pub use self::backward::Gradients;
pub(crate) use jvp::tangents;
pub(crate) use scope::Local;

mod backward;

use crate::dtype::DType;
use crate::error::ErrorKind;
use crate::node::{NodeId, Op};
use crate::operand::Operand;
use crate::ops::Contribution;
use crate::record::Fault;
use crate::tape::Tape;
use crate::var::Var;
use cotangent::Store;
use scope::Scope;

impl<'t> Var<'t> {
    /// The gradients of this scalar with respect to `wrt`, recorded on the tape: they are ordinary
    /// values, and can be differentiated again.
    ///
    /// A value it does not depend on gets an error; [`grad_or_none`](Var::grad_or_none) tells instead.
    #[track_caller]
    pub fn grad<R: Operand<'t>, const N: usize>(self, wrt: [R; N]) -> [Var<'t>; N] {
        let _named = self.tape().composition("grad");
        let tape = self.tape();
        let wrt = wrt.map(|r| r.resolve(tape, None));
        let found = self.grad_or_none(wrt);
        let mut index = 0;
        found.map(|gradient| {
            index += 1;
            gradient.unwrap_or_else(|| {
                let asked = wrt[index - 1];
                if tape.owned(asked).is_err() {
                    return asked;
                }
                let (name, at) = (tape.name_of(asked.id), asked.node(|n| n.at));
                let name = name.map_or(String::new(), |name| format!(" '{name}'"));
                let found = format!(
                    "the value does not depend (differentiably) on input {}{name}, recorded at {}:{}",
                    index - 1,
                    at.file(),
                    at.line()
                );
                let remedy = "use grad_or_none, or look for a detach, a comparison or an integer on the way";
                tape.fail("grad", Fault::gradient(found, remedy))
            })
        })
    }

    /// As [`grad`](Var::grad), with `None` for values it does not depend on.
    #[track_caller]
    pub fn grad_or_none<R: Operand<'t>, const N: usize>(self, wrt: [R; N]) -> [Option<Var<'t>>; N] {
        let _named = self.tape().composition("grad_or_none");
        let tape = self.tape();
        let wrt: Vec<Var<'t>> = wrt.map(|r| r.resolve(tape, None)).to_vec();
        // Ahead of the value: an operand that could not be resolved is what the caller wrote here.
        if let Some(broken) = tape.unusable("grad_or_none", &wrt) {
            return [Some(broken); N];
        }
        let all = match self.check_scalar() {
            Ok(seed) => vjp(&[(self, seed)], &wrt),
            Err(broken) => vec![Some(broken); N],
        };
        all.try_into().unwrap_or([None; N])
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
    /// value's shape and element type. As [`grad`](Var::grad) for values that are not scalars; zeros where nothing flows.
    #[track_caller]
    pub fn vjp<R: Operand<'t>, const N: usize>(self, cotangent: impl Operand<'t>, wrt: [R; N]) -> [Var<'t>; N] {
        let _named = self.tape().composition("vjp");
        let tape = self.tape();
        let cotangent = cotangent.resolve(tape, self.dtype().ok());
        let wrt = wrt.map(|r| r.resolve(tape, None));
        if let Some(broken) = tape.unusable("vjp", &[self, cotangent]) {
            return [broken; N];
        }
        if !tape.is_differentiable() {
            let fault = Fault::gradient("the tape is for inference", "record on Tape::new()");
            return [tape.fail("vjp", fault); N];
        }
        let kind = |v: Var<'t>| v.node(|n| (n.dtype, n.shape.clone()));
        let (own, given) = (kind(self), kind(cotangent));
        if own != given || !own.0.is_float() {
            let found = format!("the value is {} {}, its cotangent {} {}", own.0, own.1, given.0, given.1);
            let remedy = "give the cotangent the value's shape and (float) element type";
            return [tape.fail("vjp", Fault::shape(found, remedy)); N];
        }
        let found = vjp(&[(self, cotangent)], &wrt);
        std::array::from_fn(|i| {
            found[i].unwrap_or_else(|| {
                let (dtype, shape) = kind(wrt[i]);
                tape.literal(0.0, dtype).expand(shape)
            })
        })
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
    let end = outputs.iter().map(|(v, _)| v.id).max().unwrap_or(0) + 1;
    let active = active_nodes(tape, wrt, end);
    let scope = Scope::root(tape);
    let mut store = Store::new(tape, 0, end);
    for (output, ct) in outputs {
        if active[output.id as usize] {
            store.add(output.id, Contribution::Whole(*ct));
        }
    }
    let mut found: Vec<Option<Var<'t>>> = vec![None; wrt.len()];
    walk(&scope, &mut store, &|id| active[id as usize], &mut |id, ct| {
        for (slot, v) in found.iter_mut().zip(wrt) {
            if v.id == id {
                *slot = Some(ct);
            }
        }
    });
    found
}

/// For each node before `end`, whether it depends differentiably on one of `wrt`.
fn active_nodes(tape: &Tape, wrt: &[Var<'_>], end: NodeId) -> Vec<bool> {
    let inner = tape.inner.borrow();
    let mut active = vec![false; end as usize];
    for v in wrt {
        if let Some(slot) = active.get_mut(v.id as usize) {
            *slot = inner.nodes[v.id as usize].dtype.is_float();
        }
    }
    for id in 0..end as usize {
        let node = &inner.nodes[id];
        active[id] |= carries_derivative(&node.op, node.dtype) && node.inputs.iter().any(|i| active[*i as usize]);
    }
    active
}

/// Whether a derivative can flow from an input of the operation to its output.
fn carries_derivative(op: &Op, dtype: DType) -> bool {
    match op {
        Op::StopGradient => false,
        Op::Scan(_) => true,
        _ => dtype.is_float(),
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
    for id in store.range().rev() {
        if !store.is_reached(id) {
            continue;
        }
        let (op, inputs, at) = {
            let inner = tape.inner.borrow();
            let node = &inner.nodes[id as usize];
            (node.op.clone(), node.inputs.clone(), node.at)
        };
        let _rule = tape.derivative(op.name(), at);
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
                    let wants: smallvec::SmallVec<[bool; 4]> = inputs.iter().map(|input| active(*input)).collect();
                    let local = Local::new(scope, id, &inputs, &wants);
                    rule.vjp(&local, ct, &mut |i, contribution| store.add(inputs[i], contribution));
                }
            }
        }
    }
}
