//! Slices, sorting, windows, sums over named axes; checkpoints, and derivatives and operations of one's own.

use super::super::dual::{Dual, Duals, total};
use super::{Entry, FLOATS, Facts, MOVES, SUMS, full, swapped, used};
use crate::{Conv1dOptions, CustomOp, DType, Derivative, Tensor};

/// The places of a line's entries in sorted order; equal ones keep their order.
fn places(line: &[Dual], descending: bool) -> Vec<usize> {
    let mut all: Vec<usize> = (0..line.len()).collect();
    // What is nearly equal may be in another order elsewhere.
    for (i, x) in line.iter().enumerate() {
        line[..i].iter().for_each(|y| {
            (*x - *y).above(0.0);
        });
    }
    all.sort_by(|a, b| {
        let order = line[*a].x.partial_cmp(&line[*b].x).unwrap_or(std::cmp::Ordering::Equal);
        if descending { order.reverse() } else { order }
    });
    all
}

fn product(x: &[Duals]) -> Duals {
    Duals::build(&x[0].shape, |i| x[0].at(i) * x[1].at(i))
}

const JUMPS: Facts = Facts { smooth: false, ..MOVES };

pub(super) static SELECTED: &[Entry] = &[
    ("slice", MOVES, |d, s| {
        let axis = d.axis(s)?;
        let (start, step) = (d.rng.below(s[axis] + 1), 1 + d.rng.below(3));
        let end = start + d.rng.below(s[axis] - start + 1);
        let shape = swapped(s, axis, (end - start).div_ceil(step));
        let at = d.written(axis, s.len());
        used(
            &[s],
            move |v| v[0].slice(at, start..end, step),
            move |x| Duals::build(&shape, |i| x[0].at(&swapped(i, axis, start + i[axis] * step))),
        )
    }),
    ("sort and argsort", JUMPS, |d, s| {
        let (axis, down) = (d.axis(s)?, d.coin());
        let (at, n) = (d.written(axis, s.len()), s[axis]);
        used(
            &[s],
            move |v| v[0].sort(at, down).0 + v[0].argsort(at, !down).cast(v[0].dtype().expect("valid")),
            move |x| {
                Duals::build(&x[0].shape, |i| {
                    let line: Vec<Dual> = (0..n).map(|j| x[0].at(&swapped(i, axis, j))).collect();
                    line[places(&line, down)[i[axis]]] + (places(&line, !down)[i[axis]] as f64).into()
                })
            },
        )
    }),
    ("topk", JUMPS, |d, s| {
        let (axis, largest) = (d.axis(s)?, d.coin());
        let (at, n, k) = (d.written(axis, s.len()), s[axis], d.rng.below(s[axis] + 1));
        let shape = swapped(s, axis, k);
        used(
            &[s],
            move |v| v[0].topk(k, at, largest).0,
            move |x| {
                Duals::build(&shape, |i| {
                    let line: Vec<Dual> = (0..n).map(|j| x[0].at(&swapped(i, axis, j))).collect();
                    line[places(&line, largest)[i[axis]]]
                })
            },
        )
    }),
    ("unfold", MOVES, |d, s| {
        let axis = d.axis(s).filter(|axis| s[*axis] > 0)?;
        let (size, step, at) = (1 + d.rng.below(s[axis]), 1 + d.rng.below(3), d.written(axis, s.len()));
        let mut shape = swapped(s, axis, (s[axis] - size) / step + 1);
        shape.push(size);
        used(
            &[s],
            move |v| v[0].unfold(at, size, step),
            move |x| {
                Duals::build(&shape, |i| {
                    let (entry, window) = i.split_at(i.len() - 1);
                    x[0].at(&swapped(entry, axis, entry[axis] * step + window[0]))
                })
            },
        )
    }),
    ("conv1d", FLOATS, |d, s| {
        let [_, channels, len] = s[..] else { return None };
        let groups = if channels % 2 == 0 && d.coin() { 2 } else { 1 };
        let (stride, padding, dilation) = (1 + d.rng.below(2), d.rng.below(3), 1 + d.rng.below(2));
        let (window, outs) = (1 + d.rng.below(3), groups * (1 + d.rng.below(2)));
        let reach = dilation * (window - 1) + 1;
        let positions = (len + 2 * padding).checked_sub(reach).filter(|_| full(s))? / stride + 1;
        let (ins, shape) = (channels / groups, vec![s[0], outs, positions]);
        let options = Conv1dOptions::default().stride(stride).padding(padding).dilation(dilation).groups(groups);
        used(
            &[s, &[outs, ins, window]],
            move |v| v[0].conv1d(v[1], options),
            move |x| {
                Duals::build(&shape, |i| {
                    let first = i[1] / (outs / groups) * ins;
                    let mut terms = Vec::new();
                    for c in 0..ins {
                        for k in 0..window {
                            let at = (i[2] * stride + k * dilation).wrapping_sub(padding);
                            if at < len {
                                terms.push(x[1].at(&[i[1], c, k]) * x[0].at(&[i[0], first + c, at]));
                            }
                        }
                    }
                    total(&terms)
                })
            },
        )
    }),
    ("einsum", FLOATS, |d, s| match s[..] {
        [n] => used(
            &[s, &[2, n]],
            |v| v[0].tape().einsum("j,ij->i", [v[0], v[1]]),
            move |x| {
                let terms = |i: usize| (0..n).map(|j| x[0].at(&[j]) * x[1].at(&[i, j])).collect::<Vec<_>>();
                Duals::build(&[2], |i| total(&terms(i[0])))
            },
        ),
        [m, k] if d.coin() => used(
            &[s, &[3, k]],
            |v| v[0].tape().einsum("ij,kj->ki", [v[0], v[1]]),
            move |x| {
                let terms = |i: &[usize]| (0..k).map(|j| x[0].at(&[i[1], j]) * x[1].at(&[i[0], j])).collect::<Vec<_>>();
                Duals::build(&[3, m], |i| total(&terms(i)))
            },
        ),
        [m, k] if m == k => {
            used(&[s], |v| v[0].tape().einsum("ii->i", [v[0]]), move |x| Duals::build(&[m], |i| x[0].at(&[i[0], i[0]])))
        }
        [b, m, k] => used(
            &[s, &[b, k, 2]],
            |v| v[0].tape().einsum("...ij,...jk->...ki", [v[0], v[1]]),
            move |x| {
                let term = |i: &[usize], j: usize| x[0].at(&[i[0], i[2], j]) * x[1].at(&[i[0], j, i[1]]);
                Duals::build(&[b, 2, m], |i| total(&(0..k).map(|j| term(i, j)).collect::<Vec<_>>()))
            },
        ),
        _ => None,
    }),
    ("bernoulli", FLOATS, |d, s| {
        let key = d.rng.below(1000) as i64;
        used(
            &[s],
            move |v| {
                let (tape, dtype) = (v[0].tape(), v[0].dtype().expect("valid"));
                let mask = tape.bernoulli(tape.constant(key), 0.4, v[0].shape().expect("valid"), DType::F64);
                v[0] * mask.cast(dtype)
            },
            move |x| {
                let mut draws = vec![0.0; x[0].data.len()];
                wengert_kernels::uniform_f64(key, &mut draws);
                let data = x[0].data.iter().zip(&draws).map(|(x, u)| *x * ((*u < 0.4) as u8 as f64).into()).collect();
                Duals { data, ..x[0].clone() }
            },
        )
    }),
    ("custom_derivative", Facts { integers: false, ..MOVES }, |_, s| {
        used(
            &[s, s],
            |v| {
                let rule = Derivative::jvp(|[a, b], _, [s, t]| s * b + a * t);
                v[0].tape().custom_derivative([v[0], v[1]], |[a, b]| a * b, rule)
            },
            product,
        )
    }),
    ("custom_op", Facts { integers: false, ..MOVES }, |_, s| {
        used(
            &[s, s],
            |v| {
                let op = CustomOp::new("product", |[a, b]| {
                    let values = a.to_f64_vec().iter().zip(b.to_f64_vec()).map(|(a, b)| a * b).collect();
                    Ok(Tensor::from_vec::<f64>(values, a.shape().clone())?.cast(a.dtype()))
                });
                v[0].tape().custom_op(&op.derivative(Derivative::of(|[a, b]| a * b)), [v[0], v[1]])
            },
            product,
        )
    }),
    ("with_derivative_of", Facts { honest: false, ..JUMPS }, |_, s| {
        used(&[s], |v| v[0].detach().with_derivative_of(v[0] * 2), |x| x[0].map(|x| Dual { x: x.x, ..x * 2.0.into() }))
    }),
    ("checkpoint", SUMS, |_, s| {
        used(
            &[s, s],
            |v| v[0].tape().checkpoint(|| (v[0] * v[1] - v[0]) * v[1]),
            |x| Duals::build(&x[0].shape, |i| (x[0].at(i) * x[1].at(i) - x[0].at(i)) * x[1].at(i)),
        )
    }),
];
