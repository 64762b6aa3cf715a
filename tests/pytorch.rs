//! Outputs, gradients, losses and updates against PyTorch's, from the files in `tests/fixtures`.

mod support;

use rand::{SeedableRng, rngs::StdRng};
use support::{Fixture, close};
use wengert::nn::loss::{CrossEntropy, Reduction};
use wengert::prelude::*;

/// Compares the gradients of all parameters with `grad.NAME` of the fixture.
fn compare_gradients(net: &Rnn<LstmCell>, fixture: &Fixture, gradients: &Gradients, tolerance: f64) -> Result<()> {
    for (l, cell) in net.layers.iter().enumerate() {
        let found = |param: &Param| gradients.get(param).expect("the loss depends on it").clone();
        let wanted = |name: &str| fixture.get(&format!("grad.{name}_l{l}"));
        close(&found(&cell.w), &wanted("weight_ih").transpose(0, 1)?, tolerance, &format!("w of layer {l}"));
        close(&found(&cell.u), &wanted("weight_hh").transpose(0, 1)?, tolerance, &format!("u of layer {l}"));
        close(&found(&cell.b), wanted("bias_ih"), tolerance, &format!("b of layer {l}"));
    }
    Ok(())
}

/// One state for each layer out of PyTorch's `[L, B, H]`.
fn states<'t>(h: Var<'t>, c: Var<'t>, layers: usize) -> Vec<(Var<'t>, Var<'t>)> {
    (0..layers).map(|l| (h.get(0, l), c.get(0, l))).collect()
}

fn lstm(case: &str, tolerance: f64) -> Result<()> {
    let fixture = Fixture::open(case);
    let net = fixture.net()?;
    let tape = Tape::new();
    let cx = Cx::train(&tape);
    let x = tape.var(fixture.get("x"));
    let start = fixture.has("h0").then(|| (tape.var(fixture.get("h0")), tape.var(fixture.get("c0"))));
    let (y, last) = match start {
        Some((h, c)) => net.forward_from(&cx, x, states(h, c, net.layers.len())),
        None => net.forward(&cx, x),
    };
    let h = tape.stack(&last.iter().map(|s| s.0).collect::<Vec<_>>(), 0);
    let c = tape.stack(&last.iter().map(|s| s.1).collect::<Vec<_>>(), 0);
    let weigh = |v: Var<'_>, name| (v * fixture.get(name)).sum().item();
    let loss = (y * fixture.get("ct_y")).sum() + (h * fixture.get("ct_h")).sum() + (c * fixture.get("ct_c")).sum();
    let gradients = loss.backward()?;
    for (name, value) in [("y", y), ("h_n", h), ("c_n", c)] {
        close(&value.value()?, fixture.get(name), tolerance, name);
    }
    close(gradients.loss(), fixture.get("loss"), tolerance, "loss");
    let parts = weigh(y, "ct_y")? + weigh(h, "ct_h")? + weigh(c, "ct_c")?;
    assert!((parts - fixture.number("loss")).abs() <= 10.0 * tolerance, "loss by parts: {parts}");
    compare_gradients(&net, &fixture, &gradients, tolerance)?;
    close(gradients.wrt(x).unwrap(), fixture.get("grad.x"), tolerance, "x");
    if let Some((h, c)) = start {
        close(gradients.wrt(h).unwrap(), fixture.get("grad.h0"), tolerance, "h0");
        close(gradients.wrt(c).unwrap(), fixture.get("grad.c0"), tolerance, "c0");
    }
    Ok(())
}

#[test]
fn lstm_in_double_precision() -> Result<()> {
    ["lstm_l1_f64", "lstm_l1_state_f64", "lstm_l2_f64", "lstm_l2_state_f64"]
        .iter()
        .try_for_each(|case| lstm(case, 1e-12))
}

#[test]
fn lstm_in_single_precision() -> Result<()> {
    ["lstm_l1_f32", "lstm_l1_state_f32", "lstm_l2_f32", "lstm_l2_state_f32"]
        .iter()
        .try_for_each(|case| lstm(case, 1e-5))
}

/// One layer from a given state against a case of `cells_f64`. Parameters are given under PyTorch's names; the biases have been set.
fn one_layer<C: Cell>(
    case: &str,
    cell: C,
    matrices: &[(&str, &Param)],
    biases: &[(&str, &Param)],
    state: impl for<'t> Fn(&[Var<'t>]) -> C::State<'t>,
) -> Result<()> {
    let fixture = Fixture::open("cells_f64");
    let get = |name: &str| fixture.get(&format!("{case}.{name}"));
    for (name, param) in matrices {
        param.set(get(name).transpose(0, 1)?)?;
    }
    let net = Rnn::new(cell);
    let tape = Tape::new();
    let x = tape.var(get("x"));
    let names: &[&str] = if fixture.has(&format!("{case}.c0")) { &["h0", "c0"] } else { &["h0"] };
    let start: Vec<Var<'_>> = names.iter().map(|name| tape.var(get(name))).collect();
    let layer: Vec<Var<'_>> = start.iter().map(|v| v.get(0, 0)).collect();
    let (y, last) = net.forward_from(&Cx::train(&tape), x, vec![state(&layer)]);
    let mut results = vec![("y", y)];
    results.extend(["h_n", "c_n"].into_iter().zip(last[0].leaves().into_iter().map(|v| v.unsqueeze(0))));
    let loss = results.iter().map(|(name, v)| (*v * get(&format!("ct_{name}"))).sum()).reduce(|a, b| a + b);
    let gradients = loss.expect("there are results").backward()?;
    for (name, value) in results {
        close(&value.value()?, get(name), 1e-12, &format!("{case}, {name}"));
    }
    let wanted = |name: &str| get(&format!("grad.{name}"));
    close(gradients.wrt(x).expect("the loss depends on it"), wanted("x"), 1e-12, &format!("{case}, x"));
    for (name, v) in names.iter().zip(start) {
        close(gradients.wrt(v).expect("the loss depends on it"), wanted(name), 1e-12, &format!("{case}, {name}"));
    }
    let found = |param: &Param| gradients.get(param).expect("the loss depends on it").clone();
    for (name, param) in matrices {
        close(&found(param), &wanted(name).transpose(0, 1)?, 1e-12, &format!("{case}, {name}"));
    }
    for (name, param) in biases {
        let wanted = wanted(name);
        let own = found(param);
        // The bias inside of the reset is the last of PyTorch's three.
        let skipped = wanted.numel() - own.numel();
        close(&own, &wanted.narrow(0, skipped, own.numel())?, 1e-12, &format!("{case}, {name}"));
    }
    Ok(())
}

/// PyTorch's biases of a case.
fn biases(case: &str) -> [Vec<f64>; 2] {
    let fixture = Fixture::open("cells_f64");
    ["ih", "hh"].map(|kind| fixture.get(&format!("{case}.bias_{kind}_l0")).to_f64_vec())
}

#[test]
fn other_cells_in_double_precision() -> Result<()> {
    let rng = &mut StdRng::seed_from_u64(0);
    let (input, hidden) = (4, 6);
    let names = ["weight_ih_l0", "weight_hh_l0", "weight_hr_l0"];
    for (case, activation) in [("rnn_tanh", Activation::Tanh), ("rnn_relu", Activation::Relu)] {
        let cell = ElmanCell::new(input, hidden, rng).with_activation(activation);
        let [a, b] = biases(case);
        cell.set_dtype(DType::F64)?;
        init::change(&cell.b, 0..hidden, |i, _| a[i] + b[i]);
        let (w, u, bias) = (cell.w.clone(), cell.u.clone(), cell.b.clone());
        one_layer(case, cell, &[(names[0], &w), (names[1], &u)], &[("bias_ih_l0", &bias)], |s| s[0])?;
    }

    let cell = GruCell::new(input, hidden, rng);
    cell.set_dtype(DType::F64)?;
    let [a, b] = biases("gru");
    init::change(&cell.b, 0..3 * hidden, |i, _| a[i] + if i < 2 * hidden { b[i] } else { 0.0 });
    init::change(&cell.b_u, 0..hidden, |i, _| b[2 * hidden + i]);
    let (w, u, outer, inner) = (cell.w.clone(), cell.u.clone(), cell.b.clone(), cell.b_u.clone());
    let own = [("bias_ih_l0", &outer), ("bias_hh_l0", &inner)];
    one_layer("gru", cell, &[(names[0], &w), (names[1], &u)], &own, |s| s[0])?;

    let cell = Projected::new(LstmCell::new(input, hidden, rng), 2, rng);
    cell.set_dtype(DType::F64)?;
    let [a, b] = biases("lstm_proj");
    init::change(&cell.cell.b, 0..4 * hidden, |i, _| a[i] + b[i]);
    let (w, u, bias, p) = (cell.cell.w.clone(), cell.cell.u.clone(), cell.cell.b.clone(), cell.p.clone());
    let matrices = [(names[0], &w), (names[1], &u), (names[2], &p)];
    one_layer("lstm_proj", cell, &matrices, &[("bias_ih_l0", &bias)], |s| (s[0], s[1]))
}

#[test]
fn the_article_trains_as_in_pytorch() -> Result<()> {
    let fixture = Fixture::open("article_f64");
    let net = fixture.net()?;
    let mut sgd = Sgd::new(fixture.number("lr"));
    let losses = fixture.get("losses").to_f64_vec();
    for (step, wanted) in losses.iter().enumerate() {
        let tape = Tape::new();
        let [x, h, c] = ["x", "h0", "c0"].map(|name| tape.var(fixture.get(name)));
        let (y, last) = net.forward_from(&Cx::train(&tape), x, states(h, c, 2));
        let last = last.keep();
        let gradients = loss::mse(y.keep(), fixture.get("target")).backward()?;
        let found = gradients.loss().item()?;
        assert!((found - wanted).abs() < 1e-12, "loss of step {step}: {found} against {wanted}");
        if step == 0 {
            close(&y.value()?, fixture.get("y"), 1e-12, "y");
            for (l, (h, c)) in last.iter().enumerate() {
                close(&h.value()?, &fixture.get("h_n").narrow(0, l, 1)?.reshape([3, 20])?, 1e-12, "h_n");
                close(&c.value()?, &fixture.get("c_n").narrow(0, l, 1)?.reshape([3, 20])?, 1e-12, "c_n");
            }
            compare_gradients(&net, &fixture, &gradients, 1e-12)?;
            for (name, var) in [("x", x), ("h0", h), ("c0", c)] {
                close(gradients.wrt(var).unwrap(), fixture.get(&format!("grad.{name}")), 1e-12, name);
            }
        }
        drop(tape);
        sgd.step(&net, &gradients)?;
        if step == 0 {
            for (l, cell) in net.layers.iter().enumerate() {
                let after = |name: &str| fixture.get(&format!("after.{name}_l{l}"));
                close(&cell.w.value(), &after("weight_ih").transpose(0, 1)?, 1e-12, "w after the update");
                close(&cell.u.value(), &after("weight_hh").transpose(0, 1)?, 1e-12, "u after the update");
                // PyTorch updates both biases, and so their sum twice.
                let biases: Vec<f64> = fixture.cell(l)?.b.value().to_f64_vec();
                let gradient = fixture.get(&format!("grad.bias_ih_l{l}")).to_f64_vec();
                let lr = fixture.number("lr");
                let once: Vec<f64> = biases.iter().zip(&gradient).map(|(b, g)| b - lr * g).collect();
                close(&cell.b.value(), &Tensor::from_vec(once, [80])?, 1e-12, "b after the update");
            }
        }
        // The second bias of PyTorch moves by the same gradient again.
        for cell in &net.layers {
            let gradient = gradients.get(&cell.b).expect("the loss depends on it").to_f64_vec();
            let moved = cell.b.value().to_f64_vec().iter().zip(gradient).map(|(b, g)| b - sgd.lr * g).collect();
            cell.b.set(Tensor::from_vec::<f64>(moved, [80])?)?;
        }
    }
    Ok(())
}

const REDUCTIONS: [(&str, Reduction<'static>); 3] =
    [("mean", Reduction::Mean), ("sum", Reduction::Sum), ("none", Reduction::None)];

/// Checks one loss and its gradient under every reduction.
fn reductions(
    fixture: &Fixture,
    case: &str,
    input: &str,
    loss: impl for<'t> Fn(Var<'t>, Reduction<'t>) -> Var<'t>,
) -> Result<()> {
    for (name, reduction) in REDUCTIONS {
        let tape = Tape::new();
        let x = tape.var(fixture.get(&format!("{case}.{input}")));
        let found = loss(x, reduction);
        close(&found.value()?, fixture.get(&format!("{case}.{name}.loss")), 1e-12, &format!("{case}, {name}"));
        let scalar = if name == "none" { (found * fixture.get(&format!("{case}.none.ct"))).sum() } else { found };
        let gradients = scalar.backward()?;
        let wanted = fixture.get(&format!("{case}.{name}.grad"));
        close(gradients.wrt(x).unwrap(), wanted, 1e-12, &format!("gradient of {case}, {name}"));
    }
    Ok(())
}

#[test]
fn mean_squared_error() -> Result<()> {
    let fixture = Fixture::open("losses_f64");
    for case in ["mse.nc", "mse.tbc"] {
        let target = fixture.get(&format!("{case}.target"));
        reductions(&fixture, case, "pred", |x, reduction| loss::mse_with(x, target, reduction))?;
    }
    Ok(())
}

#[test]
fn cross_entropy() -> Result<()> {
    let fixture = Fixture::open("losses_f64");
    for case in ["ce.nc", "ce.ignore", "ce.tbc", "ce.huge"] {
        let targets = fixture.get(&format!("{case}.targets"));
        reductions(&fixture, case, "logits", |x, reduction| {
            CrossEntropy { reduction, ..Default::default() }.loss(x, targets)
        })?;
    }
    Ok(())
}

/// Gradients of two parameters that are what the fixture says, whatever the parameters.
fn given(params: &(Param, Param), a: &Tensor, b: &Tensor) -> Result<Gradients> {
    let tape = Tape::new();
    ((tape.param(&params.0) * a).sum() + (tape.param(&params.1) * b).sum()).backward()
}

#[test]
fn sgd() -> Result<()> {
    let fixture = Fixture::open("sgd_f64");
    let settings =
        ["plain", "momentum", "dampening", "nesterov", "decay", "momentum_decay", "dampening_decay", "nesterov_decay"];
    for setting in settings {
        let number = |name: &str| fixture.number(&format!("sgd.{setting}.{name}"));
        let mut sgd = Sgd::new(number("lr"))
            .momentum(number("momentum"))
            .dampening(number("dampening"))
            .l2(number("weight_decay"));
        if number("nesterov") != 0.0 {
            sgd = sgd.nesterov();
        }
        let start = |name: &str| Param::new(fixture.get(&format!("sgd.start.{name}")).clone());
        let params = (start("a"), start("b"));
        for t in 0..20 {
            let at = |name: &str, shape: &[usize]| fixture.get(name).narrow(0, t, 1)?.reshape(shape);
            let gradients = given(&params, &at("sgd.grad.a", &[3, 4])?, &at("sgd.grad.b", &[5])?)?;
            sgd.step(&params, &gradients)?;
            let wanted = at(&format!("sgd.{setting}.a"), &[3, 4])?;
            close(&params.0.value(), &wanted, 1e-12, &format!("{setting}, a after step {t}"));
            let wanted = at(&format!("sgd.{setting}.b"), &[5])?;
            close(&params.1.value(), &wanted, 1e-12, &format!("{setting}, b after step {t}"));
        }
    }
    Ok(())
}

#[test]
fn clipping() -> Result<()> {
    let fixture = Fixture::open("sgd_f64");
    let (a, b) = (fixture.get("clip.grad.a"), fixture.get("clip.grad.b"));
    let params = (Param::new(Tensor::zeros(a.shape(), a.dtype())), Param::new(Tensor::zeros(b.shape(), b.dtype())));
    for case in ["active", "inactive"] {
        let mut gradients = given(&params, a, b)?;
        let norm = clip_grad_norm(&params, &mut gradients, fixture.number(&format!("clip.{case}.max_norm")))?;
        assert!((norm - fixture.number(&format!("clip.{case}.total_norm"))).abs() < 1e-12);
        close(gradients.get(&params.0).unwrap(), fixture.get(&format!("clip.{case}.a")), 1e-12, case);
        close(gradients.get(&params.1).unwrap(), fixture.get(&format!("clip.{case}.b")), 1e-12, case);
    }
    Ok(())
}
