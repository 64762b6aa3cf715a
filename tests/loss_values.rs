//! Losses against PyTorch's, against sums over everything that can be, and against finite differences.

mod support;

use rand::{SeedableRng, rngs::StdRng};
use support::{Fixture, close, data};
use wengert::check::{GradientOptions, assert_gradients, floats};
use wengert::nn::length_mask;
use wengert::nn::loss::{BceWithLogits, Crf, CrossEntropy, Ctc, GaussianNll, KlDiv, Nll, Reduction, Triplet};
use wengert::prelude::*;

fn few() -> GradientOptions {
    GradientOptions::default().cases(8)
}

/// Compares a case of the fixture under every reduction: `loss` of its `leaves`, and the gradients by them.
fn compare<const N: usize>(
    case: &str,
    leaves: [&str; N],
    tolerance: f64,
    loss: impl for<'t> Fn([Var<'t>; N], &dyn Fn(&str) -> Var<'t>, Reduction<'t>) -> Var<'t>,
) -> Result<()> {
    let fixture = Fixture::open("losses_f64");
    let get = |name: &str| fixture.get(&format!("{case}.{name}"));
    for (name, reduction) in [("mean", Reduction::Mean), ("sum", Reduction::Sum), ("none", Reduction::None)] {
        let tape = Tape::new();
        let vars = leaves.map(|leaf| tape.var(get(leaf)));
        let found = loss(vars, &|name| tape.constant(get(name)), reduction);
        close(&found.value()?, get(&format!("{name}.loss")), tolerance, &format!("{case}, {name}"));
        let scalar = if name == "none" { (found * get("none.ct")).sum() } else { found };
        let gradients = scalar.backward()?;
        for (leaf, var) in leaves.iter().zip(vars) {
            let wanted = get(&format!("{name}.grad.{leaf}"));
            let what = format!("gradient of {case}, {name}, by {leaf}");
            close(gradients.wrt(var).expect("the loss depends on it"), wanted, tolerance, &what);
        }
    }
    Ok(())
}

#[test]
fn distances_are_those_of_pytorch() -> Result<()> {
    compare("l1", ["pred", "target"], 1e-12, |[p, t], _, r| loss::l1_with(p, t, r))?;
    compare("huber", ["pred", "target"], 1e-12, |[p, t], _, r| loss::huber_with(p, t, 0.7, r))?;
    compare("smooth_l1", ["pred", "target"], 1e-12, |[p, t], _, r| loss::smooth_l1_with(p, t, 0.7, r))?;
    compare("bce", ["logits"], 1e-12, |[x], get, reduction| {
        BceWithLogits { reduction, pos_weight: Some(get("weight")) }.loss(x, get("targets"))
    })
}

#[test]
fn classes_are_those_of_pytorch() -> Result<()> {
    for (case, label_smoothing, weighted) in
        [("ce.weight", 0.0, true), ("ce.smooth", 0.2, false), ("ce.both", 0.2, true)]
    {
        compare(case, ["logits"], 1e-12, |[x], get, reduction| {
            let weight = weighted.then(|| get("weight"));
            CrossEntropy { reduction, weight, label_smoothing, ..Default::default() }.loss(x, get("targets"))
        })?;
    }
    compare("nll", ["logits"], 1e-12, |[x], get, reduction| {
        Nll { reduction, weight: Some(get("weight")), ..Default::default() }.loss(x, get("targets"))
    })?;
    compare("kl", ["input"], 1e-12, |[x], get, reduction| {
        KlDiv { reduction, log_target: false }.loss(x, get("target"))
    })?;
    compare("kl_log", ["input", "target"], 1e-12, |[x, t], _, reduction| {
        KlDiv { reduction, log_target: true }.loss(x, t)
    })
}

#[test]
fn margins_are_those_of_pytorch() -> Result<()> {
    compare("cosine", ["a", "b"], 1e-12, |[a, b], get, r| loss::cosine_embedding_with(a, b, get("y"), 0.2, r))?;
    compare("ranking", ["a", "b"], 1e-12, |[a, b], get, r| loss::margin_ranking_with(a, b, get("y"), 0.3, r))?;
    compare("triplet", ["a", "p", "n"], 1e-12, |[a, p, n], _, reduction| {
        Triplet { reduction, ..Default::default() }.loss(a, p, n)
    })?;
    compare("triplet_swap", ["a", "p", "n"], 1e-12, |[a, p, n], _, reduction| {
        Triplet { reduction, margin: 0.5, p: 3.0, swap: true, ..Default::default() }.loss(a, p, n)
    })
}

#[test]
fn densities_are_those_of_pytorch() -> Result<()> {
    for (case, full) in [("gaussian", false), ("gaussian_full", true)] {
        compare(case, ["mean", "target", "var"], 1e-12, |[mean, target, var], _, reduction| {
            GaussianNll { reduction, full, ..Default::default() }.loss(mean, target, var)
        })?;
    }
    Ok(())
}

/// The lists of labels and the lengths of a case.
fn lists(case: &str) -> Result<(Vec<Vec<i64>>, Vec<usize>)> {
    let fixture = Fixture::open("losses_f64");
    let numbers = |name: &str| fixture.get(&format!("{case}.{name}")).to_vec::<i64>();
    let (padded, counts) = (numbers("labels")?, numbers("label_lengths")?);
    let labels = counts.iter().zip(padded.chunks(5)).map(|(n, row)| row[..*n as usize].to_vec()).collect();
    Ok((labels, numbers("lengths")?.into_iter().map(|n| n as usize).collect()))
}

#[test]
fn ctc_is_that_of_pytorch() -> Result<()> {
    for (case, blank, zero_infinity) in [("ctc", 0, false), ("ctc_blank", 3, false), ("ctc_zero", 0, true)] {
        let (labels, lengths) = lists(case)?;
        compare(case, ["logits"], 1e-11, |[x], _, reduction| {
            Ctc { blank, zero_infinity, reduction }.loss(x.log_softmax(-1), &labels, &lengths)
        })?;
    }
    Ok(())
}

/// All lists of `n` numbers below `k`.
fn words(k: usize, n: usize) -> Vec<Vec<usize>> {
    (0..k.pow(n as u32)).map(|i| (0..n).map(|t| i / k.pow(t as u32) % k).collect()).collect()
}

/// A path with repeats merged and blanks left out.
fn collapsed(path: &[usize], blank: usize) -> Vec<i64> {
    let kept = |t: &usize| path[*t] != blank && (*t == 0 || path[*t] != path[*t - 1]);
    (0..path.len()).filter(kept).map(|t| path[t] as i64).collect()
}

#[test]
fn ctc_is_the_sum_over_all_alignments() -> Result<()> {
    let (steps, classes, blank) = (4, 3, 1);
    let labels: [&[i64]; 7] = [&[0], &[], &[0, 0], &[2, 0, 2], &[0, 2, 0, 2], &[2, 2, 0], &[2, 2, 2]];
    let lengths = [4, 3, 4, 4, 4, 4, 4];
    // Unnormalised scores of more than rounding: sums of probabilities need not be 1.
    let scores = data(&[steps, labels.len(), classes], 3);
    let tape = Tape::new();
    let x = tape.var(&scores);
    let found = Ctc { blank, reduction: Reduction::None, ..Default::default() }.loss(x, &labels, &lengths);
    let gradient = found.narrow(0, 0, 6).sum().backward()?.wrt(x).unwrap().to_f64_vec();
    let found = found.value()?.to_f64_vec();
    let at = |t: usize, b: usize, c: usize| (t * labels.len() + b) * classes + c;
    let scores = scores.to_f64_vec();
    for (b, (labels, length)) in labels.iter().zip(lengths).enumerate() {
        let mut total = 0.0;
        let mut by = vec![0.0; steps * classes];
        for path in words(classes, length).iter().filter(|path| collapsed(path, blank) == *labels) {
            let p = path.iter().enumerate().map(|(t, c)| scores[at(t, b, *c)]).sum::<f64>().exp();
            total += p;
            path.iter().enumerate().for_each(|(t, c)| by[t * classes + c] -= p);
        }
        if b == 6 {
            assert!(total == 0.0 && found[b] == f64::INFINITY, "three repeats need five steps");
            continue;
        }
        assert!((found[b] + total.ln()).abs() < 1e-13, "{labels:?}: {} against {}", found[b], -total.ln());
        for (i, wanted) in by.iter().enumerate() {
            let gradient = gradient[at(i / classes, b, i % classes)];
            assert!((gradient - wanted / total).abs() < 1e-13, "{labels:?}, {i}: {gradient}");
        }
    }
    Ok(())
}

#[test]
fn gradients_of_ctc() -> Result<()> {
    let labels = [vec![1, 1], vec![2], vec![]];
    fn loss<'t>(x: Var<'t>, labels: &[Vec<i64>]) -> Var<'t> {
        Ctc { reduction: Reduction::Sum, ..Default::default() }.loss(x, labels, &[4, 2, 3])
    }
    assert_gradients!(|x| loss(x.log_softmax(-1), &labels), floats([4, 3, 3]), options: few());
    assert_gradients!(|x| loss(x, &labels), floats([4, 3, 3]), options: few());
    Ok(())
}

/// Symbols that cannot be, NaN behind the end, a sequence without an alignment, none at all: no gradient is NaN, at either order.
#[test]
fn ctc_stays_finite() -> Result<()> {
    for dtype in [DType::F32, DType::F64] {
        let mut logits = data(&[5, 3, 4], 1).to_f64_vec();
        let at = |t: usize, b: usize, c: usize| (t * 3 + b) * 4 + c;
        logits[at(0, 0, 3)] = f64::NEG_INFINITY;
        logits[at(2, 0, 0)] = -1e4;
        (0..4).for_each(|c| logits[at(4, 1, c)] = f64::NAN);
        let logits = Tensor::from_vec(logits, [5, 3, 4])?.cast(dtype);
        let tape = Tape::new();
        let x = tape.var(&logits);
        let labels = [vec![1, 2], vec![1, 2, 2], vec![3, 3, 3]];
        let ctc = Ctc { zero_infinity: true, ..Default::default() };
        let value = ctc.loss(x.log_softmax(-1), &labels, &[5, 4, 4]);
        assert!(value.item()? > 0.0 && value.item()?.is_finite());
        let [g] = value.grad([x]);
        let [h] = (g * &data(&[5, 3, 4], 2).cast(dtype)).sum().grad([x]);
        // Behind the end, log_softmax has made NaN of NaN before the loss was asked.
        let clean = |v: Var<'_>| -> Result<Vec<f64>> {
            let rows = v.value()?.to_f64_vec();
            Ok((0..rows.len()).filter(|i| !(at(4, 1, 0)..at(4, 1, 4)).contains(i)).map(|i| rows[i]).collect())
        };
        for v in [g, h] {
            assert!(clean(v)?.iter().all(|v| v.is_finite()), "{dtype}: {:?}", v.value()?);
        }
        // Given as they are, not even there.
        let [g] = ctc.loss(x, &labels, &[5, 4, 4]).grad([x]);
        assert!(g.value()?.to_f64_vec().iter().all(|g| g.is_finite()), "{dtype}");
        // The third has no alignment: loss 0, or infinity, and no gradient.
        for (zero_infinity, wanted) in [(true, 0.0), (false, f64::INFINITY)] {
            let ctc = Ctc { zero_infinity, reduction: Reduction::None, ..Default::default() };
            let losses = ctc.loss(x, &labels, &[5, 4, 4]);
            assert_eq!(losses.get(0, 2).item()?, wanted);
            let [g] = losses.get(0, 2).grad([x]);
            assert!(g.value()?.to_f64_vec().iter().all(|g| *g == 0.0));
        }
        // A step at which nothing can be: as no alignment.
        let first = tape.arange(5).eq(0).unsqueeze(-1).unsqueeze(-1);
        let none = first.select(f64::NEG_INFINITY, tape.constant(data(&[5, 3, 4], 4).cast(dtype)));
        let losses = Ctc { reduction: Reduction::None, ..Default::default() }.loss(none, &labels, &[5, 4, 4]);
        assert_eq!(losses.value()?.to_f64_vec(), [f64::INFINITY; 3]);
        // No steps for no labels are certain.
        let empty: [&[i64]; 3] = [&[], &[], &[1]];
        let losses = Ctc { reduction: Reduction::None, ..Default::default() }.loss(x, &empty, &[0, 0, 0]);
        assert_eq!(losses.value()?.to_f64_vec(), [0.0, 0.0, f64::INFINITY]);
    }
    Ok(())
}

fn crf(tags: usize) -> Result<Crf> {
    let crf = Crf::new(tags, &mut StdRng::seed_from_u64(1));
    crf.set_dtype(DType::F64)?;
    for (i, (_, param)) in crf.params().iter().enumerate() {
        param.set(data(param.value().shape(), 60 + i as u64))?;
    }
    Ok(crf)
}

#[test]
fn the_field_is_the_sum_over_all_sequences() -> Result<()> {
    let (steps, lengths, k) = (4, [4, 1, 3], 3);
    let crf = crf(k)?;
    let [transitions, start, end] = [&crf.transitions, &crf.start, &crf.end].map(|p| p.value().to_f64_vec());
    let mut emissions = data(&[steps, 3, k], 1).to_f64_vec();
    let at = |t: usize, b: usize| (t * 3 + b) * k;
    // What stands behind the ends is of no consequence.
    emissions[at(1, 1)] = f64::NAN;
    emissions[at(3, 2) + 1] = f64::INFINITY;
    let tags = [[2i64, 1, 0], [0, -1, 1], [0, 77, 1], [1, -100, 9]];
    let tape = Tape::new();
    let e = tape.var(Tensor::from_slice(&emissions, [steps, 3, k])?);
    let given = Tensor::from_vec(tags.concat(), [steps, 3])?;
    let likelihood = crf.log_likelihood(e, &given, &lengths);
    let partition = crf.log_partition(e, &lengths);
    let marginals = partition.sum().backward()?.wrt(e).unwrap().to_f64_vec();
    let gradients = likelihood.sum().backward()?;
    assert!(gradients.wrt(e).unwrap().to_f64_vec().iter().all(|g| g.is_finite()));
    let (best, path) = crf.viterbi(e, &lengths);
    let decoded = crf.decode(e, &lengths)?;
    let [likelihood, partition, best, path] =
        [likelihood, partition, best, path.cast(DType::F64)].map(|v| v.value().unwrap().to_f64_vec());
    for (b, n) in lengths.into_iter().enumerate() {
        let score = |y: &[usize]| {
            let own: f64 = (0..n).map(|t| emissions[at(t, b) + y[t]]).sum();
            let steps: f64 = (1..n).map(|t| transitions[y[t - 1] * k + y[t]]).sum();
            own + steps + start[y[0]] + end[y[n - 1]]
        };
        let total: f64 = words(k, n).iter().map(|y| score(y).exp()).sum();
        let y: Vec<usize> = (0..n).map(|t| tags[t][b] as usize).collect();
        assert!((partition[b] - total.ln()).abs() < 1e-13, "{b}: {} against {}", partition[b], total.ln());
        assert!((likelihood[b] - (score(&y) - total.ln())).abs() < 1e-13, "{b}");
        for t in 0..steps {
            for tag in 0..k {
                let with = words(k, n).into_iter().filter(|y| t < n && y[t] == tag);
                let wanted: f64 = with.map(|y| score(&y).exp()).sum::<f64>() / total;
                assert!((marginals[at(t, b) + tag] - wanted).abs() < 1e-13, "tag {tag} at {t} in {b}");
            }
        }
        let wanted = words(k, n).into_iter().max_by(|a, b| score(a).total_cmp(&score(b))).unwrap();
        assert!((best[b] - score(&wanted)).abs() < 1e-13, "{b}");
        assert_eq!(decoded[b], wanted.iter().map(|y| *y as i64).collect::<Vec<_>>());
        for t in 0..steps {
            assert_eq!(path[t * 3 + b], wanted[t.min(n - 1)] as f64, "tag at {t} in {b}");
        }
    }
    Ok(())
}

#[test]
fn gradients_of_the_field() -> Result<()> {
    let crf = crf(2)?;
    let tags = Tensor::from_vec(vec![0i64, 1, 1, 1, 0, 0], [3, 2])?;
    assert_gradients!(|e| crf.log_likelihood(e, &tags, &[3, 2]), floats([3, 2, 2]), params: crf, options: few());
    assert_gradients!(|e| crf.log_partition(e, &[3, 1]), floats([3, 2, 2]), params: crf, options: few());
    // Of the best sequence, the score is a sum of entries.
    assert_gradients!(|e| crf.viterbi(e, &[3, 1]).0, floats([3, 2, 2]).distinct(), params: crf, options: few());
    Ok(())
}

#[test]
fn gradients_of_elementwise_losses() -> Result<()> {
    let mean = Reduction::Mean;
    let pair = || floats("B N, B N").distinct();
    assert_gradients!(|p, t| loss::l1(p, t), pair(), options: few());
    assert_gradients!(|p, t| loss::huber(p, t, 0.8), floats("B N, B N"), options: few());
    assert_gradients!(|p, t| loss::smooth_l1(p, t, 0.8), floats("B N, B N"), options: few());
    assert_gradients!(|p, t| loss::smooth_l1(p, t, 0.0), pair(), options: few());
    assert_gradients!(|p, t| loss::pinball(p, t, 0.3), pair(), options: few());
    assert_gradients!(|p, t| loss::quantiles(p, t, &[0.1, 0.9]), floats("B 2, B").distinct(), options: few());
    assert_gradients!(|x, y, w| {
        BceWithLogits { pos_weight: Some(w), reduction: mean }.loss(x, y)
    }, floats("B N, B N, N"), options: few());
    assert_gradients!(|x, t| loss::kl_div(x, t), floats("B N, B N").input(1, |t| t.within(0.1..1.0)), options: few());
    assert_gradients!(|x, t| KlDiv { log_target: true, reduction: mean }.loss(x, t), floats("B N, B N"), options: few());
    assert_gradients!(|m, t, v| loss::gaussian_nll(m, t, v),
        floats("B N, B N, B N").input(2, |v| v.within(0.2..2.0)), options: few());
    assert_gradients!(|l, m, s, t| loss::mixture_nll(l, m, s, t), floats("B K, B K D, B K D, B D"), options: few());
    assert_gradients!(|x| loss::hinge(x, 1.0), floats("B N").avoiding(1.0), options: few());
    let sign = |x: Var<'_>| Tensor::full(x.shape().unwrap(), -1.0, DType::F64);
    assert_gradients!(|a, b| loss::margin_ranking(a, b, &sign(a), 0.0), pair(), options: few());
    let apart = Tensor::from_slice(&[1.0f64, -1.0], [2])?;
    assert_gradients!(|a, b| loss::cosine_embedding(a, b, &apart, -1.0), floats("2 3, 2 3"), options: few());
    assert_gradients!(|a, p, n| Triplet { margin: 9.0, ..Default::default() }.loss(a, p, n),
        floats("B D, B D, B D").distinct(), options: few());
    let targets = Tensor::from_slice(&[2i64, 0, -100], [3])?;
    assert_gradients!(|x, w| {
        CrossEntropy { weight: Some(w), label_smoothing: 0.3, ..Default::default() }.loss(x, &targets)
    }, floats("3 3, 3").input(1, |w| w.within(0.5..2.0)), options: few());
    assert_gradients!(|y| loss::activation_regularization(y), floats("T B N"), options: few());
    assert_gradients!(|y| loss::temporal_activation_regularization(y), floats("T B N"), options: few());
    Ok(())
}

/// Every loss that takes a mask: with NaN where it does not hold, it and its gradients are those of the rows that count.
#[test]
fn masks_leave_out_what_they_should() -> Result<()> {
    type Loss = for<'t> fn(&[Var<'t>], Reduction<'t>) -> Var<'t>;
    let [x, xd, xk, xkd]: [&[usize]; 4] = [&[], &[3], &[2], &[2, 3]];
    let table: [(&str, &[&[usize]], Loss); 16] = [
        ("mse", &[xd, xd], |v, r| loss::mse_with(v[0], v[1], r)),
        ("mse by number", &[xd], |v, r| loss::mse_with(v[0], 0.5, r)),
        ("l1", &[x, x], |v, r| loss::l1_with(v[0], v[1], r)),
        ("huber", &[xd, xd], |v, r| loss::huber_with(v[0], v[1], 0.5, r)),
        ("smooth_l1", &[xd, xd], |v, r| loss::smooth_l1_with(v[0], v[1], 0.5, r)),
        ("pinball", &[xd, xd], |v, r| loss::pinball_with(v[0], v[1], 0.3, r)),
        ("quantiles", &[xk, x], |v, r| loss::quantiles_with(v[0], v[1], &[0.2, 0.6], r)),
        ("bce", &[xd, xd], |v, reduction| BceWithLogits { reduction, pos_weight: None }.loss(v[0], v[1])),
        ("kl", &[xd, xd], |v, reduction| KlDiv { reduction, log_target: true }.loss(v[0], v[1])),
        ("hinge", &[xd, xd], |v, r| loss::hinge_with(v[0], v[1], r)),
        ("ranking", &[x, x, x], |v, r| loss::margin_ranking_with(v[0], v[1], v[2], 0.5, r)),
        ("cosine", &[xd, xd, x], |v, r| loss::cosine_embedding_with(v[0], v[1], v[2].sign(), 0.1, r)),
        ("triplet", &[xd, xd, xd], |v, reduction| {
            Triplet { reduction, margin: 5.0, ..Default::default() }.loss(v[0], v[1], v[2])
        }),
        ("gaussian", &[xd, xd, xd], |v, reduction| {
            GaussianNll { reduction, eps: 0.5, full: false }.loss(v[0], v[1], v[2])
        }),
        ("mixture", &[xk, xkd, xkd, xd], |v, r| loss::mixture_nll_with(v[0], v[1], v[2], v[3], r)),
        ("cross entropy", &[xd], |v, reduction| {
            let steps = v[0].shape().map_or(0, |shape| shape[0]);
            let labels = v[0].tape().arange(steps).eq(0).cast(DType::I64).unsqueeze(1);
            let batch = v[0].shape().map_or(0, |shape| shape[1]);
            CrossEntropy { reduction, label_smoothing: 0.1, ..Default::default() }
                .loss(v[0], labels.expand([steps, batch]))
        }),
    ];
    let (steps, lengths) = (3, [3, 1]);
    for (name, shapes, loss) in table {
        let full = |own: &[usize], i: usize| data(&[&[steps, 2], own].concat(), i as u64 + 7);
        // With NaN behind the end of the second sequence, and that sequence cut there.
        let spoilt = |own: &[usize], i: usize| -> Result<Tensor> {
            let mut values = full(own, i).to_f64_vec();
            let size: usize = own.iter().product();
            for t in 1..steps {
                values[(t * 2 + 1) * size..(t * 2 + 2) * size].fill(f64::NAN);
            }
            Tensor::from_vec(values, [&[steps, 2], own].concat())
        };
        let tape = Tape::new();
        let mask = length_mask(&tape, steps, &lengths);
        let inputs: Vec<Var<'_>> =
            shapes.iter().enumerate().map(|(i, own)| spoilt(own, i).map(|x| tape.var(x))).collect::<Result<_>>()?;
        let parts = |b: usize| -> Result<Vec<Var<'_>>> {
            let cut = |(i, own): (usize, &&[usize])| full(own, i).narrow(1, b, 1)?.narrow(0, 0, lengths[b]);
            shapes.iter().enumerate().map(|part| cut(part).map(|x| tape.var(x))).collect()
        };
        let (first, second) = (parts(0)?, parts(1)?);
        let (a, b) = (loss(&first, Reduction::None), loss(&second, Reduction::None));
        let (sum, count) = (a.sum() + b.sum(), a.shape()?.numel() + b.shape()?.numel());
        let found = loss(&inputs, Reduction::SumOver(mask));
        close(&found.value()?, &sum.value()?, 1e-14, name);
        let mean = loss(&inputs, Reduction::MeanOver(mask)).value()?;
        close(&mean, &(sum / count as f64).value()?, 1e-14, name);
        let single = loss(&inputs, Reduction::NoneOver(mask));
        close(&single.sum().value()?, &found.value()?, 1e-14, name);
        assert!(single.narrow(1, 1, 1).narrow(0, 1, 2).value()?.to_f64_vec().iter().all(|l| *l == 0.0), "{name}");
        let (found, wanted) = (found.backward()?, sum.backward()?);
        for ((input, first), second) in inputs.iter().zip(first).zip(second) {
            let Some(gradient) = found.wrt(*input) else {
                assert!(wanted.wrt(first).is_none(), "{name}");
                continue;
            };
            close(&gradient.narrow(1, 0, 1)?, wanted.wrt(first).unwrap(), 1e-14, name);
            let behind = gradient.narrow(1, 1, 1)?;
            close(&behind.narrow(0, 0, 1)?, wanted.wrt(second).unwrap(), 1e-14, name);
            assert!(behind.narrow(0, 1, 2)?.to_f64_vec().iter().all(|g| *g == 0.0), "{name}: {behind:?}");
        }
    }
    Ok(())
}

/// Values that follow from the definitions.
#[test]
fn closed_forms() -> Result<()> {
    let tape = Tape::new();
    let x = tape.var(Tensor::from_slice(&[0.5f64, -2.0, 3.0], [3])?);
    let targets = Tensor::from_slice(&[1.0f64, 1.0, -1.0], [3])?;
    assert!((loss::hinge(x, &targets).item()? - (0.5 + 3.0 + 4.0) / 3.0).abs() < 1e-15);
    // A constant prediction is best at the quantile: of 0, 1, .., 9, the fourth value has 0.35 below it.
    let sample = Tensor::from_vec((0..10).map(f64::from).collect::<Vec<_>>(), [10])?;
    let at = |p: f64| loss::pinball(tape.full([10], p, DType::F64), &sample, 0.35).item();
    let best = (0..100).map(|i| f64::from(i) / 10.0).min_by(|a, b| at(*a).unwrap().total_cmp(&at(*b).unwrap()));
    assert_eq!(best, Some(3.0));
    // One component is a normal distribution; equal components are one.
    let (mean, log_std, target) = (data(&[4, 1, 2], 1), data(&[4, 1, 2], 2), data(&[4, 2], 3));
    let [m, s] = [&mean, &log_std].map(|v| tape.constant(v));
    let logits = tape.constant(data(&[4, 1], 4));
    let full = GaussianNll { reduction: Reduction::None, full: true, ..Default::default() };
    let wanted = full.loss(m.squeeze(1), &target, (s * 2.0).exp().squeeze(1)).sum_axes(-1).mean().value()?;
    close(&loss::mixture_nll(logits, m, s, &target).value()?, &wanted, 1e-14, "one component");
    let twice = |v: Var<'_>| tape.concat(&[v, v], 1).value().map(|v| tape.constant(v));
    let logits = tape.constant(data(&[4, 2], 5));
    close(&loss::mixture_nll(logits, twice(m)?, twice(s)?, &target).value()?, &wanted, 1e-14, "equal components");
    // Far from every component, the loss and both derivatives are finite.
    let far = tape.var(Tensor::full([4, 2], 1e3, DType::F64));
    let loss = loss::mixture_nll(logits, twice(m)?, twice(s)?, far);
    let [g] = loss.grad([far]);
    let [h] = g.sum().grad([far]);
    for v in [loss, g, h] {
        assert!(v.value()?.to_f64_vec().iter().all(|v| v.is_finite()), "{v:?}");
    }

    let y = tape.var(Tensor::from_slice(&[1.0f64, 2.0, 4.0, 2.0], [2, 2])?);
    assert_eq!(loss::activation_regularization(y).item()?, 25.0 / 4.0);
    assert_eq!(loss::temporal_activation_regularization(y).item()?, 4.5);
    assert_eq!(loss::temporal_activation_regularization(y.narrow(0, 0, 1)).item()?, 0.0);
    assert_eq!(loss::temporal_activation_regularization(y.narrow(0, 0, 0)).item()?, 0.0);
    // What is impossible under both counts 0.
    let never = tape.var(Tensor::from_slice(&[f64::NEG_INFINITY, 0.0], [2])?);
    let both = KlDiv { log_target: true, ..Default::default() }.loss(never, never);
    assert_eq!((both.item()?, both.backward()?.wrt(never).unwrap().to_f64_vec()[0]), (0.0, 0.0));
    let target = tape.var(Tensor::from_slice(&[0.0f64, 1.0], [2])?);
    let zero = loss::kl_div(never, target);
    let gradients = zero.backward()?;
    assert_eq!((zero.item()?, gradients.wrt(never).unwrap().to_f64_vec()), (0.0, vec![0.0, -0.5]));
    assert_eq!(gradients.wrt(target).unwrap().to_f64_vec(), [0.0, 0.5]);
    // Neither alike nor apart.
    assert_eq!(loss::cosine_embedding(x, x, 0.0, 0.0).item()?, 0.0);
    Ok(())
}
