//! How a scan runs.

/// How a scan runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanOptions {
    /// From the last step to the first; outputs keep the places of their inputs.
    pub reverse: bool,
    /// The number of steps; needed if nothing is scanned over.
    pub length: Option<usize>,
    /// What is kept for derivatives.
    pub checkpoint: Checkpoint,
}

impl ScanOptions {
    /// From the last step to the first.
    pub fn reversed(self) -> Self {
        ScanOptions { reverse: true, ..self }
    }

    /// A number of steps, for a scan over nothing.
    pub fn length(self, steps: usize) -> Self {
        ScanOptions { length: Some(steps), ..self }
    }

    /// What is kept for derivatives.
    pub fn checkpoint(self, checkpoint: Checkpoint) -> Self {
        ScanOptions { checkpoint, ..self }
    }
}

/// Which values of a [`scan`](crate::Tape::scan) are kept for its derivative. Whatever it is, results have the same bits.
///
/// Without checkpoints, the values that the derivative reads are kept for all steps. With checkpoints, time is cut into segments. The
/// forward pass keeps the carry at their starts; the backward pass, segment by segment from the last to the first, computes the
/// values of one segment again, goes back through it, and adds what it gives to the gradients of weights. Scanned
/// inputs, outputs that something else reads and their cotangents are as long as they are.
///
/// Segments end where the sums over time behind gradients of weights can be cut without a change of bits: for a weight in a
/// product with `B` rows after multiples of 512 rows, so of 512 steps for one sequence and of 8 for `B = 64`; for a captured value that is
/// added or multiplied after multiples of 64 steps (of 1024 if it is a single number).
///
/// A derivative reads these values of a loop in another loop, recorded on the same level. Where it is not so, as for
/// second derivatives, they are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Checkpoint {
    /// Everything is kept.
    #[default]
    None,
    /// Segments of so many steps, or of the next larger number at which sums over time can be cut.
    Every(usize),
    /// As few computations as these bytes allow: no segments if they are enough to keep everything, else segments,
    /// segments of segments, and so on. Each level costs one more forward pass. It is what a program that computes a loss and
    /// its first derivatives may take for this loop in addition to the inputs, requested outputs and their cotangents; if it
    /// is too little for any schedule, the one of least memory is taken.
    Budget(usize),
}
