//! Operations and derivatives of the user's own, and checkpoints, as [cases](super::cases).

use super::cases::{Array, CASE, Case};
use crate::{CustomOp, Derivative, Tensor};

/// `a·b` as an opaque operation.
fn product(derivative: Derivative<2>) -> CustomOp<2> {
    CustomOp::new("product", |[a, b]| {
        let values = a.to_f64_vec().iter().zip(b.to_f64_vec()).map(|(a, b)| a * b).collect();
        Ok(Tensor::from_vec::<f64>(values, a.shape().clone())?.cast(a.dtype()))
    })
    .derivative(derivative)
}

fn multiplied(x: &[Array]) -> Array {
    Array::build(&x[0].shape, |i| x[0].at(i) * x[1].at(i))
}

pub(super) const OWN: &[Case] = &[
    Case {
        name: "custom_derivative with rules for both modes",
        inputs: &[&[2, 3], &[2, 3]],
        f: |v| {
            let rule = Derivative::vjp(|[a, b], _, ct| [Some(ct * b), Some(ct * a)]);
            let rule = rule.and_jvp(|[a, b], _, [s, t]| s * b + a * t);
            v[0].tape().custom_derivative([v[0], v[1]], |[a, b]| a * b, rule)
        },
        reference: multiplied,
        integers: false,
        ..CASE
    },
    Case {
        name: "custom_op with rules for both modes",
        inputs: &[&[2, 3], &[2, 3]],
        f: |v| {
            let rule = Derivative::vjp(|[a, b], _, ct| [Some(ct * b), Some(ct * a)]);
            let op = product(rule.and_jvp(|[a, b], _, [s, t]| s * b + a * t));
            v[0].tape().custom_op(&op, [v[0], v[1]])
        },
        reference: multiplied,
        integers: false,
        ..CASE
    },
    Case {
        name: "custom_op with a forward rule that is transposed",
        inputs: &[&[2, 3], &[2, 3]],
        f: |v| {
            let op = product(Derivative::jvp(|[a, b], _, [s, t]| s * b + a * t));
            v[0].tape().custom_op(&op, [v[0], v[1]])
        },
        reference: multiplied,
        integers: false,
        ..CASE
    },
    Case {
        name: "custom_op with the derivative of a composition",
        inputs: &[&[2, 3], &[2, 3]],
        f: |v| v[0].tape().custom_op(&product(Derivative::of(|[a, b]| a * b)), [v[0], v[1]]),
        reference: multiplied,
        integers: false,
        ..CASE
    },
    Case {
        name: "with_derivative_of an equal value",
        inputs: &[&[2, 3], &[2, 3]],
        f: |v| (v[1] * v[0]).with_derivative_of(v[0] * v[1]),
        reference: multiplied,
        ..CASE
    },
    Case {
        name: "checkpoints, nested, around a scan and in its body",
        inputs: &[&[2], &[3, 2]],
        f: |v| {
            let tape = v[0].tape();
            tape.checkpoint(|| {
                let (last, ys) = tape.scan(v[0] * v[0], v[1], |s, x| {
                    let s = tape.checkpoint(|| tape.checkpoint(|| s * x) * s + v[0]);
                    (s, s * x)
                });
                last * ys.sum_axes(0)
            })
        },
        reference: |x| {
            Array::build(&[2], |i| {
                let (mut s, mut sum) = (x[0].at(i) * x[0].at(i), 0.0);
                for t in 0..3 {
                    s = s * x[1].at(&[t, i[0]]) * s + x[0].at(i);
                    sum += s * x[1].at(&[t, i[0]]);
                }
                s * sum
            })
        },
        integers: false,
        tolerance: 1e-14,
        ..CASE
    },
    Case {
        name: "the gradient of a checkpoint",
        inputs: &[&[2, 3]],
        f: |v| {
            let y = v[0].tape().checkpoint(|| v[0].square().square());
            let [g] = y.sum().grad([v[0]]);
            g
        },
        reference: |x| {
            Array::build(&x[0].shape, |i| {
                let (x, two) = (x[0].at(i), 2.0);
                two * (x * x) * (two * x)
            })
        },
        integers: false,
        tolerance: 1e-15,
        ..CASE
    },
];
