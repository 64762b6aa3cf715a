//! Every structural operation: each variant of `Op` has a case here, or the first test fails.

use super::support::{LAYOUTS, Rng, WIDE, assert_equal, assert_gradients, laid_out, same_bits, sampled, scan_agrees};
use crate::node::Op;
use crate::{DType, ScanOptions, Tape, Tensor, Var};
use std::collections::BTreeSet;

/// Names every variant; a new one does not compile until it is listed, and fails `every_variant_has_a_case`
/// until it has a case.
macro_rules! variants {
    ($($pattern:pat => $name:literal),* $(,)?) => {
        const VARIANTS: &[&str] = &[$($name),*];
        fn variant(op: &Op) -> &'static str {
            match op {
                $($pattern => $name),*
            }
        }
    };
}
variants! {
    Op::Leaf(_) => "Leaf",
    Op::Scalar(_) => "Scalar",
    Op::Literal(_) => "Literal",
    Op::Placeholder { .. } => "Placeholder",
    Op::Scan(_) => "Scan",
    Op::Final(_) => "Final",
    Op::Tap(_) => "Tap",
    Op::Map(_) => "Map",
    Op::Cast => "Cast",
    Op::StopGradient => "StopGradient",
    Op::Error(_) => "Error",
    Op::Matmul(_) => "Matmul",
    Op::Reduce(_) => "Reduce",
    Op::Reshape(_) => "Reshape",
    Op::Permute(_) => "Permute",
    Op::Expand(_) => "Expand",
    Op::Slice(_) => "Slice",
    Op::Concat(_) => "Concat",
    Op::Gather(_) => "Gather",
    Op::ScatterAdd(_) => "ScatterAdd",
}

/// A value as plain numbers, for references written as the definition reads.
#[derive(Clone)]
struct Array {
    shape: Vec<usize>,
    data: Vec<f64>,
}

impl Array {
    fn of(tensor: &Tensor) -> Array {
        Array { shape: tensor.shape().to_vec(), data: tensor.to_f64_vec() }
    }

    fn build(shape: &[usize], f: impl Fn(&[usize]) -> f64) -> Array {
        let n: usize = shape.iter().product();
        let mut index = vec![0; shape.len()];
        let mut data = Vec::with_capacity(n);
        for at in 0..n {
            let mut rest = at;
            for axis in (0..shape.len()).rev() {
                index[axis] = rest % shape[axis];
                rest /= shape[axis];
            }
            data.push(f(&index));
        }
        Array { shape: shape.to_vec(), data }
    }

    fn at(&self, index: &[usize]) -> f64 {
        self.data[index.iter().zip(&self.shape).fold(0, |at, (i, n)| at * n + i)]
    }
}

/// One use of an operation.
struct Case {
    name: &'static str,
    /// Shapes of the float inputs.
    inputs: &'static [&'static [usize]],
    f: for<'t> fn(&[Var<'t>]) -> Var<'t>,
    /// The definition.
    reference: fn(&[Array]) -> Array,
    /// Whether it also takes integers.
    integers: bool,
    /// Whether its derivative is checked.
    smooth: bool,
}

const CASE: Case =
    Case { name: "", inputs: &[], f: |v| v[0], reference: |x| x[0].clone(), integers: true, smooth: true };

fn index<'t>(v: Var<'t>, values: &[i64], shape: &[usize]) -> Var<'t> {
    v.tape().constant(Tensor::from_slice(values, shape).unwrap())
}

fn product(a: &Array, b: &Array, batch: &[usize]) -> Array {
    let k = a.shape[a.shape.len() - 1];
    let shape: Vec<usize> =
        batch.iter().copied().chain([a.shape[a.shape.len() - 2], b.shape[b.shape.len() - 1]]).collect();
    Array::build(&shape, |i| {
        let (lead, mn) = i.split_at(batch.len());
        let place = |x: &Array, row: usize, col: usize| {
            let own = x.shape.len() - 2;
            let lead = &lead[lead.len() - own..];
            let mut at: Vec<usize> = lead.iter().zip(&x.shape).map(|(i, n)| if *n == 1 { 0 } else { *i }).collect();
            at.extend([row, col]);
            x.at(&at)
        };
        // The product is one sequence of fused multiply-adds.
        (0..k).fold(0.0, |sum, j| place(a, mn[0], j).mul_add(place(b, j, mn[1]), sum))
    })
}

static CASES: &[Case] = &[
    Case { name: "leaf", inputs: &[&[2, 3]], ..CASE },
    Case {
        name: "numbers",
        inputs: &[&[2, 3]],
        f: |v| v[0] * 3 + 1,
        reference: |x| Array { data: x[0].data.iter().map(|v| v * 3.0 + 1.0).collect(), ..x[0].clone() },
        ..CASE
    },
    Case {
        name: "cast there and back",
        inputs: &[&[2, 3]],
        f: |v| v[0].cast(DType::F64).cast(v[0].dtype().unwrap()),
        ..CASE
    },
    Case {
        name: "detach",
        inputs: &[&[3]],
        f: |v| v[0] + v[0].detach(),
        reference: |x| Array { data: x[0].data.iter().map(|v| v + v).collect(), ..x[0].clone() },
        smooth: false,
        ..CASE
    },
    Case {
        name: "matmul",
        inputs: &[&[3, 4], &[4, 2]],
        f: |v| v[0].matmul(v[1]),
        reference: |x| product(&x[0], &x[1], &[]),
        integers: false,
        ..CASE
    },
    Case {
        name: "matmul of batches",
        inputs: &[&[2, 1, 2, 3], &[3, 3, 2]],
        f: |v| v[0].matmul(v[1]),
        reference: |x| product(&x[0], &x[1], &[2, 3]),
        integers: false,
        ..CASE
    },
    Case {
        name: "matmul of a batch by a matrix",
        inputs: &[&[2, 3, 2], &[2, 4]],
        f: |v| v[0].matmul(v[1]),
        reference: |x| product(&x[0], &x[1], &[2]),
        integers: false,
        ..CASE
    },
    Case {
        name: "matmul of a matrix by a batch",
        inputs: &[&[2, 3], &[2, 3, 2]],
        f: |v| v[0].matmul(v[1]),
        reference: |x| product(&x[0], &x[1], &[2]),
        integers: false,
        ..CASE
    },
    Case {
        name: "matmul over nothing",
        inputs: &[&[2, 0], &[0, 3]],
        f: |v| v[0].matmul(v[1]),
        reference: |x| product(&x[0], &x[1], &[]),
        integers: false,
        ..CASE
    },
    Case {
        name: "matmul of transposes",
        inputs: &[&[4, 3], &[2, 4]],
        f: |v| v[0].t().matmul(v[1].t()),
        reference: |x| {
            let t = |a: &Array| Array::build(&[a.shape[1], a.shape[0]], |i| a.at(&[i[1], i[0]]));
            product(&t(&x[0]), &t(&x[1]), &[])
        },
        integers: false,
        ..CASE
    },
    Case {
        name: "dot product of vectors",
        inputs: &[&[4], &[4]],
        f: |v| v[0].matmul(v[1]),
        reference: |x| Array::build(&[], |_| (0..4).fold(0.0, |s, i| x[0].at(&[i]).mul_add(x[1].at(&[i]), s))),
        integers: false,
        ..CASE
    },
    Case {
        name: "matrix by vector",
        inputs: &[&[2, 3], &[3]],
        f: |v| v[0].matmul(v[1]),
        reference: |x| Array::build(&[2], |i| (0..3).fold(0.0, |s, k| x[0].at(&[i[0], k]).mul_add(x[1].at(&[k]), s))),
        integers: false,
        ..CASE
    },
    Case {
        name: "sum of all",
        inputs: &[&[2, 3]],
        f: |v| v[0].sum(),
        // Rows of up to sixteen addends are added as a balanced tree of halves.
        reference: |x| {
            Array::build(&[], |_| {
                let d = &x[0].data;
                ((d[0] + d[3]) + (d[2] + d[5])) + (d[1] + d[4])
            })
        },
        ..CASE
    },
    Case {
        name: "sum over the first axis",
        inputs: &[&[3, 2, 2]],
        f: |v| v[0].sum_axes(0),
        reference: |x| {
            Array::build(&[2, 2], |i| (0..3).map(|r| x[0].at(&[r, i[0], i[1]])).reduce(|a, b| a + b).unwrap())
        },
        ..CASE
    },
    Case {
        name: "sum over outer axes",
        inputs: &[&[2, 3, 2]],
        f: |v| v[0].sum_axes([0, 2]),
        reference: |x| {
            Array::build(&[3], |i| {
                let row = |o: usize| x[0].at(&[o, i[0], 0]) + x[0].at(&[o, i[0], 1]);
                row(0) + row(1)
            })
        },
        ..CASE
    },
    Case {
        name: "sum over an empty axis",
        inputs: &[&[2, 0, 3]],
        f: |v| v[0].sum_axes(1),
        reference: |_| Array::build(&[2, 3], |_| 0.0),
        ..CASE
    },
    Case {
        name: "max over the last axis",
        inputs: &[&[2, 5]],
        f: |v| v[0].max_axes(-1),
        reference: |x| Array::build(&[2], |i| (0..5).map(|j| x[0].at(&[i[0], j])).fold(f64::NEG_INFINITY, f64::max)),
        ..CASE
    },
    Case {
        name: "min over the first axis",
        inputs: &[&[4, 3]],
        f: |v| v[0].min_axes(0),
        reference: |x| Array::build(&[3], |i| (0..4).map(|j| x[0].at(&[j, i[0]])).fold(f64::INFINITY, f64::min)),
        ..CASE
    },
    Case {
        name: "reshape",
        inputs: &[&[2, 6]],
        f: |v| v[0].reshape([3, 2, 2]),
        reference: |x| Array { shape: vec![3, 2, 2], data: x[0].data.clone() },
        ..CASE
    },
    Case {
        name: "reshape of a transpose",
        inputs: &[&[2, 3, 2]],
        f: |v| v[0].transpose(0, 1).reshape([6, 2]),
        reference: |x| Array::build(&[6, 2], |i| x[0].at(&[i[0] % 2, i[0] / 2, i[1]])),
        ..CASE
    },
    Case {
        name: "permute",
        inputs: &[&[2, 3, 4]],
        f: |v| v[0].permute(&[2, 0, 1]),
        reference: |x| Array::build(&[4, 2, 3], |i| x[0].at(&[i[1], i[2], i[0]])),
        ..CASE
    },
    Case {
        name: "expand",
        inputs: &[&[2, 1]],
        f: |v| v[0].expand([3, 2, 4]),
        reference: |x| Array::build(&[3, 2, 4], |i| x[0].at(&[i[1], 0])),
        ..CASE
    },
    Case {
        name: "expand to nothing",
        inputs: &[&[1, 2]],
        f: |v| v[0].expand([0, 2]),
        reference: |_| Array::build(&[0, 2], |_| 0.0),
        ..CASE
    },
    Case {
        name: "narrow",
        inputs: &[&[3, 5]],
        f: |v| v[0].narrow(1, 1, 3),
        reference: |x| Array::build(&[3, 3], |i| x[0].at(&[i[0], i[1] + 1])),
        ..CASE
    },
    Case {
        name: "overlapping parts",
        inputs: &[&[5]],
        f: |v| v[0].narrow(0, 0, 3) + v[0].narrow(0, 1, 3) + v[0].narrow(0, 2, 3),
        reference: |x| Array::build(&[3], |i| x[0].at(&[i[0]]) + x[0].at(&[i[0] + 1]) + x[0].at(&[i[0] + 2])),
        ..CASE
    },
    Case {
        name: "chunks",
        inputs: &[&[2, 6]],
        f: |v| {
            let [a, b, c] = v[0].chunk();
            a * c + b
        },
        reference: |x| {
            Array::build(&[2, 2], |i| {
                let [a, b, c] = [0, 2, 4].map(|at| x[0].at(&[i[0], i[1] + at]));
                a * c + b
            })
        },
        ..CASE
    },
    Case {
        name: "concat",
        inputs: &[&[2, 2], &[2, 3], &[2, 1]],
        f: |v| v[0].tape().concat(v, 1),
        reference: |x| {
            Array::build(&[2, 6], |i| match i[1] {
                0..2 => x[0].at(i),
                2..5 => x[1].at(&[i[0], i[1] - 2]),
                _ => x[2].at(&[i[0], i[1] - 5]),
            })
        },
        ..CASE
    },
    Case {
        name: "concat of a computed value with itself and a part of it",
        inputs: &[&[3, 2]],
        f: |v| {
            let y = v[0] + v[0];
            v[0].tape().concat(&[y, v[0], y, y.narrow(1, 1, 1)], 1)
        },
        reference: |x| {
            Array::build(&[3, 7], |i| match i[1] {
                2 | 3 => x[0].at(&[i[0], i[1] - 2]),
                6 => 2.0 * x[0].at(&[i[0], 1]),
                j => 2.0 * x[0].at(&[i[0], j % 2]),
            })
        },
        ..CASE
    },
    Case {
        name: "concat of concats",
        inputs: &[&[2, 2]],
        f: |v| {
            let (y, z) = (v[0] * 2, v[0] - 1);
            let half = y.concat([z], 1);
            half.concat([half], 0).concat([y.concat([z], 0)], 1)
        },
        reference: |x| {
            Array::build(&[4, 6], |i| {
                let v = x[0].at(&[i[0] % 2, i[1] % 2]);
                let doubled = match i[1] / 2 {
                    0 => true,
                    1 => false,
                    _ => i[0] < 2,
                };
                if doubled { v * 2.0 } else { v - 1.0 }
            })
        },
        ..CASE
    },
    Case {
        name: "gather",
        inputs: &[&[3, 4]],
        f: |v| v[0].gather(1, index(v[0], &[0, 3, 3, 1, 2, 2], &[2, 3])),
        reference: |x| Array::build(&[2, 3], |i| x[0].at(&[i[0], [0, 3, 3, 1, 2, 2][i[0] * 3 + i[1]]])),
        ..CASE
    },
    Case {
        name: "index_select",
        inputs: &[&[3, 2]],
        f: |v| v[0].index_select(0, index(v[0], &[2, 0, 2, 1], &[4])),
        reference: |x| Array::build(&[4, 2], |i| x[0].at(&[[2, 0, 2, 1][i[0]], i[1]])),
        ..CASE
    },
    Case {
        name: "scatter_add",
        inputs: &[&[3, 2], &[2, 2]],
        f: |v| v[0].scatter_add(0, index(v[0], &[2, 0, 2, 1], &[2, 2]), v[1]),
        reference: |x| {
            Array::build(&[3, 2], |i| {
                (0..2).fold(x[0].at(i), |sum, r| {
                    if [2, 0, 2, 1][r * 2 + i[1]] == i[0] { sum + x[1].at(&[r, i[1]]) } else { sum }
                })
            })
        },
        ..CASE
    },
    Case {
        name: "scan",
        inputs: &[&[2], &[3, 2], &[2]],
        f: |v| {
            let (last, ys) = v[0].tape().scan(v[0], v[1], |s, x| {
                let next = s * x + v[2];
                (next, next * s)
            });
            ys.concat([last.unsqueeze(0)], 0)
        },
        reference: |x| {
            Array::build(&[4, 2], |i| {
                let (mut s, mut y) = (x[0].at(&i[1..]), 0.0);
                for t in 0..3.min(i[0] + 1) {
                    let next = s * x[1].at(&[t, i[1]]) + x[2].at(&i[1..]);
                    (s, y) = (next, next * s);
                }
                if i[0] == 3 { s } else { y }
            })
        },
        ..CASE
    },
    Case {
        name: "reversed scan",
        inputs: &[&[2], &[3, 2]],
        f: |v| {
            let options = ScanOptions::default().reversed();
            let (last, ys) = v[0].tape().scan_with(options, v[0], v[1], |s, x| (s * x + 1, s));
            ys.concat([last.unsqueeze(0)], 0)
        },
        reference: |x| {
            Array::build(&[4, 2], |i| {
                let mut s = x[0].at(&i[1..]);
                for t in (0..3).rev().filter(|t| i[0] == 3 || *t > i[0]) {
                    s = s * x[1].at(&[t, i[1]]) + 1.0;
                }
                s
            })
        },
        ..CASE
    },
];

fn inputs(case: &Case, dtype: DType, rng: &mut Rng) -> Vec<Tensor> {
    case.inputs.iter().map(|shape| sampled(*shape, dtype, &WIDE, rng)).collect()
}

/// The types in which a case is computed, with the tolerance of its reference, which computes in f64.
fn types(case: &Case) -> Vec<DType> {
    if case.integers { vec![DType::F64, DType::F32, DType::I64] } else { vec![DType::F64, DType::F32] }
}

#[test]
fn every_variant_has_a_case() {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for case in CASES {
        let tape = Tape::new();
        let vars: Vec<Var<'_>> = inputs(case, DType::F64, &mut Rng::new(0)).iter().map(|x| tape.var(x)).collect();
        let y = (case.f)(&vars);
        if case.smooth {
            y.square().sum().grad_or_none([vars[0]]);
        }
        seen.extend(tape.inner.borrow().nodes.iter().map(|node| variant(&node.op)));
    }
    assert!(!seen.contains("Error"), "a case is invalid");
    // Errors have tests of their own (tests/errors.rs).
    let missing: Vec<&&str> = VARIANTS.iter().filter(|name| **name != "Error" && !seen.contains(**name)).collect();
    assert!(missing.is_empty(), "no case records {missing:?}");
}

#[test]
fn values_are_those_of_the_definition() {
    let rng = &mut Rng::new(1);
    for case in CASES {
        for dtype in types(case) {
            for layout in LAYOUTS {
                let what = format!("{} in {dtype}, {layout:?}", case.name);
                let inputs = inputs(case, dtype, rng);
                let tape = Tape::new();
                let vars: Vec<Var<'_>> = inputs.iter().map(|x| laid_out(&tape, x, layout)).collect();
                let found = same_bits(&tape, &[(case.f)(&vars)], &what).remove(0);
                assert_eq!(found.dtype(), dtype, "{what}");
                let arrays: Vec<Array> = inputs.iter().map(Array::of).collect();
                let wanted = (case.reference)(&arrays);
                assert_eq!(found.shape().to_vec(), wanted.shape, "{what}");
                let tolerance = if dtype == DType::F32 { 1e-5 } else { 0.0 };
                for (x, y) in found.to_f64_vec().iter().zip(&wanted.data) {
                    assert!((x - y).abs() <= tolerance * y.abs().max(1.0), "{what}: {x:?} is not {y:?}");
                }
            }
        }
    }
}

#[test]
fn a_scan_gives_what_the_steps_give() {
    let rng = &mut Rng::new(2);
    for case in CASES {
        for dtype in types(case) {
            for held in 0..=case.inputs.len() {
                let steps: Vec<Vec<Tensor>> = (0..3).map(|_| inputs(case, dtype, rng)).collect();
                let held: Vec<bool> = (0..case.inputs.len()).map(|i| i == held && case.inputs.len() > 1).collect();
                let what = format!("{} in {dtype}, held {held:?}", case.name);
                scan_agrees(&case.f, &steps, &held, held[0], &what);
            }
        }
    }
}

#[test]
fn gradients_are_those_of_differences() {
    let rng = &mut Rng::new(3);
    for case in CASES.iter().filter(|case| case.smooth) {
        assert_gradients(case.f, &inputs(case, DType::F64, rng), case.name);
        // A weight makes cotangents differ, a square gives the second order something to do.
        assert_gradients(|v| (case.f)(v).square().tanh().sum(), &inputs(case, DType::F64, rng), case.name);
    }
}

/// The gradient inside of a scan, of a case that is evaluated at each step with carried and scanned inputs.
#[test]
fn gradients_through_a_scan_are_those_of_differences() {
    let rng = &mut Rng::new(4);
    for case in CASES.iter().filter(|case| case.smooth) {
        for reverse in [false, true] {
            let inputs = inputs(case, DType::F64, rng);
            assert_gradients(
                |v| {
                    let options = ScanOptions { reverse, length: Some(2) };
                    let scale = v[0].tape().constant(Tensor::from_slice(&[0.7, -0.4], [2]).unwrap());
                    let (last, ys) = v[0].tape().scan_with(options, v[0], scale, |s, w| {
                        let mut now = v.to_vec();
                        now[0] = s;
                        let y = (case.f)(&now).tanh().sum() * w;
                        ((s * 0.5 + y) * w, y)
                    });
                    last.sum() * 0.1 + ys.sum()
                },
                &inputs,
                &format!("{} in a scan, reverse {reverse}", case.name),
            );
        }
    }
}

#[test]
fn casts_convert_as_rust_does() {
    let values = [f64::NAN, f64::INFINITY, -1e30, -1.7, -0.0, 0.5, 2.9, 1e30];
    let tape = Tape::new();
    let x = tape.constant(Tensor::from_slice(&values, [8]).unwrap());
    let y = same_bits(&tape, &[x.cast(DType::I64), x.cast(DType::F32), x.cast(DType::Bool)], "cast");
    assert_eq!(y[0].to_vec::<i64>().unwrap(), values.map(|v| v as i64));
    let singles = Tensor::from_slice(&values.map(|v| v as f32), [8]).unwrap();
    assert_equal(&y[1], &singles, "f32");
    assert_eq!(y[2].to_vec::<bool>().unwrap(), values.map(|v| v != 0.0));
    let truth = tape.constant(Tensor::from_slice(&[true, false], [2]).unwrap());
    for dtype in [DType::F32, DType::F64, DType::I64] {
        assert_eq!(truth.cast(dtype).value().unwrap().to_f64_vec(), [1.0, 0.0]);
    }
}
