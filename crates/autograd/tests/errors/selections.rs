//! Slices, sorts, windows, named sums, norms; more of their texts are in `tests/selections.rs`.

use crate::registry::{Case, case};
use wengert_autograd::{Conv1dOptions, DType};

pub(crate) static CASES: &[Case] = &[
    case!(Shape, |i| i.x.argmax_keep(2), "argmax_keep: axis 2 is out of range for shape [2, 3]; axes go from -2 to 1"),
    case!(Shape, |i| i.x.argmin_keep(2), "argmin_keep: axis 2 is out of range for shape [2, 3]; axes go from -2 to 1"),
    case!(Shape, |i| i.x.prod_keep(2), "prod_keep: axis 2 is out of range for shape [2, 3]; axes go from -2 to 1"),
    case!(Shape, |i| i.x.var_keep(2, 1), "var_keep: axis 2 is out of range for shape [2, 3]; axes go from -2 to 1"),
    case!(Shape, |i| i.x.std_keep(2, 1), "std_keep: axis 2 is out of range for shape [2, 3]; axes go from -2 to 1"),
    case!(Shape, |i| i.x.norm_keep(2), "norm_keep: axis 2 is out of range for shape [2, 3]; axes go from -2 to 1"),
    case!(
        Shape,
        |i| i.x.vector_norm_keep(3.0, 2),
        "vector_norm_keep: axis 2 is out of range for shape [2, 3]; axes go from -2 to 1"
    ),
    case!(
        Shape,
        |i| i.x.logsumexp_keep(2),
        "logsumexp_keep: axis 2 is out of range for shape [2, 3]; axes go from -2 to 1"
    ),
    case!(Shape, |i| i.x.slice(2, .., 2), "slice: axis 2 is out of range for shape [2, 3]; axes go from -2 to 1"),
    case!(Shape, |i| i.x.sort(2, false), "sort: axis 2 is out of range for shape [2, 3]; axes go from -2 to 1"),
    case!(Shape, |i| i.x.argsort(2, false), "argsort: axis 2 is out of range for shape [2, 3]; axes go from -2 to 1"),
    case!(Shape, |i| i.x.topk(1, 2, true), "topk: axis 2 is out of range for shape [2, 3]; axes go from -2 to 1"),
    case!(Shape, |i| i.x.unfold(2, 1, 1), "unfold: axis 2 is out of range for shape [2, 3]; axes go from -2 to 1"),
    case!(
        Value,
        |i| i.x.vector_norm(-1.0, 0),
        "vector_norm: the order is -1, expected a number from 0 to infinity; give 2.0 for the Euclidean norm"
    ),
    case!(
        DType,
        |i| i.n.hard_swish(),
        "hard_swish: the operand is i64, expected f32 or f64; convert it: .cast(DType::F32)"
    ),
    case!(
        Value,
        |i| i.tape.bernoulli(i.key, 1.5, [2], DType::F32),
        "bernoulli: the probability is 1.5, expected a number from 0 to 1; divide a percentage by 100"
    ),
    case!(
        Shape,
        |i| i.s.conv1d(i.x, Conv1dOptions::default()),
        "conv1d: the input is [], expected [N, C, L] or [C, L]; reshape or permute it"
    ),
    case!(
        Value,
        |i| i.tape.einsum("ij,jk", [i.x]),
        "einsum: 'ij,jk' has groups for 2 operands, 1 are given; write one group of letters for each operand, with commas between \
         them"
    ),
];
