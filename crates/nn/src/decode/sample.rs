//! Token by token: the best one, or one drawn at random.

use super::argmax;
use super::start::{Start, Stop};
use super::stepper::Stepper;
use wengert_autograd::{DType, Error, ErrorKind, Result, Tape};

/// The sequence of the best token at each step, for each start; of equal ones, the first is taken.
///
/// # Errors
/// The error of a step, or that a score is NaN.
#[track_caller]
pub fn greedy<S: Stepper>(model: &S, start: &Start, stop: &Stop) -> Result<Vec<Vec<i64>>> {
    follow(model, start, stop, |_, rows| Ok(rows.iter().map(|log_p| argmax(log_p)).collect()))
}

/// Tokens drawn by their probabilities, as changed by the options in this order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Scores are divided by this positive number: below 1 the probable gets more probable. 1 by default.
    pub temperature: f64,
    /// Only the so many most probable tokens are drawn (Fan, Lewis & Dauphin 2018); all by default.
    pub top_k: Option<usize>,
    /// Only the fewest most probable tokens are drawn that have at least this probability together (nucleus sampling: Holtzman et al. 2020, arXiv
    /// 1904.09751); 1, thus all, by default.
    pub top_p: f64,
    /// Another seed, other draws. What a sequence draws depends on the seed, its number and the step alone.
    pub seed: i64,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling { temperature: 1.0, top_k: None, top_p: 1.0, seed: 0 }
    }
}

impl Sampling {
    /// One drawn sequence for each start.
    ///
    /// # Errors
    /// If an option is out of its range, the error of a step, or that a score is NaN.
    #[track_caller]
    pub fn generate<S: Stepper>(&self, model: &S, start: &Start, stop: &Stop) -> Result<Vec<Vec<i64>>> {
        self.check()?;
        follow(model, start, stop, |step, rows| {
            let tape = Tape::inference();
            let key = tape.constant(self.seed).fold_in(step as i64);
            let draws = tape.uniform(key, [rows.len()], DType::F64).value()?.to_f64_vec();
            Ok(rows.iter().zip(draws).map(|(log_p, draw)| self.chosen(log_p, draw)).collect())
        })
    }

    /// The token that a number from `[0, 1)` chooses, of given scores (logits or log-probabilities): for loops of one's own.
    ///
    /// # Errors
    /// If an option is out of its range, or the scores hold NaN, or nothing but −∞.
    #[track_caller]
    pub fn pick(&self, scores: &[f64], draw: f64) -> Result<usize> {
        self.check()?;
        if scores.iter().any(|score| score.is_nan()) || !scores.iter().any(|score| *score > f64::NEG_INFINITY) {
            let found = format!("the {} scores hold NaN, or nothing but -inf", scores.len());
            return Err(Error::new(ErrorKind::NonFinite, "sampling", found, "give at least one token a finite score"));
        }
        Ok(self.chosen(scores, draw))
    }

    /// As `pick`, of scores that are numbers.
    fn chosen(&self, scores: &[f64], draw: f64) -> usize {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        // In the order of probability; the first of equals first.
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        order.truncate(self.top_k.unwrap_or(order.len()).max(1));
        let top = scores[order[0]];
        let weights: Vec<f64> = order.iter().map(|i| ((scores[*i] - top) / self.temperature).exp()).collect();
        let total: f64 = weights.iter().sum();
        let mut sums = weights.iter().scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        // Rounding can leave the sum of all below what is asked of it.
        let kept = sums.find(|sum| *sum >= self.top_p * total).unwrap_or(total);
        let mut rest = draw * kept;
        for (token, weight) in order.iter().zip(&weights) {
            if rest < *weight {
                return *token;
            }
            rest -= weight;
        }
        order[0]
    }

    #[track_caller]
    fn check(&self) -> Result<()> {
        let fault = if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            (format!("the temperature is {}, expected a positive number", self.temperature), "use greedy instead of 0")
        } else if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            (format!("top_p is {}, expected a probability above 0", self.top_p), "give 1 for no bound")
        } else if self.top_k == Some(0) {
            ("top_k is 0, expected at least 1".to_string(), "give None for no bound")
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Value, "sampling", fault.0, fault.1))
    }
}

/// Runs the model until all sequences have ended; `pick` chooses each one's next token.
#[track_caller]
fn follow<S: Stepper>(
    model: &S,
    start: &Start,
    stop: &Stop,
    mut pick: impl FnMut(usize, &[Vec<f64>]) -> Result<Vec<usize>>,
) -> Result<Vec<Vec<i64>>> {
    let mut frontier = start.frontier.clone();
    let mut sequences = vec![Vec::new(); frontier.tokens.len()];
    let mut ended = vec![false; sequences.len()];
    for step in 0..stop.length {
        if ended.iter().all(|ended| *ended) {
            break;
        }
        let (rows, state) = frontier.advance(model)?;
        for (b, token) in pick(step, &rows)?.into_iter().enumerate() {
            frontier.tokens[b] = token as i64;
            ended[b] |= stop.token == Some(token as i64);
            if !ended[b] {
                sequences[b].push(token as i64);
            }
        }
        frontier.rows = (0..sequences.len()).collect();
        frontier.state = Some(state);
    }
    Ok(sequences)
}
