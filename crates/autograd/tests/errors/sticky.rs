//! Where an error points, how it spreads, what gradients say of it; tensors and parameters.

use crate::registry::In;
use crate::{check, fails, tensor};
use wengert_autograd::{DType, ErrorKind, Param, Tape, Tensor, Var};

const BROADCAST: &str = "shapes [2, 3] and [2, 4] do not broadcast: axis -1 is 3 on the left and 4 on the right; \
                         make the extents equal or 1 (unsqueeze, reshape, expand)";

/// A composition of somebody else's: an error in it is reported where it was called.
#[track_caller]
fn blend<'t>(a: Var<'t>, b: Var<'t>) -> Var<'t> {
    let _named = a.tape().composition("blend");
    let parts = [0.25, 0.75].map(|share| a * share + b.softmax(-1) * (1.0 - share));
    parts[0] + parts[1]
}

/// Without a name of its own.
#[track_caller]
fn added<'t>(a: Var<'t>, b: Var<'t>) -> Var<'t> {
    a + b
}

/// The column too, through operators, methods, helpers and closures.
#[test]
fn the_address_is_that_of_the_caller() {
    let tape = Tape::new();
    let In { x, w, .. } = In::of(&tape);
    let at = |v: Var<'_>| v.shape().unwrap_err().location().map(|at| (at.line(), at.column())).unwrap();
    #[rustfmt::skip]
    let found = [
        at(x + w),
        at(x.add(w)),
        at(1.0 - x * w),
        at((x * 2.0).maximum(w)),
        at(added(x, w)),
        at(blend(x, w)),
        at(blend(x.tanh(), w)),
    ];
    let first = line!() - 8;
    for (i, (found, column)) in found.into_iter().zip([12, 14, 18, 22, 12, 12, 12]).enumerate() {
        assert_eq!(found, (first + i as u32, column));
    }
    let error = blend(x, w).value().unwrap_err();
    check(error, line!() - 1, &format!("blend: {BROADCAST}"));
    assert!(blend(x, x).value().is_ok());
    // The name ends with the composition, also by a panic.
    fails!(x + w, Shape, &format!("add: {BROADCAST}"));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _named = tape.composition("stage");
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    fails!(x + w, Shape, &format!("add: {BROADCAST}"));
    // The outermost name is the one that counts.
    let _named = tape.composition("model");
    let line = line!() - 1;
    check(blend(x, w).value().unwrap_err(), line, &format!("model: {BROADCAST}"));
    // A check of one's own keeps its name.
    check(x.invalid("mine", "it is wrong", "").shape().unwrap_err(), line, "mine: it is wrong");
}

#[test]
fn an_error_is_sticky_and_stops_every_gradient() {
    let tape = Tape::new();
    let In { x, w, .. } = In::of(&tape);
    let wrong = x + w;
    let line = line!() - 1;
    let text = &format!("add: {BROADCAST}");
    let p = Param::new(tensor(&[2], DType::F32));
    let (last, ys) = tape.scan(wrong, x, |s, x| (s * x, s + &p));
    for later in [last, ys, tape.bind(&p, wrong, || x * &p), wrong.sum_axes(7).reshape([9]).t().squeeze(3)] {
        check(later.value().unwrap_err(), line, text);
        check(later.shape().unwrap_err(), line, text);
        check(later.keep().detach().value().unwrap_err(), line, text);
    }
    let [g] = x.sum().grad([x]);
    let at = line!() - 1;
    let error = g.value().unwrap_err();
    assert!(error.to_string().starts_with(&format!("grad: the tape holds an error: {text} (at ")), "{error}");
    assert_eq!(error.location().map(|l| l.line()), Some(at));
    let error = x.sum().backward().unwrap_err();
    assert!(error.to_string().starts_with(&format!("backward: the tape holds an error: {text} (at ")), "{error}");
    let noted = wrong.within("layer 2").value().unwrap_err().to_string();
    assert!(noted.contains(&format!(", in layer 2 (at {}:{}:", file!(), line!() - 1)), "{noted}");
}

#[test]
fn gradients() {
    let tape = Tape::new();
    let (x, w) = (tape.var(1.0f32), tape.var(1.0f32).named("w"));
    let line = line!() - 1;
    let unreached = format!(
        "grad: the value depends on input 1 'w' (recorded at {0}:{line}) only through detach at {0}:{1}, where no \
         derivative flows; ask for grad_or_none, which says None, or give that step a derivative: with_derivative_of",
        file!(),
        line!() + 2
    );
    fails!((x * w.detach()).grad([x, w])[1], Gradient, &unreached);
    check(
        (x.detach() * 2.0).backward().unwrap_err(),
        line!() - 1,
        &format!(
            "backward: the value depends on any parameter or variable of the tape only through detach at {}:{}, where no \
             derivative flows; use a Param or a tape.var, or give that step a derivative: with_derivative_of",
            file!(),
            line!() - 6
        ),
    );
    let quiet = Tape::inference();
    let x = quiet.var(1.0f32);
    let text = |op: &str| format!("{op}: the tape is for inference; record on Tape::new()");
    fails!((x * x).grad([x])[0], Gradient, &text("grad"));
    fails!((x * x).vjp(x, [x])[0], Gradient, &text("vjp"));
    fails!((x * x).jvp([(x, x)]), Gradient, &text("jvp"));
    fails!((x * x).hessian(x), Gradient, &text("hessian"));
    check(x.backward().unwrap_err(), line!(), &text("backward"));
}

/// A rule that cannot be recorded: the operation's line, the rule's own mistake, and whose derivative it is.
#[test]
fn a_mistake_in_a_derivative() {
    let tape = Tape::new();
    let x = tape.var(tensor(&[2], DType::F64));
    let y = tape.custom_vjp([x], |[x]| x.square(), |[x], _, ct| [Some(ct + x.concat([x], 0))]);
    let line = line!() - 1;
    let [g] = y.sum().grad([x]);
    let error = g.value().unwrap_err();
    assert_eq!((error.op(), error.location().map(|at| at.line())), ("add", Some(line)));
    let address = format!("(at {}:{line}:", file!());
    let text = error.to_string();
    assert!(text.contains(&format!("(unsqueeze, reshape, expand) {address}")), "{text}");
    assert!(text.contains(&format!("), in the derivative of custom_vjp {address}")), "{text}");
    let tape = Tape::new();
    let x = tape.var(tensor(&[2], DType::F64));
    let y = tape.custom_vjp([x], |[x]| x.square(), |_, _, ct| [Some(ct.sum())]);
    let line = line!() - 1;
    let [g] = y.sum().grad([x]);
    let text = "custom_vjp: the cotangent of input 0 is f64 [], expected f64 [2]; \
                give derivatives the shapes and element types of their values";
    check(g.value().unwrap_err(), line, text);
}

#[test]
fn two_tapes() {
    let (tape, other) = (Tape::new(), Tape::new());
    let y = other.var(2.0f32);
    let error = tape.eval([y]).unwrap_err();
    check(error, line!() - 1, "eval: the value is of another tape; ask the tape that recorded it");
    let error = tape.eval_all(&[y]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Scope);
    check(error, line!() - 2, "eval_all: the value is of another tape; ask the tape that recorded it");
}

#[test]
fn parameters() {
    let p = Param::new(tensor(&[2], DType::F32));
    let error = p.set(tensor(&[3], DType::F32)).unwrap_err();
    let line = line!() - 1;
    let text =
        "Param::set: the parameter is f32 [2], the new value f32 [3]; give it the parameter's shape and element type";
    check(error, line, text);
}

/// An axis without entries is nothing to normalise, as in PyTorch; the sum of no exponentials is 0.
#[test]
fn nothing_is_no_mistake() {
    let tape = Tape::new();
    for (shape, axis) in [(vec![2, 0], 1), (vec![0, 3], 0), (vec![0, 3], 1), (vec![0], -1)] {
        let x = tape.var(tensor(&shape, DType::F64));
        for y in [x.softmax(axis), x.log_softmax(axis)] {
            assert_eq!(y.value().unwrap().shape()[..], shape[..]);
            let [g] = y.sum().grad([x]);
            assert_eq!(g.value().unwrap().shape()[..], shape[..]);
        }
    }
    let x = tape.var(tensor(&[2, 0], DType::F64));
    assert_eq!(x.logsumexp(1).value().unwrap().to_f64_vec(), [f64::NEG_INFINITY; 2]);
    assert_eq!(x.logsumexp(0).value().unwrap().shape()[..], [0]);
    assert_eq!(x.logsumexp(()).item().unwrap(), f64::NEG_INFINITY);
    assert!(x.mean_axes(1).value().unwrap().to_f64_vec().iter().all(|v| v.is_nan()));
    assert_eq!(x.mean_axes(0).value().unwrap().shape()[..], [0]);
    assert_eq!(x.var_axes(0, 1).value().unwrap().shape()[..], [0]);
}

#[test]
fn tensors() {
    let t = tensor(&[2, 3], DType::F32);
    let error = Tensor::from_slice(&[1.0f32], [2]).unwrap_err();
    let given = "give as many elements as the shape holds";
    check(error, line!() - 2, &format!("tensor: 1 elements given, the shape [2] holds 2; {given}"));
    let error = t.reshape([7]).unwrap_err();
    check(error, line!() - 1, &format!("tensor: 6 elements given, the shape [7] holds 7; {given}"));
    let error = t.to_vec::<f64>().unwrap_err();
    check(error, line!() - 1, "to_vec: the tensor [2, 3] holds f32, asked for f64; read it as f32, or .cast() it");
    let error = t.item().unwrap_err();
    check(error, line!() - 1, "item: the tensor [2, 3] has 6 elements, expected one; reduce it first, or use to_vec");
    let error = t.permute(&[0, 0]).unwrap_err();
    check(error, line!() - 1, "permute: [0, 0] is not a permutation of the 2 axes of [2, 3]; name each axis once");
    let error = t.transpose(0, 2).unwrap_err();
    check(error, line!() - 1, "transpose: axis 2 is out of range for shape [2, 3]; axes go from 0 to 1");
    let error = t.narrow(1, 2, 2).unwrap_err();
    check(error, line!() - 1, "narrow: 2 entries from 2 on axis 1 leave the tensor [2, 3]");
    let turned = t.transpose(0, 1).unwrap();
    let error = turned.as_slice::<f32>().unwrap_err();
    check(error, line!() - 1, "as_slice: the tensor [3, 2] is a view with strides [1, 3]; call .contiguous() first");
    let huge = Tensor::from_vec(vec![0.0f32], [usize::MAX, 2]).unwrap_err();
    assert!(huge.to_string().contains("holds more than memory can hold"), "{huge}");
}
