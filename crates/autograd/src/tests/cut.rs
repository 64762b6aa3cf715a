//! Random loops under random checkpoints: losses, gradients, tangents and second derivatives have the bits of plain loops.
//!
//! `WENGERT_FUZZ=10000 cargo test -p wengert-autograd cut` runs more of them, `WENGERT_FUZZ_FROM=n` starts at seed `n`.

use super::fuzz::seeds;
use super::support::{Rng, WIDE, assert_equal, sampled};
use crate::program::arena_bytes;
use crate::{Checkpoint, DType, ScanOptions, Tape, Tensor, Var, set_threads};

/// What a random case is made of.
struct Case {
    seed: u64,
    steps: usize,
    rows: usize,
    width: usize,
    dtype: DType,
    layers: usize,
    /// Operations in a body.
    operations: usize,
    order: Order,
}

#[derive(Clone, Copy, PartialEq)]
enum Order {
    First,
    Second,
    /// Tangents of the loss and of its gradients.
    Forward,
}

/// The operations of [`operation`].
const OPERATIONS: usize = 22;
/// Inputs: items, start, memory, table, and from the fifth on weights, rows, columns and numbers.
const MATRICES: usize = 3;

impl Case {
    fn new(seed: u64) -> Case {
        let rng = &mut Rng::new(seed ^ 0xc7);
        let order = [Order::First, Order::First, Order::First, Order::Second, Order::Forward][rng.below(5)];
        // A product with so many rows can be cut after `grain` steps.
        let (rows, grain) = *rng.pick(&[(1, 512), (2, 256), (3, 512), (8, 64), (16, 32), (32, 16), (64, 8), (96, 16)]);
        let most = if order == Order::First { 5 } else { 2 };
        let steps = if rng.below(8) == 0 { rng.below(6) } else { grain * (1 + rng.below(most)) + rng.below(grain + 1) };
        Case {
            seed,
            steps: steps.min(1700),
            rows,
            width: 1 + rng.below(3),
            dtype: if rng.below(3) == 0 { DType::F64 } else { DType::F32 },
            layers: 1 + rng.below(3) / 2,
            operations: if order == Order::First { 2 + rng.below(7) } else { 2 + rng.below(3) },
            order,
        }
    }

    fn data(&self) -> Vec<Tensor> {
        let (t, b, h, rng) = (self.steps, self.rows, self.width, &mut Rng::new(self.seed));
        let matrices = std::iter::repeat_n(vec![h, h], MATRICES);
        let shapes = [vec![t, b, h], vec![b, h], vec![4, h], vec![5, h]].into_iter().chain(matrices);
        let shapes = shapes.chain([vec![h], vec![b, 1], vec![]]);
        shapes.map(|shape| sampled(shape, self.dtype, &WIDE, rng)).collect()
    }

    /// Two losses, values at all steps that are asked for themselves, and such that are not. Equal for equal arguments but for
    /// what is kept.
    fn record<'t>(&self, v: &[Var<'t>], checkpoint: Checkpoint) -> [Vec<Var<'t>>; 3] {
        let rng = &mut Rng::new(self.seed ^ 0x51);
        let (tape, mut xs, mut asked, mut outputs) = (v[0].tape(), v[0], Vec::new(), Vec::new());
        let (mut loss, mut other) = (tape.literal(0.0, self.dtype), v[1].square().sum());
        for _ in 0..self.layers {
            let options = ScanOptions { reverse: rng.below(2) == 0, checkpoint, ..Default::default() };
            let adds_up = rng.below(2) == 0;
            let count = tape.constant(Tensor::full([], 0.0, DType::I64));
            let total = tape.zeros([self.rows], self.dtype);
            let rows = (0..self.steps * self.rows).map(|_| rng.below(5) as i64).collect::<Vec<_>>();
            let rows = tape.constant(Tensor::from_vec(rows, [self.steps, self.rows]).expect("counted"));
            let mut body = Rng::new(rng.bits());
            let layer_inputs = [&[xs], &v[1..]].concat();
            let (last, ys) =
                tape.scan_with(options, (v[1], v[1].sin(), count, total), (xs, rows), |(h, g, n, sum), (x, index)| {
                    let mut values = vec![h, g, x];
                    for _ in 0..self.operations {
                        let value = operation(&mut body, &values, &layer_inputs, [n, index], (self.order, options));
                        values.push(value);
                    }
                    let newest = values[values.len() - 1];
                    let h = newest.tanh() * 0.7 + h * 0.4;
                    let next = if body.below(4) == 0 { g } else { *body.pick(&values[2..]) };
                    let sum = if adds_up { sum + (h * newest.sin()).sum_axes(-1) } else { sum };
                    ((h, next * 0.9, n + tape.literal(1.0, DType::I64), sum), (h * x, *body.pick(&values)))
                });
            // Each of the outputs may be read at all steps, at one, or not at all.
            let parts = [last.0.square().sum(), last.1.sum(), last.3.sum(), ys.0.square().mean(), ys.1.tanh().sum()];
            parts.into_iter().for_each(|part| match rng.below(4) {
                0 => other = other + part * 0.3,
                1 => loss = loss + part * part * 0.1,
                2 => loss = loss + part,
                _ => {}
            });
            if self.steps > 0 && rng.below(3) == 0 {
                loss = loss + ys.1.get(0, rng.below(self.steps)).square().sum();
            }
            if rng.below(4) == 0 {
                asked.push(ys.0);
            }
            outputs.push(ys.1);
            xs = ys.0;
        }
        [vec![loss + xs.sin().mean(), other], asked, outputs]
    }

    /// The values asked for.
    fn run(&self, checkpoint: Checkpoint) -> (Vec<Tensor>, usize) {
        let tape = Tape::new();
        let v: Vec<Var<'_>> = self.data().iter().map(|x| tape.var(x)).collect();
        let [losses, mut asked, outputs] = self.record(&v, checkpoint);
        let wrt: Vec<Var<'_>> =
            v.iter().enumerate().filter(|(i, _)| self.seed >> i & 1 == 0).map(|(_, v)| *v).collect();
        let gradients: Vec<Var<'_>> = losses.iter().flat_map(|loss| loss.grad_or_none(wrt.clone())).flatten().collect();
        match self.order {
            Order::First => {}
            Order::Second => {
                let norm = gradients.iter().map(|g| g.square().sum()).reduce(|a, b| a + b);
                asked.extend(norm.iter().flat_map(|norm| norm.grad_or_none(wrt.clone())).flatten());
            }
            Order::Forward => {
                let along = || v.iter().map(|v| (*v, v.detach().cos())).collect::<Vec<_>>();
                asked.extend(losses[0].jvp_or_none(along()));
                asked.extend(gradients.first().and_then(|g| g.jvp_or_none(along())));
            }
        }
        // Sums over time that the derivative knows nothing of.
        asked.extend(outputs.iter().map(|y| y.sum_axes(0)));
        asked.extend(losses);
        asked.extend(gradients);
        let bytes = arena_bytes(&tape, &asked.iter().map(|v| v.id).collect::<Vec<_>>());
        (tape.eval_all(&asked).unwrap_or_else(|error| panic!("case {}: {error}", self.seed)), bytes)
    }
}

/// A value `[rows, width]` of others of that shape, and of what the loop captures.
fn operation<'t>(
    rng: &mut Rng,
    values: &[Var<'t>],
    v: &[Var<'t>],
    [n, index]: [Var<'t>; 2],
    (order, options): (Order, ScanOptions),
) -> Var<'t> {
    let tape = n.tape();
    let (a, b) = (*rng.pick(values), *rng.pick(values));
    let [xs, start, memory, table] = v[..4] else { unreachable!("these come first") };
    let w = v[4 + rng.below(MATRICES)];
    let [row, column, number] = v[4 + MATRICES..] else { unreachable!("these come last") };
    let like = a.shape().expect("a valid value");
    match rng.below(OPERATIONS - usize::from(order == Order::Forward)) {
        0..=3 => a.matmul(w) * 0.5,
        4 => (a.matmul(w) + b.matmul(v[4]) + row).tanh(),
        5 => a + row,
        6 => a * row,
        7 => (a * column).sin(),
        8 => a * number + b,
        9 => a * start,
        10 => a * b.sigmoid(),
        11 => a.softmax(-1) - b,
        12 => a + b.sum_keep(-1).tanh(),
        // The rows share a statistic: the loop is not by row.
        13 => a - b.mean_axes(0),
        14 => a.matmul(memory.transpose(0, 1)).softmax(-1).matmul(memory),
        15 => a + table.gather(0, index.unsqueeze(1).expand(like)),
        16 => a * tape.uniform(n.fold_in(7), like, a.dtype().expect("a valid value")),
        17 => a.gt(b).select(a * 0.5, b.detach()),
        // A loop inside, over something captured.
        18 => {
            let short = memory.narrow(0, 0, 3);
            let inner = ScanOptions { reverse: !options.reverse, checkpoint: Checkpoint::Every(1), ..options };
            let (last, ys) = tape.scan_with(inner, a, short, |h, z| {
                let h = (h.matmul(w) * 0.3 + z * column).tanh();
                (h, h * number)
            });
            last + ys.mean_axes(0)
        }
        // A derivative inside.
        19 => tape.checkpoint(|| {
            let [step] = (a.sin() * b.detach() + a.square()).sum().grad([a]);
            a - step * 0.1
        }),
        20 => a.maximum(xs.sum() * 1e-3),
        // It has no forward rule.
        _ => a.on_grad(|g| g.clamp(-0.5, 0.5)) * 1.1,
    }
}

#[test]
fn cut_loops_have_the_bits_of_plain_ones() {
    let (mut other, mut all) = (0, 0);
    for seed in seeds(150) {
        let case = Case::new(seed);
        let rng = &mut Rng::new(seed ^ 0x77);
        let (wanted, plain) = case.run(Checkpoint::None);
        let every = 1 + rng.below(case.steps.max(1));
        let budgets = [0, plain / 8, plain / 3, plain * 2 / 3].map(Checkpoint::Budget);
        for checkpoint in [Checkpoint::Every(every), *rng.pick(&budgets), *rng.pick(&budgets)] {
            set_threads(1 + rng.below(3));
            let (found, bytes) = case.run(checkpoint);
            set_threads(1);
            let Case { steps, rows, width, dtype, .. } = case;
            let what = format!("case {seed} ({steps} steps of {rows}x{width} {dtype}), {checkpoint:?}");
            assert_eq!(found.len(), wanted.len(), "{what}");
            for (i, (a, b)) in found.iter().zip(&wanted).enumerate() {
                assert_equal(a, b, &format!("{what}: value {i}"));
            }
            all += 1;
            other += usize::from(bytes != plain);
        }
    }
    println!("{other} of {all} programs are in segments");
    assert!(all < 300 || other * 4 > all, "{other} of {all}");
}
