//! Sequences out of a trained model: searched for, drawn at random, read off a network that emits a symbol at each step; and the training of
//! decoders on tokens, given or their own.
//!
//! A model is a [`Stepper`]: a token and a state to scores of the next token and a state. [`RnnStepper`] is that of an
//! [`Rnn`](crate::Rnn) between an embedding and a readout.
//!
//! ```
//! use rand::{SeedableRng, rngs::StdRng};
//! use wengert_nn::decode::{BeamSearch, RnnStepper, Sampling, Start, Stop, greedy};
//! use wengert_nn::{Embedding, GruCell, Linear, Rnn};
//! let rng = &mut StdRng::seed_from_u64(0);
//! let (embed, net, readout) = (Embedding::new(12, 4, rng), Rnn::new(GruCell::new(4, 8, rng)), Linear::new(8, 12, rng));
//! let model = RnnStepper::new(&embed, &net, &readout);
//! let (begin, end) = (10, 11);
//! let stop = Stop::after(20).at(end);
//!
//! let best = greedy(&model, &Start::tokens(&[begin]), &stop)?;
//! // Three draws that go on from a given text.
//! let start = Start::prompt(&model, &[begin, 3, 1, 4])?.repeat(3);
//! let drawn = Sampling { temperature: 0.8, top_p: 0.9, seed: 7, ..Default::default() }.generate(&model, &start, &stop)?;
//! let beams = BeamSearch::new(4).length_penalty(0.6).search(&model, &Start::tokens(&[begin]), &stop)?;
//! assert!(best.len() == 1 && drawn.len() == 3 && beams.len() == 4);
//! assert!(beams[0].score >= beams[1].score);
//! # Ok::<(), wengert_autograd::Error>(())
//! ```

mod beam;
mod ctc;
mod sample;
mod scheduled;
mod start;
mod stepper;

pub use beam::{BeamSearch, Hypothesis};
pub use ctc::{CtcBeamSearch, CtcHypothesis, ctc_greedy};
pub use sample::{Sampling, greedy};
pub use scheduled::{scheduled_sampling, teacher_forcing};
pub use start::{Start, Stop};
pub use stepper::{RnnStepper, Stepper};

/// The first place of the greatest entry; 0 if there is none.
pub(crate) fn argmax(values: &[f64]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}
