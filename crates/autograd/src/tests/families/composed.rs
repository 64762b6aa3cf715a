//! Compositions: what is recorded as several operations.

use super::super::dual::{Dual, Duals, broadcast, total};
use super::{Draw, Entry, FLOATS, Facts, MOVES, SUMS, Use, full, list, reduced, used};
use crate::ops::Sample;
use crate::{DType, Var};

/// A composition of one operand, element by element.
pub(crate) struct Each {
    pub name: &'static str,
    pub sample: Sample,
    pub record: for<'t> fn(Var<'t>) -> Var<'t>,
    pub reference: fn(Dual) -> Dual,
}

const fn smooth(low: f64, high: f64) -> Sample {
    Sample { low, high, avoid: &[] }
}

const OFF_ZERO: Sample = Sample { low: -2.0, high: 2.0, avoid: &[0.0] };
const OFF_ONES: Sample = Sample { low: -2.0, high: 2.0, avoid: &[-1.0, 1.0] };

fn c(x: f64) -> Dual {
    x.into()
}

fn clamp(x: Dual, low: f64, high: f64) -> Dual {
    match (x.above(low), x.above(high)) {
        (false, _) => c(low),
        (_, true) => c(high),
        _ => x,
    }
}

fn elu(x: Dual, alpha: f64) -> Dual {
    if x.above(0.0) { x } else { x.exp_m1() * c(alpha) }
}

fn cube(x: Dual) -> Dual {
    x * x * x
}

pub(crate) static EACH: &[Each] = &[
    Each {
        name: "leaky_relu",
        sample: OFF_ZERO,
        record: |v| v.leaky_relu(0.1),
        reference: |x| if x.above(0.0) { x } else { x * c(0.1) },
    },
    Each { name: "elu", sample: OFF_ZERO, record: |v| v.elu(0.7), reference: |x| elu(x, 0.7) },
    Each {
        name: "selu",
        sample: OFF_ZERO,
        record: |v| v.selu(),
        reference: |x| elu(x, 1.673_263_242_354_377_2) * c(1.050_700_987_355_480_5),
    },
    Each { name: "silu", sample: smooth(-3.0, 3.0), record: |v| v.silu(), reference: |x| x / (c(1.0) + (-x).exp()) },
    Each {
        name: "mish",
        sample: smooth(-3.0, 3.0),
        record: |v| v.mish(),
        reference: |x| x * (c(1.0) + x.exp()).ln().tanh(),
    },
    Each { name: "softsign", sample: OFF_ZERO, record: |v| v.softsign(), reference: |x| x / (c(1.0) + x.abs()) },
    Each {
        name: "gelu",
        sample: smooth(-2.0, 2.0),
        record: |v| v.gelu(),
        reference: |x| x * c(0.5) * (c(1.0) + (x / c(2f64.sqrt())).erf()),
    },
    Each {
        name: "gelu_tanh",
        sample: smooth(-2.0, 2.0),
        record: |v| v.gelu_tanh(),
        reference: |x| {
            let inner = c((2.0 / std::f64::consts::PI).sqrt()) * (x + c(0.044715) * cube(x));
            x * c(0.5) * (c(1.0) + inner.tanh())
        },
    },
    Each {
        name: "hard_sigmoid",
        sample: Sample { low: -4.0, high: 4.0, avoid: &[-3.0, 3.0] },
        record: |v| v.hard_sigmoid(),
        reference: |x| clamp(x + c(3.0), 0.0, 6.0) / c(6.0),
    },
    Each {
        name: "hard_swish",
        sample: Sample { low: -4.0, high: 4.0, avoid: &[-3.0, 3.0] },
        record: |v| v.hard_swish(),
        reference: |x| x * clamp(x + c(3.0), 0.0, 6.0) / c(6.0),
    },
    Each { name: "hard_tanh", sample: OFF_ONES, record: |v| v.hard_tanh(), reference: |x| clamp(x, -1.0, 1.0) },
    Each {
        name: "relu6",
        sample: Sample { low: -2.0, high: 8.0, avoid: &[0.0, 6.0] },
        record: |v| v.relu6(),
        reference: |x| clamp(x, 0.0, 6.0),
    },
    Each {
        name: "clamp",
        sample: Sample { low: -2.0, high: 2.0, avoid: &[-1.0, 1.5] },
        record: |v| v.clamp(-1.0, 1.5),
        reference: |x| clamp(x, -1.0, 1.5),
    },
    Each {
        name: "powf",
        sample: smooth(0.3, 2.0),
        record: |v| v.powf(2.5) + v.powf(2.0) - v.powf(1.0) * v.powf(0.0),
        reference: |x| (x.ln() * c(2.5)).exp() + x * x - x,
    },
    Each {
        name: "numbers",
        sample: smooth(-2.0, 2.0),
        record: |v| 1 - (v * 3 + 0.5) / 2 + 1.0 * v - 0.0,
        reference: |x| c(1.0) - (x * c(3.0) + c(0.5)) / c(2.0) + x,
    },
    Each {
        name: "a gradient taken in place",
        sample: smooth(-2.0, 2.0),
        record: |v| {
            let [g] = (v.sin() * v).sum().grad([v]);
            g
        },
        reference: |x| x.cos() * x + x.sin(),
    },
    Each {
        name: "a tangent taken in place",
        sample: smooth(-2.0, 2.0),
        record: |v| v.tanh().jvp([(v, v.cos())]),
        reference: |x| (c(1.0) - x.tanh() * x.tanh()) * x.cos(),
    },
];

fn mean(line: &[Dual]) -> Dual {
    total(line) / c(line.len() as f64)
}

fn variance(line: &[Dual], correction: usize) -> Dual {
    let mean = mean(line);
    let squares: Vec<Dual> = line.iter().map(|x| (*x - mean) * (*x - mean)).collect();
    total(&squares) / c((line.len() - correction) as f64)
}

fn norm(line: &[Dual]) -> Dual {
    total(&line.iter().map(|x| *x * *x).collect::<Vec<_>>()).sqrt()
}

fn with(i: &[usize], axis: usize, at: usize) -> Vec<usize> {
    let mut index = i.to_vec();
    index[axis] = at;
    index
}

/// A function that keeps the shape: of an element, and of the line along an axis on which it lies.
fn along(
    axis: usize,
    s: &[usize],
    record: impl for<'t> Fn(Var<'t>) -> Var<'t> + 'static,
    f: impl Fn(usize, &[Dual]) -> Dual + 'static,
) -> Option<Use> {
    let n = s[axis];
    used(
        &[s],
        move |v| record(v[0]),
        move |x| {
            let line = |i: &[usize]| (0..n).map(|j| x[0].at(&with(i, axis, j))).collect::<Vec<_>>();
            Duals::build(&x[0].shape, |i| f(i[axis], &line(i)))
        },
    )
}

/// An axis that has entries, with the others not empty.
fn filled(d: &mut Draw<'_>, s: &[usize]) -> Option<(usize, isize)> {
    let axis = d.axis(s).filter(|_| full(s))?;
    Some((axis, d.written(axis, s.len())))
}

/// The place of the largest, of the smallest with `sign` -1.
fn place(line: &[Dual], sign: f64) -> Dual {
    let first = |a: usize, b: usize| {
        if (line[b] - line[a]).above(0.0) == (sign > 0.0) && line[a].x != line[b].x { b } else { a }
    };
    c((0..line.len()).reduce(first).expect("the line is not empty") as f64)
}

const STEPS: Facts = Facts { smooth: false, ..MOVES };

pub(crate) static COMPOSED: &[Entry] = &[
    ("sum", SUMS, |_, s| used(&[s], |v| v[0].sum(), |x| Duals { shape: vec![], data: vec![total(&x[0].data)] })),
    ("mean", FLOATS, |_, s| {
        full(s).then(|| used(&[s], |v| v[0].mean(), |x| Duals { shape: vec![], data: vec![mean(&x[0].data)] }))?
    }),
    ("mean_axes", FLOATS, |d, s| {
        full(s).then(|| reduced(d, s, |v, a| v.mean_axes(a), Some(|v, a| v.mean_keep(a)), mean))?
    }),
    ("softmax", FLOATS, |d, s| {
        let (axis, at) = filled(d, s)?;
        along(
            axis,
            s,
            move |v| v.softmax(at),
            |j, l| l[j].exp() / total(&l.iter().map(|x| x.exp()).collect::<Vec<_>>()),
        )
    }),
    ("log_softmax", FLOATS, |d, s| {
        let (axis, at) = filled(d, s)?;
        let sum = |l: &[Dual]| total(&l.iter().map(|x| x.exp()).collect::<Vec<_>>()).ln();
        along(axis, s, move |v| v.log_softmax(at), move |j, l| l[j] - sum(l))
    }),
    ("logsumexp", FLOATS, |d, s| {
        let sum = |l: &[Dual]| total(&l.iter().map(|x| x.exp()).collect::<Vec<_>>()).ln();
        full(s).then(|| reduced(d, s, |v, a| v.logsumexp(a), Some(|v, a| v.logsumexp_keep(a)), sum))?
    }),
    ("var_axes", FLOATS, |d, s| match d.coin() {
        true => full(s)
            .then(|| reduced(d, s, |v, a| v.var_axes(a, 0), Some(|v, a| v.var_keep(a, 0)), |l| variance(l, 0)))?,
        false => s
            .iter()
            .all(|n| *n > 1)
            .then(|| (!s.is_empty()).then(|| reduced(d, s, |v, a| v.var_axes(a, 1), None, |l| variance(l, 1)))?)?,
    }),
    // Away from its root at 0, which lies where all elements are equal.
    ("std_axes", FLOATS, |d, s| {
        let shifted = |line: &[Dual]| {
            let line: Vec<Dual> = line.iter().enumerate().map(|(i, x)| *x + c(3.0 * (i % 2) as f64)).collect();
            variance(&line, 0).sqrt()
        };
        let (axis, at) = filled(d, s).filter(|(axis, _)| s[*axis] > 1)?;
        let mut stripes = vec![1; s.len()];
        stripes[axis] = s[axis];
        used(
            &[s],
            move |v| {
                let tape = v[0].tape();
                let odd = tape.arange(stripes[axis]).reshape(&stripes[..]);
                let odd = (odd - odd.cast(DType::F64).mul(0.5).floor().cast(DType::I64) * 2) * 3;
                let x = v[0] + odd.cast(v[0].dtype().expect("valid"));
                if at < 0 { x.std_axes(at, 0) } else { x.std_keep(at, 0).squeeze(at) }
            },
            move |x| x[0].over(&[axis], shifted),
        )
    }),
    ("norm", FLOATS, |d, s| {
        full(s).then(|| reduced(d, s, |v, a| v.norm(a), Some(|v, a| v.norm_keep(a)), norm)?.within(smooth(0.2, 2.0)))?
    }),
    ("vector_norm", Facts { smooth: false, ..FLOATS }, |d, s| {
        let norm =
            |l: &[Dual]| (total(&l.iter().map(|x| (x.ln() * c(3.0)).exp()).collect::<Vec<_>>()).ln() / c(3.0)).exp();
        let sum = |l: &[Dual]| total(&l.iter().map(|x| x.abs()).collect::<Vec<_>>());
        match d.coin() {
            true => full(s).then(|| {
                reduced(d, s, |v, a| v.vector_norm(3.0, a), Some(|v, a| v.vector_norm_keep(3.0, a)), norm)?
                    .within(smooth(0.2, 2.0))
            })?,
            false => reduced(d, s, |v, a| v.vector_norm(1.0, a), None, sum)?.within(OFF_ZERO),
        }
    }),
    ("layer_norm", FLOATS, |_, s| {
        let axis = s.len().checked_sub(1).filter(|_| full(s))?;
        let f = |j: usize, l: &[Dual]| (l[j] - mean(l)) / (variance(l, 0) + c(0.1)).sqrt();
        along(axis, s, |v| v.layer_norm(0.1), f)
    }),
    ("rms_norm", FLOATS, |_, s| {
        let axis = s.len().checked_sub(1).filter(|_| full(s))?;
        let squares = |l: &[Dual]| mean(&l.iter().map(|x| *x * *x).collect::<Vec<_>>());
        along(axis, s, |v| v.rms_norm(0.1), move |j, l| l[j] / (squares(l) + c(0.1)).sqrt())
    }),
    ("cosine_similarity", FLOATS, |d, s| {
        let (axis, at) = filled(d, s)?;
        let other = if d.coin() { s.to_vec() } else { s[axis..].to_vec() };
        used(
            &[s, &other],
            move |v| v[0].cosine_similarity(v[1], at),
            move |x| {
                let y = Duals::build(&broadcast(&[&x[0].shape, &x[1].shape]).expect("they fit"), |i| x[1].cast_at(i));
                let product = Duals::build(&y.shape, |i| x[0].cast_at(i) * y.at(i)).over(&[axis], total);
                let (a, b) = (x[0].over(&[axis], norm), y.over(&[axis], norm));
                Duals::build(&product.shape, |i| product.at(i) / (a.at(i) * b.at(i)))
            },
        )?
        .within(smooth(0.2, 2.0))
    }),
    ("cumsum", SUMS, |d, s| {
        let axis = d.axis(s)?;
        let at = d.written(axis, s.len());
        along(axis, s, move |v| v.cumsum(at), |j, l| total(&l[..=j]))
    }),
    ("cumprod", SUMS, |d, s| {
        let axis = d.axis(s)?;
        let at = d.written(axis, s.len());
        along(axis, s, move |v| v.cumprod(at), |j, l| l[..=j].iter().fold(c(1.0), |all, x| all * *x))
    }),
    ("argmax and argmin", STEPS, |d, s| {
        let (axis, at) = filled(d, s)?;
        used(
            &[s],
            move |v| {
                (v[0].argmax(at) * 10 + v[0].argmin(at) + v[0].argmax_keep(at).squeeze(at)
                    - v[0].argmin_keep(at).squeeze(at))
                .cast(v[0].dtype().expect("valid"))
            },
            move |x| x[0].over(&[axis], |l| place(l, 1.0) * c(11.0)),
        )
    }),
    ("pad", MOVES, |d, s| {
        let axis = d.axis(s)?;
        let (at, before, after) = (d.written(axis, s.len()), d.rng.below(3), d.rng.below(3));
        let shape = with(s, axis, before + s[axis] + after);
        used(
            &[s],
            move |v| v[0].pad(at, before, after, 3.0),
            move |x| {
                Duals::build(&shape, |i| match i[axis].checked_sub(before) {
                    Some(j) if j < x[0].shape[axis] => x[0].at(&with(i, axis, j)),
                    _ => c(3.0),
                })
            },
        )
    }),
    ("flip", MOVES, |d, s| {
        let axis = d.axis(s)?;
        let at = d.written(axis, s.len());
        along(axis, s, move |v| v.flip(at), |j, l| l[l.len() - 1 - j])
    }),
    ("roll", MOVES, |d, s| {
        let axis = d.axis(s)?;
        let (at, by) = (d.written(axis, s.len()), d.rng.below(13) as isize - 6);
        along(axis, s, move |v| v.roll(at, by), move |j, l| l[(j as isize - by).rem_euclid(l.len() as isize) as usize])
    }),
    ("split and unbind", MOVES, |d, s| {
        let (axis, at) = filled(d, s).filter(|(axis, _)| s[*axis] > 1)?;
        let (n, cut) = (s[axis], d.rng.below(s[axis] + 1));
        used(
            &[s],
            move |v| {
                let parts = v[0].split(at, &[cut, 0, n - cut]);
                let rows = v[0].unbind(at);
                v[0].tape().concat(&[parts[2], parts[0], parts[1]], at) * 2 + rows[n - 1].unsqueeze(axis as isize)
            },
            move |x| {
                let last = |i: &[usize]| x[0].at(&with(i, axis, n - 1));
                let moved = |i: &[usize]| x[0].at(&with(i, axis, (i[axis] + cut) % n));
                Duals::build(&x[0].shape, |i| moved(i) * c(2.0) + last(i))
            },
        )
    }),
    ("repeat", MOVES, |d, s| {
        let lead = if s.len() < 4 { d.rng.below(2) } else { 0 };
        let counts: Vec<usize> = (0..lead + s.len()).map(|_| d.rng.below(3)).collect();
        let extents = |i: usize| if i < lead { 1 } else { s[i - lead] };
        let shape: Vec<usize> = counts.iter().enumerate().map(|(i, n)| n * extents(i)).collect();
        used(
            &[s],
            move |v| v[0].repeat(&counts),
            move |x| {
                let within = |i: &[usize]| i[lead..].iter().zip(&x[0].shape).map(|(i, n)| i % n).collect::<Vec<_>>();
                Duals::build(&shape, |i| x[0].at(&within(i)))
            },
        )
    }),
    ("triu and tril", MOVES, |d, s| {
        let (k, rank) = (d.rng.below(7) as isize - 3, s.len());
        let upper = d.coin();
        (rank >= 2).then(|| {
            used(
                &[s],
                move |v| if upper { v[0].triu(k) } else { v[0].tril(k) },
                move |x| {
                    let kept = |i: &[usize]| {
                        let (row, column) = (i[rank - 2] as isize, i[rank - 1] as isize);
                        if upper { column >= row + k } else { column <= row + k }
                    };
                    Duals::build(&x[0].shape, |i| if kept(i) { x[0].at(i) } else { c(0.0) })
                },
            )
        })?
    }),
    ("one_hot", MOVES, |d, s| {
        let classes = 1 + d.rng.below(3);
        let index = d.index(s, classes);
        let shape: Vec<usize> = s.iter().copied().chain([classes]).collect();
        let places = list(&index, s);
        used(
            &[s],
            move |v| v[0].tape().constant(&places).one_hot(classes, v[0].dtype().expect("valid")) * v[0].unsqueeze(-1),
            move |x| {
                let data = x[0].data.iter().zip(&index);
                let row = |(x, hot): (&Dual, &usize)| -> Vec<Dual> {
                    (0..classes).map(|class| *x * c((class == *hot) as u8 as f64)).collect()
                };
                Duals { shape: shape.clone(), data: data.flat_map(row).collect() }
            },
        )
    }),
    ("normal", FLOATS, |d, s| {
        let key = d.rng.below(1000) as i64;
        used(
            &[s],
            move |v| {
                let tape = v[0].tape();
                let draws = tape.normal(tape.constant(key), v[0].shape().expect("valid"), DType::F64);
                v[0] * draws.cast(v[0].dtype().expect("valid"))
            },
            move |x| {
                let draws = |data: i64| {
                    let mut draws = vec![0.0; x[0].data.len()];
                    wengert_kernels::uniform_f64(wengert_kernels::fold_in(key, data), &mut draws);
                    draws
                };
                let normal = |(r, a): (f64, f64)| (-2.0 * (1.0 - r).ln()).sqrt() * (std::f64::consts::TAU * a).cos();
                let draws = draws(0).into_iter().zip(draws(1)).map(normal);
                Duals { data: x[0].data.iter().zip(draws).map(|(x, n)| *x * c(n)).collect(), ..x[0].clone() }
            },
        )
    }),
];
