//! The strategies of `check`: they give what they say, the same in every run, and make failing cases small.

use std::cell::{Cell as Counter, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wengert::check::proptest::strategy::{Just, Strategy, ValueTree};
use wengert::check::proptest::test_runner::{Config, TestRunner};
use wengert::check::{
    CheckOptions, Floats, GradientOptions, Graph, RandomCell, Shapes, assert_gradients, broadcastable, cells, floats,
    gradcheck, gradcheck_forward, graphs,
};
use wengert::prelude::*;

fn runner() -> TestRunner {
    TestRunner::deterministic()
}

/// Some values of a strategy.
fn samples<S: Strategy>(strategy: S, n: usize) -> Vec<S::Value> {
    let mut runner = runner();
    (0..n).map(|_| strategy.new_tree(&mut runner).expect("the strategy gives a case").current()).collect()
}

/// The smallest value of a strategy that a property fails for.
fn smallest<S: Strategy>(strategy: S, fails: impl Fn(&S::Value) -> bool) -> S::Value {
    let mut runner = runner();
    for _ in 0..500 {
        let mut tree = strategy.new_tree(&mut runner).expect("the strategy gives a case");
        if !fails(&tree.current()) {
            continue;
        }
        while tree.simplify() {
            while !fails(&tree.current()) {
                if !tree.complicate() {
                    break;
                }
            }
        }
        return tree.current();
    }
    panic!("no case fails")
}

fn panics(f: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(f)).expect_err("a panic");
    panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string())).unwrap()
}

#[test]
fn names_stand_for_one_extent() {
    let mut seen = std::collections::HashSet::new();
    for shapes in samples(Shapes::from("T B 2, B, B? 1, ()").extent("T", 0..=2), 200) {
        let [x, b, c, scalar] = &shapes[..] else { panic!("four shapes: {shapes:?}") };
        assert!(x.rank() == 3 && x[0] <= 2 && (1..=4).contains(&x[1]) && x[2] == 2, "{x}");
        assert_eq!((&b[..], scalar.rank()), (&x[1..2], 0));
        assert!((c[0] == 1 || c[0] == x[1]) && c[1] == 1, "{c}");
        seen.insert((x[0], x[1], c[0] == 1));
    }
    assert!(seen.len() > 15, "the shapes vary: {seen:?}");
    assert!(panics(|| drop(floats("B, x-y"))).contains("\"x-y\" in \"B, x-y\" is not an axis"));
    assert!(panics(|| drop(floats("B I").extent("H", 1..=2))).contains("no axis is called H"));
}

#[test]
fn broadcastable_shapes_broadcast() {
    let mut ranks = std::collections::HashSet::new();
    for tensors in samples(floats(broadcastable(3)), 200) {
        let tape = Tape::new();
        let [a, b, c] = [0, 1, 2].map(|i| tape.constant(&tensors[i]));
        (a + b + c).value().unwrap();
        ranks.insert(tensors.iter().map(|t| t.shape().rank()).collect::<Vec<_>>());
    }
    assert!(ranks.len() > 30, "{ranks:?}");
}

#[test]
fn numbers_keep_to_their_domain() {
    for tensors in samples(floats("A B, B").within(0.0..3.0).avoiding(1.0).input(1, |v| v.within(5.0..6.0)), 100) {
        assert!(tensors[0].to_f64_vec().iter().all(|x| (0.0..3.0).contains(x) && (x - 1.0).abs() >= 0.059));
        assert!(tensors[1].to_f64_vec().iter().all(|x| (5.0..6.0).contains(x)));
    }
    for tensors in samples(floats("A B, B").distinct().strided(), 100) {
        let mut all: Vec<f64> = tensors.iter().flat_map(Tensor::to_f64_vec).collect();
        all.sort_by(f64::total_cmp);
        let gap = 4.0 / (4 * all.len()) as f64;
        assert!(all.windows(2).all(|pair| pair[1] - pair[0] >= gap * 0.999), "{all:?}");
    }
    let special: Vec<f64> = samples(floats("4 4").special(), 50).iter().flat_map(|t| t[0].to_f64_vec()).collect();
    let has = |is: fn(&f64) -> bool| special.iter().any(is);
    assert!(
        has(|x| x.is_nan()) && has(|x| *x == f64::INFINITY) && has(|x| x.is_subnormal()) && has(|x| *x == f64::MIN)
    );
    assert!(has(|x| x.to_bits() == 0) && has(|x| x.to_bits() == 1 << 63) && has(|x| x.is_normal()));
    for dtype in [DType::F32, DType::I64, DType::Bool] {
        let tensors = samples(floats("3 3").dtype(dtype).strided(), 50);
        assert!(tensors.iter().all(|t| t[0].dtype() == dtype));
        assert!(tensors.iter().any(|t| !t[0].is_contiguous()));
        assert!(tensors.iter().any(|t| t[0].to_f64_vec()[0] != t[0].to_f64_vec()[1]));
    }
    assert!(panics(|| drop(floats("A").within(1.0..1.0))).contains("is not a range"));
    let crowded = || (0..60).fold(floats("A").within(0.0..1.0), |f, kink| f.avoiding(kink as f64 / 60.0));
    assert!(panics(|| drop(samples(crowded(), 1))).contains("avoid fewer"));
}

#[test]
fn views_have_all_layouts() {
    let mut strides = std::collections::HashSet::new();
    for tensors in samples(floats([2, 3]).strided(), 100) {
        strides.insert(tensors[0].strides().to_vec());
    }
    for layout in [[3, 1], [1, 2], [5, 1], [1, 4], [3, 0]] {
        assert!(strides.contains(&layout[..]), "{layout:?} is not in {strides:?}");
    }
}

#[test]
fn failing_cases_become_small() {
    // Three columns are needed, and the rows do not matter.
    let found = smallest(floats("B N, N").strided(), |t| t[1].numel() >= 3);
    assert_eq!((&found[0].shape()[..], &found[1].shape()[..]), (&[1, 3][..], &[3][..]));
    assert!(found.iter().all(Tensor::is_contiguous));
    let short = |x: f64| (x * 100.0 - (x * 100.0).round()).abs() < 1e-9;
    assert!(found.iter().flat_map(Tensor::to_f64_vec).all(short), "{found:?}");
    let found = smallest(floats("B N").strided(), |t| !t[0].is_contiguous() && t[0].strides()[0] < t[0].strides()[1]);
    assert_eq!(found[0].shape()[..], [2, 2]);
}

#[test]
fn cases_are_the_same_in_every_run() {
    let run = || {
        let seen = RefCell::new(Vec::new());
        let options = GradientOptions::default().cases(5).first_order().reverse_only();
        let record = |x: Var<'_>| {
            let x = x.value().unwrap();
            seen.borrow_mut().push(x);
        };
        assert_gradients!(|x| { record(x); x.tanh() }, floats("A B"), options: options);
        seen.into_inner()
    };
    let (a, b) = (run(), run());
    assert!(a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.bit_eq(b)));
}

#[test]
fn empty_axes_are_cases() {
    let inputs = || floats("B N, B? N?").extent("B", 0..=2).extent("N", 0..=2).strided();
    assert!(samples(inputs(), 50).iter().any(|t| t[0].numel() == 0 && t[1].numel() > 0));
    assert_gradients!(|x, y| (x * y).cumsum(0).tanh(), inputs());
}

/// Tensors are a strategy of one case, which is checked once.
#[test]
fn given_tensors_are_one_case() {
    let count = |run: &dyn Fn(&Counter<usize>)| {
        let calls = Counter::new(0);
        run(&calls);
        calls.get()
    };
    let x = Tensor::from_slice(&[0.5f64, 2.0], [2]).unwrap();
    let call = |calls: &Counter<usize>, cases: u32| {
        let options = GradientOptions::default().cases(cases);
        let count = || calls.set(calls.get() + 1);
        assert_gradients!(|x, y| { count(); x * y }, (x.clone(), Just([x.clone()])), options: options);
    };
    assert_eq!(count(&|calls| call(calls, 50)), count(&|calls| call(calls, 1)));
}

/// Every random graph has the derivatives of its differences, in both modes; a loop is its steps.
#[test]
fn graphs_are_differentiable() {
    let mut loops = 0;
    for (i, graph) in samples(graphs(), 150).into_iter().enumerate() {
        let inputs = graph.inputs();
        let options = CheckOptions { eps: 1e-5, rtol: 1e-4, atol: 1e-6, seed: i as u64, fast: true };
        gradcheck(|v| graph.record(v), inputs, options).unwrap_or_else(|e| panic!("graph {i}, {graph:?}: {e}"));
        gradcheck_forward(|v| graph.record(v), inputs, options).unwrap_or_else(|e| panic!("graph {i}, {graph:?}: {e}"));
        let tape = Tape::new();
        let vars: Vec<Var<'_>> = inputs.iter().map(|x| tape.var(x)).collect();
        let (a, b) = (graph.record(&vars).value().unwrap(), graph.record_unrolled(&vars).value().unwrap());
        assert_eq!(a.shape(), b.shape());
        assert!(a.to_f64_vec().iter().zip(b.to_f64_vec()).all(|(a, b)| (a - b).abs() <= 1e-10 * b.abs().max(1.0)));
        loops += format!("{graph:?}").contains("scan") as usize;
    }
    assert!(loops > 40, "{loops} of the graphs have a loop");
    let sine = |graph: &Graph| format!("{graph:?}").contains("= sin(") && !format!("{graph:?}").contains("scan(");
    let found = smallest(graphs(), sine);
    assert!(found.inputs().len() == 1 && format!("{found:?}").lines().count() <= 4, "{found:?}");
}

/// Random cells run in the driver: as a loop, with their gradients, in F32 as well, and many steps on.
#[test]
fn cells_run() {
    let mut components = std::collections::HashSet::new();
    for cell in samples(cells(), 25) {
        let (net, input) = (Rnn::new(cell.clone()), cell.input());
        let options = GradientOptions::default().cases(1);
        assert_gradients!(|x| net.forward(&Cx::train(x.tape()), x).0, floats([3, 2, input]), params: net, options: options);
        let tape = Tape::new();
        let x = tape.constant(Tensor::full([200, 1, input], 0.9, DType::F64));
        let (y, state) = net.forward(&Cx::eval(&tape), x);
        assert_eq!(y.shape().unwrap()[..], [200, 1, cell.hidden()]);
        assert!(y.value().unwrap().to_f64_vec().iter().all(|y| y.abs() < 1e6), "{cell:?}");
        components.insert(state[0].len());
        cell.set_dtype(DType::F32).unwrap();
        let tape = Tape::new();
        let (y, _) = cell.step(tape.constant(cell.example(2)), cell.init(&tape, 2));
        assert_eq!(y.dtype().unwrap(), DType::F32);
    }
    assert_eq!(components.len(), 2);
    let found: RandomCell = smallest(cells(), |cell| cell.hidden() >= 2);
    assert_eq!((found.input(), found.hidden(), found.params().len()), (1, 2, 3));
}

/// In a `proptest!` of one's own.
#[test]
fn strategies_compose() {
    use wengert::check::proptest::proptest;
    let wide: fn() -> Floats = || floats("B I, I H").special().dtype(DType::F32);
    proptest!(Config::with_cases(16), |(tensors in wide(), by in 1..4usize)| {
        let tape = Tape::new();
        let x = tape.constant(&tensors[0]).repeat(&[by, 1]);
        let y = x.matmul(&tensors[1]).value().unwrap();
        assert_eq!(y.shape()[0], by * tensors[0].shape()[0]);
    });
}
