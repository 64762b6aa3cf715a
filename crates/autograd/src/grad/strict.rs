//! Derivatives that were asked for and cannot flow: why, and where they stop.

use super::{carries_derivative, derivative_inputs};
use crate::error::ErrorKind;
use crate::node::{NodeId, Op, Port};
use crate::record::Fault;
use crate::tape::Inner;
use crate::var::Var;
use smallvec::SmallVec;

impl<'t> Var<'t> {
    /// An invalid value in place of the derivative `op` of `what` (this value) with respect to some of `inputs`: those that
    /// `asked` numbers.
    #[track_caller]
    pub(super) fn unreached(self, op: &str, what: &str, inputs: &[Var<'t>], asked: &[usize]) -> Var<'t> {
        let tape = self.tape();
        let wrt: Vec<Var<'t>> = asked.iter().map(|i| inputs[*i]).collect();
        if let Some(broken) = [self].iter().chain(&wrt).find(|v| tape.owned(**v).is_err()) {
            return *broken;
        }
        let called = asked.iter().map(|i| {
            let (name, at) = (tape.name_of(inputs[*i].id), inputs[*i].node(|n| n.at));
            let name = name.map_or(String::new(), |name| format!(" '{name}'"));
            format!("input {i}{name} (recorded at {}:{})", at.file(), at.line())
        });
        let called = called.collect::<Vec<_>>().join(" or ");
        let none = format!("ask for {op}_or_none, which says None");
        let (found, remedy) = match wrt.iter().any(|v| !v.node(|n| n.dtype.is_float())) {
            true => (format!("{called} is no float, and has no derivative"), none),
            false => self.why_unreached(what, &called, &wrt, &none),
        };
        tape.fail(op, Fault { kind: ErrorKind::Gradient, found, remedy })
    }

    /// Why no derivative flows from this value, which is `what`, to `wrt`, which are `called`; and what to do if not `none`.
    pub(super) fn why_unreached(self, what: &str, called: &str, wrt: &[Var<'t>], none: &str) -> (String, String) {
        match Stops::of(&self.tape().inner.borrow(), self.id, wrt) {
            Stops::Apart => (format!("{what} does not depend on {called}"), none.into()),
            Stops::At(places) => (
                format!("{what} depends on {called} only through {}, where no derivative flows", places.join(" and ")),
                format!("{none}, or give that step a derivative: with_derivative_of"),
            ),
            Stops::Elsewhere => (format!("no derivative flows from {what} to {called}"), none.into()),
        }
    }
}

/// Where derivatives stop on the way from a value to inputs.
enum Stops {
    /// There is no way at all.
    Apart,
    /// At these operations.
    At(Vec<String>),
    /// A rule on the way gives nothing.
    Elsewhere,
}

impl Stops {
    fn of(inner: &Inner, value: NodeId, wrt: &[Var<'_>]) -> Stops {
        let end = value as usize + 1;
        // Whether a node depends on an input in any way, and whether a derivative flows.
        let mut depends = vec![false; end];
        let mut flows = vec![false; end];
        for input in wrt.iter().filter(|v| (v.id as usize) < end) {
            (depends[input.id as usize], flows[input.id as usize]) = (true, true);
        }
        // What a step hands to the next one is known after the step: carries take another round.
        loop {
            let mut grown = false;
            for id in 0..end {
                let node = &inner.nodes[id];
                let any = sources(inner, id).iter().any(|source| get(&depends, *source));
                let open = matches!(node.op, Op::Scan(_)) || carries_derivative(&node.op, node.dtype);
                let own = open && differentiable(inner, id).iter().any(|source| get(&flows, *source));
                grown |= (any && !depends[id]) || (own && !flows[id]);
                depends[id] |= any;
                flows[id] |= own;
            }
            if !grown {
                break;
            }
        }
        if !depends[value as usize] {
            return Stops::Apart;
        }
        let mut needed = vec![false; end];
        let mut next = vec![value];
        while let Some(id) = next.pop() {
            if get(&depends, id) && !std::mem::replace(&mut needed[id as usize], true) {
                next.extend(sources(inner, id as usize));
            }
        }
        let stops =
            |id: &usize| needed[*id] && !flows[*id] && sources(inner, *id).iter().any(|source| get(&flows, *source));
        let mut places: Vec<String> = Vec::new();
        for id in (0..end).filter(stops) {
            let node = &inner.nodes[id];
            let place = format!("{} at {}:{}", inner.label(&node.op), node.at.file(), node.at.line());
            if !places.contains(&place) {
                places.push(place);
            }
        }
        const MOST: usize = 3;
        if places.len() > MOST {
            let more = places.len() - MOST;
            places.truncate(MOST);
            places.push(format!("{more} more"));
        }
        if places.is_empty() { Stops::Elsewhere } else { Stops::At(places) }
    }
}

fn get(flags: &[bool], id: NodeId) -> bool {
    flags.get(id as usize).copied().unwrap_or(false)
}

/// What a node is computed from, seen through loops.
fn sources(inner: &Inner, id: usize) -> SmallVec<[NodeId; 4]> {
    through(inner, id).unwrap_or_else(|| inner.nodes[id].inputs.clone())
}

/// As [`sources`], without those that no derivative flows to.
fn differentiable(inner: &Inner, id: usize) -> SmallVec<[NodeId; 4]> {
    through(inner, id).unwrap_or_else(|| derivative_inputs(&inner.nodes[id]).into())
}

/// What a port, or a result of a loop, is computed from.
fn through(inner: &Inner, id: usize) -> Option<SmallVec<[NodeId; 4]>> {
    let node = &inner.nodes[id];
    let loop_of = |scan: NodeId| match inner.nodes[scan as usize].op {
        Op::Scan(number) => (&inner.scans[number as usize], &inner.nodes[scan as usize].inputs),
        _ => unreachable!("the node is a scan"),
    };
    Some(match node.op {
        Op::Tap(target) => SmallVec::from_slice(&[target]),
        Op::Again => SmallVec::from_slice(&[node.inputs[1]]),
        Op::Final(k) => {
            let (def, inputs) = loop_of(node.inputs[0]);
            SmallVec::from_slice(&[inputs[k as usize], def.next[k as usize]])
        }
        Op::Placeholder { body, kind, index } => {
            // A body that is still open has no loop yet.
            let (def, inputs) = loop_of(inner.bodies[body as usize].scan?);
            match kind {
                Port::Carry => SmallVec::from_slice(&[inputs[index as usize], def.next[index as usize]]),
                Port::Item => SmallVec::from_slice(&[inputs[def.carries.len() + index as usize]]),
            }
        }
        _ => return None,
    })
}
