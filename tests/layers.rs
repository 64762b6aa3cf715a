//! Layers against PyTorch's, against their formulas as loops, and against finite differences.

mod support;

use rand::{SeedableRng, rngs::StdRng};
use support::{Fixture, close, data, says};
use wengert::check::{GradientOptions, assert_gradients, floats};
use wengert::nn::{
    BahdanauAttention, Conv1d, LuongAttention, MultiHeadAttention, RmsNorm, causal_mask, length_mask,
    scaled_dot_product_attention,
};
use wengert::prelude::*;

fn rng() -> StdRng {
    StdRng::seed_from_u64(5)
}

/// Sets the parameters to values in double precision, which the checks need.
fn randomise(module: &impl ParamTree) {
    module.set_dtype(DType::F64).expect("F64 is a float type");
    for (i, (_, param)) in module.params().iter().enumerate() {
        param.set(data(param.value().shape(), 40 + i as u64)).expect("the shape is its own");
    }
}

fn few() -> GradientOptions {
    GradientOptions::default().cases(8)
}

/// A case of the fixture.
struct Case(Fixture, &'static str);

impl Case {
    fn open(name: &'static str) -> Case {
        Case(Fixture::open("layers_f64"), name)
    }

    fn get(&self, name: &str) -> &Tensor {
        self.0.get(&format!("{}.{name}", self.1))
    }

    /// A parameter, transposed if it is a matrix of a linear layer.
    fn param(&self, name: &str) -> Param {
        Param::new(self.get(name).clone())
    }

    /// Compares a result and its gradients: of values, and of parameters.
    fn compare(&self, y: Var<'_>, values: &[(&str, Var<'_>)], params: &[(&str, &Param)]) -> Result<()> {
        close(&y.value()?, self.get("y"), 1e-12, self.1);
        let gradients = (y * self.get("ct")).sum().backward()?;
        for (name, value) in values {
            let found = gradients.wrt(*value).expect("the result depends on it");
            close(found, self.get(&format!("grad.{name}")), 1e-12, &format!("{}, {name}", self.1));
        }
        for (name, param) in params {
            let found = gradients.get(param).expect("the result depends on it");
            close(found, self.get(&format!("grad.{name}")), 1e-12, &format!("{}, {name}", self.1));
        }
        Ok(())
    }
}

#[test]
fn embedding_is_that_of_pytorch() -> Result<()> {
    let case = Case::open("embedding");
    let layer = Embedding::new(7, 3, &mut rng()).with_padding(2);
    assert_eq!(layer.weight.value().narrow(0, 2, 1)?.to_f64_vec(), [0.0; 3]);
    layer.set_dtype(DType::F64)?;
    layer.weight.set(case.get("weight").clone())?;
    let tape = Tape::new();
    let y = layer.forward(tape.constant(case.get("tokens")));
    case.compare(y, &[], &[("weight", &layer.weight)])?;
    let padding = layer.clone();
    let tokens = Tensor::from_slice(&[1i64, 2, 2], [3])?;
    assert_gradients!(|x| padding.forward(x.tape().constant(&tokens)) * x, floats([3, 3]), options: few());
    Ok(())
}

#[test]
fn an_embedding_shares_its_matrix() -> Result<()> {
    #[derive(Module)]
    struct Model {
        embed: Embedding,
        readout: nn::TiedLinear,
    }
    use wengert::nn;
    let embed = Embedding::new(4, 3, &mut rng());
    let model = Model { readout: embed.tied().with_bias(), embed };
    randomise(&model);
    let names: Vec<String> = model.params().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["embed.weight", "readout.bias"]);
    let tokens = Tensor::from_slice(&[0i64, 3, 3], [3])?;
    let run = |x: Var<'_>| {
        let h = model.embed.forward(x.tape().constant(&tokens)) * x;
        model.readout.forward(h.tanh()).value()
    };
    let tape = Tape::new();
    let y = run(tape.constant(data(&[3, 3], 1)))?;
    let (w, b, x) = (data(&[4, 3], 40), data(&[4], 41), data(&[3, 3], 1));
    for (row, token) in [0, 3, 3].into_iter().enumerate() {
        for v in 0..4 {
            let at = |t: &Tensor, i: usize, j: usize| t.to_f64_vec()[i * 3 + j];
            let sum: f64 = (0..3).map(|j| (at(&w, token, j) * at(&x, row, j)).tanh() * at(&w, v, j)).sum();
            let found = y.to_f64_vec()[row * 4 + v];
            assert!((found - sum - b.to_f64_vec()[v]).abs() < 1e-14, "token {token}, score {v}");
        }
    }
    assert_gradients!(
        |x| model.readout.forward((model.embed.forward(x.tape().constant(&tokens)) * x).tanh()),
        floats([3, 3]), params: model, options: few()
    );
    Ok(())
}

#[test]
fn norms_are_those_of_pytorch() -> Result<()> {
    let case = Case::open("layer_norm");
    let layer = LayerNorm { weight: case.param("weight"), bias: Some(case.param("bias")), eps: 1e-5 };
    let tape = Tape::new();
    let x = tape.var(case.get("x"));
    let bias = layer.bias.clone().expect("it was given one");
    case.compare(layer.forward(x), &[("x", x)], &[("weight", &layer.weight), ("bias", &bias)])?;

    let case = Case::open("rms_norm");
    let layer = RmsNorm { weight: case.param("weight"), eps: 1e-6 };
    let x = tape.var(case.get("x"));
    case.compare(layer.forward(x), &[("x", x)], &[("weight", &layer.weight)])?;

    let (layer, rms) = (LayerNorm::new(3), RmsNorm::new(3));
    assert_eq!((layer.eps, layer.without_bias().num_params(), rms.num_params()), (1e-5, 3, 3));
    let (layer, rms) = (LayerNorm::new(3), RmsNorm::new(3));
    randomise(&layer);
    randomise(&rms);
    assert_gradients!(|x| layer.forward(x), floats("B 3").distinct(), params: layer, options: few());
    assert_gradients!(|x| rms.forward(x), floats("B 3").distinct(), params: rms, options: few());
    Ok(())
}

#[test]
fn convolution_is_that_of_pytorch() -> Result<()> {
    let options = Conv1dOptions::default().stride(2).padding(3).dilation(2).groups(2);
    for (name, options) in [("conv1d", Conv1dOptions::default()), ("conv1d_options", options)] {
        let case = Case::open(name);
        let layer = Conv1d::new(4, 6, 3, options, &mut rng());
        layer.set_dtype(DType::F64)?;
        layer.weight.set(case.get("weight").clone())?;
        let bias = layer.bias.clone().expect("it has one");
        bias.set(case.get("bias").clone())?;
        let tape = Tape::new();
        let x = tape.var(case.get("x"));
        case.compare(layer.forward(x), &[("x", x)], &[("weight", &layer.weight), ("bias", &bias)])?;
        let (single, all) = (layer.forward(x.get(0, 1)).value()?, layer.forward(x).get(0, 1).value()?);
        assert!(single.bit_eq(&all), "one sequence is as it is in a batch");
        assert_gradients!(|x| layer.forward(x), floats([2, 4, 7]), params: layer, options: few().cases(2));
    }
    let bound = 1.0 / 6f64.sqrt();
    let layer = Conv1d::new(4, 60, 3, options, &mut rng());
    let largest = layer.weight.value().to_f64_vec().into_iter().fold(0.0, |a: f64, w| a.max(w.abs()));
    assert!(largest < bound && largest > 0.97 * bound, "{largest}");
    assert_eq!(layer.without_bias().num_params(), 60 * 2 * 3);
    Ok(())
}

#[test]
fn scaled_dot_products_are_those_of_pytorch() -> Result<()> {
    for name in ["attention_bool", "attention_float", "attention_causal"] {
        let case = Case::open(name);
        let tape = Tape::new();
        let [q, k, v] = ["q", "k", "v"].map(|name| tape.var(case.get(name)));
        let mask = match name {
            "attention_causal" => causal_mask(&tape, 4, 6),
            _ => tape.constant(case.get("mask")),
        };
        let y = scaled_dot_product_attention(q, k, v, Some(mask));
        case.compare(y, &[("q", q), ("k", k), ("v", v)], &[])?;
    }
    assert_gradients!(
        |q, k, v| scaled_dot_product_attention(q, k, v, Some(causal_mask(q.tape(), 3, 3))),
        floats("B 3 E, B 3 E, B 3 V"), options: few()
    );
    // A mask that is added and hides by −∞ is the mask of truth values, for a query that sees nothing too.
    let tape = Tape::new();
    let [q, k, v] = [1, 2, 3].map(|seed| tape.var(data(&[3, 3], seed)));
    let seen = causal_mask(&tape, 3, 3).and(tape.arange(3).gt(0));
    let run = |mask: Var<'_>| -> Result<Vec<Tensor>> {
        let y = scaled_dot_product_attention(q, k, v, Some(mask));
        let gradients = y.square().sum().backward()?;
        Ok([q, k, v].map(|v| gradients.wrt(v).unwrap().clone()).into_iter().chain([y.value()?]).collect())
    };
    let added = seen.select(tape.zeros([3, 3], DType::F64), f64::NEG_INFINITY);
    for (a, b) in run(seen)?.iter().zip(run(added)?) {
        assert!(a.bit_eq(&b) && a.to_f64_vec().iter().all(|v| v.is_finite()), "{a:?}, {b:?}");
    }
    assert_eq!(scaled_dot_product_attention(q, k, v, Some(seen)).get(0, 0).value()?.to_f64_vec(), [0.0; 3]);
    let bias = || floats([3, 3]);
    assert_gradients!(|b| scaled_dot_product_attention(b, b, b, Some(b)), bias(), options: few());
    assert_gradients!(|q, k, v| scaled_dot_product_attention(q, k, v, None), floats("L E, S E, S V"), options: few());
    Ok(())
}

#[test]
fn multi_head_attention_is_that_of_pytorch() -> Result<()> {
    let case = Case::open("multi_head");
    let layer = MultiHeadAttention::new(6, 3, &mut rng());
    layer.set_dtype(DType::F64)?;
    let bias = |linear: &Linear| linear.bias.clone().expect("it has one");
    for (i, linear) in [&layer.query, &layer.key, &layer.value].into_iter().enumerate() {
        linear.weight.set(case.get("in_proj_weight").narrow(0, 6 * i, 6)?.transpose(0, 1)?)?;
        bias(linear).set(case.get("in_proj_bias").narrow(0, 6 * i, 6)?)?;
    }
    layer.output.weight.set(case.get("out_proj.weight").transpose(0, 1)?)?;
    bias(&layer.output).set(case.get("out_proj.bias").clone())?;
    let tape = Tape::new();
    let [q, k, v] = ["q", "k", "v"].map(|name| tape.var(case.get(name)));
    let mask = length_mask(&tape, 5, &[5, 3]);
    assert!(mask.value()?.bit_eq(case.get("seen")));
    let (y, weights) = layer.forward(&Cx::train(&tape), [q, k, v], Some(mask.t().unsqueeze(1).unsqueeze(1)));
    close(&weights.value()?, case.get("weights"), 1e-12, "weights");
    case.compare(y, &[("q", q), ("k", k), ("v", v)], &[("out_proj.bias", &bias(&layer.output))])?;
    let gradients = (y * case.get("ct")).sum().backward()?;
    for (i, linear) in [&layer.query, &layer.key, &layer.value].into_iter().enumerate() {
        let wanted = case.get("grad.in_proj_weight").narrow(0, 6 * i, 6)?.transpose(0, 1)?;
        close(gradients.get(&linear.weight).unwrap(), &wanted, 1e-12, "in_proj_weight");
        let wanted = case.get("grad.in_proj_bias").narrow(0, 6 * i, 6)?;
        close(gradients.get(&bias(linear)).unwrap(), &wanted, 1e-12, "in_proj_bias");
    }
    let wanted = case.get("grad.out_proj.weight").transpose(0, 1)?;
    close(gradients.get(&layer.output.weight).unwrap(), &wanted, 1e-12, "out_proj.weight");

    let small = MultiHeadAttention::new(4, 2, &mut rng());
    randomise(&small);
    assert_gradients!(
        |q, k, v| small.forward(&Cx::eval(q.tape()), [q, k, v], None).0,
        floats("L B 4, S B 4, S B 4"), params: small, options: few().cases(3)
    );
    // Dropout of the weights: some are zero, and only in training.
    let small = small.with_dropout(0.5);
    let x = tape.constant(data(&[4, 2, 4], 3));
    let zeros = |cx: &Cx<'_>| -> Result<usize> {
        let weights = small.forward(cx, [x, x, x], None).1.value()?;
        Ok(weights.to_f64_vec().iter().filter(|w| **w == 0.0).count())
    };
    let (trained, evaluated) = (zeros(&Cx::train(&tape).with_seed(1))?, zeros(&Cx::eval(&tape).with_seed(1))?);
    assert!((20..44).contains(&trained) && evaluated == 0, "{trained}, {evaluated}");
    Ok(())
}

/// Scores of the attentions to a memory, as loops over one query and one place of the memory.
type Score = Box<dyn Fn(&[f64], &[f64]) -> f64>;

/// `(x·M)_j` for a matrix of `columns`, from row `first` on.
fn dot(x: &[f64], matrix: &[f64], columns: usize, first: usize, j: usize) -> f64 {
    x.iter().enumerate().map(|(i, x)| x * matrix[(first + i) * columns + j]).sum()
}

fn attends(
    forward: impl for<'t> Fn(Var<'t>, Var<'t>, Option<Var<'t>>) -> (Var<'t>, Var<'t>),
    sizes: [usize; 2],
    score: Score,
) -> Result<()> {
    let ([q_size, m_size], steps, lengths) = (sizes, 4, [4usize, 2, 0]);
    let (query, memory) = (data(&[3, q_size], 1), data(&[steps, 3, m_size], 2));
    let tape = Tape::new();
    let mask = length_mask(&tape, steps, &lengths);
    for masked in [false, true] {
        let (context, weights) = forward(tape.constant(&query), tape.constant(&memory), Some(mask).filter(|_| masked));
        let (context, weights) = (context.value()?.to_f64_vec(), weights.value()?.to_f64_vec());
        for (b, length) in lengths.into_iter().enumerate() {
            let length = if masked { length } else { steps };
            let q = &query.to_f64_vec()[b * q_size..(b + 1) * q_size];
            let all = memory.to_f64_vec();
            let m = |s: usize| &all[(s * 3 + b) * m_size..][..m_size];
            let e: Vec<f64> = (0..length).map(|s| score(q, m(s)).exp()).collect();
            let total: f64 = e.iter().sum();
            for s in 0..steps {
                let wanted = if s < length { e[s] / total } else { 0.0 };
                assert!((weights[s * 3 + b] - wanted).abs() < 1e-14, "weight of {s} in {b}");
            }
            for j in 0..m_size {
                let wanted: f64 = (0..length).map(|s| e[s] / total * m(s)[j]).sum();
                assert!((context[b * m_size + j] - wanted).abs() < 1e-14, "context {j} of {b}");
            }
        }
    }
    Ok(())
}

#[test]
fn attention_follows_the_formulas() -> Result<()> {
    let bahdanau = BahdanauAttention::new(2, 3, 4, &mut rng());
    randomise(&bahdanau);
    let [w, u, v] = [&bahdanau.w, &bahdanau.u, &bahdanau.v].map(|p| p.value().to_f64_vec());
    let additive =
        move |q: &[f64], m: &[f64]| (0..4).map(|j| v[j] * (dot(q, &w, 4, 0, j) + dot(m, &u, 4, 0, j)).tanh()).sum();
    attends(|q, m, mask| bahdanau.forward(q, m, mask), [2, 3], Box::new(additive))?;

    let plain = |q: &[f64], m: &[f64]| q.iter().zip(m).map(|(q, m)| q * m).sum();
    attends(|q, m, mask| LuongAttention::Dot.forward(q, m, mask), [3, 3], Box::new(plain))?;

    let general = LuongAttention::general(2, 3, &mut rng());
    randomise(&general);
    let w = general.params()[0].1.value().to_f64_vec();
    let bilinear = move |q: &[f64], m: &[f64]| (0..3).map(|j| dot(q, &w, 3, 0, j) * m[j]).sum();
    attends(|q, m, mask| general.forward(q, m, mask), [2, 3], Box::new(bilinear))?;

    let concat = LuongAttention::concat(2, 3, 4, &mut rng());
    randomise(&concat);
    let [w, v] = [0, 1].map(|i| concat.params()[i].1.value().to_f64_vec());
    let joined =
        move |q: &[f64], m: &[f64]| (0..4).map(|j| v[j] * (dot(q, &w, 4, 0, j) + dot(m, &w, 4, 2, j)).tanh()).sum();
    attends(|q, m, mask| concat.forward(q, m, mask), [2, 3], Box::new(joined))?;

    // One sequence has nothing to read, and gives no NaN.
    fn check<'t>(q: Var<'t>, run: impl Fn(Var<'t>) -> (Var<'t>, Var<'t>)) -> Var<'t> {
        let (context, weights) = run(length_mask(q.tape(), 3, &[3, 0]));
        context.sum() + (weights * weights).sum()
    }
    let sizes = || floats("2 2, 3 2 3");
    assert_gradients!(|q, m| check(q, |k| bahdanau.forward(q, m, Some(k))), sizes(), params: bahdanau, options: few());
    assert_gradients!(|q, m| check(q, |k| general.forward(q, m, Some(k))), sizes(), params: general, options: few());
    assert_gradients!(|q, m| check(q, |k| concat.forward(q, m, Some(k))), sizes(), params: concat, options: few());
    let dot = LuongAttention::Dot;
    assert_gradients!(|q, m| check(q, |k| dot.forward(q, m, Some(k))), floats("2 3, 3 2 3"), options: few());
    Ok(())
}

#[test]
fn dropout_drops_in_training_alone() -> Result<()> {
    let tape = Tape::new();
    let x = tape.var(data(&[100, 100], 1));
    let cx = Cx::train(&tape).with_seed(3);
    let y = Dropout::new(0.3).forward(&cx, x);
    let gradients = y.sum().backward()?;
    let (y, slope) = (y.value()?.to_f64_vec(), gradients.wrt(x).unwrap().to_f64_vec());
    let mut zeros = 0;
    for ((x, y), slope) in data(&[100, 100], 1).to_f64_vec().into_iter().zip(y).zip(slope) {
        let kept = slope != 0.0;
        let scale = if kept { 1.0 / 0.7 } else { 0.0 };
        assert!((y - x * scale).abs() < 1e-15 && (slope - scale).abs() < 1e-15);
        zeros += usize::from(!kept);
    }
    // Five standard deviations of a binomial.
    assert!((zeros as f64 - 3000.0).abs() < 230.0, "{zeros}");
    let value = |p: f64, cx: &Cx<'_>| Dropout::new(p).forward(cx, tape.constant(data(&[3, 3], 2))).value();
    assert!(!value(0.5, &cx)?.bit_eq(&value(0.5, &cx)?), "every call draws others");
    let seeded = || Cx::train(&tape).with_seed(3);
    assert!(value(0.5, &seeded())?.bit_eq(&value(0.5, &seeded())?), "the key decides");
    for (p, cx) in [(0.5, Cx::eval(&tape)), (0.0, Cx::train(&tape))] {
        assert!(value(p, &cx)?.bit_eq(&data(&[3, 3], 2)));
    }
    let gradients = Dropout::new(1.0).forward(&cx, x).sum().backward()?;
    assert_eq!((gradients.loss().item()?, gradients.wrt(x).unwrap().to_f64_vec()), (0.0, vec![0.0; 10_000]));
    assert_gradients!(
        |x| Dropout::new(0.4).forward(&Cx::train(x.tape()).with_seed(5), x), floats("B N"), options: few()
    );

    let line = line!() + 1;
    let error = Dropout::new(0.5).forward(&Cx::train(&tape), x).value().unwrap_err();
    says(
        &error,
        &[
            "something random, such as dropout, is drawn in a pass without a key",
            "with_seed",
            &format!("layers.rs:{line}"),
        ],
    );
    for p in [-0.1, 1.5, f64::NAN] {
        says(&value(p, &Cx::train(&tape)).unwrap_err(), &["dropout: the rate is", "from 0 to 1"]);
    }
    Ok(())
}

#[test]
fn a_sequence_is_its_layers() -> Result<()> {
    let rng = &mut rng();
    let (embed, cell, head) = (Embedding::new(6, 3, rng), LstmCell::new(3, 4, rng), Linear::new(4, 2, rng));
    let model = Sequential::new()
        .then(embed.clone())
        .then(Dropout::new(0.5))
        .then(Rnn::new(cell.clone()))
        .then(Sequential::new().then(Dropout::new(0.5)).then(head.clone()))
        .map(|x| x.tanh());
    let names: Vec<String> = model.params().into_iter().map(|(name, _)| name).collect();
    let wanted = ["0.weight", "2.layers.0.w", "2.layers.0.u", "2.layers.0.b", "3.1.weight", "3.1.bias"];
    assert_eq!(names, wanted);
    assert!(model.len() == 5 && !model.is_empty() && Sequential::new().is_empty());
    assert!(format!("{model:?}").contains("\"3.1.bias\": [2]"), "{model:?}");
    let tape = Tape::new();
    let tokens = tape.constant(Tensor::from_slice(&[0i64, 5, 3, 3, 1, 2], [3, 2])?);
    let cx = Cx::train(&tape).with_seed(4);
    let dropout = Dropout::new(0.5);
    let h = dropout.forward(&cx.fold_in(1), embed.forward(tokens));
    let h = Rnn::new(cell).forward(&cx, h).0;
    let by_hand = head.forward(dropout.forward(&cx.fold_in(3).fold_in(0), h)).tanh();
    let y = model.forward(&cx, tokens);
    assert!(y.value()?.bit_eq(&by_hand.value()?));
    let evaluated = model.forward(&Cx::eval(&tape), tokens).value()?;
    assert!(!evaluated.bit_eq(&y.value()?));
    assert!(evaluated.bit_eq(&model.forward(&Cx::eval(&tape), tokens).value()?));

    let line = line!() + 1;
    let error = model.forward(&Cx::train(&tape), tokens).value().unwrap_err();
    says(&error, &["in a pass without a key", ", in layer 1 of the sequence (at tests/layers.rs", &line.to_string()]);
    // An error that comes in has said so already.
    let broken = tape.constant(data(&[2, 3], 1)).matmul(&data(&[2, 2], 1));
    let error = model.forward(&cx, broken).value().unwrap_err().to_string();
    assert!(!error.contains("in layer"), "{error}");
    Ok(())
}

#[test]
fn layers_say_what_they_expect() -> Result<()> {
    let tape = Tape::new();
    let rng = &mut rng();
    let x = tape.constant(data(&[3, 2, 4], 1));
    let ask = |y: Var<'_>, parts: &[&str]| says(&y.value().unwrap_err(), parts);

    let embed = Embedding::new(5, 3, rng);
    let tokens = tape.constant(Tensor::from_slice(&[0i64, 5, 1], [3])?);
    ask(embed.forward(tokens), &["embedding: index 5 at position [1] is out of range", "layers.rs"]);
    ask(embed.forward(x), &["embedding: the index is f64, expected i64"]);
    let padded = Embedding::new(5, 3, rng).with_padding(9);
    let zeros = tape.zeros([2], DType::I64);
    ask(padded.forward(zeros), &["embedding: the padding index is 9, but there are 5 tokens", "with_padding"]);
    let embed = Embedding::new(5, 3, rng);
    embed.set_dtype(DType::F64)?;
    ask(embed.tied().forward(x), &["tied_linear", "[3, 2, 4]", "[3, 5]"]);

    ask(LayerNorm::new(3).forward(x), &["layer_norm: the input is [3, 2, 4], the layer has 3 features"]);
    ask(LayerNorm::new(4).forward(x.narrow(-1, 0, 1)), &["the layer has 4 features"]);
    ask(RmsNorm::new(3).forward(x), &["rms_norm: the input is", "extent of the last axis"]);

    let conv = Conv1d::new(3, 4, 2, Conv1dOptions::default().groups(0), rng);
    conv.set_dtype(DType::F64)?;
    ask(conv.forward(x), &["conv1d", "group"]);

    let scaled = |mask: Var<'_>| {
        says(
            &scaled_dot_product_attention(x, x, x, Some(mask)).value().unwrap_err(),
            &["scaled_dot_product_attention: the mask is", "the scores are [3, 2, 2]", "bool mask"],
        )
    };
    scaled(causal_mask(&tape, 3, 3));
    scaled(tape.zeros([2, 2], DType::I64));
    scaled(tape.zeros([1, 3, 2, 2], DType::Bool));
    let other = tape.constant(data(&[3, 2, 5], 1));
    ask(scaled_dot_product_attention(x, other, other, None), &["scaled_dot_product_attention: shapes"]);

    let heads = MultiHeadAttention::new(4, 3, rng);
    heads.set_dtype(DType::F64)?;
    let cx = Cx::eval(&tape);
    ask(heads.forward(&cx, [x, x, x], None).0, &["multi_head_attention", "[3, 2, 4], to be cut into 3 heads"]);
    let heads = MultiHeadAttention::new(4, 0, rng);
    heads.set_dtype(DType::F64)?;
    ask(heads.forward(&cx, [x, x, x], None).1, &["0 heads"]);

    let query = tape.constant(data(&[2, 4], 1));
    let bahdanau = BahdanauAttention::new(4, 4, 3, rng);
    ask(bahdanau.forward(x, query, None).0, &["bahdanau_attention: the query is [3, 2, 4], the memory [2, 4]"]);
    let short = query.narrow(0, 0, 1);
    ask(LuongAttention::Dot.forward(short, x, None).1, &["luong_attention: the query is [1, 4]", "[S, B, M]"]);
    let narrow = query.narrow(1, 0, 3);
    ask(LuongAttention::Dot.forward(narrow, x, None).0, &["the query has 3 entries, the memory 4", "general"]);
    let transposed = tape.zeros([2, 3], DType::Bool);
    ask(LuongAttention::Dot.forward(query, x, Some(transposed)).0, &["the mask is bool [2, 3], the scores are [3, 2]"]);

    let line = line!() + 1;
    let error = length_mask(&tape, 3, &[1, 4]).value().unwrap_err();
    says(&error, &["length_mask: sequence 1 has length 4, but there are 3 steps", &format!("layers.rs:{line}")]);
    Ok(())
}
