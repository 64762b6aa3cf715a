//! A derivative that cannot flow is an error that says where it stops, or `None` where that is asked for; never zeros.

use wengert_autograd::{CustomOp, DType, ErrorKind, Param, Tape, Tensor, Var};

/// The error of a value: its kind is `Gradient`, it has the address of `line`, and its text starts with `op` and holds `texts`.
#[track_caller]
fn refused(value: Var<'_>, line: u32, op: &str, texts: &[&str]) {
    let error = value.value().unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Gradient, "{text}");
    assert_eq!(error.location().map(|at| (at.file(), at.line())), Some((file!(), line)), "{text}");
    assert_eq!(error.op(), op, "{text}");
    texts.iter().for_each(|part| assert!(text.contains(part), "'{part}' is not in: {text}"));
}

fn vector(values: &[f64]) -> Tensor {
    Tensor::from_slice(values, [values.len()]).unwrap()
}

#[test]
fn every_mode_refuses_what_does_not_flow() {
    let tape = Tape::new();
    let (x, y) = (tape.var(vector(&[1.0, 2.0])).named("x"), tape.var(vector(&[3.0, 4.0])));
    let v = tape.constant(vector(&[1.0, -1.0]));
    let z = y.square() + x.floor() * 2.0;
    let stop = format!("floor at {}:{}", file!(), line!() - 1);
    let only = ["depends on input 0 'x'", &stop, "where no derivative flows"];
    let loss = z.sum();
    refused(loss.grad([x])[0], line!(), "grad", &only);
    refused(z.vjp(v, [x])[0], line!(), "vjp", &only);
    refused(z.jvp([(x, v)]), line!(), "jvp", &only);
    refused(z.jacobian(x), line!(), "jacobian", &only);
    refused(z.jacobian_forward(x), line!(), "jacobian_forward", &only);
    refused(loss.hessian(x), line!(), "hessian", &only);
    refused(loss.hvp(x, v), line!(), "hvp", &only);
    let [none] = loss.grad_or_none([x]);
    assert!(none.is_none());
    assert!(z.vjp_or_none(v, [x])[0].is_none());
    assert!(z.jvp_or_none([(x, v)]).is_none());
    assert!(z.jacobian_or_none(x).is_none());
    assert!(z.jacobian_forward_or_none(x).is_none());
    assert!(loss.hessian_or_none(x).is_none());
    assert!(loss.hvp_or_none(x, v).is_none());
    // What flows is what it is in the strict form.
    assert_eq!(z.jvp_or_none([(y, v)]).unwrap().value().unwrap().to_f64_vec(), [6.0, -8.0]);
    assert_eq!(loss.hvp_or_none(y, v).unwrap().value().unwrap().to_f64_vec(), [2.0, -2.0]);
    // The refused ones do not stop later gradients.
    assert_eq!(loss.grad([y])[0].value().unwrap().to_f64_vec(), [6.0, 8.0]);
}

#[test]
fn second_derivatives_of_linear_functions_are_refused() {
    let tape = Tape::new();
    let x = tape.var(vector(&[1.0, 2.0]));
    let loss = (x * 3.0).sum();
    refused(loss.hessian(x), line!(), "hessian", &["the gradient does not depend on input 0", "hessian_or_none"]);
    refused(loss.hvp(x, x), line!(), "hvp", &["the gradient does not depend on input 0", "hvp_or_none"]);
    assert!(loss.hessian_or_none(x).is_none() && loss.hvp_or_none(x, x).is_none());
}

#[test]
fn the_places_where_derivatives_stop_are_named() {
    let tape = Tape::new();
    let x = tape.var(2.0f64);
    let other = tape.var(3.0f64);
    refused((other * 2.0).grad([x])[0], line!(), "grad", &["the value does not depend on input 0 (recorded at"]);
    let condition = x.gt(1.0).select(other, 0.0);
    let line1 = line!() - 1;
    refused(condition.grad([x])[0], line!(), "grad", &[&format!("gt at {}:{line1}", file!())]);
    let integer = x.cast(DType::I64).cast(DType::F64) * x.detach() + condition;
    let line2 = line!() - 1;
    let places = [
        format!("gt at {}:{line1}", file!()),
        format!("cast at {}:{line2}", file!()),
        format!("detach at {}:{line2}", file!()),
    ];
    refused(integer.grad([x])[0], line!(), "grad", &[&places[0], &places[1], &places[2]]);
    let many = (0..5).fold(other, |sum, _| sum + x.sign()) + x.round() + x.ceil() + x.floor() + x.trunc();
    refused(many.grad([x])[0], line!(), "grad", &["and 2 more"]);
    // What an own derivative leaves out.
    let w = tape.var(5.0f64);
    let own = tape.custom_vjp([x], |[x]| x * w, |[x], _, ct| [Some(ct * x)]);
    refused(own.grad([w])[0], line!(), "grad", &[&format!("custom_vjp at {}:{}", file!(), line!() - 1)]);
    let none = tape.custom_vjp([x], |[x]| x * w, |_, _, _| [None]);
    refused(none.grad([x])[0], line!(), "grad", &["no derivative flows from the value to input 0"]);
    // Integers have none.
    let n = tape.var(2i64);
    refused((x * n.cast(DType::F64)).grad([n])[0], line!(), "grad", &["is no float"]);
    // A checkpoint is transparent.
    let p = tape.checkpoint(|| (x * x).detach() * w);
    let stop = format!("detach at {}:{}", file!(), line!() - 1);
    let [by_w] = p.square().grad([w]);
    refused(by_w.grad([x])[0], line!(), "grad", &[&stop]);
}

#[test]
fn derivatives_that_stop_in_a_loop_are_found() {
    let tape = Tape::new();
    let (x, w) = (tape.var(vector(&[1.0, 2.0, 3.0])), tape.var(0.5f64));
    let (last, ys) = tape.scan(w, x, |s, x| {
        let s = s * 0.5 + x.round();
        (s, s.detach())
    });
    let stop = format!("round at {}:{}", file!(), line!() - 3);
    refused(last.grad([x])[0], line!(), "grad", &[&stop]);
    let stop = format!("detach at {}:{}", file!(), line!() - 4);
    refused(ys.sum().grad([w])[0], line!(), "grad", &[&stop]);
    assert!(last.grad([w])[0].value().is_ok());
}

#[test]
fn inputs_in_arrays_vectors_and_slices() {
    let tape = Tape::new();
    let params: Vec<Param> = (1..4).map(|i| Param::new(Tensor::scalar(i as f64))).collect();
    let product = params.iter().fold(tape.constant(1.0f64), |product, p| product * p);
    let by_param: Vec<Var<'_>> = product.grad(params.iter().collect::<Vec<_>>());
    assert_eq!(by_param.iter().map(|g| g.item().unwrap()).collect::<Vec<_>>(), [6.0, 3.0, 2.0]);
    let leaves: Vec<Var<'_>> = params.iter().map(|p| tape.param(p)).collect();
    let some: Vec<Option<Var<'_>>> = (leaves[0] * leaves[2]).grad_or_none(&leaves[..]);
    assert_eq!(some.iter().map(|g| g.map(|g| g.item().unwrap())).collect::<Vec<_>>(), [Some(3.0), None, Some(1.0)]);
    let none: Vec<Var<'_>> = product.grad(Vec::<Var<'_>>::new());
    assert!(none.is_empty());
    let pairs: Vec<_> = leaves.iter().map(|p| (*p, tape.constant(1.0f64))).collect();
    assert_eq!(product.jvp(pairs).item().unwrap(), 11.0);
    // The strict form names the one that is missing.
    let some = (leaves[0] * leaves[2]).grad(&leaves[..]);
    assert!(some[0].value().is_ok() && some[2].value().is_ok());
    assert!(some[1].value().unwrap_err().to_string().contains("input 1"));
}

#[test]
fn an_operation_without_derivative_says_so() {
    let tape = Tape::new();
    let x = tape.var(vector(&[1.0, 2.0]));
    let op = CustomOp::new("lookup", |[x]| Ok(x.clone()));
    let y = tape.custom_op(&op, [x]);
    let line = line!() - 1;
    refused(y.sum().grad([x])[0], line, "lookup", &["no derivative", "detach"]);
    let tape = Tape::new();
    let x = tape.var(vector(&[1.0, 2.0]));
    let y = tape.custom_op(&op, [x]);
    let line = line!() - 1;
    refused(y.jvp([(x, x)]), line, "lookup", &["no derivative"]);
    // Detached, it is a constant.
    let tape = Tape::new();
    let x = tape.var(vector(&[1.0, 2.0]));
    let [g] = (tape.custom_op(&op, [x]).detach() * x).sum().grad([x]);
    assert_eq!(g.value().unwrap().to_f64_vec(), [1.0, 2.0]);
}
