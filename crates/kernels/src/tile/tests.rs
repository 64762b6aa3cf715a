//! Outputs in the memory of inputs: the bits are those of memory apart. For Miri as well.

use super::*;
use crate::map::{NumMap, num_kernel};

struct Mul;
struct Fma;

impl NumMap<2> for Mul {
    fn eval<L: crate::Num>([x, y]: [L; 2]) -> L {
        x.mul(y)
    }
}

impl NumMap<3> for Fma {
    fn eval<L: crate::Num>([x, y, z]: [L; 3]) -> L {
        x.mul(y).add(z)
    }
}

fn load(strides: &[usize]) -> Load {
    Load { strides: strides.to_vec(), bools: false }
}

fn store(register: u16, buffer: usize, strides: &[usize]) -> Store {
    Store { register, buffer, offset: 0, strides: strides.to_vec(), bools: false }
}

/// Over inputs `a`, `b` and `c`: `m = a·b`, `v = m·c + a`, `p = v·m + c`.
fn program(dims: &[usize], a: &[usize], b: &[usize], out: &[usize]) -> TileProgram<f32> {
    use Source::{Input, None, Register};
    let (mul, fma) = (num_kernel::<Mul, f32, 2>(), num_kernel::<Fma, f32, 3>());
    let ops = vec![
        TileOp { code: TileCode::Map(mul), dst: 0, src: [Input(0), Input(1), None, None] },
        TileOp { code: TileCode::Map(fma), dst: 1, src: [Register(0), Input(2), Input(0), None] },
        TileOp { code: TileCode::Map(fma), dst: 2, src: [Register(1), Register(0), Input(2), None] },
    ];
    let stores = (0..3).map(|i| store(i, i as usize, out)).collect();
    TileProgram::new(ops, vec![load(a), load(b), load(a)], stores, dims.to_vec())
}

fn data(n: usize, seed: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7 + seed * 13) % 29) as f32 / 8.0 - 1.5).collect()
}

/// Runs with the outputs of `replaced` in the memory of inputs; gives the three outputs.
fn run(program: &TileProgram<f32>, n: usize, replaced: &[(usize, usize)]) -> Vec<Vec<f32>> {
    let inputs = [0, 1, 2].map(|seed| data(n, seed));
    let mut outputs = vec![vec![f32::NAN; n]; 3];
    let mut reads = [0, 1, 2].map(|i| InputData::Lanes(&inputs[i][..]));
    for (input, output) in replaced {
        outputs[*output].copy_from_slice(&inputs[*input]);
        reads[*input] = InputData::Replaced(*output);
    }
    let mut writes: Vec<Output<'_, f32>> = outputs.iter_mut().map(|out| Output::Lanes(out)).collect();
    program.run(&mut Vec::new(), &reads, &mut writes);
    outputs
}

#[test]
fn outputs_may_take_the_memory_of_inputs() {
    // Rows with a ragged end, long runs, several rows a tile, rows across tiles; `b` whole or a column.
    let spaces: [(&[usize], &[usize], &[usize]); 7] = [
        (&[1000], &[1], &[1]),
        (&[AFAR / 16 + 61], &[1], &[1]),
        (&[AFAR / 16], &[1], &[0]),
        (&[531], &[1], &[1]),
        (&[9, 100], &[100, 1], &[1, 0]),
        (&[3, 300], &[300, 1], &[300, 1]),
        (&[60, 5], &[5, 1], &[1, 0]),
    ];
    for (dims, whole, b) in spaces {
        let n = dims.iter().product();
        let program = program(dims, whole, b, whole);
        let apart = run(&program, n, &[]);
        // `a` is read by the call of `v` itself and after that of `m`, `c` up to the last call.
        for input in [0, 2] {
            for output in 0..3 {
                assert!(program.replaces(input, output), "{dims:?}");
                assert_eq!(run(&program, n, &[(input, output)]), apart, "{dims:?}: {output} in {input}");
                let other = (output + 1) % 3;
                assert_eq!(run(&program, n, &[(input, output), (2 - input, other)]), apart, "{dims:?}: two");
            }
        }
    }
}

#[test]
fn what_is_not_read_in_the_order_of_writing_is_not_replaced() {
    // Columns, one value, a value of each row, truth values' tiles of few elements.
    assert!(!program(&[40, 40], &[1, 40], &[40, 1], &[40, 1]).replaces(0, 0));
    assert!(!program(&[400], &[1], &[0], &[1]).replaces(1, 0));
    assert!(!program(&[9, 100], &[100, 1], &[1, 0], &[100, 1]).replaces(1, 0));
    assert!(!program(&[9, 100], &[200, 1], &[1, 0], &[200, 1]).replaces(0, 0), "rows with gaps");
    assert!(!program(&[9, 100], &[100, 1], &[1, 0], &[200, 1]).replaces(0, 0), "written with gaps");
    assert!(!program(&[20], &[1], &[1], &[1]).replaces(0, 0), "a small program");
    assert!(!program(&[400], &[1], &[1], &[1]).replaces(0, 3) && !program(&[400], &[1], &[1], &[1]).replaces(3, 0));
}

#[test]
#[should_panic(expected = "cannot replace")]
fn a_wrong_pair_is_refused() {
    run(&program(&[40, 40], &[1, 40], &[40, 1], &[40, 1]), 1600, &[(0, 0)]);
}

#[test]
fn threads_share_a_long_run_in_whole_tiles() {
    let n = (1 << 18) + 77;
    let long = program(&[n], &[1], &[1], &[1]);
    for threads in 1..5 {
        let parts = long.parts(threads);
        assert_eq!(parts.len(), threads.min(3), "three calls are worth three threads");
        assert!(parts.windows(2).all(|two| two[0].end == two[1].start && two[0].end.is_multiple_of(TILE)));
        assert_eq!((parts[0].start, parts[parts.len() - 1].end), (0, n));
    }
    assert_eq!(program(&[512, 600], &[600, 1], &[1, 0], &[600, 1]).parts(4).len(), 1, "rows");
    if cfg!(miri) {
        return;
    }
    crate::set_threads(1);
    let one = run(&long, n, &[]);
    crate::set_threads(3);
    assert!(run(&long, n, &[]) == one && run(&long, n, &[(0, 1), (2, 0)]) == one);
}

/// Over inputs `x`, and `v` of one value a row: `s = Σ x`, `r = s·v`, `y = x·r + x` and `m = max y`; all are stored.
fn rows_program(dims: &[usize], whole: &[usize], column: &[usize], v: &[usize]) -> TileProgram<f32> {
    use Source::{Input, None, Register};
    let (mul, fma) = (num_kernel::<Mul, f32, 2>(), num_kernel::<Fma, f32, 3>());
    let ops = vec![
        TileOp { code: TileCode::Fold(Reduction::Sum), dst: 0, src: [Input(0), None, None, None] },
        TileOp { code: TileCode::MapRows(mul), dst: 1, src: [Register(0), Input(1), None, None] },
        TileOp { code: TileCode::Spread, dst: 2, src: [Register(1), None, None, None] },
        TileOp { code: TileCode::Map(fma), dst: 3, src: [Input(0), Register(2), Input(0), None] },
        TileOp { code: TileCode::Fold(Reduction::Max), dst: 4, src: [Register(3), None, None, None] },
    ];
    let stores = vec![store(0, 0, column), store(1, 1, column), store(3, 2, whole), store(4, 3, column)];
    TileProgram::new(ops, vec![load(whole), load(v)], stores, dims.to_vec())
}

#[test]
fn rows_are_reduced_and_their_values_spread() {
    // Rows in one dimension and more, shorter than a block, ragged, longer than a tile; fewer and more rows than a block has lanes.
    let spaces: [(&[usize], &[usize], &[usize]); 7] = [
        (&[5], &[1], &[0]),
        (&[700], &[1], &[0]),
        (&[40, 3], &[3, 1], &[1, 0]),
        (&[21, 16], &[16, 1], &[1, 0]),
        (&[7, 333], &[333, 1], &[1, 0]),
        (&[3, 2000], &[2000, 1], &[1, 0]),
        (&[2, 9, 50], &[500, 50, 1], &[20, 2, 0]),
    ];
    for (dims, whole, column) in spaces {
        let n = dims[dims.len() - 1];
        let rows = dims.iter().product::<usize>() / n;
        for v in [column.to_vec(), vec![0; dims.len()]] {
            let program = rows_program(dims, whole, column, &v);
            let (x, factors) = (data(span(dims, whole), 1), data(span(dims, &v), 2));
            let mut found = [span(dims, column), span(dims, column), x.len(), span(dims, column)].map(|n| vec![9.0; n]);
            let mut writes: Vec<Output<'_, f32>> = found.iter_mut().map(|out| Output::Lanes(out)).collect();
            let mut scratch = Vec::new();
            program.run(&mut scratch, &[InputData::Lanes(&x), InputData::Lanes(&factors)], &mut writes);

            let mut wanted = found.each_ref().map(|out| vec![9.0f32; out.len()]);
            for row in 0..rows {
                let (i, j) = if dims.len() == 3 { (row / dims[1], row % dims[1]) } else { (0, row) };
                let at = |strides: &[usize]| match strides {
                    [outer, inner, _] => i * outer + j * inner,
                    [outer, _] => j * outer,
                    _ => 0,
                };
                let from = at(whole);
                let own = &x[from..from + n];
                let shape = crate::ReduceShape { outer: (1, n), reduced: (n, 1), inner: 1 };
                let (mut sum, mut max) = ([0.0], [0.0]);
                crate::reduce(Reduction::Sum, shape, &mut sum, own);
                let factor = sum[0] * factors[at(&v)];
                let y: Vec<f32> = own.iter().map(|x| x * factor + x).collect();
                crate::reduce(Reduction::Max, shape, &mut max, &y);
                wanted[0][at(column)] = sum[0];
                wanted[1][at(column)] = factor;
                wanted[2][from..from + n].copy_from_slice(&y);
                wanted[3][at(column)] = max[0];
            }
            assert_eq!(found, wanted, "{dims:?}");

            // In the memory of `x`, which is read by a later call than the first.
            if program.replaces(0, 2) {
                let mut again = found.each_ref().map(|out| vec![9.0f32; out.len()]);
                again[2].copy_from_slice(&x);
                let mut writes: Vec<Output<'_, f32>> = again.iter_mut().map(|out| Output::Lanes(out)).collect();
                program.run(&mut scratch, &[InputData::Replaced(2), InputData::Lanes(&factors)], &mut writes);
                assert_eq!(again, wanted, "{dims:?} in place");
            }
        }
    }
}

#[test]
#[should_panic(expected = "values of rows or of elements")]
fn values_of_rows_are_not_taken_for_elements() {
    let mul = num_kernel::<Mul, f32, 2>();
    let ops = vec![
        TileOp {
            code: TileCode::Fold(Reduction::Sum),
            dst: 0,
            src: [Source::Input(0), Source::None, Source::None, Source::None],
        },
        TileOp {
            code: TileCode::Map(mul),
            dst: 1,
            src: [Source::Input(0), Source::Register(0), Source::None, Source::None],
        },
    ];
    TileProgram::new(ops, vec![load(&[8, 1])], vec![store(1, 0, &[8, 1])], vec![4, 8]);
}
