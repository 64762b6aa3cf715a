//! Which entries take part: masks of Bool, true where one does.

use wengert_autograd::{DType, Shape, Tape, Tensor, Var};

/// `[L, S]`, true where `j ≤ i`: position `i` sees itself and what comes before it.
#[track_caller]
pub fn causal_mask(tape: &Tape, queries: usize, keys: usize) -> Var<'_> {
    let _named = tape.composition("causal_mask");
    tape.arange(keys).le(tape.arange(queries).unsqueeze(1))
}

/// `[T, B]`, true at the first `lengths[b]` steps of each sequence. A length above `steps` is an error.
///
/// ```
/// use wengert_autograd::Tape;
/// use wengert_nn::length_mask;
/// let tape = Tape::new();
/// let mask = length_mask(&tape, 3, &[3, 1]);
/// assert_eq!(mask.value()?.to_vec::<bool>()?, [true, true, true, false, true, false]);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[track_caller]
pub fn length_mask<'t>(tape: &'t Tape, steps: usize, lengths: &[usize]) -> Var<'t> {
    let _named = tape.composition("length_mask");
    let batch = lengths.len();
    if let Some(b) = lengths.iter().position(|length| *length > steps) {
        let found = format!("sequence {b} has length {}, but there are {steps} steps", lengths[b]);
        return tape.zeros([0], DType::Bool).invalid("length_mask", found, "give lengths of at most the padded one");
    }
    let inside = (0..steps * batch).map(|i| i / batch < lengths[i % batch]).collect();
    tape.constant(Tensor::from_vec::<bool>(inside, [steps, batch]).expect("one entry for each step and sequence"))
}

/// The softmax of scores along an axis, over the entries where `mask` (Bool, or a float value that is added) holds. Where nothing takes
/// part, all weights are 0.
#[track_caller]
pub(super) fn masked_softmax<'t>(name: &str, scores: Var<'t>, mask: Option<Var<'t>>, axis: isize) -> Var<'t> {
    let Some(mask) = mask else { return scores.softmax(axis) };
    let (Ok(shape), Ok(own), Ok(dtype)) = (scores.shape(), mask.shape(), mask.dtype()) else {
        return if scores.shape().is_err() { scores } else { mask };
    };
    if !broadcasts(&own, &shape) || dtype == DType::I64 {
        let found = format!("the mask is {dtype} {own}, the scores are {shape}");
        return scores.invalid(
            name,
            found,
            "give a bool mask that broadcasts to the scores, true where one takes part",
        );
    }
    let (seen, scores) = match dtype {
        DType::Bool => (mask, scores),
        _ => {
            let seen = mask.gt(f64::NEG_INFINITY);
            (seen, scores + seen.select(mask, 0.0))
        }
    };
    // Finite: of a row without entries, infinities would give NaN.
    seen.select(seen.select(scores, -1e30).softmax(axis), 0.0)
}

/// Whether `own` broadcasts to `shape` itself.
fn broadcasts(own: &Shape, shape: &Shape) -> bool {
    own.rank() <= shape.rank() && own.iter().rev().zip(shape.iter().rev()).all(|(a, b)| a == b || *a == 1)
}
