//! Decoding against everything that can be decoded; training of decoders.

mod support;

use rand::{SeedableRng, rngs::StdRng};
use std::cell::Cell as Counter;
use std::collections::{BTreeMap, HashMap};
use support::{close, data, says};
use wengert::check::{GradientOptions, assert_gradients};
use wengert::nn::decode::{
    BeamSearch, CtcBeamSearch, Hypothesis, RnnStepper, Sampling, Start, Stepper, Stop, ctc_greedy, greedy,
    scheduled_sampling, teacher_forcing,
};
use wengert::nn::loss::{Ctc, Reduction};
use wengert::prelude::*;

/// A small model of words: the number of tokens and the units are such that probabilities differ.
struct Model {
    embed: Embedding,
    net: Rnn<GruCell>,
    readout: Linear,
}

impl Model {
    fn new(tokens: usize) -> Model {
        let rng = &mut StdRng::seed_from_u64(2);
        let net = Rnn::stack(2, 3, |_, input| GruCell::new(input, 4, rng));
        let rng = &mut StdRng::seed_from_u64(3);
        let model = Model { embed: Embedding::new(tokens, 3, rng), net, readout: Linear::new(4, tokens, rng) };
        for (i, (_, param)) in model.params().iter().enumerate() {
            let values = data(param.value().shape(), 90 + i as u64).to_f64_vec();
            let wide = values.iter().map(|v| 3.0 * v).collect::<Vec<_>>();
            param.set_dtype(DType::F64).unwrap();
            param.set(Tensor::from_vec(wide, param.value().shape()).unwrap()).unwrap();
        }
        model
    }

    fn params(&self) -> Vec<(String, Param)> {
        (&self.embed, &self.net, &self.readout).params()
    }

    fn stepper(&self) -> RnnStepper<'_, Embedding, GruCell, Linear> {
        RnnStepper::new(&self.embed, &self.net, &self.readout)
    }

    /// Log-probabilities after every token of a sequence, by one run of the network.
    fn log_p(&self, tokens: &[i64]) -> Vec<Vec<f64>> {
        let tape = Tape::inference();
        let tokens = tape.constant(Tensor::from_slice(tokens, [tokens.len(), 1]).unwrap());
        let (y, _) = self.net.forward(&Cx::eval(&tape), self.embed.forward(tokens));
        let scores = self.readout.forward(y).squeeze(1).log_softmax(-1).value().unwrap();
        scores.to_f64_vec().chunks(scores.shape()[1]).map(<[f64]>::to_vec).collect()
    }
}

const BEGIN: i64 = 0;
const END: i64 = 2;

/// Every sequence that can follow the beginning, with its score.
fn everything(model: &Model, tokens: usize, length: usize, penalty: f64) -> Vec<Hypothesis> {
    let score = |log_prob: f64, n: usize| log_prob / (n as f64).powf(penalty);
    let mut all = Vec::new();
    let mut open = vec![(Vec::<i64>::new(), 0.0)];
    for n in 1..=length {
        for (prefix, before) in std::mem::take(&mut open) {
            let after = model.log_p(&[&[BEGIN], &prefix[..]].concat());
            for token in 0..tokens as i64 {
                let log_prob = before + after[prefix.len()][token as usize];
                if token == END {
                    let score = score(log_prob, n);
                    all.push(Hypothesis { tokens: prefix.clone(), log_prob, score, stopped: true });
                } else {
                    open.push(([&prefix[..], &[token]].concat(), log_prob));
                }
            }
        }
    }
    let unstopped =
        |(tokens, log_prob)| Hypothesis { tokens, log_prob, score: score(log_prob, length), stopped: false };
    all.extend(open.into_iter().map(unstopped));
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    all
}

#[track_caller]
fn alike(found: &[Hypothesis], wanted: &[Hypothesis]) {
    assert_eq!(found.len(), wanted.len());
    for (i, (a, b)) in found.iter().zip(wanted).enumerate() {
        assert_eq!((&a.tokens, a.stopped), (&b.tokens, b.stopped), "hypothesis {i}");
        assert!(
            (a.log_prob - b.log_prob).abs() < 1e-13 && (a.score - b.score).abs() < 1e-13,
            "hypothesis {i}: {a:?}, {b:?}"
        );
    }
}

#[test]
fn wide_beams_find_what_is_best() -> Result<()> {
    let model = Model::new(4);
    let (start, stop) = (Start::tokens(&[BEGIN]), Stop::after(4).at(END));
    for penalty in [0.0, 0.7, 1.0, 2.0, -0.5] {
        let wanted = everything(&model, 4, 4, penalty);
        let all = BeamSearch::new(200).length_penalty(penalty).search(&model.stepper(), &start, &stop)?;
        alike(&all, &wanted);
        assert_eq!(all.len(), 1 + 3 + 9 + 27 + 81);
        // Beams for every beginning, fewer sequences asked: the search may end early, and loses nothing.
        let best = BeamSearch::new(81).length_penalty(penalty).search(&model.stepper(), &start, &stop)?;
        alike(&best, &wanted[..81]);
    }
    // Without a token to stop at, all are of one length.
    let all = BeamSearch::new(64).search(&model.stepper(), &start, &Stop::after(3))?;
    assert!(all.len() == 64 && all.iter().all(|h| h.tokens.len() == 3 && !h.stopped));
    let total: f64 = all.iter().map(|h| h.log_prob.exp()).sum();
    assert!((total - 1.0).abs() < 1e-13);
    assert_eq!(BeamSearch::new(2).search(&model.stepper(), &start, &Stop::after(0))?[0].tokens, [0i64; 0]);
    Ok(())
}

/// A plain beam search over all candidates, to the last step.
fn plainly(model: &Model, tokens: usize, beams: usize, length: usize, penalty: f64) -> Vec<Hypothesis> {
    let score = |log_prob: f64, n: usize| log_prob / (n as f64).powf(penalty);
    let mut done: Vec<Hypothesis> = Vec::new();
    let mut live = vec![(Vec::<i64>::new(), 0.0)];
    for n in 1..=length {
        let mut all = Vec::new();
        for (prefix, before) in &live {
            let after = model.log_p(&[&[BEGIN], &prefix[..]].concat());
            for token in 0..tokens as i64 {
                all.push(([&prefix[..], &[token]].concat(), before + after[prefix.len()][token as usize]));
            }
        }
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        live.clear();
        for (mut tokens, log_prob) in all {
            if tokens.last() == Some(&END) {
                tokens.pop();
                done.push(Hypothesis { tokens, log_prob, score: score(log_prob, n), stopped: true });
            } else if live.len() < beams {
                live.push((tokens, log_prob));
            }
        }
    }
    let unstopped =
        |(tokens, log_prob)| Hypothesis { tokens, log_prob, score: score(log_prob, length), stopped: false };
    done.extend(live.into_iter().map(unstopped));
    done.sort_by(|a, b| b.score.total_cmp(&a.score));
    done.truncate(beams);
    done
}

#[test]
fn narrow_beams_are_those_of_a_plain_search() -> Result<()> {
    let model = Model::new(5);
    for beams in 1..=4 {
        for penalty in [0.0, 1.0, -1.0] {
            let wanted = plainly(&model, 5, beams, 7, penalty);
            let search = BeamSearch::new(beams).length_penalty(penalty);
            let found = search.search(&model.stepper(), &Start::tokens(&[BEGIN]), &Stop::after(7).at(END))?;
            alike(&found, &wanted);
        }
    }
    Ok(())
}

/// Counts the steps of a model whose tokens are drawn without memory.
struct Counting {
    steps: Counter<usize>,
    scores: Tensor,
}

impl Stepper for Counting {
    type State<'t> = Var<'t>;
    fn init<'t>(&self, cx: &Cx<'t>, rows: usize) -> Var<'t> {
        cx.zeros([rows])
    }
    fn step<'t>(&self, cx: &Cx<'t>, tokens: Var<'t>, state: Var<'t>) -> (Var<'t>, Var<'t>) {
        self.steps.set(self.steps.get() + 1);
        let table = cx.tape().constant(&self.scores);
        (table.index_select(0, tokens), state + 1.0)
    }
}

fn table(rows: &[[f64; 3]]) -> Counting {
    let values: Vec<f64> = rows.iter().flatten().map(|p| p.ln()).collect();
    Counting { steps: Counter::new(0), scores: Tensor::from_vec(values, [rows.len(), 3]).unwrap() }
}

#[test]
fn a_search_ends_when_nothing_can_get_better() -> Result<()> {
    let model = table(&[[0.2, 0.2, 0.6]; 3]);
    let stop = Stop::after(100).at(2);
    let found = BeamSearch::new(1).search(&model, &Start::tokens(&[0]), &stop)?;
    assert_eq!((found[0].tokens.len(), found[0].stopped, model.steps.get()), (0, true, 1));
    // A mean over tokens can get better later on, but not above that of a certain token.
    model.steps.set(0);
    let mean = BeamSearch::new(1).length_penalty(1.0).search(&model, &Start::tokens(&[0]), &stop)?;
    assert!(mean[0].stopped && model.steps.get() > 1, "{mean:?}");
    // What is impossible is not found, however many beams there are.
    let certain = table(&[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]);
    let found = BeamSearch::new(5).search(&certain, &Start::tokens(&[0]), &stop)?;
    assert_eq!(found, [Hypothesis { tokens: vec![1], log_prob: 0.0, score: 0.0, stopped: true }]);
    // As many sequences as beams, although the first cannot be beaten.
    let two = table(&[[0.0, 0.4, 0.6], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]);
    let found = BeamSearch::new(2).search(&two, &Start::tokens(&[0]), &stop)?;
    assert!(found.len() == 2 && found[0].tokens.is_empty() && found[1].tokens == [1], "{found:?}");
    // If short is good, the next step may still be better, and the last one is not.
    let short = table(&[[0.0, 0.9, 0.1], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]);
    let found = BeamSearch::new(1).length_penalty(-1.0).search(&short, &Start::tokens(&[0]), &stop)?;
    assert_eq!(found[0].tokens, [1]);
    // Greedy decoding stops with the last sequence; what has ended stays so.
    let circle = table(&[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]);
    assert_eq!(greedy(&circle, &Start::tokens(&[0, 1]), &stop)?, [vec![1], vec![]]);
    assert_eq!(circle.steps.get(), 2);
    Ok(())
}

#[test]
fn greedy_takes_the_best_token() -> Result<()> {
    let model = Model::new(5);
    let found = greedy(&model.stepper(), &Start::tokens(&[0, 1, 4]), &Stop::after(6))?;
    for (first, found) in [0, 1, 4].into_iter().zip(found) {
        let mut tokens = vec![first];
        for _ in 0..6 {
            let last = model.log_p(&tokens).pop().unwrap();
            tokens.push((0..5).max_by(|a, b| last[*a].total_cmp(&last[*b])).unwrap() as i64);
        }
        assert_eq!(found, tokens[1..]);
    }
    // After a prompt, and from a state that was carried over.
    let prompt = [0, 3, 1];
    let start = Start::prompt(&model.stepper(), &prompt)?;
    let wanted = greedy(&model.stepper(), &start, &Stop::after(4))?;
    let tape = Tape::inference();
    let tokens = tape.constant(Tensor::from_slice(&prompt[..2], [2, 1])?);
    let (_, state) = model.net.forward(&Cx::eval(&tape), model.embed.forward(tokens));
    let resumed = Start::tokens(&[prompt[2]]).with_state(Carried::of(&state)?);
    assert_eq!(greedy(&model.stepper(), &resumed, &Stop::after(4))?, wanted);
    let mut by_hand = prompt.to_vec();
    for _ in 0..4 {
        let last = model.log_p(&by_hand).pop().unwrap();
        by_hand.push((0..5).max_by(|a, b| last[*a].total_cmp(&last[*b])).unwrap() as i64);
    }
    assert_eq!(wanted[0], by_hand[3..]);
    assert_eq!(greedy(&model.stepper(), &start.clone().repeat(3), &Stop::after(4))?, [&wanted[0][..]; 3]);
    // A prompt decides on more than the last token, and rows keep their states.
    let search = BeamSearch::new(3).search(&model.stepper(), &start, &Stop::after(2))?;
    for h in search {
        let log_p = model.log_p(&[&prompt, &h.tokens[..]].concat());
        let total: f64 = h.tokens.iter().enumerate().map(|(t, token)| log_p[2 + t][*token as usize]).sum();
        assert!((total - h.log_prob).abs() < 1e-13, "{h:?}");
    }
    let tokens = tape.constant(Tensor::from_slice(&[0i64, 4, 3, 3], [2, 2])?);
    let (_, state) = model.net.forward(&Cx::eval(&tape), model.embed.forward(tokens));
    let state = Carried::of(&state)?;
    let draw = |start: Start| Sampling::default().generate(&model.stepper(), &start, &Stop::after(30));
    let both = draw(Start::tokens(&[1, 2]).with_state(state.clone()).repeat(2))?;
    let one = |token: i64, prompt: &[i64]| Start::prompt(&model.stepper(), &[prompt, &[token]].concat());
    // A sequence's draws follow from its number, so the others stand in for their places.
    assert_eq!(both[0..2], draw(one(1, &[0, 3])?.repeat(4))?[0..2]);
    assert_eq!(both[2..4], draw(one(2, &[4, 3])?.repeat(4))?[2..4]);
    // Of equal tokens the first.
    assert_eq!(greedy(&table(&[[0.4, 0.4, 0.2]; 3]), &Start::tokens(&[1]), &Stop::after(2))?, [[0, 0]]);
    Ok(())
}

/// The share of draws that choose each token.
fn shares(sampling: &Sampling, p: &[f64]) -> Result<Vec<f64>> {
    let scores: Vec<f64> = p.iter().map(|p| p.ln() + 5.0).collect();
    let n = 100_000;
    let mut shares = vec![0.0; p.len()];
    for i in 0..n {
        shares[sampling.pick(&scores, (f64::from(i) + 0.5) / f64::from(n))?] += 1.0 / f64::from(n);
    }
    Ok(shares)
}

#[test]
fn draws_follow_the_probabilities() -> Result<()> {
    let p = [0.1, 0.0, 0.4, 0.2, 0.3];
    let near = |options: Sampling, wanted: [f64; 5]| -> Result<()> {
        for (found, wanted) in shares(&options, &p)?.into_iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-4, "{options:?}: {found} against {wanted}");
        }
        Ok(())
    };
    let plain = Sampling::default();
    near(plain, p)?;
    let squares: f64 = p.iter().map(|p| p * p).sum();
    near(Sampling { temperature: 0.5, ..plain }, p.map(|p| p * p / squares))?;
    near(Sampling { top_k: Some(2), ..plain }, [0.0, 0.0, 4.0 / 7.0, 0.0, 3.0 / 7.0])?;
    near(Sampling { top_k: Some(99), ..plain }, p)?;
    near(Sampling { top_k: Some(1), ..plain }, [0.0, 0.0, 1.0, 0.0, 0.0])?;
    // 0.4 and 0.3 together are not yet 0.75.
    near(Sampling { top_p: 0.75, ..plain }, [0.0, 0.0, 4.0 / 9.0, 2.0 / 9.0, 3.0 / 9.0])?;
    near(Sampling { top_p: 0.65, ..plain }, [0.0, 0.0, 4.0 / 7.0, 0.0, 3.0 / 7.0])?;
    near(Sampling { top_p: 1e-9, ..plain }, [0.0, 0.0, 1.0, 0.0, 0.0])?;
    // Of the two that are left, the first is 4/7 of the whole.
    near(Sampling { top_k: Some(2), top_p: 0.5, ..plain }, [0.0, 0.0, 1.0, 0.0, 0.0])?;
    near(Sampling { temperature: 1e-3, ..plain }, [0.0, 0.0, 1.0, 0.0, 0.0])?;

    for (options, text) in [
        (Sampling { temperature: 0.0, ..plain }, "the temperature is 0, expected a positive number; use greedy"),
        (Sampling { temperature: f64::NAN, ..plain }, "the temperature is NaN"),
        (Sampling { top_p: 0.0, ..plain }, "top_p is 0, expected"),
        (Sampling { top_p: 1.1, ..plain }, "top_p is 1.1"),
        (Sampling { top_k: Some(0), ..plain }, "top_k is 0"),
    ] {
        says(&options.pick(&[0.0, 1.0], 0.5).unwrap_err(), &["sampling", text, "decode.rs"]);
        let error = options.generate(&table(&[[0.1, 0.2, 0.7]; 3]), &Start::tokens(&[0]), &Stop::after(1)).unwrap_err();
        says(&error, &[text, "decode.rs"]);
    }
    for scores in [&[f64::NAN, 0.0][..], &[f64::NEG_INFINITY; 3], &[]] {
        says(&plain.pick(scores, 0.5).unwrap_err(), &["sampling: the", "hold NaN, or nothing but -inf"]);
    }
    assert_eq!(Sampling { top_p: 0.5, ..plain }.pick(&[0.0, 0.0], 0.9)?, 0, "one of two has the half");
    assert_eq!(plain.pick(&[0.0, 0.0], 1.0)?, 0, "a draw beyond the range is no panic");
    Ok(())
}

#[test]
fn generated_sequences_follow_from_the_seed() -> Result<()> {
    let model = Model::new(5);
    let start = Start::tokens(&[BEGIN]).repeat(300);
    let run = |options: Sampling| options.generate(&model.stepper(), &start, &Stop::after(3));
    let plain = Sampling::default();
    let drawn = run(plain)?;
    assert_eq!(drawn, run(plain)?);
    assert_ne!(drawn, run(Sampling { seed: 1, ..plain })?);
    assert_ne!(drawn[0..150], drawn[150..300]);
    // What a sequence draws does not depend on the others.
    let few = plain.generate(&model.stepper(), &Start::tokens(&[BEGIN]).repeat(7), &Stop::after(3))?;
    assert_eq!(few, drawn[..7]);
    // The sequences are as frequent as they are probable: within five standard deviations.
    let mut counts: HashMap<&[i64], f64> = HashMap::new();
    drawn.iter().for_each(|tokens| *counts.entry(tokens).or_default() += 1.0);
    for (tokens, count) in counts {
        let log_p = model.log_p(&[&[BEGIN], tokens].concat());
        let p: f64 = tokens.iter().enumerate().map(|(t, token)| log_p[t][*token as usize]).sum::<f64>().exp();
        assert!((count - 300.0 * p).abs() < 5.0 * (300.0 * p).sqrt() + 2.0, "{tokens:?}: {count}, {}", 300.0 * p);
    }
    let best = greedy(&model.stepper(), &start, &Stop::after(3))?;
    assert_eq!(run(Sampling { top_k: Some(1), ..plain })?, best);
    assert_eq!(run(Sampling { temperature: 1e-4, ..plain })?, best);
    Ok(())
}

#[test]
fn decoding_says_what_it_expects() -> Result<()> {
    let model = table(&[[0.2, 0.2, 0.6]; 3]);
    let (one, stop) = (Start::tokens(&[0]), Stop::after(3));
    let refuses = |search: BeamSearch, start: &Start, parts: &[&str]| {
        says(&search.search(&model, start, &stop).unwrap_err(), parts);
    };
    refuses(BeamSearch::new(0), &one, &["beam_search: 0 beams with length penalty 0 from 1 sequences", "decode.rs"]);
    refuses(BeamSearch::new(2), &Start::tokens(&[0, 1]), &["from 2 sequences", "one sequence at a time"]);
    refuses(BeamSearch::new(2).length_penalty(f64::NAN), &one, &["penalty NaN"]);
    says(&Start::prompt(&model, &[]).unwrap_err(), &["prompt: the prompt is empty", "decode.rs"]);
    says(&greedy(&model, &Start::tokens(&[7]), &stop).unwrap_err(), &["index 7 at position [0] is out of range"]);
    let state = || -> Result<Carried> { Carried::of(&vec![Tape::inference().zeros([1], DType::F32)]) };
    says(&greedy(&model, &one.clone().with_state(state()?), &stop).unwrap_err(), &["resume", "expected ''"]);
    let broken = table(&[[f64::NAN, 0.2, 0.6]; 3]);
    says(&greedy(&broken, &one, &stop).unwrap_err(), &["decode: the scores for sequence 0 hold NaN", "detect_anomaly"]);
    struct Flat;
    impl Stepper for Flat {
        type State<'t> = ();
        fn init<'t>(&self, _: &Cx<'t>, _: usize) {}
        fn step<'t>(&self, cx: &Cx<'t>, _: Var<'t>, (): ()) -> (Var<'t>, ()) {
            (cx.zeros([4]), ())
        }
    }
    says(&greedy(&Flat, &one, &stop).unwrap_err(), &["decode: the step gives scores [4] for 1 tokens", "[N, V]"]);
    Ok(())
}

#[test]
fn ctc_decoding_sums_over_alignments() -> Result<()> {
    // The best path is all blanks, 0.36; the label has 0.64.
    let log = |p: [f64; 2]| p.map(f64::ln);
    let scores = Tensor::from_vec([log([0.6, 0.4]), log([0.6, 0.4])].concat(), [2, 1, 2])?;
    assert_eq!(ctc_greedy(&scores, &[2], 0)?, [[0i64; 0]]);
    let found = &CtcBeamSearch::new(4).search(&scores, &[2])?[0];
    assert_eq!((&found[0].labels[..], &found[1].labels[..]), (&[1][..], &[][..]));
    assert!((found[0].log_prob.exp() - 0.64).abs() < 1e-15 && (found[1].log_prob.exp() - 0.36).abs() < 1e-15);

    let (steps, classes, blank, lengths) = (5, 3, 1, [5, 3, 0]);
    let tape = Tape::inference();
    let mut values = tape.constant(data(&[steps, 3, classes], 8)).log_softmax(-1).value()?.to_f64_vec();
    let at = |t: usize, b: usize, c: usize| (t * 3 + b) * classes + c;
    values[at(4, 1, 0)] = f64::NAN;
    values[at(1, 0, 2)] = f64::NEG_INFINITY;
    let scores = Tensor::from_slice(&values, [steps, 3, classes])?;
    let found = CtcBeamSearch { beams: 1000, blank }.search(&scores, &lengths)?;
    let paths = ctc_greedy(&scores, &lengths, blank)?;
    for (b, n) in lengths.into_iter().enumerate() {
        // The probability of all labels, by all paths.
        let mut all: BTreeMap<Vec<i64>, f64> = BTreeMap::new();
        let mut best = (f64::NEG_INFINITY, Vec::new());
        for i in 0..classes.pow(n as u32) {
            let path: Vec<usize> = (0..n).map(|t| i / classes.pow(t as u32) % classes).collect();
            let p: f64 = path.iter().enumerate().map(|(t, c)| values[at(t, b, *c)]).sum();
            let kept = |t: &usize| path[*t] != blank && (*t == 0 || path[*t] != path[*t - 1]);
            let labels: Vec<i64> = (0..n).filter(kept).map(|t| path[t] as i64).collect();
            if p > best.0 {
                best = (p, labels.clone());
            }
            *all.entry(labels).or_default() += p.exp();
        }
        all.retain(|_, p| *p > 0.0);
        assert_eq!(paths[b], best.1);
        assert_eq!(found[b].len(), all.len());
        assert!(found[b].windows(2).all(|pair| pair[0].log_prob >= pair[1].log_prob));
        for h in &found[b] {
            assert!((h.log_prob.exp() - all[&h.labels]).abs() < 1e-14, "{b}: {h:?}");
        }
        // Few beams: the best of many, here.
        assert_eq!(CtcBeamSearch { beams: 4, blank }.search(&scores, &lengths)?[b][0].labels, found[b][0].labels);
        assert!(CtcBeamSearch { beams: 2, blank }.search(&scores, &lengths)?[b].len() <= 2);
    }
    // The loss of the labels is what the search says of them.
    let labels: Vec<&[i64]> = found.iter().map(|all| &all[all.len() / 2].labels[..]).collect();
    let losses = Ctc { blank, reduction: Reduction::None, ..Default::default() };
    let losses = losses.loss(tape.constant(&scores), &labels, &lengths).value()?.to_f64_vec();
    for (loss, all) in losses.iter().zip(&found) {
        assert!((loss + all[all.len() / 2].log_prob).abs() < 1e-13);
    }

    let refuses = |scores: &Tensor, lengths: &[usize], blank: usize, parts: &[&str]| {
        says(&ctc_greedy(scores, lengths, blank).unwrap_err(), &["ctc_greedy: ", "decode.rs"]);
        let error = CtcBeamSearch { beams: 2, blank }.search(scores, lengths).unwrap_err();
        says(&error, parts);
        says(&error, &["ctc_beam_search: ", "decode.rs"]);
    };
    refuses(&scores, &[5, 3], 0, &["the scores are f64 [5, 3, 3], for 2 lengths and blank 0", "[T, B, C]"]);
    refuses(&scores, &lengths, 3, &["blank 3"]);
    refuses(&scores.cast(DType::I64), &lengths, 0, &["the scores are i64"]);
    refuses(&scores, &[5, 6, 0], 0, &["sequence 1 has length 6, but there are 5 steps"]);
    refuses(&scores, &[5, 5, 0], 0, &["the scores of sequence 1 hold NaN"]);
    says(&CtcBeamSearch::new(0).search(&scores, &lengths).unwrap_err(), &["the number of beams is 0"]);
    Ok(())
}

#[test]
fn teacher_forcing_is_a_run_of_the_network() -> Result<()> {
    let model = Model::new(5);
    let stepper = model.stepper();
    let tape = Tape::new();
    let cx = Cx::train(&tape).with_dtype(DType::F64);
    let tokens = tape.constant(Tensor::from_slice(&[0i64, 1, 4, 2, 3, 3], [3, 2])?);
    let (scores, state) = teacher_forcing(&stepper, &cx, tokens, stepper.init(&cx, 2));
    let (y, wanted) = model.net.forward(&cx, model.embed.forward(tokens));
    let plain = model.readout.forward(y);
    close(&scores.value()?, &plain.value()?, 1e-14, "scores");
    close(&state[1].value()?, &wanted[1].value()?, 1e-14, "state");
    let targets = Tensor::from_slice(&[1i64, 1, 2, 3, 4, 0], [3, 2])?;
    let (a, b) = (loss::cross_entropy(scores, &targets).backward()?, loss::cross_entropy(plain, &targets).backward()?);
    for (name, param) in model.params() {
        close(a.get(&param).unwrap(), b.get(&param).unwrap(), 1e-13, &name);
    }
    // Never its own token: the same to the bit.
    let keyed = cx.with_seed(3);
    let (never, _) = scheduled_sampling(&stepper, &keyed, tokens, stepper.init(&cx, 2), 0.0);
    assert!(never.value()?.bit_eq(&scores.value()?));
    let modules = (&model.embed, &model.net, &model.readout);
    let given = Tensor::from_slice(&[0i64, 1, 4, 2, 3, 3], [3, 2])?;
    assert_gradients!(|x| {
        let cx = Cx::train(x.tape()).with_dtype(DType::F64).with_seed(3);
        let tokens = x.tape().constant(&given);
        scheduled_sampling(&stepper, &cx, tokens, stepper.init(&cx, 2), 0.5).0 * x
    }, [data(&[3, 2, 5], 1)], params: modules, options: GradientOptions::default().cases(1));
    Ok(())
}

/// The tokens that a model was given, read off its scores.
fn seen(model: &Counting, cx: &Cx<'_>, tokens: Var<'_>, p: f64) -> Result<Vec<i64>> {
    let batch = tokens.shape()?[1];
    let (scores, _) = scheduled_sampling(model, cx, tokens, model.init(cx, batch), p);
    // Every row of the table has its greatest entry one further than its own number.
    Ok(scores.argmax(-1).value()?.to_vec::<i64>()?.into_iter().map(|next| (next + 2) % 3).collect())
}

#[test]
fn own_tokens_take_the_place_of_given_ones() -> Result<()> {
    let sure = table(&[[1e-30, 1.0, 1e-30], [1e-30, 1e-30, 1.0], [1.0, 1e-30, 1e-30]]);
    let (steps, batch) = (40, 50);
    let tape = Tape::inference();
    let zeros = tape.zeros([steps, batch], DType::I64);
    let cx = Cx::train(&tape).with_seed(9);
    assert_eq!(seen(&sure, &cx, zeros, 0.0)?, vec![0; steps * batch]);
    // Always its own: it counts on from the first.
    let own = seen(&sure, &cx, zeros, 1.0)?;
    assert!((0..steps * batch).all(|i| own[i] == (i / batch % 3) as i64));
    // In between, each is either the given one or follows the one before.
    let mixed = seen(&sure, &cx, zeros, 0.3)?;
    let mut taken = 0;
    for i in batch..steps * batch {
        let follows = (mixed[i - batch] + 1) % 3;
        assert!(mixed[i] == 0 || mixed[i] == follows);
        // Where both are the same, nobody knows.
        taken += usize::from(mixed[i] == follows && follows != 0);
    }
    let chances = (batch..steps * batch).filter(|i| (mixed[i - batch] + 1) % 3 != 0).count() as f64;
    assert!((taken as f64 - 0.3 * chances).abs() < 5.0 * (0.21 * chances).sqrt(), "{taken} of {chances}");
    assert_eq!(mixed, seen(&sure, &cx, zeros, 0.3)?);
    assert_ne!(mixed, seen(&sure, &cx.with_seed(10), zeros, 0.3)?);
    // Draws follow the scores: of what comes after 0, a quarter is 2.
    let unsure = table(&[[0.0, 0.75, 0.25], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
    let zeros = tape.zeros([2, 2000], DType::I64);
    let (scores, _) = scheduled_sampling(&unsure, &cx, zeros, unsure.init(&cx, 2000), 1.0);
    let drawn = scores.get(0, 1).argmax(-1).value()?.to_vec::<i64>()?;
    let twos = drawn.iter().filter(|token| **token == 2).count() as f64;
    assert!(!drawn.contains(&0) && (twos - 500.0).abs() < 5.0 * 375f64.sqrt(), "{twos}");
    // Every step draws anew.
    let either = table(&[[1e-30, 0.5, 0.49], [0.01, 0.5, 0.49], [0.02, 0.5, 0.48]]);
    let (scores, _) = scheduled_sampling(&either, &cx, tape.zeros([10, 20], DType::I64), either.init(&cx, 20), 1.0);
    let steps = scores.narrow(-1, 0, 1).value()?;
    let step = |t: usize| steps.narrow(0, t, 1).unwrap();
    assert!((2..10).all(|t| !step(t).bit_eq(&step(t - 1))), "{steps:?}");
    // The probability may differ from step to step.
    let growing = tape.constant(Tensor::from_slice(&[0.0f32, 0.0, 1.0, 1.0], [4, 1])?);
    let (scores, _) = scheduled_sampling(&sure, &cx, tape.zeros([4, 1], DType::I64), sure.init(&cx, 1), growing);
    assert_eq!(scores.argmax(-1).value()?.to_vec::<i64>()?, [1, 1, 2, 0]);
    Ok(())
}

#[test]
fn drivers_of_decoders_say_what_they_expect() -> Result<()> {
    let model = Model::new(5);
    let stepper = model.stepper();
    let tape = Tape::new();
    let cx = Cx::train(&tape).with_dtype(DType::F64);
    let start = || stepper.init(&cx, 2);
    let tokens = tape.zeros([3, 2], DType::I64);
    let line = line!() + 1;
    let error = scheduled_sampling(&stepper, &cx, tokens, start(), 0.5).0.value().unwrap_err();
    says(&error, &["scheduled_sampling: the pass has no random key", "with_seed", &format!("decode.rs:{line}")]);
    let keyed = cx.with_seed(1);
    let line = line!() + 1;
    let error = scheduled_sampling(&stepper, &keyed, tokens, start(), 1.5).0.value().unwrap_err();
    says(&error, &["scheduled_sampling: the probability is 1.5", &format!("decode.rs:{line}")]);
    for wrong in [tape.zeros([3, 2], DType::F64), tape.zeros([3], DType::I64), tape.zeros([0, 2], DType::I64)] {
        let line = line!() + 1;
        let error = teacher_forcing(&stepper, &cx, wrong, start()).0.value().unwrap_err();
        says(&error, &["teacher_forcing: the tokens are", "i64 tokens [T, B]", &format!("decode.rs:{line}")]);
        let error = scheduled_sampling(&stepper, &keyed, wrong, start(), 0.5).1[0].value().unwrap_err();
        says(&error, &["scheduled_sampling: the tokens are"]);
    }
    // Dropout in the model is another at every step.
    let zeros = tape.zeros([4, 1], DType::I64);
    let (scores, ()) = teacher_forcing(&Dropping, &keyed, zeros, ());
    let step = |t: usize| scores.get(0, t).value().unwrap();
    assert!(!step(0).bit_eq(&step(1)) && !step(1).bit_eq(&step(2)));
    Ok(())
}

/// Scores that are ones, some of them dropped.
struct Dropping;

impl Stepper for Dropping {
    type State<'t> = ();
    fn init<'t>(&self, _: &Cx<'t>, _: usize) {}
    fn step<'t>(&self, cx: &Cx<'t>, tokens: Var<'t>, (): ()) -> (Var<'t>, ()) {
        let rows = tokens.shape().map_or(0, |shape| shape[0]);
        (Dropout::new(0.5).forward(cx, cx.zeros([rows, 40]) + 1.0), ())
    }
}
