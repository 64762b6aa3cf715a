//! What stands around a training loop: pieces, not a framework. The loop stays the user's, and plain.
//!
//! - Data: [`Batches`] (shuffled, bucketed by length), [`Windows`] of a series, [`Stream`] for truncated backpropagation, [`pad`], [`pad_sequence`], [`Standard`],
//!   [`Vocabulary`]; tables (feature `csv`) and byte pairs (feature `bpe`).
//! - [`Checkpoints`] that a kill at any moment leaves whole, and from which a run goes on to the bit. [`Seeds`] for every random number.
//! - [`EarlyStopping`], [`split`], [`k_fold`], [`WalkForward`], [`RangeTest`] for the learning rate.
//! - [`Log`] to CSV, JSON lines and TensorBoard; progress on a terminal (feature `progress`), curves as SVG (feature `plot`);
//!   [`Report`], a run as one HTML file.
//!
//! A training that can be stopped at any moment: what it must remember is a struct, which names its parts once.
//!
//! ```
//! use wengert_autograd::{Tape, Tensor};
//! use wengert_nn::{Cx, Linear, LstmCell, Rnn, loss};
//! use wengert_optim::{Adam, clip_grad_norm, schedule::Plateau};
//! use wengert_train::*;
//!
//! struct Run {
//!     seeds: Seeds,
//!     net: (Rnn<LstmCell>, Linear),
//!     adam: Adam,
//!     plateau: Plateau,
//!     batches: Batches,
//!     stopping: EarlyStopping,
//!     step: u64,
//! }
//!
//! impl Checkpointed for Run {
//!     fn parts(&mut self, parts: &mut Parts) -> Result<()> {
//!         parts.part("seeds", &mut self.seeds)?;
//!         parts.params("net", &self.net)?;
//!         parts.optimizer("adam", &mut self.adam, &self.net)?;
//!         parts.part("plateau", &mut self.plateau)?;
//!         parts.part("batches", &mut self.batches)?;
//!         parts.part("stopping", &mut self.stopping)?;
//!         parts.value("step", &mut self.step)
//!     }
//! }
//!
//! # let temporary = tempfile::tempdir().unwrap();
//! # let folder = temporary.path().to_path_buf();
//! # let go = |epochs: u64| -> Result<(Vec<Tensor>, Vec<u8>)> {
//! // A noisy wave, seen through windows of 12 steps: what is next?
//! let wave = Tensor::from_vec((0..300).map(|i| (i as f32 * 0.3).sin() + (i * i % 7) as f32 * 0.02).collect(), [300, 1])?;
//! let [train, validation] = split(300, [0.8, 0.2])?;
//! let wave = Standard::fit(&wave, train.clone())?.apply(&wave)?;
//! let windows = Windows::new(&wave, 12, 1)?;
//! let (train, validation) = (windows.clone().within(train), windows.within(validation));
//!
//! let seeds = Seeds::new(42);
//! let mut rng = seeds.rng("weights");
//! let mut run = Run {
//!     seeds,
//!     net: (Rnn::new(LstmCell::new(1, 8, &mut rng)), Linear::new(8, 1, &mut rng)),
//!     adam: Adam::new(0.03),
//!     plateau: Plateau::new(0.5).patience(2),
//!     batches: Batches::new(train.len(), 32)?.shuffled(seeds.key("order")),
//!     stopping: EarlyStopping::new(5),
//!     step: 0,
//! };
//! let mut checkpoints = Checkpoints::new(&folder)?;
//! println!("{}", checkpoints.resume(&mut run)?);
//! let mut log = CsvLog::new(folder.join("loss.csv"), &["train", "validation"], run.step + 1)?;
//!
//! while run.batches.epoch() < epochs && !run.stopping.stopped() {
//!     while let Some(batch) = run.batches.next() {
//!         let (x, y) = train.batch(&batch)?;
//!         let tape = Tape::new();
//!         let cx = Cx::train(&tape).with_seed(run.seeds.key_at("dropout", run.step));
//!         let (h, _) = run.net.0.forward(&cx, tape.constant(x));
//!         let mut gradients = loss::mse(run.net.1.forward(h.last(0)), tape.constant(y).squeeze(0)).backward()?;
//!         drop(tape);
//!         clip_grad_norm(&run.net, &mut gradients, 1.0)?;
//!         run.adam.step(&run.net, &gradients)?;
//!         run.step += 1;
//!         log.log(run.step, &[("train", gradients.loss().item()?)])?;
//!     }
//!     let (x, y) = validation.batch(&(0..validation.len()).collect::<Vec<_>>())?;
//!     let tape = Tape::inference();
//!     let (h, _) = run.net.0.forward(&Cx::eval(&tape), tape.constant(x));
//!     let now = loss::mse(run.net.1.forward(h.last(0)), tape.constant(y).squeeze(0)).item()?;
//!     log.log(run.step, &[("validation", now)])?;
//!     run.stopping.look(now, &run.net);
//!     run.adam.lr = run.plateau.next(run.adam.lr, now);
//!     checkpoints.save(run.step, &mut run)?;
//! }
//! run.stopping.restore(&run.net)?;
//! # assert!(run.stopping.best() < 0.5, "{}", run.stopping.best());
//! # Ok((wengert_autograd::ParamTree::snapshot(&run.net), std::fs::read(folder.join("loss.csv")).unwrap()))
//! # };
//! # go(4)?;
//! # let resumed = go(8)?;
//! # std::fs::remove_dir_all(&folder).unwrap();
//! # let undisturbed = go(8)?;
//! # assert!(resumed.0.iter().zip(&undisturbed.0).all(|(a, b)| a.bit_eq(b)));
//! # assert_eq!(resumed.1, undisturbed.1);
//! # Ok::<(), Error>(())
//! ```
//!
//! A checkpoint can stand anywhere in the loop. What is drawn at random follows from [`Seeds`] and the step; what changes from step to step and is
//! no part of the run is lost when it stops, so that the run that goes on would be another.
#![forbid(unsafe_code)]

mod checkpoint;
mod data;
mod error;
mod folds;
mod log;
#[cfg(feature = "plot")]
pub mod plot;
#[cfg(feature = "progress")]
mod progress;
mod range_test;
mod report;
mod seeds;
mod stopping;

pub use checkpoint::{Checkpointed, Checkpoints, Parts, Resumed, Value};
#[cfg(feature = "bpe")]
pub use data::Bpe;
pub use data::{
    Batches, Padded, Piece, Standard, Stream, Vocabulary, VocabularyOptions, Windows, pad, pad_sequence, take,
    unpad_sequence,
};
#[cfg(feature = "csv")]
pub use data::{Missing, Table, TableOptions};
pub use error::{Error, Result};
pub use folds::{Fold, WalkForward, k_fold, split};
pub use log::{CsvLog, JsonLog, Log, TensorBoard};
#[cfg(feature = "progress")]
pub use progress::Progress;
pub use range_test::{RangeFound, RangeTest};
pub use report::Report;
pub use seeds::{Random, Seeds, permutation};
pub use stopping::EarlyStopping;
