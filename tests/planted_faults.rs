//! Wrong derivatives, planted one by one: `check` finds each of them, says what it looks like, and passes the right version.

use std::cell::Cell as Counter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wengert::autograd::ScanOptions;
use wengert::check::{
    CheckFailure, CheckOptions, GradientOptions, assert_gradients, floats, gradcheck, gradcheck_forward,
};
use wengert::prelude::*;

/// The message of the failed assertion in `check`, which must contain all of `says`.
#[track_caller]
fn caught(check: impl FnOnce(), says: &[&str]) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(check)) else { panic!("the fault was not found") };
    let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
    for part in says {
        assert!(text.contains(part), "the report does not say {part:?}:\n{text}");
    }
    text
}

/// `x²`, with `factor·x` for a derivative.
fn square<'t>(x: Var<'t>, factor: f64) -> Var<'t> {
    x.tape().custom_vjp([x], |[x]| x * x, move |v, _, ct| [Some(ct * v[0] * factor)])
}

#[test]
fn a_wrong_factor() {
    assert_gradients!(|x| square(x, 2.0), floats("B N"));
    let text = caught(
        || assert_gradients!(|x| square(x, 1.0), floats("B N")),
        &["gradcheck, order 1: the derivative of the value[0, 0] by x[0, 0]", "every entry is 0.5 times"],
    );
    // The smallest case, in a test that can be pasted.
    assert!(text.contains("= Tensor::from_vec(vec!["), "{text}");
    assert!(text.contains("], [1, 1]).unwrap();\n    assert_gradients!(|x| square(x, 1.0), [x]);"), "{text}");
    caught(|| assert_gradients!(|x| square(x, 2.02), floats("B N")), &["every entry is 1.01 times"]);
    caught(|| assert_gradients!(|x| square(x, -2.0), floats("B N")), &["every entry has the wrong sign"]);
}

/// `x + b` for rows `x` `[B, N]` and `b` `[N]`; `reduce` makes the cotangent of `b` of that of the sum.
fn add_bias<'t>(x: Var<'t>, b: Var<'t>, reduce: fn(Var<'_>) -> Var<'_>) -> Var<'t> {
    x.tape().custom_vjp([x, b], |[x, b]| x + b, move |_, _, ct| [Some(ct), Some(reduce(ct))])
}

#[test]
fn a_missing_broadcast_reduction() {
    assert_gradients!(|x, b| add_bias(x, b, |ct| ct.sum_axes(0)), floats("B N, N"));
    caught(
        || assert_gradients!(|x, b| add_bias(x, b, |ct| ct.get(0, 0)), floats("B N, N")),
        &["only entry 0 of the value's axis 0 contributes", "by x: all ", "  x = Tensor<f64>[2, 1]"],
    );
    // A mean in place of a sum is right for a batch of one, so the smallest case has two rows.
    caught(
        || assert_gradients!(|x, b| add_bias(x, b, |ct| ct.mean_axes(0)), floats("B N, N")),
        &["a mean where a sum belongs?", "  x = Tensor<f64>[2, 1]"],
    );
    caught(
        || assert_gradients!(|x, b| add_bias(x, b, |ct| ct), floats("B N, N")),
        &["custom_vjp: the cotangent of input 1 is f64 [1, 1], expected f64 [1]"],
    );
}

/// What can be wrong with [`leaky`].
#[derive(Clone, Copy, PartialEq)]
enum Leak {
    Right,
    OffByOne,
    StaleCarry,
    NoCarry,
}

/// `s_t = a·s_{t-1} + x_t` from `s_0 = 0`, all steps `[T]`, with a derivative that is a loop written by hand:
/// `g_t = ct_t + a·g_{t+1}` is the cotangent of `x_t`, and `Σ g_t·s_{t-1}` that of `a`.
fn leaky<'t>(x: Var<'t>, a: Var<'t>, fault: Leak) -> Var<'t> {
    fn run<'t>(x: Var<'t>, a: Var<'t>) -> Var<'t> {
        let zero = x.tape().zeros([], DType::F64);
        x.tape().scan(zero, x, |s, x| (a * s + x, a * s + x)).1
    }
    x.tape().custom_vjp(
        [x, a],
        |[x, a]| run(x, a),
        move |v, s, ct| {
            let (tape, a) = (ct.tape(), v[1]);
            let ct = if fault == Leak::OffByOne { ct.roll(0, -1) } else { ct };
            let zero = tape.zeros([], DType::F64);
            let (_, g) = tape.scan_with(ScanOptions::default().reversed(), zero, ct, |g, ct| {
                let g = if fault == Leak::NoCarry { ct } else { ct + a * g };
                (g, g)
            });
            let before =
                if fault == Leak::StaleCarry { s } else { s.pad(0, 1, 0, 0.0).narrow(0, 0, s.shape().unwrap()[0]) };
            [Some(g), Some((g * before).sum())]
        },
    )
}

#[test]
fn mistakes_in_time() {
    let inputs = || floats("T, ()").input(1, |v| v.within(0.2..0.9));
    assert_gradients!(|x, a| leaky(x, a, Leak::Right), inputs());
    caught(|| assert_gradients!(|x, a| leaky(x, a, Leak::OffByOne), inputs()), &["x = Tensor<f64>[2]"]);
    caught(
        || assert_gradients!(|x, a| leaky(x, a, Leak::StaleCarry), inputs()),
        &["by x: all ", "by a[]", "x = Tensor<f64>[1]"],
    );
    caught(|| assert_gradients!(|x, a| leaky(x, a, Leak::NoCarry), inputs()), &["x = Tensor<f64>[2]"]);
    // Where the entries stand beside each other, the report says so.
    let shifted = |x: Var<'_>| -> Result<(), CheckFailure> {
        let x = x.value()?;
        gradcheck(
            |v| v[0].tape().custom_vjp([v[0]], |[x]| x.square().sum(), |v, _, ct| [Some((v[0] * 2.0).roll(0, 1) * ct)]),
            &[x],
            CheckOptions::default(),
        )
    };
    let tape = Tape::new();
    let x = tape.var(Tensor::from_slice(&[0.3f64, -1.2, 0.7, 1.9], [4]).unwrap());
    let text = shifted(x).unwrap_err().to_string();
    assert!(text.contains("along axis 0 every entry is that of the entry before it: off by one"), "{text}");
}

#[test]
fn swapped_operands() {
    fn product<'t>(x: Var<'t>, y: Var<'t>, swap: bool) -> Var<'t> {
        x.tape().custom_vjp(
            [x, y],
            |[x, y]| x * y,
            move |v, _, ct| [Some(ct * v[!swap as usize]), Some(ct * v[swap as usize])],
        )
    }
    assert_gradients!(|x, y| product(x, y, false), floats("B N, B N"));
    caught(
        || assert_gradients!(|x, y| product(x, y, true), floats("B N, B N")),
        &["the derivatives by x and by y are exchanged"],
    );
    fn matmul<'t>(x: Var<'t>, w: Var<'t>, turn: bool) -> Var<'t> {
        x.tape().custom_vjp(
            [x, w],
            |[x, w]| x.matmul(w),
            move |v, _, ct| [Some(ct.matmul(if turn { v[1].t() } else { v[1] })), Some(v[0].t().matmul(ct))],
        )
    }
    assert_gradients!(|x, w| matmul(x, w, true), floats("B N, N N"));
    // Numbers have no transpose: the smallest case is a matrix.
    caught(|| assert_gradients!(|x, w| matmul(x, w, false), floats("B N, N N")), &["w = Tensor<f64>[2, 2]"]);
    let symmetric = |turn: bool| {
        let x = Tensor::from_slice(&[0.3f64, -1.2, 0.7, 1.9], [2, 2]).unwrap();
        gradcheck(
            move |v| {
                v[0].tape().custom_vjp(
                    [v[0]],
                    |[x]| (x * x.t().sin()).sum(),
                    move |v, _, ct| {
                        let x = v[0];
                        let g = x.t().sin() + (x.cos() * x.t());
                        [Some(ct * if turn { g.t() } else { g })]
                    },
                )
            },
            &[x],
            CheckOptions::default(),
        )
    };
    symmetric(false).unwrap();
    let text = symmetric(true).unwrap_err().to_string();
    assert!(text.contains("a .t() is missing"), "{text}");
}

#[test]
fn one_branch() {
    /// `x` above zero, `x/10` below; `below` is the slope given for the latter.
    fn leaky_relu<'t>(x: Var<'t>, below: f64) -> Var<'t> {
        x.tape().custom_vjp(
            [x],
            |[x]| x.gt(0.0).select(x, x * 0.1),
            move |v, _, ct| [Some(v[0].gt(0.0).select(ct, ct * below))],
        )
    }
    assert_gradients!(|x| leaky_relu(x, 0.1), floats("B N").avoiding(0.0));
    for wrong in [-0.1, 0.0] {
        caught(
            || assert_gradients!(|x| leaky_relu(x, wrong), floats("B N").avoiding(0.0)),
            &["exactly the derivatives by negative entries of x are wrong"],
        );
    }
}

#[test]
fn only_axes_of_extent_one() {
    /// `x - mean(x)` over the last axis; someone thought that the mean of one entry has no derivative.
    fn centred<'t>(x: Var<'t>, wrong: bool) -> Var<'t> {
        x.tape().custom_vjp(
            [x],
            |[x]| x - x.mean_keep(-1),
            move |v, _, ct| {
                let one = v[0].shape().unwrap().last() == Some(&1);
                [Some(if one && wrong { ct } else { ct - ct.mean_keep(-1) })]
            },
        )
    }
    assert_gradients!(|x| centred(x, false), floats("B N"));
    caught(|| assert_gradients!(|x| centred(x, true), floats("B N")), &["x = Tensor<f64>[1, 1]"]);
}

#[test]
fn only_views() {
    // A view that a pasted test makes again: a column cut out of rows.
    let column = Tensor::from_slice(&[0.5f64, 1.0, 2.0, 3.0], [2, 2]).unwrap().narrow(1, 1, 1).unwrap();
    caught(|| assert_gradients!(|x| stored(x, true), [column]), &["], [2, 2]).unwrap().narrow(1, 1, 1).unwrap();"]);

    /// `x²`, whose derivative reads the elements in the order in which they are stored.
    fn stored<'t>(x: Var<'t>, wrong: bool) -> Var<'t> {
        x.tape().custom_vjp(
            [x],
            |[x]| x * x,
            move |v, _, ct| {
                let x = v[0];
                let value = x.value().unwrap();
                [Some(ct * if wrong && !value.is_contiguous() { x * 1.5 } else { x * 2.0 })]
            },
        )
    }
    assert_gradients!(|x| stored(x, false), floats("B N").strided());
    assert_gradients!(|x| stored(x, true), floats("B N"));
    caught(|| assert_gradients!(|x| stored(x, true), floats("B N").strided()), &["strides [", "]).unwrap()."]);
}

#[test]
fn only_second_order() {
    /// `x³` with the right gradient, of which the gradient is not.
    fn cube<'t>(x: Var<'t>, wrong: bool) -> Var<'t> {
        x.tape().custom_vjp(
            [x],
            |[x]| x * x * x,
            move |v, _, ct| {
                let x = if wrong { v[0].detach() } else { v[0] };
                [Some(ct * 3.0 * v[0] * x)]
            },
        )
    }
    assert_gradients!(|x| cube(x, false), floats("B N"));
    assert_gradients!(|x| cube(x, true), floats("B N"), options: GradientOptions::default().first_order());
    caught(
        || assert_gradients!(|x| cube(x, true), floats("B N")),
        &["gradcheck, order 2: the derivative of the gradient of x[0, 0] by x[0, 0]", "0.5 times"],
    );
}

#[test]
fn a_detached_term() {
    fn softmax<'t>(x: Var<'t>, wrong: bool) -> Var<'t> {
        let e = (x - x.max_keep(-1).detach()).exp();
        let sum = e.sum_keep(-1);
        // The maximum may be detached, since it does not matter; the sum may not.
        e / if wrong { sum.detach() } else { sum }
    }
    assert_gradients!(|x| softmax(x, false), floats("B N").distinct());
    caught(|| assert_gradients!(|x| softmax(x, true), floats("B N").distinct()), &["order 1"]);
    caught(
        || assert_gradients!(|x, y| x * 2.0 + y.detach().sin(), floats("N, N")),
        &["by x: all ", "no derivative reaches y: look for a detach"],
    );
}

/// Forward mode is right and reverse mode wrong, or the other way round: stood in for by a function that is recorded
/// differently when tangents are asked for, in the second of three recordings.
#[test]
fn a_wrong_forward_rule() {
    let x = [Tensor::scalar(0.7f64)];
    gradcheck_forward(|v| v[0].square(), &x, CheckOptions::default()).unwrap();
    let calls = Counter::new(0);
    let failure = gradcheck_forward(
        |v| {
            calls.set(calls.get() + 1);
            if calls.get() == 2 { v[0] * v[0].detach() } else { v[0].square() }
        },
        &x,
        CheckOptions::default(),
    )
    .unwrap_err();
    let text = failure.to_string();
    assert!(text.contains("is 0.7 by forward mode and 1.4 by reverse mode"), "{text}");
}

#[test]
fn a_gradient_that_is_nan_at_one_point() {
    /// `x·|x|`, differentiated as `2·x²/|x|`.
    fn signed_square<'t>(x: Var<'t>, wrong: bool) -> Var<'t> {
        x.tape().custom_vjp(
            [x],
            |[x]| x * x.abs(),
            move |v, _, ct| {
                let x = v[0];
                [Some(ct * 2.0 * if wrong { x * x / x.abs() } else { x.abs() })]
            },
        )
    }
    let point = Tensor::from_slice(&[0.5, 0.0, -1.5f64], [3]).unwrap();
    let first = || GradientOptions::default().first_order();
    assert_gradients!(|x| signed_square(x, false), [point.clone()], options: first());
    assert_gradients!(|x| signed_square(x, true), floats("N").avoiding(0.0), options: first());
    caught(
        || assert_gradients!(|x| signed_square(x, true), [point.clone()], options: first()),
        &["by x[1] is NaN", "not finite where the function is smooth"],
    );
}

#[test]
fn a_wrong_count() {
    /// The mean over axis 0, divided by the extent of the other axis on the way back.
    fn mean<'t>(x: Var<'t>, axis: usize) -> Var<'t> {
        x.tape().custom_vjp(
            [x],
            |[x]| x.mean_axes(0),
            move |v, _, ct| {
                let shape = v[0].shape().unwrap();
                [Some((ct / shape[axis] as f64).unsqueeze(0).expand(&shape))]
            },
        )
    }
    assert_gradients!(|x| mean(x, 0), floats("B N"));
    caught(|| assert_gradients!(|x| mean(x, 1), floats("B N")), &["times what it should be"]);
}

#[test]
fn patterns_of_jacobians() {
    let x = [Tensor::from_slice(&[0.3f64, -1.2, 0.7], [3]).unwrap()];
    let says = |vjp: for<'a> fn(Var<'a>, Var<'a>) -> Var<'a>, hint: &str| {
        // y_i = x_i·(x_0 + 2x_1 + 3x_2)
        fn f(x: Var<'_>) -> Var<'_> {
            x * (x * (x.tape().arange(3).cast(DType::F64) + 1.0)).sum()
        }
        let check = gradcheck(
            move |v| v[0].tape().custom_vjp([v[0]], |[x]| f(x), move |v, _, ct| [Some(vjp(v[0], ct))]),
            &x,
            CheckOptions::default(),
        );
        let text = check.unwrap_err().to_string();
        assert!(text.contains(hint), "the report does not say {hint:?}:\n{text}");
    };
    // J_ij = δ_ij·s + x_i·(j + 1), so ct·J is ct·s + (ct·x)·(j + 1).
    says(
        |x, ct| {
            let w = x.tape().arange(3).cast(DType::F64) + 1.0;
            ct * (x * w).sum() + (ct * w).sum() * x
        },
        "the Jacobian is transposed",
    );
    says(
        |x, ct| {
            let w = x.tape().arange(3).cast(DType::F64) + 1.0;
            let right = ct * (x * w).sum() + (ct * x).sum() * w;
            right * x.tape().constant(Tensor::from_slice(&[1.0f64, 1.0, 0.5], [3]).unwrap())
        },
        "only derivatives by entries at 2 of axis 0 of input 0 are wrong",
    );
}

/// A cell with a forget gate, and what may be wrong with it.
#[derive(Module)]
struct Gated {
    w: Param,
    u: Param,
    forget: Param,
    fault: usize,
}

impl Gated {
    fn new(fault: usize) -> Gated {
        let draw = |shape: &[usize], by: f64| {
            let n: usize = shape.iter().product();
            Param::new(Tensor::from_vec((0..n).map(|i| (i as f64 * 1.7 + by).sin()).collect(), shape).unwrap())
        };
        Gated { w: draw(&[2, 3], 0.1), u: draw(&[3, 3], 0.2), forget: draw(&[3], 0.3), fault }
    }
}

impl Cell for Gated {
    type State<'t> = Var<'t>;

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Var<'t> {
        cx.zeros([batch, 3])
    }

    fn step<'t>(&self, x: Var<'t>, h: Var<'t>) -> (Var<'t>, Var<'t>) {
        let tape = x.tape();
        let forget = tape.param(&self.forget);
        // Fault 1 cuts a parameter, fault 2 the state, fault 3 is a wrong rule inside of the step.
        let forget = if self.fault == 1 { forget.detach() } else { forget };
        let before = if self.fault == 2 { h.detach() } else { h };
        let z = x.matmul(&self.w) + before.matmul(&self.u);
        let z = if self.fault == 3 { z.on_grad(|ct| ct * 1.01) } else { z };
        let f = forget.sigmoid();
        let h = f * h + (1.0 - f) * z.tanh();
        (h, h)
    }
}

#[test]
fn cells_inside_of_rnn() {
    let run = |fault: usize| {
        let net = Rnn::new(Gated::new(fault));
        assert_gradients!(|x| net.forward(&Cx::train(x.tape()), x).0, floats("T B 2"), params: net);
    };
    run(0);
    caught(
        || run(1),
        &[
            "by parameter 'layers.0.forget': ",
            "no derivative reaches parameter 'layers.0.forget'",
            "Tensor<f64>[1, 1, 2]",
        ],
    );
    // The state before the first step is zero, so it takes two.
    caught(|| run(2), &["by parameter 'layers.0.w': ", "Tensor<f64>[2, 1, 2]"]);
    caught(|| run(3), &["1.01 times what it should be"]);
}

#[test]
fn a_function_that_is_none() {
    let calls = Counter::new(0.0);
    let count = || {
        calls.set(calls.get() + 1.0);
        calls.get()
    };
    caught(
        || assert_gradients!(|x| x * count(), floats("N")),
        &["for the same inputs, so there is no derivative to compare", "draw random numbers from a key"],
    );
    let key = 3i64;
    assert_gradients!(|x| x * x.tape().uniform(key, [1], DType::F64), floats("N"));
}

#[test]
fn what_cannot_be_checked() {
    caught(
        || assert_gradients!(|x| x.tanh(), floats("N").dtype(DType::F32)),
        &["x is f32, expected f64", ".cast(DType::F64)"],
    );
    caught(|| assert_gradients!(|x| x.tanh(), floats("N, N")), &["the closure takes 1 inputs, the strategy gives 2"]);
    caught(|| assert_gradients!(|x, w| x.matmul(w), floats("2 3, 2 3")), &["matmul: shapes [2, 3] and [2, 3]"]);
    let w = Param::new(Tensor::zeros([2], DType::F32));
    caught(
        || assert_gradients!(|x| x * 2.0, floats("2"), params: w),
        &["the parameter is f32, expected f64", ".set_dtype(DType::F64)"],
    );
}
