//! `#[derive(Module)]`: names, counts, sharing.

mod support;

use rand::{SeedableRng, rngs::StdRng};
use support::{close, data, lstm_net, says};
use wengert::prelude::*;

fn param(shape: &[usize], seed: u64) -> Param {
    Param::new(data(shape, seed))
}

fn names(module: &impl ParamTree) -> Vec<String> {
    module.params().into_iter().map(|(name, _)| name).collect()
}

#[derive(Module)]
struct Leaf {
    w: Param,
    size: usize,
}

fn leaf(size: usize) -> Leaf {
    Leaf { w: param(&[size], size as u64), size }
}

#[derive(Module)]
struct Nested {
    first: Leaf,
    list: Vec<Leaf>,
    maybe: Option<Leaf>,
    never: Option<Leaf>,
    pair: (Leaf, Param),
    fixed: [Leaf; 2],
    boxed: Box<Leaf>,
    rate: f64,
    label: String,
    r#type: Param,
    #[module(skip)]
    notes: std::collections::HashMap<String, Param>,
}

fn nested() -> Nested {
    Nested {
        first: leaf(1),
        list: vec![leaf(2), leaf(3)],
        maybe: Some(leaf(4)),
        never: None,
        pair: (leaf(5), param(&[6], 0)),
        fixed: [leaf(7), leaf(8)],
        boxed: Box::new(leaf(9)),
        rate: 0.1,
        label: "a label".into(),
        r#type: param(&[10], 0),
        notes: [("hidden".to_string(), param(&[1000], 0))].into(),
    }
}

#[test]
fn names_follow_the_fields() {
    let module = nested();
    let wanted = [
        "first.w",
        "list.0.w",
        "list.1.w",
        "maybe.w",
        "pair.0.w",
        "pair.1",
        "fixed.0.w",
        "fixed.1.w",
        "boxed.w",
        "type",
    ];
    assert_eq!(names(&module), wanted);
    assert_eq!(module.num_params(), (1..=10).sum::<usize>());
    assert_eq!((module.first.size, module.rate, module.label.len(), module.notes.len()), (1, 0.1, 7, 1));
    assert!(module.never.is_none());
}

#[derive(Module)]
enum Head {
    Plain(Leaf),
    Mixed { gate: Param, leaves: Vec<Leaf> },
    None,
}

#[derive(Module)]
struct Generic<C, const N: usize>
where
    C: Cell,
{
    cells: [C; N],
    marker: std::marker::PhantomData<fn() -> C>,
}

#[derive(Module)]
struct Tuple(Param, f32, Leaf);

#[derive(Module)]
struct Unit;

#[test]
fn enums_generics_tuples_and_units() {
    assert_eq!(names(&Head::Plain(leaf(2))), ["0.w"]);
    assert_eq!(names(&Head::Mixed { gate: param(&[1], 0), leaves: vec![leaf(1)] }), ["gate", "leaves.0.w"]);
    assert_eq!(names(&Head::None), [""; 0]);
    let cells = lstm_net(2, 2, 1).layers;
    let generic = Generic::<LstmCell, 2> { cells: cells.try_into().unwrap(), marker: std::marker::PhantomData };
    assert_eq!(names(&generic)[..4], ["cells.0.w", "cells.0.u", "cells.0.b", "cells.1.w"]);
    let tuple = Tuple(param(&[3], 0), 1.0, leaf(2));
    assert_eq!((names(&tuple), tuple.1), (vec!["0".to_string(), "2.w".to_string()], 1.0));
    assert_eq!(names(&Unit), [""; 0]);
    assert_eq!(names(&param(&[1], 0)), [""]);
    assert_eq!(names(&(&leaf(1), &generic.cells[0]))[..2], ["0.w", "1.w"]);
}

#[derive(Module)]
struct Tied {
    embed: Param,
    project: Param,
}

#[test]
fn tied_weights_are_one_parameter_with_summed_gradients() -> Result<()> {
    let embed = param(&[3, 2], 1);
    let tied = Tied { project: embed.clone(), embed };
    assert_eq!(names(&tied), ["embed"]);
    assert_eq!(tied.num_params(), 6);
    let x = data(&[4, 3], 2);
    let run = |module: &Tied| {
        let tape = Tape::new();
        let h = tape.constant(&x).matmul(&module.embed).tanh();
        h.matmul(tape.param(&module.project).t()).square().sum().backward()
    };
    let shared = run(&tied)?;
    assert_eq!(shared.len(), 1);
    // Two parameters of the same value: their gradients sum to that of the shared one.
    let forked = Tied { embed: tied.embed.fork(), project: tied.project.fork() };
    assert_eq!(names(&forked), ["embed", "project"]);
    let parts = run(&forked)?;
    let tape = Tape::inference();
    let [a, b] = [&forked.embed, &forked.project].map(|p| tape.constant(parts.get(p).unwrap()));
    close(shared.get(&tied.embed).unwrap(), &(a + b).value()?, 1e-14, "summed gradient");

    // One update, once.
    let before = tied.embed.value();
    let mut sgd = Sgd::new(0.1);
    sgd.step(&tied, &shared)?;
    let wanted = tape.constant(before) - tape.constant(shared.get(&tied.embed).unwrap()) * 0.1;
    close(&tied.project.value(), &wanted.value()?, 1e-15, "one update");
    Ok(())
}

#[test]
fn fork_is_independent_and_clone_is_not() -> Result<()> {
    let original = param(&[2], 1);
    let (shared, copy) = (original.clone(), original.fork());
    assert!(original.id() == shared.id() && original.id() != copy.id());
    original.set(Tensor::from_slice(&[7.0f64, 8.0], [2])?)?;
    assert_eq!(shared.value().to_f64_vec(), [7.0, 8.0]);
    assert!(copy.value().bit_eq(&data(&[2], 1)));
    says(&original.set(Tensor::zeros([3], DType::F64)).unwrap_err(), &["f64 [2]", "f64 [3]", "modules.rs"]);
    Ok(())
}

#[test]
fn the_element_type_of_a_whole_net_is_set_at_once() -> Result<()> {
    let net = Rnn::stack(2, 3, |_, input| LstmCell::new(input, 4, &mut StdRng::seed_from_u64(1)));
    let count = Param::new(Tensor::from_slice(&[1i64, 2], [2])?);
    let module = (net, count);
    let run = |dtype: DType| -> Result<Tensor> {
        let tape = Tape::new();
        let (y, _) = module.0.forward(&Cx::eval(&tape), tape.constant(data(&[5, 2, 3], 1).cast(dtype)));
        y.square().sum().backward()?;
        y.value()
    };
    let single = run(DType::F32)?;
    let old = Tape::new();
    let snapshot = old.param(&module.0.layers[0].w);
    module.set_dtype(DType::F64)?;
    assert_eq!(snapshot.dtype()?, DType::F32);
    let double = run(DType::F64)?;
    assert_eq!((single.dtype(), double.dtype()), (DType::F32, DType::F64));
    close(&single, &double, 1e-6, "both precisions");
    assert_eq!(module.1.value().to_vec::<i64>()?, [1, 2]);
    says(&run(DType::F32).unwrap_err(), &["matmul", "mixed", "cast"]);
    says(&module.set_dtype(DType::I64).unwrap_err(), &["i64", "expected F32 or F64", "modules.rs"]);
    Ok(())
}

#[test]
fn a_cell_of_wrong_tensors_is_refused() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F64);
    let make = |w: &[usize], u: &[usize], b: &[usize]| LstmCell::from_tensors(zeros(w), zeros(u), zeros(b));
    assert_eq!(make(&[3, 8], &[2, 8], &[8]).unwrap().hidden(), 2);
    for (w, u, b) in [
        (&[3, 8][..], &[8, 2][..], &[8][..]),
        (&[8, 3], &[2, 8], &[8]),
        (&[3, 8], &[2, 8], &[1, 8]),
        (&[8], &[2, 8], &[8]),
        (&[], &[], &[]),
    ] {
        says(&make(w, u, b).unwrap_err(), &["LstmCell::from_tensors", "[I, 4H]", "modules.rs"]);
    }
    let single = Tensor::zeros([8], DType::F32);
    says(&LstmCell::from_tensors(zeros(&[3, 8]), zeros(&[2, 8]), single).unwrap_err(), &["b f32 [8]"]);
}
