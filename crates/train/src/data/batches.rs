//! Which examples come next: shuffled, in batches, bucketed by length, with a position that a checkpoint keeps.

use crate::checkpoint::{Checkpointed, Parts};
use crate::error::Result;
use crate::seeds::permutation;
use wengert_autograd::{Error, ErrorKind};
use wengert_kernels::fold_in;

/// Indices of examples in batches, epoch after epoch.
///
/// As an iterator it ends after each epoch and then goes on with the next. (A loop that writes a checkpoint inside of an epoch borrows it
/// step by step: `while let Some(batch) = run.batches.next()`.)
///
/// ```
/// use wengert_train::{Batches, Seeds};
/// let mut batches = Batches::new(10, 4)?.shuffled(Seeds::new(0).key("order"));
/// let mut seen = Vec::new();
/// while batches.epoch() < 2 {
///     for batch in batches.by_ref() {
///         assert!(batch.len() == 4 || batch.len() == 2);
///         seen.extend(batch);
///     }
///     // Here an epoch has ended: validate, save.
/// }
/// assert_eq!(seen.len(), 20);
/// # Ok::<(), wengert_train::Error>(())
/// ```
///
/// The order of an epoch is a pure function of the key and the epoch, so the position is two numbers, and a run that goes on from a
/// checkpoint sees the examples that it would have seen.
#[derive(Clone, Debug)]
pub struct Batches {
    len: usize,
    batch: usize,
    key: Option<i64>,
    buckets: Option<Buckets>,
    drop_last: bool,
    epoch: u64,
    position: usize,
    /// The batches of this epoch, once one was asked for.
    plan: Option<Vec<Vec<usize>>>,
}

#[derive(Clone, Debug)]
struct Buckets {
    lengths: Vec<usize>,
    batches: usize,
}

impl Batches {
    /// `len` examples in batches of `batch`, in order; the last batch of an epoch may be smaller.
    ///
    /// # Errors
    /// If `batch` is 0.
    #[track_caller]
    pub fn new(len: usize, batch: usize) -> Result<Batches> {
        if batch == 0 {
            let found = "batches of 0 examples are asked for";
            return Err(Error::new(ErrorKind::Value, "Batches", found, "give a size from 1").into());
        }
        Ok(Batches { len, batch, key: None, buckets: None, drop_last: false, epoch: 0, position: 0, plan: None })
    }

    /// In another order each epoch, which follows from the key.
    pub fn shuffled(self, key: i64) -> Batches {
        Batches { key: Some(key), plan: None, ..self }
    }

    /// Batches of examples of similar length, so that little is padded: the examples are taken in pools of `batches` batches, sorted by length
    /// within each pool, and, if [`shuffled`](Batches::shuffled), the batches of the epoch are shuffled again. A larger pool pads less and
    /// mixes less.
    ///
    /// # Errors
    /// If there is not one length for each example.
    #[track_caller]
    pub fn by_length(self, lengths: Vec<usize>, batches: usize) -> Result<Batches> {
        if lengths.len() != self.len {
            let found = format!("{} lengths are given for {} examples", lengths.len(), self.len);
            return Err(Error::new(ErrorKind::Value, "Batches", found, "give the length of each example").into());
        }
        Ok(Batches { buckets: Some(Buckets { lengths, batches: batches.max(1) }), plan: None, ..self })
    }

    /// Leaves out a last batch that is smaller than the others.
    pub fn drop_last(self) -> Batches {
        Batches { drop_last: true, plan: None, ..self }
    }

    /// The epoch that the next batch belongs to, or that ends; from 0.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How many batches an epoch has.
    pub fn per_epoch(&self) -> usize {
        if self.drop_last { self.len / self.batch } else { self.len.div_ceil(self.batch) }
    }

    /// How many batches of this epoch were given.
    pub fn position(&self) -> usize {
        self.position
    }

    fn plan(&self) -> Vec<Vec<usize>> {
        let key = self.key.map(|key| fold_in(key, self.epoch as i64));
        let mut order = match key {
            Some(key) => permutation(key, self.len),
            None => (0..self.len).collect(),
        };
        if let Some(Buckets { lengths, batches }) = &self.buckets {
            for pool in order.chunks_mut(self.batch.saturating_mul(*batches)) {
                pool.sort_by_key(|example| lengths[*example]);
            }
        }
        let mut plan: Vec<Vec<usize>> = order.chunks(self.batch).map(<[usize]>::to_vec).collect();
        plan.truncate(self.per_epoch());
        match (key, &self.buckets) {
            (Some(key), Some(_)) => {
                let order = permutation(fold_in(key, 1), plan.len());
                order.into_iter().map(|at| std::mem::take(&mut plan[at])).collect()
            }
            _ => plan,
        }
    }
}

impl Iterator for Batches {
    type Item = Vec<usize>;

    /// The next batch; `None` at the end of each epoch.
    fn next(&mut self) -> Option<Vec<usize>> {
        let plan = match self.plan.take() {
            Some(plan) => plan,
            None => self.plan(),
        };
        match plan.get(self.position).cloned() {
            Some(batch) => {
                self.position += 1;
                self.plan = Some(plan);
                Some(batch)
            }
            None => {
                self.epoch += 1;
                self.position = 0;
                None
            }
        }
    }
}

impl Checkpointed for Batches {
    fn parts(&mut self, parts: &mut Parts) -> Result<()> {
        parts.same("examples", &self.len)?;
        parts.same("batch", &self.batch)?;
        parts.same("key", &self.key.map_or("none".into(), |key| key.to_string()))?;
        parts.same("drop last", &self.drop_last)?;
        let buckets = self.buckets.as_ref().map_or("none".into(), |Buckets { lengths, batches }| {
            let bytes: Vec<u8> = lengths.iter().flat_map(|length| (*length as u64).to_le_bytes()).collect();
            format!("{batches} batches of lengths with the checksum {:08x}", crc32c::crc32c(&bytes))
        });
        parts.same("buckets", &buckets)?;
        parts.value("epoch", &mut self.epoch)?;
        parts.value("position", &mut self.position)?;
        self.plan = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Parts;

    fn epochs(batches: &mut Batches, n: u64) -> Vec<Vec<usize>> {
        let mut all = Vec::new();
        while batches.epoch() < n {
            all.extend(batches.by_ref());
        }
        all
    }

    #[test]
    fn an_epoch_has_every_example_once() {
        let lengths: Vec<usize> = (0..103).map(|i| i * 37 % 50).collect();
        let plain = Batches::new(103, 10).unwrap();
        for batches in [plain.clone(), plain.clone().shuffled(1), plain.shuffled(1).by_length(lengths, 4).unwrap()] {
            let all = epochs(&mut batches.clone(), 2);
            assert_eq!(all.len(), 2 * batches.per_epoch());
            let (first, second) = all.split_at(11);
            for epoch in [first, second] {
                let mut examples = epoch.concat();
                examples.sort_unstable();
                assert_eq!(examples, (0..103).collect::<Vec<_>>());
            }
            assert_eq!(first == second, batches.key.is_none());
            let dropped = epochs(&mut batches.drop_last(), 1);
            assert!(dropped.len() == 10 && dropped.iter().all(|batch| batch.len() == 10));
        }
    }

    #[test]
    fn buckets_pad_less() {
        let lengths: Vec<usize> = (0..1000).map(|i| i * 7919 % 100).collect();
        let padding = |batches: Batches| {
            let all = epochs(&mut batches.clone(), 1);
            let pad = |batch: &Vec<usize>| {
                let longest = batch.iter().map(|i| lengths[*i]).max().unwrap();
                batch.iter().map(|i| longest - lengths[*i]).sum::<usize>()
            };
            all.iter().map(pad).sum::<usize>()
        };
        let plain = Batches::new(1000, 10).unwrap().shuffled(1);
        let bucketed = plain.clone().by_length(lengths.clone(), 20).unwrap();
        assert!(padding(bucketed) * 5 < padding(plain));
    }

    #[test]
    fn a_position_is_gone_on_from() {
        let make = || Batches::new(25, 4).unwrap().shuffled(5);
        let undisturbed = epochs(&mut make(), 3);
        for stop in 0..undisturbed.len() {
            let mut first = make();
            let mut seen = Vec::new();
            while seen.len() < stop {
                seen.extend(first.next());
            }
            let contents = Parts::write(&mut first).unwrap();
            let mut second = make();
            second.next();
            Parts::read(&mut second, contents).unwrap();
            seen.extend(epochs(&mut second, 3));
            assert_eq!(seen, undisturbed, "stopped after {stop}");
        }
        let mut other = Batches::new(25, 5).unwrap().shuffled(5);
        let error = Parts::read(&mut other, Parts::write(&mut make()).unwrap()).unwrap_err().to_string();
        assert!(error.contains("'batch' was 4, and is 5 now"), "{error}");
    }
}
