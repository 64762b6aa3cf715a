//! Operations with rules of their own, and the methods that are one of them under another name.

use super::super::dual::{Dual, Duals, broadcast, total};
use super::{Draw, Entry, FLOATS, Facts, MOVES, SUMS, Use, full, list, reduced, swapped, used};
use crate::{DType, ScanOptions};

/// The largest, the smallest with `sign` -1; the mean of those that tie, which share the derivative.
fn largest(line: &[Dual], sign: f64) -> Dual {
    let best = line.iter().copied().reduce(|a, b| a.extremum(b, sign)).expect("a line that is not empty");
    let tied: Vec<Dual> = line.iter().copied().filter(|v| v.x == best.x).collect();
    Dual { x: best.x, ..total(&tied) / (tied.len() as f64).into() }
}

fn matmul(draw: &mut Draw<'_>, s: &[usize]) -> Option<Use> {
    let k = *s.last()?;
    let lead = &s[..s.len().saturating_sub(2)];
    let n = draw.rng.below(5);
    let mut other: Vec<usize> = match draw.rng.below(4) {
        0 => vec![],
        1 => lead.iter().map(|n| if draw.rng.below(2) == 0 { 1 } else { *n }).collect(),
        2 if s.len() == 2 => vec![2],
        _ => lead.to_vec(),
    };
    other.extend([k, n]);
    if draw.rng.below(4) == 0 {
        other = vec![k];
    }
    let other = draw.other(other, |o| {
        let lead = |s: &[usize]| s[..s.len().saturating_sub(2)].to_vec();
        !o.is_empty() && o[o.len().saturating_sub(2)] == k && broadcast(&[&lead(s), &lead(o)]).is_some()
    });
    used(
        &[s, &other],
        |v| v[0].matmul(v[1]),
        |x| {
            let matrix = |x: &Duals, at: usize| {
                let mut shape = x.shape.clone();
                if shape.len() == 1 {
                    shape.insert(at, 1);
                }
                x.reshaped(&shape)
            };
            let (a, b) = (matrix(&x[0], 0), matrix(&x[1], 1));
            let (ra, rb) = (a.shape.len(), b.shape.len());
            let (m, k, n) = (a.shape[ra - 2], a.shape[ra - 1], b.shape[rb - 1]);
            let mut shape = broadcast(&[&a.shape[..ra - 2], &b.shape[..rb - 2]]).expect("batches fit");
            let batch = shape.len();
            shape.extend([m, n]);
            let product = Duals::build(&shape, |i| {
                let read = |x: &Duals, row: usize, column: usize| {
                    x.cast_at(&i[..batch].iter().copied().chain([row, column]).collect::<Vec<_>>())
                };
                total(&(0..k).map(|j| read(&a, i[batch], j) * read(&b, j, i[batch + 1])).collect::<Vec<_>>())
            });
            if x[1].shape.len() == 1 {
                shape.remove(batch + 1);
            }
            if x[0].shape.len() == 1 {
                shape.remove(batch);
            }
            product.reshaped(&shape)
        },
    )
}

fn concat(draw: &mut Draw<'_>, s: &[usize]) -> Option<Use> {
    let axis = draw.axis(s)?;
    let mut shapes = vec![s.to_vec()];
    // Parts may be one value several times.
    let again = draw.coin();
    for _ in 0..1 + draw.rng.below(3) {
        let invented = swapped(s, axis, draw.rng.below(4));
        let fits = |o: &[usize]| o.len() == s.len() && (0..s.len()).all(|i| i == axis || o[i] == s[i]);
        shapes.push(draw.other(invented, fits));
    }
    let written = draw.written(axis, s.len());
    let order = move |n: usize| (0..n).chain(again.then_some(0));
    used(
        &shapes.iter().map(|s| &s[..]).collect::<Vec<_>>(),
        move |v| v[0].tape().concat(&order(v.len()).map(|i| v[i]).collect::<Vec<_>>(), written),
        move |x| {
            let parts: Vec<&Duals> = order(x.len()).map(|i| &x[i]).collect();
            let total = parts.iter().map(|p| p.shape[axis]).sum();
            Duals::build(&swapped(&x[0].shape, axis, total), |i| {
                let (mut at, mut part) = (i[axis], 0);
                while at >= parts[part].shape[axis] {
                    at -= parts[part].shape[axis];
                    part += 1;
                }
                parts[part].at(&swapped(i, axis, at))
            })
        },
    )
}

fn permuted(x: &Duals, order: &[usize]) -> Duals {
    let shape: Vec<usize> = order.iter().map(|axis| x.shape[*axis]).collect();
    Duals::build(&shape, |i| {
        let mut from = vec![0; order.len()];
        order.iter().zip(i).for_each(|(axis, at)| from[*axis] = *at);
        x.at(&from)
    })
}

pub(super) static SHAPED: &[Entry] = &[
    ("sum_axes", SUMS, |d, s| reduced(d, s, |v, a| v.sum_axes(a), Some(|v, a| v.sum_keep(a)), total)),
    ("max_axes", Facts { smooth: false, ..MOVES }, |d, s| {
        full(s).then(|| reduced(d, s, |v, a| v.max_axes(a), Some(|v, a| v.max_keep(a)), |l| largest(l, 1.0)))?
    }),
    ("min_axes", Facts { smooth: false, ..MOVES }, |d, s| {
        full(s).then(|| reduced(d, s, |v, a| v.min_axes(a), Some(|v, a| v.min_keep(a)), |l| largest(l, -1.0)))?
    }),
    ("prod_axes", SUMS, |d, s| {
        let product = |line: &[Dual]| line.iter().fold(1.0.into(), |all, x| all * *x);
        reduced(d, s, |v, a| v.prod_axes(a), Some(|v, a| v.prod_keep(a)), product)
    }),
    ("matmul", FLOATS, matmul),
    ("reshape", MOVES, |d, s| {
        let n = s.iter().product::<usize>();
        let split: Vec<usize> = if n == 0 { vec![2, 0] } else { (1..=n).filter(|k| n % k == 0).collect() };
        let a = *d.rng.pick(&split);
        let b = if n == 0 { 3 } else { n / a };
        let shape = match d.rng.below(4) {
            0 => vec![n],
            1 => vec![a, 1, b],
            2 if n > 0 => vec![a, b],
            _ => s.iter().rev().copied().collect(),
        };
        if shape.iter().product::<usize>() != n {
            return None;
        }
        let target = shape.clone();
        used(&[s], move |v| v[0].reshape(target.clone()), move |x| x[0].reshaped(&shape))
    }),
    ("permute", MOVES, |d, s| {
        let mut order: Vec<usize> = (0..s.len()).collect();
        (0..s.len()).for_each(|i| order.swap(i, d.rng.below(s.len())));
        let named = order.clone();
        used(&[s], move |v| v[0].permute(&named), move |x| permuted(&x[0], &order))
    }),
    ("transpose", MOVES, |d, s| {
        let (a, b) = (d.axis(s)?, d.axis(s)?);
        let (i, j) = (d.written(a, s.len()), d.written(b, s.len()));
        let mut order: Vec<usize> = (0..s.len()).collect();
        order.swap(a, b);
        let matrix = s.len() >= 2 && a.min(b) == s.len() - 2 && a != b;
        used(&[s], move |v| if matrix { v[0].t() } else { v[0].transpose(i, j) }, move |x| permuted(&x[0], &order))
    }),
    ("expand", MOVES, |d, s| {
        let mut shape: Vec<usize> = s.iter().map(|n| if *n == 1 { d.rng.below(4) } else { *n }).collect();
        if d.coin() && s.len() < 4 {
            shape.insert(0, d.rng.below(4));
        }
        let target = shape.clone();
        used(&[s], move |v| v[0].expand(target.clone()), move |x| Duals::build(&shape, |i| x[0].cast_at(i)))
    }),
    ("unsqueeze and squeeze", MOVES, |d, s| {
        let axis = d.rng.below(s.len() + 1);
        let at = d.written(axis, s.len() + 1);
        let mut shape = s.to_vec();
        if s.get(axis) == Some(&1) && d.coin() {
            let at = d.written(axis, s.len());
            shape.remove(axis);
            return used(&[s], move |v| v[0].squeeze(at), move |x| x[0].reshaped(&shape));
        }
        shape.insert(axis, 1);
        used(&[s], move |v| v[0].unsqueeze(at), move |x| x[0].reshaped(&shape))
    }),
    ("narrow", MOVES, |d, s| {
        let axis = d.axis(s)?;
        let start = d.rng.below(s[axis] + 1);
        let len = d.rng.below(s[axis] - start + 1);
        let (at, shape) = (d.written(axis, s.len()), swapped(s, axis, len));
        used(
            &[s],
            move |v| v[0].narrow(at, start, len),
            move |x| Duals::build(&shape, |i| x[0].at(&swapped(i, axis, i[axis] + start))),
        )
    }),
    ("get and last", MOVES, |d, s| {
        let axis = d.axis(s)?;
        let index = d.rng.below(s[axis]);
        let (at, end) = (d.written(axis, s.len()), index + 1 == s[axis]);
        (s[axis] > 0).then(|| {
            used(
                &[s],
                move |v| if end { v[0].last(at) } else { v[0].get(at, index) },
                move |x| x[0].over(&[axis], |line| line[index]),
            )
        })?
    }),
    ("chunk_axis", MOVES, |d, s| {
        let axis = d.axis(s)?;
        let (at, part) = (d.written(axis, s.len()), swapped(s, axis, s[axis] / 2));
        let last = axis + 1 == s.len();
        (s[axis] % 2 == 0).then(|| {
            used(
                &[s],
                move |v| {
                    let [a, b] = if last { v[0].chunk() } else { v[0].chunk_axis(at) };
                    a * 2 - b
                },
                move |x| {
                    let entry = |i: &[usize], skip: usize| x[0].at(&swapped(i, axis, i[axis] + skip));
                    Duals::build(&part, |i| entry(i, 0) * 2.0.into() - entry(i, part[axis]))
                },
            )
        })?
    }),
    ("concat", MOVES, concat),
    ("stack", MOVES, |d, s| {
        let axis = d.rng.below(s.len() + 1);
        let at = d.written(axis, s.len() + 1);
        let mut shape = s.to_vec();
        shape.insert(axis, 3);
        used(
            &[s, s],
            move |v| v[0].tape().stack(&[v[0], v[1], v[0]], at),
            move |x| {
                Duals::build(&shape, |i| {
                    let mut index = i.to_vec();
                    let part = index.remove(axis) % 2;
                    x[part].at(&index)
                })
            },
        )
    }),
    ("gather", MOVES, |d, s| {
        let axis = d.axis(s).filter(|axis| s[*axis] > 0)?;
        let mut shape = swapped(s, axis, d.rng.below(4));
        if d.coin() {
            shape.iter_mut().for_each(|n| *n = (*n).min(2));
        }
        let index = d.index(&shape, s[axis]);
        let (at, places) = (d.written(axis, s.len()), list(&index, &shape));
        let chosen = Duals::of(&shape, &index.iter().map(|i| *i as f64).collect::<Vec<_>>());
        used(
            &[s],
            move |v| v[0].gather(at, &places),
            move |x| Duals::build(&shape, |i| x[0].at(&swapped(i, axis, chosen.at(i).x as usize))),
        )
    }),
    ("index_select", MOVES, |d, s| {
        let axis = d.axis(s).filter(|axis| s[*axis] > 0)?;
        let count = d.rng.below(5);
        let index = d.index(&[count], s[axis]);
        let (at, places, shape) = (d.written(axis, s.len()), list(&index, &[count]), swapped(s, axis, count));
        used(
            &[s],
            move |v| v[0].index_select(at, &places),
            move |x| Duals::build(&shape, |i| x[0].at(&swapped(i, axis, index[i[axis]]))),
        )
    }),
    ("scatter_add", MOVES, |d, s| {
        let axis = d.axis(s).filter(|axis| s[*axis] > 0)?;
        let shape = swapped(s, axis, d.rng.below(4));
        let index = d.index(&shape, s[axis]);
        let (at, places) = (d.written(axis, s.len()), list(&index, &shape));
        used(
            &[s, &shape.clone()],
            move |v| v[0].scatter_add(at, &places, v[1]),
            move |x| {
                let mut sum = x[0].clone();
                let sources = Duals::build(&shape, |i| {
                    Dual::from(i.iter().zip(&x[0].shape).fold(0, |at, (i, n)| at * n + i) as f64)
                });
                let step: usize = x[0].shape[axis + 1..].iter().product();
                let rows = Duals::build(&shape, |i| Dual::from(i[axis] as f64));
                for (k, value) in x[1].data.iter().enumerate() {
                    // The source's own row is replaced by the chosen one.
                    let place = sources.data[k].x as usize - rows.data[k].x as usize * step + index[k] * step;
                    sum.data[place] = sum.data[place] + *value;
                }
                sum
            },
        )
    }),
    ("uniform", FLOATS, |d, s| {
        let (key, data) = (d.rng.below(1000) as i64, d.rng.below(9) as i64);
        used(
            &[s],
            move |v| {
                let tape = v[0].tape();
                let key = tape.constant(key).fold_in(data);
                v[0] * tape.uniform(key, v[0].shape().expect("valid"), DType::F64).cast(v[0].dtype().expect("valid"))
            },
            move |x| {
                let mut draws = vec![0.0; x[0].data.len()];
                wengert_kernels::uniform_f64(wengert_kernels::fold_in(key, data), &mut draws);
                let data = x[0].data.iter().zip(&draws).map(|(x, u)| *x * (*u).into()).collect();
                Duals { data, ..x[0].clone() }
            },
        )
    }),
    ("next_key", FLOATS, |d, s| {
        let key = d.rng.below(1000) as i64;
        used(
            &[s],
            move |v| {
                let key = v[0].tape().constant(key);
                let (first, second) = (key.next_key(), key.next_key());
                let draw = |key| v[0].tape().uniform(key, v[0].shape().expect("valid"), DType::F64);
                v[0] * (draw(second) - draw(first)).cast(v[0].dtype().expect("valid"))
            },
            move |x| {
                // The values are part of the contract: results repeat.
                let draws = [1, 0].map(|turn| {
                    let mut draws = vec![0.0; x[0].data.len()];
                    let key = wengert_kernels::fold_in(wengert_kernels::fold_in(key, 0x6e_6578_7420), turn);
                    wengert_kernels::uniform_f64(key, &mut draws);
                    draws
                });
                let apart = draws[0].iter().zip(&draws[1]).map(|(second, first)| second - first);
                let data = x[0].data.iter().zip(apart).map(|(x, u)| *x * u.into()).collect();
                Duals { data, ..x[0].clone() }
            },
        )
    }),
    ("custom_vjp", Facts { tangents: false, integers: false, ..MOVES }, |_, s| {
        used(
            &[s, s],
            |v| {
                let y =
                    v[0].tape().custom_vjp([v[0], v[1]], |[a, b]| a * b, |[a, b], _, ct| [Some(ct * b), Some(ct * a)]);
                y.on_grad(|ct| ct * 1)
            },
            |x| Duals::build(&x[0].shape, |i| x[0].at(i) * x[1].at(i)),
        )
    }),
    ("detach", Facts { honest: false, smooth: false, ..MOVES }, |_, s| {
        used(&[s], |v| v[0].detach() * v[0], |x| x[0].map(|x| x * x.x.into()))
    }),
    ("cast", Facts { honest: false, slopes: 1e-6, smooth: false, ..MOVES }, |d, s| {
        let to = *d.rng.pick(&[DType::F32, DType::I64, DType::Bool]);
        let converted = move |x: Dual| match to {
            DType::F32 => Dual { x: x.x as f32 as f64, ..x },
            DType::I64 => x.x.trunc().into(),
            _ => Dual::from((x.x != 0.0) as u8 as f64),
        };
        used(&[s], move |v| v[0].cast(to).cast(v[0].dtype().expect("valid")), move |x| x[0].map(converted))
    }),
    ("scan", SUMS, |d, s| {
        let (steps, reverse) = (d.rng.below(4), d.coin());
        let items: Vec<usize> = std::iter::once(steps).chain(s.iter().copied()).collect();
        let stacked: Vec<usize> = std::iter::once(steps + 1).chain(s.iter().copied()).collect();
        used(
            &[s, &items, s],
            move |v| {
                let options = ScanOptions { reverse, length: Some(steps), ..Default::default() };
                let (last, ys) = v[0].tape().scan_with(options, v[0], v[1], |s, x| {
                    let next = s * x - v[2];
                    (next, next + s)
                });
                ys.concat([last.unsqueeze(0)], 0)
            },
            move |x| {
                let (mut state, n) = (x[0].data.clone(), x[0].data.len());
                let mut rows = vec![Vec::new(); steps + 1];
                for step in 0..steps {
                    let t = if reverse { steps - 1 - step } else { step };
                    let next = |i: usize| state[i] * x[1].data[t * n + i] - x[2].data[i];
                    let next: Vec<Dual> = (0..n).map(next).collect();
                    rows[t] = next.iter().zip(&state).map(|(a, b)| *a + *b).collect();
                    state = next;
                }
                rows[steps] = state;
                Duals { shape: stacked.clone(), data: rows.concat() }
            },
        )
    }),
];
