//! Every cell of the library against its paper's formulas, written as loops over numbers, and against finite differences.
// A loop over units reads like the formula.
#![allow(clippy::needless_range_loop)]

mod support;

use rand::{SeedableRng, rngs::StdRng};
use std::collections::{BTreeSet, HashMap};
use support::{close, data};
use wengert::check::{GradientOptions, assert_gradients, floats};
use wengert::nn;
use wengert::prelude::*;

const T: usize = 4;
const B: usize = 2;
const I: usize = 2;
const H: usize = 3;
/// Size of a projection.
const P: usize = 2;

/// The parameters of a cell as numbers.
struct Weights(HashMap<String, Vec<f64>>);

impl Weights {
    /// `(v·M)_j` for a matrix with as many rows as `v` has entries.
    fn dot(&self, v: &[f64], matrix: &str, j: usize) -> f64 {
        let columns = self.0[matrix].len() / v.len();
        (0..v.len()).map(|k| v[k] * self.0[matrix][k * columns + j]).sum()
    }

    fn at(&self, vector: &str, j: usize) -> f64 {
        self.0[vector][j]
    }

    /// The sum `x·w + h·u + b` of unit `j` of a gate.
    fn sum(&self, x: &[f64], h: &[f64], gate: usize, j: usize) -> f64 {
        let j = gate * H + j;
        self.dot(x, "w", j) + self.dot(h, "u", j) + self.at("b", j)
    }

    /// The sum `x·w + b` of unit `j` of a gate.
    fn input(&self, x: &[f64], gate: usize, j: usize) -> f64 {
        self.dot(x, "w", gate * H + j) + self.at("b", gate * H + j)
    }
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

fn norm(v: Vec<f64>) -> Vec<f64> {
    let n = v.len() as f64;
    let mean = v.iter().sum::<f64>() / n;
    let var = v.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    v.iter().map(|v| (v - mean) / (var + 1e-5).sqrt()).collect()
}

fn units(f: impl FnMut(usize) -> f64) -> Vec<f64> {
    (0..H).map(f).collect()
}

/// One step of one sequence: changes the vectors of the state, and gives the output.
type Step = fn(&Weights, &[f64], &mut [Vec<f64>]) -> Vec<f64>;

/// What is done with each row of the table.
trait Visit {
    /// `name` begins with the cell's type; the state begins as zeros of the `sizes`.
    fn row<C: Cell>(&mut self, name: &'static str, cell: C, sizes: &[usize], step: Step);
}

/// Every cell and option of the library.
fn table(visit: &mut impl Visit) {
    let rng = &mut StdRng::seed_from_u64(0);
    let one: &[usize] = &[H];
    let two: &[usize] = &[H, H];

    let elman = nn::ElmanCell::new(I, H, rng);
    visit.row("ElmanCell", elman.clone(), one, |p, x, s| {
        s[0] = units(|j| p.sum(x, &s[0], 0, j).tanh());
        s[0].clone()
    });
    visit.row("ElmanCell with ReLU", elman.with_activation(nn::Activation::Relu), one, |p, x, s| {
        s[0] = units(|j| p.sum(x, &s[0], 0, j).max(0.0));
        s[0].clone()
    });
    visit.row("IndRnnCell", nn::IndRnnCell::new(I, H, rng), one, |p, x, s| {
        s[0] = units(|j| (p.input(x, 0, j) + p.at("u", j) * s[0][j]).max(0.0));
        s[0].clone()
    });
    visit.row("AntisymmetricCell", nn::AntisymmetricCell::new(I, H, 0.7, 0.3, rng), one, |p, x, s| {
        let h = s[0].clone();
        s[0] = units(|j| {
            let u = |k: usize, j: usize| p.at("u", k * H + j);
            let turned: f64 = (0..H).map(|k| h[k] * (u(k, j) - u(j, k) - if k == j { 0.3 } else { 0.0 })).sum();
            h[j] + 0.7 * (p.input(x, 0, j) + turned).tanh()
        });
        s[0].clone()
    });
    visit.row("CoRnnCell", nn::CoRnnCell::new(I, H, [0.6, 1.2, 0.8], rng), two, |p, x, s| {
        let (y, v) = (s[0].clone(), s[1].clone());
        s[1] = units(|j| {
            let force = (p.input(x, 0, j) + p.dot(&y, "u", j) + p.dot(&v, "v", j)).tanh();
            v[j] + 0.6 * force - 0.6 * 1.2 * y[j] - 0.6 * 0.8 * v[j]
        });
        s[0] = units(|j| y[j] + 0.6 * s[1][j]);
        s[0].clone()
    });

    let lstm = nn::LstmCell::new(I, H, rng);
    visit.row("LstmCell", lstm.clone(), two, |p, x, s| lstm_step(p, x, s, sigmoid, f64::INFINITY));
    visit.row("LstmCell with hard gates", lstm.clone().with_gate(nn::Gate::HardSigmoid), two, |p, x, s| {
        lstm_step(p, x, s, |z| (z / 6.0 + 0.5).clamp(0.0, 1.0), f64::INFINITY)
    });
    visit.row("LstmCell with a clipped cell", lstm.clone().with_cell_clip(0.25), two, |p, x, s| {
        lstm_step(p, x, s, sigmoid, 0.25)
    });
    visit.row("Clipped", nn::Clipped { cell: lstm.clone(), bound: 0.1 }, two, |p, x, s| {
        let y = lstm_step(p, x, s, sigmoid, f64::INFINITY);
        s.iter_mut().flatten().for_each(|v| *v = v.clamp(-0.1, 0.1));
        y
    });
    visit.row("Projected", nn::Projected::new(lstm, P, rng), &[P, H], |p, x, s| {
        let wide = lstm_step(p, x, s, sigmoid, f64::INFINITY);
        s[0] = (0..P).map(|j| p.dot(&wide, "p", j)).collect();
        s[0].clone()
    });
    visit.row("PeepholeLstmCell", nn::PeepholeLstmCell::new(I, H, rng), two, |p, x, s| {
        let (h, c) = (s[0].clone(), s[1].clone());
        let gate = |name, gate, c: &[f64], j| sigmoid(p.sum(x, &h, gate, j) + p.at(name, j) * c[j]);
        s[1] = units(|j| gate("p_f", 1, &c, j) * c[j] + gate("p_i", 0, &c, j) * p.sum(x, &h, 2, j).tanh());
        s[0] = units(|j| gate("p_o", 3, &s[1], j) * s[1][j].tanh());
        s[0].clone()
    });
    visit.row("CoupledLstmCell", nn::CoupledLstmCell::new(I, H, rng), two, |p, x, s| {
        let h = s[0].clone();
        for j in 0..H {
            let [f, g, o] = [0, 1, 2].map(|gate| p.sum(x, &h, gate, j));
            s[1][j] = sigmoid(f) * s[1][j] + (1.0 - sigmoid(f)) * g.tanh();
            s[0][j] = sigmoid(o) * s[1][j].tanh();
        }
        s[0].clone()
    });
    let normed = nn::LayerNormLstmCell::new(I, H, rng);
    visit.row("LayerNormLstmCell", normed.clone(), two, |p, x, s| layer_norm_lstm(p, x, s).0);
    visit.row("LayerNormLstmCell with normed memory", normed.with_normed_memory(), two, |p, x, s| {
        let (y, memory) = layer_norm_lstm(p, x, s);
        s[1] = memory;
        y
    });
    visit.row("Lstm1997Cell", nn::Lstm1997Cell::new(I, H, rng), two, |p, x, s| {
        let h = s[0].clone();
        for j in 0..H {
            let [i, g, o] = [0, 1, 2].map(|gate| sigmoid(p.sum(x, &h, gate, j)));
            s[1][j] += i * (4.0 * g - 2.0);
            s[0][j] = o * (2.0 * sigmoid(s[1][j]) - 1.0);
        }
        s[0].clone()
    });
    visit.row("MultiplicativeLstmCell", nn::MultiplicativeLstmCell::new(I, H, rng), two, |p, x, s| {
        s[0] = units(|j| p.dot(x, "w_m", j) * p.dot(&s[0], "u_m", j));
        lstm_step(p, x, s, sigmoid, f64::INFINITY)
    });

    visit.row("GruCell", nn::GruCell::new(I, H, rng), one, |p, x, s| {
        let h = s[0].clone();
        s[0] = units(|j| {
            let [r, z] = [0, 1].map(|gate| sigmoid(p.sum(x, &h, gate, j)));
            let n = (p.input(x, 2, j) + r * (p.dot(&h, "u", 2 * H + j) + p.at("b_u", j))).tanh();
            (1.0 - z) * n + z * h[j]
        });
        s[0].clone()
    });
    visit.row("ResetBeforeGruCell", nn::ResetBeforeGruCell::new(I, H, rng), one, |p, x, s| {
        let h = s[0].clone();
        let reset = units(|j| sigmoid(p.sum(x, &h, 0, j)) * h[j]);
        s[0] = units(|j| {
            let z = sigmoid(p.sum(x, &h, 1, j));
            (1.0 - z) * (p.input(x, 2, j) + p.dot(&reset, "u_n", j)).tanh() + z * h[j]
        });
        s[0].clone()
    });
    visit.row("MguCell", nn::MguCell::new(I, H, rng), one, |p, x, s| {
        let h = s[0].clone();
        let f = units(|j| sigmoid(p.input(x, 0, j) + p.dot(&h, "u_f", j)));
        let kept = units(|j| f[j] * h[j]);
        s[0] = units(|j| (1.0 - f[j]) * h[j] + f[j] * (p.input(x, 1, j) + p.dot(&kept, "u_n", j)).tanh());
        s[0].clone()
    });
    visit.row("LiGruCell", nn::LiGruCell::new(I, H, rng), one, |p, x, s| {
        let h = s[0].clone();
        let inputs = norm((0..2 * H).map(|j| p.dot(x, "w", j)).collect());
        let sum = |j: usize| p.at("gain", j) * inputs[j] + p.at("b", j) + p.dot(&h, "u", j);
        s[0] = units(|j| {
            let z = sigmoid(sum(j));
            z * h[j] + (1.0 - z) * sum(H + j).max(0.0)
        });
        s[0].clone()
    });
    visit.row("JanetCell", nn::JanetCell::new(I, H, rng), one, |p, x, s| {
        let h = s[0].clone();
        s[0] = units(|j| {
            let (f, n) = (p.sum(x, &h, 0, j), p.sum(x, &h, 1, j).tanh());
            sigmoid(f) * h[j] + (1.0 - sigmoid(f - 1.0)) * n
        });
        s[0].clone()
    });
    visit.row("HighwayCell", nn::HighwayCell::new(I, H, 2, rng), one, |p, x, s| {
        for (layer, (u, b)) in [("u.0", "b.0"), ("u.1", "b.1")].into_iter().enumerate() {
            let h = s[0].clone();
            let from_x = |j| if layer == 0 { p.dot(x, "w", j) } else { 0.0 };
            let sum = |j| from_x(j) + p.dot(&h, u, j) + p.at(b, j);
            s[0] = units(|j| sum(j).tanh() * sigmoid(sum(H + j)) + h[j] * (1.0 - sigmoid(sum(H + j))));
        }
        s[0].clone()
    });
    visit.row("MinGruCell", nn::MinGruCell::new(I, H, rng), one, |p, x, s| {
        for j in 0..H {
            let z = sigmoid(p.input(x, 0, j));
            s[0][j] = (1.0 - z) * s[0][j] + z * p.input(x, 1, j);
        }
        s[0].clone()
    });
    visit.row("MinLstmCell", nn::MinLstmCell::new(I, H, rng), one, |p, x, s| {
        for j in 0..H {
            let [f, i] = [0, 1].map(|gate| sigmoid(p.input(x, gate, j)));
            s[0][j] = f / (f + i) * s[0][j] + i / (f + i) * p.input(x, 2, j);
        }
        s[0].clone()
    });
    visit
        .row("SruCell", nn::SruCell::new(I, H, rng), one, |p, x, s| sru(p, x, s, &units(|j| p.dot(x, "w", 3 * H + j))));
    visit.row("SLstmCell", nn::SLstmCell::new(I, H, rng), &[H, H, H], |p, x, s| {
        // Without the scale m.
        let h = s[0].clone();
        for j in 0..H {
            let [i, f, z, o] = [0, 1, 2, 3].map(|gate| p.sum(x, &h, gate, j));
            s[1][j] = sigmoid(f) * s[1][j] + i.exp() * z.tanh();
            s[2][j] = sigmoid(f) * s[2][j] + i.exp();
            s[0][j] = sigmoid(o) * s[1][j] / s[2][j];
        }
        s[0].clone()
    });
    visit.row("MLstmCell", nn::MLstmCell::new(I, H, rng), &[H * H, H], mlstm);
}

fn mlstm(p: &Weights, x: &[f64], s: &mut [Vec<f64>]) -> Vec<f64> {
    // Without the scale m.
    let [q, k, v, o] = [0, 1, 2, 3].map(|gate| units(|j| p.input(x, gate, j)));
    let [i, f] = [0, 1].map(|gate| p.dot(x, "w_gates", gate) + p.at("b_gates", gate));
    let k = units(|j| k[j] / (H as f64).sqrt());
    for j in 0..H {
        for l in 0..H {
            s[0][j * H + l] = sigmoid(f) * s[0][j * H + l] + i.exp() * v[j] * k[l];
        }
        s[1][j] = sigmoid(f) * s[1][j] + i.exp() * k[j];
    }
    let weight: f64 = (0..H).map(|l| s[1][l] * q[l]).sum();
    let read = |j| (0..H).map(|l| s[0][j * H + l] * q[l]).sum::<f64>();
    units(|j| sigmoid(o[j]) * read(j) / weight.abs().max(1.0))
}

fn lstm_step(p: &Weights, x: &[f64], s: &mut [Vec<f64>], gate: fn(f64) -> f64, clip: f64) -> Vec<f64> {
    let h = s[0].clone();
    s[0] = units(|j| {
        let [i, f, g, o] = [0, 1, 2, 3].map(|block| p.sum(x, &h, block, j));
        s[1][j] = (gate(f) * s[1][j] + gate(i) * g.tanh()).clamp(-clip, clip);
        gate(o) * s[1][j].tanh()
    });
    s[0].clone()
}

/// The state of Haste's form, the output, and the normalised cell.
fn layer_norm_lstm(p: &Weights, x: &[f64], s: &mut [Vec<f64>]) -> (Vec<f64>, Vec<f64>) {
    let all = |v: &[f64], matrix| norm((0..4 * H).map(|j| p.dot(v, matrix, j)).collect());
    let (from_x, from_h) = (all(x, "w"), all(&s[0], "u"));
    let sum = |j: usize| p.at("gain_x", j) * from_x[j] + p.at("gain_h", j) * from_h[j] + p.at("b", j);
    s[1] = units(|j| sigmoid(sum(H + j)) * s[1][j] + sigmoid(sum(j)) * sum(2 * H + j).tanh());
    let normed = norm(s[1].clone());
    let normed = units(|j| p.at("gain_c", j) * normed[j] + p.at("b_c", j));
    s[0] = units(|j| sigmoid(sum(3 * H + j)) * normed[j].tanh());
    (s[0].clone(), normed)
}

fn sru(p: &Weights, x: &[f64], s: &mut [Vec<f64>], skip: &[f64]) -> Vec<f64> {
    units(|j| {
        let gate = |block, v, b, c: f64| sigmoid(p.dot(x, "w", block * H + j) + p.at(v, j) * c + p.at(b, j));
        let (f, r) = (gate(1, "v_f", "b_f", s[0][j]), gate(2, "v_r", "b_r", s[0][j]));
        s[0][j] = f * s[0][j] + (1.0 - f) * p.dot(x, "w", j);
        r * s[0][j] + (1.0 - r) * 3f64.sqrt() * skip[j]
    })
}

/// Gives all parameters of a cell values of order one, F64: those that begin as 0 or 1 as well.
fn randomise(cell: &impl Cell) {
    cell.set_dtype(DType::F64).unwrap();
    for (i, (_, param)) in cell.params().into_iter().enumerate() {
        param.set(data(param.value().shape(), 100 + i as u64)).unwrap();
    }
}

/// The outputs of the cell over time, compared with those of the loops.
fn compare<C: Cell>(name: &str, cell: C, input: usize, sizes: &[usize], step: Step) {
    let net = Rnn::new(cell);
    let named = |(path, param): (String, Param)| {
        let path = path.trim_start_matches("lstm.").trim_start_matches("cell.").to_string();
        (path, param.value().to_f64_vec())
    };
    let weights = Weights(net.layers[0].params().into_iter().map(named).collect());
    let x = data(&[T, B, input], 1);
    let tape = Tape::new();
    let (y, _) = net.forward(&Cx::train(&tape), tape.constant(&x));
    let y = y.value().unwrap_or_else(|e| panic!("{name}: {e}"));
    let x = x.to_f64_vec();
    let mut states: Vec<Vec<Vec<f64>>> = vec![sizes.iter().map(|n| vec![0.0; *n]).collect(); B];
    let wanted = x.chunks(input).enumerate().flat_map(|(row, x)| step(&weights, x, &mut states[row % B]));
    let wanted = Tensor::from_vec(wanted.collect::<Vec<f64>>(), y.shape()).unwrap();
    close(&y, &wanted, 1e-13, name);
}

#[test]
fn values_are_those_of_the_formulas() {
    struct Values;
    impl Visit for Values {
        fn row<C: Cell>(&mut self, name: &'static str, cell: C, sizes: &[usize], step: Step) {
            randomise(&cell);
            compare(name, cell, I, sizes, step);
        }
    }
    table(&mut Values);
    // Where input and hidden size are equal, the input itself is passed by.
    let cell = nn::SruCell::new(H, H, &mut StdRng::seed_from_u64(0));
    randomise(&cell);
    compare("SruCell of equal sizes", cell, H, &[H], |p, x, s| sru(p, x, s, x));
    // Sums of keys, of either sign, that are divided by.
    for sign in [-3.0, 3.0] {
        let cell = nn::MLstmCell::new(I, H, &mut StdRng::seed_from_u64(0));
        randomise(&cell);
        init::change(&cell.b, 0..2 * H, |i, _| if i < H { 3.0 } else { sign });
        compare("MLstmCell of large sums", cell, I, &[H * H, H], mlstm);
    }
}

#[test]
fn gradients_are_those_of_differences() {
    struct Gradients;
    impl Visit for Gradients {
        fn row<C: Cell>(&mut self, name: &'static str, cell: C, _: &[usize], _: Step) {
            println!("{name}");
            randomise(&cell);
            let net = Rnn::new(cell);
            let options = GradientOptions::default().cases(6);
            assert_gradients!(
                |x| net.forward(&Cx::train(x.tape()), x).0,
                floats([T, B, I]),
                params: net,
                options: options
            );
        }
    }
    table(&mut Gradients);
}

/// The table has every type that is a cell in `crates/nn/src/cells`.
#[test]
fn no_cell_is_without_a_test() {
    struct Names(BTreeSet<&'static str>);
    impl Visit for Names {
        fn row<C: Cell>(&mut self, name: &'static str, _: C, _: &[usize], _: Step) {
            self.0.extend(name.split(' ').next());
        }
    }
    let mut tested = Names(BTreeSet::new());
    table(&mut tested);
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/nn/src/cells");
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let source = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for (_, after) in source.lines().filter_map(|line| line.split_once(" Cell for ")) {
            found.extend(after.split(|c: char| !c.is_alphanumeric()).next().map(str::to_string));
        }
    }
    // The random cells of the gradient checks, and initial states, have tests of their own.
    found.remove("RandomCell");
    found.remove("Learned");
    assert_eq!(found.iter().map(String::as_str).collect::<BTreeSet<_>>(), tested.0);
}

/// Every cell runs in F32 and is explained; a stack of projected cells knows its sizes.
#[test]
fn cells_are_at_home_in_the_library() {
    struct AtHome;
    impl Visit for AtHome {
        fn row<C: Cell>(&mut self, name: &'static str, cell: C, _: &[usize], _: Step) {
            let explained = nn::explain(&cell, I).unwrap_or_else(|e| panic!("{name}: {e}")).to_string();
            assert!(explained.contains("∂L/∂"), "{name}: {explained}");
            let tape = Tape::new();
            let (y, _) =
                Rnn::new(cell).forward(&Cx::train(&tape), tape.constant(Tensor::full([T, B, I], 0.3, DType::F32)));
            let y = y.value().unwrap();
            assert!(y.dtype() == DType::F32 && y.to_f64_vec().iter().all(|y| y.is_finite()), "{name}");
        }
    }
    table(&mut AtHome);
    let mut sizes = Vec::new();
    Rnn::stack(2, I, |_, input| {
        sizes.push(input);
        let rng = &mut StdRng::seed_from_u64(0);
        nn::Projected::new(nn::LstmCell::new(input, H + 1, rng), P, rng)
    });
    assert_eq!(sizes, [I, P]);
}

/// Options of the LSTMs go together.
#[test]
fn wrappers_compose() {
    fn check<C: nn::Recurrent>(cell: C) {
        let cell = nn::Clipped { cell: nn::Projected::new(cell, P, &mut StdRng::seed_from_u64(1)), bound: 0.2 };
        randomise(&cell);
        let net = Rnn::new(cell);
        let tape = Tape::new();
        let (y, state) = net.forward(&Cx::train(&tape), tape.constant(data(&[T, B, I], 1)));
        assert_eq!(y.value().unwrap().shape()[..], [T, B, P]);
        let (h, c) = state[0];
        assert_eq!((h.value().unwrap().shape()[1], c.value().unwrap().shape()[1]), (P, H));
        let bounded = c.value().unwrap().to_f64_vec();
        assert!(bounded.iter().all(|c| c.abs() <= 0.2) && bounded.iter().any(|c| c.abs() == 0.2), "{bounded:?}");
        let options = GradientOptions::default().cases(1);
        assert_gradients!(|x| net.forward(&Cx::train(x.tape()), x).0, floats([T, B, I]), params: net, options: options);
    }
    let rng = &mut StdRng::seed_from_u64(0);
    check(nn::LstmCell::new(I, H, rng).with_gate(nn::Gate::HardSigmoid));
    check(nn::PeepholeLstmCell::new(I, H, rng));
    check(nn::CoupledLstmCell::new(I, H, rng));
    check(nn::LayerNormLstmCell::new(I, H, rng).with_normed_memory());
}

/// Exponential gates, and ratios of gates, far beyond what the exponential function can hold.
#[test]
fn extreme_gates_stay_finite() -> Result<()> {
    fn run<C: Cell>(cell: C, bias: &Param, entries: std::ops::Range<usize>, to: f64) -> Result<Vec<f64>> {
        init::change(bias, entries, |_, _| to);
        let net = Rnn::new(cell);
        let tape = Tape::new();
        let (y, _) = net.forward(&Cx::train(&tape), tape.constant(data(&[6, B, I], 3).cast(DType::F32)));
        let gradients = y.square().sum().backward()?;
        for (name, param) in net.params() {
            let gradient = gradients.get(&param).map(Tensor::to_f64_vec).unwrap_or_default();
            assert!(gradient.iter().all(|g| g.is_finite()), "{name} at {to}: {gradient:?}");
        }
        let y = y.value()?.to_f64_vec();
        assert!(y.iter().all(|y| y.is_finite()), "{to}: {y:?}");
        Ok(y)
    }
    let rng = &mut StdRng::seed_from_u64(0);
    for to in [-1000.0, -100.0, 100.0, 1000.0] {
        let cell = nn::SLstmCell::new(I, H, rng);
        let b = cell.b.clone();
        let y = run(cell.clone(), &b, 0..H, to)?;
        assert!(y.iter().all(|y| y.abs() < 1.0 && *y != 0.0), "a weighted mean of tanh: {y:?}");
        run(cell, &b, H..2 * H, to)?;
        let cell = nn::MLstmCell::new(I, H, rng);
        let b = cell.b_gates.clone();
        for gate in 0..2 {
            run(cell.clone(), &b, gate..gate + 1, to)?;
        }
        let cell = nn::MinLstmCell::new(I, H, rng);
        let b = cell.b.clone();
        run(cell, &b, 0..2 * H, to)?;
    }
    Ok(())
}

/// What the constructors set.
#[test]
fn cells_start_as_their_papers_say() -> Result<()> {
    let rng = &mut StdRng::seed_from_u64(0);
    let biases = |b: &Param| b.value().to_f64_vec();
    let irnn = nn::ElmanCell::irnn(2, 3, 1.0, rng);
    assert_eq!(irnn.u.value().to_f64_vec(), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    irnn.w.set(Tensor::from_slice(&[1.0f32, 0.0, 0.0, 0.0, 1.0, 0.0], [2, 3])?)?;
    let tape = Tape::new();
    let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], [2, 1, 2])?;
    let (y, _) = Rnn::new(irnn).forward(&Cx::eval(&tape), tape.constant(x));
    assert_eq!(y.last(0).value()?.to_f64_vec(), [4.0, 6.0, 0.0], "inputs that are not negative are summed");

    let lstm = nn::LstmCell::new(2, 4, rng);
    let before = biases(&lstm.b);
    let lstm = lstm.with_forget_bias(1.0);
    let raised = before.iter().enumerate().map(|(i, b)| if (4..8).contains(&i) { b + 1.0 } else { *b });
    close(&lstm.b.value(), &Tensor::from_vec(raised.collect::<Vec<f64>>(), [16])?, 1e-6, "forget bias");
    let chrono = biases(&lstm.with_chrono(100.0, rng).b);
    assert!(chrono[4..8].iter().all(|b| (0.0..=99f64.ln() + 1e-6).contains(b)), "{chrono:?}");
    assert!((0..4).all(|i| chrono[i] == -chrono[4 + i]) && chrono[4] != chrono[5]);
    let janet = biases(&nn::JanetCell::new(2, 3, rng).with_chrono(50.0, rng).b);
    assert!(janet[..3].iter().all(|b| *b > 0.0) && janet[3..] == [0.0; 3], "{janet:?}");
    let plain = nn::HighwayCell::new(2, 3, 2, &mut StdRng::seed_from_u64(5));
    let closed = nn::HighwayCell::new(2, 3, 2, &mut StdRng::seed_from_u64(5)).with_transform_bias(-2.0);
    for (a, b) in plain.b.iter().zip(&closed.b) {
        let shift: Vec<f64> = biases(a).iter().zip(biases(b)).map(|(a, b)| (b - a).round()).collect();
        assert_eq!(shift, [0.0, 0.0, 0.0, -2.0, -2.0, -2.0]);
    }
    Ok(())
}
