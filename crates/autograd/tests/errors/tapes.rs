//! Leaves, constants, draws, parameters, reading values.

use crate::registry::{Case, case};
use wengert_autograd::{DType, Param, ScanOptions, Tensor};

/// A tensor of more axes than the kernels walk.
fn deep() -> Tensor {
    Tensor::zeros(vec![1; 100], DType::F32)
}

pub(crate) static CASES: &[Case] = &[
    case!(Shape, |i| i.tape.var(deep()), "var: a value of 100 axes, at most 12 are possible"),
    case!(Shape, |i| i.tape.constant(deep()), "constant: a value of 100 axes, at most 12 are possible"),
    case!(Shape, |i| i.tape.param(&Param::new(deep())), "param: a value of 100 axes, at most 12 are possible"),
    case!(Shape, |i| i.x + &deep(), "add: a value of 100 axes, at most 12 are possible"),
    case!(
        Shape,
        |i| i.tape.zeros([1 << 60], DType::F32),
        "zeros: the shape [1152921504606846976] holds more than memory can"
    ),
    case!(
        Shape,
        |i| i.tape.ones([usize::MAX, usize::MAX], DType::F32),
        "ones: the shape [18446744073709551615, 18446744073709551615] holds more than memory can"
    ),
    case!(
        DType,
        |i| i.tape.full([2], 0.5, DType::I64),
        "full: the number 0.5 is not an integer, but takes the place of an i64; \
         cast the other operand to a float type first: .cast(DType::F32)"
    ),
    case!(
        Memory,
        |i| i.tape.arange(1 << 60),
        "arange: 1152921504606846976 integers are more than memory holds; compute them in parts"
    ),
    case!(
        DType,
        |i| i.tape.uniform(i.x, [2], DType::F32),
        "uniform: the key is f32 [2, 3], expected an i64 without axes; make one with tape.constant(42i64)"
    ),
    case!(
        DType,
        |i| i.tape.uniform(7, [2], DType::I64),
        "uniform: draws are asked as i64, expected f32 or f64; cast the draws: .cast(DType::I64)"
    ),
    case!(
        DType,
        |i| i.tape.normal(i.n, [2], DType::F32),
        "normal: the key is i64 [2, 3], expected an i64 without axes; make one with tape.constant(42i64)"
    ),
    case!(
        DType,
        |i| i.tape.normal(7, [2], DType::Bool),
        "normal: draws are asked as bool, expected f32 or f64; cast the draws: .cast(DType::Bool)"
    ),
    case!(
        DType,
        |i| i.n.sum().fold_in(0.5),
        "fold_in: the number 0.5 is not an integer, but takes the place of an i64; \
         cast the other operand to a float type first: .cast(DType::F32)"
    ),
    case!(
        DType,
        |i| i.s.fold_in(1),
        "fold_in: the key is f32 [], expected an i64 without axes; make one with tape.constant(42i64)"
    ),
    case!(
        DType,
        |i| i.s.next_key(),
        "next_key: the key is f32 [], expected an i64 without axes; make one with tape.constant(42i64)"
    ),
    case!(
        Shape,
        |i| {
            let p = Param::new(Tensor::zeros([2], DType::F32));
            i.tape.bind(&p, i.x, || i.tape.param(&p))
        },
        "bind: the parameter is f32 [2], the value bound to it f32 [2, 3]; \
         bind a value of the parameter's shape and element type"
    ),
    case!(
        Shape,
        |i| i.x.dims::<3>(),
        "dims: expected 3 axes, found the shape [2, 3]; name as many extents as there are axes"
    ),
    case!(
        Shape,
        |i| i.x.item(),
        "item: the value [2, 3] has 6 elements, expected one; reduce it first (sum, mean), or use value()"
    ),
    // Scans.
    case!(
        Shape,
        |i| i.tape.scan(i.s, (), |s, ()| (s, s)),
        "scan: nothing is scanned over, so the number of steps is unknown; \
         name it: scan_with(ScanOptions::default().length(n), ..)"
    ),
    case!(
        Shape,
        |i| i.tape.scan_with(ScanOptions::default().length(4), i.s, i.x, |s, _| (s, s)),
        "scan_with: the scanned value is [2, 3]: 2 steps, but the options ask for 4; \
         give all scanned values one leading extent"
    ),
];
