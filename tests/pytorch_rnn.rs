//! Recurrent layers against PyTorch's, in all combinations of what both offer: outputs, last states and all gradients.

mod support;

use rand::{SeedableRng, rngs::StdRng};
use support::Fixture;
use wengert::nn::{Activation, Bidirectional, Layer, Projected};
use wengert::prelude::*;

// The sizes and formulas of `make_rnn.py`.
const T: usize = 4;
const B: usize = 3;
const I: usize = 2;
const H: usize = 3;
const P: usize = 2;
const LENGTHS: [usize; B] = [2, 4, 1];

/// Tensor `number` of a case.
fn fill(n: usize, number: usize) -> Vec<f64> {
    (0..n).map(|k| 0.9 * (0.7 * k as f64 + 1.3 * number as f64 + 0.4).sin()).collect()
}

fn tensor(shape: &[usize], values: Vec<f64>) -> Tensor {
    Tensor::from_vec(values, shape).expect("as many values as the shape holds")
}

fn transposed(values: &[f64], rows: usize) -> Vec<f64> {
    let columns = values.len() / rows;
    (0..columns).flat_map(|j| (0..rows).map(move |i| values[i * columns + j])).collect()
}

fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// A cell with PyTorch's parameters: `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`, and `weight_hr` if there is one.
trait Like: Cell + Sized {
    const PARAMETERS: usize;
    const OUTPUT: usize = H;
    const GATES: usize;
    fn new(kind: &str, input: usize) -> Self;
    fn set(&self, from: &[Vec<f64>]) -> Result<()>;
    /// Gradients in the same order and layout.
    fn gradients(&self, of: &dyn Fn(&Param) -> Vec<f64>) -> Vec<Vec<f64>>;
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(0)
}

fn set(param: &Param, values: Vec<f64>) -> Result<()> {
    param.set(tensor(param.value().shape(), values).cast(param.value().dtype()))
}

fn set_three(w: &Param, u: &Param, b: &Param, from: &[Vec<f64>]) -> Result<()> {
    set(w, transposed(&from[0], u.value().shape()[1]))?;
    set(u, transposed(&from[1], u.value().shape()[1]))?;
    set(b, sum(&from[2], &from[3]))
}

fn three(w: &Param, u: &Param, b: &Param, of: &dyn Fn(&Param) -> Vec<f64>) -> Vec<Vec<f64>> {
    let rows = |p: &Param| p.value().shape()[0];
    vec![transposed(&of(w), rows(w)), transposed(&of(u), rows(u)), of(b), of(b)]
}

impl Like for ElmanCell {
    const PARAMETERS: usize = 4;
    const GATES: usize = 1;
    fn new(kind: &str, input: usize) -> Self {
        let activation = if kind == "relu" { Activation::Relu } else { Activation::Tanh };
        ElmanCell::new(input, H, &mut rng()).with_activation(activation)
    }
    fn set(&self, from: &[Vec<f64>]) -> Result<()> {
        set_three(&self.w, &self.u, &self.b, from)
    }
    fn gradients(&self, of: &dyn Fn(&Param) -> Vec<f64>) -> Vec<Vec<f64>> {
        three(&self.w, &self.u, &self.b, of)
    }
}

impl Like for LstmCell {
    const PARAMETERS: usize = 4;
    const GATES: usize = 4;
    fn new(_: &str, input: usize) -> Self {
        LstmCell::new(input, H, &mut rng())
    }
    fn set(&self, from: &[Vec<f64>]) -> Result<()> {
        set_three(&self.w, &self.u, &self.b, from)
    }
    fn gradients(&self, of: &dyn Fn(&Param) -> Vec<f64>) -> Vec<Vec<f64>> {
        three(&self.w, &self.u, &self.b, of)
    }
}

impl Like for GruCell {
    const PARAMETERS: usize = 4;
    const GATES: usize = 3;
    fn new(_: &str, input: usize) -> Self {
        GruCell::new(input, H, &mut rng())
    }
    fn set(&self, from: &[Vec<f64>]) -> Result<()> {
        let mut outer = from[3].clone();
        let inner = outer.split_off(2 * H);
        outer.extend([0.0; H]);
        set_three(&self.w, &self.u, &self.b, &[from[0].clone(), from[1].clone(), from[2].clone(), outer])?;
        set(&self.b_u, inner)
    }
    fn gradients(&self, of: &dyn Fn(&Param) -> Vec<f64>) -> Vec<Vec<f64>> {
        let mut all = three(&self.w, &self.u, &self.b, of);
        all[3].truncate(2 * H);
        all[3].extend(of(&self.b_u));
        all
    }
}

impl Like for Projected<LstmCell> {
    const PARAMETERS: usize = 5;
    const OUTPUT: usize = P;
    const GATES: usize = 4;
    fn new(_: &str, input: usize) -> Self {
        Projected::new(LstmCell::new(input, H, &mut rng()), P, &mut rng())
    }
    fn set(&self, from: &[Vec<f64>]) -> Result<()> {
        self.cell.set(from)?;
        set(&self.p, transposed(&from[4], P))
    }
    fn gradients(&self, of: &dyn Fn(&Param) -> Vec<f64>) -> Vec<Vec<f64>> {
        let mut all = self.cell.gradients(of);
        all.push(transposed(&of(&self.p), H));
        all
    }
}

#[derive(Clone, Copy, Debug)]
struct Case {
    lengths: bool,
    state: bool,
    batch_first: bool,
    dtype: DType,
}

/// A net, its cells in PyTorch's order, and all numbers of the results in the order of the file.
fn results<C: Like, L: Layer>(net: Rnn<L>, cells: &[&C], case: Case) -> Result<Vec<f64>> {
    net.set_dtype(case.dtype)?;
    let layers = net.layers.len();
    let directions = cells.len() / layers;
    let mut number = 0;
    let mut next = |n: usize| {
        number += 1;
        fill(n, number - 1)
    };
    for (i, cell) in cells.iter().enumerate() {
        let input = if i < directions { I } else { directions * C::OUTPUT };
        let rows = C::GATES * H;
        let sizes = [rows * input, rows * C::OUTPUT, rows, rows, P * H];
        let values: Vec<Vec<f64>> = sizes[..C::PARAMETERS].iter().map(|n| next(*n)).collect();
        cell.set(&values)?;
    }
    let mut draw = |shape: [usize; 3]| tensor(&shape, next(shape.iter().product())).cast(case.dtype);
    let (x, h, c) = (draw([T, B, I]), draw([cells.len(), B, C::OUTPUT]), draw([cells.len(), B, H]));
    let cts = [draw([T, B, directions * C::OUTPUT]), draw([cells.len(), B, C::OUTPUT]), draw([cells.len(), B, H])];

    let x = match case.lengths {
        // What PyTorch does not read must not matter.
        true => {
            let padded = |i: usize| i / (B * I) >= LENGTHS[i / I % B];
            let x = x.to_f64_vec().into_iter().enumerate().map(|(i, x)| if padded(i) { f64::NAN } else { x });
            tensor(&[T, B, I], x.collect()).cast(case.dtype)
        }
        false => x,
    };
    let tape = Tape::new();
    let cx = Cx::train(&tape);
    let (x, h, c) = (tape.var(x), tape.var(h), tape.var(c));
    let start = net.init(&cx, B);
    let components = start[0].leaves().len() / directions;
    let given = [h, c][..components].to_vec();
    let begin: Vec<L::State<'_>> = (0..layers)
        .map(|layer| {
            let places = layer * directions..(layer + 1) * directions;
            let leaves: Vec<Var<'_>> = places.flat_map(|i| given.iter().map(move |v| v.get(0, i))).collect();
            start[layer].with_leaves(&leaves)
        })
        .collect();
    let mut run = Run::new();
    if case.state {
        run = run.states(begin);
    }
    if case.lengths && case.batch_first {
        run = run.lengths(tape.constant(Tensor::from_slice(&LENGTHS.map(|n| n as i64), [B])?));
    } else if case.lengths {
        run = run.lengths(LENGTHS);
    }
    let (y, last) = if case.batch_first {
        let (y, last) = net.batch_first().forward_with(&cx, x.transpose(0, 1), run);
        (y.transpose(0, 1), last)
    } else {
        net.forward_with(&cx, x, run)
    };
    let last: Vec<Var<'_>> = last.iter().flat_map(|state| state.leaves()).collect();
    let mut values = vec![y];
    for component in 0..components {
        let every: Vec<Var<'_>> = last.iter().copied().skip(component).step_by(components).collect();
        values.push(tape.stack(&every, 0));
    }
    let loss = values.iter().zip(&cts).map(|(v, ct)| (*v * ct).sum()).reduce(|a, b| a + b).expect("there are results");
    let gradients = loss.backward()?;
    let mut all = Vec::new();
    for value in values {
        all.extend(value.value()?.to_f64_vec());
    }
    let wrt = if case.state { [vec![x], given].concat() } else { vec![x] };
    for v in wrt {
        all.extend(gradients.wrt(v).expect("the loss depends on it").to_f64_vec());
    }
    let of = |param: &Param| gradients.get(param).expect("the loss depends on it").to_f64_vec();
    for cell in cells {
        all.extend(cell.gradients(&of).concat());
    }
    Ok(all)
}

fn compare<C: Like + Clone>(kind: &str, fixture: &Fixture) -> Result<usize> {
    let mut cases = 0;
    for (layers, bits) in (1..=3).flat_map(|layers| (0..32).map(move |bits| (layers, bits))) {
        let [bidirectional, lengths, state, batch_first, single] = [1, 2, 4, 8, 16].map(|bit| bits & bit != 0);
        let (dtype, tolerance) = if single { (DType::F32, 2e-5) } else { (DType::F64, 1e-11) };
        let case = Case { lengths, state, batch_first, dtype };
        let found = if bidirectional {
            let net = Rnn::bidirectional(layers, I, |_, input| C::new(kind, input));
            let both = |layer: &Bidirectional<C>| [layer.forward.clone(), layer.backward.clone()];
            let cells: Vec<C> = net.layers.iter().flat_map(both).collect();
            results(net, &cells.iter().collect::<Vec<_>>(), case)?
        } else {
            let net = Rnn::stack(layers, I, |_, input| C::new(kind, input));
            let cells = net.layers.clone();
            results(net, &cells.iter().collect::<Vec<_>>(), case)?
        };
        let mut name = format!("{kind}.l{layers}");
        for (part, on) in [(".bi", bidirectional), (".lengths", lengths), (".state", state)] {
            name += if on { part } else { "" };
        }
        let wanted = fixture.get(&name).to_f64_vec();
        assert_eq!(found.len(), wanted.len(), "{name} {case:?}");
        for (i, (a, b)) in found.iter().zip(&wanted).enumerate() {
            let near = (a - b).abs() <= tolerance * b.abs().max(1.0);
            assert!(near, "{name} {case:?}, number {i} of {}: {a} against {b}", wanted.len());
        }
        cases += 1;
    }
    Ok(cases)
}

#[test]
fn layers_directions_lengths_states_and_precisions() -> Result<()> {
    let fixture = Fixture::open("rnn_f64");
    let mut cases = compare::<ElmanCell>("tanh", &fixture)? + compare::<ElmanCell>("relu", &fixture)?;
    cases += compare::<GruCell>("gru", &fixture)? + compare::<LstmCell>("lstm", &fixture)?;
    cases += compare::<Projected<LstmCell>>("proj", &fixture)?;
    // Every case of the file in both layouts and both precisions.
    assert_eq!(cases, 480);
    Ok(())
}
