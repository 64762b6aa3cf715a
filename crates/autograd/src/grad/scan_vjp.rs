//! The derivative of a scan is a scan, in the other direction, over the derivative of its body.

use super::cotangent::{ScanCotangents, Store};
use super::scope::Scope;
use super::{carries_derivative, walk};
use crate::node::{NodeId, Op};
use crate::ops::{Contribution, Reduce};
use crate::scan::{Body, ScanDef};
use crate::tape::Tape;
use crate::var::Var;
use std::collections::HashMap;
use wengert_kernels::Reduction;

/// Records the cotangents of a scan's inputs; `give` receives the tape's input nodes.
pub(super) fn scan_vjp<'t>(
    outer: &Scope<'_, 't>,
    scan: NodeId,
    cts: ScanCotangents<'t>,
    active: &dyn Fn(NodeId) -> bool,
    give: &mut dyn FnMut(NodeId, Var<'t>),
) {
    let tape = outer.tape();
    let def = tape.scan_def(scan);
    let sources = tape.inner.borrow().nodes[scan as usize].inputs.clone();
    let flow = Flow::new(tape, &def, &sources, &cts, active);

    let mut body = Body::open(tape, def.length, !def.reverse);
    let mut ports: Vec<(usize, Var<'t>)> = Vec::new();
    for k in 0..def.carries.len() {
        if flow.carries[k] {
            let port = Var { tape, id: def.carries[k] };
            let (shape, dtype) = port.node(|n| (n.shape.clone(), n.dtype));
            let init = cts.finals.get(&k).copied();
            let init = init.unwrap_or_else(|| tape.literal(0.0, dtype).expand(shape));
            ports.push((k, body.carry(init)));
        }
    }
    let taps: Vec<(NodeId, Var<'t>)> = cts.taps.iter().map(|(node, ct)| (*node, body.item(*ct))).collect();

    let mut store = Store::of_body(tape, &def.nodes, def.body);
    for (k, port) in &ports {
        store.add(def.next[*k], Contribution::Whole(*port));
    }
    for (node, item) in taps {
        match scan_between(tape, &def, node) {
            // The tap of a value in a loop inside of this one: a tap of that loop.
            Some(nested) if flow.active(nested) => store.add_tap(nested, node, item),
            None if flow.active(node) => store.add(node, Contribution::Whole(item)),
            _ => {}
        }
    }
    let scope = Scope::inside(outer, scan, def.clone(), body);
    // Ports have no rule, so what reaches them is collected here.
    let mut at_ports: HashMap<NodeId, Var<'t>> = HashMap::new();
    walk(&scope, &mut store, &|id| flow.active(id), &mut |id, ct| {
        if def.carries.contains(&id) || def.items.contains(&id) {
            at_ports.insert(id, ct);
        }
    });
    let next: Vec<(String, Var<'t>)> = ports
        .iter()
        .map(|(k, port)| {
            let zero = || {
                let (shape, dtype) = port.node(|n| (n.shape.clone(), n.dtype));
                tape.literal(0.0, dtype).expand(shape)
            };
            (format!("cotangent of carry {k}"), at_ports.get(&def.carries[*k]).copied().unwrap_or_else(zero))
        })
        .collect();
    let outside = std::mem::take(&mut store.outside);
    let body = scope.into_body().expect("the scope was made with a body");
    let inside = body.id();
    let closed = match body.close(&next) {
        Ok(closed) => closed,
        Err(broken) => {
            sources.iter().filter(|id| active(**id)).for_each(|id| give(*id, broken));
            return;
        }
    };
    for (index, (k, _)) in ports.iter().enumerate() {
        if active(sources[*k]) {
            give(sources[*k], tape.final_carry(closed, index));
        }
    }
    for (j, port) in def.items.iter().enumerate() {
        let source = sources[def.carries.len() + j];
        if let Some(ct) = at_ports.get(port).filter(|_| active(source)) {
            give(source, over_time(closed, inside, def.length, *ct));
        }
    }
    for (id, ct) in outside {
        if active(id) {
            give(id, time_sum(closed, inside, def.length, ct));
        }
    }
}

/// Which values of a body depend on something whose gradient is asked, and which carries bring cotangents back.
struct Flow<'a> {
    start: NodeId,
    body: u32,
    inside: Vec<(u32, bool)>,
    carries: Vec<bool>,
    outer: &'a dyn Fn(NodeId) -> bool,
}

impl<'a> Flow<'a> {
    fn new(
        tape: &Tape,
        def: &ScanDef,
        sources: &[NodeId],
        cts: &ScanCotangents<'_>,
        outer: &'a dyn Fn(NodeId) -> bool,
    ) -> Flow<'a> {
        let inner = tape.inner.borrow();
        let range = &inner.nodes[def.nodes.start as usize..def.nodes.end as usize];
        let inside = range.iter().map(|n| (n.body, false)).collect();
        let carries = sources[..def.carries.len()].iter().map(|id| outer(*id)).collect();
        let mut flow = Flow { start: def.nodes.start, body: def.body, inside, carries, outer };
        // Forward: a carry is active if its start is, or if what it becomes is.
        loop {
            for (i, node) in range.iter().enumerate() {
                if node.body != def.body {
                    continue;
                }
                let id = def.nodes.start + i as NodeId;
                let carry = def.carries.iter().position(|port| *port == id);
                let item = def.items.iter().position(|port| *port == id);
                let own = match (carry, item) {
                    (Some(k), _) => flow.carries[k],
                    (_, Some(j)) => outer(sources[def.carries.len() + j]),
                    _ => node.inputs.iter().any(|input| flow.active(*input)),
                };
                flow.inside[i].1 = own && carries_derivative(&node.op, node.dtype);
            }
            let grown: Vec<usize> =
                (0..def.carries.len()).filter(|k| !flow.carries[*k] && flow.active(def.next[*k])).collect();
            if grown.is_empty() {
                break;
            }
            grown.into_iter().for_each(|k| flow.carries[k] = true);
        }
        // Backward: of the active carries, those that a cotangent reaches.
        let mut live: Vec<bool> = (0..def.carries.len()).map(|k| cts.finals.contains_key(&k)).collect();
        loop {
            let mut reached = vec![false; range.len()];
            let mark = |id: NodeId, reached: &mut Vec<bool>| {
                if id >= def.nodes.start && id < def.nodes.end && flow.active(id) {
                    reached[(id - def.nodes.start) as usize] = true;
                }
            };
            for (node, _) in &cts.taps {
                let seed = scan_between_nodes(&inner, def, *node).unwrap_or(*node);
                mark(seed, &mut reached);
            }
            for (k, next) in def.next.iter().enumerate() {
                if live[k] {
                    mark(*next, &mut reached);
                }
            }
            for i in (0..range.len()).rev() {
                if reached[i] && range[i].body == def.body {
                    range[i].inputs.iter().for_each(|input| mark(*input, &mut reached));
                }
            }
            let grown: Vec<usize> = (0..def.carries.len())
                .filter(|k| !live[*k] && reached[(def.carries[*k] - def.nodes.start) as usize])
                .collect();
            if grown.is_empty() {
                break;
            }
            grown.into_iter().for_each(|k| live[k] = true);
        }
        for (carry, live) in flow.carries.iter_mut().zip(live) {
            *carry &= live;
        }
        flow
    }

    fn active(&self, id: NodeId) -> bool {
        let at = id.checked_sub(self.start).and_then(|i| self.inside.get(i as usize));
        match at {
            Some((body, active)) if *body == self.body => *active,
            _ => (self.outer)(id),
        }
    }
}

/// The scan node in `def`'s own body through which a value of a nested body is reached; `None` for `def`'s own values.
fn scan_between(tape: &Tape, def: &ScanDef, node: NodeId) -> Option<NodeId> {
    scan_between_nodes(&tape.inner.borrow(), def, node)
}

fn scan_between_nodes(inner: &crate::tape::Inner, def: &ScanDef, node: NodeId) -> Option<NodeId> {
    let mut body = inner.nodes[node as usize].body;
    let mut through = None;
    while body != def.body {
        let info = inner.bodies[body as usize];
        through = info.scan;
        body = info.parent;
    }
    through
}

/// A value of a closed body at all steps; a value that does not change over time is repeated.
fn over_time<'t>(scan: Var<'t>, inside: u32, length: usize, value: Var<'t>) -> Var<'t> {
    let tape = scan.tape();
    let (body, shape) = value.node(|n| (n.body, n.shape.clone()));
    if body == inside { tape.tap(scan, value.id) } else { value.expand(shape.with_front(length)) }
}

/// The sum over time of a value of a closed body.
///
/// The sum of matrix products `Σ_t A_tᵀ·B_t` is one product over time and rows together, and a sum over rows becomes
/// one over time and rows: gradients of weights and biases never exist step by step.
fn time_sum<'t>(scan: Var<'t>, inside: u32, length: usize, value: Var<'t>) -> Var<'t> {
    let tape = scan.tape();
    let (op, inputs, body, shape, dtype) =
        value.node(|n| (n.op.clone(), n.inputs.clone(), n.body, n.shape.clone(), n.dtype));
    if body != inside {
        return value * tape.literal(length as f64, dtype);
    }
    let input = |i: usize| Var { tape, id: inputs[i] };
    match op {
        Op::Reshape(_) => time_sum(scan, inside, length, input(0)).reshape(shape),
        Op::Permute(permute) => {
            let order: Vec<usize> = permute.order.iter().map(|axis| *axis as usize).collect();
            time_sum(scan, inside, length, input(0)).permute(&order)
        }
        Op::Reduce(Reduce { kind: Reduction::Sum, first: 0, count }) => {
            let rows = over_time(scan, inside, length, input(0));
            let axes: Vec<isize> = (0..=count as isize).collect();
            rows.sum_axes(axes.as_slice())
        }
        Op::Matmul(_) if shape.rank() == 2 => {
            let (a, b) = (transposed(input(0)), Some(input(1)));
            match (a, b) {
                (Some(a), Some(b)) if [a, b].iter().all(|v| v.node(|n| n.body == inside && n.shape.rank() == 2)) => {
                    let flat = |v: Var<'t>| {
                        let shape = v.node(|n| n.shape.clone());
                        over_time(scan, inside, length, v).reshape([length * shape[0], shape[1]])
                    };
                    flat(a).t().matmul(flat(b))
                }
                _ => over_time(scan, inside, length, value).sum_axes(0),
            }
        }
        _ => over_time(scan, inside, length, value).sum_axes(0),
    }
}

/// `a` if the value is the matrix `aᵀ`.
fn transposed(value: Var<'_>) -> Option<Var<'_>> {
    let (op, inputs) = value.node(|n| (n.op.clone(), n.inputs.clone()));
    match op {
        Op::Permute(permute) if permute.order[..] == [1, 0] => Some(Var { tape: value.tape(), id: inputs[0] }),
        _ => None,
    }
}
