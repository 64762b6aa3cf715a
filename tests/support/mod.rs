//! What several test files share: data, comparison, PyTorch's references.
#![allow(dead_code)]

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use wengert::prelude::*;

/// Reproducible values in (-1, 1), F64.
pub(crate) fn data(shape: &[usize], seed: u64) -> Tensor {
    let n: usize = shape.iter().product();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d;
    let mut next = || {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    let values: Vec<f64> = (0..n).map(|_| next()).collect();
    Tensor::from_vec(values, shape).expect("as many values as the shape holds")
}

/// Asserts equal shapes and `|a - b| <= tolerance · max(1, |b|)` for every element.
#[track_caller]
pub(crate) fn close(a: &Tensor, b: &Tensor, tolerance: f64, what: &str) {
    assert_eq!(a.shape(), b.shape(), "{what}");
    for (i, (x, y)) in a.to_f64_vec().iter().zip(b.to_f64_vec()).enumerate() {
        let near = (x - y).abs() <= tolerance * y.abs().max(1.0);
        assert!(near, "{what}, element {i}: {x} against {y}, apart by {:e}", (x - y).abs());
    }
}

/// Asserts that an error says each of `parts`.
#[track_caller]
pub(crate) fn says(error: &impl ToString, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "expected '{part}' in: {text}");
    }
}

/// A cell of F64 weights.
pub(crate) fn lstm_cell(input: usize, hidden: usize, seed: u64) -> LstmCell {
    let draw = |shape: &[usize], i| data(shape, 10 * seed + i);
    LstmCell::from_tensors(draw(&[input, 4 * hidden], 1), draw(&[hidden, 4 * hidden], 2), draw(&[4 * hidden], 3))
        .expect("the shapes fit")
}

/// Two layers of F64 weights.
pub(crate) fn lstm_net(input: usize, hidden: usize, seed: u64) -> Rnn<LstmCell> {
    Rnn::stack(2, input, |layer, input| lstm_cell(input, hidden, seed + layer as u64))
}

/// The tensors of one file of `tests/fixtures`, by name.
pub(crate) struct Fixture(HashMap<String, Tensor>);

impl Fixture {
    pub(crate) fn open(name: &str) -> Fixture {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.safetensors"));
        Fixture(io::load_tensors(path).expect("the fixture is committed").into_iter().collect())
    }

    #[track_caller]
    pub(crate) fn get(&self, name: &str) -> &Tensor {
        self.0.get(name).unwrap_or_else(|| panic!("the fixture has no '{name}'"))
    }

    /// The cases of a file whose tensors are named `CASE.TENSOR`, in order.
    pub(crate) fn cases(&self) -> BTreeSet<&str> {
        self.0.keys().filter_map(|name| Some(name.rsplit_once('.')?.0)).collect()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn number(&self, name: &str) -> f64 {
        self.get(name).item().expect("a scalar")
    }

    /// `weight_ih_l{layer}` and so on as a cell: PyTorch's matrices are `[4H, I]`, and it adds two biases.
    pub(crate) fn cell(&self, layer: usize) -> Result<LstmCell> {
        let bias = self.sum(&format!("bias_ih_l{layer}"), &format!("bias_hh_l{layer}"))?;
        let [w, u] = ["ih", "hh"].map(|kind| self.get(&format!("weight_{kind}_l{layer}")).transpose(0, 1));
        LstmCell::from_tensors(w?, u?, bias)
    }

    pub(crate) fn net(&self) -> Result<Rnn<LstmCell>> {
        let layers = (0..).take_while(|layer| self.has(&format!("weight_ih_l{layer}")));
        Ok(Rnn::from(layers.map(|layer| self.cell(layer)).collect::<Result<Vec<_>>>()?))
    }

    fn sum(&self, a: &str, b: &str) -> Result<Tensor> {
        let (a, b) = (self.get(a), self.get(b));
        let sum: Vec<f64> = a.to_f64_vec().iter().zip(b.to_f64_vec()).map(|(a, b)| a + b).collect();
        Ok(Tensor::from_vec(sum, a.shape())?.cast(a.dtype()))
    }
}
