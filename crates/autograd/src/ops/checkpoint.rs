//! Regions of a recording whose values derivatives compute again instead of keeping them.

use super::{Contribution, Rule};
use crate::grad::Local;
use crate::node::{BodyId, NodeId};
use crate::program::Lower;
use crate::tape::{Inner, Tape};
use crate::var::Var;
use std::ops::Range;

/// A region: a range of tape indices.
pub(crate) struct Region {
    /// Empty until the region has ended.
    pub nodes: Range<NodeId>,
    /// The body it was opened in.
    pub body: BodyId,
    /// The region around it.
    pub parent: Option<usize>,
    open: bool,
}

impl Tape {
    /// `f()`, whose values are not kept for derivatives: where a derivative reads one, it is computed again from the values that
    /// `f` uses from outside. It costs one more evaluation of `f` for each derivative, and saves the memory of everything inside.
    /// Results have the same bits as without.
    ///
    /// The closure may use any outer value and parameter, and may contain loops, further checkpoints and derivatives. In the
    /// body of a [`scan`](Tape::scan), what is kept for each step is what the region reads, such as the carry. What does not change over time
    /// is recorded outside of the loop and kept.
    ///
    /// ```
    /// use wengert_autograd::{Param, Tape, Tensor};
    /// let w = Param::new(Tensor::full([8, 8], 0.1, wengert_autograd::DType::F64));
    /// let tape = Tape::new();
    /// let x = tape.var(Tensor::full([4, 8], 0.5, wengert_autograd::DType::F64));
    /// let layer = |h| tape.checkpoint(|| x + (x.matmul(&w) + h).tanh().matmul(&w).tanh());
    /// let loss = (0..10).fold(x, |h, _| layer(h)).square().mean();
    /// assert!(loss.backward()?.get(&w).is_some());
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    pub fn checkpoint<R>(&self, f: impl FnOnce() -> R) -> R {
        /// Ends the region. One whose closure panics is left without nodes.
        struct Open<'t>(&'t Tape, usize);
        impl Drop for Open<'_> {
            fn drop(&mut self) {
                self.0.inner.borrow_mut().regions[self.1].open = false;
            }
        }
        let number = {
            let inner = &mut *self.inner.borrow_mut();
            let start = inner.nodes.len() as NodeId;
            let body = *inner.open.last().expect("the tape itself is always open");
            // Those that are open are around the last one, or are it.
            let mut parent = inner.regions.len().checked_sub(1);
            while let Some(number) = parent.filter(|number| !inner.regions[*number].open) {
                parent = inner.regions[number].parent;
            }
            inner.regions.push(Region { nodes: start..start, body, parent, open: true });
            inner.regions.len() - 1
        };
        let _open = Open(self, number);
        let result = f();
        let inner = &mut *self.inner.borrow_mut();
        inner.regions[number].nodes.end = inner.nodes.len() as NodeId;
        result
    }
}

impl Inner {
    /// The innermost region that has ended and holds the node.
    pub(crate) fn region_of(&self, node: NodeId) -> Option<usize> {
        // Regions are in the order of their first nodes, and either nested or apart.
        let mut at = self.regions.partition_point(|region| region.nodes.start <= node).checked_sub(1);
        while let Some(number) = at.filter(|number| !self.regions[*number].nodes.contains(&node)) {
            at = self.regions[number].parent;
        }
        at
    }
}

/// [`Op::Fence`](crate::node::Op::Fence): keeps a recomputation from being merged or fused with the first computation. It is behind
/// an [`AgainRule`], so no derivative gets here.
pub(crate) struct FenceRule;

pub(crate) static FENCE: FenceRule = FenceRule;

impl Rule for FenceRule {
    fn name(&self) -> &'static str {
        "fence"
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

/// [`Op::Again`](crate::node::Op::Again): to derivatives, a value that was computed again is the one that it stands for.
pub(crate) struct AgainRule;

pub(crate) static AGAIN: AgainRule = AgainRule;

impl Rule for AgainRule {
    fn name(&self) -> &'static str {
        "recomputed"
    }

    fn vjp<'t>(&self, _: &Local<'_, 't>, ct: Var<'t>, give: &mut dyn FnMut(usize, Contribution<'t>)) {
        give(1, Contribution::Whole(ct));
    }

    fn jvp<'t>(&self, _: &Local<'_, 't>, tangents: &[Option<Var<'t>>]) -> Option<Var<'t>> {
        tangents[1]
    }

    fn lower(&self, _: &mut Lower<'_>, _: usize) {
        unreachable!("a graph holds the value that was computed");
    }
}
