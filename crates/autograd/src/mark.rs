//! Points of a recording to which it can be cut back.

use crate::tape::Tape;

/// A point of a recording.
pub(crate) struct Mark {
    nodes: usize,
    leaves: usize,
    scans: usize,
    bodies: usize,
    fences: u32,
    origins: usize,
}

impl Tape {
    /// Where the recording stands.
    pub(crate) fn mark(&self) -> Mark {
        let inner = self.inner.borrow();
        Mark {
            nodes: inner.nodes.len(),
            leaves: inner.leaves.len(),
            scans: inner.scans.len(),
            bodies: inner.bodies.len(),
            fences: inner.fences,
            origins: inner.origins.len(),
        }
    }

    /// Whether leaves were made since.
    pub(crate) fn has_leaves_since(&self, mark: &Mark) -> bool {
        self.inner.borrow().leaves.len() > mark.leaves
    }

    /// Forgets what was recorded since, which nothing may refer to any more. Errors stay.
    pub(crate) fn forget(&self, since: &Mark) {
        let inner = &mut *self.inner.borrow_mut();
        inner.nodes.truncate(since.nodes);
        inner.leaves.truncate(since.leaves);
        inner.scans.truncate(since.scans);
        inner.bodies.truncate(since.bodies);
        inner.fences = since.fences;
        inner.origins.truncate(since.origins);
    }
}
