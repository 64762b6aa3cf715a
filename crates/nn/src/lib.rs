//! Recurrent networks from primitive operations.
//!
//! A [`Cell`] is a few lines of recorded operations; [`Rnn`] runs it over time, stacked, from a given or
//! zero state, and hands the state on. Nobody writes a backward pass.
//!
//! ```
//! use rand::{SeedableRng, rngs::StdRng};
//! use wengert_autograd::{DType, Tape, Tensor};
//! use wengert_nn::{Cx, LstmCell, Rnn, loss};
//!
//! let mut rng = StdRng::seed_from_u64(0);
//! let net = Rnn::stack(2, 10, |_, input| LstmCell::new(input, 20, &mut rng));
//! let tape = Tape::new();
//! let x = tape.constant(Tensor::zeros([5, 3, 10], DType::F32));
//! let (y, _state) = net.forward(&Cx::train(&tape), x);
//! let gradients = loss::mse(y, 0.5).backward()?;
//! assert_eq!(gradients.len(), 6);
//! # Ok::<(), wengert_autograd::Error>(())
//! ```
#![forbid(unsafe_code)]

// The derives name this crate by its facade's name.
extern crate self as wengert;
pub use wengert_autograd as autograd;

mod carried;
mod cell;
pub mod cells;
mod cx;
pub mod decode;
pub mod dropout;
mod explain;
pub mod init;
pub mod io;
pub mod layers;
pub mod loss;
pub mod metrics;
mod rnn;
mod stream;

pub use carried::Carried;
pub use cell::Cell;
pub use cells::*;
pub use cx::Cx;
pub use dropout::{RecurrentDropout, WeightDrop, Zoneout};
pub use explain::explain;
pub use layers::*;
pub use rnn::{Bidirectional, Given, Layer, Rnn, Run, Time, Truncated, Watched, Window, watch};
pub use stream::Stream;
pub use wengert_derive::{Module, Tree};
