//! What holds for every operation, over random shapes, types, layouts, attributes and values: 256 cases or more for each
//! family of the [registry](super::families).

use super::dual::{Dual, Duals, total, watched};
use super::families::{Draw, Family, Use, families};
use super::support::{LAYOUTS, Layout, Rng, equal, laid_out, same_bits, sampled, scan_agrees};
use crate::check::{self, CheckOptions};
use crate::ops::Sample;
use crate::{DType, ScanOptions, Tape, Tensor, Var};

const CASES: u64 = 256;

/// A use with operands.
struct Case {
    what: String,
    used: Use,
    inputs: Vec<Tensor>,
    layouts: Vec<Layout>,
}

fn random_shape(rng: &mut Rng, long: bool) -> Vec<usize> {
    let rank = rng.below(5);
    let mut shape: Vec<usize> = (0..rank)
        .map(|_| match rng.below(16) {
            0 => 0,
            1..=4 => 1,
            _ => 2 + rng.below(3),
        })
        .collect();
    while shape.iter().product::<usize>() > 40 {
        shape.pop();
    }
    if let (Some(last), true) = (shape.last_mut(), long) {
        *last += 250 + rng.below(20);
    }
    shape
}

/// A random use of a family; long rows fill more than one tile.
fn case(family: &Family, dtype: DType, seed: u64, long: bool) -> Case {
    let rng = &mut Rng::new(seed);
    let mut tries = 0;
    let used = loop {
        let shape = random_shape(rng, long);
        if let Some(used) = family.draw(&mut Draw { rng, pool: &[] }, &shape) {
            break used;
        }
        tries += 1;
        assert!(tries < 1000, "{}: no shape fits", family.name());
    };
    let layouts: Vec<Layout> = used.shapes.iter().map(|_| *rng.pick(&LAYOUTS)).collect();
    let inputs: Vec<Tensor> = (0..layouts.len())
        .map(|i| layouts[i].suited(sampled(&used.shapes[i][..], dtype, &used.samples[i], rng)))
        .collect();
    let what = format!("{} in {dtype} over {:?} as {layouts:?}, seed {seed}", family.name(), used.shapes);
    Case { what, used, inputs, layouts }
}

impl Case {
    fn record<'t>(&self, tape: &'t Tape) -> (Vec<Var<'t>>, Var<'t>) {
        let vars: Vec<Var<'t>> = self.inputs.iter().zip(&self.layouts).map(|(x, l)| laid_out(tape, x, *l)).collect();
        let y = (self.used.record)(&vars);
        if let Err(error) = y.shape() {
            panic!("{}: {error}", self.what);
        }
        (vars, y)
    }

    fn duals(&self) -> Vec<Duals> {
        self.inputs.iter().map(|x| Duals::of(x.shape(), &x.to_f64_vec())).collect()
    }
}

fn types(family: &Family) -> Vec<DType> {
    let all = [DType::F64, DType::F32, DType::I64];
    all[..2 + family.facts().integers as usize].to_vec()
}

/// Alone and among neighbours, the program gives the bits of its nodes and the values of the definition.
#[test]
fn values_are_those_of_the_definition() {
    for family in families() {
        for seed in 0..CASES {
            for dtype in types(&family) {
                let case = case(&family, dtype, seed, seed % 16 == 0);
                let tape = Tape::new();
                let (vars, y) = case.record(&tape);
                let near = y * y + 1;
                let used_twice = tape.concat(&[near.reshape([near.shape().unwrap().numel()]); 2], 0);
                let found = same_bits(&tape, &[y, near, used_twice, vars[0] + vars[0]], &case.what).remove(0);
                let alone = same_bits(&tape, &[(case.used.record)(&vars)], &case.what).remove(0);
                assert!(equal(&found, &alone), "{}: alone\n{alone:?}\nwith others\n{found:?}", case.what);
                let wanted = (case.used.reference)(&case.duals());
                assert_eq!(found.shape().to_vec(), wanted.shape, "{}", case.what);
                assert_eq!(found.dtype(), dtype, "{}", case.what);
                let exact = family.facts().tolerance;
                let tolerance = match dtype {
                    DType::F64 => exact,
                    DType::F32 => 3e-5,
                    _ => 0.0,
                };
                for (x, y) in found.to_f64_vec().into_iter().zip(wanted.values()) {
                    let near = (x - y).abs() <= tolerance * y.abs().max(1.0);
                    assert!(near || x.is_nan() && y.is_nan(), "{}: {x:?} is not {y:?}", case.what);
                }
            }
        }
    }
}

/// A step of a loop gives what it gives outside, whichever operands change over time.
#[test]
fn a_scan_gives_what_the_steps_give() {
    for family in families() {
        for seed in 0..CASES {
            let types = types(&family);
            let dtype = types[seed as usize % types.len()];
            let case = case(&family, dtype, seed, false);
            let rng = &mut Rng::new(seed ^ 0x5ca9);
            let steps: Vec<Vec<Tensor>> = (0..1 + rng.below(4))
                .map(|_| {
                    let draw = |(shape, sample): (&Vec<usize>, &Sample)| sampled(&shape[..], dtype, sample, rng);
                    case.used.shapes.iter().zip(&case.used.samples).map(draw).collect()
                })
                .collect();
            let mut held: Vec<bool> = case.inputs.iter().map(|_| rng.below(3) == 0).collect();
            held[rng.below(case.inputs.len())] = false;
            scan_agrees(&case.used.record, &steps, &held, rng.below(2) == 0, &case.what);
        }
    }
}

/// A scalar that depends on every element of a result, with a second derivative.
fn objective<'t>(y: Var<'t>, weights: &[f64]) -> Var<'t> {
    let shape = y.shape().unwrap();
    let u = Tensor::from_slice(&weights[..shape.numel()], shape).unwrap();
    ((y * 0.7).sin() * y.tape().constant(u)).sum()
}

fn dual_objective(y: &Duals, weights: &[f64]) -> Dual {
    total(&y.data.iter().zip(weights).map(|(y, u)| (*y * 0.7.into()).sin() * (*u).into()).collect::<Vec<_>>())
}

/// A family in a loop: the first operand is carried, the others are captured.
fn looped<'t>(case: &Case, vars: &[Var<'t>], weights: &[f64], reverse: bool) -> Var<'t> {
    let tape = vars[0].tape();
    let options = ScanOptions { reverse, length: Some(2), ..Default::default() };
    let scale = tape.constant(Tensor::from_slice(&[0.9, -0.4], [2]).unwrap());
    let (last, ys) = tape.scan_with(options, vars[0], scale, |s, w| {
        let mut now = vars.to_vec();
        now[0] = s;
        let y = objective((case.used.record)(&now), weights) * w;
        (s * (y.sin() * 0.05 + 0.8), y)
    });
    ys.sum() + (last * 0.3).sum()
}

fn dual_looped(case: &Case, x: &[Duals], weights: &[f64], reverse: bool) -> Dual {
    let mut now = x.to_vec();
    let mut sum = Dual::from(0.0);
    for step in 0..2 {
        let w = if (step == 0) == reverse { -0.4 } else { 0.9 };
        let y = dual_objective(&(case.used.reference)(&now), weights) * w.into();
        sum = sum + y;
        now[0] = now[0].map(|s| s * (y.sin() * 0.05.into() + 0.8.into()));
    }
    sum + total(&now[0].map(|s| s * 0.3.into()).data)
}

/// Gradients, tangents, and both of gradients, are those of dual numbers: alone and in a loop.
#[test]
fn derivatives_are_those_of_dual_numbers() {
    for family in families() {
        let facts = family.facts();
        let (mut judged, mut skipped) = (0, 0);
        for seed in 0..CASES {
            let mut case = case(&family, DType::F64, seed, false);
            let in_loop = seed % 2 == 1;
            if in_loop {
                // Carries are plain, and what a body captures has any layout.
                case.layouts[0] = Layout::Plain;
            }
            let rng = &mut Rng::new(seed ^ 0xd1ff);
            let weights: Vec<f64> = (0..4096).map(|_| rng.unit() * 2.0 - 1.0).collect();
            let directions: Vec<Vec<f64>> =
                case.inputs.iter().map(|x| (0..x.numel()).map(|_| rng.unit() * 2.0 - 1.0).collect()).collect();

            // The judge: one evaluation for each element, along it and along the direction.
            let duals = case.duals();
            let evaluate = |input: usize, element: Option<usize>| {
                let mut x = duals.clone();
                for (x, v) in x.iter_mut().zip(&directions) {
                    x.data.iter_mut().zip(v).for_each(|(x, v)| x.b = *v);
                }
                element.into_iter().for_each(|e| x[input].data[e].a = 1.0);
                if in_loop {
                    dual_looped(&case, &x, &weights, seed % 4 == 1)
                } else {
                    dual_objective(&(case.used.reference)(&x), &weights)
                }
            };
            let (along, margin) = watched(|| evaluate(0, None));
            if margin.closest < 1e-7 || !along.b.is_finite() {
                skipped += 1;
                continue;
            }
            judged += 1;
            let wanted: Vec<Vec<Dual>> = case
                .inputs
                .iter()
                .enumerate()
                .map(|(i, x)| (0..x.numel()).map(|e| evaluate(i, Some(e))).collect())
                .collect();

            let tape = Tape::new();
            // Layouts are views of variables of their own; the operands themselves are what is differentiated.
            let (vars, y) = case.record(&tape);
            let loss = if in_loop { looped(&case, &vars, &weights, seed % 4 == 1) } else { objective(y, &weights) };
            let v: Vec<Var<'_>> = directions
                .iter()
                .zip(&case.inputs)
                .map(|(v, x)| tape.constant(Tensor::from_slice(v, x.shape()).unwrap()))
                .collect();
            let zeros = |i: usize| tape.zeros(case.inputs[i].shape(), DType::F64);
            let gradient = |of: Var<'_>, i: usize| of.grad_or_none([vars[i]])[0].unwrap_or_else(|| zeros(i)).id;
            let gradient = |of: Var<'_>, i: usize| Var { tape: &tape, id: gradient(of, i) };
            let n = vars.len();
            let first: Vec<Var<'_>> = (0..n).map(|i| gradient(loss, i)).collect();
            let slope = (0..n).map(|i| (first[i] * v[i]).sum()).reduce(|a, b| a + b).unwrap();
            let second: Vec<Var<'_>> = (0..n).map(|i| gradient(slope, i)).collect();
            let mut asked = vec![slope];
            asked.extend(&first);
            asked.extend(&second);
            if facts.tangents {
                let push = |of: Var<'_>| {
                    let sum = (0..n).filter_map(|j| of.jvp_or_none([(vars[j], v[j])])).reduce(|a, b| a + b);
                    sum.unwrap_or_else(|| tape.zeros(of.shape().unwrap(), DType::F64)).id
                };
                let push = |of: Var<'_>| Var { tape: &tape, id: push(of) };
                let tangents: Vec<Var<'_>> = std::iter::once(loss).chain(first.iter().copied()).map(push).collect();
                asked.extend(tangents);
            }
            let found = same_bits(&tape, &asked, &case.what);
            let near = |found: &Tensor, wanted: &[f64], label: &str| {
                let found = found.to_f64_vec();
                assert_eq!(found.len(), wanted.len(), "{}, {label}", case.what);
                let scale = wanted.iter().fold(1.0f64, |m, w| m.max(w.abs()));
                for (f, w) in found.iter().zip(wanted) {
                    let near = (f - w).abs() <= facts.slopes * scale;
                    assert!(near, "{}, in a loop: {in_loop}, {label}: {f} is not {w}", case.what);
                }
            };
            let of = |i: usize, part: fn(&Dual) -> f64| wanted[i].iter().map(part).collect::<Vec<f64>>();
            near(&found[0], &[along.b], "the slope");
            for i in 0..n {
                near(&found[1 + i], &of(i, |d| d.a), "reverse");
                near(&found[1 + n + i], &of(i, |d| d.ab), "reverse over reverse");
                if facts.tangents {
                    near(&found[1 + 2 * n], &[along.b], "forward");
                    near(&found[2 + 2 * n + i], &of(i, |d| d.ab), "forward over reverse");
                }
            }
        }
        assert!(skipped * 10 <= judged, "{}: {skipped} cases lie on a kink, {judged} do not", family.name());
    }
}

/// Gradients of both orders against differences of values, along random directions: a quarter of the cases.
#[test]
fn derivatives_are_those_of_differences() {
    for family in families().iter().filter(|family| family.facts().honest) {
        let mut judged = 0;
        for seed in 0..CASES / 4 {
            let case = case(family, DType::F64, seed, false);
            let (_, margin) = watched(|| (case.used.reference)(&case.duals()));
            if margin.tied || margin.closest < 1e-3 {
                continue;
            }
            judged += 1;
            let options = CheckOptions { eps: 1e-5, rtol: 1e-5, atol: 1e-6, seed, fast: true };
            let checked = check::gradcheck(|v| (case.used.record)(v), &case.inputs, options)
                .and_then(|()| check::gradgradcheck(|v| (case.used.record)(v), &case.inputs, options));
            if let Err(failure) = checked {
                panic!("{}: {failure}", case.what);
            }
        }
        assert!(judged >= 16, "{}: only {judged} cases lie off the kinks", family.name());
    }
}

/// NaN, infinities, zeros of both signs and denormals pass through programs, loops and gradients as through their nodes,
/// and through what only moves elements as themselves.
#[test]
fn special_values_survive_optimisation() {
    let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1.0, -1.0, 5e-324, -1e-310, 1e308, 0.5, -2.5];
    for family in families() {
        let facts = family.facts();
        for seed in 0..CASES {
            let dtype = if seed % 2 == 0 { DType::F64 } else { DType::F32 };
            let mut case = case(&family, dtype, seed, seed % 16 == 0);
            let rng = &mut Rng::new(seed ^ 0x5bec);
            for (x, layout) in case.inputs.iter_mut().zip(&case.layouts) {
                let values: Vec<f64> = (0..x.numel()).map(|_| *rng.pick(&special)).collect();
                *x = layout.suited(Tensor::from_vec(values, x.shape()).unwrap().cast(dtype));
            }
            let tape = Tape::new();
            let (vars, y) = case.record(&tape);
            let mut asked = vec![y, y + y];
            asked.extend(vars.iter().filter_map(|x| (y * 0.5).sum().grad_or_none([*x])[0]));
            let found = same_bits(&tape, &asked, &case.what).remove(0);
            // Layouts that compute change the sign of no zero.
            if facts.tolerance == 0.0 && facts.smooth {
                let wanted = (case.used.reference)(&case.duals());
                let wanted = Tensor::from_vec(wanted.values(), &wanted.shape[..]).unwrap().cast(dtype);
                assert!(equal(&found, &wanted), "{}:\n{found:?}\nis not\n{wanted:?}", case.what);
            }
            let steps = vec![case.inputs.clone(), case.inputs.clone()];
            let mut held = vec![false; case.inputs.len()];
            held[0] = held.len() > 1 && seed % 3 == 0;
            scan_agrees(&case.used.record, &steps, &held, seed % 2 == 1, &case.what);
        }
    }
}

/// The text of all files of a folder of this crate.
fn sources(folder: &str) -> String {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}

/// A method that no family calls is a method without a test.
#[test]
fn every_method_has_a_family() {
    let uses = sources("src/tests/families");
    let called =
        |name: &str| uses.contains(&format!("{name}(")) || families().iter().any(|family| family.name() == name);
    let operations = sources("src/ops");
    let lines: Vec<&str> = operations.lines().map(str::trim).collect();
    // What records has the caller's line.
    let methods: Vec<&str> = lines
        .windows(2)
        .filter(|pair| pair[0] == "#[track_caller]")
        .filter_map(|pair| pair[1].strip_prefix("pub fn "))
        .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default())
        // The macro's own.
        .filter(|name| !name.is_empty())
        .collect();
    assert!(methods.len() > 60, "the methods are found: {methods:?}");
    let missing: Vec<&&str> = methods.iter().filter(|name| !called(name)).collect();
    assert!(missing.is_empty(), "no family calls {missing:?}: add an entry to src/tests/families");
}

/// Likewise for what a tape can hold.
#[test]
fn every_variant_has_a_family() {
    let mut seen = std::collections::BTreeSet::new();
    for family in families() {
        for seed in 0..8 {
            let case = case(&family, DType::F64, seed, false);
            let tape = Tape::new();
            let (vars, y) = case.record(&tape);
            let loss = y.square().sum();
            for v in vars {
                loss.grad_or_none([v]);
            }
            seen.extend(tape.inner.borrow().nodes.iter().map(|node| super::structural::variant(&node.op)));
        }
    }
    let missing: Vec<_> = super::structural::VARIANTS.iter().filter(|name| !seen.contains(**name)).collect();
    assert_eq!(missing, [&"Error"], "errors have tests of their own");
}
