//! Matrix products, reductions, and what is composed of them.

use crate::registry::{Case, case};

/// `axes!(|input| formula, ..)`: the axis 2 of `[2, 3]`, in operations of these names.
macro_rules! axes {
    ($($name:ident($($rest:expr),*))*) => {
        &[$(case!(
            Shape,
            |i| i.x.$name(2 $(, $rest)*),
            concat!(stringify!($name), ": axis 2 is out of range for shape [2, 3]; axes go from -2 to 1"),
        )),*]
    };
}

pub(crate) static AXES: &[Case] = axes!(
    sum_axes() mean_axes() max_axes() min_axes() prod_axes() sum_keep() mean_keep() max_keep() min_keep()
    softmax() log_softmax() logsumexp() norm() var_axes(1) std_axes(1)
    cumsum() cumprod() argmax() argmin() flip() unbind() last()
    pad(1, 1, 0.0) roll(1) split(&[1]) get(0) narrow(0, 1)
);

pub(crate) static CASES: &[Case] = &[
    case!(
        Shape,
        |i| i.x.matmul(i.x),
        "matmul: shapes [2, 3] and [2, 3] do not fit: the left has 3 columns, the right 2 rows; \
         transpose the right operand: .t()"
    ),
    case!(
        Shape,
        |i| i.x.matmul(i.w),
        "matmul: shapes [2, 3] and [2, 4] do not fit: the left has 3 columns, the right 2 rows; \
         transpose or reshape an operand"
    ),
    case!(
        Shape,
        |i| i.x.get(0, 0).matmul(i.w),
        "matmul: shapes [1, 3] and [2, 4] do not fit: the left has 3 columns, the right 2 rows; \
         transpose or reshape an operand"
    ),
    case!(
        Shape,
        |i| i.x.expand([2, 2, 3]).matmul(i.x.t().expand([3, 3, 2])),
        "matmul: the batch axes of [2, 2, 3] and [3, 3, 2] do not broadcast; make the extents equal or 1"
    ),
    case!(
        Shape,
        |i| i.s.matmul(i.x),
        "matmul: shapes [] and [2, 3]: an operand has no axes; multiply by a scalar with *"
    ),
    case!(
        DType,
        |i| i.x.matmul(i.n.t()),
        "matmul: element types f32 and i64 are mixed; convert one side: .cast(DType::F32)"
    ),
    case!(
        DType,
        |i| i.n.matmul(i.n.t()),
        "matmul: the operands are i64, expected f32 or f64; convert them: .cast(DType::F32)"
    ),
    // Axes.
    case!(
        Shape,
        |i| i.x.max_axes(isize::MIN),
        "max_axes: axis -9223372036854775808 is out of range for shape [2, 3]; axes go from -2 to 1"
    ),
    case!(Shape, |i| i.s.sum_axes(0), "sum_axes: axis 0 is out of range for shape []; a scalar has no axes"),
    case!(Shape, |i| i.x.mean_axes([0, -2]), "mean_axes: axis -2 of [2, 3] is named twice; name each axis once"),
    case!(Shape, |i| i.x.sum_keep([1, 1]), "sum_keep: axis 1 of [2, 3] is named twice; name each axis once"),
    case!(Shape, |i| i.x.logsumexp([0, 0]), "logsumexp: axis 0 of [2, 3] is named twice; name each axis once"),
    case!(Shape, |i| i.s.layer_norm(1e-5), "layer_norm: axis -1 is out of range for shape []; a scalar has no axes"),
    case!(Shape, |i| i.s.rms_norm(1e-5), "rms_norm: axis -1 is out of range for shape []; a scalar has no axes"),
    case!(
        Shape,
        |i| i.x.cosine_similarity(i.x, 2),
        "cosine_similarity: axis 2 is out of range for shape [2, 3]; axes go from -2 to 1"
    ),
    case!(
        Shape,
        |i| i.x.cosine_similarity(i.w, 0),
        "cosine_similarity: shapes [2, 3] and [2, 4] do not broadcast: axis -1 is 3 on the left and 4 on the right; \
         make the extents equal or 1 (unsqueeze, reshape, expand)"
    ),
    // Nothing to choose from.
    case!(
        Shape,
        |i| i.x.narrow(1, 0, 0).max_axes(1),
        "max_axes: the value [2, 0] has no elements to choose from; treat the empty case apart"
    ),
    case!(
        Shape,
        |i| i.x.narrow(1, 0, 0).min_keep(()),
        "min_keep: the value [2, 0] has no elements to choose from; treat the empty case apart"
    ),
    case!(
        Shape,
        |i| i.x.narrow(1, 0, 0).argmax(1),
        "argmax: the value [2, 0] has no elements to choose from; treat the empty case apart"
    ),
    case!(Shape, |i| i.x.narrow(0, 0, 0).last(0), "last: axis 0 of [0, 3] has no entries; treat the empty case apart"),
    // Element types.
    case!(
        DType,
        |i| i.b.sum(),
        "sum: the operand is bool, expected a number; convert it: .cast(DType::I64) counts, .cast(DType::F32) averages"
    ),
    case!(
        DType,
        |i| i.b.cumsum(0),
        "cumsum: the operand is bool, expected a number; convert it: .cast(DType::I64) counts, .cast(DType::F32) averages"
    ),
    case!(
        DType,
        |i| i.b.argmin(0),
        "argmin: the operand is bool, expected a number; convert it: .cast(DType::I64) counts, .cast(DType::F32) averages"
    ),
    case!(DType, |i| i.n.mean(), "mean: the operand is i64, expected f32 or f64; convert it: .cast(DType::F32)"),
    case!(
        DType,
        |i| i.n.narrow(1, 0, 0).mean_axes(0),
        "mean_axes: the operand is i64, expected f32 or f64; convert it: .cast(DType::F32)"
    ),
    case!(
        DType,
        |i| i.n.var_axes(0, 1),
        "var_axes: the operand is i64, expected f32 or f64; convert it: .cast(DType::F32)"
    ),
    case!(DType, |i| i.n.softmax(0), "softmax: the operand is i64, expected f32 or f64; convert it: .cast(DType::F32)"),
    case!(
        DType,
        |i| i.n.narrow(1, 0, 0).softmax(1),
        "softmax: the operand is i64, expected f32 or f64; convert it: .cast(DType::F32)"
    ),
    case!(
        DType,
        |i| i.n.log_softmax(0),
        "log_softmax: the operand is i64, expected f32 or f64; convert it: .cast(DType::F32)"
    ),
    case!(
        DType,
        |i| i.n.layer_norm(1e-5),
        "layer_norm: the operand is i64, expected f32 or f64; convert it: .cast(DType::F32)"
    ),
];
