//! Derivatives that cannot be given.

use crate::registry::{Case, case};
use wengert_autograd::DType;

pub(crate) static CASES: &[Case] = &[
    case!(
        Shape,
        |i| i.x.grad([i.x]),
        "grad: the value is [2, 3], expected a scalar; reduce it (sum, mean), or give cotangents to vjp"
    ),
    case!(DType, |i| i.n.grad([i.x]), "grad: the value is i64, which has no derivative; cast it to a float type first"),
    case!(
        Shape,
        |i| i.x.grad_or_none([i.x]),
        "grad_or_none: the value is [2, 3], expected a scalar; reduce it (sum, mean), or give cotangents to vjp"
    ),
    case!(
        Shape,
        |i| i.tape.zeros([2, 3], DType::F32).backward(),
        "backward: the value is [2, 3], expected a scalar; reduce it (sum, mean), or give cotangents to vjp"
    ),
    case!(
        Shape,
        |i| i.tape.zeros([2, 3], DType::F32).plan_backward(),
        "plan_backward: the value is [2, 3], expected a scalar; reduce it (sum, mean), or give cotangents to vjp"
    ),
    case!(
        Shape,
        |i| i.x.hessian(i.x),
        "hessian: the value is [2, 3], expected a scalar; reduce it (sum, mean), or give cotangents to vjp"
    ),
    case!(
        Shape,
        |i| i.x.hvp(i.x, i.x),
        "hvp: the value is [2, 3], expected a scalar; reduce it (sum, mean), or give cotangents to vjp"
    ),
    case!(
        Shape,
        |i| i.x.square().vjp(i.s, [i.x]),
        "vjp: the value is f32 [2, 3], its cotangent f32 []; give the cotangent the value's shape and (float) element type"
    ),
    case!(
        Shape,
        |i| i.x.square().jvp([(i.x, i.s)]),
        "jvp: input 0 is f32 [2, 3], its tangent f32 []; give the tangent the input's shape and element type"
    ),
    case!(
        DType,
        |i| i.x.jacobian(i.n),
        "jacobian: the value is f32, the input i64; derivatives are between values of one float type; cast one side"
    ),
    case!(
        DType,
        |i| i.b.jacobian_forward(i.x),
        "jacobian_forward: the value is bool, the input f32; \
         derivatives are between values of one float type; cast one side"
    ),
    case!(
        Shape,
        |i| i.x.hessian_or_none(i.x).unwrap(),
        "hessian_or_none: the value is [2, 3], expected a scalar; reduce it (sum, mean), or give cotangents to vjp"
    ),
    case!(
        Shape,
        |i| i.x.hvp_or_none(i.x, i.x).unwrap(),
        "hvp_or_none: the value is [2, 3], expected a scalar; reduce it (sum, mean), or give cotangents to vjp"
    ),
    case!(
        Shape,
        |i| i.x.square().vjp_or_none(i.s, [i.x]).map(|g| g.unwrap()),
        "vjp_or_none: the value is f32 [2, 3], its cotangent f32 []; \
         give the cotangent the value's shape and (float) element type"
    ),
    case!(
        Shape,
        |i| i.x.square().jvp_or_none([(i.x, i.s)]).unwrap(),
        "jvp_or_none: input 0 is f32 [2, 3], its tangent f32 []; \
         give the tangent the input's shape and element type"
    ),
    case!(
        DType,
        |i| i.x.jacobian_or_none(i.n).unwrap(),
        "jacobian_or_none: the value is f32, the input i64; \
         derivatives are between values of one float type; cast one side"
    ),
    case!(
        DType,
        |i| i.b.jacobian_forward_or_none(i.x).unwrap(),
        "jacobian_forward_or_none: the value is bool, the input f32; \
         derivatives are between values of one float type; cast one side"
    ),
    case!(
        Shape,
        |i| i.x.with_derivative_of(i.s),
        "with_derivative_of: the value is f32 [2, 3], what gives its derivative f32 []; \
         give both one shape and element type"
    ),
    case!(
        Shape,
        |i| i.tape.map(i.s, |x| x),
        "map: the scanned value is a scalar, expected a leading time axis; \
        capture it in the closure instead"
    ),
];
