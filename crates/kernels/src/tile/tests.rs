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
        TileOp { kernel: mul, dst: 0, src: [Input(0), Input(1), None, None] },
        TileOp { kernel: fma, dst: 1, src: [Register(0), Input(2), Input(0), None] },
        TileOp { kernel: fma, dst: 2, src: [Register(1), Register(0), Input(2), None] },
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
