//! Which values of a scan body take part in a derivative.

use super::cotangent::ScanCotangents;
use super::{carries_derivative, derivative_inputs};
use crate::node::NodeId;
use crate::scan::ScanDef;
use crate::tape::{Inner, Tape};

/// Which values of a body depend on something whose derivative is asked, and which carries take part.
pub(super) struct Flow<'a> {
    start: NodeId,
    body: u32,
    inside: Vec<(u32, bool)>,
    /// For each carry component, whether it takes part.
    pub carries: Vec<bool>,
    outer: &'a dyn Fn(NodeId) -> bool,
}

impl<'a> Flow<'a> {
    /// What depends on active outer values: a carry is active if its start is, or if what it becomes is.
    pub(super) fn forward(
        tape: &Tape,
        def: &ScanDef,
        sources: &[NodeId],
        outer: &'a dyn Fn(NodeId) -> bool,
    ) -> Flow<'a> {
        let inner = tape.inner.borrow();
        let range = &inner.nodes[def.nodes.start as usize..def.nodes.end as usize];
        let inside = range.iter().map(|n| (n.body, false)).collect();
        let carries = sources[..def.carries.len()].iter().map(|id| outer(*id)).collect();
        let mut flow = Flow { start: def.nodes.start, body: def.body, inside, carries, outer };
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
                    _ => derivative_inputs(node).iter().any(|input| flow.active(*input)),
                };
                flow.inside[i].1 = own && carries_derivative(&node.op, node.dtype);
            }
            let grown: Vec<usize> =
                (0..def.carries.len()).filter(|k| !flow.carries[*k] && flow.active(def.next[*k])).collect();
            if grown.is_empty() {
                return flow;
            }
            grown.into_iter().for_each(|k| flow.carries[k] = true);
        }
    }

    /// Keeps, of the active carries, those that a cotangent reaches.
    pub(super) fn reached_by(mut self, tape: &Tape, def: &ScanDef, cts: &ScanCotangents<'_>) -> Flow<'a> {
        let inner = tape.inner.borrow();
        let range = &inner.nodes[def.nodes.start as usize..def.nodes.end as usize];
        let mut live: Vec<bool> = (0..def.carries.len()).map(|k| cts.finals.contains_key(&k)).collect();
        loop {
            let mut reached = vec![false; range.len()];
            let mark = |id: NodeId, reached: &mut Vec<bool>| {
                if id >= def.nodes.start && id < def.nodes.end && self.active(id) {
                    reached[(id - def.nodes.start) as usize] = true;
                }
            };
            for (node, _) in &cts.taps {
                mark(scan_between(&inner, def, *node).unwrap_or(*node), &mut reached);
            }
            for (k, next) in def.next.iter().enumerate() {
                if live[k] {
                    mark(*next, &mut reached);
                }
            }
            for i in (0..range.len()).rev() {
                if reached[i] && range[i].body == def.body {
                    derivative_inputs(&range[i]).iter().for_each(|input| mark(*input, &mut reached));
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
        for (carry, live) in self.carries.iter_mut().zip(live) {
            *carry &= live;
        }
        drop(inner);
        self
    }

    /// Whether a value of the body, or of outside, takes part.
    pub(super) fn active(&self, id: NodeId) -> bool {
        let at = id.checked_sub(self.start).and_then(|i| self.inside.get(i as usize));
        match at {
            Some((body, active)) if *body == self.body => *active,
            _ => (self.outer)(id),
        }
    }
}

/// The scan node in `def`'s own body through which a value of a nested body is reached; `None` for `def`'s own values.
pub(super) fn scan_between(inner: &Inner, def: &ScanDef, node: NodeId) -> Option<NodeId> {
    let mut body = inner.nodes[node as usize].body;
    let mut through = None;
    while body != def.body {
        let info = inner.bodies[body as usize];
        through = info.scan;
        body = info.parent;
    }
    through
}
