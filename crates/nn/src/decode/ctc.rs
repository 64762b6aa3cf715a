//! Labels from a network that emits one symbol at each step.

use super::argmax;
use std::collections::HashMap;
use wengert_autograd::{Error, ErrorKind, Result, Tensor};

/// The labels of the best symbol at each step, repeats merged and blanks left out (best path decoding, Graves et al. 2006), of scores
/// `[T, B, C]` of which `lengths[b]` steps belong to sequence `b`. The best path need not be that of the best labels.
///
/// # Errors
/// If shapes, lengths or the blank do not fit, or a score is NaN.
#[track_caller]
pub fn ctc_greedy(scores: &Tensor, lengths: &[usize], blank: usize) -> Result<Vec<Vec<i64>>> {
    let sequences = sequences("ctc_greedy", scores, lengths, blank)?;
    Ok(sequences.iter().map(|steps| merged(steps.iter().map(|row| argmax(row)), blank)).collect())
}

/// Repeats merged, then blanks left out.
fn merged(path: impl Iterator<Item = usize>, blank: usize) -> Vec<i64> {
    let mut before = blank;
    let mut labels = Vec::new();
    for symbol in path {
        if symbol != blank && symbol != before {
            labels.push(symbol as i64);
        }
        before = symbol;
    }
    labels
}

/// Prefix beam search (Graves 2012; Hannun et al. 2014, arXiv 1408.2873): the most probable labels, each with the sum over all of its alignments
/// that were not lost with a pruned prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CtcBeamSearch {
    /// The number of prefixes that are kept at each step.
    pub beams: usize,
    /// The class that stands for no label.
    pub blank: usize,
}

/// Labels that a [`CtcBeamSearch`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct CtcHypothesis {
    /// The labels.
    pub labels: Vec<i64>,
    /// The logarithm of their probability.
    pub log_prob: f64,
}

/// Log-probabilities of all paths that a prefix was read from: those that end with a blank, and those that end with its last label.
#[derive(Clone, Copy)]
struct Paths {
    blank: f64,
    label: f64,
}

const NONE: Paths = Paths { blank: f64::NEG_INFINITY, label: f64::NEG_INFINITY };

impl Paths {
    fn total(self) -> f64 {
        log_add(self.blank, self.label)
    }
}

impl CtcBeamSearch {
    /// A search with blank 0.
    pub fn new(beams: usize) -> CtcBeamSearch {
        CtcBeamSearch { beams, blank: 0 }
    }

    /// The best labels of each sequence, best first, of log-probabilities `[T, B, C]` of which `lengths[b]` steps belong to sequence `b`.
    ///
    /// # Errors
    /// If shapes, lengths or the blank do not fit, there are no beams, or a log-probability is NaN.
    #[track_caller]
    pub fn search(&self, log_probs: &Tensor, lengths: &[usize]) -> Result<Vec<Vec<CtcHypothesis>>> {
        if self.beams == 0 {
            let found = "the number of beams is 0, expected at least 1";
            return Err(Error::new(ErrorKind::Value, "ctc_beam_search", found, "give 10, or 100 for more accuracy"));
        }
        let sequences = sequences("ctc_beam_search", log_probs, lengths, self.blank)?;
        Ok(sequences.iter().map(|steps| self.labels(steps)).collect())
    }

    fn labels(&self, steps: &[Vec<f64>]) -> Vec<CtcHypothesis> {
        let mut beams = vec![(Vec::new(), Paths { blank: 0.0, ..NONE })];
        for row in steps {
            let mut next = Prefixes::default();
            for (prefix, paths) in &beams {
                for (symbol, p) in row.iter().enumerate() {
                    let label = symbol as i64;
                    if symbol == self.blank {
                        let same = next.of(prefix);
                        same.blank = log_add(same.blank, paths.total() + p);
                        continue;
                    }
                    let repeats = prefix.last() == Some(&label);
                    if repeats {
                        let same = next.of(prefix);
                        same.label = log_add(same.label, paths.label + p);
                    }
                    // The same label once more needs a blank between.
                    let from = if repeats { paths.blank } else { paths.total() };
                    let longer = next.of(&[&prefix[..], &[label]].concat());
                    longer.label = log_add(longer.label, from + p);
                }
            }
            beams = next.all;
            beams.retain(|(_, paths)| paths.total() > f64::NEG_INFINITY);
            beams.sort_by(|a, b| b.1.total().total_cmp(&a.1.total()));
            beams.truncate(self.beams);
        }
        beams.into_iter().map(|(labels, paths)| CtcHypothesis { labels, log_prob: paths.total() }).collect()
    }
}

/// Prefixes in the order in which they were met, so that results do not depend on hashes.
#[derive(Default)]
struct Prefixes {
    all: Vec<(Vec<i64>, Paths)>,
    places: HashMap<Vec<i64>, usize>,
}

impl Prefixes {
    fn of(&mut self, prefix: &[i64]) -> &mut Paths {
        let place = match self.places.get(prefix) {
            Some(place) => *place,
            None => {
                self.places.insert(prefix.to_vec(), self.all.len());
                self.all.push((prefix.to_vec(), NONE));
                self.all.len() - 1
            }
        };
        &mut self.all[place].1
    }
}

fn log_add(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// The scores of each sequence, step by step.
#[track_caller]
fn sequences(name: &str, scores: &Tensor, lengths: &[usize], blank: usize) -> Result<Vec<Vec<Vec<f64>>>> {
    let (shape, dtype) = (scores.shape(), scores.dtype());
    let [steps, batch, classes] = match shape[..] {
        [steps, batch, classes] if batch == lengths.len() && blank < classes && dtype.is_float() => {
            [steps, batch, classes]
        }
        _ => {
            let found = format!("the scores are {dtype} {shape}, for {} lengths and blank {blank}", lengths.len());
            let remedy = "give floats [T, B, C], one length for each of B sequences, and a class for the blank";
            return Err(Error::new(ErrorKind::Shape, name, found, remedy));
        }
    };
    if let Some(b) = lengths.iter().position(|length| *length > steps) {
        let found = format!("sequence {b} has length {}, but there are {steps} steps", lengths[b]);
        return Err(Error::new(ErrorKind::Value, name, found, "give lengths of at most the padded one"));
    }
    let values = scores.to_f64_vec();
    let row = |t: usize, b: usize| values[(t * batch + b) * classes..][..classes].to_vec();
    let all: Vec<Vec<Vec<f64>>> = (0..batch).map(|b| (0..lengths[b]).map(|t| row(t, b)).collect()).collect();
    if let Some(b) = all.iter().position(|rows| rows.iter().flatten().any(|score| score.is_nan())) {
        let found = format!("the scores of sequence {b} hold NaN");
        return Err(Error::new(ErrorKind::NonFinite, name, found, "look for it with Tape::detect_anomaly"));
    }
    Ok(all)
}
