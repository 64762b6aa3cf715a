//! Training of decoders.

use super::stepper::Stepper;
use crate::cx::Cx;
use wengert_autograd::{DType, Operand, Var};

/// Runs a model over given tokens `[T, B]` (I64), as a loop: the scores `[T, B, V]` of what follows each of them, and the last state
/// (Williams & Zipser 1989). With targets one step ahead, [`cross_entropy`](crate::loss::cross_entropy) of the scores trains it.
///
/// ```
/// use rand::{SeedableRng, rngs::StdRng};
/// use wengert_autograd::{DType, Tape};
/// use wengert_nn::decode::{RnnStepper, Stepper, scheduled_sampling, teacher_forcing};
/// use wengert_nn::{Cx, Embedding, GruCell, Linear, Rnn, loss};
/// let rng = &mut StdRng::seed_from_u64(0);
/// let (embed, net, readout) = (Embedding::new(12, 4, rng), Rnn::new(GruCell::new(4, 8, rng)), Linear::new(8, 12, rng));
/// let model = RnnStepper::new(&embed, &net, &readout);
/// let tape = Tape::new();
/// let text = tape.zeros([6, 3], DType::I64);
/// let (inputs, targets) = (text.narrow(0, 0, 5), text.narrow(0, 1, 5));
/// let cx = Cx::train(&tape).with_seed(1);
/// let (scores, _) = teacher_forcing(&model, &cx, inputs, model.init(&cx, 3));
/// // A quarter of the inputs is what the model would have said itself.
/// let (mixed, _) = scheduled_sampling(&model, &cx, inputs, model.init(&cx, 3), 0.25);
/// (loss::cross_entropy(scores, targets) + loss::cross_entropy(mixed, targets)).backward()?;
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[track_caller]
pub fn teacher_forcing<'t, S: Stepper>(
    model: &S,
    cx: &Cx<'t>,
    tokens: Var<'t>,
    state: S::State<'t>,
) -> (Var<'t>, S::State<'t>) {
    let tokens = sequences("teacher_forcing", tokens);
    drive(model, cx, tokens, None, state)
}

/// As [`teacher_forcing`], with the model's own token in place of the given one with some probability (scheduled sampling: Bengio et al. 2015, arXiv
/// 1506.03099): a number, which may grow from step to step of the training, or a value that broadcasts to `[T, B]`.
///
/// The own token is drawn by the scores of the step before; the first token is always the given one. No derivative flows through a draw.
/// Coins and draws follow from the key of the pass, without which it is an error.
#[track_caller]
pub fn scheduled_sampling<'t, S: Stepper>(
    model: &S,
    cx: &Cx<'t>,
    tokens: Var<'t>,
    state: S::State<'t>,
    probability: impl Operand<'t>,
) -> (Var<'t>, S::State<'t>) {
    let (name, tape) = ("scheduled_sampling", cx.tape());
    let tokens = sequences(name, tokens);
    let coins = {
        let _named = tape.composition(name);
        let probability = probability.resolve(tape, Some(DType::F32));
        match (cx.key(), tokens.shape()) {
            (Some(key), Ok(shape)) => tape.bernoulli(key.fold_in(COINS), probability, shape, DType::Bool),
            (None, Ok(_)) => {
                let remedy = "give it one: Cx::train(&tape).with_seed(step)";
                tokens.invalid(name, "the pass has no random key", remedy)
            }
            _ => tokens,
        }
    };
    drive(model, cx, tokens, Some(coins), state)
}

// What keys of the parts of a step are derived by.
const COINS: i64 = -1;
const MODEL: i64 = 0;
const DRAW: i64 = 1;

/// The loop over time, in which coins `[T, B]` decide on the model's own tokens.
#[track_caller]
fn drive<'t, S: Stepper>(
    model: &S,
    cx: &Cx<'t>,
    tokens: Var<'t>,
    coins: Option<Var<'t>>,
    state: S::State<'t>,
) -> (Var<'t>, S::State<'t>) {
    let tape = cx.tape();
    let steps = tape.arange(tokens.shape().map_or(0, |shape| shape[0]));
    // Its own first token is the given one.
    let own = coins.map(|_| tokens.get(0, 0));
    let ((state, _), scores) = tape.scan((state, own), (steps, tokens, coins), |(state, own), (t, given, coin)| {
        let key = cx.key().map(|key| key.fold_in(t));
        let pass = key.map_or(*cx, |key| cx.with_key(key.fold_in(MODEL)));
        let token = match (coin, own) {
            (Some(coin), Some(own)) => coin.select(own, given),
            _ => given,
        };
        let (scores, state) = model.step(&pass, token, state);
        let own = own.zip(key).map(|(_, key)| drawn(key.fold_in(DRAW), scores)).or(own);
        ((state, own), scores)
    });
    (scores, state)
}

/// One token for each row of scores, drawn by their softmax: the greatest sum of a score and a draw from Gumbel's distribution is such a draw
/// (Gumbel 1954).
fn drawn<'t>(key: Var<'t>, scores: Var<'t>) -> Var<'t> {
    let (Ok(shape), Ok(dtype)) = (scores.shape(), scores.dtype()) else { return scores };
    let uniform = scores.tape().uniform(key, shape, dtype);
    (scores - (-uniform.log()).log()).argmax(-1)
}

/// The tokens, or an invalid value if they are none.
#[track_caller]
fn sequences<'t>(name: &str, tokens: Var<'t>) -> Var<'t> {
    match (tokens.shape(), tokens.dtype()) {
        (Ok(shape), Ok(dtype)) if dtype != DType::I64 || shape.rank() != 2 || shape[0] == 0 => {
            let found = format!("the tokens are {dtype} {shape}");
            tokens.invalid(name, found, "give i64 tokens [T, B], of one step or more")
        }
        _ => tokens,
    }
}
