//! The LSTM as tutorials write it, gate by gate on the concatenation [h, x], against `LstmCell`; and its
//! chain rule written out by hand.

mod support;

use support::{close, data};
use wengert::prelude::*;

const T: usize = 4;
const B: usize = 3;
const I: usize = 3;
const H: usize = 2;
/// `LstmCell`'s order of the gates.
const GATES: [&str; 4] = ["input", "forget", "candidate", "output"];

/// Gate by gate: `W` `[H + I, H]` acts on `[h, x]`.
struct Gates {
    w: [Param; 4],
    b: [Param; 4],
}

impl Gates {
    fn new() -> Gates {
        Gates {
            w: std::array::from_fn(|k| Param::new(data(&[H + I, H], 1 + k as u64))),
            b: std::array::from_fn(|k| Param::new(data(&[H], 11 + k as u64))),
        }
    }

    /// The tutorial's formulas.
    fn step<'t>(&self, x: Var<'t>, h: Var<'t>, c: Var<'t>) -> (Var<'t>, Var<'t>) {
        let hx = h.concat([x], -1);
        let [w_i, w_f, w_c, w_o] = &self.w;
        let [b_i, b_f, b_c, b_o] = &self.b;
        let f = (hx.matmul(w_f) + b_f).sigmoid();
        let i = (hx.matmul(w_i) + b_i).sigmoid();
        let candidate = (hx.matmul(w_c) + b_c).tanh();
        let c = f * c + i * candidate;
        let o = (hx.matmul(w_o) + b_o).sigmoid();
        (o * c.tanh(), c)
    }

    /// The same weights as one cell: the rows of `h` go to `u`, those of `x` to `w`, the gates side by side.
    fn fused(&self) -> Result<LstmCell> {
        let tape = Tape::inference();
        let beside = |start, len| {
            let parts = self.w.each_ref().map(|w| tape.param(w).narrow(0, start, len));
            tape.concat(&parts, 1)
        };
        let biases = self.b.each_ref().map(|b| tape.param(b));
        let [w, u, b] = tape.eval([beside(H, I), beside(0, H), tape.concat(&biases, 0)])?;
        LstmCell::from_tensors(w, u, b)
    }
}

struct Inputs<'t> {
    x: Var<'t>,
    h: Var<'t>,
    c: Var<'t>,
}

fn inputs(tape: &Tape) -> Inputs<'_> {
    Inputs { x: tape.var(data(&[T, B, I], 21)), h: tape.var(data(&[B, H], 22)), c: tape.var(data(&[B, H], 23)) }
}

/// A scalar that every output and state takes part in.
fn objective<'t>(y: Var<'t>, h: Var<'t>, c: Var<'t>) -> Var<'t> {
    let tape = y.tape();
    let weigh = |v: Var<'t>, seed| {
        let shape = v.shape().expect("recorded without error");
        (v * tape.constant(data(&shape, seed))).sum()
    };
    weigh(y, 31) + weigh(h, 32) + weigh(c.square(), 33)
}

#[test]
fn the_tutorials_gates_equal_the_cell() -> Result<()> {
    let gates = Gates::new();
    let slow = Tape::new();
    let Inputs { x, h, c } = inputs(&slow);
    let (mut last_h, mut last_c) = (h, c);
    let mut outputs = Vec::new();
    for t in 0..T {
        (last_h, last_c) = gates.step(x.get(0, t), last_h, last_c);
        outputs.push(last_h);
    }
    let y = slow.stack(&outputs, 0);
    let wanted = objective(y, last_h, last_c).backward()?;

    let net = Rnn::new(gates.fused()?);
    let tape = Tape::new();
    let fast = inputs(&tape);
    let (y2, state) = net.forward_from(&Cx::train(&tape), fast.x, vec![(fast.h, fast.c)]);
    let (h2, c2) = state[0];
    let found = objective(y2, h2, c2).backward()?;

    for (name, a, b) in [("y", y2, y), ("h", h2, last_h), ("c", c2, last_c)] {
        close(&a.value()?, &b.value()?, 1e-12, name);
    }
    close(found.loss(), wanted.loss(), 1e-12, "loss");
    for (name, a, b) in [("x", fast.x, x), ("h0", fast.h, h), ("c0", fast.c, c)] {
        close(found.wrt(a).unwrap(), wanted.wrt(b).unwrap(), 1e-12, name);
    }
    let cell = &net.layers[0];
    for (k, gate) in GATES.iter().enumerate() {
        let block = |param: &Param| {
            let gradient = found.get(param).expect("the loss depends on it");
            gradient.narrow(gradient.shape().rank() - 1, k * H, H)
        };
        let wanted_w = wanted.get(&gates.w[k]).unwrap();
        close(&block(&cell.u)?, &wanted_w.narrow(0, 0, H)?, 1e-12, &format!("{gate} gate, rows of h"));
        close(&block(&cell.w)?, &wanted_w.narrow(0, H, I)?, 1e-12, &format!("{gate} gate, rows of x"));
        close(&block(&cell.b)?, wanted.get(&gates.b[k]).unwrap(), 1e-12, &format!("{gate} gate, bias"));
    }
    Ok(())
}

/// `∂L/∂W_f` and `∂L/∂b_f` of `L = Σ_t Σ (h_t - target_t)²`, by the chain rule through time, in plain loops.
fn by_hand(gates: &Gates, target: &Tensor) -> (Vec<f64>, Vec<f64>) {
    let w: Vec<Vec<f64>> = gates.w.iter().map(|w| w.value().to_f64_vec()).collect();
    let b: Vec<Vec<f64>> = gates.b.iter().map(|b| b.value().to_f64_vec()).collect();
    let (x, target) = (data(&[T, B, I], 21).to_f64_vec(), target.to_f64_vec());
    let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
    let (mut dw, mut db) = (vec![0.0; (H + I) * H], vec![0.0; H]);
    for n in 0..B {
        // Forward, remembering everything.
        let mut h = data(&[B, H], 22).to_f64_vec()[n * H..][..H].to_vec();
        let mut c = data(&[B, H], 23).to_f64_vec()[n * H..][..H].to_vec();
        let mut tape = Vec::new();
        for t in 0..T {
            let hx: Vec<f64> = h.iter().chain(&x[(t * B + n) * I..][..I]).copied().collect();
            let gate = |k: usize, j: usize| {
                let z: f64 = (0..H + I).map(|r| hx[r] * w[k][r * H + j]).sum::<f64>() + b[k][j];
                if k == 2 { z.tanh() } else { sigmoid(z) }
            };
            let gates: Vec<[f64; 4]> = (0..H).map(|j| std::array::from_fn(|k| gate(k, j))).collect();
            let before = c.clone();
            for j in 0..H {
                let [i, f, g, o] = gates[j];
                c[j] = f * c[j] + i * g;
                h[j] = o * c[j].tanh();
            }
            tape.push((hx, gates, before, c.clone(), h.clone()));
        }
        // Backward. `dh` and `dc` hold what later steps say about h_t and c_t.
        let (mut dh, mut dc) = (vec![0.0; H], vec![0.0; H]);
        for t in (0..T).rev() {
            let (hx, gates, before, c, h) = &tape[t];
            let mut dz = [[0.0; 4]; H];
            for j in 0..H {
                let [i, f, g, o] = gates[j];
                dh[j] += 2.0 * (h[j] - target[(t * B + n) * H + j]);
                dc[j] += dh[j] * o * (1.0 - c[j].tanh().powi(2));
                dz[j] = [
                    dc[j] * g * i * (1.0 - i),
                    dc[j] * before[j] * f * (1.0 - f),
                    dc[j] * i * (1.0 - g * g),
                    dh[j] * c[j].tanh() * o * (1.0 - o),
                ];
                dc[j] *= f;
                db[j] += dz[j][1];
                for r in 0..H + I {
                    dw[r * H + j] += hx[r] * dz[j][1];
                }
            }
            for r in 0..H {
                dh[r] = (0..H).map(|j| (0..4).map(|k| dz[j][k] * w[k][r * H + j]).sum::<f64>()).sum();
            }
        }
    }
    (dw, db)
}

#[test]
fn the_forget_gates_gradient_equals_the_chain_rule_by_hand() -> Result<()> {
    let gates = Gates::new();
    let target = data(&[T, B, H], 41);
    let (dw, db) = by_hand(&gates, &target);
    let (dw, db) = (Tensor::from_vec(dw, [H + I, H])?, Tensor::from_vec(db, [H])?);

    // Gate by gate, in a Rust loop over time.
    let tape = Tape::new();
    let Inputs { x, mut h, mut c } = inputs(&tape);
    let mut total = tape.constant(0.0f64);
    for t in 0..T {
        (h, c) = gates.step(x.get(0, t), h, c);
        total = total + (h - tape.constant(&target).get(0, t)).square().sum();
    }
    let [by_loop, bias] = tape.eval(total.grad([&gates.w[1], &gates.b[1]]))?;
    close(&by_loop, &dw, 1e-12, "W_f by the loop");
    close(&bias, &db, 1e-12, "b_f by the loop");

    // The cell, in one scan.
    let cell = gates.fused()?;
    let tape = Tape::new();
    let Inputs { x, h, c } = inputs(&tape);
    let net = Rnn::new(cell);
    let (y, _) = net.forward_from(&Cx::train(&tape), x, vec![(h, c)]);
    let gradients = (y - &target).square().sum().backward()?;
    let cell = &net.layers[0];
    close(&gradients.get(&cell.u).unwrap().narrow(1, H, H)?, &dw.narrow(0, 0, H)?, 1e-12, "W_f by scan, rows of h");
    close(&gradients.get(&cell.w).unwrap().narrow(1, H, H)?, &dw.narrow(0, H, I)?, 1e-12, "W_f by scan, rows of x");
    close(&gradients.get(&cell.b).unwrap().narrow(0, H, H)?, &db, 1e-12, "b_f by scan");
    Ok(())
}
