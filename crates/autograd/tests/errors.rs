//! Every mistake a formula can contain: its text, and that it names the line that made it.

use wengert_autograd::{DType, Error, ErrorKind, Param, Tape, Tensor, Var};

fn tensor(shape: &[usize], dtype: DType) -> Tensor {
    Tensor::zeros(shape, dtype)
}

/// Checks text and address; `text` is everything but the address.
#[track_caller]
fn check(error: Error, line: u32, text: &str) {
    let full = error.to_string();
    let (found, address) = full.rsplit_once(" (at ").expect("an address stands at the end");
    assert_eq!(found, text);
    assert!(address.starts_with(&format!("{}:{line}:", file!())), "recorded at line {line}, reported as {address}");
    assert_eq!(error.location().map(|at| at.line()), Some(line));
}

/// `fails!(formula, kind, text)`: the formula is invalid with this error.
macro_rules! fails {
    ($formula:expr, $kind:ident, $text:expr $(,)?) => {{
        let error = $formula.value().expect_err(stringify!($formula));
        assert_eq!(error.kind(), ErrorKind::$kind, "{error}");
        // rustfmt puts a formula that belongs to a long call on the line below.
        let line = error.location().map_or(0, |at| at.line());
        assert!([line!(), line!() + 1].contains(&line), "recorded at {}, reported as {error}", line!());
        check(error, line, $text)
    }};
}

#[test]
fn elementwise() {
    let tape = Tape::new();
    let of = |shape: &[usize], dtype| tape.var(tensor(shape, dtype));
    let (f, d) = (of(&[2], DType::F32), of(&[2], DType::F64));
    let (n, b) = (of(&[2], DType::I64), of(&[2], DType::Bool));
    let (wide, other) = (of(&[2, 3], DType::F32), of(&[2, 4], DType::F32));
    let broadcast = "shapes [2, 3] and [2, 4] do not broadcast: axis -1 is 3 on the left and 4 on the right; \
                     make the extents equal or 1 (unsqueeze, reshape, expand)";
    fails!(wide + other, Shape, &format!("add: {broadcast}"));
    fails!(wide.maximum(other), Shape, &format!("maximum: {broadcast}"));
    fails!(wide.lt(other), Shape, &format!("lt: {broadcast}"));
    fails!(f * d, DType, "mul: element types f32 and f64 are mixed; convert one side: .cast(DType::F64)");
    fails!(f - n, DType, "sub: element types f32 and i64 are mixed; convert one side: .cast(DType::F32)");
    fails!(b + b, DType, "add: the operand is bool, expected a number; convert it: .cast(DType::F32)");
    fails!(b * 1.0, DType, "mul: the operand is bool, expected a number; convert it: .cast(DType::F32)");
    fails!(b - 0.0, DType, "sub: the operand is bool, expected a number; convert it: .cast(DType::F32)");
    fails!(n / 1, DType, "div: the operand is i64, expected f32 or f64; convert it: .cast(DType::F32)");
    fails!(n / n, DType, "div: the operand is i64, expected f32 or f64; convert it: .cast(DType::F32)");
    fails!(n.tanh(), DType, "tanh: the operand is i64, expected f32 or f64; convert it: .cast(DType::F32)");
    fails!(n + 0.5, DType, "number: 0.5 is not an integer; cast the tensor to a float type first");
    fails!(0.5f64 + n, DType, "number: 0.5 is not an integer; cast the tensor to a float type first");
    fails!(f.and(b), DType, "and: an operand is f32, expected bool; compare it with something: x.gt(0.0)");
    fails!(f.not(), DType, "not: an operand is f32, expected bool; compare it with something: x.gt(0.0)");
    fails!(
        f.select(f, 0.0),
        DType,
        "select: the condition is f32, expected bool; compare it with something: x.gt(0.0)"
    );
    fails!(b.select(f, d), DType, "select: element types f32 and f64 are mixed; convert one side: .cast(DType::F64)");
    fails!(b.select(n, 0.5), DType, "number: 0.5 is not an integer; cast the tensor to a float type first");
    fails!(
        tape.full([2], f64::NAN, DType::I64),
        DType,
        "number: NaN is not an integer; cast the tensor to a float type first"
    );
}

#[test]
fn matmul() {
    let tape = Tape::new();
    let of = |shape: &[usize]| tape.var(tensor(shape, DType::F32));
    let (x, y) = (of(&[2, 3]), of(&[4, 3]));
    fails!(
        x.matmul(y),
        Shape,
        "matmul: shapes [2, 3] and [4, 3] do not fit: the left has 3 columns, the right 4 rows; \
         transpose the right operand: .t()"
    );
    fails!(
        of(&[2, 3]).matmul(of(&[4, 5])),
        Shape,
        "matmul: shapes [2, 3] and [4, 5] do not fit: the left has 3 columns, the right 4 rows; \
         transpose or reshape an operand"
    );
    fails!(
        of(&[2, 2, 3]).matmul(of(&[3, 3, 2])),
        Shape,
        "matmul: the batch axes of [2, 2, 3] and [3, 3, 2] do not broadcast; make the extents equal or 1"
    );
    fails!(
        of(&[]).matmul(x),
        Shape,
        "matmul: shapes [] and [2, 3]: an operand has no axes; multiply by a scalar with *"
    );
    let n = tape.var(tensor(&[3, 3], DType::I64));
    fails!(x.matmul(n), DType, "matmul: element types f32 and i64 are mixed; convert one side: .cast(DType::F32)");
    fails!(n.matmul(n), DType, "matmul: the operands are i64, expected f32 or f64; convert them: .cast(DType::F32)");
}

#[test]
fn reductions_and_views() {
    let tape = Tape::new();
    let x = tape.var(tensor(&[2, 3], DType::F32));
    let b = tape.var(tensor(&[2], DType::Bool));
    fails!(x.sum_axes(2), Shape, "sum: the value [2, 3] has no axis 2");
    fails!(x.max_axes(isize::MIN), Shape, "max: the value [2, 3] has no axis -9223372036854775808");
    fails!(x.mean_axes([0, -2]), Shape, "mean: axis -2 of [2, 3] is named twice");
    fails!(x.narrow(0, 0, 0).max_axes(0), Shape, "max: the value [0, 3] has no elements to choose from");
    fails!(
        b.sum(),
        DType,
        "sum: the operand is bool, expected a number; convert it: .cast(DType::I64) counts, .cast(DType::F32) averages"
    );
    fails!(x.softmax(2), Shape, "max: the value [2, 3] has no axis 2");
    fails!(x.prod_axes([0, 0]), Shape, "prod: axis 0 of [2, 3] is named twice");
    fails!(x.mean_keep(2), Shape, "mean: the value [2, 3] has no axis 2");
    fails!(x.logsumexp(2), Shape, "max: the value [2, 3] has no axis 2");
    fails!(x.var_axes(-3, 1), Shape, "mean: the value [2, 3] has no axis -3");
    fails!(x.std_axes([1, 2], 1), Shape, "mean: the value [2, 3] has no axis 2");
    fails!(x.norm(2), Shape, "sum: the value [2, 3] has no axis 2");
    fails!(x.sum().layer_norm(1e-5), Shape, "mean: the value [] has no axis -1");
    fails!(x.sum().rms_norm(1e-5), Shape, "mean: the value [] has no axis -1");
    fails!(x.cosine_similarity(x, 2), Shape, "sum: the value [2, 3] has no axis 2");
    fails!(
        b.cumsum(0),
        DType,
        "cumsum: the operand is bool, expected a number; convert it: .cast(DType::I64) counts, .cast(DType::F32) averages"
    );
    for (name, invalid) in [
        ("cumsum", x.cumsum(2)),
        ("cumprod", x.cumprod(2)),
        ("argmax", x.argmax(2)),
        ("argmin", x.argmin(2)),
        ("pad", x.pad(2, 1, 1, 0.0)),
        ("flip", x.flip(2)),
        ("roll", x.roll(2, 1)),
        ("split", x.split(2, &[1])[0]),
        ("unbind", x.unbind(2)[0]),
    ] {
        let text = invalid.value().unwrap_err().to_string();
        assert!(text.starts_with(&format!("{name}: the value [2, 3] has no axis 2 (at {}", file!())), "{text}");
    }
    fails!(x.narrow(1, 0, 0).argmax(1), Shape, "max: the value [2, 0] has no elements to choose from");
    fails!(x.split(1, &[1, 1])[1], Shape, "split: the parts [1, 1] have 2 entries, axis 1 of [2, 3] has 3");
    fails!(x.repeat(&[2]), Shape, "repeat: 1 counts for the value [2, 3]; give one count for each axis");
    fails!(x.sum().tril(0), Shape, "tril: the value [] is not a matrix; give it two axes or more");
    fails!(x.clamp(1.0, 0.0), Shape, "clamp: nothing lies between 1 and 0; give the lower bound first");
    fails!(
        x.one_hot(3, DType::F32),
        DType,
        "eq: element types f32 and i64 are mixed; convert one side: .cast(DType::F32)"
    );
    fails!(x.reshape([4]), Shape, "reshape: the value [2, 3] has 6 elements, the shape [4] holds 4");
    fails!(x.expand([2, 4]), Shape, "expand: the value [2, 3] does not broadcast to [2, 4]");
    fails!(
        x.permute(&[0, 0]),
        Shape,
        "permute: [0, 0] is not a permutation of the axes of [2, 3]; name each of 0..2 once"
    );
    fails!(x.transpose(0, 2), Shape, "transpose: the value [2, 3] does not have the axes 0 and 2");
    fails!(x.unsqueeze(3), Shape, "unsqueeze: no position 3 for a new axis in [2, 3]");
    fails!(x.squeeze(0), Shape, "squeeze: axis 0 of [2, 3] is not an axis of extent 1");
}

#[test]
fn parts_and_indices() {
    let tape = Tape::new();
    let of = |shape: &[usize], dtype| tape.var(tensor(shape, dtype));
    let (x, n) = (of(&[2, 3], DType::F32), of(&[2, 3], DType::I64));
    fails!(x.narrow(1, 2, 2), Shape, "narrow: 2 entries from 2 on leave axis 1 of [2, 3], which has 3");
    fails!(x.narrow(2, 0, 1), Shape, "narrow: the value [2, 3] has no axis 2");
    fails!(x.get(0, 2), Shape, "narrow: 1 entries from 2 on leave axis 0 of [2, 3], which has 2");
    let [half, _] = x.chunk();
    let line = line!() - 1;
    check(
        half.value().unwrap_err(),
        line,
        "chunk: axis -1 of [2, 3] has 3 entries, not a multiple of 2; cut unequal parts with narrow",
    );
    fails!(tape.concat(&[], 0), Shape, "concat: there is nothing to join; give at least one value");
    fails!(tape.stack(&[x, n], 3), Shape, "unsqueeze: no position 3 for a new axis in [2, 3]");
    fails!(x.concat([n], 0), DType, "concat: part 0 is f32, part 1 is i64; convert one side with .cast");
    fails!(x.concat([x.t()], 0), Shape, "concat: part 0 is [2, 3], part 1 is [3, 2]: only axis 0 may differ");
    fails!(x.gather(0, x), DType, "gather: the index is f32, expected i64; convert it: .cast(DType::I64)");
    fails!(
        x.gather(0, of(&[2, 4], DType::I64)),
        Shape,
        "gather: the index is [2, 4], the value [2, 3]: expected the same rank and, but on axis 0, no larger extents; \
         unsqueeze or expand the index"
    );
    fails!(
        x.scatter_add(0, n, of(&[2, 2], DType::F32)),
        Shape,
        "scatter_add: the source is f32 [2, 2], expected f32 [2, 3]; \
         give the source the shape of the index and the type of the value"
    );
    let b = of(&[2, 3], DType::Bool);
    fails!(
        b.scatter_add(0, n, b),
        DType,
        "scatter_add: the value is bool, expected a number; convert it: .cast(DType::I64)"
    );
    fails!(
        x.index_select(4, of(&[2], DType::I64)),
        Shape,
        "index_select: the value is [2, 3], the axis 4, the index [2]; expected an axis and a list"
    );
}

#[test]
fn an_index_out_of_range_is_named_when_the_program_runs() {
    let tape = Tape::new();
    let x = tape.var(tensor(&[3, 2], DType::F64));
    let rows = tape.constant(Tensor::from_slice(&[0i64, 3, -1], [3]).unwrap());
    fails!(
        x.index_select(0, rows),
        Index,
        "gather: index 3 at position [1, 0] is outside of axis 0 of [3, 2], which has 3 entries"
    );
    let at = tape.constant(Tensor::from_slice(&[1i64, -1], [1, 2]).unwrap());
    fails!(
        x.scatter_add(0, at, &tensor(&[1, 2], DType::F64)),
        Index,
        "scatter_add: index -1 at position [0, 1] is outside of axis 0 of [3, 2], which has 3 entries"
    );
    // The same structure on another line, whose program is in the cache.
    fails!(
        x.index_select(0, rows),
        Index,
        "gather: index 3 at position [1, 0] is outside of axis 0 of [3, 2], which has 3 entries"
    );
    // The tape is not at fault: other values can still be asked for.
    assert!(x.sum().value().is_ok());
    let cast = tape.constant(f64::NAN).cast(DType::I64).reshape([1]);
    assert!(x.index_select(0, cast).value().is_ok(), "NaN is 0 as Rust converts it");
    let (_, picked) = tape.scan((), rows, |(), i| ((), x.index_select(0, i.reshape([1]))));
    let line = line!() - 1;
    check(
        picked.value().unwrap_err(),
        line,
        "gather: index 3 at position [0, 0] is outside of axis 0 of [3, 2], which has 3 entries",
    );
}

#[test]
fn scans() {
    let tape = Tape::new();
    let (s, x) = (tape.var(tensor(&[2], DType::F32)), tape.var(tensor(&[3, 2], DType::F32)));
    fails!(
        tape.scan(s, (), |s, ()| (s, s)).1,
        Shape,
        "scan: nothing is scanned over, so the number of steps is unknown; \
         name it: scan_with(ScanOptions::default().length(n), ..)"
    );
    fails!(
        tape.scan((), (x, s), |(), (x, _)| ((), x)).1,
        Shape,
        "scan: the scanned value '1' is [2]: 2 steps, expected 3; give all scanned values one leading extent"
    );
    fails!(
        tape.scan((), (x, s.sum()), |(), (x, _)| ((), x)).1,
        Shape,
        "scan: the scanned value '1' is a scalar, expected a leading time axis; capture it in the closure instead"
    );
    let file = file!();
    let line = line!() + 2;
    fails!(
        tape.scan((s, s), x, |(h, c), _| ((h, c.concat([c], 0)), h)).1,
        Shape,
        &format!(
            "scan: carry component '1' starts as f32 [2] and returns from the step as f32 [4] \
             (recorded at {file}:{line}); make the initial state and the step agree"
        )
    );
    fails!(
        tape.scan(vec![s], x, |s, _| (vec![s[0], s[0]], s)).1[0],
        Shape,
        "scan: the state has 1 components, the step returned 2; return a state of the same structure as the initial one"
    );
    // A mistake in the body is the body's.
    let (last, ys) = tape.scan(s, x, |s, x| {
        let wrong = x + x.concat([x], 0);
        let line = line!() - 1;
        check(
            wrong.shape().unwrap_err(),
            line,
            "add: shapes [2] and [4] do not broadcast: axis -1 is 2 on the left and 4 on the right; \
             make the extents equal or 1 (unsqueeze, reshape, expand)",
        );
        (s * wrong, wrong)
    });
    assert_eq!(last.value().unwrap_err().op(), "add");
    assert_eq!(ys.value().unwrap_err().op(), "add");
}

#[test]
fn a_body_value_outside_of_its_body() {
    let tape = Tape::new();
    let x = tape.var(tensor(&[3, 2], DType::F32));
    let mut escaped = None;
    let (_, ys) = tape.scan((), x, |(), x| {
        let y = x * 2.0;
        let line = line!() - 1;
        escaped = Some((y, line));
        let error = x.sum().item().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Scope);
        assert!(error.to_string().starts_with(
            "value: the value belongs to a scan body: it has one value for each step; \
             return it from the body's closure as an output"
        ));
        ((), y)
    });
    let (y, recorded) = escaped.unwrap();
    let text = |op: &str| {
        format!(
            "{op}: an operand of {op} (recorded at {}:{recorded}) belongs to a scan body that has ended; \
         return it from the body's closure as a carry or an output",
            file!()
        )
    };
    fails!(y + 1.0, Scope, &text("add"));
    fails!(ys + y, Scope, &text("add"));
    let (_, leaked) = tape.scan((), x, |(), _| ((), y));
    let line = line!() - 1;
    check(leaked.value().unwrap_err(), line, &text("expand"));
    let (carry, _) = tape.scan(x.get(0, 0), x, |_, x| (y, x));
    let line = line!() - 1;
    check(carry.value().unwrap_err(), line, "scan: the step returned a value of another loop that has ended");
    assert_eq!(y.value().unwrap_err().kind(), ErrorKind::Scope);
}

#[test]
fn two_tapes() {
    let (tape, other) = (Tape::new(), Tape::new());
    let (x, y) = (tape.var(1.0f32), other.var(2.0f32));
    let text = "operand: the operands are recorded on different tapes; \
                bring a value over with tape.constant(other.value()?)";
    fails!(x * y, Scope, text);
    fails!(x.concat([y], 0), Scope, text);
    fails!(x.maximum(y), Scope, text);
    let (_, z) = tape.scan(x, tape.zeros([2], DType::F32), |_, x| (y, x));
    assert_eq!(z.value().unwrap_err().kind(), ErrorKind::Scope);
    let [g] = x.grad([y]);
    assert_eq!(g.value().unwrap_err().kind(), ErrorKind::Scope);
    let error = tape.eval([y]).unwrap_err();
    check(error, line!() - 1, "eval: the value is of another tape; ask the tape that recorded it");
}

#[test]
fn gradients() {
    let tape = Tape::new();
    let x = tape.var(tensor(&[2], DType::F32));
    let n = tape.var(1i64);
    fails!(
        x.grad([x])[0],
        Shape,
        "grad: the value is [2], expected a scalar; reduce it (sum, mean), or give cotangents to vjp"
    );
    let tape_error = tape.error().unwrap();
    assert_eq!(tape_error.op(), "grad");
    fails!(n.grad([x])[0], DType, "grad: the value is i64, which has no derivative");

    let tape2 = Tape::new();
    let (x, w) = (tape2.var(1.0f32), tape2.var(1.0f32).named("w"));
    let line2 = line!() - 1;
    let unreached = format!(
        "grad: the value does not depend (differentiably) on input 1 'w', recorded at {}:{line2}; \
         use grad_or_none, or look for a detach, a comparison or an integer on the way",
        file!()
    );
    fails!((x * w.detach()).grad([x, w])[1], Gradient, &unreached);

    let quiet = Tape::inference();
    let x = quiet.var(1.0f32);
    fails!((x * x).grad([x])[0], Gradient, "grad: the tape is for inference; record on Tape::new()");
    check(x.backward().unwrap_err(), line!(), "grad: the tape is for inference; record on Tape::new()");
}

#[test]
fn an_error_is_sticky_and_stops_every_gradient() {
    let tape = Tape::new();
    let (x, y) = (tape.var(tensor(&[2], DType::F32)), tape.var(tensor(&[3], DType::F32)));
    let wrong = x + y;
    let line = line!() - 1;
    let text = "add: shapes [2] and [3] do not broadcast: axis -1 is 2 on the left and 3 on the right; \
                make the extents equal or 1 (unsqueeze, reshape, expand)";
    let p = Param::new(tensor(&[2], DType::F32));
    let (last, ys) = tape.scan(wrong, x, |s, x| (s * x, s + &p));
    let [a, b] = wrong.chunk();
    for later in [
        wrong.tanh(),
        1.0 - wrong,
        wrong.matmul(x),
        x.matmul(wrong),
        wrong.sum_axes(7).reshape([9]).t().squeeze(3),
        tape.concat(&[x, wrong], 0),
        tape.stack(&[x, wrong], 0),
        x.gather(0, wrong),
        x.index_select(0, wrong),
        wrong.detach().cast(DType::I64).softmax(0),
        wrong.gt(0.0).select(x, x),
        a,
        b,
        last,
        ys,
        tape.bind(&p, wrong, || x * &p),
    ] {
        check(later.value().unwrap_err(), line, text);
        check(later.shape().unwrap_err(), line, text);
    }
    let [g] = x.sum().grad([x]);
    let at = line!() - 1;
    let error = g.value().unwrap_err();
    assert!(error.to_string().starts_with(&format!("grad: the tape holds an error: {text} (at ")), "{error}");
    assert_eq!(error.location().map(|l| l.line()), Some(at));
}

#[test]
fn binding_and_parameters() {
    let tape = Tape::new();
    let p = Param::new(tensor(&[2], DType::F32));
    let wide = tape.var(tensor(&[3], DType::F32));
    let (used, line) = (tape.bind(&p, wide, || tape.param(&p) * 2.0), line!());
    check(used.value().unwrap_err(), line, "bind: the parameter is f32 [2], the value bound to it f32 [3]");
    let error = p.set(tensor(&[3], DType::F32)).unwrap_err();
    check(error, line!() - 1, "Param::set: the parameter is f32 [2], the new value f32 [3]");
}

#[test]
fn tensors() {
    let t = tensor(&[2, 3], DType::F32);
    let error = Tensor::from_slice(&[1.0f32], [2]).unwrap_err();
    check(error, line!() - 1, "tensor: 1 elements given, the shape [2] holds 2");
    let error = t.reshape([7]).unwrap_err();
    check(error, line!() - 1, "tensor: 6 elements given, the shape [7] holds 7");
    let error = t.to_vec::<f64>().unwrap_err();
    check(error, line!() - 1, "to_vec: the tensor [2, 3] holds f32, asked for f64; read it as f32, or .cast() it");
    let error = t.item().unwrap_err();
    check(error, line!() - 1, "item: the tensor [2, 3] has 6 elements, expected one; reduce it first, or use to_vec");
    let error = t.transpose(0, 2).unwrap_err();
    check(error, line!() - 1, "transpose: the tensor [2, 3] has no axis 2");
    let error = t.narrow(1, 2, 2).unwrap_err();
    check(error, line!() - 1, "narrow: 2 entries from 2 on axis 1 leave the tensor [2, 3]");
    let huge = Tensor::from_vec(vec![0.0f32], [usize::MAX, 2]).unwrap_err();
    assert!(huge.to_string().contains("holds more than memory can hold"), "{huge}");
    let tape = Tape::new();
    let x: Var<'_> = tape.var(&t);
    let error = x.dims::<3>().unwrap_err();
    check(error, line!() - 1, "dims: expected 3 axes, found the shape [2, 3]");
}
