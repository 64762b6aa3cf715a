//! What is found when the program runs: indices out of range, more memory than there is.

use crate::{check, fails, tensor};
use wengert_autograd::{DType, ErrorKind, ScanOptions, Tape, Tensor, Var};

fn index<'t>(tape: &'t Tape, values: &[i64], shape: &[usize]) -> Var<'t> {
    tape.constant(Tensor::from_slice(values, shape).unwrap())
}

#[test]
fn the_index_is_named() {
    let tape = Tape::new();
    let x = tape.var(tensor(&[3, 2], DType::F64));
    let rows = index(&tape, &[0, 3, -1], &[3]);
    let text = "index_select: index 3 at position [1] is out of range: axis 0 of [3, 2] has entries 0 to 2";
    fails!(x.index_select(0, rows), Index, text);
    // The same structure on another line, whose program is in the cache.
    fails!(x.index_select(0, rows), Index, text);
    fails!(
        x.index_select(1, index(&tape, &[0, -2], &[2])),
        Index,
        "index_select: index -2 at position [1] is out of range: axis 1 of [3, 2] has entries 0 to 1; \
         indices do not count from the back"
    );
    fails!(
        x.gather(0, index(&tape, &[0, 1, 2, i64::MAX], &[2, 2])),
        Index,
        "gather: index 9223372036854775807 at position [1, 1] is out of range: axis 0 of [3, 2] has entries 0 to 2"
    );
    let src = tape.zeros([1, 2], DType::F64);
    fails!(
        x.scatter_add(0, index(&tape, &[1, -1], &[1, 2]), src),
        Index,
        "scatter_add: index -1 at position [0, 1] is out of range: axis 0 of [3, 2] has entries 0 to 2; \
         indices do not count from the back"
    );
    fails!(
        index(&tape, &[0, 1, 4, 2], &[2, 2]).one_hot(4, DType::Bool),
        Index,
        "one_hot: index 4 at position [1, 0] is out of range: axis 2 of [2, 2, 4] has entries 0 to 3"
    );
    fails!(
        x.narrow(0, 0, 1).index_select(0, rows),
        Index,
        "index_select: index 3 at position [1] is out of range: axis 0 of [1, 2] has entry 0 only"
    );
    fails!(
        x.narrow(0, 0, 0).index_select(0, rows),
        Index,
        "index_select: index 0 at position [0] is out of range: axis 0 of [0, 2] has no entries"
    );
    // The tape is not at fault: other values can still be asked for.
    assert!(x.sum().value().is_ok());
    let cast = tape.constant(f64::NAN).cast(DType::I64).reshape([1]);
    assert!(x.index_select(0, cast).value().is_ok(), "NaN is 0 as Rust converts it");
}

/// Asked for alone, a derivative reads the index in the place of the operation: name and line are the operation's.
#[test]
fn the_index_is_named_by_a_derivative() {
    let tape = Tape::new();
    let x = tape.var(tensor(&[3, 2], DType::F64));
    let text = "index_select: index 3 at position [1] is out of range: axis 0 of [3, 2] has entries 0 to 2";
    let (y, line) = (x.index_select(0, index(&tape, &[0, 3], &[2])), line!());
    let [g] = y.sum().grad([x]);
    check(g.value().unwrap_err(), line, text);
    check(y.jvp([(x, tape.ones([3, 2], DType::F64))]).value().unwrap_err(), line, text);
    let src = tape.var(tensor(&[1, 2], DType::F64));
    let (y, line) = (x.scatter_add(0, index(&tape, &[1, 5], &[1, 2]), src), line!());
    let [g] = y.square().sum().grad([src]);
    let text = "scatter_add: index 5 at position [0, 1] is out of range: axis 0 of [3, 2] has entries 0 to 2";
    check(g.value().unwrap_err(), line, text);
}

#[test]
fn the_step_is_named() {
    let tape = Tape::new();
    let x = tape.var(tensor(&[3, 2], DType::F64));
    let rows = index(&tape, &[0, 1, 2, 3, 4], &[5]);
    let (_, picked) = tape.scan((), rows, |(), i| ((), x.index_select(0, i.reshape([1]))));
    let text = "index_select: at step 3: index 3 at position [0] is out of range: axis 0 of [3, 2] has entries 0 to 2";
    check(picked.value().unwrap_err(), line!() - 2, text);
    // Backwards in time, the last step comes first; a step is called by its place in time.
    let reversed = ScanOptions::default().reversed();
    let (_, picked) = tape.scan_with(reversed, (), rows, |(), i| ((), x.index_select(0, i.reshape([1]))));
    let text = "index_select: at step 4: index 4 at position [0] is out of range: axis 0 of [3, 2] has entries 0 to 2";
    check(picked.value().unwrap_err(), line!() - 2, text);
    let nested = index(&tape, &[0, 1, 2, 3], &[2, 2]);
    let (_, picked) = tape.scan((), nested, |(), row| {
        let (_, y) = tape.scan((), row, |(), i| ((), x.index_select(0, i.reshape([1]))));
        ((), y)
    });
    let text = "index_select: at step 1: at step 1: index 3 at position [0] is out of range: \
                axis 0 of [3, 2] has entries 0 to 2";
    check(picked.value().unwrap_err(), line!() - 5, text);
}

/// The whole address space is more than any machine has: refused before anything is allocated.
#[test]
fn more_memory_than_there_is() {
    let tape = Tape::new();
    const N: usize = 1 << 22;
    let x = tape.var(tensor(&[], DType::F64));
    let wide = x.expand([N, N]);
    let sum = wide + tape.arange(N).cast(DType::F64);
    let line = line!() - 1;
    let error = sum.value().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Memory);
    let text = "value: the program needs 131072.0 GiB of memory, more than there is; \
                its largest value is f64 [4194304, 4194304]; compute it in parts";
    check(error, line, text);
    // Asked for as it is, it needs no more memory than its one number, nor does its shape.
    assert!(wide.shape().is_ok() && x.value().is_ok());
    for (make, name) in
        [(Tensor::zeros as fn(Vec<usize>, DType) -> Tensor, "zeros"), (|s, d| Tensor::full(s, 1.0, d), "full")]
    {
        for shape in [vec![usize::MAX, 2], vec![1 << 60], vec![N, N, 8]] {
            let text = format!("{name}: memory cannot hold a tensor f64 {shape:?}");
            let panic = std::panic::catch_unwind(|| make(shape, DType::F64)).expect_err("a documented panic");
            assert_eq!(panic.downcast_ref::<String>(), Some(&text));
        }
    }
}
