//! Cells, one file each.
//!
//! A cell's matrices are `w`, which reads the input, and `u`, which reads the state, with one block of columns for each gate, in the order
//! that its documentation says; `b` are the biases. All fields are public, and [`init`](crate::init) has other initial values:
//!
//! ```
//! use rand::{SeedableRng, rngs::StdRng};
//! use wengert_nn::{CoupledLstmCell, init};
//! let mut rng = StdRng::seed_from_u64(0);
//! let cell = CoupledLstmCell::new(10, 64, &mut rng);
//! init::forget_bias(&cell.b, 0..64, 1.0);
//! cell.u.set(init::blocks(3, || init::orthogonal([64, 64], 1.0, &mut rng))?)?;
//! # Ok::<(), wengert_autograd::Error>(())
//! ```
//!
//! [`Clipped`] and [`Learned`] go around any cell, and [`Projected`] around an LSTM; dropout is in [`dropout`](crate::dropout). An option of the same formulas is a method (`with_..`), other formulas are another cell.

mod antisymmetric;
mod clipped;
mod cornn;
mod coupled;
mod elman;
mod gate;
mod gru;
mod highway;
mod indrnn;
mod janet;
mod layer_norm_lstm;
mod learned;
mod ligru;
mod lstm;
mod lstm1997;
mod mgu;
mod min_gru;
mod min_lstm;
mod mlstm;
mod multiplicative;
mod peephole;
mod projected;
#[cfg(feature = "proptest")]
mod random;
mod slstm;
mod sru;

pub use antisymmetric::AntisymmetricCell;
pub use clipped::Clipped;
pub use cornn::CoRnnCell;
pub use coupled::CoupledLstmCell;
pub use elman::{Activation, ElmanCell};
pub use gate::Gate;
pub use gru::{GruCell, ResetBeforeGruCell};
pub use highway::HighwayCell;
pub use indrnn::IndRnnCell;
pub use janet::JanetCell;
pub use layer_norm_lstm::LayerNormLstmCell;
pub use learned::Learned;
pub use ligru::LiGruCell;
pub use lstm::LstmCell;
pub use lstm1997::Lstm1997Cell;
pub use mgu::MguCell;
pub use min_gru::MinGruCell;
pub use min_lstm::MinLstmCell;
pub use mlstm::{MLstmCell, MLstmState};
pub use multiplicative::MultiplicativeLstmCell;
pub use peephole::PeepholeLstmCell;
pub use projected::{Projected, Recurrent};
pub use slstm::{SLstmCell, SLstmState};
pub use sru::SruCell;
