//! Uses of the structural operations, each with its definition written as plain loops.

use crate::{DType, ScanOptions, Tensor, Var};

/// A value as plain numbers, for references written as the definition reads.
#[derive(Clone)]
pub(super) struct Array {
    pub shape: Vec<usize>,
    pub data: Vec<f64>,
}

impl Array {
    pub(super) fn of(tensor: &Tensor) -> Array {
        Array { shape: tensor.shape().to_vec(), data: tensor.to_f64_vec() }
    }

    pub(super) fn build(shape: &[usize], f: impl Fn(&[usize]) -> f64) -> Array {
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

    pub(super) fn at(&self, index: &[usize]) -> f64 {
        self.data[index.iter().zip(&self.shape).fold(0, |at, (i, n)| at * n + i)]
    }
}

/// One use of an operation.
pub(super) struct Case {
    pub name: &'static str,
    /// Shapes of the float inputs.
    pub inputs: &'static [&'static [usize]],
    pub f: for<'t> fn(&[Var<'t>]) -> Var<'t>,
    /// The definition.
    pub reference: fn(&[Array]) -> Array,
    /// Whether it also takes integers.
    pub integers: bool,
    /// Whether its derivative is checked.
    pub smooth: bool,
    /// The error allowed in F64, relative to the larger of 1 and the result: 0 where no function is approximated.
    pub tolerance: f64,
}

pub(super) const CASE: Case = Case {
    name: "",
    inputs: &[],
    f: |v| v[0],
    reference: |x| x[0].clone(),
    integers: true,
    smooth: true,
    tolerance: 0.0,
};

pub(super) fn index<'t>(v: Var<'t>, values: &[i64], shape: &[usize]) -> Var<'t> {
    v.tape().constant(Tensor::from_slice(values, shape).unwrap())
}

/// A step of a sum of products, as the kernels take it: fused where the processor fuses.
fn multiply_add(a: f64, b: f64, sum: f64) -> f64 {
    if wengert_kernels::isa() == wengert_kernels::Isa::Portable { a * b + sum } else { a.mul_add(b, sum) }
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
        (0..k).fold(0.0, |sum, j| multiply_add(place(a, mn[0], j), place(b, j, mn[1]), sum))
    })
}

pub(super) static CASES: &[Case] = &[
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
        name: "matmul of a batch by a matrix, over nothing",
        inputs: &[&[2, 3, 0], &[0, 4]],
        f: |v| v[0].matmul(v[1]),
        reference: |x| product(&x[0], &x[1], &[2]),
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
        reference: |x| Array::build(&[], |_| (0..4).fold(0.0, |s, i| multiply_add(x[0].at(&[i]), x[1].at(&[i]), s))),
        integers: false,
        ..CASE
    },
    Case {
        name: "matrix by vector",
        inputs: &[&[2, 3], &[3]],
        f: |v| v[0].matmul(v[1]),
        reference: |x| {
            Array::build(&[2], |i| (0..3).fold(0.0, |s, k| multiply_add(x[0].at(&[i[0], k]), x[1].at(&[k]), s)))
        },
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
        name: "concat of a value with what needs all of it",
        inputs: &[&[3, 2]],
        f: |v| {
            let y = v[0] + v[0];
            v[0].tape().concat(&[y, y * y.sum_keep(1), y.max_keep(1) - y], 1)
        },
        reference: |x| {
            Array::build(&[3, 6], |i| {
                let y = |j: usize| 2.0 * x[0].at(&[i[0], j]);
                let own = y(i[1] % 2);
                match i[1] / 2 {
                    0 => own,
                    1 => own * (y(0) + y(1)),
                    _ => y(0).max(y(1)) - own,
                }
            })
        },
        ..CASE
    },
    Case {
        name: "gates with a bias",
        inputs: &[&[3, 4], &[4]],
        f: |v| {
            let [a, b] = ((v[0] + v[1]) * 2).chunk();
            a * b
        },
        reference: |x| {
            let z = |i: &[usize], j: usize| (x[0].at(&[i[0], j]) + x[1].at(&[j])) * 2.0;
            Array::build(&[3, 2], |i| z(i, i[1]) * z(i, i[1] + 2))
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
    Case {
        name: "draws",
        inputs: &[&[2, 3]],
        f: |v| {
            let tape = v[0].tape();
            let draws = tape.uniform(tape.constant(11i64).fold_in(5), [2, 3], DType::F64);
            v[0] * draws.cast(v[0].dtype().unwrap())
        },
        reference: |x| {
            let mut draws = [0.0; 6];
            wengert_kernels::uniform_f64(wengert_kernels::fold_in(11, 5), &mut draws);
            Array::build(&[2, 3], |i| x[0].at(i) * draws[i[0] * 3 + i[1]])
        },
        integers: false,
        ..CASE
    },
];
