//! Loops over time in plain Rust: what their derivatives have in common with those of a scan.

use wengert_autograd::{DType, Param, Tape, Tensor, Var};

const STEPS: usize = 6;
const BATCH: usize = 3;
const INPUT: usize = 2;
const HIDDEN: usize = 5;

fn numbers(shape: &[usize], seed: f64) -> Tensor {
    let count: usize = shape.iter().product();
    let data: Vec<f64> = (0..count).map(|i| 0.7 * (seed + 1.3 * i as f64).sin()).collect();
    Tensor::from_slice(&data, shape).unwrap()
}

struct Cell {
    w: Param,
    u: Param,
    b: Param,
}

impl Cell {
    fn new() -> Cell {
        let param = |shape: &[usize], seed| Param::new(numbers(shape, seed));
        Cell { w: param(&[INPUT, HIDDEN], 0.1), u: param(&[HIDDEN, HIDDEN], 0.2), b: param(&[HIDDEN], 0.3) }
    }

    fn step<'t>(&self, x: Var<'t>, h: Var<'t>) -> Var<'t> {
        (x.matmul(&self.w) + h.matmul(&self.u) + &self.b).tanh()
    }

    /// The sum of squares of all states of a loop in plain Rust.
    fn unrolled<'t>(&self, tape: &'t Tape) -> Var<'t> {
        let x = tape.constant(numbers(&[STEPS, BATCH, INPUT], 0.4));
        let mut h = tape.zeros([BATCH, HIDDEN], DType::F64);
        let mut loss = tape.zeros([], DType::F64);
        for t in 0..STEPS {
            h = self.step(x.get(0, t), h);
            loss = loss + (h * h).sum();
        }
        loss
    }

    fn gradients<'t>(&self, loss: Var<'t>) -> [Var<'t>; 3] {
        let tape = loss.tape();
        loss.grad([tape.param(&self.w), tape.param(&self.u), tape.param(&self.b)])
    }
}

fn close(a: &Tensor, b: &Tensor) {
    let (a, b) = (a.to_vec::<f64>().unwrap(), b.to_vec::<f64>().unwrap());
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(&b) {
        assert!((a - b).abs() <= 1e-12 * (1.0 + b.abs()), "{a} and {b}");
    }
}

/// Each use has a parameter of its own, and the gradients are added outside.
#[test]
fn a_gradient_is_the_sum_over_the_uses() {
    let cell = Cell::new();
    let tape = Tape::new();
    let together = tape.eval(cell.gradients(cell.unrolled(&tape))).unwrap();

    let tape = Tape::new();
    let x = tape.constant(numbers(&[STEPS, BATCH, INPUT], 0.4));
    let mut h = tape.zeros([BATCH, HIDDEN], DType::F64);
    let mut loss = tape.zeros([], DType::F64);
    let mut uses = Vec::new();
    for t in 0..STEPS {
        let own = [&cell.w, &cell.u, &cell.b].map(|param| tape.var(param.value()));
        h = (x.get(0, t).matmul(own[0]) + h.matmul(own[1]) + own[2]).tanh();
        loss = loss + (h * h).sum();
        uses.push(own);
    }
    let mut sums = [0.0; 3].map(|_| None);
    for own in uses {
        for (sum, gradient) in sums.iter_mut().zip(loss.grad(own)) {
            *sum = Some(sum.map_or(gradient, |sum: Var<'_>| sum + gradient));
        }
    }
    let apart = tape.eval(sums.map(Option::unwrap)).unwrap();
    together.iter().zip(&apart).for_each(|(a, b)| close(a, b));
}

#[test]
fn gradients_of_weights_are_one_product_each() {
    let cell = Cell::new();
    let tape = Tape::new();
    let loss = cell.unrolled(&tape);
    let [dw, du, db] = cell.gradients(loss);
    let program = tape.program(&[dw, du, db]).unwrap();
    let kinds = |kind: &str| program.instructions.iter().filter(|i| i.kind == kind).map(|i| i.calls).sum::<u64>();
    // The forward pass has two a step (the first state is zeros, but that is data), the cotangents of the states one.
    assert_eq!(kinds("matmul"), (2 * STEPS + (STEPS - 1) + 2) as u64, "{program}");
    assert_eq!(kinds("reduce"), 1, "{program}");
}

/// Derivatives of joined products are joined products again.
#[test]
fn second_derivatives_agree_with_finite_differences() {
    let cell = Cell::new();
    let direction = numbers(&[HIDDEN, HIDDEN], 0.9);
    let slope = |shift: f64| {
        let tape = Tape::new();
        let moved = tape.param(&cell.u) + tape.constant(&direction) * shift;
        let loss = tape.bind(&cell.u, moved, || cell.unrolled(&tape));
        let [dw, du, _] = tape.bind(&cell.u, moved, || cell.gradients(loss));
        let product = (du * tape.constant(&direction)).sum();
        let [dw2] = product.grad([tape.param(&cell.w)]);
        (tape.eval([dw, dw2]).unwrap(), shift)
    };
    let step = 1e-5;
    let ([up, _], _) = slope(step);
    let ([down, _], _) = slope(-step);
    let ([_, second], _) = slope(0.0);
    let (up, down, second) =
        (up.to_vec::<f64>().unwrap(), down.to_vec::<f64>().unwrap(), second.to_vec::<f64>().unwrap());
    for ((up, down), second) in up.iter().zip(&down).zip(&second) {
        let numeric = (up - down) / (2.0 * step);
        assert!((numeric - second).abs() < 1e-7 * (1.0 + second.abs()), "{numeric} and {second}");
    }
}
