//! Metrics: plain numbers, accumulated over batches.
//!
//! ```
//! use wengert_autograd::Tensor;
//! use wengert_nn::metrics::{Accuracy, LogLoss};
//! let mut accuracy = Accuracy::new();
//! let mut loss = LogLoss::new();
//! for _batch in 0..3 {
//!     let logits = Tensor::from_slice(&[0.2f32, 0.7, 0.9, 0.1], [2, 2])?;
//!     accuracy.add(&logits, &Tensor::from_slice(&[1i64, 1], [2])?)?;
//!     loss.add(0.6, 2);           // a mean cross-entropy, and of how many targets
//! }
//! assert_eq!(accuracy.value(), 0.5);
//! assert!((loss.perplexity() - 0.6f64.exp()).abs() < 1e-15);
//! # Ok::<(), wengert_autograd::Error>(())
//! ```

use crate::decode::argmax;
use wengert_autograd::{DType, Error, ErrorKind, Result, Tensor};

/// Targets of this value take no part, as in the losses.
const IGNORED: i64 = -100;

/// The share of targets that were predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accuracy {
    top: usize,
    correct: u64,
    total: u64,
}

impl Default for Accuracy {
    fn default() -> Self {
        Accuracy::top(1)
    }
}

impl Accuracy {
    /// Nothing counted so far.
    pub fn new() -> Accuracy {
        Accuracy::default()
    }

    /// Counts a target as predicted if it is among the `k` greatest scores.
    pub fn top(k: usize) -> Accuracy {
        Accuracy { top: k, correct: 0, total: 0 }
    }

    /// Counts predictions, class indices `[..]` or scores `[.., C]`, against targets `[..]` (I64). Targets of −100 take no part. Of equal scores,
    /// that of the first class is the greater one; a target whose score is NaN was not predicted.
    ///
    /// # Errors
    /// If shapes or element types do not fit, a target is no class, or more than the best class is asked of indices.
    #[track_caller]
    pub fn add(&mut self, predictions: &Tensor, targets: &Tensor) -> Result<()> {
        let pairs = Pairs::of("Accuracy", predictions, targets)?;
        if pairs.classes == 0 && self.top != 1 {
            let found = format!("the {} greatest scores are asked of class indices", self.top);
            return Err(Error::new(ErrorKind::Shape, "Accuracy", found, "give scores [.., C]"));
        }
        for (i, target) in pairs.counted() {
            let hit = match pairs.scores(i) {
                None => pairs.values[i] == target as f64,
                Some(scores) => {
                    let own = scores[target];
                    let before =
                        |(c, score): (usize, &f64)| score.is_nan() || *score > own || (*score == own && c < target);
                    !own.is_nan() && scores.iter().enumerate().filter(|entry| before(*entry)).count() < self.top
                }
            };
            self.correct += u64::from(hit);
            self.total += 1;
        }
        Ok(())
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Accuracy) {
        self.correct += other.correct;
        self.total += other.total;
    }

    /// The share, from 0 to 1; NaN if nothing was counted.
    pub fn value(&self) -> f64 {
        self.correct as f64 / self.total as f64
    }
}

/// Precision, recall and their harmonic mean F1 = 2·tp / (2·tp + fp + fn), for each class, pooled (micro) and as a mean over classes (macro).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct F1 {
    /// True positives, false positives, false negatives of each class.
    counts: Vec<[u64; 3]>,
}

impl F1 {
    /// Nothing counted so far, of this many classes.
    pub fn new(classes: usize) -> F1 {
        F1 { counts: vec![[0; 3]; classes] }
    }

    /// Counts predictions, class indices `[..]` or scores `[.., C]` (of which the greatest counts), against targets `[..]` (I64). Targets of −100
    /// take no part.
    ///
    /// # Errors
    /// If shapes or element types do not fit, or a prediction or target is no class; nothing of the batch is counted then.
    #[track_caller]
    pub fn add(&mut self, predictions: &Tensor, targets: &Tensor) -> Result<()> {
        let pairs = Pairs::of("F1", predictions, targets)?;
        let mut counts = self.counts.clone();
        for (i, target) in pairs.counted() {
            let predicted = match pairs.scores(i) {
                None => pairs.values[i] as i64,
                Some(scores) => argmax(scores) as i64,
            };
            let class = |n: i64| usize::try_from(n).ok().filter(|n| *n < counts.len());
            let (Some(own), Some(wanted)) = (class(predicted), class(target as i64)) else {
                let found = format!("entry {i} is {predicted}, its target {target}, of {} classes", counts.len());
                return Err(Error::new(ErrorKind::Index, "F1", found, "make it with the number of classes"));
            };
            if own == wanted {
                counts[own][0] += 1;
            } else {
                counts[own][1] += 1;
                counts[wanted][2] += 1;
            }
        }
        self.counts = counts;
        Ok(())
    }

    /// Adds what another, of as many classes, has counted.
    pub fn merge(&mut self, other: &F1) {
        for (own, other) in self.counts.iter_mut().zip(&other.counts) {
            own.iter_mut().zip(other).for_each(|(own, other)| *own += other);
        }
    }

    /// The F1 of a class: 0 if it was neither predicted nor a target, or is none. In a task of two classes, that of class 1 is *the* F1.
    pub fn of(&self, class: usize) -> f64 {
        self.counts.get(class).map_or(0.0, |[tp, wrong, missed]| ratio(2 * tp, 2 * tp + wrong + missed))
    }

    /// The share of predictions of a class that are right; 0 if there are none.
    pub fn precision(&self, class: usize) -> f64 {
        self.counts.get(class).map_or(0.0, |[tp, wrong, _]| ratio(*tp, tp + wrong))
    }

    /// The share of targets of a class that were predicted; 0 if there are none.
    pub fn recall(&self, class: usize) -> f64 {
        self.counts.get(class).map_or(0.0, |[tp, _, missed]| ratio(*tp, tp + missed))
    }

    /// The F1 of all classes' counts together, which is the accuracy if every entry has one class; 0 if nothing was counted.
    pub fn micro(&self) -> f64 {
        let [tp, wrong, missed] =
            self.counts.iter().fold([0; 3], |sum, c| [sum[0] + c[0], sum[1] + c[1], sum[2] + c[2]]);
        ratio(2 * tp, 2 * tp + wrong + missed)
    }

    /// The mean F1 of the classes that were predicted or a target; 0 if there are none.
    pub fn macro_mean(&self) -> f64 {
        let seen: Vec<f64> = (0..self.counts.len()).filter(|c| self.counts[*c] != [0; 3]).map(|c| self.of(c)).collect();
        if seen.is_empty() { 0.0 } else { seen.iter().sum::<f64>() / seen.len() as f64 }
    }
}

/// The mean cross-entropy of targets, as perplexity or in bits.
#[doc(alias = "Perplexity")]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LogLoss {
    nats: f64,
    count: u64,
}

impl LogLoss {
    /// Nothing counted so far.
    pub fn new() -> LogLoss {
        LogLoss::default()
    }

    /// Adds the mean cross-entropy (natural logarithm, as all losses) of `count` targets. Batches may have different numbers of them.
    pub fn add(&mut self, mean: f64, count: usize) {
        if count > 0 {
            self.nats += mean * count as f64;
            self.count += count as u64;
        }
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &LogLoss) {
        self.nats += other.nats;
        self.count += other.count;
    }

    /// The mean cross-entropy; NaN if nothing was counted.
    pub fn mean(&self) -> f64 {
        self.nats / self.count as f64
    }

    /// `e^mean`: as uncertain as among so many equally likely targets.
    pub fn perplexity(&self) -> f64 {
        self.mean().exp()
    }

    /// `mean / log 2`: if the targets are characters, bits per character.
    #[doc(alias = "bpc")]
    pub fn bits_per_character(&self) -> f64 {
        self.mean() / std::f64::consts::LN_2
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Predictions and targets as numbers.
struct Pairs {
    values: Vec<f64>,
    targets: Vec<i64>,
    /// The number of scores for each target; 0 for class indices.
    classes: usize,
}

impl Pairs {
    #[track_caller]
    fn of(name: &str, predictions: &Tensor, targets: &Tensor) -> Result<Pairs> {
        let (shape, dtype) = (predictions.shape(), predictions.dtype());
        let classes = if dtype.is_float() { shape.last().copied().unwrap_or(0) } else { 0 };
        let fits = match shape[..] {
            [ref batch @ .., _] if dtype.is_float() => *batch == targets.shape()[..] && classes > 0,
            _ => dtype == DType::I64 && shape == targets.shape(),
        };
        if !fits || targets.dtype() != DType::I64 {
            let found =
                format!("the predictions are {dtype} {shape}, the targets {} {}", targets.dtype(), targets.shape());
            let remedy = "give i64 targets [..], and i64 classes [..] or float scores [.., C]";
            return Err(Error::new(ErrorKind::Shape, name, found, remedy));
        }
        let pairs = Pairs { values: predictions.to_f64_vec(), targets: targets.to_vec::<i64>()?, classes };
        let outside = |target: i64| target != IGNORED && (target < 0 || (classes > 0 && target as usize >= classes));
        if let Some(i) = pairs.targets.iter().position(|target| outside(*target)) {
            let found = format!("target {i} is {}, no class", pairs.targets[i]);
            return Err(Error::new(ErrorKind::Index, name, found, "give classes from 0 on, or -100 for none"));
        }
        Ok(pairs)
    }

    /// Places and classes of the targets that take part.
    fn counted(&self) -> impl Iterator<Item = (usize, usize)> {
        self.targets
            .iter()
            .enumerate()
            .filter(|(_, target)| **target != IGNORED)
            .map(|(i, target)| (i, *target as usize))
    }

    fn scores(&self, i: usize) -> Option<&[f64]> {
        (self.classes > 0).then(|| &self.values[i * self.classes..(i + 1) * self.classes])
    }
}
