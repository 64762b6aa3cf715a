//! Checkpoints: the same bits, with less memory.

use super::cases::Case;
use super::structural::{cases, inputs};
use super::support::{Rng, WIDE, assert_equal, same_bits, sampled};
use crate::program::arena_bytes;
use crate::{DType, Param, ScanOptions, Tape, Tensor, Var};

type Function<'a> = &'a dyn for<'t> Fn(&[Var<'t>]) -> Var<'t>;

/// A value and its derivatives: of first and second order, in both modes.
fn derivatives(f: Function<'_>, inputs: &[Tensor], what: &str) -> Vec<Tensor> {
    let tape = Tape::new();
    let vars: Vec<Var<'_>> = inputs.iter().map(|x| tape.var(x)).collect();
    let y = f(&vars);
    let loss = y.square().tanh().sum();
    let mut asked = vec![y];
    let first: Vec<Var<'_>> = loss.grad_or_none(&vars[..]).into_iter().flatten().collect();
    asked.extend(&first);
    if let Some(norm) = first.iter().map(|g| g.square().sum()).reduce(|a, b| a + b) {
        asked.extend(norm.grad_or_none(&vars[..]).into_iter().flatten());
    }
    for derivative in [y].into_iter().chain(first) {
        asked.extend(derivative.jvp_or_none([(vars[0], vars[0] * 0.5 + 1.0)]));
    }
    same_bits(&tape, &asked, what)
}

fn assert_same(plain: Function<'_>, checkpointed: Function<'_>, inputs: &[Tensor], what: &str) {
    let (wanted, found) = (derivatives(plain, inputs, what), derivatives(checkpointed, inputs, what));
    assert_eq!(wanted.len(), found.len(), "{what}");
    for (i, (a, b)) in found.iter().zip(&wanted).enumerate() {
        assert_equal(a, b, &format!("{what}, checkpointed: value {i}"));
    }
}

fn maybe<R>(tape: &Tape, checkpointed: bool, f: impl FnOnce() -> R) -> R {
    if checkpointed { tape.checkpoint(f) } else { f() }
}

/// A case in the body of a loop, carried and captured, with checkpoints in the body or around the loop.
fn looped<'t>(case: &Case, v: &[Var<'t>], reverse: bool, [body, around]: [bool; 2]) -> Var<'t> {
    let tape = v[0].tape();
    let options = ScanOptions { reverse, length: Some(3), ..Default::default() };
    let scale = tape.constant(Tensor::from_slice(&[0.7, -0.4, 0.9], [3]).unwrap());
    maybe(tape, around, || {
        let (last, ys) = tape.scan_with(options, v[0].sin(), scale, |s, w| {
            let y = maybe(tape, body, || {
                let mut now = v.to_vec();
                now[0] = s * w;
                (case.f)(&now).tanh().sum()
            });
            (maybe(tape, body, || (s * 0.5 + y).sin() * w), y * y)
        });
        last.sum() * 0.1 + ys.sum()
    })
}

/// Every operation and composition as a checkpoint, as a nested one, in the body of a loop and with a loop inside.
#[test]
fn a_checkpoint_changes_no_bit() {
    let rng = &mut Rng::new(1);
    for case in cases().filter(|case| case.smooth) {
        let inputs = inputs(case, DType::F64, rng);
        assert_same(&case.f, &|v| v[0].tape().checkpoint(|| (case.f)(v)), &inputs, case.name);
        let flat: Function<'_> = &|v| (case.f)(&with_first(v, v[0].sin())).tanh();
        let deep: Function<'_> = &|v| {
            let tape = v[0].tape();
            tape.checkpoint(|| {
                let first = tape.checkpoint(|| v[0].sin());
                tape.checkpoint(|| (case.f)(&with_first(v, first))).tanh()
            })
        };
        assert_same(flat, deep, &inputs, case.name);
        for reverse in [false, true] {
            for checkpoints in [[true, false], [false, true], [true, true]] {
                let what = format!("{} in a loop, reverse {reverse}, {checkpoints:?}", case.name);
                let plain: Function<'_> = &|v| looped(case, v, reverse, [false, false]);
                assert_same(plain, &|v| looped(case, v, reverse, checkpoints), &inputs, &what);
            }
        }
    }
}

fn with_first<'t>(v: &[Var<'t>], first: Var<'t>) -> Vec<Var<'t>> {
    std::iter::once(first).chain(v[1..].iter().copied()).collect()
}

/// A loop in the body of a loop, with checkpoints at every level, parameters and a derivative inside of a checkpoint.
#[test]
fn checkpoints_at_every_level() {
    let rng = &mut Rng::new(2);
    let data = [sampled([2, 3], DType::F64, &WIDE, rng), sampled([4, 2, 3], DType::F64, &WIDE, rng)];
    let w = Param::new(sampled([3, 3], DType::F64, &WIDE, rng));
    fn run<'t>(v: &[Var<'t>], w: &Param, on: [bool; 4]) -> Var<'t> {
        let tape = v[0].tape();
        let w = &tape.param(w).tanh();
        let (last, ys) = maybe(tape, on[0], || {
            tape.scan(v[0], v[1], |h, x| {
                maybe(tape, on[1], || {
                    let (inner, zs) = tape.scan(h, v[1], |g, z| {
                        let g = maybe(tape, on[2], || (g.matmul(*w) * x + z).tanh());
                        (g, g * z)
                    });
                    // A step along a gradient, as in learning to learn.
                    let stepped = maybe(tape, on[3], || {
                        let [step] = (inner.matmul(*w).sin() * x).sum().grad([inner]);
                        inner - step * 0.1
                    });
                    (stepped, zs.sum_axes(0) + x)
                })
            })
        });
        last * ys.mean_axes(0)
    }
    for on in 1..16u32 {
        let on = [0, 1, 2, 3].map(|bit| on >> bit & 1 == 1);
        let what = format!("checkpoints {on:?}");
        assert_same(&|v| run(v, &w, [false; 4]), &|v| run(v, &w, on), &data, &what);
    }
}

/// The arena of the program of a loss and its gradients.
fn arena<'t>(loss: Var<'t>, wrt: &[Var<'t>]) -> usize {
    let asked: Vec<u32> = [loss].iter().chain(&loss.grad(wrt)).map(|v| v.id).collect();
    arena_bytes(loss.tape(), &asked)
}

/// A segment whose derivative reads eight values of the size of `h`.
fn segment<'t>(h: Var<'t>, w: Var<'t>) -> Var<'t> {
    (0..4).fold(h, |h, _| h.matmul(w).tanh().sin())
}

#[test]
fn a_chain_of_checkpoints_keeps_its_inputs_only() {
    const SEGMENTS: usize = 64;
    let size = 32 * 16 * 8;
    let values = |f: &dyn for<'t> Fn(&'t Tape, Var<'t>, Var<'t>) -> Var<'t>| {
        let tape = Tape::new();
        let (x, w) =
            (tape.var(Tensor::full([32, 16], 0.1, DType::F64)), tape.var(Tensor::full([16, 16], 0.3, DType::F64)));
        let loss = f(&tape, x, w).square().sum();
        (arena(loss, &[x, w]), loss.grad([x, w]).map(|g| g.value().unwrap()))
    };
    let (plain, wanted) = values(&|_, x, w| (0..SEGMENTS).fold(x, |h, _| segment(h, w)));
    let (flat, found) = values(&|tape, x, w| (0..SEGMENTS).fold(x, |h, _| tape.checkpoint(|| segment(h, w))));
    let (nested, deep) = values(&|tape, x, w| {
        (0..8).fold(x, |h, _| tape.checkpoint(|| (0..8).fold(h, |h, _| tape.checkpoint(|| segment(h, w)))))
    });
    for (a, b) in wanted.iter().zip(found.iter().zip(&deep)) {
        assert!(a.bit_eq(b.0) && a.bit_eq(b.1));
    }
    // Without: eight values for each segment. With: one, and those of one segment. Nested: eight, eight, and those of one segment.
    assert!(plain >= 8 * SEGMENTS * size, "{plain}");
    assert!(flat <= (SEGMENTS + 24) * size, "{flat}");
    assert!(nested <= (8 + 8 + 24) * size, "{nested}");

    // Two derivatives recompute apart: values of the first do not wait for the second.
    let tape = Tape::new();
    let x = tape.var(Tensor::full([32, 16], 0.1, DType::F64));
    let w = tape.var(Tensor::full([16, 16], 0.3, DType::F64));
    let last = (0..SEGMENTS).fold(x, |h, _| tape.checkpoint(|| segment(h, w)));
    let loss = last.square().sum();
    let ([a], [b]) = (loss.grad([x]), last.sum().grad([w]));
    let both = arena_bytes(&tape, &[loss.id, a.id, b.id]);
    assert!(both <= (SEGMENTS + 48) * size, "{both}");
}

#[test]
fn a_checkpointed_step_keeps_its_carry_only() {
    const STEPS: usize = 200;
    let size = 16 * 8 * 8;
    let values = |checkpointed: bool| {
        let tape = Tape::new();
        let x = tape.var(Tensor::full([16, 8], 0.1, DType::F64));
        let xs = tape.constant(Tensor::full([STEPS, 16, 8], 0.2, DType::F64));
        let (last, _) = tape.scan(x, xs, |h, x| {
            (maybe(&tape, checkpointed, || (0..8).fold(h, |h, _| (h.sin() + x).tanh() * h.exp())), ())
        });
        let loss = last.square().sum();
        (arena(loss, &[x]), loss.grad([x]).map(|g| g.value().unwrap()))
    };
    let ((plain, wanted), (less, found)) = (values(false), values(true));
    assert!(wanted[0].bit_eq(&found[0]));
    assert!(plain >= 16 * STEPS * size, "{plain}");
    assert!(less <= (STEPS + 64) * size, "{less}");
}
