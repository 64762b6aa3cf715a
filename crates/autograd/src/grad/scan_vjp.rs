//! The derivative of a scan is a scan, in the other direction, over the derivative of its body.

use super::cotangent::{ScanCotangents, Store};
use super::flow::{Flow, scan_between};
use super::scope::Scope;
use super::walk;
use crate::node::{NodeId, Op};
use crate::ops::{Contribution, Matmul, Reduce};
use crate::origin::Pass;
use crate::scan::Body;
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
    let flow = Flow::forward(tape, &def, &sources, active).reached_by(tape, &def, &cts);

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
        let through = scan_between(&tape.inner.borrow(), &def, node);
        match through {
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
    let next: Vec<Var<'t>> = ports
        .iter()
        .map(|(k, port)| {
            let zero = || {
                let (shape, dtype) = port.node(|n| (n.shape.clone(), n.dtype));
                tape.literal(0.0, dtype).expand(shape)
            };
            at_ports.get(&def.carries[*k]).copied().unwrap_or_else(zero)
        })
        .collect();
    let outside = std::mem::take(&mut store.outside);
    let body = scope.into_body().expect("the scope was made with a body");
    let inside = body.id();
    let closed = match body.close(&next, &|at| format!("cotangent of carry {}", ports[at].0)) {
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
            // The sum belongs to the line of the body that uses the value, not to that of the scan.
            let _rule = tape.derivative("scan", ct.node(|n| n.at));
            tape.inner.borrow_mut().record_for(Some((Pass::Backward, id)));
            tape.note_cotangent(ct.id);
            give(id, time_sum(closed, inside, def.length, ct));
        }
    }
    tape.inner.borrow_mut().record_for(Some((Pass::Backward, scan)));
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
    // In the order in which the loop has its values, so that it may hand them over segment by segment.
    let backward = tape.scan_def(scan.id).reverse;
    match op {
        Op::Reshape(_) => time_sum(scan, inside, length, input(0)).reshape(shape),
        Op::Permute(permute) => {
            let order: Vec<usize> = permute.order.iter().map(|axis| *axis as usize).collect();
            time_sum(scan, inside, length, input(0)).permute(&order)
        }
        Op::Reduce(Reduce { kind: Reduction::Sum, first: 0, count, .. }) => {
            over_time(scan, inside, length, input(0)).sum_leading(count + 1, backward)
        }
        Op::Matmul(_) if shape.rank() == 2 => {
            let (a, b) = (transposed(input(0)), Some(input(1)));
            match (a, b) {
                (Some(a), Some(b)) if [a, b].iter().all(|v| v.node(|n| n.body == inside && n.shape.rank() == 2)) => {
                    let flat = |v: Var<'t>| {
                        let shape = v.node(|n| n.shape.clone());
                        over_time(scan, inside, length, v).reshape([length * shape[0], shape[1]])
                    };
                    flat(a).t().product(flat(b), Matmul { backward })
                }
                _ => over_time(scan, inside, length, value).sum_leading(1, backward),
            }
        }
        _ => over_time(scan, inside, length, value).sum_leading(1, backward),
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
