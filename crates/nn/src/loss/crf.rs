//! Tags that depend on their neighbours.

use crate::{Module, init, length_mask};
use rand::Rng;
use wengert_autograd::{DType, Operand, Param, Result, ScanOptions, Tensor, Var};

/// A linear-chain conditional random field (Lafferty, McCallum & Pereira 2001): a distribution over sequences of `K` tags, given a score of
/// each tag at each step.
///
/// ```text
/// score(y) = start_y₁ + Σ_t emissions_t,y_t + Σ_t transitions_y_t−1,y_t + end_y_T
/// log p(y) = score(y) − log Σ_y' exp score(y')
/// ```
///
/// Sequences may have different lengths, of at least 1; emissions and tags behind their ends take no part.
///
/// ```
/// use rand::{SeedableRng, rngs::StdRng};
/// use wengert_autograd::{DType, Tape, Tensor};
/// use wengert_nn::loss::Crf;
/// let crf = Crf::new(3, &mut StdRng::seed_from_u64(0));
/// let tape = Tape::new();
/// let emissions = tape.var(Tensor::zeros([4, 2, 3], DType::F32));            // [T, B, K]
/// let tags = tape.zeros([4, 2], DType::I64);
/// let loss = -crf.log_likelihood(emissions, tags, &[4, 3]).mean();
/// loss.backward()?;
/// let best = crf.decode(emissions, &[4, 3])?;
/// assert_eq!((best[0].len(), best[1].len()), (4, 3));
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[derive(Clone, Debug, Module)]
pub struct Crf {
    /// Scores `[K, K]` from a tag (row) to the next (column).
    pub transitions: Param,
    /// Scores `[K]` of the first tag.
    pub start: Param,
    /// Scores `[K]` of the last tag.
    pub end: Param,
}

impl Crf {
    /// A field over `tags` tags, with scores drawn from `uniform(±0.1)`.
    pub fn new(tags: usize, rng: &mut impl Rng) -> Crf {
        let mut draw = |shape: &[usize]| Param::new(init::uniform(shape, 0.1, rng));
        Crf { transitions: draw(&[tags, tags]), start: draw(&[tags]), end: draw(&[tags]) }
    }

    /// `log p(tags)` `[B]` for emissions `[T, B, K]` and tags `[T, B]` (I64). A tag that is not in `0..K` is an error when the program runs.
    #[track_caller]
    pub fn log_likelihood<'t>(&self, emissions: Var<'t>, tags: impl Operand<'t>, lengths: &[usize]) -> Var<'t> {
        let tape = emissions.tape();
        let _named = tape.composition("crf");
        let tags = tags.resolve(tape, Some(DType::I64));
        let chain = match self.chain(emissions, lengths) {
            Ok(chain) => chain,
            Err(broken) => return broken,
        };
        let Ok(shape) = tags.shape() else { return tags };
        if shape[..] != [chain.steps, chain.batch] {
            let found =
                format!("the tags are {shape}, the emissions [{}, {}, {}]", chain.steps, chain.batch, chain.tags);
            return emissions.invalid("crf", found, "give tags [T, B] and emissions [T, B, K]");
        }
        let Ok(dtype) = chain.emissions.dtype() else { return chain.emissions };
        // Which tag there is at each step: all zeros behind the end.
        let chosen = chain.inside.squeeze(-1).select(tags, 0).one_hot(chain.tags, dtype);
        let chosen = chain.inside.select(chosen, 0.0);
        let (before, after) = (chosen.narrow(0, 0, chain.steps - 1), chosen.narrow(0, 1, chain.steps - 1));
        let last = chain.last.select(chosen, 0.0).sum_axes(0);
        let score = (chain.emissions * chosen).sum_axes([0, -1])
            + (before.matmul(&self.transitions) * after).sum_axes([0, -1])
            + (chosen.get(0, 0) * &self.start + last * &self.end).sum_axes(-1);
        score - self.normaliser(&chain)
    }

    /// `log Σ_y exp score(y)` `[B]` for emissions `[T, B, K]`. Its gradient by the emissions are the probabilities of each tag at each step.
    #[track_caller]
    pub fn log_partition<'t>(&self, emissions: Var<'t>, lengths: &[usize]) -> Var<'t> {
        let _named = emissions.tape().composition("crf");
        match self.chain(emissions, lengths) {
            Ok(chain) => self.normaliser(&chain),
            Err(broken) => broken,
        }
    }

    /// The tags of the greatest score (Viterbi 1967): the scores `[B]`, and the tags `[T, B]` (I64), which behind a sequence's end repeat its last.
    #[track_caller]
    pub fn viterbi<'t>(&self, emissions: Var<'t>, lengths: &[usize]) -> (Var<'t>, Var<'t>) {
        let tape = emissions.tape();
        let _named = tape.composition("crf");
        let chain = match self.chain(emissions, lengths) {
            Ok(chain) => chain,
            Err(broken) => return (broken, broken),
        };
        let (end, from) = tape.scan(chain.first(self), chain.rest(), |best, (emission, inside)| {
            let paths = best.unsqueeze(-1) + &self.transitions;
            let next = inside.select(paths.max_axes(-2) + emission, best);
            (next, inside.select(paths.argmax(-2), tape.arange(chain.tags)))
        });
        let end = end + &self.end;
        let (first, later) = tape.scan_with(ScanOptions::default().reversed(), end.argmax(-1), from, |tag, from| {
            (from.gather(-1, tag.unsqueeze(-1)).squeeze(-1), tag)
        });
        (end.max_axes(-1), tape.concat(&[first.unsqueeze(0), later], 0))
    }

    /// The tags of the greatest score, one list of `lengths[b]` for each sequence.
    ///
    /// # Errors
    /// As [`viterbi`](Crf::viterbi).
    #[track_caller]
    pub fn decode(&self, emissions: Var<'_>, lengths: &[usize]) -> Result<Vec<Vec<i64>>> {
        let tags = self.viterbi(emissions, lengths).1.value()?.to_vec::<i64>()?;
        let batch = lengths.len();
        Ok(lengths.iter().enumerate().map(|(b, n)| (0..*n).map(|t| tags[t * batch + b]).collect()).collect())
    }

    /// The forward recursion.
    #[track_caller]
    fn normaliser<'t>(&self, chain: &Chain<'t>) -> Var<'t> {
        let (end, ()) = chain.emissions.tape().scan(chain.first(self), chain.rest(), |sums, (emission, inside)| {
            let next = (sums.unsqueeze(-1) + &self.transitions).logsumexp(-2) + emission;
            (inside.select(next, sums), ())
        });
        (end + &self.end).logsumexp(-1)
    }

    /// The checked emissions, or the invalid value to answer with.
    #[track_caller]
    fn chain<'t>(&self, emissions: Var<'t>, lengths: &[usize]) -> Result<Chain<'t>, Var<'t>> {
        let Ok(shape) = emissions.shape() else { return Err(emissions) };
        let tags = self.start.value().numel();
        let (steps, batch) = match shape[..] {
            [steps, batch, own] if own == tags && batch == lengths.len() => (steps, batch),
            _ => {
                let found = format!("the emissions are {shape}, for {tags} tags and {} lengths", lengths.len());
                return Err(emissions.invalid(
                    "crf",
                    found,
                    "give emissions [T, B, K] and one length for each of B sequences",
                ));
            }
        };
        if let Some(b) = lengths.iter().position(|n| *n == 0 || *n > steps) {
            let found = format!("sequence {b} has length {}, expected 1 to {steps}", lengths[b]);
            return Err(emissions.invalid(
                "crf",
                found,
                "leave out empty sequences, and give the lengths before padding",
            ));
        }
        if steps == 0 {
            return Err(emissions.invalid("crf", format!("the emissions {shape} have no steps"), "skip empty batches"));
        }
        let tape = emissions.tape();
        let inside = length_mask(tape, steps, lengths).unsqueeze(-1);
        let ends = (0..steps * batch).map(|i| i / batch + 1 == lengths[i % batch]).collect();
        let ends = Tensor::from_vec::<bool>(ends, [steps, batch, 1]).expect("one entry for each step and sequence");
        let emissions = inside.select(emissions, 0.0);
        Ok(Chain { emissions, inside, last: tape.constant(ends), steps, batch, tags })
    }
}

/// Emissions of sequences of given lengths.
struct Chain<'t> {
    /// `[T, B, K]`, 0 behind the ends.
    emissions: Var<'t>,
    /// `[T, B, 1]`, true up to the ends.
    inside: Var<'t>,
    /// `[T, B, 1]`, true at the last steps.
    last: Var<'t>,
    steps: usize,
    batch: usize,
    tags: usize,
}

impl<'t> Chain<'t> {
    /// The scores of the first tag, `[B, K]`.
    #[track_caller]
    fn first(&self, crf: &Crf) -> Var<'t> {
        self.emissions.get(0, 0) + &crf.start
    }

    /// Emissions and masks of all later steps.
    #[track_caller]
    fn rest(&self) -> (Var<'t>, Var<'t>) {
        let later = |v: Var<'t>| v.narrow(0, 1, self.steps - 1);
        (later(self.emissions), later(self.inside))
    }
}
