//! Derivatives of a two-layer LSTM against finite differences in double precision: first and second order,
//! with respect to the input, every initial state and every parameter.

mod support;

use support::{close, data};
use wengert::autograd::check::{gradcheck, gradcheck_params, gradgradcheck};
use wengert::prelude::*;

const T: usize = 3;
const B: usize = 2;
const I: usize = 2;
const H: usize = 2;
const LAYERS: usize = 2;

/// Everything the loss depends on, as one list of names and tensors.
fn point() -> Vec<(String, Tensor)> {
    let mut all = vec![("x".to_string(), data(&[T, B, I], 1))];
    for layer in 0..LAYERS {
        let input = if layer == 0 { I } else { H };
        let shapes: [(&str, &[usize]); 5] =
            [("h0", &[B, H]), ("c0", &[B, H]), ("w", &[input, 4 * H]), ("u", &[H, 4 * H]), ("b", &[4 * H])];
        for (i, (name, shape)) in shapes.iter().enumerate() {
            all.push((format!("{name} of layer {layer}"), data(shape, (10 * layer + i + 2) as u64)));
        }
    }
    all
}

/// A net of parameters to be bound.
fn net() -> Result<Rnn<LstmCell>> {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F64);
    let cell = |input| LstmCell::from_tensors(zeros(&[input, 4 * H]), zeros(&[H, 4 * H]), zeros(&[4 * H]));
    Ok(Rnn::from(vec![cell(I)?, cell(H)?]))
}

/// The loss at the variables: every output and last state takes part, non-linearly.
fn loss<'t>(net: &Rnn<LstmCell>, vars: &[Var<'t>]) -> Var<'t> {
    let tape = vars[0].tape();
    let states = (0..LAYERS).map(|l| (vars[1 + 5 * l], vars[2 + 5 * l])).collect();
    let bound: Vec<(&Param, Var<'t>)> = (0..LAYERS)
        .flat_map(|l| {
            let cell = &net.layers[l];
            [&cell.w, &cell.u, &cell.b].into_iter().zip([vars[3 + 5 * l], vars[4 + 5 * l], vars[5 + 5 * l]])
        })
        .collect();
    let (y, last) = bind_all(tape, &bound, || net.forward_from(&Cx::train(tape), vars[0], states));
    let ends = last.iter().map(|(h, c)| (h.exp() * 0.3).sum() + (c.square() * 0.7).sum());
    ends.fold((y * tape.constant(data(&[T, B, H], 90)) + y.square()).sum(), |sum, end| sum + end)
}

fn bind_all<'t, R>(tape: &'t Tape, bound: &[(&Param, Var<'t>)], f: impl FnOnce() -> R) -> R {
    match bound.split_first() {
        None => f(),
        Some(((param, var), rest)) => tape.bind(param, *var, || bind_all(tape, rest, f)),
    }
}

/// The gradients of the loss, or those of `Σ_i <gradient_i, direction_i>`.
fn gradients(tensors: &[Tensor], order: usize) -> Result<Vec<Tensor>> {
    let net = net()?;
    let tape = Tape::new();
    let vars: Vec<Var<'_>> = tensors.iter().map(|t| tape.var(t)).collect();
    let mut scalar = loss(&net, &vars);
    for _ in 1..order {
        scalar = along(scalar, &vars);
    }
    let gradients = scalar.backward()?;
    Ok(vars.iter().map(|v| gradients.wrt(*v).expect("the loss depends on it").clone()).collect())
}

/// The derivative of `scalar` along a fixed direction.
fn along<'t>(scalar: Var<'t>, vars: &[Var<'t>]) -> Var<'t> {
    let tape = scalar.tape();
    let parts = vars.iter().enumerate().map(|(i, v)| {
        let [gradient] = scalar.grad([*v]);
        let shape = v.shape().expect("recorded without error");
        (gradient * tape.constant(data(&shape, 50 + i as u64))).sum()
    });
    parts.reduce(|a, b| a + b).expect("there are variables")
}

/// The scalar whose gradient [`gradients`] gives.
fn value(tensors: &[Tensor], order: usize) -> Result<f64> {
    let net = net()?;
    let tape = Tape::new();
    let vars: Vec<Var<'_>> = tensors.iter().map(|t| tape.var(t)).collect();
    let mut scalar = loss(&net, &vars);
    for _ in 1..order {
        scalar = along(scalar, &vars);
    }
    scalar.item()
}

/// Central differences of the fourth order: (f(x-2h) - 8 f(x-h) + 8 f(x+h) - f(x+2h)) / 12h.
fn differences(tensors: &[Tensor], which: usize, order: usize) -> Result<Tensor> {
    const STEP: f64 = 1e-3;
    let base = tensors[which].to_f64_vec();
    let mut slopes = Vec::new();
    for element in 0..base.len() {
        let mut slope = 0.0;
        for (offset, weight) in [(-2.0, 1.0), (-1.0, -8.0), (1.0, 8.0), (2.0, -1.0)] {
            let mut moved = base.clone();
            moved[element] += offset * STEP;
            let mut all = tensors.to_vec();
            all[which] = Tensor::from_vec(moved, tensors[which].shape())?;
            slope += weight * value(&all, order)?;
        }
        slopes.push(slope / (12.0 * STEP));
    }
    Tensor::from_vec(slopes, tensors[which].shape())
}

fn check(order: usize) -> Result<()> {
    let (names, tensors): (Vec<String>, Vec<Tensor>) = point().into_iter().unzip();
    let found = gradients(&tensors, order)?;
    for (which, name) in names.iter().enumerate() {
        let wanted = differences(&tensors, which, order)?;
        close(&found[which], &wanted, 1e-10, &format!("order {order}, {name}"));
    }
    Ok(())
}

#[test]
fn first_order() -> Result<()> {
    check(1)
}

#[test]
fn second_order() -> Result<()> {
    check(2)
}

#[test]
fn third_order_of_one_parameter() -> Result<()> {
    let (names, tensors): (Vec<String>, Vec<Tensor>) = point().into_iter().unzip();
    let which = names.iter().position(|name| name == "u of layer 0").expect("there is such a parameter");
    close(&gradients(&tensors, 3)?[which], &differences(&tensors, which, 3)?, 1e-9, "order 3");
    Ok(())
}

#[test]
fn the_check_of_the_library_agrees() -> Result<(), Box<dyn std::error::Error>> {
    let net = net()?;
    for (i, (_, param)) in net.params().into_iter().enumerate() {
        param.set(data(param.value().shape(), 30 + i as u64))?;
    }
    let x = data(&[T, B, I], 1);
    fn run<'t>(net: &Rnn<LstmCell>, x: Var<'t>) -> Var<'t> {
        let (y, last) = net.forward(&Cx::train(x.tape()), x);
        y.square().sum() + last[0].1.sum()
    }
    gradcheck_params(|tape| run(&net, tape.constant(&x)), &net, Default::default())?;
    gradcheck(|v| run(&net, v[0]), std::slice::from_ref(&x), Default::default())?;
    gradgradcheck(|v| run(&net, v[0]), &[x], Default::default())?;
    Ok(())
}
