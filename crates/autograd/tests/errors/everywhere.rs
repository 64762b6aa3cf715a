//! Every mistake in every place; every public operation has one.

use crate::registry::{Answer, Case, In, cases};
use std::collections::BTreeSet;
use wengert_autograd::{DType, Error, ErrorKind, Param, ScanOptions, Tape, Var};

/// One use of an operation that is no mistake.
struct Call {
    name: &'static str,
    line: u32,
    make: for<'a, 't> fn(&'a In<'t>) -> Option<Error>,
}

macro_rules! call {
    ($name:literal, |$i:pat_param| $formula:expr) => {
        Call { name: $name, line: line!(), make: |$i| Answer::error($formula) }
    };
}
/// Methods of one of the inputs that take nothing else.
macro_rules! plain {
    ($input:ident: $($name:ident)*) => {
        &[$(Call { name: stringify!($name), line: line!(), make: |i| Answer::error(i.$input.$name()) }),*]
    };
}
/// Methods that take an axis, and perhaps more.
macro_rules! along {
    ($($name:ident($($rest:expr),*))*) => {
        &[$(Call { name: stringify!($name), line: line!(), make: |i| Answer::error(i.x.$name(1 $(, $rest)*)) }),*]
    };
}
/// Methods that take a second value.
macro_rules! pairs {
    ($($name:ident)*) => {
        &[$(Call { name: stringify!($name), line: line!(), make: |i| Answer::error(i.x.$name(i.x)) }),*]
    };
}

static PLAIN: &[Call] = plain!(
    x: neg abs sign square recip sqrt rsqrt exp expm1 log log2 log1p sin cos atan tanh sigmoid log_sigmoid softplus erf relu
       floor ceil trunc round silu mish softsign gelu gelu_tanh selu hard_sigmoid hard_tanh relu6 sum mean t detach
);
static ALONG: &[Call] = along!(
    sum_axes() mean_axes() max_axes() min_axes() prod_axes() sum_keep() mean_keep() max_keep() min_keep()
    softmax() log_softmax() logsumexp() norm() var_axes(1) std_axes(1)
    cumsum() cumprod() argmax() argmin() flip() unbind() last() unsqueeze()
    argmax_keep() argmin_keep() prod_keep() var_keep(1) std_keep(1) norm_keep() logsumexp_keep() argsort(true) sort(true)
    slice(.., 2) unfold(2, 1)
    pad(1, 1, 0.0) roll(1) split(&[1, 2]) get(0) narrow(0, 1)
);
static PAIRS: &[Call] = pairs!(add sub mul div pow maximum minimum lt le gt ge eq ne);
static CALLS: &[Call] = &[
    call!("add", |i| i.x + i.x),
    call!("sub", |i| 1.0 - i.x),
    call!("mul", |i| i.x * 2.0),
    call!("and", |i| i.b.and(i.b)),
    call!("or", |i| i.b.or(i.b)),
    call!("not", |i| i.b.not()),
    call!("select", |i| i.b.select(i.x, 0.0)),
    call!("powf", |i| i.x.powf(3.0)),
    call!("hard_swish", |i| i.x.hard_swish()),
    call!("vector_norm", |i| i.x.vector_norm(3.0, 1)),
    call!("vector_norm_keep", |i| i.x.vector_norm_keep(3.0, 1)),
    call!("topk", |i| i.x.topk(1, 1, true)),
    call!("conv1d", |i| i.x.conv1d(&crate::tensor(&[1, 2, 3], DType::F32), wengert_autograd::Conv1dOptions::default())),
    call!("einsum", |i| i.tape.einsum("ij,ij", [i.x, i.x])),
    call!("bernoulli", |i| i.tape.bernoulli(i.key, 0.5, [2], DType::F32)),
    call!("leaky_relu", |i| i.x.leaky_relu(0.1)),
    call!("elu", |i| i.x.elu(1.0)),
    call!("clamp", |i| i.x.clamp(0.0, 1.0)),
    call!("matmul", |i| i.q.matmul(i.q)),
    call!("layer_norm", |i| i.x.layer_norm(1e-5)),
    call!("rms_norm", |i| i.x.rms_norm(1e-5)),
    call!("cosine_similarity", |i| i.x.cosine_similarity(i.x, 1)),
    call!("reshape", |i| i.x.reshape([3, 2])),
    call!("expand", |i| i.x.expand([2, 2, 3])),
    call!("permute", |i| i.x.permute(&[1, 0])),
    call!("transpose", |i| i.x.transpose(0, 1)),
    call!("squeeze", |i| i.q.squeeze(0)),
    call!("cast", |i| i.x.cast(DType::F64)),
    call!("repeat", |i| i.x.repeat(&[2, 2])),
    call!("triu", |i| i.x.triu(0)),
    call!("tril", |i| i.x.tril(0)),
    call!("one_hot", |i| i.n.one_hot(3, DType::F32)),
    call!("chunk", |i| i.x.chunk::<3>()),
    call!("chunk_axis", |i| i.x.chunk_axis::<2>(0)),
    call!("concat", |i| i.x.concat([i.x], 0)),
    call!("concat", |i| i.tape.concat(&[i.x, i.x], 0)),
    call!("stack", |i| i.tape.stack(&[i.x, i.x], 0)),
    call!("gather", |i| i.x.gather(0, i.n)),
    call!("scatter_add", |i| i.x.scatter_add(0, i.n, i.x)),
    call!("index_select", |i| i.x.index_select(0, i.k)),
    call!("uniform", |i| i.tape.uniform(i.key, [2], DType::F32)),
    call!("normal", |i| i.tape.normal(i.key, [2], DType::F32)),
    call!("fold_in", |i| i.key.fold_in(1)),
    call!("next_key", |i| i.key.next_key()),
    call!("grad", |i| i.s.grad([i.x])),
    call!("grad_or_none", |i| i.s.grad_or_none([i.x])),
    call!("vjp", |i| i.x.vjp(i.x, [i.x])),
    call!("vjp_or_none", |i| i.x.vjp_or_none(i.x, [i.x]).map(|g| g.unwrap())),
    call!("jvp_or_none", |i| i.x.jvp_or_none([(i.x, i.x)]).unwrap()),
    call!("jacobian_or_none", |i| i.x.jacobian_or_none(i.x).unwrap()),
    call!("jacobian_forward_or_none", |i| i.x.jacobian_forward_or_none(i.x).unwrap()),
    call!("hessian_or_none", |i| i.x.square().sum().hessian_or_none(i.x).unwrap()),
    call!("hvp_or_none", |i| i.x.square().sum().hvp_or_none(i.x, i.x).unwrap()),
    call!("map", |i| i.tape.map(i.x, |x| x)),
    call!("with_derivative_of", |i| i.x.with_derivative_of(i.x)),
    call!("jvp", |i| i.x.jvp([(i.x, i.x)])),
    call!("jacobian", |i| i.x.jacobian(i.x)),
    call!("jacobian_forward", |i| i.x.jacobian_forward(i.x)),
    call!("hessian", |i| i.x.square().sum().hessian(i.x)),
    call!("hvp", |i| i.x.square().sum().hvp(i.x, i.x)),
    call!("scan", |i| i.tape.scan((), i.x, |(), x| ((), x)).1),
    call!("scan", |i| i.tape.scan(i.x, i.w, |s, _| (s, s))),
    call!("scan", |i| i.tape.scan((), i.w, |(), _| ((), i.x)).1),
    call!("scan_with", |i| i.tape.scan_with(Default::default(), i.x, i.w, |s, _| (s, s))),
    call!("backward", |i| i.s.backward()),
    call!("plan_backward", |i| i.s.plan_backward()),
    call!("item", |i| i.s.item()),
    call!("value", |i| i.s.value()),
    call!("eval", |i| i.tape.eval([i.s])),
    call!("eval_all", |i| i.tape.eval_all(&[i.s])),
];

fn calls() -> impl Iterator<Item = &'static Call> {
    [PLAIN, ALONG, PAIRS, CALLS].into_iter().flatten()
}

/// What differs between an error and its case; the formula may stand on a line below the macro's name.
fn differs(case: &Case, error: Error) -> Option<String> {
    let at = error.location().expect("an address");
    let line = at.file() == case.file && (case.line..=case.line + 4).contains(&at.line());
    let text = format!("{} (at {}:{}:{})", case.text, at.file(), at.line(), at.column());
    let same = line && error.kind() == case.kind && error.to_string() == text;
    (!same).then(|| {
        format!("\n{:?} {error}\n{:?} {} (at {}:{})", error.kind(), case.kind, case.text, case.file, case.line)
    })
}

fn assert_none(different: impl Iterator<Item = String>) {
    let different: Vec<String> = different.collect();
    assert!(different.is_empty(), "found and expected:{}", different.concat());
}

#[test]
fn every_mistake_on_a_tape() {
    assert_none(cases().filter_map(|case| differs(case, (case.make)(&In::of(&Tape::new())))));
}

/// The same text and line in a loop, in a loop in a loop, and in one that runs backwards in time.
#[test]
fn every_mistake_in_the_body_of_a_loop() {
    let mut different = Vec::new();
    for case in cases() {
        let tape = Tape::new();
        let items = |extra: &[usize], last: usize| tape.zeros([extra, &[2, last]].concat(), DType::F32);
        tape.scan((), (items(&[5], 3), items(&[5], 4)), |(), (x, w)| {
            different.extend(differs(case, (case.make)(&In::from(x, w))));
            ((), ())
        });
        let reversed = ScanOptions::default().reversed();
        tape.scan_with(reversed, (), (items(&[5, 4], 3), items(&[5, 4], 4)), |(), (x, w)| {
            tape.scan((), (x, w), |(), (x, w)| {
                different.extend(differs(case, (case.make)(&In::from(x, w))));
                ((), ())
            });
            ((), ())
        });
    }
    assert_none(different.into_iter());
}

/// The uses below are none of the mistakes.
#[test]
fn every_operation_works() {
    assert_none(
        calls().filter_map(|call| (call.make)(&In::of(&Tape::new())).map(|error| format!("\n{}: {error}", call.name))),
    );
}

/// An invalid operand is passed on: the first cause is reported, by whatever is done with it.
#[test]
fn every_operation_passes_an_error_on() {
    assert_none(calls().filter_map(|call| {
        let tape = Tape::new();
        let broken = tape.var(1.0f32).squeeze(3);
        let cause = broken.shape().unwrap_err().to_string();
        let found = (call.make)(&In::broken(broken)).map(|error| error.to_string());
        (found.as_deref() != Some(&cause)).then(|| format!("\n{}: {found:?}", call.name))
    }));
}

/// A body's value outside of its body, in every operation.
#[test]
fn every_operation_refuses_a_value_that_escaped() {
    assert_none(calls().filter_map(|call| {
        let tape = Tape::new();
        let mut escaped = None;
        let items = (tape.zeros([5, 2, 3], DType::F32), tape.zeros([5, 2, 4], DType::F32));
        tape.scan((), items, |(), (x, w)| {
            escaped = Some(In::from(x, w));
            ((), ())
        });
        let error = (call.make)(&escaped?);
        let right = error.as_ref().is_some_and(|error| {
            let at = error.location().expect("an address");
            let text = error.to_string();
            (error.kind(), error.op()) == (ErrorKind::Scope, call.name)
                && (at.file() == file!() && at.line().abs_diff(call.line) <= 4)
                && text.contains("belongs to a scan body")
                && text.contains("(recorded at ")
        });
        (!right).then(|| format!("\n{} (at {}): {error:?}", call.name, call.line))
    }));
}

/// A value of another tape, in every operation that takes a second one.
#[test]
fn every_operation_refuses_a_value_of_another_tape() {
    type Mixed = for<'t> fn(&In<'t>, &In<'t>) -> Var<'t>;
    let all: &[(&str, Mixed)] = &[
        ("add", |i, j| i.x + j.x),
        ("lt", |i, j| i.x.lt(j.x)),
        ("select", |i, j| i.b.select(i.x, j.x)),
        ("matmul", |i, j| i.x.matmul(j.x)),
        ("cosine_similarity", |i, j| i.x.cosine_similarity(j.x, 0)),
        ("concat", |i, j| i.x.concat([j.x], 0)),
        ("concat", |i, j| i.tape.concat(&[i.x, j.x], 0)),
        ("stack", |i, j| i.tape.stack(&[i.x, j.x], 0)),
        ("gather", |i, j| i.x.gather(0, j.n)),
        ("index_select", |i, j| i.x.index_select(0, j.k)),
        ("scatter_add", |i, j| i.x.scatter_add(0, i.n, j.x)),
        ("uniform", |i, j| i.tape.uniform(j.key, [2], DType::F32)),
        ("normal", |i, j| i.tape.normal(j.key, [2], DType::F32)),
        ("fold_in", |i, j| i.key.fold_in(j.key)),
        ("grad", |i, j| i.s.grad([j.x])[0]),
        ("vjp", |i, j| i.x.vjp(j.x, [i.x])[0]),
        ("vjp", |i, j| i.x.vjp(i.x, [j.x])[0]),
        ("jvp", |i, j| i.x.jvp([(j.x, i.x)])),
        ("jvp", |i, j| i.x.jvp([(i.x, j.x)])),
        ("jacobian", |i, j| i.x.jacobian(j.x)),
        ("hessian", |i, j| i.s.hessian(j.x)),
        ("hvp", |i, j| i.s.hvp(i.x, j.x)),
        ("bind", |i, j| {
            let p = Param::new(crate::tensor(&[2, 3], DType::F32));
            i.tape.bind(&p, j.x, || i.tape.param(&p))
        }),
    ];
    let text = "the operands are recorded on different tapes; bring a value over with tape.constant(other.value()?)";
    for (name, make) in all {
        let (tape, other) = (Tape::new(), Tape::new());
        let error = make(&In::of(&tape), &In::of(&other)).value().expect_err(name);
        assert!(error.to_string().starts_with(&format!("{name}: {text} (at {}:", file!())), "{name}: {error}");
        assert_eq!(error.kind(), ErrorKind::Scope);
    }
}

/// Public operations, read from the sources.
fn operations() -> BTreeSet<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files: Vec<_> = ["tape.rs", "scan.rs", "var.rs", "recorder.rs"].map(|name| root.join(name)).into();
    for folder in ["ops", "grad"] {
        files.extend(std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path()));
    }
    let mut found = BTreeSet::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|e| e == "rs")) {
        let mut inside = false;
        for line in std::fs::read_to_string(file).unwrap().lines() {
            if line.starts_with("impl") {
                inside = line.starts_with("impl<'t> Var<'t>") || line.starts_with("impl Tape");
            }
            let name = |text: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_string();
            if let Some(rest) = line.strip_prefix("    pub fn ").filter(|_| inside) {
                found.insert(name(rest));
            }
            // Rows of the elementwise table: `ADD = numeric add 2 [x, y] ..`.
            if let Some((_, rest)) = line.split_once(" = numeric ").or_else(|| line.split_once(" = float ")) {
                found.insert(name(rest));
            }
        }
    }
    found
}

/// What answers without looking at a value, or with what it was given.
const NO_OPERATIONS: &[&str] = &[
    "new",
    "inference",
    "is_differentiable",
    "len",
    "is_empty",
    "error",
    "composition",
    "tape",
    "shape",
    "dtype",
    "is",
    "named",
    "within",
    "invalid",
    "keep",
    "is_like",
];

/// Operations without a mistake of their own: any shape, element type and attribute will do.
const NO_MISTAKES: &[&str] = &[
    "cast",
    "detach",
    "value",
    "eval",
    "eval_all",
    "custom_vjp",
    "on_grad",
    "custom_derivative",
    "custom_op",
    "checkpoint",
];

/// Operations that take no recorded value, or whose operands are a closure's.
const NO_OPERANDS: &[&str] = &[
    "var",
    "constant",
    "zeros",
    "ones",
    "full",
    "param",
    "arange",
    "bind",
    "dims",
    "custom_vjp",
    "on_grad",
    "custom_derivative",
    "custom_op",
    "checkpoint",
];

#[test]
fn complete() {
    let operations = operations();
    assert!(operations.len() > 120, "{operations:?}");
    let of_cases: BTreeSet<&str> = cases().map(|case| case.text.split(':').next().unwrap()).collect();
    let of_calls: BTreeSet<&str> = calls().map(|call| call.name).collect();
    let missing = |known: &BTreeSet<&str>, exempt: &[&str]| -> Vec<String> {
        let exempt = |name: &&String| exempt.contains(&name.as_str()) || NO_OPERATIONS.contains(&name.as_str());
        operations.iter().filter(|name| !known.contains(name.as_str())).filter(|name| !exempt(name)).cloned().collect()
    };
    assert_eq!(missing(&of_cases, NO_MISTAKES), [""; 0], "operations without a case in one of the CASES");
    assert_eq!(missing(&of_calls, NO_OPERANDS), [""; 0], "operations without a call in CALLS");
    let listed = of_cases.iter().chain(&of_calls).chain(NO_OPERATIONS).chain(NO_MISTAKES).chain(NO_OPERANDS);
    for name in listed {
        assert!(operations.contains(*name), "{name} is listed, but no operation");
    }
}
