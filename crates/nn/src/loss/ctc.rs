//! Labels without alignment.

use super::Reduction;
use wengert_autograd::{Tensor, Var};

/// The logarithm of the probability of what cannot be: finite, since differences of infinities are NaN.
const NEVER: f64 = -1e30;

/// Connectionist temporal classification (Graves et al. 2006): the probability that a network which emits one symbol at each step
/// writes a list of labels, summed over all alignments.
///
/// ```text
/// loss = −log Σ_π Π_t p_t(π_t)      over all π that become the labels when repeats are merged and blanks left out
/// ```
///
/// The sum runs forwards over time (equations 5 to 8), in logarithms, as a scan over the labels with blanks between them.
///
/// ```
/// use wengert_autograd::{DType, Tape, Tensor};
/// use wengert_nn::loss;
/// let tape = Tape::new();
/// let logits = tape.var(Tensor::zeros([6, 2, 4], DType::F32));               // [T, B, C], class 0 is the blank
/// let labels = [vec![1, 3, 3], vec![2]];
/// let loss = loss::ctc(logits.log_softmax(-1), &labels, &[6, 4]);
/// loss.backward()?;
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Ctc<'t> {
    /// The class that stands for no label; 0 by default.
    pub blank: usize,
    /// Whether a sequence that is too short for its labels has loss 0 in place of infinity. Its gradient is 0 in either case.
    pub zero_infinity: bool,
    /// The reduction over sequences, `[B]`. For the mean, each loss is divided by the number of its labels first, as in PyTorch.
    pub reduction: Reduction<'t>,
}

impl<'t> Ctc<'t> {
    /// The loss of log-probabilities `[T, B, C]`, of which the first `lengths[b]` steps belong to sequence `b`, against its list of
    /// labels. What stands behind a sequence's end takes no part.
    ///
    /// Numbers of sequences that do not agree, a length above `T`, a label that is the blank or no class are errors. The gradient by the
    /// log-probabilities is that of the formula; PyTorch's own is that of normalised ones, and both agree behind `log_softmax`.
    #[track_caller]
    pub fn loss<L: AsRef<[i64]>>(&self, log_probs: Var<'t>, labels: &[L], lengths: &[usize]) -> Var<'t> {
        let tape = log_probs.tape();
        let _named = tape.composition("ctc");
        let (Ok(shape), Ok(dtype)) = (log_probs.shape(), log_probs.dtype()) else { return log_probs };
        let labels: Vec<&[i64]> = labels.iter().map(AsRef::as_ref).collect();
        let (&[steps, batch, classes], true) = (&shape[..], dtype.is_float()) else {
            let found = format!("the log-probabilities are {dtype} {shape}");
            return log_probs.invalid("ctc", found, "give floats [T, B, C]; unsqueeze(1) for one sequence");
        };
        if let Some((found, remedy)) = self.fault([steps, batch, classes], &labels, lengths) {
            return log_probs.invalid("ctc", found, remedy);
        }
        if let Some(broken) = self.reduction.misfit("ctc", &[batch].into()) {
            return broken;
        }
        let longest = labels.iter().map(|labels| labels.len()).max().unwrap_or(0);
        let states = 2 * longest + 1;
        let table = |entry: &dyn Fn(&[i64], usize) -> bool| {
            let all = labels.iter().flat_map(|labels| (0..states).map(|s| entry(labels, s))).collect();
            tape.constant(Tensor::from_vec::<bool>(all, [batch, states]).expect("one entry for each state"))
        };
        // A label may follow the one before it directly, unless it repeats it.
        let skips =
            table(&|labels, s| s % 2 == 1 && s > 2 && s / 2 < labels.len() && labels[s / 2] != labels[s / 2 - 1]);
        let ends = table(&|labels, s| s == 2 * labels.len() || s + 1 == 2 * labels.len());
        let symbol = |labels: &[i64], s: usize| match s % 2 {
            1 => labels.get(s / 2).copied().unwrap_or(self.blank as i64),
            _ => self.blank as i64,
        };
        let symbols = labels.iter().flat_map(|labels| (0..states).map(|s| symbol(labels, s))).collect();
        let symbols = Tensor::from_vec::<i64>(symbols, [batch, states]).expect("one symbol for each state");
        let inside = crate::length_mask(tape, steps, lengths).unsqueeze(-1);
        // An impossible symbol is as good as a very improbable one.
        let emitted = log_probs.maximum(NEVER);
        let emitted = emitted.gather(-1, tape.constant(symbols).expand([steps, batch, states]));
        let start = tape.arange(states).eq(0).select(0.0, tape.full([batch, states], NEVER, dtype));
        let shifted = |a: Var<'t>, by: usize| a.pad(-1, by, 0, NEVER).narrow(-1, 0, states);
        let (end, ()) = tape.scan(start, (emitted, inside), |a, (emitted, inside)| {
            let (one, two) = (shifted(a, 1), skips.select(shifted(a, 2), NEVER));
            // It cancels, so its derivative is not asked for.
            let top = a.maximum(one).maximum(two).detach();
            let sum = (a - top).exp() + (one - top).exp() + (two - top).exp();
            (inside.select(emitted + top + sum.log(), a), ())
        });
        let total = ends.select(end, NEVER).logsumexp(-1);
        let impossible = total.lt(NEVER / 10.0);
        let losses = impossible.select(if self.zero_infinity { 0.0 } else { f64::INFINITY }, -total);
        if !self.reduction.is_mean() {
            return self.reduction.of(losses);
        }
        let counts: Vec<f64> = labels.iter().map(|labels| labels.len().max(1) as f64).collect();
        let counts = Tensor::from_vec(counts, [batch]).expect("one number for each sequence");
        self.reduction.of(losses / &counts.cast(dtype))
    }

    /// What is wrong with the arguments, and what helps.
    fn fault(
        &self,
        [steps, batch, classes]: [usize; 3],
        labels: &[&[i64]],
        lengths: &[usize],
    ) -> Option<(String, &'static str)> {
        if self.blank >= classes {
            return Some((format!("the blank is {}, but there are {classes} classes", self.blank), "name a class"));
        }
        if labels.len() != batch || lengths.len() != batch {
            let found = format!("{} lists of labels and {} lengths for {batch} sequences", labels.len(), lengths.len());
            return Some((found, "give one list and one length for each sequence of [T, B, C]"));
        }
        if let Some(b) = (0..batch).find(|b| lengths[*b] > steps) {
            let found = format!("sequence {b} has length {}, but there are {steps} steps", lengths[b]);
            return Some((found, "give lengths of at most the padded one"));
        }
        for (b, labels) in labels.iter().enumerate() {
            for (i, label) in labels.iter().enumerate() {
                let blank = *label == self.blank as i64;
                if blank || usize::try_from(*label).map_or(true, |label| label >= classes) {
                    let why = if blank { "the blank".to_string() } else { format!("none of the {classes} classes") };
                    let found = format!("label {i} of sequence {b} is {label}, {why}");
                    return Some((found, "give each sequence its own labels, without padding"));
                }
            }
        }
        None
    }
}

/// The mean loss with blank 0; see [`Ctc`].
#[track_caller]
pub fn ctc<'t, L: AsRef<[i64]>>(log_probs: Var<'t>, labels: &[L], lengths: &[usize]) -> Var<'t> {
    Ctc::default().loss(log_probs, labels, lengths)
}
