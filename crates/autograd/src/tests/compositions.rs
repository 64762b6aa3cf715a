//! Uses of the compositions, each with its definition, and what they promise at kinks and at the edges of their range.

use super::cases::{Array, CASE, Case, index};
use super::special::erf;
use crate::{Tape, Tensor, Var};

/// A composition with functions that the kernels approximate.
const FLOAT: Case = Case { integers: false, tolerance: 1e-13, ..CASE };

fn each(x: &Array, f: impl Fn(f64) -> f64) -> Array {
    Array { shape: x.shape.clone(), data: x.data.iter().map(|v| f(*v)).collect() }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

pub(super) static COMPOSITIONS: &[Case] = &[
    Case {
        name: "leaky_relu",
        inputs: &[&[3, 5]],
        f: |v| v[0].leaky_relu(0.1),
        reference: |x| each(&x[0], |x| if x > 0.0 { x } else { x * 0.1 }),
        ..FLOAT
    },
    Case {
        name: "elu",
        inputs: &[&[3, 5]],
        f: |v| v[0].elu(0.7),
        reference: |x| each(&x[0], |x| if x > 0.0 { x } else { 0.7 * x.exp_m1() }),
        ..FLOAT
    },
    Case {
        name: "selu",
        inputs: &[&[3, 5]],
        f: |v| v[0].selu(),
        reference: |x| {
            each(&x[0], |x| 1.050_700_987_355_480_5 * if x > 0.0 { x } else { 1.673_263_242_354_377_2 * x.exp_m1() })
        },
        ..FLOAT
    },
    Case {
        name: "silu",
        inputs: &[&[3, 5]],
        f: |v| v[0].silu(),
        reference: |x| each(&x[0], |x| x * sigmoid(x)),
        ..FLOAT
    },
    Case {
        name: "mish",
        inputs: &[&[3, 5]],
        f: |v| v[0].mish(),
        reference: |x| each(&x[0], |x| x * x.exp().ln_1p().tanh()),
        ..FLOAT
    },
    Case {
        name: "softsign",
        inputs: &[&[3, 5]],
        f: |v| v[0].softsign(),
        reference: |x| each(&x[0], |x| x / (1.0 + x.abs())),
        ..FLOAT
    },
    Case {
        name: "gelu",
        inputs: &[&[3, 5]],
        f: |v| v[0].gelu(),
        reference: |x| each(&x[0], |x| x / 2.0 * (1.0 + erf(x / 2f64.sqrt()))),
        ..FLOAT
    },
    Case {
        name: "gelu_tanh",
        inputs: &[&[3, 5]],
        f: |v| v[0].gelu_tanh(),
        reference: |x| {
            each(&x[0], |x| x / 2.0 * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh()))
        },
        ..FLOAT
    },
    Case {
        name: "hard_sigmoid",
        inputs: &[&[3, 5]],
        f: |v| (v[0] * 2).hard_sigmoid(),
        reference: |x| each(&x[0], |x| (2.0 * x + 3.0).clamp(0.0, 6.0) / 6.0),
        ..FLOAT
    },
    Case {
        name: "hard_tanh",
        inputs: &[&[3, 5]],
        f: |v| v[0].hard_tanh(),
        reference: |x| each(&x[0], |x| x.clamp(-1.0, 1.0)),
        ..CASE
    },
    Case {
        name: "relu6",
        inputs: &[&[3, 5]],
        f: |v| (v[0] * 5).relu6(),
        reference: |x| each(&x[0], |x| (5.0 * x).clamp(0.0, 6.0)),
        ..CASE
    },
    Case {
        name: "clamp",
        inputs: &[&[3, 5]],
        f: |v| v[0].clamp(-1.0, 2.0),
        reference: |x| each(&x[0], |x| x.clamp(-1.0, 2.0)),
        ..CASE
    },
    Case {
        name: "prod",
        inputs: &[&[2, 3, 2]],
        f: |v| v[0].prod_axes(1),
        reference: |x| Array::build(&[2, 2], |i| (0..3).fold(1.0, |all, j| all * x[0].at(&[i[0], j, i[1]]))),
        ..FLOAT
    },
    Case {
        name: "prod of all but the middle, keeping nothing",
        inputs: &[&[2, 3, 2]],
        f: |v| v[0].prod_axes([0, -1]),
        reference: |x| {
            Array::build(&[3], |i| {
                [0, 1].map(|a| [0, 1].map(|b| x[0].at(&[a, i[0], b])).iter().product::<f64>()).iter().product()
            })
        },
        ..FLOAT
    },
    Case {
        name: "prod of five with a zero",
        inputs: &[&[5, 2]],
        f: |v| {
            (v[0] * index(v[0], &[1, 1, 0, 1, 1], &[5, 1]).cast(v[0].dtype().unwrap())).prod_axes(0) + v[0].prod_axes(0)
        },
        reference: |x| Array::build(&[2], |i| (0..5).map(|j| x[0].at(&[j, i[0]])).product()),
        ..FLOAT
    },
    Case {
        name: "reductions that keep their axes",
        inputs: &[&[2, 3, 2]],
        f: |v| v[0].sum_keep([0, 2]) * v[0] + v[0].max_keep(()) - v[0].min_keep(-2),
        reference: |x| {
            let all = || x[0].data.iter().copied();
            Array::build(&[2, 3, 2], |i| {
                let sum: f64 = [[0, 0], [0, 1], [1, 0], [1, 1]].iter().map(|[a, b]| x[0].at(&[*a, i[1], *b])).sum();
                let low = (0..3).map(|j| x[0].at(&[i[0], j, i[2]])).fold(f64::INFINITY, f64::min);
                sum * x[0].at(i) + all().fold(f64::NEG_INFINITY, f64::max) - low
            })
        },
        tolerance: 1e-13,
        ..CASE
    },
    Case {
        name: "logsumexp",
        inputs: &[&[2, 3, 2]],
        f: |v| v[0].logsumexp([0, -1]),
        reference: |x| {
            Array::build(&[3], |i| {
                [[0, 0], [0, 1], [1, 0], [1, 1]].iter().map(|[a, b]| x[0].at(&[*a, i[0], *b]).exp()).sum::<f64>().ln()
            })
        },
        ..FLOAT
    },
    Case {
        name: "var",
        inputs: &[&[4, 3]],
        f: |v| v[0].var_axes(0, 1),
        reference: |x| Array::build(&[3], |i| variance(&column(&x[0], i[0])) * 4.0 / 3.0),
        ..FLOAT
    },
    Case {
        name: "std of everything",
        inputs: &[&[4, 3]],
        f: |v| v[0].std_axes((), 0),
        reference: |x| Array::build(&[], |_| variance(&x[0].data).sqrt()),
        ..FLOAT
    },
    Case {
        name: "norm",
        inputs: &[&[4, 3]],
        f: |v| v[0].norm(0),
        reference: |x| Array::build(&[3], |i| column(&x[0], i[0]).iter().map(|v| v * v).sum::<f64>().sqrt()),
        ..FLOAT
    },
    Case {
        name: "layer_norm",
        inputs: &[&[2, 4], &[4]],
        f: |v| v[0].layer_norm(1e-2) * v[1],
        reference: |x| {
            Array::build(&[2, 4], |i| {
                let row = &x[0].data[4 * i[0]..][..4];
                (x[0].at(i) - mean(row)) / (variance(row) + 1e-2).sqrt() * x[1].at(&i[1..])
            })
        },
        ..FLOAT
    },
    Case {
        name: "rms_norm",
        inputs: &[&[2, 4]],
        f: |v| v[0].rms_norm(1e-2),
        reference: |x| {
            Array::build(&[2, 4], |i| {
                let squares: Vec<f64> = x[0].data[4 * i[0]..][..4].iter().map(|v| v * v).collect();
                x[0].at(i) / (mean(&squares) + 1e-2).sqrt()
            })
        },
        ..FLOAT
    },
    Case {
        name: "cosine_similarity",
        inputs: &[&[2, 3], &[3]],
        f: |v| v[0].cosine_similarity(v[1], -1),
        reference: |x| {
            let norm = |x: &[f64]| x.iter().map(|v| v * v).sum::<f64>().sqrt();
            Array::build(&[2], |i| {
                let (a, b) = (&x[0].data[3 * i[0]..][..3], &x[1].data[..]);
                a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / (norm(a) * norm(b))
            })
        },
        ..FLOAT
    },
    Case {
        name: "cumsum",
        inputs: &[&[2, 4, 3]],
        f: |v| v[0].cumsum(1),
        reference: |x| Array::build(&[2, 4, 3], |i| (0..=i[1]).fold(0.0, |sum, j| sum + x[0].at(&[i[0], j, i[2]]))),
        ..CASE
    },
    Case {
        name: "cumprod",
        inputs: &[&[4, 3]],
        f: |v| v[0].cumprod(0),
        reference: |x| Array::build(&[4, 3], |i| (0..=i[0]).fold(1.0, |all, j| all * x[0].at(&[j, i[1]]))),
        ..CASE
    },
    Case {
        name: "argmax and argmin",
        inputs: &[&[3, 4]],
        f: |v| (v[0].argmax(1) * 10 + v[0].argmin(1)).cast(v[0].dtype().unwrap()),
        reference: |x| {
            Array::build(&[3], |i| {
                let row = &x[0].data[4 * i[0]..][..4];
                let first =
                    |better: fn(f64, f64) -> bool| (1..4).fold(0, |at, j| if better(row[j], row[at]) { j } else { at });
                (first(|a, b| a > b) * 10 + first(|a, b| a < b)) as f64
            })
        },
        smooth: false,
        ..CASE
    },
    Case {
        name: "pad",
        inputs: &[&[2, 3]],
        f: |v| v[0].pad(-1, 1, 2, 3.0).pad(0, 0, 1, -1.0).pad(0, 1, 0, 0.0).pad(0, 0, 0, 9.0),
        reference: |x| {
            Array::build(&[4, 6], |i| match (i[0], i[1]) {
                (0, _) => 0.0,
                (3, _) => -1.0,
                (_, 1..4) => x[0].at(&[i[0] - 1, i[1] - 1]),
                _ => 3.0,
            })
        },
        ..CASE
    },
    Case {
        name: "flip",
        inputs: &[&[3, 2]],
        f: |v| v[0].flip(0),
        reference: |x| Array::build(&[3, 2], |i| x[0].at(&[2 - i[0], i[1]])),
        ..CASE
    },
    Case {
        name: "roll",
        inputs: &[&[2, 5]],
        f: |v| v[0].roll(1, 2) * v[0].roll(-1, -11) + v[0].roll(1, 5),
        reference: |x| {
            Array::build(&[2, 5], |i| x[0].at(&[i[0], (i[1] + 3) % 5]) * x[0].at(&[i[0], (i[1] + 1) % 5]) + x[0].at(i))
        },
        ..CASE
    },
    Case {
        name: "split",
        inputs: &[&[2, 6]],
        f: |v| {
            let parts = v[0].split(1, &[2, 0, 3, 1]);
            parts[0] * parts[3] + parts[2].narrow(1, 1, 2) + parts[1].sum()
        },
        reference: |x| Array::build(&[2, 2], |i| x[0].at(i) * x[0].at(&[i[0], 5]) + x[0].at(&[i[0], i[1] + 3])),
        ..CASE
    },
    Case {
        name: "unbind",
        inputs: &[&[2, 3]],
        f: |v| {
            let parts = v[0].unbind(1);
            v[0].tape().stack(&[parts[2], parts[0] * parts[1]], 0)
        },
        reference: |x| {
            let at = |i: usize, j: usize| x[0].at(&[i, j]);
            Array::build(&[2, 2], |i| if i[0] == 0 { at(i[1], 2) } else { at(i[1], 0) * at(i[1], 1) })
        },
        ..CASE
    },
    Case {
        name: "repeat",
        inputs: &[&[2, 3]],
        f: |v| v[0].repeat(&[2, 1, 3]),
        reference: |x| Array::build(&[2, 2, 9], |i| x[0].at(&[i[1], i[2] % 3])),
        ..CASE
    },
    Case {
        name: "triangles",
        inputs: &[&[2, 3, 4]],
        f: |v| v[0].triu(1) * 2 + v[0].tril(-1) + v[0].tril(isize::MAX) + v[0].triu(isize::MAX),
        reference: |x| {
            Array::build(&[2, 3, 4], |i| match i[2].cmp(&i[1]) {
                std::cmp::Ordering::Greater => x[0].at(i) * 2.0 + x[0].at(i),
                std::cmp::Ordering::Less => x[0].at(i) + x[0].at(i),
                std::cmp::Ordering::Equal => x[0].at(i),
            })
        },
        ..CASE
    },
    Case {
        name: "one_hot",
        inputs: &[&[2, 3]],
        f: |v| v[0].unsqueeze(-1) * index(v[0], &[1, 0, 0, 2, 2, 1], &[2, 3]).one_hot(3, v[0].dtype().unwrap()),
        reference: |x| {
            let hot = [1, 0, 0, 2, 2, 1];
            Array::build(&[2, 3, 3], |i| if hot[3 * i[0] + i[1]] == i[2] { x[0].at(&i[..2]) } else { 0.0 })
        },
        ..CASE
    },
];

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

fn variance(x: &[f64]) -> f64 {
    x.iter().map(|v| (v - mean(x)).powi(2)).sum::<f64>() / x.len() as f64
}

fn column(x: &Array, j: usize) -> Vec<f64> {
    (0..x.shape[0]).map(|i| x.at(&[i, j])).collect()
}

/// The gradient of the sum of a function's results.
fn gradient(f: impl for<'t> Fn(Var<'t>) -> Var<'t>, at: &[f64]) -> Vec<f64> {
    let tape = Tape::new();
    let x = tape.var(Tensor::from_slice(at, [at.len()]).unwrap());
    let [g] = f(x).sum().grad([x]);
    g.value().unwrap().to_f64_vec()
}

/// Values and derivatives of a function of one number.
fn slopes(f: impl for<'t> Fn(Var<'t>) -> Var<'t>, at: &[f64]) -> Vec<(f64, f64)> {
    let tape = Tape::new();
    let x = tape.var(Tensor::from_slice(at, [at.len()]).unwrap());
    f(x).value().unwrap().to_f64_vec().into_iter().zip(gradient(&f, at)).collect()
}

/// The values are those of PyTorch 2.15 on the same arguments.
#[test]
fn kinks_have_pytorch_s_derivatives() {
    let inf = f64::INFINITY;
    assert_eq!(slopes(|x| x.leaky_relu(0.1), &[0.0, inf, -inf]), [(0.0, 0.1), (inf, 1.0), (-inf, 0.1)]);
    assert_eq!(slopes(|x| x.elu(0.5), &[0.0, 800.0, inf, -inf]), [(0.0, 0.5), (800.0, 1.0), (inf, 1.0), (-0.5, 0.0)]);
    assert_eq!(slopes(|x| x.softsign(), &[0.0]), [(0.0, 1.0)]);
    assert_eq!(slopes(|x| x.hard_tanh(), &[-1.0, 0.5, 1.0, inf]), [(-1.0, 0.0), (0.5, 1.0), (1.0, 0.0), (1.0, 0.0)]);
    assert_eq!(slopes(|x| x.relu6(), &[0.0, 6.0, -inf]), [(0.0, 0.0), (6.0, 0.0), (0.0, 0.0)]);
    assert_eq!(slopes(|x| x.hard_sigmoid(), &[-3.0, 3.0]), [(0.0, 0.0), (1.0, 0.0)]);
    assert_eq!(slopes(|x| x.clamp(-1.0, 2.0), &[-1.0, 2.0, 3.0]), [(-1.0, 0.0), (2.0, 0.0), (2.0, 0.0)]);
    assert_eq!(slopes(|x| x.clamp(0.0, inf), &[-1.0, 1e300]), [(0.0, 0.0), (1e300, 1.0)]);
    assert_eq!(slopes(|x| x.softplus(), &[800.0, -800.0]), [(800.0, 1.0), (0.0, 0.0)]);
    assert_eq!(slopes(|x| x.log_sigmoid(), &[800.0, -800.0]), [(0.0, 0.0), (-800.0, 1.0)]);
}

#[test]
fn nan_passes_through_activations() {
    let all: [fn(Var<'_>) -> Var<'_>; 12] = [
        |x| x.leaky_relu(0.1),
        |x| x.elu(1.0),
        |x| x.selu(),
        |x| x.silu(),
        |x| x.mish(),
        |x| x.softsign(),
        |x| x.gelu(),
        |x| x.gelu_tanh(),
        |x| x.hard_sigmoid(),
        |x| x.hard_tanh(),
        |x| x.relu6(),
        |x| x.clamp(0.0, 1.0),
    ];
    for (i, f) in all.iter().enumerate() {
        assert!(slopes(f, &[f64::NAN])[0].0.is_nan(), "activation {i}");
    }
}

#[test]
fn products_with_zeros_have_pytorch_s_derivatives() {
    let derivative = |x: &[f64]| gradient(|x| x.prod_axes(0), x);
    assert_eq!(derivative(&[2.0, 0.0, 3.0, 4.0, 5.0]), [0.0, 120.0, 0.0, 0.0, 0.0]);
    assert_eq!(derivative(&[2.0, 0.0, 3.0, 0.0]), [0.0; 4]);
    assert_eq!(derivative(&[2.0, 3.0, 4.0]), [12.0, 8.0, 6.0]);
    assert_eq!(derivative(&[7.0]), [1.0]);
    let tape = Tape::new();
    let x = tape.var(Tensor::from_slice(&[0.0, 0.0, 3.0], [3]).unwrap());
    let [g] = x.prod_axes(()).grad([x]);
    let [h] = g.sum().grad([x]);
    assert_eq!(h.value().unwrap().to_f64_vec(), [3.0, 3.0, 0.0], "the row sums of the Hessian");
    assert_eq!(x.narrow(0, 0, 0).prod_axes(0).item().unwrap(), 1.0);
}

/// Ties over axes that are not adjacent share evenly over all of them.
#[test]
fn extrema_share_over_all_axes_at_once() {
    let tape = Tape::new();
    let data = [1.0, 5.0, 5.0, 0.0, 5.0, 2.0, 3.0, 3.0];
    let x = tape.var(Tensor::from_slice(&data, [2, 2, 2]).unwrap());
    // For the middle axis' entry 0: 1, 5, 5, 2; for entry 1: 5, 0, 3, 3.
    let [g] = x.max_axes([0, 2]).sum().grad([x]);
    assert_eq!(g.value().unwrap().to_f64_vec(), [0.0, 0.5, 1.0, 0.0, 0.5, 0.0, 0.0, 0.0]);
    let y = tape.var(Tensor::from_slice(&[7.0, 7.0, 7.0, 0.0], [2, 1, 2]).unwrap());
    let [g] = y.max_keep([0, -1]).sum().grad([y]);
    assert_eq!(g.value().unwrap().to_f64_vec(), [1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 0.0]);
}

#[test]
fn compositions_keep_special_values() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let tape = Tape::new();
    let of = |x: &[f64]| tape.var(Tensor::from_slice(x, [x.len()]).unwrap());
    let item = |v: Var<'_>| v.item().unwrap();
    assert_eq!(item(of(&[-inf, -inf]).logsumexp(0)), -inf);
    assert_eq!(item(of(&[1.0, inf]).logsumexp(0)), inf);
    assert_eq!(item(of(&[1000.0, -inf]).logsumexp(0)), 1000.0);
    assert!(item(of(&[nan, inf]).logsumexp(())).is_nan());
    assert_eq!(gradient(|x| x.logsumexp(0), &[-inf, 0.0]), [0.0, 1.0]);
    // Ties and NaN: the first one.
    assert_eq!((item(of(&[1.0, 3.0, 3.0]).argmax(0)), item(of(&[1.0, 3.0, 1.0]).argmin(-1))), (1.0, 0.0));
    assert_eq!((item(of(&[1.0, nan, nan, 9.0]).argmax(0)), item(of(&[1.0, nan, 0.0]).argmin(0))), (1.0, 1.0));
    assert_eq!(item(of(&[-inf, -inf]).argmax(0)), 0.0);
    // Roots at 0.
    assert_eq!(gradient(|x| x.norm(0), &[0.0, 0.0]), [0.0, 0.0]);
    assert_eq!(gradient(|x| x.std_axes(0, 0), &[2.0, 2.0]), [0.0, 0.0]);
    assert!(item(of(&[nan, 1.0]).norm(0)).is_nan());
    assert_eq!(item(of(&[0.0, 0.0]).cosine_similarity(of(&[1.0, 2.0]), 0)), 0.0);
    assert!(item(of(&[1.0]).var_axes(0, 1)).is_nan(), "0 / 0");
    // Masks leave no trace of what they hide.
    let hidden = of(&[1.0, inf, nan, 4.0]).reshape([2, 2]);
    assert_eq!(hidden.tril(0).value().unwrap().to_f64_vec()[..2], [1.0, 0.0]);
    // Nothing at all.
    let none = of(&[]).reshape([0, 2]);
    for y in [
        none.cumsum(0),
        none.cumsum(1),
        none.flip(0),
        none.roll(0, 3),
        none.triu(0),
        none.norm(0),
        none.layer_norm(0.1),
    ] {
        y.value().unwrap();
    }
    assert_eq!(none.unbind(0).len(), 0);
    assert_eq!(none.repeat(&[3, 0]).shape().unwrap()[..], [0, 0]);
}
