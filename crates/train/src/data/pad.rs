//! Sequences of different lengths as one tensor.

use super::refused;
use wengert_autograd::{DType, Element, Error, ErrorKind, Result, Tensor};

/// Sequences of different lengths, side by side.
#[derive(Clone, Debug)]
pub struct Padded {
    /// `[T, B]` or `[T, B, ..]`, time-major, with T the greatest length.
    pub values: Tensor,
    /// The length of each sequence.
    pub lengths: Vec<usize>,
    /// `[T, B]`, Bool: whether a value, or a row, is one of the sequence's.
    pub mask: Tensor,
}

/// Fills sequences of numbers up with `fill` to the length of the longest.
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
/// keeps the padding small. Sequences of vectors are padded by [`pad_sequence`].
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

/// Fills sequences of rows `[T_i, ..]`, such as vectors of features, up with `padding_value` to the length of the longest, as PyTorch's
/// `pad_sequence`: `[T, B, ..]`. The value becomes one of the sequences' element type.
///
/// ```
/// use wengert_autograd::Tensor;
/// use wengert_train::{pad_sequence, unpad_sequence};
/// let long = Tensor::from_slice(&[1.0f32, 1.1, 2.0, 2.1], [2, 2])?;
/// let short = Tensor::from_slice(&[3.0f32, 3.1], [1, 2])?;
/// let padded = pad_sequence(&[long.clone(), short], 0.0)?;
/// assert_eq!(padded.values.shape().to_vec(), [2, 2, 2]);                    // [T, B, F]
/// assert_eq!(padded.values.to_vec::<f32>()?, [1.0, 1.1, 3.0, 3.1, 2.0, 2.1, 0.0, 0.0]);
/// assert_eq!(padded.lengths, [2, 1]);
/// assert!(unpad_sequence(&padded.values, &padded.lengths)?[0].bit_eq(&long));
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
///
/// The lengths are what [`Run::lengths`](wengert_nn::Run) takes, and, for all examples,
/// [`Batches::by_length`](crate::Batches::by_length).
///
/// # Errors
/// If there are none, one has no axes, or they differ in element type or in the shape of a row.
#[track_caller]
pub fn pad_sequence(sequences: &[Tensor], padding_value: f64) -> Result<Padded> {
    let Some(first) = sequences.first() else {
        let remedy = "give at least one, whose rows tell the shape";
        return Err(refused("pad_sequence", "no sequences are given", remedy));
    };
    let Some(row) = first.shape().get(1..).map(<[usize]>::to_vec) else {
        return Err(refused("pad_sequence", "sequence 0 has no axes", "give tensors [T, ..]"));
    };
    for (i, sequence) in sequences.iter().enumerate() {
        if sequence.shape().get(1..) != Some(&row[..]) || sequence.dtype() != first.dtype() {
            let (dtype, shape) = (sequence.dtype(), sequence.shape());
            let found = format!("sequence {i} is {dtype} {shape}, the first {} {}", first.dtype(), first.shape());
            let remedy = "give sequences of one element type and shape, but for the first axis";
            return Err(Error::new(ErrorKind::Shape, "pad_sequence", found, remedy));
        }
    }
    let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.shape()[0]).collect();
    let steps = lengths.iter().copied().max().unwrap_or(0);
    let (batch, width) = (sequences.len(), row.iter().product::<usize>());
    let shape = [&[steps, batch][..], &row].concat();
    /// Row by row into a tensor full of the padding.
    fn fill<T: Element>(all: &[Vec<T>], padding: T, steps: usize, width: usize, shape: &[usize]) -> Result<Tensor> {
        let mut values = vec![padding; steps * all.len() * width];
        for (b, sequence) in all.iter().enumerate() {
            for t in 0..sequence.len().checked_div(width).unwrap_or(0) {
                let at = (t * all.len() + b) * width;
                values[at..at + width].copy_from_slice(&sequence[t * width..][..width]);
            }
        }
        Tensor::from_vec(values, shape)
    }
    macro_rules! filled {
        ($type:ty, $padding:expr) => {{
            let all = sequences.iter().map(|sequence| sequence.to_vec::<$type>()).collect::<Result<Vec<_>>>()?;
            fill(&all, $padding, steps, width, &shape)?
        }};
    }
    let values = match first.dtype() {
        DType::F32 => filled!(f32, padding_value as f32),
        DType::F64 => filled!(f64, padding_value),
        DType::I64 => filled!(i64, padding_value as i64),
        DType::Bool => filled!(bool, padding_value != 0.0),
    };
    let mask = (0..steps).flat_map(|t| lengths.iter().map(move |length| t < *length)).collect();
    Ok(Padded { values, mask: Tensor::from_vec::<bool>(mask, [steps, batch])?, lengths })
}

/// The sequences `[T_i, ..]` of a padded tensor `[T, B, ..]`, as PyTorch's `unpad_sequence`.
///
/// # Errors
/// If there is not one length for each sequence, or one is greater than T.
#[track_caller]
pub fn unpad_sequence(values: &Tensor, lengths: &[usize]) -> Result<Vec<Tensor>> {
    let shape = values.shape();
    let fits = |steps: usize| lengths.iter().all(|length| *length <= steps);
    if !matches!(shape[..], [steps, batch, ..] if batch == lengths.len() && fits(steps)) {
        let found = format!("lengths {lengths:?} of the tensor {shape} are asked for");
        return Err(Error::new(
            ErrorKind::Shape,
            "unpad_sequence",
            found,
            "give a tensor [T, B, ..] and B lengths up to T",
        ));
    }
    let row = |b: usize, length: usize| {
        let shape = [&[length][..], &shape[2..]].concat();
        values.narrow(1, b, 1)?.narrow(0, 0, length)?.contiguous().reshape(shape)
    };
    lengths.iter().enumerate().map(|(b, length)| row(b, *length)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Batches;
    use proptest::prelude::*;

    /// Sequence `i` has the values 1000·i, 1000·i + 1, ..
    fn sequences(lengths: &[usize], row: &[usize], dtype: DType) -> Vec<Tensor> {
        let one = |(i, length): (usize, &usize)| {
            let numel = length * row.iter().product::<usize>();
            let values = (0..numel).map(|k| (1000 * i + k) as f64).collect();
            Tensor::from_vec(values, [&[*length][..], row].concat()).unwrap().cast(dtype)
        };
        lengths.iter().enumerate().map(one).collect()
    }

    proptest! {
        /// Every element, by the definition; and what was padded comes back.
        #[test]
        fn rows_are_where_they_belong(
            lengths in prop::collection::vec(0..7usize, 1..6),
            row in prop::collection::vec(0..4usize, 0..3),
            dtype in prop::sample::select(vec![DType::F32, DType::F64, DType::I64, DType::Bool]),
        ) {
            let all = sequences(&lengths, &row, dtype);
            let padded = pad_sequence(&all, -7.0).unwrap();
            let steps = *lengths.iter().max().unwrap();
            prop_assert_eq!(padded.values.shape().to_vec(), [&[steps, lengths.len()][..], &row].concat());
            prop_assert_eq!((padded.values.dtype(), &padded.lengths), (dtype, &lengths));
            let width: usize = row.iter().product();
            let (values, mask) = (padded.values.to_f64_vec(), padded.mask.to_vec::<bool>().unwrap());
            let padding = Tensor::scalar(-7.0f64).cast(dtype).to_f64_vec()[0];
            for t in 0..steps {
                for (b, sequence) in all.iter().enumerate() {
                    prop_assert_eq!(mask[t * lengths.len() + b], t < lengths[b]);
                    for k in 0..width {
                        let found = values[(t * lengths.len() + b) * width + k];
                        let wanted = sequence.to_f64_vec().get(t * width + k).copied().unwrap_or(padding);
                        prop_assert_eq!(found, wanted);
                    }
                }
            }
            for (found, wanted) in unpad_sequence(&padded.values, &lengths).unwrap().iter().zip(&all) {
                prop_assert!(found.bit_eq(wanted));
            }
        }

        /// Scalars are rows without axes.
        #[test]
        fn both_pads_agree(lengths in prop::collection::vec(0..7usize, 1..6)) {
            let all = sequences(&lengths, &[], DType::I64);
            let slices: Vec<Vec<i64>> = all.iter().map(|sequence| sequence.to_vec().unwrap()).collect();
            let slices: Vec<&[i64]> = slices.iter().map(Vec::as_slice).collect();
            let (a, b) = (pad(&slices, -1).unwrap(), pad_sequence(&all, -1.0).unwrap());
            prop_assert!(a.values.bit_eq(&b.values) && a.mask.bit_eq(&b.mask));
            prop_assert_eq!(a.lengths, b.lengths);
        }

        /// Batches by length hold every sequence once, whole, and pad no more than a pool's own spread.
        #[test]
        fn buckets_of_both_kinds(
            lengths in prop::collection::vec(0..30usize, 1..40),
            batch in 1..6usize,
            pool in 1..4usize,
            key in any::<i64>(),
        ) {
            let vectors = sequences(&lengths, &[2], DType::F32);
            let numbers = sequences(&lengths, &[], DType::F32);
            let plan = Batches::new(lengths.len(), batch).unwrap().shuffled(key);
            let mut plan = plan.by_length(lengths.clone(), pool).unwrap();
            let mut seen = vec![false; lengths.len()];
            for batch in plan.by_ref() {
                let pick = |all: &[Tensor]| batch.iter().map(|i| all[*i].clone()).collect::<Vec<_>>();
                let (rows, scalars) = (pad_sequence(&pick(&vectors), 0.0).unwrap(), pad_sequence(&pick(&numbers), 0.0).unwrap());
                prop_assert_eq!(&rows.lengths, &scalars.lengths);
                prop_assert!(rows.mask.bit_eq(&scalars.mask));
                // Sorted within its pool, so the longest is the last.
                prop_assert!(rows.lengths.is_sorted());
                for (i, sequence) in batch.iter().zip(unpad_sequence(&rows.values, &rows.lengths).unwrap()) {
                    prop_assert!(sequence.bit_eq(&vectors[*i]) && !std::mem::replace(&mut seen[*i], true));
                }
            }
            prop_assert!(seen.iter().all(|seen| *seen));
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let says = |sequences: &[Tensor], wanted: &str| {
            let error = pad_sequence(sequences, 0.0).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        };
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32);
        says(&[], "no sequences are given");
        says(&[Tensor::scalar(1.0f32)], "sequence 0 has no axes");
        says(&[zeros(&[2, 3]), Tensor::scalar(1.0f32)], "sequence 1 is f32 [], the first f32 [2, 3]");
        says(&[zeros(&[2, 3]), zeros(&[5, 3]), zeros(&[2, 4])], "sequence 2 is f32 [2, 4], the first f32 [2, 3]");
        says(&[zeros(&[2]), zeros(&[2]).cast(DType::F64)], "sequence 1 is f64 [2], the first f32 [2]");
        for (shape, lengths) in [(&[3, 2][..], &[3][..]), (&[3, 2], &[3, 4]), (&[3], &[1, 1, 1])] {
            let error = unpad_sequence(&zeros(shape), lengths).unwrap_err().to_string();
            assert!(error.contains("are asked for"), "{error}");
        }
        // A view is as good as a tensor.
        let view = Tensor::from_vec((0..6).map(|i| i as f32).collect(), [3, 2]).unwrap().transpose(0, 1).unwrap();
        assert_eq!(pad_sequence(&[view], 0.0).unwrap().values.to_f64_vec(), [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
    }
}
