//! Parts of axes, joining them, indices.

use crate::registry::{Case, case};

pub(crate) static CASES: &[Case] = &[
    case!(
        Shape,
        |i| i.x.narrow(1, 2, 2),
        "narrow: 2 entries from 2 on leave axis 1 of [2, 3], which has 3; start and length together are at most the extent"
    ),
    case!(
        Shape,
        |i| i.x.narrow(1, usize::MAX, 2),
        "narrow: 2 entries from 18446744073709551615 on leave axis 1 of [2, 3], which has 3; \
         start and length together are at most the extent"
    ),
    case!(Shape, |i| i.x.get(0, 2), "get: entry 2 is out of range: axis 0 of [2, 3] has 2; entries count from 0"),
    case!(
        Shape,
        |i| i.x.chunk::<2>(),
        "chunk: axis -1 of [2, 3] has 3 entries, not a multiple of 2; cut unequal parts with split"
    ),
    case!(Shape, |i| i.s.chunk::<2>(), "chunk: axis -1 is out of range for shape []; a scalar has no axes"),
    case!(
        Shape,
        |i| i.x.chunk_axis::<3>(0),
        "chunk_axis: axis 0 of [2, 3] has 2 entries, not a multiple of 3; cut unequal parts with split"
    ),
    case!(
        Shape,
        |i| i.x.chunk_axis::<3>(2),
        "chunk_axis: axis 2 is out of range for shape [2, 3]; axes go from -2 to 1"
    ),
    case!(Shape, |i| i.tape.concat(&[], 0), "concat: there is nothing to join; give at least one value"),
    case!(Shape, |i| i.x.concat([i.x], 2), "concat: axis 2 is out of range for shape [2, 3]; axes go from -2 to 1"),
    case!(DType, |i| i.x.concat([i.n], 0), "concat: part 0 is f32, part 1 is i64; convert one side: .cast(DType::F32)"),
    case!(
        Shape,
        |i| i.x.concat([i.x, i.w], 0),
        "concat: part 0 is [2, 3], part 2 is [2, 4]: only axis 0 may differ; \
         bring the others to one extent (narrow, pad, reshape)"
    ),
    case!(
        Shape,
        |i| i.tape.concat(&[i.s, i.s], 0),
        "concat: axis 0 is out of range for shape []; a scalar has no axes"
    ),
    case!(Shape, |i| i.tape.stack(&[], 0), "stack: there is nothing to join; give at least one value"),
    case!(
        Shape,
        |i| i.tape.stack(&[i.x, i.x], 3),
        "stack: position 3 for a new axis is out of range for shape [2, 3]; positions go from -3 to 2"
    ),
    case!(
        Shape,
        |i| i.tape.stack(&[i.x, i.w], 1),
        "stack: part 0 is [2, 3], part 1 is [2, 4], expected one shape; \
         bring them to one shape (narrow, pad, reshape)"
    ),
    case!(
        DType,
        |i| i.tape.stack(&[i.x, i.d], 1),
        "stack: part 0 is f32, part 1 is f64; convert one side: .cast(DType::F64)"
    ),
    // Indices.
    case!(DType, |i| i.x.gather(0, i.x), "gather: the index is f32, expected i64; convert it: .cast(DType::I64)"),
    case!(Shape, |i| i.x.gather(2, i.n), "gather: axis 2 is out of range for shape [2, 3]; axes go from -2 to 1"),
    case!(
        Shape,
        |i| i.x.gather(0, i.n.concat([i.n], 1)),
        "gather: the index is [2, 6], the value [2, 3]: expected the same rank and, but on axis 0, no larger extents; \
         unsqueeze or expand the index"
    ),
    case!(
        Shape,
        |i| i.x.gather(0, i.n.get(0, 0)),
        "gather: the index is [3], the value [2, 3]: expected the same rank and, but on axis 0, no larger extents; \
         unsqueeze or expand the index"
    ),
    case!(
        Shape,
        |i| i.x.scatter_add(0, i.n, i.w),
        "scatter_add: the source is [2, 4], the index [2, 3]; give the source the shape of the index"
    ),
    case!(
        DType,
        |i| i.x.scatter_add(0, i.n, i.d),
        "scatter_add: the source is f64, the value f32; convert one side: .cast(DType::F64)"
    ),
    case!(
        DType,
        |i| i.b.scatter_add(0, i.n, i.b),
        "scatter_add: the value is bool, expected a number; convert it: .cast(DType::I64)"
    ),
    case!(
        DType,
        |i| i.x.scatter_add(0, i.d, i.x),
        "scatter_add: the index is f64, expected i64; convert it: .cast(DType::I64)"
    ),
    case!(
        Shape,
        |i| i.x.scatter_add(-3, i.n, i.x),
        "scatter_add: axis -3 is out of range for shape [2, 3]; axes go from -2 to 1"
    ),
    case!(
        Shape,
        |i| i.x.index_select(2, i.n.get(0, 0)),
        "index_select: axis 2 is out of range for shape [2, 3]; axes go from -2 to 1"
    ),
    case!(
        Shape,
        |i| i.x.index_select(0, i.n),
        "index_select: the index is [2, 3], expected a list; reshape it to one axis"
    ),
    case!(
        DType,
        |i| i.x.index_select(0, i.x.get(0, 0)),
        "index_select: the index is f32, expected i64; convert it: .cast(DType::I64)"
    ),
];
