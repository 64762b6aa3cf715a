//! Uses of slices, sorting, windows, sums over named axes and norms, each with its definition; and their edges.

use super::cases::{Array, CASE, Case, index};
use super::support::{Rng, WIDE, sampled};
use crate::{Conv1dOptions, DType, Elementwise, Tape, Tensor, Var};

/// A composition with functions that the kernels approximate, or with sums in another order.
const FLOAT: Case = Case { integers: false, tolerance: 1e-13, ..CASE };

/// The entries of a line in sorted order with their places; equal ones keep theirs.
fn sorted(line: &[f64], descending: bool) -> Vec<(f64, usize)> {
    let mut all: Vec<(f64, usize)> = line.iter().copied().zip(0..).collect();
    all.sort_by(|a, b| if descending { b.0.total_cmp(&a.0) } else { a.0.total_cmp(&b.0) });
    all
}

fn convolution(x: &Array, w: &Array, options: Conv1dOptions) -> Array {
    let Conv1dOptions { stride, padding, dilation, groups, .. } = options;
    let (len, [outs, ins, window]) = (x.shape[2], [w.shape[0], w.shape[1], w.shape[2]]);
    let positions = (len + 2 * padding - dilation * (window - 1) - 1) / stride + 1;
    Array::build(&[x.shape[0], outs, positions], |i| {
        let group = i[1] / (outs / groups);
        let mut sum = 0.0;
        for c in 0..ins {
            for k in 0..window {
                let at = (i[2] * stride + k * dilation).wrapping_sub(padding);
                if at < len {
                    sum += w.at(&[i[1], c, k]) * x.at(&[i[0], group * ins + c, at]);
                }
            }
        }
        sum
    })
}

const STRIDED: Conv1dOptions = Conv1dOptions { stride: 2, padding: 1, dilation: 2, groups: 2 };
const PLAIN: Conv1dOptions = Conv1dOptions { stride: 1, padding: 0, dilation: 1, groups: 1 };
const DEPTHWISE: Conv1dOptions = Conv1dOptions { stride: 3, padding: 0, dilation: 1, groups: 3 };

pub(super) static SELECTIONS: &[Case] = &[
    Case {
        name: "slice",
        inputs: &[&[3, 8]],
        f: |v| v[0].slice(1, 1..7, 2) * v[0].slice(-1, 2.., 2) + v[0].slice(1, ..=4, 2),
        reference: |x| {
            let at = |i: &[usize], j: usize| x[0].at(&[i[0], j + 2 * i[1]]);
            Array::build(&[3, 3], |i| at(i, 1) * at(i, 2) + at(i, 0))
        },
        ..CASE
    },
    Case {
        name: "slice of a slice, turned and reshaped",
        inputs: &[&[7, 2, 5]],
        f: |v| v[0].slice(0, .., 2).slice(2, .., 3).permute(&[2, 0, 1]).slice(1, 1.., 2).reshape([8]),
        reference: |x| Array::build(&[8], |i| x[0].at(&[2 + 4 * (i[0] / 2 % 2), i[0] % 2, i[0] / 4 * 3])),
        ..CASE
    },
    Case {
        name: "sum and product over slices",
        inputs: &[&[5, 6], &[3, 2]],
        f: |v| v[0].slice(0, .., 2).slice(1, 1.., 2).sum_axes(0).concat([v[1].slice(0, .., 2).sum_axes(-1)], 0),
        reference: |x| {
            let column = |j: usize| (x[0].at(&[0, j]) + x[0].at(&[2, j])) + x[0].at(&[4, j]);
            let row = |i: usize| x[1].at(&[i, 0]) + x[1].at(&[i, 1]);
            Array { shape: vec![5], data: vec![column(1), column(3), column(5), row(0), row(2)] }
        },
        ..CASE
    },
    Case {
        name: "matmul of slices",
        inputs: &[&[4, 6], &[5, 3]],
        f: |v| v[0].slice(0, 1.., 2).slice(1, .., 2).matmul(v[1].slice(0, .., 2)),
        reference: |x| {
            Array::build(&[2, 3], |i| (0..3).map(|k| x[0].at(&[1 + 2 * i[0], 2 * k]) * x[1].at(&[2 * k, i[1]])).sum())
        },
        ..FLOAT
    },
    Case {
        name: "sort",
        inputs: &[&[3, 6]],
        f: |v| v[0].sort(1, false).0 * v[0] + v[0].sort(-1, true).0,
        reference: |x| {
            Array::build(&[3, 6], |i| {
                let row = &x[0].data[6 * i[0]..][..6];
                sorted(row, false)[i[1]].0 * x[0].at(i) + sorted(row, true)[i[1]].0
            })
        },
        ..CASE
    },
    Case {
        name: "argsort of another axis",
        inputs: &[&[2, 9, 2]],
        f: |v| (v[0].argsort(1, false) + v[0].argsort(1, true) * 10).cast(v[0].dtype().unwrap()),
        reference: |x| {
            Array::build(&[2, 9, 2], |i| {
                let line: Vec<f64> = (0..9).map(|j| x[0].at(&[i[0], j, i[2]])).collect();
                (sorted(&line, false)[i[1]].1 + sorted(&line, true)[i[1]].1 * 10) as f64
            })
        },
        smooth: false,
        ..CASE
    },
    Case {
        name: "argsort of truth",
        inputs: &[&[7]],
        f: |v| v[0].gt(0).argsort(0, true).cast(v[0].dtype().unwrap()),
        reference: |x| {
            let truth: Vec<f64> = x[0].data.iter().map(|v| (*v > 0.0) as u8 as f64).collect();
            Array::build(&[7], |i| sorted(&truth, true)[i[0]].1 as f64)
        },
        smooth: false,
        ..CASE
    },
    Case {
        name: "topk",
        inputs: &[&[5, 3]],
        f: |v| {
            let ((high, at), (low, _)) = (v[0].topk(2, 0, true), v[0].topk(2, 0, false));
            high * low + v[0].gather(0, at)
        },
        reference: |x| {
            Array::build(&[2, 3], |i| {
                let line: Vec<f64> = (0..5).map(|j| x[0].at(&[j, i[1]])).collect();
                let (high, low) = (sorted(&line, true)[i[0]].0, sorted(&line, false)[i[0]].0);
                high * low + high
            })
        },
        ..CASE
    },
    Case {
        name: "argmax and argmin over several axes",
        inputs: &[&[2, 3, 2]],
        f: |v| (v[0].argmax_keep([2, 0]) * 10 + v[0].argmin([0, 2]).reshape([1, 3, 1])).cast(v[0].dtype().unwrap()),
        reference: |x| {
            Array::build(&[1, 3, 1], |i| {
                let line = [[0, 0], [0, 1], [1, 0], [1, 1]].map(|[a, b]| x[0].at(&[a, i[1], b]));
                (sorted(&line, true)[0].1 * 10 + sorted(&line, false)[0].1) as f64
            })
        },
        smooth: false,
        ..CASE
    },
    Case {
        name: "conv1d",
        inputs: &[&[2, 3, 6], &[4, 3, 3]],
        f: |v| v[0].conv1d(v[1], PLAIN),
        reference: |x| convolution(&x[0], &x[1], PLAIN),
        ..FLOAT
    },
    Case {
        name: "conv1d with stride, padding, dilation and groups",
        inputs: &[&[2, 4, 7], &[6, 2, 3]],
        f: |v| v[0].conv1d(v[1], STRIDED),
        reference: |x| convolution(&x[0], &x[1], STRIDED),
        ..FLOAT
    },
    Case {
        name: "depthwise conv1d of windows of one entry, without a batch",
        inputs: &[&[3, 8], &[3, 1, 1]],
        f: |v| v[0].conv1d(v[1], DEPTHWISE),
        reference: |x| {
            let one = Array { shape: vec![1, 3, 8], data: x[0].data.clone() };
            Array { shape: vec![3, 3], ..convolution(&one, &x[1], DEPTHWISE) }
        },
        ..FLOAT
    },
    Case {
        name: "unfold by place",
        inputs: &[&[7, 2]],
        f: |v| v[0].unfold(0, 3, 2),
        reference: |x| Array::build(&[3, 2, 3], |i| x[0].at(&[2 * i[0] + i[2], i[1]])),
        ..CASE
    },
    Case {
        name: "unfold by window",
        inputs: &[&[2, 6, 2]],
        f: |v| v[0].unfold(1, 5, 1),
        reference: |x| Array::build(&[2, 2, 2, 5], |i| x[0].at(&[i[0], i[1] + i[3], i[2]])),
        ..CASE
    },
    Case {
        name: "unfold without overlap",
        inputs: &[&[2, 7]],
        f: |v| v[0].unfold(-1, 3, 3),
        reference: |x| Array::build(&[2, 2, 3], |i| x[0].at(&[i[0], 3 * i[1] + i[2]])),
        ..CASE
    },
    Case {
        name: "einsum of a batch of products",
        inputs: &[&[2, 3, 4], &[2, 4, 2]],
        f: |v| v[0].tape().einsum("bij, bjk -> bik", [v[0], v[1]]),
        reference: |x| {
            Array::build(&[2, 3, 2], |i| (0..4).map(|j| x[0].at(&[i[0], i[1], j]) * x[1].at(&[i[0], j, i[2]])).sum())
        },
        tolerance: 1e-13,
        ..CASE
    },
    Case {
        name: "einsum of three operands over two axes",
        inputs: &[&[2, 3], &[3, 2, 4], &[4]],
        f: |v| v[0].tape().einsum("ai,ijk,k->ja", [v[0], v[1], v[2]]),
        reference: |x| {
            Array::build(&[2, 2], |at| {
                let each = |i: usize, k: usize| x[0].at(&[at[1], i]) * x[1].at(&[i, at[0], k]) * x[2].at(&[k]);
                (0..3).flat_map(|i| (0..4).map(move |k| (i, k))).map(|(i, k)| each(i, k)).sum()
            })
        },
        tolerance: 1e-13,
        ..CASE
    },
    Case {
        name: "einsum of diagonals",
        inputs: &[&[3, 2, 3], &[2, 2, 2]],
        f: |v| v[0].tape().einsum("iji,kkk->ji", [v[0], v[1]]),
        reference: |x| {
            let trace = x[1].at(&[0, 0, 0]) + x[1].at(&[1, 1, 1]);
            Array::build(&[2, 3], |i| x[0].at(&[i[1], i[0], i[1]]) * trace)
        },
        tolerance: 1e-13,
        ..CASE
    },
    Case {
        name: "einsum with an implicit result",
        inputs: &[&[2, 3], &[4, 2]],
        f: |v| v[0].tape().einsum("zb,az", [v[0], v[1]]),
        reference: |x| Array::build(&[4, 3], |i| (0..2).map(|z| x[0].at(&[z, i[1]]) * x[1].at(&[i[0], z])).sum()),
        tolerance: 1e-13,
        ..CASE
    },
    Case {
        name: "einsum with ellipses",
        inputs: &[&[2, 1, 3], &[4, 3], &[]],
        f: |v| v[0].tape().einsum("...i,...i,->...", [v[0], v[1], v[2]]),
        reference: |x| {
            Array::build(&[2, 4], |at| {
                (0..3).map(|i| x[0].at(&[at[0], 0, i]) * x[1].at(&[at[1], i])).sum::<f64>() * x[2].at(&[])
            })
        },
        tolerance: 1e-13,
        ..CASE
    },
    Case {
        name: "einsum of one operand",
        inputs: &[&[2, 3, 4]],
        f: |v| v[0].tape().einsum("ijk->ki", [v[0]]),
        reference: |x| Array::build(&[4, 2], |i| (0..3).map(|j| x[0].at(&[i[1], j, i[0]])).sum()),
        tolerance: 1e-13,
        ..CASE
    },
    Case {
        name: "norms",
        inputs: &[&[4, 3]],
        f: |v| {
            let one = v[0].vector_norm(1.0, 0) * v[0].vector_norm(f64::INFINITY, 0);
            one + v[0].vector_norm(3.0, 0) + v[0].vector_norm(0.5, 0) + v[0].vector_norm(0.0, 0)
        },
        reference: |x| {
            Array::build(&[3], |j| {
                let all: Vec<f64> = (0..4).map(|i| x[0].at(&[i, j[0]]).abs()).collect();
                let power = |p: f64| all.iter().map(|v| v.powf(p)).sum::<f64>().powf(1.0 / p);
                let largest = all.iter().fold(0.0, |a: f64, b| a.max(*b));
                all.iter().sum::<f64>() * largest + power(3.0) + power(0.5) + 4.0
            })
        },
        tolerance: 1e-12,
        ..FLOAT
    },
    Case {
        name: "more reductions that keep their axes",
        inputs: &[&[2, 3]],
        f: |v| {
            let all = [
                v[0].prod_keep(1),
                v[0].var_keep(-1, 1),
                v[0].std_keep(1, 0),
                v[0].norm_keep(1),
                v[0].logsumexp_keep(1),
                v[0].vector_norm_keep(1.0, 1),
                (v[0].argmax_keep(1) - v[0].argmin_keep(1)).cast(v[0].dtype().unwrap()),
            ];
            v[0].tape().concat(&all, 1)
        },
        reference: |x| {
            Array::build(&[2, 7], |i| {
                let row = &x[0].data[3 * i[0]..][..3];
                let mean = row.iter().sum::<f64>() / 3.0;
                let squares = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
                let place = |descending: bool| sorted(row, descending)[0].1 as f64;
                match i[1] {
                    0 => row.iter().product(),
                    1 => squares / 2.0,
                    2 => (squares / 3.0).sqrt(),
                    3 => row.iter().map(|v| v * v).sum::<f64>().sqrt(),
                    4 => row.iter().map(|v| v.exp()).sum::<f64>().ln(),
                    5 => row.iter().map(|v| v.abs()).sum(),
                    _ => place(true) - place(false),
                }
            })
        },
        ..FLOAT
    },
    Case {
        name: "hard_swish",
        inputs: &[&[3, 5]],
        f: |v| (v[0] * 2.5).hard_swish(),
        reference: |x| {
            let f = |x: f64| x * (x + 3.0).clamp(0.0, 6.0) / 6.0;
            Array { data: x[0].data.iter().map(|x| f(2.5 * x)).collect(), ..x[0].clone() }
        },
        ..FLOAT
    },
];

fn values(v: Var<'_>) -> Vec<f64> {
    v.value().unwrap().to_f64_vec()
}

/// Each of equal entries gets the cotangent of its own place in the sorted order.
#[test]
fn sorted_ties_keep_their_cotangents() {
    let tape = Tape::new();
    let x = tape.var(Tensor::from_slice(&[2.0, 1.0, 2.0, f64::NAN, 1.0], [5]).unwrap());
    let ct = tape.constant(Tensor::from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0], [5]).unwrap());
    let [up] = (x.sort(0, false).0 * ct).sum().grad([x]);
    assert_eq!(values(up), [3.0, 1.0, 4.0, 5.0, 2.0]);
    let [down] = (x.sort(0, true).0 * ct).sum().grad([x]);
    assert_eq!(values(down), [2.0, 4.0, 3.0, 1.0, 5.0]);
    let (best, places) = x.topk(3, -1, true);
    assert_eq!(values(places), [3.0, 0.0, 2.0]);
    let [g] = best.sum().grad([x]);
    assert_eq!(values(g), [1.0, 0.0, 1.0, 1.0, 0.0]);
}

#[test]
fn edges_of_slices_and_sorts() {
    let tape = Tape::new();
    let x = tape.var(sampled([3, 4], DType::F64, &WIDE, &mut Rng::new(1)));
    let shape = |v: Var<'_>| {
        v.value().unwrap();
        v.shape().unwrap().to_vec()
    };
    assert_eq!(shape(x.slice(0, 3.., 2)), [0, 4]);
    assert_eq!(shape(x.slice(-1, 0..=3, 9)), [3, 1]);
    assert_eq!(shape(x.slice(1, .., usize::MAX)), [3, 1]);
    assert_eq!(x.slice(0, .., 1).id, x.id, "the whole axis is the value itself");
    let none = x.narrow(0, 0, 0);
    assert_eq!(shape(none.slice(0, .., 3)), [0, 4]);
    assert_eq!(shape(none.slice(1, .., 3)), [0, 2]);
    assert_eq!(shape(none.sort(0, false).0), [0, 4]);
    assert_eq!(shape(none.sort(1, false).0), [0, 4]);
    assert_eq!(shape(x.topk(0, 1, true).0), [3, 0]);
    assert_eq!(shape(none.topk(2, 1, true).1), [0, 2]);
    assert_eq!(values(x.narrow(0, 0, 1).argsort(0, true)), [0.0; 4]);
    assert_eq!(shape(tape.einsum("ij,jk", [none, x.t()])), [0, 3]);
    assert_eq!(values(tape.einsum("ij,ik->jk", [none, none])), [0.0; 16]);
    assert_eq!(shape(tape.einsum("ii->i", [tape.zeros([0, 0], DType::F32)])), [0]);
    assert_eq!(shape(tape.zeros([0, 2, 5], DType::F32).conv1d(tape.zeros([3, 2, 2], DType::F32), PLAIN)), [0, 3, 4]);
    assert_eq!(shape(tape.zeros([1, 0, 5], DType::F32).conv1d(tape.zeros([3, 0, 2], DType::F32), PLAIN)), [1, 3, 4]);
    for axis in [0, 1] {
        let [g] = none.slice(axis, .., 2).sum().grad([x]);
        assert_eq!(values(g), [0.0; 12]);
    }
}

#[test]
fn bernoulli_draws_where_uniform_is_below() {
    let probabilities = [0.0, 0.3, 1.0, -1.0, f64::NAN];
    for dtype in [DType::F32, DType::F64, DType::I64, DType::Bool] {
        let lane = if dtype.is_float() { dtype } else { DType::F32 };
        let rounded = |p: f64| if lane == DType::F32 { p as f32 as f64 } else { p };
        let tape = Tape::new();
        let key = tape.constant(3i64);
        let uniform = values(tape.uniform(key, [5, 100], lane));
        let one = tape.bernoulli(key, 0.3, [5, 100], dtype);
        let p = tape.constant(Tensor::from_slice(&probabilities, [5, 1]).unwrap().cast(lane));
        let several = tape.bernoulli(key, p, [5, 100], dtype);
        assert_eq!([one.dtype().unwrap(), several.dtype().unwrap()], [dtype; 2]);
        let draws = values(one).into_iter().zip(values(several)).zip(uniform);
        for (i, ((one, several), u)) in draws.enumerate() {
            assert_eq!(one, (u < rounded(0.3)) as u8 as f64, "{dtype} {i}");
            assert_eq!(several, (u < rounded(probabilities[i / 100])) as u8 as f64, "{dtype} {i}");
        }
    }
}

#[test]
fn the_registry_applies_what_its_names_say() {
    let tape = Tape::new();
    let named = |name: &str| Elementwise::all().find(|op| op.name() == name).unwrap();
    let x = tape.var(2.0f64);
    assert_eq!(named("sub").apply(&tape, &[tape.var(5.0f64), x]).item().unwrap(), 3.0);
    let picked = named("select").apply(&tape, &[tape.constant(false), x, tape.var(9.0f64)]);
    assert_eq!((picked.item().unwrap(), named("select").arity()), (9.0, 3));
    assert_eq!(format!("{:?}", named("tanh")), "tanh");
    let error = named("tanh").apply(&tape, &[index(x, &[1], &[1])]).value().unwrap_err();
    assert!(error.to_string().starts_with("tanh: the operand is i64"), "{error}");
}
