//! NaN, infinities, signed zeros, denormals and the ends of the integers, against a reference written with std.

use super::elementwise::{apply, operand_types, result_type};
use super::support::same_bits;
use crate::ops::{Row, TABLE};
use crate::{DType, Tape, Tensor, Var};

const SPECIAL: [f64; 17] = [
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    0.0,
    -0.0,
    1.0,
    -1.0,
    2.0,
    -3.0,
    0.5,
    -0.5,
    2.5,
    -1.5,
    1e-3,
    -40.0,
    90.0,
    800.0,
];

/// What the row's documentation says, for floats. A row without an entry here fails the tests.
fn reference(name: &str, x: f64, y: f64, z: f64) -> f64 {
    let truth = |holds: bool| holds as u8 as f64;
    match name {
        "add" => x + y,
        "sub" => x - y,
        "mul" => x * y,
        "div" => x / y,
        "pow" => x.powf(y),
        "maximum" => {
            if x.is_nan() || x > y {
                x
            } else {
                y
            }
        }
        "minimum" => {
            if x.is_nan() || x < y {
                x
            } else {
                y
            }
        }
        "neg" => -x,
        "abs" => x.abs(),
        "sign" => {
            if x == 0.0 || x.is_nan() {
                x + 0.0
            } else {
                x.signum()
            }
        }
        "square" => x * x,
        "recip" => 1.0 / x,
        "sqrt" => x.sqrt(),
        "rsqrt" => 1.0 / x.sqrt(),
        "exp" => x.exp(),
        "expm1" => x.exp_m1(),
        "log" => x.ln(),
        "log2" => x.log2(),
        "log1p" => x.ln_1p(),
        "sin" => x.sin(),
        "cos" => x.cos(),
        "atan" => x.atan(),
        "tanh" => x.tanh(),
        "sigmoid" => 1.0 / (1.0 + (-x).exp()),
        // No special case is needed, as NaN passes through the exponential.
        "log_sigmoid" => x.min(0.0) - (-x.abs()).exp().ln_1p(),
        "softplus" => x.max(0.0) + (-x.abs()).exp().ln_1p(),
        "erf" => erf(x),
        "relu" => {
            if x > 0.0 || x.is_nan() {
                x
            } else {
                0.0
            }
        }
        "floor" => x.floor(),
        "ceil" => x.ceil(),
        "trunc" => x.trunc(),
        "round" => x.round_ties_even(),
        "select" => {
            if x != 0.0 {
                y
            } else {
                z
            }
        }
        "lt" => truth(x < y),
        "le" => truth(x <= y),
        "gt" => truth(x > y),
        "ge" => truth(x >= y),
        "eq" => truth(x == y),
        "ne" => truth(x != y),
        "and" => truth(x != 0.0 && y != 0.0),
        "or" => truth(x != 0.0 || y != 0.0),
        "not" => truth(x == 0.0),
        _ => panic!("no reference for '{name}': add what its documentation promises"),
    }
}

/// As [`reference`], for integers, whose arithmetic wraps.
fn integer_reference(name: &str, x: i64, y: i64, z: i64) -> i64 {
    match name {
        "add" => x.wrapping_add(y),
        "sub" => x.wrapping_sub(y),
        "mul" => x.wrapping_mul(y),
        "maximum" => x.max(y),
        "minimum" => x.min(y),
        "neg" => x.wrapping_neg(),
        "abs" => x.wrapping_abs(),
        "sign" => x.signum(),
        "square" => x.wrapping_mul(x),
        "relu" => x.max(0),
        "select" => {
            if x != 0 {
                y
            } else {
                z
            }
        }
        "lt" => (x < y) as i64,
        "le" => (x <= y) as i64,
        "gt" => (x > y) as i64,
        "ge" => (x >= y) as i64,
        "eq" => (x == y) as i64,
        "ne" => (x != y) as i64,
        _ => panic!("no integer reference for '{name}': add what its documentation promises"),
    }
}

/// Abramowitz and Stegun: the Maclaurin series 7.1.5, and where its terms grow large the continued fraction 7.1.14.
pub(super) fn erf(x: f64) -> f64 {
    if x.is_nan() || x == 0.0 {
        return x;
    }
    if x.abs() > 2.5 {
        let fraction = (1..=80).rev().fold(x.abs(), |tail, k| x.abs() + 0.5 * k as f64 / tail);
        return (1.0 - (-x * x).exp() / (std::f64::consts::PI.sqrt() * fraction)).copysign(x);
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / n as f64;
        sum += term / (2 * n + 1) as f64;
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

/// All combinations of special values as columns of operands; conditions and truth values take 0 and 1.
fn operands(types: &[DType], values: &[f64]) -> Vec<Vec<f64>> {
    let mut columns: Vec<Vec<f64>> = vec![Vec::new(); types.len()];
    let lists: Vec<Vec<f64>> =
        types.iter().map(|t| if *t == DType::Bool { vec![0.0, 1.0] } else { values.to_vec() }).collect();
    let total: usize = lists.iter().map(Vec::len).product();
    for mut at in 0..total {
        for (list, column) in lists.iter().zip(&mut columns) {
            column.push(list[at % list.len()]);
            at /= list.len();
        }
    }
    columns
}

fn close(found: f64, wanted: f64, relative: f64, smallest: f64) -> bool {
    if wanted.is_nan() || wanted.is_infinite() || wanted == 0.0 {
        return found.is_nan() && wanted.is_nan() || found.to_bits() == wanted.to_bits();
    }
    (found - wanted).abs() <= relative * wanted.abs() + 4.0 * smallest
}

fn check_floats(row: &'static Row, lane: DType) {
    let Some(types) = operand_types(row, lane) else { return };
    let mut values = SPECIAL.to_vec();
    let (largest, normal, smallest, relative) = match lane {
        DType::F64 => (f64::MAX, f64::MIN_POSITIVE, 5e-324, 2e-13),
        _ => (f32::MAX as f64, f32::MIN_POSITIVE as f64, f32::from_bits(1) as f64, 2e-6),
    };
    values.extend([largest, -largest, normal, -normal, normal / 4.0, -normal / 4.0, smallest, -smallest]);
    // The functions of an angle are specified up to 2^20 only.
    let angle = matches!(row.name, "sin" | "cos");
    if angle {
        values.retain(|v| v.abs() < 1048576.0 || !v.is_finite());
    }
    let columns = operands(&types, &values);
    let tape = Tape::new();
    let n = columns[0].len();
    let vars: Vec<Var<'_>> = columns
        .iter()
        .zip(&types)
        .map(|(column, dtype)| tape.constant(Tensor::from_vec(column.clone(), [n]).unwrap().cast(*dtype)))
        .collect();
    let found = same_bits(&tape, &[apply(row, &vars)], row.name).remove(0);
    assert_eq!(found.dtype(), result_type(row, lane));
    for (i, found) in found.to_f64_vec().into_iter().enumerate() {
        let arg = |k: usize| columns.get(k).map_or(0.0, |column| column[i]);
        let wanted = reference(row.name, arg(0), arg(1), arg(2));
        let wanted = if lane == DType::F32 { wanted as f32 as f64 } else { wanted };
        assert!(
            close(found, wanted, relative, smallest),
            "{}({:?}) in {lane} is {found:?}, the reference {wanted:?}",
            row.name,
            &[arg(0), arg(1), arg(2)][..types.len()]
        );
    }
}

#[test]
fn floats_follow_their_documentation() {
    for row in TABLE {
        check_floats(row, DType::F32);
        check_floats(row, DType::F64);
    }
}

#[test]
fn integers_wrap() {
    const VALUES: [i64; 9] = [i64::MIN, i64::MIN + 1, -3, -1, 0, 1, 7, i64::MAX - 1, i64::MAX];
    for row in TABLE {
        let Some(types) = operand_types(row, DType::I64) else { continue };
        // Positions in the list, so that no value passes through f64.
        let places: Vec<f64> = (0..VALUES.len()).map(|i| i as f64).collect();
        let columns: Vec<Vec<i64>> = operands(&types, &places)
            .into_iter()
            .zip(&types)
            .map(|(column, t)| {
                let value = |v: f64| if *t == DType::Bool { v as i64 } else { VALUES[v as usize] };
                column.into_iter().map(value).collect()
            })
            .collect();
        let tape = Tape::new();
        let n = columns[0].len();
        let vars: Vec<Var<'_>> = columns
            .iter()
            .zip(&types)
            .map(|(column, dtype)| tape.constant(Tensor::from_vec(column.clone(), [n]).unwrap().cast(*dtype)))
            .collect();
        let found =
            same_bits(&tape, &[apply(row, &vars)], row.name).remove(0).cast(DType::I64).to_vec::<i64>().unwrap();
        for (i, found) in found.into_iter().enumerate() {
            let arg = |k: usize| columns.get(k).map_or(0, |column| column[i]);
            let wanted = integer_reference(row.name, arg(0), arg(1), arg(2));
            assert_eq!(found, wanted, "{}({}, {}, {})", row.name, arg(0), arg(1), arg(2));
        }
    }
}

/// What the compositions promise at the edges of their range.
#[test]
fn reductions_and_compositions_keep_special_values() {
    let tape = Tape::new();
    let of = |values: &[f64]| tape.constant(Tensor::from_slice(values, [values.len()]).unwrap());
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    let item = |v: Var<'_>| v.item().unwrap();
    assert!(item(of(&[1.0, nan, 3.0]).max_axes(0)).is_nan());
    assert!(item(of(&[1.0, nan, 3.0]).min_axes(0)).is_nan());
    assert!(item(of(&[inf, -inf]).sum()).is_nan());
    assert_eq!(item(of(&[-inf, -inf]).max_axes(0)), -inf);
    assert_eq!(item(of(&[]).sum()).to_bits(), 0);
    assert!(item(of(&[]).mean()).is_nan());
    let large = of(&[1000.0, 999.0]).softmax(0).value().unwrap().to_vec::<f64>().unwrap();
    assert!((large[0] - 1.0 / (1.0 + (-1f64).exp())).abs() < 1e-15, "{large:?}");
    let masked = of(&[-inf, 0.0, 0.0]).softmax(0).value().unwrap().to_vec::<f64>().unwrap();
    assert_eq!(masked, [0.0, 0.5, 0.5]);
    let log = of(&[-1000.0, 0.0]).log_softmax(0).value().unwrap().to_vec::<f64>().unwrap();
    assert_eq!(log, [-1000.0, 0.0]);
}

/// The branch not taken of a `select` leaves no trace, whatever its value.
#[test]
fn a_branch_not_taken_gives_no_nan() {
    let tape = Tape::new();
    let inf = tape.var(f64::INFINITY);
    let y = tape.constant(true).select(tape.var(1.0f64), inf * 0.0);
    assert_eq!(y.item().unwrap(), 1.0);
    let z = tape.var(-1.0f64);
    let [dz] = (z.relu() * f64::INFINITY).grad([z]);
    assert_eq!(dz.item().unwrap(), 0.0, "the slope of relu does not multiply");
}

/// ∂²(x^y)/∂x∂y = x^(y−1)·(1 + y·log x), where y = 0 too; there are no numbers at x = 0.
#[test]
fn the_mixed_derivative_of_pow_at_exponent_0() {
    let tape = Tape::new();
    let x = tape.var(Tensor::from_slice(&[2.0, 0.25, 0.0, f64::NAN], [4]).unwrap());
    let y = tape.var(Tensor::from_slice(&[0.0; 4], [4]).unwrap());
    let [by_x, by_y] = x.pow(y).sum().grad([x, y]);
    assert_eq!(by_x.value().unwrap().to_f64_vec(), [0.0; 4]);
    assert_eq!(by_y.value().unwrap().to_f64_vec()[..2], [2f64.ln(), 0.25f64.ln()]);
    for mixed in [by_x.sum().grad([y]), by_y.sum().grad([x])] {
        assert_eq!(mixed[0].value().unwrap().to_f64_vec()[..2], [0.5, 4.0]);
    }
}

/// PyTorch's derivatives where the samples of the table do not go, for values, zeros of both signs and infinities that tie.
#[test]
fn kinks_of_rows() {
    let inf = f64::INFINITY;
    let both = |f: for<'t> fn(Var<'t>, Var<'t>) -> Var<'t>, x: f64, y: f64| {
        let tape = Tape::new();
        let (x, y) = (tape.var(x), tape.var(y));
        let [dx, dy] = (f(x, y) * 3).grad([x, y]);
        (dx.item().unwrap(), dy.item().unwrap(), f(x, y).jvp([(x, tape.constant(1.0f64))]).item().unwrap())
    };
    for (x, y) in [(1.5, 1.5), (0.0, -0.0), (inf, inf), (-inf, -inf)] {
        assert_eq!(both(|x, y| x.maximum(y), x, y), (1.5, 1.5, 0.5), "maximum of {x} and {y}");
        assert_eq!(both(|x, y| x.minimum(y), x, y), (1.5, 1.5, 0.5), "minimum of {x} and {y}");
    }
    assert_eq!(both(|x, y| x.maximum(y), 2.0, 1.0), (3.0, 0.0, 1.0));
    assert_eq!(both(|x, y| x.minimum(y), 2.0, 1.0), (0.0, 3.0, 0.0));
    let slope = |f: for<'t> fn(Var<'t>) -> Var<'t>, x: f64| {
        let tape = Tape::new();
        let x = tape.var(x);
        f(x).grad_or_none([x])[0].map_or(0.0, |g| g.item().unwrap())
    };
    for zero in [0.0, -0.0] {
        assert_eq!(slope(|x| x.abs(), zero), 0.0);
        assert_eq!(slope(|x| x.relu(), zero), 0.0);
        assert_eq!(slope(|x| x.sign(), zero), 0.0);
        assert_eq!(slope(|x| x.floor(), zero), 0.0);
    }
    assert_eq!((slope(|x| x.abs(), inf), slope(|x| x.abs(), -inf)), (1.0, -1.0));
    assert_eq!((slope(|x| x.relu(), inf), slope(|x| x.sqrt(), 0.0), slope(|x| x.log(), 0.0)), (1.0, inf, inf));
}
