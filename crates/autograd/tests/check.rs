//! The checks themselves: they pass what is right, and name what is wrong.

use std::cell::Cell;
use wengert_autograd::check::{
    CheckFailure, CheckOptions, Mode, gradcheck, gradcheck_forward, gradcheck_params, gradgradcheck,
};
use wengert_autograd::{DType, Param, Tensor, Var};

fn data(shape: &[usize]) -> Tensor {
    let n: usize = shape.iter().product();
    Tensor::from_vec((0..n).map(|i| (i as f64 * 1.7).sin()).collect(), shape).unwrap()
}

/// `x²`, whose recorded derivative is `x`: half of it does not see the input.
fn half_square<'t>(x: Var<'t>) -> Var<'t> {
    x * x.detach()
}

#[test]
fn a_right_derivative_passes() {
    for options in [CheckOptions::default(), CheckOptions::default().fast()] {
        gradcheck(|v| v[0].matmul(v[1]).tanh(), &[data(&[2, 3]), data(&[3, 2])], options).unwrap();
        gradgradcheck(|v| v[0].matmul(v[1]).tanh(), &[data(&[2, 3]), data(&[3, 2])], options).unwrap();
        gradcheck(|v| v[0] * 2.0, &[data(&[0, 3])], options).unwrap();
        gradcheck(|v| v[1].sum(), &[data(&[2]), data(&[2])], options).unwrap();
    }
}

#[test]
fn a_wrong_derivative_is_named() {
    for options in [CheckOptions::default(), CheckOptions::default().fast()] {
        let failure = gradcheck(|v| v[0] + half_square(v[1]), &[data(&[2]), data(&[2])], options).unwrap_err();
        let found = failure.mismatch().unwrap();
        assert_eq!((found.order, &found.output[..], &found.input[..]), (1, "the value", "input 1"));
        assert_eq!(found.output_entry, found.input_entry);
        assert_eq!(found.input_entry, Some(vec![1]), "the entry where the slope is largest");
        assert!((found.analytic - data(&[2]).to_f64_vec()[1]).abs() < 1e-12);
        assert!((found.numeric - 2.0 * found.analytic).abs() < 1e-8);
        assert!(found.ratio > 100.0 && found.failed.0 == 1, "{found:?}");
        let text = failure.to_string();
        assert!(text.starts_with("gradcheck, order 1: the derivative of the value[1] by input 1[1] is "), "{text}");
    }
}

/// A gradient that is right, of which the gradient is not.
#[test]
fn a_wrong_second_derivative_is_named() {
    let inputs = [data(&[2])];
    gradcheck(|v| v[0].detach().square() * v[0], &inputs, CheckOptions::default()).unwrap_err();
    let failure = gradgradcheck(|v| half_square(v[0]), &inputs, CheckOptions::default()).unwrap_err();
    let found = failure.mismatch().unwrap();
    assert_eq!((found.order, &found.output[..], &found.input[..]), (2, "the gradient of input 0", "input 0"));
}

#[test]
fn an_absent_gradient_is_zero() {
    gradcheck(|v| (v[0] + 0.3).floor() + v[1].detach() * 0.0, &[data(&[1]), data(&[2])], CheckOptions::default())
        .unwrap();
    let failure = gradcheck(|v| v[0].detach() * 3.0, &[data(&[1])], CheckOptions::default()).unwrap_err();
    assert_eq!(failure.mismatch().unwrap().analytic, 0.0);
}

#[test]
fn parameters_are_named_by_path() {
    let net = (Param::new(data(&[2])), vec![Param::new(data(&[2])), Param::new(data(&[2]))]);
    gradcheck_params(|tape| (tape.param(&net.0) * &net.1[0]).tanh() + &net.1[1], &net, Default::default()).unwrap();
    let failure =
        gradcheck_params(|tape| half_square(tape.param(&net.1[1])) * &net.0, &net, Default::default()).unwrap_err();
    assert_eq!(failure.mismatch().unwrap().input, "parameter '1.1'");
}

#[test]
fn what_cannot_be_checked_is_said() {
    let line = line!() + 1;
    let failure = gradcheck(|v| v[0], &[Tensor::zeros([2], DType::F32)], CheckOptions::default()).unwrap_err();
    let CheckFailure::Error(error) = &failure else { panic!("{failure}") };
    assert_eq!(error.location().map(|at| at.line()), Some(line));
    assert!(
        failure.to_string().starts_with(
            "gradcheck: input 0 is f32, expected f64: differences of f32 values have no digits left; \
             convert it: .cast(DType::F64); capture what is not differentiated"
        ),
        "{failure}"
    );
    let error = gradcheck(|v| v[0].reshape([5]), &[data(&[2])], CheckOptions::default()).unwrap_err();
    assert!(error.to_string().starts_with("reshape: "), "{error}");
    let error = gradcheck(|v| v[0].gt(0.0), &[data(&[2])], CheckOptions::default()).unwrap_err();
    assert!(error.to_string().contains("the function gives bool, expected f64"), "{error}");
    assert!(gradcheck_params(|tape| tape.var(1.0f64), &(), CheckOptions::default()).is_err());
}

#[test]
fn each_input_has_its_report() {
    let failure = gradcheck(|v| v[0] + half_square(v[1]), &[data(&[2]), data(&[2])], CheckOptions::default());
    let failure = failure.unwrap_err();
    let found = failure.mismatch().unwrap();
    assert_eq!((found.mode, found.failed), (Mode::Reverse, (1, 8)));
    let [first, second] = &found.inputs[..] else { panic!("two inputs: {found:?}") };
    assert_eq!((&first.input[..], first.failed, &first.worst), ("input 0", (0, 4), &None));
    let worst = second.worst.as_ref().unwrap();
    assert_eq!((second.failed, worst.analytic, worst.ratio), ((1, 4), found.analytic, found.ratio));
    let text = failure.to_string();
    for line in
        ["\n  by input 0: all 4 entries agree\n", "\n  by input 1: 1 of 4 entries differ; worst: the value[1] by [1], "]
    {
        assert!(text.contains(line), "{text}");
    }
    assert!(
        text.contains("\n  hint: every entry is 0.5 times what it should be: a constant factor is wrong"),
        "{text}"
    );
}

#[test]
fn forward_mode_is_compared_with_reverse_mode() {
    for options in [CheckOptions::default(), CheckOptions::default().fast()] {
        let inputs = [data(&[2, 3]), data(&[3, 2])];
        gradcheck_forward(|v| v[0].matmul(v[1]).softmax(-1), &inputs, options).unwrap();
        // Central differences would not see an error of a millionth.
        let calls = Cell::new(0);
        let recorded = |v: &[Var<'_>]| calls.set(calls.get() + v.len());
        let failure = gradcheck_forward(
            |v| {
                recorded(v);
                // The shapes are asked for first, then the tangents by each of the six entries or of one direction.
                let tangents = 2..=if options.fast { 2 } else { 7 };
                let part = if tangents.contains(&calls.get()) { 1e-6 } else { 0.0 };
                v[0].square() - v[0] * part + v[0].detach() * part
            },
            &inputs[..1],
            options,
        );
        let found = failure.unwrap_err();
        assert_eq!(found.mismatch().unwrap().mode, Mode::Forward, "{found}");
    }
    let no_rule = gradcheck_forward(|v| v[0].on_grad(|g| g), &[data(&[2])], CheckOptions::default()).unwrap_err();
    assert!(no_rule.to_string().contains("on_grad: its derivative is given for reverse mode"), "{no_rule}");
}

#[test]
fn views_are_checked_as_views() {
    let t = data(&[3, 4]);
    let row = data(&[1, 4]);
    for view in [t.transpose(0, 1).unwrap(), t.narrow(1, 1, 2).unwrap(), row.expand([3, 4]).unwrap()] {
        gradcheck(|v| v[0].tanh().cumsum(0), std::slice::from_ref(&view), CheckOptions::default()).unwrap();
        gradgradcheck(|v| v[0].tanh().cumsum(0), std::slice::from_ref(&view), CheckOptions::default()).unwrap();
        gradcheck(|v| half_square(v[0]), &[view], CheckOptions::default()).unwrap_err();
    }
    // A repeated element is differentiated as one.
    let failure = gradcheck(|v| half_square(v[0]), &[row.expand([3, 4]).unwrap()], CheckOptions::default());
    assert_eq!(failure.unwrap_err().mismatch().unwrap().failed.1, 12 * 4);
}

#[test]
fn two_values_for_the_same_inputs_are_named() {
    let calls = Cell::new(0.0);
    let next = || {
        calls.set(calls.get() + 1.0);
        calls.get()
    };
    let failure = gradcheck(|v| v[0] * next(), &[data(&[2]).narrow(0, 1, 1).unwrap()], CheckOptions::default());
    let CheckFailure::Nondeterministic { order, entry, .. } = failure.unwrap_err() else { panic!("another failure") };
    assert_eq!((order, entry), (1, Some(vec![0])));
    // Values that agree, gradients that do not.
    let failure = gradgradcheck(
        |v| {
            let by = next();
            v[0].on_grad(move |g| g * by)
        },
        &[data(&[2])],
        CheckOptions::default(),
    );
    let text = failure.unwrap_err().to_string();
    assert!(text.starts_with("gradcheck, order 2: the gradient of input 0[0] is "), "{text}");
}
