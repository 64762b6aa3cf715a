//! A long sequence in pieces, for truncated backpropagation through time.

use super::{refused, take};
use crate::checkpoint::{Checkpointed, Parts};
use crate::error::Result;
use wengert_autograd::Tensor;

/// A long sequence `[N, ..]`, cut into `lanes` of equal length that are read side by side, a piece at a time. The state of lane `b` goes on from
/// piece to piece; [`Carried`](wengert_nn::Carried) takes it across tapes.
///
/// ```
/// use wengert_autograd::Tensor;
/// use wengert_train::Stream;
/// let text = Tensor::from_vec((0..9i64).collect(), [9])?;
/// let mut stream = Stream::next_step(&text, 2, 3)?;
/// let mut carried = None::<()>;
/// for piece in stream.by_ref() {
///     if piece.first {
///         carried = None;                                     // a new epoch begins
///     }
///     // piece.x: [T, B] with T up to 3, piece.y: what follows each of them
/// #   if piece.first { assert_eq!(piece.x.to_vec::<i64>()?, [0, 4, 1, 5, 2, 6]); }
/// #   if piece.first { assert_eq!(piece.y.to_vec::<i64>()?, [1, 5, 2, 6, 3, 7]); }
/// }
/// # let _ = carried;
/// # Ok::<(), wengert_train::Error>(())
/// ```
///
/// As an iterator it ends after each epoch and then goes on with the next. The position is part of a checkpoint; the carried state
/// is one of its own ([`Parts::carried`]).
#[derive(Clone, Debug)]
pub struct Stream {
    x: Tensor,
    y: Tensor,
    lanes: usize,
    steps: usize,
    /// The steps of a lane.
    length: usize,
    epoch: u64,
    /// The next step in all lanes.
    position: usize,
}

/// A piece of a [`Stream`].
#[derive(Clone, Debug)]
pub struct Piece {
    /// `[T, B, ..]`.
    pub x: Tensor,
    /// `[T, B, ..]`.
    pub y: Tensor,
    /// Whether it is the first of an epoch: no state goes on into it.
    pub first: bool,
}

impl Stream {
    /// A sequence whose targets are its own next values: a language model. What does not fill all lanes is left out at the end.
    ///
    /// # Errors
    /// If there are fewer values than lanes, or a number is 0.
    #[track_caller]
    pub fn next_step(data: &Tensor, lanes: usize, steps: usize) -> Result<Stream> {
        let n = data.shape().first().copied().unwrap_or(0);
        let x = data.narrow(0, 0, n.saturating_sub(1));
        let y = data.narrow(0, n.min(1), n.saturating_sub(1));
        match (x, y) {
            (Ok(x), Ok(y)) => Stream::pairs(&x, &y, lanes, steps),
            _ => Err(refused("Stream", "the data have no axes", "give a tensor [N, ..]").into()),
        }
    }

    /// A sequence with a target for each step.
    ///
    /// # Errors
    /// If the numbers of values and targets differ or are fewer than the lanes, or a number is 0.
    #[track_caller]
    pub fn pairs(x: &Tensor, y: &Tensor, lanes: usize, steps: usize) -> Result<Stream> {
        let [n, m] = [x, y].map(|t| t.shape().first().copied().unwrap_or(0));
        if n != m {
            let found = format!("there are {n} values and {m} targets");
            return Err(refused("Stream", found, "give a target for each value").into());
        }
        if lanes == 0 || steps == 0 || n < lanes {
            let found = format!("{n} values cannot be read in {lanes} lanes and pieces of {steps} steps");
            return Err(refused("Stream", found, "give at least one value for each lane, and numbers from 1").into());
        }
        let (x, y) = (x.contiguous(), y.contiguous());
        Ok(Stream { x, y, lanes, steps, length: n / lanes, epoch: 0, position: 0 })
    }

    /// The epoch that the next piece belongs to, or that ends; from 0.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How many pieces an epoch has.
    pub fn per_epoch(&self) -> usize {
        self.length.div_ceil(self.steps)
    }
}

impl Iterator for Stream {
    type Item = Piece;

    /// The next piece; `None` at the end of each epoch. The last piece of an epoch may have fewer steps.
    fn next(&mut self) -> Option<Piece> {
        let (from, end) = (self.position, (self.position + self.steps).min(self.length));
        if from >= end {
            self.epoch += 1;
            self.position = 0;
            return None;
        }
        self.position = end;
        let length = self.length;
        let rows: Vec<usize> = (from..end).flat_map(|t| (0..self.lanes).map(move |lane| lane * length + t)).collect();
        let part = |data: &Tensor| {
            let shape = [&[end - from, self.lanes], &data.shape()[1..]].concat();
            // `rows` lie in the data: lanes · length ≤ N.
            take(data, &rows).and_then(|rows| rows.reshape(shape)).ok()
        };
        Some(Piece { x: part(&self.x)?, y: part(&self.y)?, first: from == 0 })
    }
}

impl Checkpointed for Stream {
    fn parts(&mut self, parts: &mut Parts) -> Result<()> {
        parts.same("lanes", &self.lanes)?;
        parts.same("steps", &self.steps)?;
        parts.same("length", &self.length)?;
        parts.value("epoch", &mut self.epoch)?;
        parts.value("position", &mut self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lane_is_one_run_of_the_data() {
        let data = Tensor::from_vec((0..47i64).collect(), [47]).unwrap();
        let mut stream = Stream::next_step(&data, 4, 5).unwrap();
        for epoch in 0..2 {
            let mut lanes = vec![Vec::new(); 4];
            let mut pieces = 0;
            for piece in stream.by_ref() {
                assert_eq!(piece.first, pieces == 0);
                pieces += 1;
                let (x, y) = (piece.x.to_vec::<i64>().unwrap(), piece.y.to_vec::<i64>().unwrap());
                assert!(x.iter().zip(&y).all(|(x, y)| x + 1 == *y));
                x.chunks(4).for_each(|row| row.iter().enumerate().for_each(|(lane, v)| lanes[lane].push(*v)));
            }
            assert_eq!((pieces, stream.per_epoch(), stream.epoch()), (3, 3, epoch + 1));
            // 46 values with a successor: 11 for each lane.
            assert_eq!(lanes.concat(), (0..44).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_position_is_gone_on_from() {
        let data = Tensor::from_vec((0..40).map(|v| v as f32).collect(), [20, 2]).unwrap();
        let mut undisturbed = Stream::pairs(&data, &data, 2, 3).unwrap();
        undisturbed.nth(1);
        let mut resumed = Stream::pairs(&data, &data, 2, 3).unwrap();
        Parts::read(&mut resumed, Parts::write(&mut undisturbed).unwrap()).unwrap();
        let (a, b) = (undisturbed.next().unwrap(), resumed.next().unwrap());
        assert!(a.x.bit_eq(&b.x) && !b.first && b.x.shape().to_vec() == [3, 2, 2]);
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let data = Tensor::from_vec(vec![1i64, 2, 3], [3]).unwrap();
        for (lanes, steps) in [(3, 1), (0, 1), (1, 0)] {
            let error = Stream::next_step(&data, lanes, steps).unwrap_err().to_string();
            assert!(error.contains(&format!("2 values cannot be read in {lanes} lanes")), "{error}");
        }
        assert!(Stream::next_step(&Tensor::scalar(1i64), 1, 1).is_err());
        assert!(Stream::pairs(&data, &data.narrow(0, 0, 2).unwrap(), 1, 1).is_err());
    }
}
