//! Random graphs: the optimised program is its nodes' to the bit, in values and gradients; derivatives are those of dual
//! numbers, and of differences where graphs are shallow; a scan is its loop.
//!
//! `WENGERT_FUZZ=10000 cargo test -p wengert-autograd fuzz` runs more of them, `WENGERT_FUZZ_FROM=n` starts at seed `n`.

use super::dual::{Dual, Duals, total};
use super::recipe::{Flavour, Grown, grown};
use super::support::{Rng, same_bits, typed};
use crate::check::{CheckFailure, CheckOptions, gradcheck, gradgradcheck};
use crate::{DType, Tape, Tensor, Var};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most steps of a graph; a loop counts as one.
const STEPS: usize = 30;

pub(super) fn seeds(default: u64) -> std::ops::Range<u64> {
    let read = |name: &str| std::env::var(name).ok().and_then(|v| v.parse().ok());
    let first = read("WENGERT_FUZZ_FROM").unwrap_or(0);
    first..first + read("WENGERT_FUZZ").unwrap_or(default)
}

/// Runs a property for each seed's graph; a failure shows the graph and names its seed.
fn for_each_graph(
    default: u64,
    flavour: Flavour,
    steps: usize,
    property: impl Fn(u64, Grown) + std::panic::RefUnwindSafe,
) {
    let mut failed = Vec::new();
    for seed in seeds(default) {
        if std::panic::catch_unwind(|| property(seed, grown(seed, flavour, steps))).is_err() {
            let graph = grown(seed, flavour, steps);
            println!("graph {seed}, asked for {:?}:\n{}", graph.asked, graph.recipe);
            failed.push(seed);
            if failed.len() == 10 {
                break;
            }
        }
    }
    assert!(failed.is_empty(), "the property fails for the seeds {failed:?} (see WENGERT_FUZZ_FROM)");
}

impl Grown {
    fn tensors(&self, dtype: DType) -> Vec<Tensor> {
        self.inputs.iter().map(|x| typed(&x.values(), &x.shape[..], dtype)).collect()
    }

    fn asked<'t>(&self, vars: &[Var<'t>], unroll: bool) -> Vec<Var<'t>> {
        let values = self.recipe.record(vars, unroll);
        self.asked.iter().map(|at| values[*at]).collect()
    }
}

/// A scalar that every asked value contributes to.
fn loss<'t>(asked: &[Var<'t>]) -> Var<'t> {
    let parts = asked.iter().enumerate().map(|(i, v)| (*v * (0.3 + 0.2 * i as f64)).tanh().sum());
    parts.reduce(|a, b| a + b).expect("something is asked")
}

fn dual_loss(asked: &[&Duals]) -> Dual {
    let part = |(i, v): (usize, &&Duals)| total(&v.map(|x| (x * (0.3 + 0.2 * i as f64).into()).tanh()).data);
    asked.iter().enumerate().map(part).reduce(|a, b| a + b).expect("something is asked")
}

/// The gradients of a loss that exist.
fn gradients<'t>(loss: Var<'t>, wrt: &[Var<'t>]) -> Vec<Var<'t>> {
    wrt.iter().filter_map(|v| loss.grad_or_none([*v])[0]).collect()
}

#[test]
fn fuzz_programs_equal_their_nodes() {
    for_each_graph(500, Flavour::Any, STEPS, |seed, graph| {
        let dtype = if seed % 3 == 0 { DType::F64 } else { DType::F32 };
        let tape = Tape::new();
        let vars: Vec<Var<'_>> = graph.tensors(dtype).iter().map(|x| tape.var(x)).collect();
        let asked = graph.asked(&vars, false);
        let what = format!("graph {seed}");
        same_bits(&tape, &asked, &what);
        let loss = loss(&asked);
        let first = gradients(loss, &vars);
        let mut all = asked.clone();
        all.push(loss);
        all.extend(&first);
        same_bits(&tape, &all, &format!("{what} with gradients"));
        // Second derivatives of long graphs are long.
        if seed % 4 == 0
            && let Some(norm) = first.iter().map(|g| g.square().sum()).reduce(|a, b| a + b)
        {
            let mut second = gradients(norm, &vars);
            second.push(norm);
            same_bits(&tape, &second, &format!("{what} with second derivatives"));
        }
    });
}

/// The tolerance is far above what rounding makes of values below 8 and slopes below 20 in a hundred operations, and far below
/// any mistake of a rule.
const TOLERANCE: f64 = 1e-9;

fn near(found: &Tensor, wanted: &[f64], what: &str) {
    let found = found.to_f64_vec();
    assert_eq!(found.len(), wanted.len(), "{what}");
    let scale = wanted.iter().fold(1.0f64, |m, w| m.max(w.abs()));
    for (f, w) in found.iter().zip(wanted) {
        assert!((f - w).abs() <= TOLERANCE * scale, "{what}: {f} is not {w}");
    }
}

/// Values, gradients, tangents, and both of gradients.
#[test]
fn fuzz_derivatives_are_those_of_dual_numbers() {
    let (deepest, deep) = (AtomicUsize::new(0), AtomicUsize::new(0));
    for_each_graph(1000, Flavour::Judged, STEPS, |seed, mut graph| {
        deepest.fetch_max(graph.recipe.depth(), Ordering::Relaxed);
        deep.fetch_add((graph.recipe.depth() >= 15) as usize, Ordering::Relaxed);
        let rng = &mut Rng::new(seed ^ 0xd0a1);
        graph.inputs = graph.inputs.iter().map(|x| Duals::seeded(&x.shape, &x.values(), rng)).collect();
        let evaluate = |entry: Option<(usize, usize)>| {
            let mut inputs = graph.inputs.clone();
            inputs.iter_mut().flat_map(|x| &mut x.data).for_each(|x| x.a = 0.0);
            entry.into_iter().for_each(|(input, element)| inputs[input].data[element].a = 1.0);
            let values = graph.recipe.evaluate(&inputs);
            let asked: Vec<&Duals> = graph.asked.iter().map(|at| &values[*at]).collect();
            dual_loss(&asked)
        };
        let wanted: Vec<Vec<Dual>> = (0..graph.inputs.len())
            .map(|i| (0..graph.inputs[i].data.len()).map(|e| evaluate(Some((i, e)))).collect())
            .collect();
        let along = evaluate(None);

        let tape = Tape::new();
        let vars: Vec<Var<'_>> = graph.tensors(DType::F64).iter().map(|x| tape.var(x)).collect();
        let directions: Vec<Var<'_>> = graph
            .inputs
            .iter()
            .map(|x| tape.constant(typed(&x.data.iter().map(|x| x.b).collect::<Vec<_>>(), &x.shape[..], DType::F64)))
            .collect();
        let n = vars.len();
        let loss = loss(&graph.asked(&vars, false));
        let or_zeros = |g: Option<Var<'_>>, i: usize| {
            g.map_or_else(|| tape.zeros(&graph.inputs[i].shape[..], DType::F64).id, |g| g.id)
        };
        let gradient = |of: Var<'_>, i: usize| Var { tape: &tape, id: or_zeros(of.grad_or_none([vars[i]])[0], i) };
        let first: Vec<Var<'_>> = (0..n).map(|i| gradient(loss, i)).collect();
        let slope = (0..n).map(|i| (first[i] * directions[i]).sum()).reduce(|a, b| a + b).expect("an input");
        let mut asked = vec![loss, slope];
        asked.extend(&first);
        asked.extend((0..n).map(|i| gradient(slope, i)));
        if graph.recipe.tangents {
            for of in std::iter::once(loss).chain(first.iter().copied()) {
                let tangents = (0..n).filter_map(|j| of.jvp_or_none([(vars[j], directions[j])]));
                let sum = tangents.reduce(|a, b| a + b);
                asked.push(sum.unwrap_or_else(|| tape.zeros(of.shape().expect("valid"), DType::F64)));
            }
        }
        let found = tape.eval_all(&asked).unwrap_or_else(|error| panic!("graph {seed}: {error}"));
        near(&found[0], &[along.x], &format!("graph {seed}, value"));
        near(&found[1], &[along.b], &format!("graph {seed}, slope"));
        for i in 0..n {
            let of = |part: fn(&Dual) -> f64| wanted[i].iter().map(part).collect::<Vec<f64>>();
            near(&found[2 + i], &of(|d| d.a), &format!("graph {seed}, gradient {i}"));
            near(&found[2 + n + i], &of(|d| d.ab), &format!("graph {seed}, gradient {i} of the slope"));
            if graph.recipe.tangents {
                near(&found[2 + 2 * n], &[along.b], &format!("graph {seed}, tangent"));
                near(&found[3 + 2 * n + i], &of(|d| d.ab), &format!("graph {seed}, tangent of gradient {i}"));
            }
        }
    });
    let (deepest, deep) = (deepest.into_inner(), deep.into_inner());
    println!("the deepest graph has {deepest} operations in a row, {deep} graphs have 15 or more");
    assert!(deepest >= 20, "graphs are deep: {deepest}");
}

#[test]
fn fuzz_gradients_are_those_of_differences() {
    for_each_graph(300, Flavour::Smooth, 8, |seed, graph| {
        let inputs = graph.tensors(DType::F64);
        let options = CheckOptions { eps: 1e-5, rtol: 1e-4, atol: 1e-6, seed, fast: true };
        // Where values vary quickly a smaller step is the better one; a wrong rule is wrong at both.
        let check = |order: &str, run: &dyn Fn(CheckOptions) -> Result<(), CheckFailure>| {
            if let Err(failure) = run(options).or_else(|_| run(CheckOptions { eps: 1e-6, ..options })) {
                panic!("graph {seed}, {order}: {failure}");
            }
        };
        check("first order", &|options| gradcheck(|v| loss(&graph.asked(v, false)), &inputs, options));
        if seed % 4 == 0 {
            check("second order", &|options| gradgradcheck(|v| loss(&graph.asked(v, false)), &inputs, options));
        }
    });
}

#[test]
fn fuzz_scans_are_their_loops() {
    for_each_graph(300, Flavour::Judged, 16, |seed, graph| {
        let inputs = graph.tensors(DType::F64);
        let run = |unroll: bool| -> Vec<Option<Tensor>> {
            let tape = Tape::new();
            let vars: Vec<Var<'_>> = inputs.iter().map(|x| tape.var(x)).collect();
            let asked = graph.asked(&vars, unroll);
            let loss = loss(&asked);
            let first: Vec<Option<Var<'_>>> = vars.iter().map(|v| loss.grad_or_none([*v])[0]).collect();
            let norm = first.iter().flatten().map(|g| g.square().sum()).reduce(|a, b| a + b);
            let second = vars.iter().map(|v| norm.and_then(|norm| norm.grad_or_none([*v])[0]));
            let all: Vec<Option<Var<'_>>> = asked.iter().map(|v| Some(*v)).chain(first.clone()).chain(second).collect();
            let present: Vec<Var<'_>> = all.iter().flatten().copied().collect();
            let mut values = tape.eval_all(&present).unwrap().into_iter();
            all.iter().map(|v| v.and_then(|_| values.next())).collect()
        };
        for (i, (a, b)) in run(false).iter().zip(run(true)).enumerate() {
            // Where one recording knows that a derivative is zero, the other may compute it.
            let zero = |t: &Tensor| Tensor::zeros(t.shape(), t.dtype());
            let (a, b) = match (a, &b) {
                (Some(a), Some(b)) => (a.clone(), b.clone()),
                (Some(a), None) => (a.clone(), zero(a)),
                (None, Some(b)) => (zero(b), b.clone()),
                (None, None) => continue,
            };
            assert_eq!(a.shape(), b.shape(), "graph {seed}, value {i}");
            near(&a, &b.to_f64_vec(), &format!("graph {seed}, value {i}, scan and loop"));
        }
    });
}
