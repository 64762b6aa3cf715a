//! Values of a [checkpoint](crate::Tape::checkpoint) as its derivative reads them: recorded again, from what the region uses from
//! outside.
//!
//! The forward values of the region are then dead after their last forward use, and the copies, which stand later on the tape, are
//! computed when the derivative gets to them. A fence before everything that enters the region keeps both apart.

use super::scope::Scope;
use crate::node::{NodeId, Op};
use crate::record::Recorded;
use crate::scan::Body;
use crate::var::Var;

impl<'t> Scope<'_, 't> {
    /// The forward value of node `id` for the derivative of node `asker`.
    pub(super) fn value(&self, asker: NodeId, id: NodeId) -> Var<'t> {
        let region = self.tape().inner.borrow().region_of(asker);
        self.value_in(region, id)
    }

    /// The forward value of node `id` for the derivative of something in a region.
    fn value_in(&self, region: Option<usize>, id: NodeId) -> Var<'t> {
        match self.region_here(region, id) {
            Some(region) if self.is_own(id) => {
                let again = self.recomputed(region, id);
                if again.id == id { again } else { in_place_of(again, self.kept(id)) }
            }
            _ => self.kept(id),
        }
    }

    /// The values of `node` (of the body of the forward `scan`) at all its steps.
    pub(super) fn stacked(&self, scan: NodeId, node: NodeId) -> Var<'t> {
        let tape = self.tape();
        let def = tape.scan_def(scan);
        if let Some(item) = def.items.iter().position(|port| *port == node) {
            let source = tape.inner.borrow().nodes[scan as usize].inputs[def.carries.len() + item];
            return self.value(scan, source);
        }
        let region = tape.inner.borrow().region_of(scan);
        match self.region_here(region, scan) {
            Some(region) if self.is_own(scan) => {
                let again = self.recomputed(region, scan);
                let copy = self.copies().borrow()[&(region, node)];
                in_place_of(tape.tap(again, copy.id), self.kept_steps(scan, node))
            }
            _ => self.kept_steps(scan, node),
        }
    }

    /// The innermost of a region and those around it that holds the node and was opened at this scope's level.
    fn region_here(&self, mut region: Option<usize>, id: NodeId) -> Option<usize> {
        let inner = self.tape().inner.borrow();
        while let Some(number) = region {
            let found = &inner.regions[number];
            if found.nodes.contains(&id) && self.is_level(&inner, found.body) {
                break;
            }
            region = found.parent;
        }
        region
    }

    /// A value of a region, recorded again.
    fn recomputed(&self, region: usize, id: NodeId) -> Var<'t> {
        for node in self.missing(region, id) {
            let again = self.again(region, node);
            self.keep(region, node, again);
        }
        self.copies().borrow()[&(region, id)]
    }

    /// What of the region has to be recorded for node `id`, in order.
    fn missing(&self, region: usize, id: NodeId) -> Vec<NodeId> {
        let inner = self.tape().inner.borrow();
        let copies = self.copies().borrow();
        let mut found = std::collections::BTreeSet::new();
        let mut next = vec![id];
        while let Some(id) = next.pop() {
            let inside = inner.regions[region].nodes.contains(&id) && self.is_own_of(&inner, id);
            if inside && !copies.contains_key(&(region, id)) && found.insert(id) {
                next.extend(&inner.nodes[id as usize].inputs);
            }
        }
        found.into_iter().collect()
    }

    fn keep(&self, region: usize, node: NodeId, again: Var<'t>) {
        self.copies().borrow_mut().insert((region, node), again);
    }

    /// Records a node of the region once more; what it depends on in the region has been.
    fn again(&self, region: usize, id: NodeId) -> Var<'t> {
        let tape = self.tape();
        let (node, held) = {
            let inner = tape.inner.borrow();
            (inner.nodes[id as usize].clone(), inner.kept.contains_key(&id))
        };
        if held
            || matches!(node.op, Op::Leaf(_) | Op::Scalar(_) | Op::Literal(_) | Op::Error(_) | Op::Placeholder { .. })
        {
            return fenced(Var { tape, id });
        }
        let _at = tape.derivative(node.op.name(), node.at);
        let inputs: Vec<Var<'t>> = node.inputs.iter().map(|input| self.entering(region, *input)).collect();
        match node.op {
            Op::Scan(_) => self.scan_again(region, id, &inputs),
            Op::Tap(target) => tape.tap(inputs[0], self.copies().borrow()[&(region, target)].id),
            Op::Final(index) => tape.final_carry(inputs[0], index as usize),
            op => tape.op(op.name(), &inputs, |_| {
                Ok(Some(Recorded { op: op.clone(), shape: node.shape, dtype: node.dtype }))
            }),
        }
    }

    /// What stands for node `id` in the copy of a region: a copy, or a value from outside behind a fence.
    fn entering(&self, region: usize, id: NodeId) -> Var<'t> {
        if let Some(copy) = self.copies().borrow().get(&(region, id)) {
            return *copy;
        }
        let around = self.tape().inner.borrow().regions[region].parent;
        let value = fenced(self.value_in(around, id));
        self.copies().borrow_mut().insert((region, id), value);
        value
    }

    /// Records a loop once more, with its body and the loops in it.
    fn scan_again(&self, region: usize, scan: NodeId, inputs: &[Var<'t>]) -> Var<'t> {
        let tape = self.tape();
        let def = tape.scan_def(scan);
        let mut body = Body::open(tape, def.length, def.reverse).checkpointed(def.checkpoint);
        for (k, port) in def.carries.iter().enumerate() {
            self.keep(region, *port, body.carry(inputs[k]));
        }
        for (j, port) in def.items.iter().enumerate() {
            self.keep(region, *port, body.item(inputs[def.carries.len() + j]));
        }
        for id in def.nodes.clone() {
            let port = def.carries.contains(&id) || def.items.contains(&id);
            if !port && tape.inner.borrow().nodes[id as usize].body == def.body {
                self.keep(region, id, self.again(region, id));
            }
        }
        let next: Vec<Var<'t>> = def.next.iter().map(|id| self.entering(region, *id)).collect();
        body.close(&next, &|_| String::new()).unwrap_or_else(|broken| broken)
    }
}

/// A value from outside as the start of a recomputation; numbers are not computed.
fn fenced(value: Var<'_>) -> Var<'_> {
    let tape = value.tape();
    tape.op("checkpoint", &[value], |nodes| match nodes[0].op {
        Op::Scalar(_) | Op::Literal(_) => Ok(None),
        _ => Ok(Some(Recorded { op: Op::Fence, shape: nodes[0].shape.clone(), dtype: nodes[0].dtype })),
    })
}

/// A value that was computed again, to which derivatives are those of the first computation.
fn in_place_of<'t>(again: Var<'t>, first: Var<'t>) -> Var<'t> {
    again.tape().op("checkpoint", &[again, first], |nodes| {
        Ok(Some(Recorded { op: Op::Again, shape: nodes[0].shape.clone(), dtype: nodes[0].dtype }))
    })
}
