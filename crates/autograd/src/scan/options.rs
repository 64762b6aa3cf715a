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
/// How to choose: [`None`](Checkpoint::None) as long as memory suffices, since nothing is faster. Else
/// [`Budget`](Checkpoint::Budget) with the bytes that the scan may take: it finds the rest itself, and is `None` wherever that
/// fits. [`Every`](Checkpoint::Every) is for those who want to know what runs: one more forward pass, whatever the memory.
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
///
/// ```
/// use wengert_autograd::{Checkpoint, DType, Result, ScanOptions, Tape, Tensor};
/// // The gradient of a recurrent weight over 20,000 steps: the states alone are 5 MB.
/// let gradient = |checkpoint: Checkpoint| -> Result<Tensor> {
///     let tape = Tape::new();
///     let [w, xs] = [vec![8, 8], vec![20_000, 8, 8]].map(|shape| tape.var(Tensor::full(shape, 0.1, DType::F32)));
///     let options = ScanOptions::default().checkpoint(checkpoint);
///     let start = tape.zeros([8, 8], DType::F32);
///     let (last, ()) = tape.scan_with(options, start, xs, |h, x| ((h.matmul(w) + x).tanh(), ()));
///     let [dw] = last.sum().grad([w]);
///     dw.value()
/// };
/// let in_a_megabyte = gradient(Checkpoint::Budget(1 << 20))?;
/// assert!(in_a_megabyte.bit_eq(&gradient(Checkpoint::None)?));
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Checkpoint {
    /// Everything is kept: no value is computed twice.
    #[default]
    None,
    /// Segments of so many steps, or of the next larger number at which sums over time can be cut. It costs one more
    /// forward pass. Around the square root of the number of steps takes the least memory: shorter segments are more, each with
    /// a carry that is kept.
    Every(usize),
    /// As few computations as these bytes allow: no segments if they are enough to keep everything, else segments,
    /// segments of segments, and so on. Each level costs one more forward pass.
    ///
    /// The bytes are those that a program which computes a loss and its first derivatives takes for this loop. Counted is
    /// what the planner knows before the program runs: the carries that are kept at starts of segments, all values of the
    /// segment that is computed again, captured matrices in the layout of the products that read them at every step, and
    /// sums over time that are not themselves requested.
    ///
    /// Not counted is what is there whatever the budget: inputs and scanned values, parameters, requested outputs (among
    /// them the gradients of weights, which are added up where they stay) and their cotangents, values that something outside
    /// of the loop reads at all steps, the operations before and after the loop, and what a large product copies of its
    /// operands, 2 to 4 MiB a thread. Several scans, such as layers, have a budget each.
    ///
    /// If the bytes are too few for any schedule, the one of least memory is taken: a budget of 0 asks for it. It cannot be
    /// less than the shortest segment and what does not depend on its length: for one sequence through an LSTM of 512 units
    /// 512 steps, which are 11 MiB, and 4 MiB of packed weights.
    Budget(usize),
}
