//! Weights under PyTorch's names, against files that PyTorch wrote; parts of files, other names, and reports.

mod support;

use rand::{SeedableRng, rngs::StdRng};
use std::path::PathBuf;
use support::{Fixture, close, data, lstm_net, says};
use wengert::nn::io::{Error, Weights, load_tensors, save_tensors};
use wengert::prelude::*;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The folder for what is saved, which `make_weights.py --check` reads.
fn folder() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("weights");
    std::fs::create_dir_all(&folder).expect("the target folder is writable");
    folder
}

/// `Model` of `make_weights.py`.
#[derive(Module)]
struct Model {
    embedding: Embedding,
    rnn: Rnn<LstmCell>,
    norm: LayerNorm,
    head: Linear,
}

impl Model {
    fn new(rng: &mut StdRng) -> Model {
        let rnn = Rnn::stack(2, 3, |_, input| LstmCell::new(input, 5, rng));
        let embedding = Embedding::new(7, 3, rng);
        double(Model { embedding, rnn, norm: LayerNorm::new(5), head: Linear::new(5, 7, rng) })
    }

    fn forward<'t>(&self, cx: &Cx<'t>, tokens: Var<'t>) -> Var<'t> {
        let (y, _) = self.rnn.forward(cx, self.embedding.forward(tokens));
        self.head.forward(self.norm.forward(y))
    }
}

/// `Cells` of `make_weights.py`.
#[derive(Module)]
struct Cells {
    lstm: LstmCell,
    gru: GruCell,
    rnn: ElmanCell,
}

/// The module in double precision.
fn double<M: ParamTree>(module: M) -> M {
    module.set_dtype(DType::F64).expect("F64 is a float type");
    module
}

/// Loads the case's file strictly, compares the outputs with PyTorch's, saves, and sees that what was saved is the same again.
fn case<M: ParamTree>(
    case: &str,
    make: impl Fn(&mut StdRng) -> M,
    run: impl for<'t> Fn(&M, &Cx<'t>, Var<'t>) -> Var<'t>,
) {
    let (net, other) = (double(make(&mut StdRng::seed_from_u64(0))), double(make(&mut StdRng::seed_from_u64(1))));
    let outputs = Fixture::open("weights_outputs");
    let outcome = |net: &M| {
        let tape = Tape::inference();
        let cx = Cx::eval(&tape).with_dtype(DType::F64);
        run(net, &cx, tape.constant(outputs.get(&format!("{case}.x")))).value().expect("the net runs")
    };
    let file = fixture(&format!("weights_{case}.safetensors"));
    let report = Weights::pytorch().load(&net, &file).unwrap_or_else(|e| panic!("{case}: {e}"));
    assert!(report.is_complete() && report.loaded.len() == load_tensors(&file).expect("it is there").len());
    close(&outcome(&net), outputs.get(&format!("{case}.y")), 1e-12, case);

    for end in ["safetensors", "npz"] {
        let saved = folder().join(format!("weights_{case}.{end}"));
        Weights::pytorch().save(&net, &saved).expect("the folder is writable");
        Weights::pytorch().load(&other, &saved).expect("what was saved fits");
        for ((name, a), (_, b)) in net.params().iter().zip(other.params()) {
            assert!(a.value().bit_eq(&b.value()), "{case}, {name}");
        }
        // The names, shapes and types of PyTorch's own file, and its values but for the biases, whose sum is kept.
        let (theirs, ours) = (load_tensors(&file).expect("it is there"), load_tensors(&saved).expect("it was saved"));
        assert_eq!(theirs.len(), ours.len(), "{case}");
        for ((their_name, theirs), (our_name, ours)) in theirs.iter().zip(&ours) {
            assert_eq!((their_name, theirs.shape(), theirs.dtype()), (our_name, ours.shape(), ours.dtype()), "{case}");
            assert!(our_name.contains("bias_") || ours.bit_eq(theirs), "{case}, {our_name}");
        }
    }
}

fn first<'t, C: Cell>(net: &Rnn<C>, cx: &Cx<'t>, x: Var<'t>) -> Var<'t> {
    net.forward(cx, x).0
}

#[test]
fn recurrent_modules() {
    case("lstm", |rng| Rnn::stack(2, 3, |_, input| LstmCell::new(input, 5, rng)), first);
    case("gru", |rng| Rnn::stack(2, 3, |_, input| GruCell::new(input, 5, rng)), first);
    case("rnn", |rng| Rnn::stack(2, 3, |_, input| ElmanCell::new(input, 5, rng)), first);
    case("proj", |rng| Rnn::stack(2, 3, |_, input| Projected::new(LstmCell::new(input, 5, rng), 2, rng)), first);
}

#[test]
fn both_directions() {
    let projected =
        |rng: &mut StdRng| Rnn::bidirectional(2, 3, |_, input| Projected::new(LstmCell::new(input, 5, rng), 2, rng));
    case("both", projected, |net, cx, x| net.forward(cx, x).0);
    case(
        "both_gru",
        |rng| Rnn::bidirectional(2, 3, |_, input| GruCell::new(input, 5, rng)),
        |net, cx, x| net.forward(cx, x).0,
    );
}

#[test]
fn cells_without_a_driver() {
    let make = |rng: &mut StdRng| Cells {
        lstm: LstmCell::new(3, 5, rng),
        gru: GruCell::new(5, 5, rng),
        rnn: ElmanCell::new(5, 5, rng),
    };
    case("cells", make, |cells, cx, x| {
        let x = x.get(0, 0);
        let (h, _) = cells.lstm.step(x, cells.lstm.init(cx, 2));
        let (h, _) = cells.gru.step(h, cells.gru.init(cx, 2));
        cells.rnn.step(h, cells.rnn.init(cx, 2)).0
    });
}

#[test]
fn a_whole_model() -> Result<(), Box<dyn std::error::Error>> {
    case("model", Model::new, |model, cx, x| model.forward(cx, x));
    // The file that NumPy wrote of it holds the same.
    let theirs = load_tensors(fixture("weights_model.npz"))?;
    let same = load_tensors(fixture("weights_model.safetensors"))?;
    assert_eq!(theirs.len(), same.len());
    assert!(theirs.iter().zip(&same).all(|((n, a), (m, b))| n == m && a.bit_eq(b)));
    Ok(())
}

/// A user's own cell of the same formulas is read as well: what counts is the kind.
#[test]
fn cells_of_ones_own() -> Result<(), Box<dyn std::error::Error>> {
    #[derive(Module)]
    #[module(kind = "lstm")]
    struct Own {
        w: Param,
        u: Param,
        b: Param,
    }
    let shapes: [&[usize]; 3] = [&[3, 20], &[5, 20], &[20]];
    let [w, u, b] = shapes.map(|shape| Param::new(Tensor::zeros(shape, DType::F64)));
    let own = Own { w, u, b };
    let file = load_tensors(fixture("weights_cells.safetensors"))?;
    let lstm = Weights::pytorch().rename_with(|name| Some(name.strip_prefix("lstm.")?.to_string()));
    assert_eq!(lstm.assign(&own, file.clone())?.loaded.len(), 4);
    let theirs = |name: &str| file.iter().find(|(n, _)| n == name).expect("it is there").1.clone();
    assert!(own.w.value().bit_eq(&theirs("lstm.weight_ih").transpose(0, 1)?));
    let sum: Vec<f64> = theirs("lstm.bias_ih").to_f64_vec();
    let sum = sum.iter().zip(theirs("lstm.bias_hh").to_f64_vec()).map(|(a, b)| a + b).collect();
    assert!(own.b.value().bit_eq(&Tensor::from_vec::<f64>(sum, [20])?));
    // Fields that the kind does not have, and ones of other shapes, keep their names.
    #[derive(Module)]
    #[module(kind = "lstm")]
    struct Other {
        w: Param,
        extra: Param,
    }
    let other = Other { w: Param::new(data(&[3], 1)), extra: Param::new(data(&[2, 2], 2)) };
    let names: Vec<String> = Weights::pytorch().tensors(&other).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["w", "extra"]);
    Ok(())
}

/// A cell of two cells within a driver has no name in PyTorch's numbering; its parts do not share one.
#[test]
fn cells_of_cells_keep_apart() {
    #[derive(Module)]
    struct Pair {
        a: LstmCell,
        b: LstmCell,
    }
    #[derive(Module)]
    #[module(kind = "rnn")]
    struct Driver {
        layers: Vec<Pair>,
    }
    let cell = |seed| support::lstm_cell(2, 3, seed);
    let net = Driver { layers: vec![Pair { a: cell(1), b: cell(2) }] };
    let names: Vec<String> = Weights::pytorch().tensors(&net).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names[..2], ["layers.0.a.weight_ih", "layers.0.a.weight_hh"]);
    assert_eq!(names[4..6], ["layers.0.b.weight_ih", "layers.0.b.weight_hh"]);
}

fn values(module: &impl ParamTree) -> Vec<Tensor> {
    module.snapshot()
}

/// Asserts that nothing has changed.
#[track_caller]
fn untouched(module: &impl ParamTree, before: &[Tensor]) {
    assert!(values(module).iter().zip(before).all(|(a, b)| a.bit_eq(b)), "a failed load changed a parameter");
}

#[test]
fn parts_of_a_file() -> Result<(), Box<dyn std::error::Error>> {
    let file = fixture("weights_model.safetensors");
    let model = Model::new(&mut StdRng::seed_from_u64(0));
    // Only the recurrent layers: names of the file that are not asked for, and a prefix.
    let before = values(&model.rnn);
    let strict = Weights::pytorch().rename("rnn.*", "*");
    let error = strict.load(&model.rnn, &file).unwrap_err();
    says(
        &error,
        &["weights_model.safetensors: the weights do not fit the module: 8 of 8 tensors fit", "'head.bias' is not"],
    );
    untouched(&model.rnn, &before);
    let report = Weights::pytorch().rename("rnn.*", "*").partial().load(&model.rnn, &file)?;
    assert_eq!((report.loaded.len(), report.unexpected.len(), report.missing.len()), (8, 5, 0));
    assert_eq!(report.unexpected, ["embedding.weight", "head.bias", "head.weight", "norm.bias", "norm.weight"]);
    assert!(!values(&model.rnn)[0].bit_eq(&before[0]));

    // A module that has more than the file keeps the rest.
    let wide = Model::new(&mut StdRng::seed_from_u64(1));
    let head = values(&wide.head);
    let body = Weights::pytorch().rename_with(|name| (!name.starts_with("head")).then(|| name.to_string())).partial();
    let report = body.load(&wide, &file)?;
    assert_eq!(report.missing, ["head.weight", "head.bias"]);
    untouched(&wide.head, &head);
    says(&report, &["11 of 13 tensors fit", "'head.weight' is missing"]);

    // A head of another size is an error even so, and half a bias is.
    let mut other = Model::new(&mut StdRng::seed_from_u64(2));
    other.head = double(Linear::new(5, 9, &mut StdRng::seed_from_u64(3)));
    let before = values(&other);
    let error = Weights::pytorch().partial().load(&other, &file).unwrap_err();
    says(&error, &["'head.weight' is f64 [7, 5], expected f64 [9, 5]", "'head.bias' is f64 [7], expected f64 [9]"]);
    let half = Weights::pytorch().partial().rename_with(|name| (name != "rnn.bias_hh_l1").then(|| name.to_string()));
    says(&half.load(&model, &file).unwrap_err(), &["'rnn.bias_ih_l1' is of no use without 'rnn.bias_hh_l1'"]);
    // A file that has nothing of the module is most likely the wrong one.
    let error = Weights::new().partial().load(&Linear::new(2, 2, &mut StdRng::seed_from_u64(0)), &file).unwrap_err();
    says(&error, &["0 of 2 tensors fit"]);
    untouched(&other, &before);
    Ok(())
}

#[test]
fn reports_suggest_what_might_help() -> Result<(), Box<dyn std::error::Error>> {
    let net = lstm_net(3, 4, 1);
    let prefixed: Vec<_> =
        Weights::new().tensors(&net).into_iter().map(|(name, tensor)| (format!("model.rnn.{name}"), tensor)).collect();
    let error = Weights::new().assign(&net, prefixed.clone()).unwrap_err();
    says(&error, &["hint: names of the file begin with 'model.rnn.': rename(\"model.rnn.*\", \"*\")"]);
    assert!(
        error
            .to_string()
            .starts_with("the weights do not fit the module: 0 of 6 tensors fit\n  'layers.0.w' is missing")
    );
    assert!(Weights::new().rename("model.rnn.*", "*").assign(&net, prefixed)?.is_complete());

    #[derive(Module)]
    struct Outer {
        net: Rnn<LstmCell>,
    }
    let outer = Outer { net: lstm_net(3, 4, 1) };
    let inner = Weights::new().tensors(&net);
    let error = Weights::new().assign(&outer, inner.clone()).unwrap_err();
    says(&error, &["hint: names of the module begin with 'net.': rename(\"*\", \"net.*\")"]);
    assert!(Weights::new().rename("*", "net.*").assign(&outer, inner.clone())?.is_complete());

    let error = Weights::new().assign(&net, Weights::pytorch().tensors(&net)).unwrap_err();
    says(&error, &["hint: the file has PyTorch's names: Weights::pytorch()"]);
    let error = Weights::pytorch().assign(&net, inner).unwrap_err();
    says(&error, &["hint: the file has wengert's names: Weights::new()"]);

    // Another element type: said, and converted on request.
    let single: Vec<_> =
        Weights::new().tensors(&net).into_iter().map(|(name, tensor)| (name, tensor.cast(DType::F32))).collect();
    let error = Weights::new().assign(&net, single.clone()).unwrap_err();
    says(&error, &["'layers.0.b' is f32 [16], expected f64 [16]", "hint: cast() converts between f32 and f64"]);
    assert!(Weights::new().cast().assign(&net, single.clone())?.is_complete());
    assert!(net.layers[0].w.value().bit_eq(&single[0].1.cast(DType::F64)));
    let integers: Vec<_> =
        Weights::new().tensors(&net).into_iter().map(|(name, tensor)| (name, tensor.cast(DType::I64))).collect();
    assert!(matches!(Weights::new().cast().assign(&net, integers).unwrap_err(), Error::Mismatch { .. }));

    // Two names that become one.
    let error = Weights::new().rename("layers.*.w", "layers.0.w").assign(&net, single).unwrap_err();
    says(&error, &["'layers.0.w' is the name of two tensors, one of them 'layers.1.w' in the file"]);
    Ok(())
}

/// In single precision the sum of PyTorch's biases is rounded once.
#[test]
fn biases_in_single_precision() -> Result<()> {
    let net = Rnn::new(LstmCell::new(2, 3, &mut StdRng::seed_from_u64(0)));
    let [a, b] = [1, 2].map(|seed| data(&[12], seed).cast(DType::F32));
    let mut file = Weights::pytorch().tensors(&net);
    for (name, tensor) in &mut file {
        match name.as_str() {
            "bias_ih_l0" => *tensor = a.clone(),
            "bias_hh_l0" => *tensor = b.clone(),
            _ => {}
        }
    }
    Weights::pytorch().assign(&net, file).expect("the file has the module's names");
    let sum: Vec<f32> = a.to_vec::<f32>()?.iter().zip(b.to_vec::<f32>()?).map(|(a, b)| a + b).collect();
    assert_eq!(net.layers[0].b.value().to_vec::<f32>()?, sum);
    Ok(())
}

#[test]
fn arrays_of_numpy() -> Result<(), Box<dyn std::error::Error>> {
    let all = load_tensors(fixture("weights_arrays.npz"))?;
    let get = |name: &str| all.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("no '{name}'")).1.clone();
    let count = Tensor::from_vec((0..24).map(f64::from).collect(), [2, 3, 4])?;
    let eighths = Tensor::from_vec((0..24).map(|i| f64::from(i) / 8.0).collect(), [2, 3, 4])?;
    for name in ["f8", "fortran", "big"] {
        assert!(get(name).bit_eq(&eighths), "{name}");
    }
    for name in ["f4", "f2"] {
        assert!(get(name).bit_eq(&eighths.cast(DType::F32)), "{name}");
    }
    let shifted = Tensor::from_vec((0..24i64).map(|i| i - 12).collect(), [2, 3, 4])?;
    for name in ["i8", "i4"] {
        assert!(get(name).bit_eq(&shifted), "{name}");
    }
    assert!(get("u1").bit_eq(&count.cast(DType::I64)));
    assert!(get("b1").bit_eq(&Tensor::from_vec((0..24).map(|i| i % 3 == 0).collect(), [2, 3, 4])?));
    assert!(get("scalar").bit_eq(&Tensor::scalar(2.5f64)));
    assert!(get("vector").bit_eq(&Tensor::from_slice(&[0.0f64, 1.0, 2.0], [3])?));
    assert!(get("empty").bit_eq(&Tensor::zeros([0, 3], DType::F64)));
    assert!(get("zeros").bit_eq(&Tensor::zeros([200, 300], DType::F64)));
    // What is saved again is read again.
    let again = folder().join("arrays.npz");
    save_tensors(all.clone(), &again)?;
    assert!(load_tensors(&again)?.iter().zip(&all).all(|((n, a), (m, b))| n == m && a.bit_eq(b)));
    Ok(())
}
