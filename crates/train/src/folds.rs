//! Parts of the data for training and for testing.

use crate::data::refused;
use crate::seeds::permutation;
use std::ops::Range;
use wengert_autograd::Result;

/// The examples of one round of a validation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    /// To train on.
    pub train: Vec<usize>,
    /// To test on.
    pub test: Vec<usize>,
}

/// Cuts `n` rows in order of time into consecutive parts, of the given shares of the whole; the last part takes what rounding leaves.
///
/// ```
/// let [train, validation, test] = wengert_train::split(1000, [0.7, 0.15, 0.15])?;
/// assert_eq!((train, validation, test), (0..700, 700..850, 850..1000));
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
///
/// # Errors
/// If a share is negative or their sum is not 1.
#[track_caller]
pub fn split<const P: usize>(n: usize, shares: [f64; P]) -> Result<[Range<usize>; P]> {
    let sum: f64 = shares.iter().sum();
    if shares.iter().any(|share| *share < 0.0) || (sum - 1.0).abs() > 1e-9 || sum.is_nan() {
        let found = format!("the shares {shares:?} have the sum {sum}");
        return Err(refused("split", found, "give shares from 0 with the sum 1"));
    }
    let mut ends = shares.iter().scan(0.0, |sum, share| {
        *sum += share;
        Some(((n as f64 * *sum).round() as usize).min(n))
    });
    let mut start = 0;
    let mut parts = shares.map(|_| {
        let end = ends.next().unwrap_or(n).max(start);
        std::mem::replace(&mut start, end)..end
    });
    if let Some(last) = parts.last_mut() {
        last.end = n;
    }
    Ok(parts)
}

/// `k` rounds in which every example is tested once, by a network that was not trained on it. The examples are shuffled by a key; for a series
/// in time see [`WalkForward`].
///
/// ```
/// let folds = wengert_train::k_fold(10, 3, 42)?;
/// assert_eq!(folds.iter().map(|fold| fold.test.len()).collect::<Vec<_>>(), [4, 3, 3]);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
///
/// # Errors
/// If `k` is less than 2 or more than `n`.
#[track_caller]
pub fn k_fold(n: usize, k: usize, key: i64) -> Result<Vec<Fold>> {
    if k < 2 || k > n {
        let found = format!("{k} rounds over {n} examples are asked for");
        return Err(refused("k_fold", found, "give a number from 2 to the number of examples"));
    }
    let order = permutation(key, n);
    // The first `n % k` rounds test one more.
    let start = |round: usize| round * (n / k) + round.min(n % k);
    let fold = |round: usize| {
        let (from, to) = (start(round), start(round + 1));
        Fold { train: [&order[..from], &order[to..]].concat(), test: order[from..to].to_vec() }
    };
    Ok((0..k).map(fold).collect())
}

/// Rounds over a series in time, each trained on the past and tested on what follows:
///
/// ```text
/// first = 4, test = 2, gap = 1            train      test
/// round 0                                 0 1 2 3    5 6
/// round 1                                 0 .. 5     7 8
/// ```
///
/// ```
/// use wengert_train::WalkForward;
/// let folds = WalkForward { first: 4, test: 2, gap: 1, window: None }.folds(9)?;
/// assert_eq!((folds.len(), &folds[1].train[..], &folds[1].test[..]), (2, &[0, 1, 2, 3, 4, 5][..], &[7, 8][..]));
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkForward {
    /// How many rows the first round trains on.
    pub first: usize,
    /// How many rows each round tests, and by how many the next one moves on.
    pub test: usize,
    /// How many rows are left out between the two: as many as a target looks ahead.
    pub gap: usize,
    /// How many rows a round trains on at most, the last ones; without, all of the past.
    pub window: Option<usize>,
}

impl WalkForward {
    /// The rounds over `n` rows; a rest that is shorter than `test` is not tested.
    ///
    /// # Errors
    /// If there is no round, or one that trains or tests on nothing.
    #[track_caller]
    pub fn folds(&self, n: usize) -> Result<Vec<Fold>> {
        let WalkForward { first, test, gap, window } = *self;
        let fits = |end: &usize| end.checked_add(gap).and_then(|from| from.checked_add(test)).is_some_and(|to| to <= n);
        if first == 0 || test == 0 || window == Some(0) || !fits(&first) {
            let found = format!("{n} rows hold no round of {first} to train on, {gap} left out and {test} to test");
            return Err(refused("WalkForward", found, "give fewer, and numbers from 1"));
        }
        let fold = |end: usize| Fold {
            train: (end - window.unwrap_or(end).min(end)..end).collect(),
            test: (end + gap..end + gap + test).collect(),
        };
        Ok((first..).step_by(test).take_while(fits).map(fold).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_tested_once() {
        for (n, k) in [(10, 2), (10, 3), (11, 11), (100, 7)] {
            let folds = k_fold(n, k, 5).unwrap();
            assert_eq!(folds.len(), k);
            let mut tested: Vec<usize> = folds.iter().flat_map(|fold| fold.test.clone()).collect();
            tested.sort_unstable();
            assert_eq!(tested, (0..n).collect::<Vec<_>>());
            for fold in &folds {
                let mut all = [&fold.train[..], &fold.test[..]].concat();
                all.sort_unstable();
                assert_eq!(all, (0..n).collect::<Vec<_>>());
                assert!(fold.test.len() == n / k || fold.test.len() == n / k + 1);
            }
            assert_ne!(k_fold(n, k, 6).unwrap(), folds);
        }
        assert!(k_fold(3, 4, 0).unwrap_err().to_string().contains("4 rounds over 3 examples"));
        assert!(k_fold(3, 1, 0).is_err());
    }

    #[test]
    fn nobody_trains_on_the_future() {
        for window in [None, Some(3), Some(100)] {
            let walk = WalkForward { first: 5, test: 4, gap: 2, window };
            let folds = walk.folds(30).unwrap();
            // 5 + 2 + 4·r ≤ 30
            assert_eq!(folds.len(), 5);
            for (round, fold) in folds.iter().enumerate() {
                let end = 5 + 4 * round;
                assert_eq!(fold.train.last(), Some(&(end - 1)));
                assert_eq!(fold.train.len(), window.unwrap_or(end).min(end));
                assert_eq!(fold.test, (end + 2..end + 6).collect::<Vec<_>>());
            }
        }
        let error = WalkForward { first: 5, test: 4, gap: 2, window: None }.folds(10).unwrap_err().to_string();
        assert!(error.contains("10 rows hold no round of 5 to train on, 2 left out and 4 to test"), "{error}");
    }

    #[test]
    fn parts_cover_the_whole() {
        for n in [0, 1, 7, 99, 1000] {
            let parts = split(n, [0.6, 0.1, 0.3]).unwrap();
            assert_eq!((parts[0].start, parts[2].end), (0, n));
            assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
        assert!(split(5, [0.6, 0.6]).unwrap_err().to_string().contains("have the sum 1.2"));
        assert!(split(5, [1.5, -0.5]).is_err() && split(5, [f64::NAN]).is_err());
    }
}
