//! Every row of the elementwise table: values in all layouts and shapes, scans, gradients.

use super::support::{LAYOUTS, Layout, Rng, assert_equal, assert_gradients, laid_out, same_bits, sampled, scan_agrees};
use crate::ops::{Row, TABLE, Type, record};
use crate::{DType, Shape, Tape, Tensor, Var};
use proptest::prelude::*;

/// Records a row on any operands.
pub(super) fn apply<'t>(row: &'static Row, inputs: &[Var<'t>]) -> Var<'t> {
    record(inputs[0].tape(), row, inputs)
}

/// The types of a row's operands when it computes in `lane`; `None` if it does not.
pub(super) fn operand_types(row: &Row, lane: DType) -> Option<Vec<DType>> {
    if lane == DType::I64 && row.kernels.i64.is_none() {
        return None;
    }
    match row.result {
        Type::Same | Type::Truth => Some(vec![lane; row.samples.len()]),
        Type::Select => Some([vec![DType::Bool], vec![lane; row.samples.len() - 1]].concat()),
        Type::Logic => (lane == DType::F32).then(|| vec![DType::Bool; row.samples.len()]),
    }
}

pub(super) fn result_type(row: &Row, lane: DType) -> DType {
    match row.result {
        Type::Same | Type::Select => lane,
        Type::Truth | Type::Logic => DType::Bool,
    }
}

/// The row applied one element at a time by its kernel, with indices found by division: the oracle.
pub(super) fn one_by_one(row: &Row, lane: DType, inputs: &[Tensor], shape: &Shape) -> Tensor {
    let values: Vec<Vec<f64>> = inputs.iter().map(Tensor::to_f64_vec).collect();
    let mut flat = Vec::with_capacity(shape.numel());
    for at in 0..shape.numel() {
        let x: Vec<f64> = inputs.iter().zip(&values).map(|(t, v)| v[broadcast_index(at, shape, t.shape())]).collect();
        let arg = |i: usize| x.get(i).copied().unwrap_or(0.0);
        flat.push(match lane {
            DType::F64 => {
                let mut out = [0.0];
                (row.kernels.f64)().run(&mut out, &[&[arg(0)], &[arg(1)], &[arg(2)]]);
                out[0]
            }
            DType::I64 => {
                let mut out = [0];
                let kernel = row.kernels.i64.expect("the row has integers")();
                kernel.run(&mut out, &[&[arg(0) as i64], &[arg(1) as i64], &[arg(2) as i64]]);
                out[0] as f64
            }
            _ => {
                let mut out = [0.0];
                (row.kernels.f32)().run(&mut out, &[&[arg(0) as f32], &[arg(1) as f32], &[arg(2) as f32]]);
                out[0] as f64
            }
        });
    }
    Tensor::from_vec(flat, shape).unwrap().cast(result_type(row, lane))
}

/// Where element `at` of `shape` is read in an operand that broadcasts to it.
fn broadcast_index(mut at: usize, shape: &Shape, operand: &Shape) -> usize {
    let (mut place, mut step) = (0, 1);
    for back in 1..=shape.rank() {
        let i = at % shape[shape.rank() - back];
        at /= shape[shape.rank() - back];
        if back <= operand.rank() {
            let extent = operand[operand.rank() - back];
            place += if extent == 1 { 0 } else { i * step };
            step *= extent;
        }
    }
    place
}

/// Shapes of the first, second and third operand.
const SHAPES: &[[&[usize]; 3]] = &[
    [&[5], &[5], &[5]],
    [&[], &[], &[]],
    [&[3, 4], &[4], &[3, 1]],
    [&[4], &[3, 4], &[]],
    [&[], &[2, 3], &[3]],
    [&[2, 1, 3], &[4, 1], &[2, 4, 3]],
    [&[1, 1], &[1], &[2, 1]],
    [&[0, 3], &[3], &[1, 3]],
    [&[2, 0], &[2, 1], &[2, 0]],
    [&[3, 17], &[3, 17], &[17]],
];

fn common(shapes: &[&[usize]]) -> Shape {
    shapes.iter().fold(Shape::scalar(), |all, s| all.broadcast(&Shape::from(*s)).expect("the list broadcasts"))
}

fn check_values(row: &'static Row, lane: DType, shapes: &[&[usize]], layout: Layout, rng: &mut Rng) {
    let Some(types) = operand_types(row, lane) else { return };
    let inputs: Vec<Tensor> =
        (0..row.samples.len()).map(|i| layout.suited(sampled(shapes[i], types[i], &row.samples[i], rng))).collect();
    let what = format!("{} in {lane} over {shapes:?}, {layout:?}", row.name);
    let tape = Tape::new();
    let vars: Vec<Var<'_>> = inputs.iter().map(|x| laid_out(&tape, x, layout)).collect();
    let found = same_bits(&tape, &[apply(row, &vars)], &what).remove(0);
    assert_equal(&found, &one_by_one(row, lane, &inputs, &common(&shapes[..row.samples.len()])), &what);
}

#[test]
fn values_are_those_of_the_kernel_on_single_elements() {
    let rng = &mut Rng::new(1);
    for row in TABLE {
        for lane in [DType::F32, DType::F64, DType::I64] {
            for shapes in SHAPES {
                for layout in LAYOUTS {
                    check_values(row, lane, &shapes[..row.samples.len()], layout, rng);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any row over any broadcastable shapes: each operand has each axis, has it as extent 1, or lacks it.
    #[test]
    fn values_over_random_shapes(
        which in 0..TABLE.len(),
        lane in prop::sample::select(vec![DType::F32, DType::F64, DType::I64]),
        dims in prop::collection::vec(0usize..6, 0..5),
        ones in prop::collection::vec(any::<u8>(), 3),
        lead in prop::collection::vec(0usize..5, 3),
        layout in prop::sample::select(LAYOUTS.to_vec()),
        seed in any::<u64>(),
    ) {
        let row = TABLE[which];
        let shapes: Vec<Vec<usize>> = (0..row.samples.len())
            .map(|i| {
                let cut = lead[i].min(dims.len());
                dims.iter().enumerate().skip(cut).map(|(axis, n)| if ones[i] >> axis & 1 == 1 { 1 } else { *n }).collect()
            })
            .collect();
        let shapes: Vec<&[usize]> = shapes.iter().map(|s| &s[..]).collect();
        check_values(row, lane, &shapes, layout, &mut Rng::new(seed));
    }
}

#[test]
fn a_scan_gives_what_the_steps_give() {
    let rng = &mut Rng::new(2);
    for row in TABLE {
        for lane in [DType::F32, DType::F64, DType::I64] {
            let Some(types) = operand_types(row, lane) else { continue };
            for (case, shapes) in SHAPES[..8].iter().enumerate() {
                let steps: Vec<Vec<Tensor>> = (0..3)
                    .map(|_| {
                        (0..row.samples.len()).map(|i| sampled(shapes[i], types[i], &row.samples[i], rng)).collect()
                    })
                    .collect();
                let held: Vec<bool> = (0..row.samples.len())
                    .map(|i| row.samples.len() > 1 && i == case % (row.samples.len() + 1))
                    .collect();
                let what = format!("{} in {lane} over {shapes:?}", row.name);
                scan_agrees(&|v| apply(row, v), &steps, &held, case % 2 == 1, &what);
            }
        }
    }
}

/// Gradients with respect to every float operand; conditions are captured.
#[test]
fn gradients_are_those_of_differences() {
    let rng = &mut Rng::new(3);
    for row in TABLE {
        if result_type(row, DType::F64) != DType::F64 {
            assert!(row.partials.is_empty(), "{}: truth values have no derivative", row.name);
            continue;
        }
        // Without any, the function is one of steps, and its differences are zero.
        let given = row.partials.is_empty() || row.partials.len() == row.samples.len();
        assert!(given, "{}: one partial derivative an operand", row.name);
        let types = operand_types(row, DType::F64).unwrap();
        for shapes in &SHAPES[..8] {
            let all: Vec<Tensor> =
                (0..row.samples.len()).map(|i| sampled(shapes[i], types[i], &row.samples[i], rng)).collect();
            let floats: Vec<Tensor> = all.iter().filter(|x| x.dtype() == DType::F64).cloned().collect();
            let what = format!("{} over {shapes:?}", row.name);
            assert_gradients(|v| apply(row, &with_captured(&all, v)), &floats, &what);
        }
    }
}

/// Operands of which those that are floats are variables, the others constants.
fn with_captured<'t>(all: &[Tensor], floats: &[Var<'t>]) -> Vec<Var<'t>> {
    let mut next = floats.iter();
    all.iter()
        .map(|x| match x.dtype() {
            DType::F64 => *next.next().expect("one variable for each float operand"),
            _ => floats[0].tape().constant(x),
        })
        .collect()
}

/// A row fused with others, with a result that is stored and used.
#[test]
fn fused_with_neighbours() {
    let rng = &mut Rng::new(4);
    for row in TABLE {
        for lane in [DType::F32, DType::F64, DType::I64] {
            let Some(types) = operand_types(row, lane) else { continue };
            let shape = [3, 7];
            let tape = Tape::new();
            let vars: Vec<Var<'_>> = (0..row.samples.len())
                .map(|i| laid_out(&tape, &sampled(shape, types[i], &row.samples[i], rng), Layout::Computed))
                .collect();
            let y = apply(row, &vars);
            let other = tape.var(sampled(shape, lane, &super::support::WIDE, rng));
            let z = if y.dtype().unwrap() == DType::Bool { y.select(other, 1) } else { y + other };
            let all = [y, z, z * z, tape.concat(&[z, other * z], 1), (z * z).sum_axes(0)];
            same_bits(&tape, &all, row.name);
        }
    }
}
