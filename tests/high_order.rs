//! Derivatives of the second and third order through a two-layer LSTM over 50 steps, each against finite differences of
//! the order below; forward mode through the loop against reverse mode.

mod support;

use support::{close, data};
use wengert::prelude::*;

const T: usize = 50;
const B: usize = 2;
const I: usize = 2;
const H: usize = 3;

/// The parameters as tensors: input, recurrent and bias weights of both layers, and the input.
fn point() -> Vec<Tensor> {
    let shapes: [&[usize]; 7] = [&[I, 4 * H], &[H, 4 * H], &[4 * H], &[H, 4 * H], &[H, 4 * H], &[4 * H], &[T, B, I]];
    shapes.iter().enumerate().map(|(i, shape)| scaled(&data(shape, 10 + i as u64), 0.8)).collect()
}

fn scaled(tensor: &Tensor, by: f64) -> Tensor {
    let values = tensor.to_f64_vec().iter().map(|x| x * by).collect();
    Tensor::from_vec::<f64>(values, tensor.shape()).expect("the same shape")
}

fn directions(seed: u64) -> Vec<Tensor> {
    point().iter().enumerate().map(|(i, x)| data(x.shape(), seed + i as u64)).collect()
}

/// Zero weights, to be bound.
fn net() -> Result<Rnn<LstmCell>> {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F64);
    let cell = |input| LstmCell::from_tensors(zeros(&[input, 4 * H]), zeros(&[H, 4 * H]), zeros(&[4 * H]));
    Ok(Rnn::from(vec![cell(I)?, cell(H)?]))
}

/// Outputs and last states.
fn outputs<'t>(net: &Rnn<LstmCell>, vars: &[Var<'t>]) -> (Var<'t>, Vec<(Var<'t>, Var<'t>)>) {
    fn bind<'t, R>(tape: &'t Tape, params: &[&Param], vars: &[Var<'t>], f: &dyn Fn() -> R) -> R {
        match (params, vars) {
            ([param, params @ ..], [var, vars @ ..]) => tape.bind(param, *var, || bind(tape, params, vars, f)),
            _ => f(),
        }
    }
    let tape = vars[0].tape();
    let params: Vec<&Param> = net.layers.iter().flat_map(|cell| [&cell.w, &cell.u, &cell.b]).collect();
    bind(tape, &params, &vars[..6], &|| net.forward(&Cx::train(tape), vars[6]))
}

/// A loss to which every step and the last states contribute.
fn loss<'t>(net: &Rnn<LstmCell>, vars: &[Var<'t>]) -> Var<'t> {
    let (y, last) = outputs(net, vars);
    let wanted = vars[0].tape().constant(data(&[T, B, H], 90));
    (y * wanted).mean() + y.square().mean() + last.iter().fold(y.mean(), |sum, (h, c)| sum + (*h * *c).sum())
}

/// The loss and its variables at `point + step · direction`.
fn at<'t>(tape: &'t Tape, net: &Rnn<LstmCell>, step: f64, direction: &[Tensor]) -> (Vec<Var<'t>>, Var<'t>) {
    let moved = |(x, v): (&Tensor, &Tensor)| {
        let values = x.to_f64_vec().iter().zip(v.to_f64_vec()).map(|(x, v)| x + step * v).collect();
        tape.var(Tensor::from_vec::<f64>(values, x.shape()).expect("the same shape"))
    };
    let vars: Vec<Var<'t>> = point().iter().zip(direction).map(moved).collect();
    let loss = loss(net, &vars);
    (vars, loss)
}

fn gradients<'t>(of: Var<'t>, vars: &[Var<'t>]) -> Vec<Var<'t>> {
    vars.iter().map(|v| of.grad([*v])[0]).collect()
}

/// The derivative of a scalar along a direction: by reverse mode, or by forward mode.
fn along<'t>(of: Var<'t>, vars: &[Var<'t>], direction: &[Tensor], forward: bool) -> Var<'t> {
    let tape = of.tape();
    let parts = vars.iter().zip(direction).map(|(x, v)| {
        let v = tape.constant(v);
        if forward { of.jvp([(*x, v)]) } else { (of.grad([*x])[0] * v).sum() }
    });
    parts.reduce(|a, b| a + b).expect("there are variables")
}

/// What `f` gives at shifted points, by central differences of the fourth order: the error is of the order of `STEP`⁴.
fn differences(direction: &[Tensor], f: impl for<'t> Fn(&[Var<'t>], Var<'t>) -> Vec<Var<'t>>) -> Result<Vec<Tensor>> {
    const STEP: f64 = 2e-3;
    let net = net()?;
    let mut sums: Vec<(Vec<f64>, Vec<usize>)> = Vec::new();
    for (offset, weight) in [(-2.0, 1.0), (-1.0, -8.0), (1.0, 8.0), (2.0, -1.0)] {
        let tape = Tape::new();
        let (vars, loss) = at(&tape, &net, offset * STEP, direction);
        let values = tape.eval_all(&f(&vars, loss))?;
        sums.resize_with(values.len(), Default::default);
        for ((sum, shape), value) in sums.iter_mut().zip(&values) {
            *shape = value.shape().to_vec();
            sum.resize(value.numel(), 0.0);
            sum.iter_mut().zip(value.to_f64_vec()).for_each(|(s, x)| *s += weight * x / (12.0 * STEP));
        }
    }
    sums.into_iter().map(|(sum, shape)| Tensor::from_vec(sum, shape)).collect()
}

/// Rounding costs 1e-16 / STEP, the formula STEP⁴ times a fifth derivative.
const TOLERANCE: f64 = 2e-8;

#[test]
fn hessian_vector_products() -> Result<()> {
    let (net, direction) = (net()?, directions(30));
    let tape = Tape::new();
    let (vars, loss) = at(&tape, &net, 0.0, &direction);
    let first = gradients(loss, &vars);
    // Forward over reverse, reverse over reverse, reverse over forward.
    let forward: Vec<Var<'_>> = first.iter().map(|g| along_all(*g, &vars, &direction)).collect();
    let reverse = gradients(along(loss, &vars, &direction, false), &vars);
    let mixed = gradients(along(loss, &vars, &direction, true), &vars);
    let wanted = differences(&direction, |vars, loss| gradients(loss, vars))?;
    for (i, wanted) in wanted.iter().enumerate() {
        let [a, b, c] = tape.eval([forward[i], reverse[i], mixed[i]])?;
        close(&a, wanted, TOLERANCE, &format!("forward over reverse, input {i}"));
        close(&b, &a, 1e-12, &format!("reverse over reverse, input {i}"));
        close(&c, &a, 1e-12, &format!("reverse over forward, input {i}"));
    }
    Ok(())
}

/// The derivative along a direction in all variables, of a value of any shape.
fn along_all<'t>(of: Var<'t>, vars: &[Var<'t>], direction: &[Tensor]) -> Var<'t> {
    let parts = vars.iter().zip(direction).map(|(x, v)| of.jvp([(*x, of.tape().constant(v))]));
    parts.reduce(|a, b| a + b).expect("there are variables")
}

#[test]
fn the_full_hessian_of_the_recurrent_weights() -> Result<()> {
    const N: usize = H * 4 * H;
    let net = net()?;
    let tape = Tape::new();
    let (vars, loss) = at(&tape, &net, 0.0, &directions(0));
    let hessian = loss.hessian(vars[1]).reshape([N, N]).value()?;
    close(&hessian, &hessian.transpose(0, 1)?, 1e-12, "symmetry");
    for column in 0..N {
        let direction: Vec<Tensor> = point()
            .iter()
            .enumerate()
            .map(|(i, x)| {
                let one = |k: usize| (i == 1 && k == column) as u8 as f64;
                Tensor::from_vec((0..x.numel()).map(one).collect::<Vec<_>>(), x.shape()).expect("the same shape")
            })
            .collect();
        let wanted = differences(&direction, |vars, loss| vec![loss.grad([vars[1]])[0]])?.remove(0);
        let found = hessian.narrow(0, column, 1)?.contiguous().reshape(wanted.shape())?;
        close(&found, &wanted, TOLERANCE, &format!("row {column}"));
    }
    Ok(())
}

/// The gradient of the curvature along two directions, where each derivative is taken by either mode.
#[test]
fn third_derivatives() -> Result<()> {
    let (net, u, v) = (net()?, directions(30), directions(60));
    let tape = Tape::new();
    let (vars, loss) = at(&tape, &net, 0.0, &v);
    let wanted = differences(&v, |vars, loss| gradients(along(loss, vars, &u, false), vars))?;
    let reverse = gradients(along(along(loss, &vars, &u, false), &vars, &v, false), &vars);
    let mixed = gradients(along(along(loss, &vars, &u, true), &vars, &v, false), &vars);
    let forward = gradients(along(along(loss, &vars, &u, true), &vars, &v, true), &vars);
    for (i, wanted) in wanted.iter().enumerate() {
        let [a, b, c] = tape.eval([reverse[i], mixed[i], forward[i]])?;
        close(&a, wanted, 10.0 * TOLERANCE, &format!("reverse three times, input {i}"));
        close(&b, &a, 1e-11, &format!("reverse twice over forward, input {i}"));
        close(&c, &a, 1e-11, &format!("reverse over forward twice, input {i}"));
    }
    Ok(())
}

/// `u·(J v) = (Jᵀu)·v` for the outputs of all steps, by each input alone.
#[test]
fn forward_mode_through_the_loop_equals_reverse_mode() -> Result<()> {
    let net = net()?;
    let tape = Tape::new();
    let (vars, _) = at(&tape, &net, 0.0, &directions(0));
    let y = outputs(&net, &vars).0;
    let u = tape.constant(data(&[T, B, H], 91));
    for (i, (x, v)) in vars.iter().zip(directions(30)).enumerate() {
        let v = tape.constant(v);
        let forward = (y.jvp([(*x, v)]) * u).sum();
        let reverse = (y.vjp(u, [*x])[0] * v).sum();
        let [forward, reverse] = tape.eval([forward, reverse])?;
        close(&forward, &reverse, 1e-12, &format!("input {i}"));
    }
    Ok(())
}
