//! Truncated backpropagation against windows cut by hand.

use super::support::{close, data, says};
use super::{H, I, randomise};
use rand::{SeedableRng, rngs::StdRng};
use wengert::nn::Window;
use wengert::prelude::*;

const T: usize = 11;
const B: usize = 3;

fn net() -> Rnn<Learned<LstmCell>> {
    let net = Rnn::stack(2, I, |_, input| Learned::new(LstmCell::new(input, H, &mut StdRng::seed_from_u64(4))));
    randomise(&net, 1);
    net
}

#[test]
fn windows_are_those_of_williams_and_peng() -> Result<()> {
    let windows = |k1, k2, steps| -> Result<Vec<Window>> { Ok(Truncated::new(k1, k2)?.windows(steps).collect()) };
    let window = |steps, new, next| Window { steps, new, next };
    assert_eq!(windows(4, 4, 10)?, [window(0..4, 0..4, 4), window(4..8, 4..8, 6), window(6..10, 8..10, 10)]);
    assert_eq!(
        windows(2, 4, 7)?,
        [window(0..2, 0..2, 0), window(0..4, 2..4, 2), window(2..6, 4..6, 3), window(3..7, 6..7, 7)]
    );
    assert_eq!(windows(5, 8, 5)?, [window(0..5, 0..5, 5)]);
    assert_eq!(windows(3, 100, 5)?, [window(0..3, 0..3, 0), window(0..5, 3..5, 5)]);
    assert_eq!(windows(3, 3, 0)?, []);
    let line = line!() + 1;
    let error = Truncated::new(4, 3).unwrap_err();
    says(&error, &["k1 = 4 and k2 = 3", "1 ≤ k1 ≤ k2", &format!("truncated.rs:{line}")]);
    says(&Truncated::new(0, 3).unwrap_err(), &["k1 = 0"]);
    Ok(())
}

/// Gradients of every window, and the parameters change in between.
#[test]
fn windows_have_the_gradients_of_windows_cut_by_hand() -> Result<()> {
    let x = data(&[T, B, I], 2);
    let lengths = [11, 7, 4];
    let resets: Vec<bool> = (0..T * B).map(|i| i % 7 == 3).collect();
    let resets = Tensor::from_vec(resets, [T, B])?;
    for (k1, k2) in [(3, 3), (2, 5), (4, 6), (1, 1), (1, 4), (11, 11), (5, 20)] {
        for batch_first in [false, true] {
            let (net, by_hand) = (net(), net());
            let laid_out = if batch_first { net.clone().batch_first() } else { net.clone() };
            let mut carried: Option<Carried> = None;
            // For each step the state before it, with the parameters of the window that got there first.
            let mut before: Vec<Option<Vec<Tensor>>> = vec![None; T + 1];
            for window in Truncated::new(k1, k2)?.windows(T) {
                let tape = Tape::new();
                let cx = Cx::train(&tape);
                let (x_all, flags) = if batch_first {
                    (x.transpose(0, 1)?.contiguous(), resets.transpose(0, 1)?.contiguous())
                } else {
                    (x.clone(), resets.clone())
                };
                let run = if k1 % 2 == 0 {
                    Run::new().lengths(lengths).resets(&flags)
                } else {
                    let lengths = tape.constant(Tensor::from_slice(&lengths.map(|n| n as i64), [B])?);
                    Run::new().lengths(lengths).resets(tape.constant(&flags))
                };
                let (y, state) = window.forward(&laid_out, &cx, &x_all, run, carried.as_ref())?;
                let y = if batch_first { y.transpose(0, 1) } else { y };
                let found = y.square().sum().backward()?;
                let marked = tape.len();
                carried = Some(Carried::of(&state)?);
                assert_eq!(tape.len(), marked, "the state was computed with the gradients");

                // By hand: steps one by one, every state kept.
                let tape = Tape::new();
                let cx = Cx::train(&tape);
                let start = window.steps.start;
                let mut states = by_hand.init(&cx, B);
                if let (Some(values), true) = (&before[start], start > 0) {
                    let leaves: Vec<Var<'_>> = values.iter().map(|v| tape.constant(v)).collect();
                    states = states.with_leaves(&leaves);
                }
                let mut loss = tape.constant(0.0f64);
                for t in window.steps.clone() {
                    let alive: Vec<usize> = lengths.iter().map(|n| usize::from(t < *n)).collect();
                    let run = Run::new().states(states).lengths(&alive).resets(resets.narrow(0, t, 1)?);
                    let (y, next) = by_hand.forward_with(&cx, tape.constant(x.narrow(0, t, 1)?), run);
                    states = next;
                    if window.new.contains(&t) {
                        loss = loss + y.square().sum();
                    }
                    if t + 1 == window.next {
                        before[t + 1] = Some(tape.eval_all(&states.leaves())?);
                    }
                }
                let wanted = loss.backward()?;
                for ((name, a), (_, b)) in net.params().into_iter().zip(by_hand.params()) {
                    let what = format!("{k1}, {k2}, {window:?}, {name}");
                    match (found.get(&a), wanted.get(&b)) {
                        (Some(a), Some(b)) => close(a, b, 1e-12, &what),
                        // A window in the middle does not begin with what is learned, but a reset may go there.
                        (a, b) => {
                            let zero = |g: Option<&Tensor>| g.is_none_or(|g| g.to_f64_vec().iter().all(|v| *v == 0.0));
                            assert!(zero(a) && zero(b), "{what}");
                        }
                    }
                }
                if window.next > 0 && window.next < T {
                    let held: Vec<Tensor> =
                        carried.as_ref().expect("carried").leaves().iter().map(|l| l.1.clone()).collect();
                    for (a, b) in held.iter().zip(before[window.next].as_ref().expect("was passed")) {
                        close(a, b, 1e-14, "carried state");
                    }
                }
                // A step of gradient descent, the same for both.
                for ((_, a), (_, b)) in net.params().into_iter().zip(by_hand.params()) {
                    if let Some(gradient) = found.get(&a) {
                        let tape = Tape::inference();
                        let next = (tape.constant(a.value()) - tape.constant(gradient) * 0.01).value()?;
                        a.set(next.clone())?;
                        b.set(next)?;
                    }
                }
            }
        }
    }
    Ok(())
}

#[test]
fn a_window_needs_the_state_before_it() -> Result<()> {
    let net = net();
    let x = data(&[T, B, I], 2);
    let windows: Vec<Window> = Truncated::new(4, 4)?.windows(T).collect();
    let tape = Tape::new();
    let line = line!() + 1;
    let error = windows[1].forward(&net, &Cx::train(&tape), &x, Run::new(), None).expect_err("an error");
    says(&error, &["begins at step 4, without a state", "Carried::of", &format!("truncated.rs:{line}")]);
    let short = x.narrow(0, 0, 6)?;
    let line = line!() + 1;
    let error = windows[2].forward(&net, &Cx::train(&tape), &short, Run::new(), None).expect_err("an error");
    says(&error, &[&format!("truncated.rs:{line}")]);
    Ok(())
}

/// The program of one window serves the others.
#[test]
fn a_state_after_some_steps_is_that_of_a_shorter_run() -> Result<()> {
    let net = net();
    let tape = Tape::new();
    let cx = Cx::train(&tape);
    let x = tape.constant(data(&[T, B, I], 2));
    let (whole, _) = net.forward(&cx, x);
    for after in [0, 1, 6, T] {
        let (y, state) = net.forward_with(&cx, x, Run::new().states_after(after));
        assert!(y.value()?.bit_eq(&whole.value()?));
        let wanted = match after {
            0 => net.init(&cx, B),
            _ => net.forward(&cx, x.narrow(0, 0, after)).1,
        };
        for (a, b) in state.leaves().iter().zip(wanted.leaves()) {
            assert!(a.value()?.bit_eq(&b.value()?), "after {after}");
        }
    }
    Ok(())
}
