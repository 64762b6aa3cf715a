//! Views and rearrangements.

use crate::registry::{Case, case};
use wengert_autograd::DType;

pub(crate) static CASES: &[Case] = &[
    case!(
        Shape,
        |i| i.x.reshape([4]),
        "reshape: the value [2, 3] has 6 elements, the shape [4] holds 4; give a shape of as many elements"
    ),
    case!(
        Shape,
        |i| i.x.reshape([usize::MAX, 2]),
        "reshape: the shape [18446744073709551615, 2] holds more than memory can"
    ),
    case!(
        Shape,
        |i| i.x.expand([2, 4]),
        "expand: the value [2, 3] does not broadcast to [2, 4]; from the last axis on, extents agree or are 1"
    ),
    case!(
        Shape,
        |i| i.s.expand([1 << 40, 1 << 40]),
        "expand: the shape [1099511627776, 1099511627776] holds more than memory can"
    ),
    case!(
        Shape,
        |i| i.x.permute(&[0, 0]),
        "permute: [0, 0] is not a permutation of the axes of [2, 3]; name each of 0..2 once"
    ),
    case!(Shape, |i| i.x.transpose(0, 2), "transpose: axis 2 is out of range for shape [2, 3]; axes go from -2 to 1"),
    case!(Shape, |i| i.x.transpose(-3, 2), "transpose: axis -3 is out of range for shape [2, 3]; axes go from -2 to 1"),
    case!(Shape, |i| i.s.t(), "t: the value [] is not a matrix; give it two axes or more (unsqueeze, reshape)"),
    case!(
        Shape,
        |i| i.x.unsqueeze(3),
        "unsqueeze: position 3 for a new axis is out of range for shape [2, 3]; positions go from -3 to 2"
    ),
    case!(
        Shape,
        |i| i.x.squeeze(0),
        "squeeze: axis 0 of [2, 3] has 2 entries, expected one; choose an entry with get, or reduce the axis"
    ),
    case!(Shape, |i| i.x.squeeze(2), "squeeze: axis 2 is out of range for shape [2, 3]; axes go from -2 to 1"),
    case!(
        Shape,
        |i| i.x.split(1, &[1, 1]),
        "split: the parts [1, 1] have 2 entries, axis 1 of [2, 3] has 3; give extents that add up to the axis's"
    ),
    case!(
        Shape,
        |i| i.x.split(1, &[]),
        "split: the parts [] have 0 entries, axis 1 of [2, 3] has 3; give extents that add up to the axis's"
    ),
    case!(
        Shape,
        |i| i.x.expand([1 << 33, 2, 3]).unbind(0),
        "unbind: axis 0 of [8589934592, 2, 3] has more entries than a tape has places; loop over it with scan"
    ),
    case!(
        Shape,
        |i| i.x.repeat(&[2]),
        "repeat: 1 counts are given for the 2 axes of [2, 3]; give one count for each axis"
    ),
    case!(
        Shape,
        |i| i.x.repeat(&[1 << 60, 1 << 60]),
        "repeat: the shape [1152921504606846976, 2, 1152921504606846976, 3] holds more than memory can"
    ),
    case!(
        Shape,
        |i| i.x.pad(0, usize::MAX, 1, 0.0),
        "pad: the shape [18446744073709551615, 3] holds more than memory can"
    ),
    case!(
        DType,
        |i| i.n.pad(0, 1, 1, 0.5),
        "pad: the number 0.5 is not an integer, but takes the place of an i64; \
         cast the other operand to a float type first: .cast(DType::F32)"
    ),
    case!(Shape, |i| i.s.tril(0), "tril: the value [] is not a matrix; give it two axes or more (unsqueeze, reshape)"),
    case!(
        Shape,
        |i| i.x.get(0, 0).triu(0),
        "triu: the value [3] is not a matrix; give it two axes or more (unsqueeze, reshape)"
    ),
    case!(
        DType,
        |i| i.x.one_hot(3, DType::F32),
        "one_hot: the index is f32, expected i64; convert it: .cast(DType::I64)"
    ),
    case!(
        Shape,
        |i| i.n.one_hot(usize::MAX, DType::F32),
        "one_hot: the shape [2, 3, 18446744073709551615] holds more than memory can"
    ),
];
