//! Every operation against PyTorch's, values and gradients, from `tests/fixtures/ops_f64.safetensors`.
//!
//! A case is named `OPERATION/WHAT`. Elementwise operations come from the registry, and the test fails if the file lacks one of
//! them; the others are in [`FUNCTIONS`] and [`REDUCTIONS`], and the test fails if the file has a case that they do not know, or
//! the other way round.

mod support;

use support::Fixture;
use wengert::autograd::{Conv1dOptions, Elementwise};
use wengert::prelude::*;

/// The error allowed, relative to the larger of 1 and the reference.
const TOLERANCE: f64 = 1e-12;

/// Elementwise operations that PyTorch does not have: none.
const LACKING: [&str; 0] = [];

type Function = for<'t> fn(&'t Tape, &[Var<'t>]) -> Vec<Var<'t>>;

/// Where two tensors differ: not at NaN beside NaN, nor at equal infinities.
fn difference(found: &Tensor, wanted: &Tensor) -> Option<String> {
    if found.shape() != wanted.shape() || found.dtype() != wanted.dtype() {
        let (a, b) = (found, wanted);
        return Some(format!("{} {} is not {} {}", a.dtype(), a.shape(), b.dtype(), b.shape()));
    }
    let near = |x: f64, y: f64| {
        x == y || x.is_nan() && y.is_nan() || (y.is_finite() && (x - y).abs() <= TOLERANCE * y.abs().max(1.0))
    };
    let pairs = found.to_f64_vec().into_iter().zip(wanted.to_f64_vec()).enumerate();
    let apart: Vec<String> =
        pairs.filter(|(_, (x, y))| !near(*x, *y)).map(|(i, (x, y))| format!("[{i}] {x:e} for {y:e}")).collect();
    (!apart.is_empty()).then(|| apart.join(", "))
}

/// The values and gradients of a case that are not PyTorch's.
fn differences(fixture: &Fixture, case: &str, f: impl for<'t> Fn(&'t Tape, &[Var<'t>]) -> Vec<Var<'t>>) -> Vec<String> {
    let tape = Tape::new();
    let named = |kind: &str, i: usize| format!("{case}.{kind}{i}");
    let x: Vec<Var<'_>> = (0..)
        .map(|i| named("x", i))
        .take_while(|name| fixture.has(name))
        .map(|name| tape.var(fixture.get(&name)))
        .collect();
    let y = f(&tape, &x);
    let mut all = Vec::new();
    let mut check = |name: String, found: Tensor| {
        all.extend(difference(&found, fixture.get(&name)).map(|text| format!("{name}: {text}")));
    };
    let mut loss: Option<Var<'_>> = None;
    for (i, y) in y.iter().enumerate() {
        check(named("y", i), y.value().unwrap_or_else(|error| panic!("{case}: {error}")));
        if fixture.has(&named("ct", i)) {
            let part = (*y * fixture.get(&named("ct", i))).sum();
            loss = Some(loss.map_or(part, |sum| sum + part));
        }
    }
    assert!(!fixture.has(&named("y", y.len())), "{case} has more results");
    for (i, x) in x.iter().enumerate().filter(|(i, _)| fixture.has(&named("g", *i))) {
        let [gradient] = loss.expect("a gradient has a cotangent").grad_or_none([*x]);
        // What no derivative reaches is zero in the file.
        let zeros = || Ok(Tensor::zeros(fixture.get(&named("x", i)).shape(), DType::F64));
        let gradient = gradient.map_or_else(zeros, |g| g.value());
        check(named("g", i), gradient.unwrap_or_else(|error| panic!("{case}: {error}")));
    }
    all
}

fn report(differences: Vec<String>) {
    assert!(differences.is_empty(), "not as PyTorch:\n{}", differences.join("\n"));
}

#[test]
fn elementwise_operations_are_pytorch_s() {
    let fixture = Fixture::open("ops_f64");
    let mut all = Vec::new();
    for op in Elementwise::all() {
        let prefix = format!("{}/", op.name());
        let cases: Vec<&str> = fixture.cases().into_iter().filter(|case| case.starts_with(&prefix)).collect();
        let covered = cases.contains(&format!("{prefix}edges").as_str());
        assert_ne!(covered, LACKING.contains(&op.name()), "cases of '{}' in the file: {cases:?}", op.name());
        for case in cases {
            all.extend(differences(&fixture, case, |tape, x| vec![op.apply(tape, x)]));
        }
    }
    report(all);
}

#[test]
fn other_operations_are_pytorch_s() {
    let fixture = Fixture::open("ops_f64");
    let elementwise: Vec<&str> = Elementwise::all().map(Elementwise::name).collect();
    let mut all = Vec::new();
    for case in fixture.cases() {
        let (operation, what) = case.split_once('/').expect("a case is named OPERATION/WHAT");
        if elementwise.contains(&operation) {
            continue;
        }
        let reduction = REDUCTIONS.iter().find(|(name, ..)| *name == operation);
        let function = FUNCTIONS.iter().find(|(name, _)| *name == case || *name == operation);
        all.extend(match (operation, reduction, function) {
            ("einsum", ..) => differences(&fixture, case, |tape, x| vec![tape.einsum(what, x.iter().copied())]),
            ("vector_norm", ..) if what != "keep" => differences(&fixture, case, |_, x| {
                let order = what.trim_end_matches("_zeros").parse().expect("a case names an order");
                vec![x[0].vector_norm(order, 1)]
            }),
            (_, Some(reduction), _) => differences(&fixture, case, |_, x| vec![reduced(what, x[0], reduction)]),
            (_, _, Some((_, function))) => differences(&fixture, case, function),
            _ => panic!("'{case}' of the file has no function here"),
        });
    }
    report(all);
    for name in FUNCTIONS.iter().map(|(name, _)| name).chain(REDUCTIONS.iter().map(|(name, ..)| name)) {
        let known = fixture.cases().iter().any(|case| case == name || case.starts_with(&format!("{name}/")));
        assert!(known, "the file has no case of '{name}': run tests/fixtures/make_ops.py");
    }
}

/// A planted error is seen: a wrong value, a wrong gradient, a NaN, another shape.
#[test]
fn the_comparison_sees_errors() {
    let fixture = Fixture::open("ops_f64");
    let differs = |f: Function| !differences(&fixture, "tanh/range", f).is_empty();
    assert!(!differs(|_, x| vec![x[0].tanh()]));
    assert!(differs(|_, x| vec![x[0].tanh() + 1e-11]));
    assert!(differs(|_, x| vec![x[0].tanh() + x[0] * 1e-9 - x[0].detach() * 1e-9]));
    assert!(differs(|_, x| vec![x[0].tanh().detach()]));
    assert!(differs(|_, x| vec![x[0].tanh() * f64::NAN]));
    assert!(differs(|_, x| vec![x[0].tanh() + f64::INFINITY]));
    let nan = Tensor::from_slice(&[f64::NAN, f64::INFINITY], [2]).expect("two values");
    assert!(difference(&nan, &nan).is_none());
    assert!(difference(&nan, &nan.reshape([2, 1]).expect("two values")).is_some());
    assert!(difference(&nan, &Tensor::from_slice(&[0.0, f64::NEG_INFINITY], [2]).expect("two values")).is_some());
}

/// An operation by name, or one of its cases where they differ.
const FUNCTIONS: &[(&str, Function)] = &[
    ("leaky_relu", |_, x| vec![x[0].leaky_relu(0.1)]),
    ("elu", |_, x| vec![x[0].elu(0.7)]),
    ("selu", |_, x| vec![x[0].selu()]),
    ("silu", |_, x| vec![x[0].silu()]),
    ("mish", |_, x| vec![x[0].mish()]),
    ("softsign", |_, x| vec![x[0].softsign()]),
    ("gelu", |_, x| vec![x[0].gelu()]),
    ("gelu_tanh", |_, x| vec![x[0].gelu_tanh()]),
    ("hard_sigmoid", |_, x| vec![x[0].hard_sigmoid()]),
    ("hard_swish", |_, x| vec![x[0].hard_swish()]),
    ("hard_tanh", |_, x| vec![x[0].hard_tanh()]),
    ("relu6", |_, x| vec![x[0].relu6()]),
    ("clamp", |_, x| vec![x[0].clamp(-1.0, 0.5)]),
    ("clamp_below", |_, x| vec![x[0].clamp(0.5, f64::INFINITY)]),
    ("clamp_above", |_, x| vec![x[0].clamp(f64::NEG_INFINITY, 0.5)]),
    ("powf_0.0", |_, x| vec![x[0].powf(0.0)]),
    ("powf_1.0", |_, x| vec![x[0].powf(1.0)]),
    ("powf_2.0", |_, x| vec![x[0].powf(2.0)]),
    ("powf_3.0", |_, x| vec![x[0].powf(3.0)]),
    ("powf_0.5", |_, x| vec![x[0].powf(0.5)]),
    ("powf_-1.5", |_, x| vec![x[0].powf(-1.5)]),
    ("matmul/transposes", |_, x| vec![x[0].t().matmul(x[1].t())]),
    ("matmul", |_, x| vec![x[0].matmul(x[1])]),
    ("conv1d/all", |_, x| {
        let options = Conv1dOptions::default().stride(2).padding(3).dilation(2).groups(2);
        vec![x[0].conv1d(x[1], options)]
    }),
    ("conv1d/depthwise", |_, x| vec![x[0].conv1d(x[1], Conv1dOptions::default().groups(3).padding(1))]),
    ("conv1d/one", |_, x| vec![x[0].conv1d(x[1], Conv1dOptions::default().stride(3))]),
    ("conv1d", |_, x| vec![x[0].conv1d(x[1], Conv1dOptions::default())]),
    ("prod/keep", |_, x| vec![x[0].prod_keep(0)]),
    ("prod", |_, x| vec![x[0].prod_axes(1)]),
    ("cumprod", |_, x| vec![x[0].cumprod(1)]),
    ("cumsum/first", |_, x| vec![x[0].cumsum(0)]),
    ("cumsum/middle", |_, x| vec![x[0].cumsum(1)]),
    ("var/0", |_, x| vec![x[0].var_axes([0, 2], 0)]),
    ("var/1", |_, x| vec![x[0].var_axes([0, 2], 1)]),
    ("var/keep", |_, x| vec![x[0].var_keep(1, 1)]),
    ("std/0", |_, x| vec![x[0].std_axes(1, 0)]),
    ("std/1", |_, x| vec![x[0].std_axes(1, 1)]),
    ("std/keep", |_, x| vec![x[0].std_keep(0, 1)]),
    ("std/constant", |_, x| vec![x[0].std_axes(1, 0)]),
    ("argmax/keep", |_, x| vec![x[0].argmax_keep(0)]),
    ("argmax/all", |_, x| vec![x[0].argmax(())]),
    ("argmax/number", |_, x| vec![x[0].argmax(())]),
    ("argmax", |_, x| vec![x[0].argmax(1)]),
    ("argmin/keep", |_, x| vec![x[0].argmin_keep(0)]),
    ("argmin/all", |_, x| vec![x[0].argmin(())]),
    ("argmin/number", |_, x| vec![x[0].argmin(())]),
    ("argmin", |_, x| vec![x[0].argmin(1)]),
    ("vector_norm/keep", |_, x| vec![x[0].vector_norm_keep(3.0, 0)]),
    ("softmax/last", |_, x| vec![x[0].softmax(-1)]),
    ("softmax/first", |_, x| vec![x[0].softmax(0)]),
    ("softmax/edges", |_, x| vec![x[0].softmax(1)]),
    ("log_softmax/last", |_, x| vec![x[0].log_softmax(-1)]),
    ("log_softmax/first", |_, x| vec![x[0].log_softmax(0)]),
    ("log_softmax/edges", |_, x| vec![x[0].log_softmax(1)]),
    ("layer_norm/plain", |_, x| vec![x[0].layer_norm(1e-5) * x[1] + x[2]]),
    ("layer_norm/constant", |_, x| vec![x[0].layer_norm(1e-5)]),
    ("rms_norm/plain", |_, x| vec![x[0].rms_norm(1e-6) * x[1]]),
    ("rms_norm/zero", |_, x| vec![x[0].rms_norm(1e-2)]),
    ("cosine_similarity/first", |_, x| vec![x[0].cosine_similarity(x[1], 0)]),
    ("cosine_similarity", |_, x| vec![x[0].cosine_similarity(x[1], -1)]),
    ("reshape/plain", |_, x| vec![x[0].reshape([3, 4])]),
    ("reshape/transpose", |_, x| vec![x[0].transpose(0, 1).reshape([6, 2])]),
    ("permute", |_, x| vec![x[0].permute(&[2, 0, 1])]),
    ("expand", |_, x| vec![x[0].expand([3, 2, 4])]),
    ("squeeze", |_, x| vec![x[0].squeeze(1).unsqueeze(0)]),
    ("narrow", |_, x| vec![x[0].narrow(1, 1, 3)]),
    ("slice/step", |_, x| vec![x[0].slice(0, 1..7, 2)]),
    ("slice/axes", |_, x| vec![x[0].slice(1, .., 3).slice(2, 1.., 1).slice(-1, .., 2)]),
    ("slice/overlap", |_, x| {
        let part = |start| x[0].slice(0, start.., 2).slice(0, ..3, 1);
        vec![part(0) * part(1) + x[0].narrow(0, 0, 3)]
    }),
    ("pad", |_, x| vec![x[0].pad(1, 1, 2, -1.5).pad(0, 0, 1, -1.5)]),
    ("concat", |tape, x| vec![tape.concat(x, 1)]),
    ("stack", |tape, x| vec![tape.stack(x, 1)]),
    ("unbind", |_, x| x[0].unbind(1)),
    ("chunk", |_, x| x[0].chunk::<3>().to_vec()),
    ("split", |_, x| x[0].split(1, &[2, 1, 3])),
    ("flip", |_, x| vec![x[0].flip(0)]),
    ("roll", |_, x| vec![x[0].roll(1, -7)]),
    ("repeat", |_, x| vec![x[0].repeat(&[2, 1, 3])]),
    ("unfold/places", |_, x| vec![x[0].unfold(0, 3, 2)]),
    ("unfold/windows", |_, x| vec![x[0].unfold(1, 5, 1)]),
    ("unfold/apart", |_, x| vec![x[0].unfold(-1, 3, 3)]),
    ("triu", |_, x| vec![x[0].triu(1)]),
    ("tril", |_, x| vec![x[0].tril(-1)]),
    ("gather", |_, x| vec![x[0].gather(1, x[1])]),
    ("scatter_add", |_, x| vec![x[0].scatter_add(0, x[1], x[2])]),
    ("index_select", |_, x| vec![x[0].index_select(0, x[1])]),
    ("one_hot", |_, x| vec![x[0].one_hot(4, DType::I64)]),
    ("sort/up_first", |_, x| sorted(x[0].sort(0, false))),
    ("sort/up", |_, x| sorted(x[0].sort(1, false))),
    ("sort/up_ties", |_, x| sorted(x[0].sort(-1, false))),
    ("sort/up_special", |_, x| sorted(x[0].sort(1, false))),
    ("sort/down_first", |_, x| sorted(x[0].sort(0, true))),
    ("sort/down", |_, x| sorted(x[0].sort(1, true))),
    ("sort/down_ties", |_, x| sorted(x[0].sort(-1, true))),
    ("sort/down_special", |_, x| sorted(x[0].sort(1, true))),
    ("argsort/up", |_, x| vec![x[0].argsort(0, false)]),
    ("argsort/down", |_, x| vec![x[0].argsort(0, true)]),
    ("topk/up", |_, x| sorted(x[0].topk(3, 1, false))),
    ("topk/down", |_, x| sorted(x[0].topk(3, 1, true))),
];

fn sorted<'t>((values, indices): (Var<'t>, Var<'t>)) -> Vec<Var<'t>> {
    vec![values, indices]
}

type Reduction = for<'t> fn(Var<'t>, &[isize]) -> Var<'t>;

/// Reductions, and the same with their axes kept; a case is named `NAME/AXES` or `NAME/AXES_WHAT`.
const REDUCTIONS: &[(&str, Reduction, Reduction)] = &[
    ("sum", |x, axes| x.sum_axes(axes), |x, axes| x.sum_keep(axes)),
    ("mean", |x, axes| x.mean_axes(axes), |x, axes| x.mean_keep(axes)),
    ("amax", |x, axes| x.max_axes(axes), |x, axes| x.max_keep(axes)),
    ("amin", |x, axes| x.min_axes(axes), |x, axes| x.min_keep(axes)),
    ("logsumexp", |x, axes| x.logsumexp(axes), |x, axes| x.logsumexp_keep(axes)),
    ("norm", |x, axes| x.norm(axes), |x, axes| x.norm_keep(axes)),
];

fn reduced<'t>(what: &str, x: Var<'t>, (_, dropping, keeping): &(&str, Reduction, Reduction)) -> Var<'t> {
    let (axes, kind) = what.split_once('_').unwrap_or((what, ""));
    let axes: Vec<isize> = match axes {
        "-1" => vec![-1],
        digits => digits.bytes().map(|digit| (digit - b'0') as isize).collect(),
    };
    if kind == "keep" { keeping(x, &axes) } else { dropping(x, &axes) }
}
