//! Sequences of different lengths as one tensor.

use wengert_autograd::{Element, Result, Tensor};

/// Sequences of different lengths, side by side.
#[derive(Clone, Debug)]
pub struct Padded {
    /// `[T, B]`, time-major, with T the greatest length.
    pub values: Tensor,
    /// The length of each sequence.
    pub lengths: Vec<usize>,
    /// `[T, B]`, Bool: whether a value is one of the sequence's.
    pub mask: Tensor,
}

/// Fills sequences up with `fill` to the length of the longest.
///
/// ```
/// let sequences: [&[i64]; 2] = [&[1, 2, 3], &[4]];
/// let padded = wengert_train::pad(&sequences, 0)?;
/// assert_eq!(padded.values.to_vec::<i64>()?, [1, 4, 2, 0, 3, 0]);
/// assert_eq!(padded.lengths, [3, 1]);
/// assert_eq!(padded.mask.to_vec::<bool>()?, [true, true, true, false, true, false]);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
///
/// Targets that are filled up with −100 are ignored by [`CrossEntropy`](wengert_nn::loss::CrossEntropy). [`Batches::by_length`](crate::Batches::by_length)
/// keeps the padding small.
///
/// # Errors
/// If memory cannot hold them.
#[track_caller]
pub fn pad<T: Element>(sequences: &[&[T]], fill: T) -> Result<Padded> {
    let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.len()).collect();
    let steps = lengths.iter().copied().max().unwrap_or(0);
    let shape = [steps, sequences.len()];
    let at = |t: usize| sequences.iter().map(move |sequence| sequence.get(t).copied());
    let values = (0..steps).flat_map(at).map(|value| value.unwrap_or(fill)).collect();
    let mask = (0..steps).flat_map(at).map(|value| value.is_some()).collect();
    Ok(Padded { values: Tensor::from_vec(values, shape)?, lengths, mask: Tensor::from_vec::<bool>(mask, shape)? })
}
