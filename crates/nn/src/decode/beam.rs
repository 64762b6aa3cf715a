//! Several sequences at a time.

use super::start::{Start, Stop};
use super::stepper::{Frontier, Stepper};
use wengert_autograd::{Error, ErrorKind, Result};

/// Keeps the most probable beginnings at each step, each of which may stop there, and gives the best sequences found.
///
/// ```text
/// score = log p(tokens) / length^penalty
/// ```
///
/// The length counts the stop token, as the probability does. The search ends when no beginning can become better than the sequences
/// found: that is exact, and loses nothing to a search of full length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BeamSearch {
    beams: usize,
    penalty: f64,
}

/// A sequence that a [`BeamSearch`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hypothesis {
    /// Its tokens, without the stop token.
    pub tokens: Vec<i64>,
    /// The logarithm of its probability.
    pub log_prob: f64,
    /// By which sequences are compared.
    pub score: f64,
    /// Whether it ended at the stop token, not at the greatest length.
    pub stopped: bool,
}

/// A beginning: its tokens, its row of the state.
#[derive(Clone)]
struct Beam {
    tokens: Vec<i64>,
    log_prob: f64,
    row: usize,
}

impl BeamSearch {
    /// A search that keeps `beams` beginnings and gives as many sequences, with penalty 0: scores are log-probabilities, which favours
    /// the short.
    pub fn new(beams: usize) -> BeamSearch {
        BeamSearch { beams, penalty: 0.0 }
    }

    /// Another exponent of the length: 1 compares means over tokens; about 0.6 to 1 is usual.
    pub fn length_penalty(self, penalty: f64) -> BeamSearch {
        BeamSearch { penalty, ..self }
    }

    /// The best sequences from one start, best first: as many as beams, or fewer if there are no more.
    ///
    /// # Errors
    /// If the start has not one sequence, there are no beams, or the penalty is no finite number; the error of a step; that a score is NaN.
    #[track_caller]
    pub fn search<S: Stepper>(&self, model: &S, start: &Start, stop: &Stop) -> Result<Vec<Hypothesis>> {
        let rows = start.frontier.tokens.len();
        if rows != 1 || self.beams == 0 || !self.penalty.is_finite() {
            let found = format!("{} beams with length penalty {} from {rows} sequences", self.beams, self.penalty);
            let remedy = "search from one sequence at a time, with one beam or more and a finite penalty";
            return Err(Error::new(ErrorKind::Value, "beam_search", found, remedy));
        }
        let mut frontier = start.frontier.clone();
        let mut live = vec![Beam { tokens: Vec::new(), log_prob: 0.0, row: 0 }];
        let mut found: Vec<Hypothesis> = Vec::new();
        for length in 1..=stop.length {
            let (log_p, state) = frontier.advance(model)?;
            // A beginning that stops does not compete with those that go on.
            let ends = |beam: &Beam, row: &Vec<f64>| Some(beam.log_prob + row.get(usize::try_from(stop.token?).ok()?)?);
            for (beam, row) in live.iter().zip(&log_p) {
                if let Some(log_prob) = ends(beam, row).filter(|log_prob| *log_prob > f64::NEG_INFINITY) {
                    found.push(self.hypothesis(beam.tokens.clone(), log_prob, length, true));
                }
            }
            let longer = |(log_prob, row, token): (f64, usize, usize)| {
                let tokens = [&live[row].tokens[..], &[token as i64]].concat();
                Beam { tokens, log_prob, row }
            };
            let next = self.continued(&live, &log_p, stop.token).into_iter().map(longer).collect();
            live = next;
            self.prune(&mut found);
            if live.is_empty() || self.is_over(&found, &live, length, stop.length) {
                live.clear();
                break;
            }
            frontier = Frontier {
                tokens: live.iter().filter_map(|beam| beam.tokens.last().copied()).collect(),
                rows: live.iter().map(|beam| beam.row).collect(),
                state: Some(state),
            };
        }
        let unstopped = live.into_iter().map(|beam| self.hypothesis(beam.tokens, beam.log_prob, stop.length, false));
        found.extend(unstopped);
        self.prune(&mut found);
        Ok(found)
    }

    /// The best continuations that do not stop, best first: of each the log-probability, the beginning and the token.
    fn continued(&self, live: &[Beam], log_p: &[Vec<f64>], stop: Option<i64>) -> Vec<(f64, usize, usize)> {
        let mut all = Vec::new();
        for (i, (beam, row)) in live.iter().zip(log_p).enumerate() {
            let going_on =
                row.iter().enumerate().filter(|(token, p)| stop != Some(*token as i64) && **p > f64::NEG_INFINITY);
            all.extend(going_on.map(|(token, p)| (beam.log_prob + p, i, token)));
        }
        let better =
            |a: &(f64, usize, usize), b: &(f64, usize, usize)| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2)));
        if self.beams < all.len() {
            all.select_nth_unstable_by(self.beams, better);
            all.truncate(self.beams);
        }
        all.sort_unstable_by(better);
        all
    }

    fn hypothesis(&self, tokens: Vec<i64>, log_prob: f64, length: usize, stopped: bool) -> Hypothesis {
        Hypothesis { tokens, log_prob, score: self.score(log_prob, length), stopped }
    }

    fn score(&self, log_prob: f64, length: usize) -> f64 {
        log_prob / (length.max(1) as f64).powf(self.penalty)
    }

    /// Keeps the best, best first.
    fn prune(&self, found: &mut Vec<Hypothesis>) {
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        found.truncate(self.beams);
    }

    /// Whether nothing that follows can come in among those found. The probability only falls, and `1 / length^penalty` is greatest at the next
    /// length or at the last.
    fn is_over(&self, found: &[Hypothesis], live: &[Beam], length: usize, last: usize) -> bool {
        let best = live.iter().map(|beam| beam.log_prob).fold(f64::NEG_INFINITY, f64::max);
        let reach = self.score(best, length + 1).max(self.score(best, last.max(length + 1)));
        found.len() == self.beams && found.last().is_some_and(|worst| worst.score >= reach)
    }
}
