//! Operations that are computed in one kernel call with the one that alone uses them: bits as in plain arithmetic.

use super::support::{Rng, same_bits};
use crate::{DType, Tape, Tensor, Var};

type Formula = (&'static str, for<'t> fn([Var<'t>; 4]) -> Var<'t>, fn([f64; 4]) -> f64);

/// Each kind of call, and formulas next to it that are none.
const FORMULAS: &[Formula] = &[
    ("square", |[x, y, z, w]| x * y + z * w * z, |[x, y, z, w]| x * y + z * w * z),
    ("no square", |[x, y, z, w]| x * y + z * w * x, |[x, y, z, w]| x * y + z * w * x),
    ("difference of a square", |[x, y, z, w]| x * y - z * w * z, |[x, y, z, w]| x * y - z * w * z),
    ("root", |[x, y, z, _]| x.sqrt() * y + z, |[x, y, z, _]| x.sqrt() * y + z),
    ("less than a root", |[x, y, z, _]| x.sqrt() * y - z, |[x, y, z, _]| x.sqrt() * y - z),
    ("root behind", |[x, y, z, _]| z + x.sqrt() * y, |[x, y, z, _]| z + x.sqrt() * y),
    ("root as a factor", |[x, y, z, _]| y * x.sqrt() + z, |[x, y, z, _]| y * x.sqrt() + z),
    ("quotient", |[x, y, z, w]| z - x / y * w, |[x, y, z, w]| z - x / y * w),
    ("quotient in front", |[x, y, z, w]| x / y * w - z, |[x, y, z, w]| x / y * w - z),
    ("quotient added", |[x, y, z, w]| z + x / y * w, |[x, y, z, w]| z + x / y * w),
    ("quotient of itself", |[x, y, _, w]| x - x / y * w, |[x, y, _, w]| x - x / y * w),
    ("slope of a sigmoid", |[x, _, z, w]| x * (z * (w - z)), |[x, _, z, w]| x * (z * (w - z))),
    ("slope of a sigmoid in front", |[x, _, z, w]| (z * (w - z)) * x, |[x, _, z, w]| (z * (w - z)) * x),
    ("slope and product", |[x, y, z, w]| x * y * (z * (w - z)), |[x, y, z, w]| x * y * (z * (w - z))),
    ("no slope", |[x, y, z, w]| x * y * (x * (w - z)), |[x, y, z, w]| x * y * (x * (w - z))),
    ("slope the other way", |[x, y, z, w]| x * y * (z * (z - w)), |[x, y, z, w]| x * y * (z * (z - w))),
    ("slope of a tanh", |[x, _, z, w]| x * (w - z * z), |[x, _, z, w]| x * (w - z * z)),
    ("slope and sum", |[x, y, z, w]| (x + y) * (w - z.square()), |[x, y, z, w]| (x + y) * (w - z * z)),
    ("slope of squares", |[x, y, z, w]| x * y * (w - z.square()), |[x, y, z, w]| x * y * (w - z * z)),
    ("square less a number", |[x, y, z, w]| x * y * (z.square() - w), |[x, y, z, w]| x * y * (z * z - w)),
    ("two slopes", |[x, _, z, w]| (x * (w - x)) * (z * (w - z)), |[x, _, z, w]| (x * (w - x)) * (z * (w - z))),
    ("two roots", |[x, y, z, w]| x.sqrt() * y + z.sqrt() * w, |[x, y, z, w]| x.sqrt() * y + z.sqrt() * w),
    (
        "an update",
        |[x, y, z, w]| x - (y * w + z * 0.1) / ((y * w + z * 0.1 * z).sqrt() * 1.5 + 0.25) * w,
        |[x, y, z, w]| x - (y * w + z * 0.1) / ((y * w + z * 0.1 * z).sqrt() * 1.5 + 0.25) * w,
    ),
];

#[test]
fn joined_operations_have_the_bits_of_plain_arithmetic() {
    let mut rng = Rng::new(7);
    // Short, ragged and long rows; one run of elements that is longer than a cache.
    for shape in [vec![3], vec![5, 16], vec![7, 83], vec![300, 300]] {
        let n: usize = shape.iter().product();
        let special = [0.0, -0.0, f64::INFINITY, -1.0, f64::NAN];
        let mut draw = |i: usize| if n < 500 && i.is_multiple_of(7) { *rng.pick(&special) } else { rng.unit() * 3.0 };
        let values: [Vec<f64>; 4] = std::array::from_fn(|_| (0..n).map(&mut draw).collect());
        // Which operands are one number.
        for numbers in 0..16u8 {
            let is_number = |operand: usize| numbers & 1 << operand != 0;
            let number = |operand: usize| 0.5 + operand as f64;
            let tape = Tape::new();
            let operands: [Var<'_>; 4] = std::array::from_fn(|operand| match is_number(operand) {
                true => tape.full([], number(operand), DType::F64),
                false => tape.var(Tensor::from_vec(values[operand].clone(), &shape[..]).unwrap()),
            });
            for (name, record, plain) in FORMULAS {
                let found = same_bits(&tape, &[record(operands)], name).remove(0).to_vec::<f64>().unwrap();
                for i in 0..found.len() {
                    let at = |operand: usize| if is_number(operand) { number(operand) } else { values[operand][i] };
                    let expected = plain([0, 1, 2, 3].map(at));
                    let equal = found[i].to_bits() == expected.to_bits() || found[i].is_nan() && expected.is_nan();
                    assert!(equal, "{name}, numbers {numbers:04b}, {shape:?}, element {i}: {} {expected}", found[i]);
                }
            }
        }
    }
}

/// The functions themselves are tested elsewhere: here, that their arguments are what they are without joining.
#[test]
fn squashed_sums_are_the_functions_of_the_sums() {
    let mut rng = Rng::new(8);
    for dtype in [DType::F32, DType::F64] {
        for shape in [[1, 3], [5, 16], [7, 83]] {
            let tape = Tape::new();
            let mut draw = |shape: [usize; 2]| {
                let values: Vec<f64> = (0..shape[0] * shape[1]).map(|_| rng.unit() * 4.0 - 2.0).collect();
                tape.var(Tensor::from_vec(values, shape).unwrap().cast(dtype))
            };
            let (x, y, bias) = (draw(shape), draw(shape), draw([1, shape[1]]));
            let sum = x + y;
            let found = [
                (x + y).sigmoid(),
                (x + y + bias).sigmoid(),
                (bias + (x + y)).tanh(),
                (x * y + bias).tanh(),
                (x - y).tanh(),
                (x + y + 1.0).sigmoid(),
            ];
            same_bits(&tape, &found, "squashed sums");
            // A sum that is wanted as well is a value of its own.
            same_bits(&tape, &[sum.tanh(), sum], "a sum and its function");
        }
    }
}

#[test]
fn what_is_used_or_asked_elsewhere_is_computed_all_the_same() {
    let tape = Tape::new();
    let [x, y, z] = [0.3, 1.7, 2.9].map(|value| tape.var(Tensor::full([9, 20], value, DType::F64)));
    let (quotient, root, product) = (x / y, x.sqrt(), z * 0.5);
    let asked = [z - quotient * 0.5, root * y + z, x * y + product * z, quotient, root.exp(), product];
    let found = same_bits(&tape, &asked, "shared parts");
    let expected = [
        2.9 - 0.3 / 1.7 * 0.5,
        0.3f64.sqrt() * 1.7 + 2.9,
        0.3 * 1.7 + 2.9 * 0.5 * 2.9,
        0.3 / 1.7,
        0.3f64.sqrt().exp(),
        2.9 * 0.5,
    ];
    for (found, expected) in found.iter().zip(expected) {
        let found = found.to_vec::<f64>().unwrap();
        assert!(found.iter().all(|value| (value - expected).abs() < 1e-15), "{} {expected}", found[0]);
    }
}
