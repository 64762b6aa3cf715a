//! Models that are asked for one token after the other.

use crate::carried::Carried;
use crate::cell::Cell;
use crate::cx::Cx;
use crate::layers::Apply;
use crate::rnn::Rnn;
use wengert_autograd::{Error, ErrorKind, Path, Result, Tape, Tensor, Tree, Var};

/// A model of sequences, token by token.
///
/// Whatever belongs to one sequence is in its state, whose values are `[N, ..]`: a search reorders these rows. What all sequences
/// share, such as the memory of one encoded sentence for all of its beams, is the model's.
///
/// ```
/// use wengert_autograd::{Param, Tensor, Var};
/// use wengert_nn::Cx;
/// use wengert_nn::decode::{Start, Stepper, Stop, greedy};
/// /// A token decides on the next.
/// struct Bigrams { scores: Param }
/// impl Stepper for Bigrams {
///     type State<'t> = ();
///     fn init<'t>(&self, _: &Cx<'t>, _: usize) {}
///     fn step<'t>(&self, cx: &Cx<'t>, tokens: Var<'t>, (): ()) -> (Var<'t>, ()) {
///         (cx.tape().param(&self.scores).index_select(0, tokens), ())
///     }
/// }
/// let model = Bigrams { scores: Param::new(Tensor::from_slice(&[0.0f32, 1.0, 2.0, 0.0], [2, 2])?) };
/// assert_eq!(greedy(&model, &Start::tokens(&[0]), &Stop::after(3))?, [[1, 0, 1]]);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
pub trait Stepper {
    /// The state: a tree of values `[N, ..]`.
    type State<'t>: Tree<'t>;

    /// The state before the first token of `rows` sequences.
    fn init<'t>(&self, cx: &Cx<'t>, rows: usize) -> Self::State<'t>;

    /// One step: tokens `[N]` (I64) and state to scores `[N, V]` of the next tokens and state. Scores are logits or log-probabilities.
    fn step<'t>(&self, cx: &Cx<'t>, tokens: Var<'t>, state: Self::State<'t>) -> (Var<'t>, Self::State<'t>);
}

impl<S: Stepper> Stepper for &S {
    type State<'t> = S::State<'t>;

    fn init<'t>(&self, cx: &Cx<'t>, rows: usize) -> S::State<'t> {
        (**self).init(cx, rows)
    }

    fn step<'t>(&self, cx: &Cx<'t>, tokens: Var<'t>, state: S::State<'t>) -> (Var<'t>, S::State<'t>) {
        (**self).step(cx, tokens, state)
    }
}

/// A network over time between what makes vectors of tokens and what makes scores of outputs.
#[derive(Debug)]
pub struct RnnStepper<'m, E, C, O> {
    embed: &'m E,
    net: &'m Rnn<C>,
    readout: &'m O,
}

impl<'m, E: Apply, C: Cell, O: Apply> RnnStepper<'m, E, C, O> {
    /// `embed` turns tokens `[N]` into inputs `[N, I]` of `net`, and `readout` its outputs `[N, H]` into scores `[N, V]`.
    pub fn new(embed: &'m E, net: &'m Rnn<C>, readout: &'m O) -> RnnStepper<'m, E, C, O> {
        RnnStepper { embed, net, readout }
    }
}

impl<E: Apply, C: Cell, O: Apply> Stepper for RnnStepper<'_, E, C, O> {
    /// That of every layer.
    type State<'t> = Vec<C::State<'t>>;

    fn init<'t>(&self, cx: &Cx<'t>, rows: usize) -> Vec<C::State<'t>> {
        self.net.init(cx, rows)
    }

    fn step<'t>(&self, cx: &Cx<'t>, tokens: Var<'t>, state: Vec<C::State<'t>>) -> (Var<'t>, Vec<C::State<'t>>) {
        let (y, state) = self.net.step(self.embed.apply(&cx.fold_in(0), tokens), state);
        (self.readout.apply(&cx.fold_in(1), y), state)
    }
}

/// The state of a search: what every sequence was last, and the values behind it.
#[derive(Clone, Debug)]
pub(super) struct Frontier {
    pub(super) tokens: Vec<i64>,
    /// For each sequence, its row of the state.
    pub(super) rows: Vec<usize>,
    /// None before the first token.
    pub(super) state: Option<Carried>,
}

impl Frontier {
    /// Log-probabilities of the next tokens, one list for each sequence, and the state after the last ones.
    #[track_caller]
    pub(super) fn advance<S: Stepper>(&self, model: &S) -> Result<(Vec<Vec<f64>>, Carried)> {
        let n = self.tokens.len();
        let tape = Tape::inference();
        let cx = Cx::eval(&tape);
        let state = match &self.state {
            None => model.init(&cx, n),
            Some(carried) => self.picked(&tape, carried.onto(&tape, model.init(&cx, held(carried, n)))?),
        };
        let tokens = Tensor::from_vec(self.tokens.clone(), [n])?;
        let (scores, state) = model.step(&cx, tape.constant(tokens), state);
        match scores.shape()?[..] {
            [rows, count] if rows == n && count > 0 => {}
            _ => {
                let found = format!("the step gives scores {} for {n} tokens", scores.shape()?);
                return Err(Error::new(ErrorKind::Shape, "decode", found, "give scores [N, V] of the next tokens"));
            }
        }
        // One program gives both.
        let state = state.keep();
        let log_p = scores.log_softmax(-1).value()?;
        let count = log_p.shape()[1];
        let rows: Vec<Vec<f64>> = log_p.to_f64_vec().chunks(count).map(<[f64]>::to_vec).collect();
        if let Some(row) = rows.iter().position(|row| row.iter().any(|v| v.is_nan())) {
            let found = format!("the scores for sequence {row} hold NaN");
            let remedy = "look for it with Tape::detect_anomaly; at least one score must be finite";
            return Err(Error::new(ErrorKind::NonFinite, "decode", found, remedy));
        }
        Ok((rows, Carried::of(&state)?))
    }

    /// The rows of a state that the sequences go on from.
    fn picked<'t, T: Tree<'t>>(&self, tape: &'t Tape, state: T) -> T {
        let rows: Vec<i64> = self.rows.iter().map(|row| *row as i64).collect();
        let rows = Tensor::from_vec(rows, [self.rows.len()]).expect("one number for each sequence");
        let rows = tape.constant(rows);
        state.map_vars(&mut Path::unnamed(), &mut |_, var| match var.shape() {
            Ok(shape) if shape.rank() > 0 => var.index_select(0, rows),
            // One value for all.
            _ => var,
        })
    }
}

/// The number of rows of a state; `n` if it has no values with rows.
fn held(carried: &Carried, n: usize) -> usize {
    carried.leaves().iter().find_map(|(_, value)| value.shape().first().copied()).unwrap_or(n)
}
