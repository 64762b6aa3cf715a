//! What slices, sorts, windows, named sums and draws say of wrong arguments: exact texts, and the caller's line.

use wengert_autograd::{Conv1dOptions, DType, Elementwise, ErrorKind, Tape, Tensor, Var};

/// `fails!(formula, kind, text)`: the formula is invalid with this error, which names its line.
macro_rules! fails {
    ($formula:expr, $kind:ident, $text:expr $(,)?) => {{
        let error = $formula.value().expect_err(stringify!($formula));
        let full = error.to_string();
        let (found, address) = full.rsplit_once(" (at ").expect("an address stands at the end");
        assert_eq!(found, $text);
        assert_eq!(error.kind(), ErrorKind::$kind, "{error}");
        // rustfmt puts a formula that belongs to a long call on the line below.
        let here = [line!(), line!() + 1].map(|line| format!("{}:{line}:", file!()));
        assert!(here.iter().any(|line| address.starts_with(line)), "recorded at {}, reported as {error}", here[0]);
    }};
}

fn ones<'t>(tape: &'t Tape, shape: &[usize], dtype: DType) -> Var<'t> {
    tape.constant(Tensor::full(shape, 1.0, dtype))
}

#[track_caller]
fn no_axis(v: Var<'_>, op: &str) {
    let error = v.value().expect_err("an axis that is not there");
    assert_eq!((error.kind(), error.op()), (ErrorKind::Shape, op));
    assert!(error.to_string().contains("is out of range for shape"), "{error}");
}

#[test]
fn slices() {
    let tape = Tape::new();
    let x = ones(&tape, &[3, 5], DType::F32);
    no_axis(x.slice(2, .., 1), "slice");
    fails!(
        x.slice(1, .., 0),
        Shape,
        "slice: the step is 0, expected at least 1; take every entry with 1; turn an axis with flip"
    );
    fails!(
        x.slice(-1, 2..9, 2),
        Shape,
        "slice: the range 2..9 leaves axis 1 of [3, 5], which has 5 entries; give bounds within the axis, or leave out the end: \
         start.."
    );
    let (first, last) = (4, 1);
    fails!(
        x.slice(1, first..=last, 2),
        Shape,
        "slice: the range 4..2 of axis 1 of [3, 5] ends before it starts; give the smaller bound first; turn an axis with flip"
    );
    fails!(
        x.slice(1, 6.., 2),
        Shape,
        "slice: the range 6..5 leaves axis 1 of [3, 5], which has 5 entries; give bounds within the axis, or leave out the end: \
         start.."
    );
    for range in [(0, usize::MAX), (usize::MAX, 0), (usize::MAX, usize::MAX), (0, 4)] {
        assert_eq!(x.slice(0, range.0..range.1, 1).value().unwrap_err().kind(), ErrorKind::Shape);
    }
    assert!(x.slice(0, ..=usize::MAX, usize::MAX).value().is_err());
}

#[test]
fn sorts() {
    let tape = Tape::new();
    let x = ones(&tape, &[3, 5], DType::F32);
    no_axis(x.argsort(2, false), "argsort");
    no_axis(tape.var(1.0f32).sort(0, true).0, "sort");
    no_axis(x.topk(1, -3, true).1, "topk");
    fails!(
        x.topk(6, 1, true).0,
        Shape,
        "topk: 6 entries are asked of axis 1 of [3, 5], which has 5; ask for at most as many as there are"
    );
}

#[test]
fn windows() {
    let tape = Tape::new();
    let x = ones(&tape, &[2, 4, 9], DType::F32);
    let w = ones(&tape, &[6, 4, 3], DType::F32);
    let options = Conv1dOptions::default();
    fails!(
        ones(&tape, &[9], DType::F32).conv1d(w, options),
        Shape,
        "conv1d: the input is [9], expected [N, C, L] or [C, L]; reshape or permute it"
    );
    fails!(
        x.conv1d(x.get(0, 0), options),
        Shape,
        "conv1d: the weight is [4, 9], expected [O, C/groups, K]; give output channels, input channels of a group, and the \
         kernel's extent"
    );
    fails!(
        x.conv1d(w, options.stride(0)),
        Shape,
        "conv1d: stride 0, dilation 1, groups 1: each is expected to be 1 or more; leave out what does not change: the defaults \
         are 1"
    );
    let fits = "give a weight [O, C/groups, K] with O a multiple of the groups";
    fails!(
        x.conv1d(w, options.groups(2)),
        Shape,
        format!(
            "conv1d: the weight [6, 4, 3] takes 2 groups of 4 input channels and makes 6 output channels, the input [2, 4, 9] \
             has 4 channels; {fits}"
        )
    );
    fails!(
        x.conv1d(ones(&tape, &[3, 2, 1], DType::F32), options.groups(2)),
        Shape,
        format!(
            "conv1d: the weight [3, 2, 1] takes 2 groups of 2 input channels and makes 3 output channels, the input [2, 4, 9] \
             has 4 channels; {fits}"
        )
    );
    fails!(
        x.conv1d(w, options.dilation(5)),
        Shape,
        "conv1d: a window of 3 entries with dilation 5 does not fit into 9 positions; pad the input, or give a kernel of 1 entry \
         or more that fits"
    );
    fails!(
        x.conv1d(ones(&tape, &[6, 4, 3], DType::F64), options),
        DType,
        "conv1d: the input is f32, the weight f64; convert one side: .cast(DType::F64)"
    );
    fails!(
        ones(&tape, &[2, 4, 9], DType::I64).conv1d(ones(&tape, &[6, 4, 3], DType::I64), options),
        DType,
        "conv1d: the input is i64, expected f32 or f64; convert both: .cast(DType::F32)"
    );
    fails!(
        x.unfold(2, 0, 1),
        Shape,
        "unfold: windows of 0 entries, 1 apart, on axis 2 of [2, 4, 9], which has 9; give a size from 1 to the extent and a step \
         of 1 or more"
    );
    no_axis(x.unfold(3, 1, 1), "unfold");
    let parts = "65537 parts would be recorded, expected at most 65536; gather the windows by index_select";
    let long = tape.zeros([1, 1 << 20], DType::F32);
    fails!(long.unfold(1, 65537, 1), Shape, format!("unfold: {parts}"));
    fails!(long.conv1d(tape.zeros([1, 1, 65537], DType::F32), options), Shape, format!("conv1d: {parts}"));
    for huge in [usize::MAX, usize::MAX / 2] {
        let all = options.stride(huge).padding(huge).dilation(huge);
        for options in [options.padding(huge), options.dilation(huge), options.groups(huge), all] {
            assert!(x.conv1d(w, options).value().is_err(), "{options:?}");
        }
        assert!(x.unfold(2, huge, huge).value().is_err());
        assert_eq!(x.conv1d(w, options.stride(huge)).shape().unwrap()[..], [2, 6, 1]);
        assert_eq!(x.unfold(2, 4, huge).shape().unwrap()[..], [2, 4, 1, 4]);
    }
}

#[test]
fn named_sums() {
    let tape = Tape::new();
    let (a, b) = (ones(&tape, &[2, 3], DType::F32), ones(&tape, &[4, 3], DType::F32));
    fails!(
        tape.einsum("ij,kj,k->i", [a, b]),
        Value,
        "einsum: 'ij,kj,k->i' has groups for 3 operands, 2 are given; write one group of letters for each operand, with commas \
         between them"
    );
    fails!(
        tape.einsum("i1,kj->i", [a, b]),
        Value,
        "einsum: 'i1,kj->i' contains '1', expected letters, commas, '...' and one '->'; name each axis by one letter: \
         \"bij,bjk->bik\""
    );
    fails!(
        tape.einsum("ij,kj->i->k", [a, b]),
        Value,
        "einsum: 'ij,kj->i->k' contains '-', expected letters, commas, '...' and one '->'; name each axis by one letter: \
         \"bij,bjk->bik\""
    );
    fails!(
        tape.einsum("...i...,kj", [a, b]),
        Value,
        "einsum: '...i...,kj' contains '.', expected letters, commas, '...' and one '->'; name each axis by one letter: \
         \"bij,bjk->bik\""
    );
    fails!(
        tape.einsum("ijk,kj->i", [a, b]),
        Shape,
        "einsum: operand 0 is [2, 3], its group in 'ijk,kj->i' names 3 axes; name every axis by one letter, or the others by '...'"
    );
    fails!(
        tape.einsum("ij,j->i", [a, b]),
        Shape,
        "einsum: operand 1 is [4, 3], its group in 'ij,j->i' names 1 axes; name every axis by one letter, or the others by '...'"
    );
    fails!(
        tape.einsum("ij,jk->ik", [a, b]),
        Shape,
        "einsum: 'j' is 3 in operand 0, 4 in operand 1; axes with the same letter have one extent, or 1"
    );
    fails!(
        tape.einsum("...,...", [a, b]),
        Shape,
        "einsum: axis -2 of '...' is 2 in operand 0, 4 in operand 1; axes with the same letter have one extent, or 1"
    );
    fails!(
        tape.einsum("ii,kj", [a, b]),
        Shape,
        "einsum: 'i' is 2 and 3 in operand 0 [2, 3]; a diagonal needs axes of one extent: narrow the longer one"
    );
    fails!(
        tape.einsum("ij,kj->ikk", [a, b]),
        Value,
        "einsum: the result of 'ij,kj->ikk' names 'k' twice; name it once"
    );
    fails!(
        tape.einsum("ij,kj->ikl", [a, b]),
        Value,
        "einsum: the result of 'ij,kj->ikl' names 'l', which no operand has; name axes of the operands; unsqueeze adds new ones"
    );
    fails!(
        tape.einsum("ij,kj->ik", [a, b.cast(DType::F64)]),
        DType,
        "einsum: operand 0 is f32, operand 1 is f64; convert one of them: .cast(DType::F64)"
    );
    fails!(
        tape.einsum("ij->i", [a.gt(0.0)]),
        DType,
        "einsum: the operand is bool, expected a number; convert it: .cast(DType::I64) counts, .cast(DType::F32) averages"
    );
    let none: [Var<'_>; 0] = [];
    fails!(
        tape.einsum("", none),
        Value,
        "einsum: '' has groups for 1 operands, 0 are given; write one group of letters for each operand, with commas between them"
    );
    for odd in ["->", ",", "...", "a->...", "->->", "é,ü", "..", "ij", "->ij"] {
        assert!(tape.einsum(odd, [a, b]).value().is_err(), "{odd}");
    }
    let wide = tape.zeros([1 << 20, 1 << 20], DType::F32);
    assert_eq!(tape.einsum("ii->i", [wide]).shape().unwrap()[..], [1 << 20]);
}

#[test]
fn draws_and_norms() {
    let tape = Tape::new();
    let key = tape.constant(1i64);
    fails!(
        tape.bernoulli(key, 1.5, [2], DType::F32),
        Value,
        "bernoulli: the probability is 1.5, expected a number from 0 to 1; divide a percentage by 100"
    );
    fails!(
        tape.bernoulli(key, f64::NAN, [2], DType::Bool),
        Value,
        "bernoulli: the probability is NaN, expected a number from 0 to 1; divide a percentage by 100"
    );
    fails!(
        tape.bernoulli(key, tape.constant(1i64), [2], DType::F32),
        DType,
        "bernoulli: the probability is i64, expected f32 or f64; convert it: .cast(DType::F32)"
    );
    fails!(
        tape.bernoulli(key, ones(&tape, &[3], DType::F32), [2, 1], DType::I64),
        Shape,
        "bernoulli: the probabilities [3] do not broadcast to the shape [2, 1]; give one number, or extents that are equal or 1"
    );
    fails!(
        ones(&tape, &[3], DType::F32).vector_norm(-1.0, 0),
        Value,
        "vector_norm: the order is -1, expected a number from 0 to infinity; give 2.0 for the Euclidean norm"
    );
    let add = Elementwise::all().find(|op| op.name() == "add").unwrap();
    fails!(add.apply(&tape, &[key]), Value, "add: 1 operands are given, expected 2; give as many as arity() says");
}

/// An operand that is invalid already keeps its own error.
#[test]
fn earlier_errors_pass_through() {
    let tape = Tape::new();
    let x = ones(&tape, &[2, 3], DType::F32);
    let bad = x.reshape([7]);
    for y in [
        bad.slice(0, .., 2),
        bad.sort(0, false).0,
        bad.topk(1, 0, true).1,
        bad.unfold(0, 1, 1),
        bad.conv1d(x, Conv1dOptions::default()),
        x.conv1d(bad, Conv1dOptions::default()),
        tape.einsum("ij,i", [x, bad]),
        tape.bernoulli(bad, 0.5, [2], DType::F32),
        tape.bernoulli(tape.constant(1i64), bad, [2], DType::F32),
        bad.vector_norm(3.0, 0),
        bad.var_keep(0, 1),
        bad.argmax_keep(0),
        bad.hard_swish(),
    ] {
        assert_eq!(y.value().unwrap_err().op(), "reshape");
    }
}
