//! No shape makes a panic: whatever is given, the answer is a value or an error with an address.

mod support;

use support::{data, lstm_cell};
use wengert::nn::loss::{CrossEntropy, Reduction};
use wengert::prelude::*;

/// Every shape of at most `rank` axes with extents 0 to 3.
fn shapes(rank: usize) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    let mut last = all.clone();
    for _ in 0..rank {
        last = last.iter().flat_map(|shape| (0..4).map(move |d| [&shape[..], &[d]].concat())).collect();
        all.extend(last.iter().cloned());
    }
    all
}

/// Asks for a value and its gradients. Both fit, or there is an error that says where.
fn ask(y: Var<'_>) -> bool {
    let value = y.value();
    let gradients = y.sum().backward();
    for error in [value.as_ref().err(), gradients.as_ref().err()].into_iter().flatten() {
        assert!(error.to_string().contains(" (at "), "no address: {error}");
    }
    if let (Ok(value), Ok(shape)) = (&value, y.shape()) {
        assert_eq!(*value.shape(), shape);
        assert!(gradients.is_ok() || !value.dtype().is_float(), "a value without gradients: {gradients:?}");
    }
    value.is_ok()
}

#[test]
fn inputs_and_states_of_a_network() {
    let net = Rnn::new(lstm_cell(2, 3, 1));
    let mut fine = 0;
    for x in shapes(3) {
        for h in shapes(2) {
            let tape = Tape::new();
            let state = vec![(tape.var(data(&h, 2)), tape.var(data(&h, 3)))];
            let (y, last) = net.forward_from(&Cx::train(&tape), tape.var(data(&x, 1)), state);
            fine += ask(y) as usize;
            ask(last[0].0);
            let tape = Tape::new();
            let state = vec![(tape.var(data(&h, 2)), tape.var(data(&h, 3)))];
            let (y, _) = net.step(tape.var(data(&x, 1)), state);
            ask(y);
        }
        let tape = Tape::new();
        let (y, _) = net.forward(&Cx::train(&tape), tape.var(data(&x, 1)));
        // An input [T, B, 2] fits.
        assert_eq!(ask(y), x.len() == 3 && x[2] == 2, "{x:?}");
    }
    // [T, B, 2] with states [B, 3].
    assert!(fine >= 16, "{fine}");
}

#[test]
fn weights_of_a_cell_and_a_layer() {
    for shape in shapes(3) {
        let weight = || Param::new(data(&shape, 1));
        let tape = Tape::new();
        ask(Linear { weight: weight(), bias: Some(weight()) }.forward(tape.var(data(&[2, 3], 2))));
        let [w, u, b] = [1, 2, 3].map(|i| data(&shape, i));
        assert!(LstmCell::from_tensors(w, u, b).is_err(), "{shape:?}");
    }
    let empty = LstmCell::from_tensors(data(&[2, 0], 1), data(&[0, 0], 1), data(&[0], 1)).expect("no units");
    let tape = Tape::new();
    let (y, _) = Rnn::new(empty).forward(&Cx::train(&tape), tape.var(data(&[4, 3, 2], 1)));
    assert!(ask(y));
    assert_eq!(y.shape().expect("a value")[..], [4, 3, 0]);
}

#[test]
fn predictions_and_targets() {
    for prediction in shapes(3) {
        for target in shapes(3) {
            let fits = target.is_empty() || prediction == target;
            let tape = Tape::new();
            let x = tape.var(data(&prediction, 1));
            assert_eq!(ask(loss::mse_with(x, &data(&target, 2), Reduction::Sum)), fits, "{prediction:?}, {target:?}");

            let tape = Tape::new();
            let x = tape.var(data(&prediction, 1));
            let classes = Tensor::zeros(&target[..], DType::I64);
            let loss = CrossEntropy { reduction: Reduction::None, ..Default::default() };
            let valued = ask(loss.loss(x, &classes));
            let fits = prediction.split_last().is_some_and(|(_, rows)| rows == target);
            assert!(fits || !valued, "{prediction:?}, {target:?}");
            let classes = prediction.last().copied().unwrap_or(0);
            assert!(!fits || valued || classes == 0, "{prediction:?}, {target:?}");
        }
    }
}
