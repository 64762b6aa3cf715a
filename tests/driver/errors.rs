//! What is wrong with a run is said with the line that asked for it.

use super::support::{data, says};
use super::{Counting, H, I};
use rand::{SeedableRng, rngs::StdRng};
use wengert::prelude::*;

const T: usize = 4;
const B: usize = 3;

fn lstm(input: usize) -> LstmCell {
    LstmCell::new(input, H, &mut StdRng::seed_from_u64(0))
}

/// The error of the outputs, which the last state has as well.
fn wrong<C: Cell>(net: &Rnn<C>, cx: &Cx<'_>, parts: &[&str]) {
    let x = cx.tape().constant(Tensor::zeros([T, B, I], DType::F32));
    let here = line!() + 1;
    let (y, last) = net.forward(cx, x);
    let error = y.value().unwrap_err();
    says(&error, parts);
    says(&error, &[&format!("errors.rs:{here}:")]);
    let last = last.last().and_then(|state| state.leaves().first().copied()).expect("a state");
    assert_eq!(last.value().unwrap_err().to_string(), error.to_string());
}

#[test]
fn dropout_without_a_key_says_how_to_give_one() {
    let parts = ["drawn in a pass without a key", "Cx::train(&tape).with_seed(step)"];
    let tape = Tape::new();
    let cx = Cx::train(&tape);
    wrong(&Rnn::stack(2, I, |_, input| lstm(input)).dropout(0.3), &cx, &parts);
    wrong(&Rnn::stack(2, I, |_, input| lstm(input)).locked_dropout(0.3), &cx, &parts);
    wrong(&Rnn::new(Zoneout::new(lstm(I), [0.1])), &cx, &parts);
    wrong(&Rnn::new(RecurrentDropout::new(lstm(I), 0.1)), &cx, &parts);
    wrong(&Rnn::new(WeightDrop::new(lstm(I), 0.1, ["u"])), &cx, &parts);
    // Nothing is drawn: no key is needed.
    let plain = Rnn::stack(1, I, |_, input| lstm(input)).dropout(0.3);
    assert!(plain.forward(&cx, tape.constant(Tensor::zeros([T, B, I], DType::F32))).0.value().is_ok());
    assert!(Tape::new().error().is_none());
}

#[test]
fn rates_and_names_are_checked() {
    let tape = Tape::new();
    let cx = Cx::train(&tape).with_seed(1);
    for rate in [-0.1, 1.5, f64::NAN] {
        let parts = [&*format!("the rate is {rate}, expected a number from 0 to 1")];
        wrong(&Rnn::stack(2, I, |_, input| lstm(input)).dropout(rate), &cx, &parts);
        wrong(&Rnn::stack(2, I, |_, input| lstm(input)).locked_dropout(rate), &cx, &parts);
        wrong(&Rnn::new(RecurrentDropout::new(lstm(I), rate)), &cx, &parts);
        wrong(&Rnn::new(WeightDrop::new(lstm(I), rate, ["u"])), &cx, &parts);
        wrong(&Rnn::new(Zoneout::new(lstm(I), [0.0, rate])), &cx, &parts);
        wrong(&Rnn::new(Zoneout::new(lstm(I), [0.0, rate])), &Cx::eval(&tape), &parts);
    }
    wrong(&Rnn::new(Zoneout::new(lstm(I), [0.1, 0.1, 0.1])), &cx, &["zoneout: 3 rates", "2 components"]);
    let parts = ["zoneout: component 0 '0' of the state is i64, and has rate 0.5"];
    let counting = Counting::new(I);
    let net = Rnn::new(Zoneout::new(counting, [0.5]));
    wrong(&net, &cx, &parts);
    let parts = ["weight_drop: the cell has no parameter 'q'", "w, u, b"];
    wrong(&Rnn::new(WeightDrop::new(lstm(I), 0.5, ["u", "q"])), &cx, &parts);
    wrong(&Rnn::new(WeightDrop::new(lstm(I), 0.5, ["q"])), &Cx::eval(&tape), &parts);
}

#[test]
fn lengths_and_resets_are_checked() -> Result<()> {
    let net = Rnn::stack(2, I, |_, input| lstm(input));
    let tape = Tape::new();
    let cx = Cx::train(&tape);
    let x = tape.constant(Tensor::zeros([T, B, I], DType::F32));
    let check = |run: Run<'_, _>, parts: &[&str]| {
        let line = line!() + 1;
        let (y, last) = net.forward_with(&cx, x, run);
        let error = y.value().unwrap_err();
        says(&error, parts);
        says(&error, &[&format!("errors.rs:{line}:")]);
        says(&last[1].1.value().unwrap_err(), parts);
    };
    check(Run::new().lengths([1, 5, 2]), &["rnn: sequence 1 has length 5, the input has 4 steps", "from 0 to"]);
    check(Run::new().lengths([1, 2]), &["the lengths are i64 [2], expected i64 [B] = [3]"]);
    check(Run::new().lengths(data(&[3], 1)), &["the lengths are f64 [3], expected i64"]);
    check(Run::new().lengths(Tensor::from_slice(&[1i64, -1, 2], [3])?), &["sequence 1 has length -1"]);
    check(Run::new().lengths(x), &["the lengths are f32 [4, 3, 2]"]);
    check(
        Run::new().resets(Tensor::zeros([B, T], DType::Bool)),
        &["the resets are bool [3, 4], expected [T, B] = [4, 3]"],
    );
    check(Run::new().states_after(5), &["states after 5 steps are asked of an input of 4"]);
    let batches = net.clone().batch_first();
    let (y, _) = batches.forward_with(&cx, x, Run::new().resets(Tensor::zeros([B, T], DType::Bool)));
    says(&y.value().unwrap_err(), &["the resets are bool [3, 4], expected [B, T] = [4, 3]"]);
    let (y, _) = batches.forward(&cx, tape.constant(Tensor::zeros([T, I], DType::F32)));
    says(&y.value().unwrap_err(), &["expected [B, T, I]", "unsqueeze(0) for one sequence"]);
    // An earlier error of what is given is the one that is told.
    let broken = tape.constant(1.0f32).matmul(x);
    let first = broken.value().unwrap_err().to_string();
    for run in [Run::new().lengths(broken), Run::new().resets(broken)] {
        assert_eq!(net.forward_with(&cx, x, run).0.value().unwrap_err().to_string(), first);
    }
    // Numbers on the tape are not known: too long is as long as the input, negative is nothing.
    let lengths = tape.constant(Tensor::from_slice(&[9i64, -3, 2], [3])?);
    let (y, _) = net.forward_with(&cx, x + 0.3, Run::new().lengths(lengths));
    let (z, _) = net.forward_with(&cx, x + 0.3, Run::new().lengths([4, 0, 2]));
    assert!(y.value()?.bit_eq(&z.value()?));
    Ok(())
}

/// A component of the state without rows.
#[derive(Clone, Debug, Module)]
struct Clock;

impl Cell for Clock {
    type State<'t> = (Var<'t>, Var<'t>);
    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        (cx.zeros([batch, I]), cx.zeros([]))
    }
    fn step<'t>(&self, x: Var<'t>, (h, time): Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        let h = h + x * time;
        (h, (h, time + 1.0))
    }
}

#[test]
fn a_state_without_rows_has_no_lengths() {
    let net = Rnn::new(Clock);
    let tape = Tape::new();
    let cx = Cx::train(&tape);
    let x = tape.constant(Tensor::zeros([T, B, I], DType::F32));
    assert!(net.forward(&cx, x).0.value().is_ok());
    let line = line!() + 1;
    let (y, _) = net.forward_with(&cx, x, Run::new().lengths([1, 2, 3]));
    let parts = ["the state '1' of layer 0 is [], with lengths or resets it is [3, ..]", "one row for each sequence"];
    says(&y.value().unwrap_err(), &parts);
    says(&y.value().unwrap_err(), &[&format!("errors.rs:{line}:")]);
}

#[test]
fn a_backward_direction_has_no_state_in_the_middle() {
    let net = Rnn::bidirectional(1, I, |_, input| lstm(input));
    let tape = Tape::new();
    let x = tape.constant(Tensor::zeros([T, B, I], DType::F32));
    let line = line!() + 1;
    let (y, _) = net.forward_with(&Cx::train(&tape), x, Run::new().states_after(2));
    says(&y.value().unwrap_err(), &["a layer that goes back in time", &format!("errors.rs:{line}:")]);
}
