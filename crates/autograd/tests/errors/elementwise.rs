//! The elementwise table, operators, activations.

use crate::registry::{Case, case};

/// `floats!(name, ..)`: operations on one operand, which is a float.
macro_rules! floats {
    ($($name:ident)*) => {
        &[$(case!(
            DType,
            |i| i.n.$name(),
            concat!(stringify!($name), ": the operand is i64, expected f32 or f64; convert it: .cast(DType::F32)"),
        )),*]
    };
}
/// Operations on one operand, which is a number.
macro_rules! numbers {
    ($($name:ident)*) => {
        &[$(case!(
            DType,
            |i| i.b.$name(),
            concat!(stringify!($name), ": the operand is bool, expected a number; convert it: .cast(DType::F32)"),
        )),*]
    };
}
/// Operations on two operands: shapes that do not broadcast, element types that differ.
macro_rules! pairs {
    ($($name:ident)*) => {
        &[$(
            case!(
                Shape,
                |i| i.x.$name(i.w),
                concat!(
                    stringify!($name),
                    ": shapes [2, 3] and [2, 4] do not broadcast: axis -1 is 3 on the left and 4 on the right; \
                     make the extents equal or 1 (unsqueeze, reshape, expand)"
                ),
            ),
            case!(
                DType,
                |i| i.x.$name(i.d),
                concat!(
                    stringify!($name),
                    ": element types f32 and f64 are mixed; convert one side: .cast(DType::F64)"
                ),
            )
        ),*]
    };
}

pub(crate) static FLOATS: &[Case] = floats!(
    recip sqrt rsqrt exp expm1 log log2 log1p sin cos atan tanh sigmoid log_sigmoid softplus erf floor ceil trunc round
    silu mish softsign selu gelu_tanh hard_sigmoid gelu
);
pub(crate) static NUMBERS: &[Case] = numbers!(neg abs sign square relu);
pub(crate) static PAIRS: &[Case] = pairs!(add sub mul div pow maximum minimum lt le gt ge eq ne);

const BROADCAST: &str = "add: shapes [2, 3] and [2, 4] do not broadcast: axis -1 is 3 on the left and 4 on the right; \
                         make the extents equal or 1 (unsqueeze, reshape, expand)";

pub(crate) static CASES: &[Case] = &[
    // Operators.
    case!(Shape, |i| i.x + i.w, BROADCAST),
    case!(DType, |i| i.x - i.n, "sub: element types f32 and i64 are mixed; convert one side: .cast(DType::F32)"),
    case!(DType, |i| i.b + i.b, "add: the operand is bool, expected a number; convert it: .cast(DType::F32)"),
    case!(DType, |i| i.b * 1.0, "mul: the operand is bool, expected a number; convert it: .cast(DType::F32)"),
    case!(DType, |i| i.b - 0.0, "sub: the operand is bool, expected a number; convert it: .cast(DType::F32)"),
    case!(DType, |i| i.n / 1, "div: the operand is i64, expected f32 or f64; convert it: .cast(DType::F32)"),
    case!(DType, |i| -i.b, "neg: the operand is bool, expected a number; convert it: .cast(DType::F32)"),
    case!(
        DType,
        |i| i.n + 0.5,
        "add: the number 0.5 is not an integer, but takes the place of an i64; \
         cast the other operand to a float type first: .cast(DType::F32)"
    ),
    case!(
        DType,
        |i| 0.5f64 * i.n,
        "mul: the number 0.5 is not an integer, but takes the place of an i64; \
         cast the other operand to a float type first: .cast(DType::F32)"
    ),
    case!(
        DType,
        |i| i.n.lt(f64::NAN),
        "lt: the number NaN is not an integer, but takes the place of an i64; \
         cast the other operand to a float type first: .cast(DType::F32)"
    ),
    case!(
        DType,
        |i| i.n - 1e17,
        "sub: the number 100000000000000000 is beyond ±9e15, where integers in formulas end; \
         make it a value: tape.constant(number)"
    ),
    // Truth values.
    case!(DType, |i| i.b.and(i.x), "and: an operand is f32, expected bool; compare it with something: x.gt(0.0)"),
    case!(DType, |i| i.x.or(i.b), "or: an operand is f32, expected bool; compare it with something: x.gt(0.0)"),
    case!(DType, |i| i.n.not(), "not: an operand is i64, expected bool; compare it with something: x.gt(0.0)"),
    case!(
        DType,
        |i| i.x.select(i.x, 0.0),
        "select: the condition is f32, expected bool; compare it with something: x.gt(0.0)"
    ),
    case!(
        DType,
        |i| i.b.select(i.x, i.d),
        "select: element types f32 and f64 are mixed; convert one side: .cast(DType::F64)"
    ),
    case!(
        DType,
        |i| i.b.select(i.n, 0.5),
        "select: the number 0.5 is not an integer, but takes the place of an i64; \
         cast the other operand to a float type first: .cast(DType::F32)"
    ),
    case!(
        Shape,
        |i| i.b.select(i.x, i.w),
        "select: shapes [2, 3] and [2, 4] do not broadcast: axis -1 is 3 on the left and 4 on the right; \
         make the extents equal or 1 (unsqueeze, reshape, expand)"
    ),
    case!(
        DType,
        |i| i.n.powf(0.5),
        "powf: the number 0.5 is not an integer, but takes the place of an i64; \
         cast the other operand to a float type first: .cast(DType::F32)"
    ),
    case!(DType, |i| i.n.powf(3.0), "powf: the operand is i64, expected f32 or f64; convert it: .cast(DType::F32)"),
    // Activations with attributes.
    case!(
        DType,
        |i| i.n.leaky_relu(0.1),
        "leaky_relu: the operand is i64, expected f32 or f64; convert it: .cast(DType::F32)"
    ),
    case!(DType, |i| i.n.elu(1.0), "elu: the operand is i64, expected f32 or f64; convert it: .cast(DType::F32)"),
    case!(DType, |i| i.b.relu6(), "relu6: the operand is bool, expected a number; convert it: .cast(DType::F32)"),
    case!(
        DType,
        |i| i.b.hard_tanh(),
        "hard_tanh: the operand is bool, expected a number; convert it: .cast(DType::F32)"
    ),
    case!(
        Value,
        |i| i.x.clamp(1.0, 0.0),
        "clamp: nothing lies between 1 and 0; give the lower bound first; neither may be NaN"
    ),
    case!(
        Value,
        |i| i.x.clamp(f64::NAN, 0.0),
        "clamp: nothing lies between NaN and 0; give the lower bound first; neither may be NaN"
    ),
];
