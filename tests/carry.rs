//! States that cross tapes: truncated backpropagation through time, streaming, `keep`.

mod support;

use support::{close, data, lstm_net, says};
use wengert::prelude::*;

const T: usize = 6;
const B: usize = 2;
const I: usize = 3;
const H: usize = 4;

fn input() -> Tensor {
    data(&[T, B, I], 5)
}

/// The two halves of the input.
fn halves() -> Result<[Tensor; 2]> {
    Ok([input().narrow(0, 0, T / 2)?, input().narrow(0, T / 2, T / 2)?])
}

#[test]
fn chunks_give_the_values_of_one_long_pass_to_the_bit() -> Result<()> {
    let net = lstm_net(I, H, 1);
    let tape = Tape::inference();
    let (long, last) = net.forward(&Cx::eval(&tape), tape.constant(input()));
    let long = long.value()?;
    let last = Carried::of(&last)?;

    let mut carried: Option<Carried> = None;
    for (i, chunk) in halves()?.into_iter().enumerate() {
        let tape = Tape::new();
        let cx = Cx::train(&tape);
        let state = match &carried {
            Some(carried) => net.resume(&cx, B, carried)?,
            None => net.init(&cx, B),
        };
        let (y, state) = net.forward_from(&cx, tape.constant(chunk), state);
        let wanted = long.narrow(0, i * T / 2, T / 2)?;
        assert!(y.value()?.bit_eq(&wanted), "outputs of chunk {i}");
        carried = Some(Carried::of(&state)?);
    }
    let carried = carried.expect("there were chunks");
    assert_eq!(carried.leaves().len(), 4);
    for ((name, found), (_, wanted)) in carried.leaves().iter().zip(last.leaves()) {
        assert!(found.bit_eq(wanted), "last state, {name}");
    }
    Ok(())
}

#[test]
fn single_steps_give_the_values_of_one_pass() -> Result<()> {
    let net = lstm_net(I, H, 1);
    let tape = Tape::inference();
    let (y, _) = net.forward(&Cx::eval(&tape), tape.constant(input()));
    let wanted = y.value()?;
    let mut carried: Option<Carried> = None;
    for t in 0..T {
        let tape = Tape::inference();
        let cx = Cx::eval(&tape);
        let state = match &carried {
            Some(carried) => net.resume(&cx, B, carried)?,
            None => net.init(&cx, B),
        };
        let x = input().narrow(0, t, 1)?.reshape([B, I])?;
        let (y, state) = net.step(tape.constant(x), state);
        close(&y.value()?, &wanted.narrow(0, t, 1)?.reshape([B, H])?, 1e-15, "output of a step");
        carried = Some(Carried::of(&state)?);
    }
    Ok(())
}

#[test]
fn gradients_stop_at_the_cut() -> Result<()> {
    let net = lstm_net(I, H, 1);
    let [first, second] = halves()?;

    // Two tapes.
    let tape = Tape::new();
    let (_, state) = net.forward(&Cx::train(&tape), tape.constant(&first));
    let carried = Carried::of(&state)?;
    drop(tape);
    let tape = Tape::new();
    let cx = Cx::train(&tape);
    let (y, _) = net.forward_from(&cx, tape.constant(&second), net.resume(&cx, B, &carried)?);
    let truncated = y.square().sum().backward()?;

    // One tape, cut by `detach` or not at all.
    let on_one_tape = |cut: bool| -> Result<Gradients> {
        let tape = Tape::new();
        let cx = Cx::train(&tape);
        let (_, state) = net.forward(&cx, tape.constant(&first));
        let state = state.into_iter().map(|(h, c)| if cut { (h.detach(), c.detach()) } else { (h, c) }).collect();
        let (y, _) = net.forward_from(&cx, tape.constant(&second), state);
        y.square().sum().backward()
    };
    let (cut, whole) = (on_one_tape(true)?, on_one_tape(false)?);
    assert_eq!(truncated.len(), 6);
    for (name, param) in net.params() {
        let found = truncated.get(&param).expect("the loss depends on it");
        close(found, cut.get(&param).unwrap(), 1e-14, &name);
        let whole = whole.get(&param).unwrap().to_f64_vec();
        let apart = found.to_f64_vec().iter().zip(whole).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart > 1e-6, "{name}: the earlier chunk takes part in the whole gradient");
    }
    Ok(())
}

#[test]
fn a_kept_state_needs_no_second_run() -> Result<()> {
    let net = lstm_net(I, H, 1);
    // What a program computes is noted on the tape, one node a value, so that later requests find it.
    let runs_again = |keep: bool| -> Result<bool> {
        let tape = Tape::new();
        let (y, state) = net.forward(&Cx::train(&tape), tape.constant(input()));
        let state = if keep { state.keep() } else { state };
        y.square().mean().backward()?;
        let before = tape.len();
        Carried::of(&state)?;
        Ok(tape.len() > before)
    };
    assert!(runs_again(false)?);
    assert!(!runs_again(true)?);
    Ok(())
}

#[test]
fn keeping_changes_neither_values_nor_gradients() -> Result<()> {
    let net = lstm_net(I, H, 1);
    let run = |keep: bool| -> Result<(Carried, Gradients)> {
        let tape = Tape::new();
        let (y, state) = net.forward(&Cx::train(&tape), tape.constant(input()));
        let state = if keep { state.keep() } else { state };
        let gradients = y.square().mean().backward()?;
        Ok((Carried::of(&state)?, gradients))
    };
    let ((a, ga), (b, gb)) = (run(false)?, run(true)?);
    for ((name, a), (_, b)) in a.leaves().iter().zip(b.leaves()) {
        assert!(a.bit_eq(b), "{name}");
    }
    for (name, param) in net.params() {
        assert!(ga.get(&param).unwrap().bit_eq(gb.get(&param).unwrap()), "{name}");
    }
    Ok(())
}

/// A state of its own type, with an integer, an array and a part without values.
#[derive(Clone, Tree)]
struct Memory<'t> {
    steps: Var<'t>,
    slots: [Var<'t>; 2],
    nothing: Option<Var<'t>>,
}

#[derive(Module)]
struct Slots {
    w: Param,
    size: usize,
}

impl Cell for Slots {
    type State<'t> = Memory<'t>;

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Memory<'t> {
        let steps = cx.tape().zeros([batch, 1], DType::I64);
        Memory { steps, slots: [cx.zeros([batch, self.size]); 2], nothing: None }
    }

    fn step<'t>(&self, x: Var<'t>, state: Memory<'t>) -> (Var<'t>, Memory<'t>) {
        let [new, old] = state.slots;
        let old = old * 0.5 + new;
        let new = (x.matmul(&self.w) + old).tanh() / (state.steps.cast(DType::F64) + 1.0);
        (new, Memory { steps: state.steps + 1, slots: [new, old], ..state })
    }
}

#[test]
fn states_of_ones_own_type_are_carried() -> Result<()> {
    let net = Rnn::new(Slots { w: Param::new(data(&[I, 3], 1)), size: 3 });
    let tape = Tape::inference();
    let (long, _) = net.forward(&Cx::eval(&tape), tape.constant(input()));
    let [first, second] = halves()?;
    let other = Tape::new();
    let (_, state) = net.forward(&Cx::train(&other), other.constant(first));
    let carried = Carried::of(&state)?;
    let names: Vec<&str> = carried.leaves().iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["0.steps", "0.slots.0", "0.slots.1"]);
    assert_eq!(carried.leaves()[0].1.to_vec::<i64>()?, [3, 3]);
    let third = Tape::new();
    let cx = Cx::train(&third);
    let (y, _) = net.forward_from(&cx, third.constant(second), net.resume(&cx, B, &carried)?);
    assert!(y.value()?.bit_eq(&long.value()?.narrow(0, T / 2, T / 2)?));
    y.sum().backward()?;
    Ok(())
}

#[test]
fn a_state_that_does_not_fit_is_refused() -> Result<()> {
    let net = lstm_net(I, H, 1);
    let tape = Tape::new();
    let cx = Cx::train(&tape);
    let (_, state) = net.forward(&cx, tape.constant(input()));
    let carried = Carried::of(&state)?;

    let line = line!() + 1;
    let error = net.resume(&cx, 5, &carried).unwrap_err();
    says(&error, &["component '0.0'", "f64 [2, 4]", "f64 [5, 4]", "batch", &format!("carry.rs:{line}")]);
    let one = Rnn::from(vec![net.layers[0].clone()]);
    says(&one.resume(&cx, B, &carried).unwrap_err(), &["4 leaves, expected 2"]);
    let single = lstm_net(I, H, 1);
    single.set_dtype(DType::F32)?;
    says(&single.resume(&cx, B, &carried).unwrap_err(), &["f64 [2, 4]", "f32 [2, 4]"]);
    Ok(())
}

#[test]
fn a_wrong_number_of_states_is_an_error_with_an_address() -> Result<()> {
    let net = lstm_net(I, H, 1);
    let tape = Tape::new();
    let cx = Cx::train(&tape);
    let mut states = net.init(&cx, B);
    states.pop();
    let line = line!() + 1;
    let (y, last) = net.forward_from(&cx, tape.constant(input()), states.clone());
    let error = y.value().unwrap_err();
    says(&error, &["rnn: expected one state for each of the 2 layers, found 1", &format!("carry.rs:{line}")]);
    says(&last[0].0.value().unwrap_err(), &["found 1"]);
    says(&y.sum().backward().unwrap_err(), &["found 1"]);
    let (y, _) = net.step(tape.constant(data(&[B, I], 1)), states);
    says(&y.value().unwrap_err(), &["found 1"]);
    Ok(())
}

#[test]
fn an_input_without_batch_axis_is_an_error_with_an_address() {
    let net = lstm_net(I, H, 1);
    let tape = Tape::new();
    let line = line!() + 1;
    let (y, _) = net.forward(&Cx::train(&tape), tape.constant(data(&[T], 1)));
    says(&y.value().unwrap_err(), &["rnn: the input is f64 [6]", "[T, B, I]", &format!("carry.rs:{line}")]);
    // One sequence [T, I] is not silently taken for a batch of I.
    let one = tape.constant(data(&[T, I], 1));
    let (y, _) = net.forward(&Cx::train(&tape), one);
    says(&y.value().unwrap_err(), &["rnn: the input is f64 [6, 3]", "unsqueeze(-2) for one sequence"]);
    assert!(net.forward(&Cx::train(&tape), one.unsqueeze(-2)).0.value().is_ok());
    let states = net.init(&Cx::train(&tape), B);
    says(&net.step(tape.constant(data(&[I], 1)), states).0.value().unwrap_err(), &["f64 [3], expected [B, I]"]);
    let wide = tape.constant(data(&[T, B, I + 1], 1));
    let (y, _) = net.forward(&Cx::train(&tape), wide);
    says(&y.value().unwrap_err(), &["matmul", "[2, 4]", "[3, 16]"]);
}
