//! Forward mode: a walk over the tape, forwards, that records tangents.

use super::flow::Flow;
use super::scope::{Local, Scope};
use super::{active_nodes, derivative_inputs};
use crate::node::{NodeId, Op};
use crate::operand::Operand;
use crate::origin::Pass;
use crate::record::Fault;
use crate::scan::Body;
use crate::var::Var;
use std::collections::HashMap;

impl<'t> Var<'t> {
    /// The directional derivative (Jacobian-vector product): how this value changes when each input of `along` changes by its
    /// tangent. Recorded on the tape; costs about one evaluation, however many elements the value has.
    ///
    /// A tangent has the shape and element type of its input. If the value depends (differentiably) on none of the inputs, it is an
    /// error that says where the derivative stops; [`jvp_or_none`](Var::jvp_or_none) gives `None` instead.
    ///
    /// ```
    /// use wengert_autograd::{Tape, Tensor};
    /// let tape = Tape::new();
    /// let x = tape.var(Tensor::from_slice(&[1.0f64, 2.0], [2])?);
    /// let v = tape.constant(Tensor::from_slice(&[1.0f64, -1.0], [2])?);
    /// assert_eq!(x.square().jvp([(x, v)]).value()?.to_vec::<f64>()?, [2.0, -4.0]);
    /// // Forward over reverse: a Hessian-vector product without the Hessian.
    /// let [g] = (x.square() * x).sum().grad([x]);
    /// assert_eq!(g.jvp([(x, v)]).value()?.to_vec::<f64>()?, [6.0, -12.0]);
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    #[track_caller]
    pub fn jvp<R: Operand<'t>>(self, along: impl IntoIterator<Item = (R, Var<'t>)>) -> Var<'t> {
        let _named = self.tape().composition("jvp");
        let (inputs, found) = self.moved(along);
        let asked: Vec<usize> = (0..inputs.len()).collect();
        found.unwrap_or_else(|| self.unreached("jvp", "the value", &inputs, &asked))
    }

    /// As [`jvp`](Var::jvp), with `None` if the value depends on none of the inputs.
    #[track_caller]
    pub fn jvp_or_none<R: Operand<'t>>(self, along: impl IntoIterator<Item = (R, Var<'t>)>) -> Option<Var<'t>> {
        let _named = self.tape().composition("jvp_or_none");
        self.moved(along).1
    }

    /// The inputs, and the directional derivative.
    #[track_caller]
    fn moved<R: Operand<'t>>(self, along: impl IntoIterator<Item = (R, Var<'t>)>) -> (Vec<Var<'t>>, Option<Var<'t>>) {
        let tape = self.tape();
        let resolve = |(input, tangent): (R, Var<'t>)| (input.resolve(tape, None), tangent);
        let along: Vec<(Var<'t>, Var<'t>)> = along.into_iter().map(resolve).collect();
        let inputs: Vec<Var<'t>> = along.iter().map(|(input, _)| *input).collect();
        for (i, (input, tangent)) in along.iter().enumerate() {
            if let Some(broken) = tape.unusable("jvp", &[self, *input, *tangent]) {
                return (inputs, Some(broken));
            }
            let kind = |v: Var<'t>| v.node(|n| (n.dtype, n.shape.clone()));
            let (wanted, found) = (kind(*input), kind(*tangent));
            if wanted != found {
                let found = format!("input {i} is {} {}, its tangent {} {}", wanted.0, wanted.1, found.0, found.1);
                let broken =
                    tape.fail("jvp", Fault::shape(found, "give the tangent the input's shape and element type"));
                return (inputs, Some(broken));
            }
        }
        if !tape.is_differentiable() {
            let broken = tape.fail("jvp", Fault::gradient("the tape is for inference", "record on Tape::new()"));
            return (inputs, Some(broken));
        }
        let found = tangents(&[self], &along)[0];
        (inputs, found)
    }

    #[track_caller]
    fn zeros_like(self) -> Var<'t> {
        let (shape, dtype) = self.node(|n| (n.shape.clone(), n.dtype));
        self.tape().literal(0.0, dtype).expand(shape)
    }
}

/// Jacobian-vector products of several values; `None` where a value does not depend on the inputs.
#[track_caller]
pub(crate) fn tangents<'t>(outputs: &[Var<'t>], along: &[(Var<'t>, Var<'t>)]) -> Vec<Option<Var<'t>>> {
    let Some(first) = outputs.first() else { return Vec::new() };
    let tape = first.tape();
    let end = outputs.iter().map(|v| v.id).max().unwrap_or(0) + 1;
    let inputs: Vec<Var<'t>> = along.iter().map(|(input, _)| *input).collect();
    let mut active = active_nodes(tape, &inputs, 0..end);
    keep_ancestors(tape, outputs, &mut active);
    let mut known = Known::default();
    for (input, tangent) in along {
        // The same input twice moves along the sum of its tangents.
        let sum = known.values.get(&input.id).map_or(*tangent, |before: &Var<'t>| *before + *tangent);
        known.values.insert(input.id, sum);
    }
    let scope = Scope::root(tape);
    // Recorded inside of a scan body, the bodies that are open are part of the tape.
    let open = tape.inner.borrow().open.clone();
    known.walk(&scope, 0..end, &open, &|id| active.get(id as usize).copied().unwrap_or(false));
    outputs.iter().map(|v| known.values.get(&v.id).copied()).collect()
}

/// Clears what no output depends on.
fn keep_ancestors(tape: &crate::Tape, outputs: &[Var<'_>], active: &mut [bool]) {
    let inner = tape.inner.borrow();
    let mut needed = vec![false; active.len()];
    outputs.iter().for_each(|v| needed[v.id as usize] = true);
    for id in (0..needed.len()).rev() {
        if needed[id] {
            derivative_inputs(&inner.nodes[id]).iter().for_each(|input| needed[*input as usize] = true);
        }
    }
    // Values of loop bodies are reached through their loops.
    for (id, (active, needed)) in active.iter_mut().zip(needed).enumerate() {
        *active &= needed || inner.nodes[id].body != 0;
    }
}

/// The tangents found so far, of values at any depth of nesting; what has none is constant.
#[derive(Default)]
struct Known<'t> {
    values: HashMap<NodeId, Var<'t>>,
    /// For each forward scan: the scan of its tangents, and the place in its carry of each component's tangent.
    scans: HashMap<NodeId, (Var<'t>, HashMap<usize, usize>)>,
}

impl<'t> Known<'t> {
    /// Records the tangents of the active nodes of some bodies.
    fn walk(
        &mut self,
        scope: &Scope<'_, 't>,
        range: std::ops::Range<NodeId>,
        bodies: &[u32],
        active: &dyn Fn(NodeId) -> bool,
    ) {
        let tape = scope.tape();
        let outer = tape.inner.borrow().recording_for();
        for id in range {
            let (op, inputs, at, shape) = {
                let inner = tape.inner.borrow();
                let node = &inner.nodes[id as usize];
                if !bodies.contains(&node.body) || !active(id) || self.values.contains_key(&id) {
                    continue;
                }
                (node.op.clone(), node.inputs.clone(), node.at, node.shape.clone())
            };
            let _rule = tape.derivative(op.name(), at);
            tape.inner.borrow_mut().record_for(Some((Pass::Tangent, id)));
            let tangent = match op {
                Op::Scan(_) => {
                    self.scan(scope, id, active);
                    None
                }
                Op::Final(index) => self.scans.get(&inputs[0]).and_then(|(scan, places)| {
                    places.get(&(index as usize)).map(|place| tape.final_carry(*scan, *place))
                }),
                Op::Tap(node) => {
                    let scan = self.scans.get(&inputs[0]).map(|(scan, _)| *scan);
                    let tangent = self.values.get(&node).copied();
                    scan.zip(tangent).map(|(scan, tangent)| stacked(scan, tangent, node, &shape))
                }
                Op::Leaf(_) => inputs.first().and_then(|source| self.values.get(source).copied()),
                ref op => op.rule().and_then(|rule| {
                    let given: smallvec::SmallVec<[Option<Var<'t>>; 4]> =
                        inputs.iter().map(|input| self.values.get(input).copied()).collect();
                    if given.iter().all(Option::is_none) {
                        return None;
                    }
                    let wants: smallvec::SmallVec<[bool; 4]> = given.iter().map(Option::is_some).collect();
                    rule.jvp(&Local::new(scope, id, &inputs, &wants), &given).map(|t| t.expand(&shape))
                }),
            };
            if let Some(tangent) = tangent {
                self.values.insert(id, tangent);
            }
        }
        tape.inner.borrow_mut().record_for(outer);
    }

    /// Records the tangents of a scan: a scan in the same direction over the forward values it needs.
    fn scan(&mut self, outer: &Scope<'_, 't>, scan: NodeId, active: &dyn Fn(NodeId) -> bool) {
        let tape = outer.tape();
        let def = tape.scan_def(scan);
        let sources = tape.inner.borrow().nodes[scan as usize].inputs.clone();
        let moves = |id: NodeId| active(id) && self.values.contains_key(&id);
        let flow = Flow::forward(tape, &def, &sources, &moves);
        let carries = flow.carries.clone();
        let activity: Vec<bool> = def.nodes.clone().map(|id| flow.active(id)).collect();
        let inside = |id: NodeId| match id.checked_sub(def.nodes.start) {
            Some(at) => activity.get(at as usize).copied().unwrap_or_else(|| active(id)),
            None => active(id),
        };

        let mut body = Body::open(tape, def.length, def.reverse);
        let mut places = HashMap::new();
        for k in (0..def.carries.len()).filter(|k| carries[*k]) {
            let port = Var { tape, id: def.carries[k] };
            let init = self.values.get(&sources[k]).copied().unwrap_or_else(|| port.zeros_like());
            places.insert(k, places.len());
            self.values.insert(port.id, body.carry(init));
        }
        for (j, port) in def.items.iter().enumerate() {
            if let Some(tangent) = self.values.get(&sources[def.carries.len() + j]).copied() {
                self.values.insert(*port, body.item(tangent));
            }
        }
        let scope = Scope::inside(outer, scan, def.clone(), body);
        self.walk(&scope, def.nodes.clone(), &[def.body], &inside);
        let moving = || (0..def.carries.len()).filter(|k| carries[*k]);
        let next: Vec<Var<'t>> = moving()
            .map(|k| {
                let zero = || Var { tape, id: def.next[k] }.zeros_like();
                self.values.get(&def.next[k]).copied().unwrap_or_else(zero)
            })
            .collect();
        let name_of = |at| format!("tangent of carry {}", moving().nth(at).unwrap_or(at));
        let body = scope.into_body().expect("the scope was made with a body");
        // A tangent body that cannot be closed leaves an invalid value, which final carries and taps pass on.
        match body.close(&next, &name_of) {
            Ok(closed) => {
                self.scans.insert(scan, (closed, places));
            }
            Err(broken) => {
                self.values.extend(def.nodes.clone().map(|id| (id, broken)));
            }
        }
    }
}

/// The tangent of a tap: `tangent` (of body value `node`) at all steps, in the tap's `shape`. A tangent that does
/// not change over some of the loops is repeated.
fn stacked<'t>(scan: Var<'t>, tangent: Var<'t>, node: NodeId, shape: &crate::Shape) -> Var<'t> {
    let tape = scan.tape();
    let (outermost, mut lengths) = {
        let inner = tape.inner.borrow();
        let Op::Scan(number) = inner.nodes[scan.id as usize].op else { return scan };
        let outermost = inner.scans[number as usize].body;
        // The loops that the tangent changes over, outermost first.
        let mut lengths: Vec<usize> = Vec::new();
        let mut body = inner.nodes[tangent.id as usize].body;
        let mut within = false;
        while body != 0 {
            lengths.insert(0, inner.bodies[body as usize].length);
            if body == outermost {
                within = true;
                break;
            }
            body = inner.bodies[body as usize].parent;
        }
        (within.then_some(outermost), lengths)
    };
    let own = tape.inner.borrow().nodes[node as usize].shape.rank();
    let value = match outermost {
        Some(_) => tape.tap(scan, tangent.id),
        None => {
            lengths.clear();
            tangent
        }
    };
    let missing = shape.rank() - own - lengths.len();
    let (Ok(found), true) = (value.shape(), missing > 0) else { return value };
    let padded: crate::Shape = found[..lengths.len()]
        .iter()
        .copied()
        .chain(std::iter::repeat_n(1, missing))
        .chain(found[lengths.len()..].iter().copied())
        .collect();
    value.reshape(padded).expand(shape)
}
