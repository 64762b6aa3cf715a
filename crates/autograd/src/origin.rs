//! Which nodes a derivative recorded, and of what: for listings, profiles and the trace of non-finite values.

use crate::node::NodeId;
use crate::tape::{Inner, Tape};

/// The walk that recorded a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pass {
    /// Recorded by the user's formulas.
    Forward,
    /// Recorded by reverse-mode differentiation.
    Backward,
    /// Recorded by forward-mode differentiation.
    Tangent,
}

impl std::fmt::Display for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Pass::Forward => "forward",
            Pass::Backward => "backward",
            Pass::Tangent => "tangent",
        })
    }
}

/// From node `start` to the start of the next entry, nodes were recorded for the derivative of node `of`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub start: NodeId,
    /// The pass, and the node that is differentiated; `None` for the user's own formulas.
    pub of: Option<(Pass, NodeId)>,
    /// The cotangent of `of`, once it is known.
    pub cotangent: Option<NodeId>,
}

impl Inner {
    /// What the next nodes are recorded for.
    pub(crate) fn recording_for(&self) -> Option<(Pass, NodeId)> {
        self.origins.last().and_then(|origin| origin.of)
    }

    /// Says what the next nodes are recorded for.
    pub(crate) fn record_for(&mut self, of: Option<(Pass, NodeId)>) {
        self.origins.push(Origin { start: self.nodes.len() as NodeId, of, cotangent: None });
    }

    /// The pass that recorded a node, and the node whose derivative it is part of.
    pub(crate) fn origin(&self, id: NodeId) -> Option<(Pass, NodeId)> {
        let after = self.origins.partition_point(|origin| origin.start <= id);
        self.origins[..after].last().and_then(|origin| origin.of)
    }

    /// The pass that recorded a node.
    pub(crate) fn pass(&self, id: NodeId) -> Pass {
        self.origin(id).map_or(Pass::Forward, |(pass, _)| pass)
    }
}

impl Tape {
    /// Notes the cotangent of the node that the next nodes are recorded for.
    pub(crate) fn note_cotangent(&self, cotangent: NodeId) {
        if let Some(origin) = self.inner.borrow_mut().origins.last_mut() {
            origin.cotangent = Some(cotangent);
        }
    }
}
