//! Cells as equations: golden texts, and every line computed by a reader of equations and compared with the gradients.

extern crate wengert_nn as wengert;
mod equations;

use equations::{Matrix, evaluate};
use rand::{SeedableRng, rngs::StdRng};
use std::collections::HashMap;
use wengert_autograd::{DType, Param, Tape, Tensor, Tree as _, Var};
use wengert_nn::{Cell, Cx, LstmCell, Module, Tree, explain, init};

fn draw(shape: &[usize], rng: &mut StdRng) -> Param {
    Param::new(init::uniform(shape, 0.8, rng))
}

/// The LSTM with a matrix and a bias for each gate, over `[h, x]`.
#[derive(Module)]
#[allow(non_snake_case)]
struct Lstm {
    W_f: Param,
    b_f: Param,
    W_i: Param,
    b_i: Param,
    W_C: Param,
    b_C: Param,
    W_o: Param,
    b_o: Param,
    hidden: usize,
}

impl Lstm {
    fn new(input: usize, hidden: usize, rng: &mut StdRng) -> Lstm {
        let mut w = || draw(&[hidden + input, hidden], rng);
        let b = |seed| draw(&[hidden], &mut StdRng::seed_from_u64(seed));
        Lstm { W_f: w(), b_f: b(1), W_i: w(), b_i: b(2), W_C: w(), b_C: b(3), W_o: w(), b_o: b(4), hidden }
    }
}

impl Cell for Lstm {
    type State<'t> = (Var<'t>, Var<'t>);
    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        (cx.zeros([batch, self.hidden]), cx.zeros([batch, self.hidden]))
    }
    #[allow(non_snake_case)]
    fn step<'t>(&self, x: Var<'t>, (h, C): Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        let hx = x.tape().concat(&[h, x], -1);
        let f = (hx.matmul(&self.W_f) + &self.b_f).named("z_f").sigmoid().named("f");
        let i = (hx.matmul(&self.W_i) + &self.b_i).named("z_i").sigmoid().named("i");
        let g = (hx.matmul(&self.W_C) + &self.b_C).named("z_C").tanh().named("C̃");
        let C = (f * C + i * g).named("C");
        let o = (hx.matmul(&self.W_o) + &self.b_o).named("z_o").sigmoid().named("o");
        let h = o * C.tanh();
        (h, (h, C))
    }
}

const LSTM: &str = "\
forward, step t
  z_f = [hₜ₋₁, xₜ]·W_f + b_f
  f = σ(z_f)
  z_i = [hₜ₋₁, xₜ]·W_i + b_i
  i = σ(z_i)
  z_C = [hₜ₋₁, xₜ]·W_C + b_C
  C̃ = tanh(z_C)
  Cₜ = f ∘ Cₜ₋₁ + i ∘ C̃
  z_o = [hₜ₋₁, xₜ]·W_o + b_o
  o = σ(z_o)
  hₜ = o ∘ tanh(Cₜ)
backward, step t
  ∂L/∂hₜ = Δhₜ + ∂L/∂yₜ
  ∂L/∂Cₜ = ΔCₜ + ∂L/∂hₜ ∘ o ∘ (1 − tanh(Cₜ)²)
  ∂L/∂z_o = ∂L/∂hₜ ∘ tanh(Cₜ) ∘ o ∘ (1 − o)
  ∂L/∂z_C = ∂L/∂Cₜ ∘ i ∘ (1 − C̃²)
  ∂L/∂z_i = ∂L/∂Cₜ ∘ C̃ ∘ i ∘ (1 − i)
  ∂L/∂z_f = ∂L/∂Cₜ ∘ Cₜ₋₁ ∘ f ∘ (1 − f)
  ∂L/∂[hₜ₋₁, xₜ] = ∂L/∂z_o·W_oᵀ + ∂L/∂z_C·W_Cᵀ + ∂L/∂z_i·W_iᵀ + ∂L/∂z_f·W_fᵀ
  ∂L/∂hₜ₋₁ = (∂L/∂[hₜ₋₁, xₜ])[.., 0..3]
  ∂L/∂Cₜ₋₁ = ∂L/∂Cₜ ∘ f
  ∂L/∂xₜ = (∂L/∂[hₜ₋₁, xₜ])[.., 3..5]
gradients, over all steps
  ∂L/∂W_f = Σₜ [hₜ₋₁, xₜ]ᵀ·∂L/∂z_f
  ∂L/∂b_f = Σₜ Σ_rows ∂L/∂z_f
  ∂L/∂W_i = Σₜ [hₜ₋₁, xₜ]ᵀ·∂L/∂z_i
  ∂L/∂b_i = Σₜ Σ_rows ∂L/∂z_i
  ∂L/∂W_C = Σₜ [hₜ₋₁, xₜ]ᵀ·∂L/∂z_C
  ∂L/∂b_C = Σₜ Σ_rows ∂L/∂z_C
  ∂L/∂W_o = Σₜ [hₜ₋₁, xₜ]ᵀ·∂L/∂z_o
  ∂L/∂b_o = Σₜ Σ_rows ∂L/∂z_o
where
  yₜ = hₜ: the output of the step; ∂L/∂yₜ comes from what reads it
  Δhₜ: what step t+1 hands back, its ∂L/∂hₜ₋₁; at the last step, what reads the final state
  ΔCₜ: what step t+1 hands back, its ∂L/∂Cₜ₋₁; at the last step, what reads the final state
";

#[test]
fn the_lstm_with_a_matrix_for_each_gate() {
    let rng = &mut StdRng::seed_from_u64(0);
    let text = explain(&Lstm::new(2, 3, rng), 2).unwrap().to_string();
    assert_eq!(text, LSTM, "{text}");
}

#[test]
fn the_lstm_of_the_library() {
    let explanation = explain(&LstmCell::new(2, 3, &mut StdRng::seed_from_u64(0)), 2).unwrap();
    let text = explanation.to_string();
    let expected = "\
forward, step t
  z = xₜ·w + hₜ₋₁·u + b
  i = σ(z₁)
  f = σ(z₂)
  o = σ(z₄)
  cₜ = f ∘ cₜ₋₁ + i ∘ tanh(z₃)
  hₜ = o ∘ tanh(cₜ)
backward, step t
  ∂L/∂hₜ = Δhₜ + ∂L/∂yₜ
  ∂L/∂cₜ = Δcₜ + ∂L/∂hₜ ∘ o ∘ (1 − tanh(cₜ)²)
  ∂L/∂z₃ = ∂L/∂cₜ ∘ i ∘ (1 − tanh(z₃)²)
  ∂L/∂z₄ = ∂L/∂hₜ ∘ tanh(cₜ) ∘ o ∘ (1 − o)
  ∂L/∂z₂ = ∂L/∂cₜ ∘ cₜ₋₁ ∘ f ∘ (1 − f)
  ∂L/∂z₁ = ∂L/∂cₜ ∘ tanh(z₃) ∘ i ∘ (1 − i)
  ∂L/∂z = [∂L/∂z₁, ∂L/∂z₂, ∂L/∂z₃, ∂L/∂z₄]
  ∂L/∂hₜ₋₁ = ∂L/∂z·uᵀ
  ∂L/∂cₜ₋₁ = ∂L/∂cₜ ∘ f
  ∂L/∂xₜ = ∂L/∂z·wᵀ
gradients, over all steps
  ∂L/∂w = Σₜ xₜᵀ·∂L/∂z
  ∂L/∂u = Σₜ hₜ₋₁ᵀ·∂L/∂z
  ∂L/∂b = Σₜ Σ_rows ∂L/∂z
where
  z₁ … z₄: the 4 equal parts of z
";
    assert!(text.starts_with(expected), "{text}");
    // Each line knows the line of source it comes from.
    let with_lines = format!("{explanation:#}");
    let line = with_lines.lines().find(|line| line.contains("cₜ = ")).unwrap();
    assert!(line.contains("src/cells/lstm.rs:"), "{line}");
}

/// A GRU whose reset gate acts after the product, with an output of its own and a named state.
#[derive(Module)]
struct Gru {
    w: Param,
    u: Param,
    b: Param,
    v: Param,
    hidden: usize,
}

#[derive(Clone, Tree)]
struct Memory<'t> {
    s: Var<'t>,
}

impl Cell for Gru {
    type State<'t> = Memory<'t>;
    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Memory<'t> {
        Memory { s: cx.zeros([batch, self.hidden]) }
    }
    fn step<'t>(&self, x: Var<'t>, Memory { s }: Memory<'t>) -> (Var<'t>, Memory<'t>) {
        let [xr, xz, xn] = (x.matmul(&self.w) + &self.b).chunk();
        let [hr, hz, hn] = s.matmul(&self.u).chunk();
        let r = (xr + hr).sigmoid().named("r");
        let z = (xz + hz).sigmoid().named("z");
        let n = (xn + r * hn).tanh().named("n");
        let s = (1.0 - z) * n + z * s;
        ((s.square() / (s.abs() + 2.0)).matmul(&self.v).softplus(), Memory { s })
    }
}

/// Elementwise odds and ends: quotients, differences, nested signs, constants, a weight used twice and a peephole.
#[derive(Module)]
struct Odd {
    w: Param,
    p: Param,
}

impl Cell for Odd {
    type State<'t> = (Var<'t>, Var<'t>);
    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        (cx.zeros([batch, 2]), cx.zeros([batch, 2]))
    }
    fn step<'t>(&self, x: Var<'t>, (a, b): Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        let u = (x.matmul(&self.w) - (a - b)) / (1.5 + a.matmul(&self.w).square());
        let v = -(u * (b - &self.p)) - -a * 0.5;
        let b = (v.exp() - u).sin() - (v - u * u);
        (u.tanh() - -b, (v, b))
    }
}

/// Compares every gradient and every result with what its equation gives, for a loop of one step.
fn check<C: Cell>(cell: &C, input: usize, rng: &mut StdRng) {
    cell.set_dtype(DType::F64).unwrap();
    let explanation = explain(cell, input).unwrap();
    let text = explanation.to_string();
    let mut random = |shape: &[usize]| init::uniform(shape, 0.9, rng).cast(DType::F64);
    let tape = Tape::new();
    let cx = Cx::train(&tape).with_dtype(DType::F64);
    let shape = |v: Var<'_>| v.shape().unwrap().to_vec();
    let start =
        cell.init(&cx, 2).map_vars(&mut wengert_autograd::Path::root(), &mut |_, v| tape.var(random(&shape(v))));
    let x = tape.var(random(&[1, 2, input]));
    let (state, y) = tape.scan(start.with_leaves(&start.leaves()), x, |s, x| {
        let (y, s) = cell.step(x, s);
        (s, y)
    });
    let seeds: Vec<Tensor> = state.leaves().iter().map(|v| random(&shape(*v))).collect();
    let from_loss = random(&shape(y));
    let mut loss = (y * &from_loss).sum();
    for (leaf, seed) in state.leaves().into_iter().zip(&seeds) {
        loss = loss + (leaf * seed).sum();
    }
    let gradients = loss.backward().unwrap();

    // What the equations are given.
    let mut given: HashMap<String, Matrix> = HashMap::new();
    let matrix = |t: &Tensor| Matrix::of(t.shape().last().copied().unwrap_or(1), t.to_f64_vec());
    given.insert("xₜ".into(), matrix(&x.value().unwrap()));
    for (name, param) in cell.params() {
        given.insert(name, matrix(&param.value()));
    }
    let output = explanation.notes.iter().find_map(|note| note.split_once(": ").map(|(name, _)| name));
    assert!(output.is_some());
    given.insert("∂L/∂yₜ".into(), matrix(&from_loss));
    let carries: Vec<String> = explanation
        .notes
        .iter()
        .filter_map(|note| note.strip_prefix('Δ')?.split_once("ₜ: ").map(|(base, _)| base.to_string()))
        .collect();
    assert_eq!(carries.len(), seeds.len(), "{text}");
    for ((base, seed), leaf) in carries.iter().zip(&seeds).zip(start.leaves()) {
        given.insert(format!("Δ{base}ₜ"), matrix(seed));
        given.insert(format!("{base}ₜ₋₁"), matrix(&leaf.value().unwrap()));
    }
    let known = evaluate(&explanation, given);

    let mut compared = 0;
    let mut compare = |name: String, expected: &Tensor| {
        let found = known.get(&name).unwrap_or_else(|| panic!("{name} is not in\n{text}"));
        let expected = matrix(expected);
        assert!(found.distance(&expected) < 1e-12, "{name}: {found:?} and {expected:?} in\n{text}");
        compared += 1;
    };
    for (name, param) in cell.params() {
        compare(format!("∂L/∂{name}"), gradients.get(&param).unwrap());
    }
    for (base, leaf) in carries.iter().zip(start.leaves()) {
        compare(format!("∂L/∂{base}ₜ₋₁"), gradients.wrt(leaf).unwrap());
    }
    compare("∂L/∂xₜ".into(), gradients.wrt(x).unwrap());
    // And every value with that of the forward pass.
    for (base, leaf) in carries.iter().zip(state.leaves()) {
        compare(format!("{base}ₜ"), &leaf.value().unwrap());
    }
    if known.contains_key("yₜ") {
        compare("yₜ".into(), &y.value().unwrap());
    }
    assert!(compared > cell.params().len() + 2 * carries.len());
}

#[test]
fn every_equation_gives_the_gradient() {
    let rng = &mut StdRng::seed_from_u64(5);
    check(&Lstm::new(2, 3, rng), 2, rng);
    check(&LstmCell::new(2, 3, rng), 2, rng);
    let gru =
        Gru { w: draw(&[2, 9], rng), u: draw(&[3, 9], rng), b: draw(&[9], rng), v: draw(&[3, 4], rng), hidden: 3 };
    check(&gru, 2, rng);
    check(&Odd { w: draw(&[2, 2], rng), p: draw(&[2], rng) }, 2, rng);
}

/// Reads tokens; its state is one value.
#[derive(Module)]
struct Tokens {
    embedding: Param,
    u: Param,
}

impl Cell for Tokens {
    type State<'t> = Var<'t>;
    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Var<'t> {
        cx.zeros([batch, 3])
    }
    fn step<'t>(&self, x: Var<'t>, h: Var<'t>) -> (Var<'t>, Var<'t>) {
        let e = x.tape().param(&self.embedding).gather(0, x.unsqueeze(1).expand([2, 3])).named("e");
        let h = (e + h.matmul(&self.u)).tanh();
        (h, h)
    }
}

#[test]
fn a_cell_that_reads_tokens() {
    let rng = &mut StdRng::seed_from_u64(0);
    let cell = Tokens { embedding: draw(&[7, 3], rng), u: draw(&[3, 3], rng) };
    let text = explain(&cell, 7).unwrap().to_string();
    assert!(text.contains("  e = embedding[xₜ]\n"), "{text}");
    assert!(text.contains("  ∂L/∂u = Σₜ hₜ₋₁ᵀ·"), "{text}");
    assert!(text.contains("  ∂L/∂embedding = Σₜ scatter_add("), "{text}");
}

#[test]
fn a_wrong_cell_is_an_error_with_its_line() {
    let rng = &mut StdRng::seed_from_u64(0);
    let error = explain(&Odd { w: draw(&[3, 2], rng), p: draw(&[2], rng) }, 2).unwrap_err();
    assert_eq!(error.op(), "matmul");
    assert!(error.to_string().contains("explain.rs"), "{error}");
}
