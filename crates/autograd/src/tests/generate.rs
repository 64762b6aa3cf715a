//! Random recordings: elementwise operations, products, reductions, views, joins, indices, nested loops, reuse.
//!
//! The same seed gives the same recording for the same inputs, so a recording can be a function to differentiate, and
//! its loops can be recorded as `scan` or unrolled.

use super::support::Rng;
use crate::{DType, ScanOptions, Shape, Tape, Tensor, Var};

/// What may be recorded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flavour {
    /// Only what is differentiable everywhere, with values of order one.
    pub smooth: bool,
    /// Loops as Rust loops.
    pub unroll: bool,
}

pub(super) struct Generator<'t> {
    tape: &'t Tape,
    rng: Rng,
    flavour: Flavour,
    depth: usize,
}

/// Larger values are averaged, so that a graph stays quick to differentiate.
const LARGEST: usize = 48;

/// The shapes of the inputs of graph `seed`.
pub(super) fn input_shapes(seed: u64, smooth: bool) -> Vec<Shape> {
    let rng = &mut Rng::new(seed ^ 0xabcd);
    (0..1 + rng.below(3))
        .map(|_| {
            let rank = rng.below(4);
            let smallest = if smooth || rng.below(12) > 0 { 1 } else { 0 };
            (0..rank).map(|_| smallest + rng.below(4)).collect()
        })
        .collect()
}

/// Records graph `seed` over `inputs`; gives some of its values, the last one computed among them.
pub(super) fn record<'t>(seed: u64, inputs: &[Var<'t>], flavour: Flavour) -> Vec<Var<'t>> {
    let tape = inputs[0].tape();
    let mut generator = Generator { tape, rng: Rng::new(seed), flavour, depth: 0 };
    let mut pool = inputs.to_vec();
    let steps = 2 + generator.rng.below(14);
    generator.grow(&mut pool, steps);
    let last = *pool.last().expect("the inputs are in the pool");
    let mut asked = vec![last];
    for _ in 0..generator.rng.below(3) {
        asked.push(*generator.rng.pick(&pool));
    }
    asked
}

/// A scalar that every asked value contributes to.
pub(super) fn loss<'t>(asked: &[Var<'t>]) -> Var<'t> {
    let parts = asked.iter().enumerate().map(|(i, v)| (*v * (0.3 + 0.2 * i as f64)).tanh().sum());
    parts.reduce(|a, b| a + b).expect("something is asked")
}

fn shape(v: Var<'_>) -> Shape {
    match v.shape() {
        Ok(shape) => shape,
        Err(error) => panic!("the generator recorded a mistake: {error}"),
    }
}

impl<'t> Generator<'t> {
    fn grow(&mut self, pool: &mut Vec<Var<'t>>, steps: usize) {
        for _ in 0..steps {
            // Recent values are used more, so that graphs are deep; old ones again, so that they are shared.
            let back = self.rng.below(pool.len()).min(self.rng.below(pool.len()));
            let x = pool[pool.len() - 1 - back];
            let mut y = self.step(x, pool);
            if shape(y).numel() > LARGEST {
                y = y.mean_axes(0);
            }
            pool.push(y);
        }
    }

    fn step(&mut self, x: Var<'t>, pool: &[Var<'t>]) -> Var<'t> {
        let dims = shape(x);
        let rank = dims.rank();
        let axis = |rng: &mut Rng| rng.below(rank);
        match self.rng.below(22) {
            0..=3 => self.unary(x),
            4..=7 => {
                let y = self.partner(x, pool);
                self.binary(x, y)
            }
            8 | 9 if rank >= 2 => self.product(x, pool),
            10 if rank >= 1 => {
                let axis = axis(&mut self.rng) as isize;
                match self.rng.below(6) {
                    0 if !self.flavour.smooth && dims.iter().all(|n| *n > 0) => x.max_axes(axis),
                    3 => x.tanh().prod_axes(axis),
                    4 => x.cumsum(axis) * 0.5,
                    1 if dims.iter().all(|n| *n > 0) => x.mean_axes(axis),
                    2 if rank >= 2 => x.sum_axes([0, rank as isize - 1]),
                    _ => x.sum_axes(axis) * 0.5,
                }
            }
            11 if rank >= 1 => {
                let (a, b) = (axis(&mut self.rng), axis(&mut self.rng));
                x.transpose(a as isize, b as isize)
            }
            12 if rank >= 1 => {
                let axis = axis(&mut self.rng);
                let start = self.rng.below(dims[axis] + 1);
                let len = self.rng.below(dims[axis] - start + 1).max(self.flavour.smooth as usize);
                if start + len > dims[axis] { x } else { x.narrow(axis as isize, start, len) }
            }
            13 if rank >= 1 => self.join(x, pool),
            14 | 15 if rank >= 1 && dims.iter().all(|n| *n > 0) => self.pick_entries(x),
            16 => match self.rng.below(4) {
                0 => x.reshape([dims.numel()]),
                1 if rank >= 2 => {
                    let mut merged = vec![dims[0] * dims[1]];
                    merged.extend_from_slice(&dims[2..]);
                    x.reshape(merged)
                }
                2 => x.unsqueeze(self.rng.below(rank + 1) as isize),
                _ => {
                    let wide: Vec<usize> = std::iter::once(1 + self.rng.below(3)).chain(dims.iter().copied()).collect();
                    x.expand(wide)
                }
            },
            17 if rank >= 1 && dims.iter().all(|n| *n > 0) => {
                let axis = axis(&mut self.rng) as isize;
                if self.rng.below(2) == 0 { x.softmax(axis) } else { x.log_softmax(axis) * 0.3 }
            }
            18..=20 if self.depth < 2 => self.time(x, pool),
            21 if !self.flavour.smooth => match self.rng.below(4) {
                0 => x.detach() * x,
                1 => x.cast(DType::F64).cast(DType::F32).cast(x.dtype().expect("valid")) + x,
                2 if self.depth == 0 && !self.flavour.unroll => {
                    // Held values are read by what follows.
                    x.value().expect("a valid value without indices from outside");
                    x
                }
                _ => x.cast(DType::I64).cast(x.dtype().expect("valid")) * x,
            },
            _ => x * 0.5 + 0.25,
        }
    }

    fn unary(&mut self, x: Var<'t>) -> Var<'t> {
        let smooth: [fn(Var<'t>) -> Var<'t>; 15] = [
            Var::tanh,
            Var::atan,
            Var::softplus,
            Var::log_sigmoid,
            Var::sigmoid,
            Var::sin,
            Var::cos,
            |x| x.tanh().exp(),
            |x| (x.square() + 1).sqrt(),
            |x| (x.square() + 1.5).log(),
            |x| x.square().log1p(),
            |x| (x.square() + 1).rsqrt(),
            |x| -x,
            |x| (x.square() + 2).recip(),
            |x| x.tanh().expm1(),
        ];
        let rough: [fn(Var<'t>) -> Var<'t>; 9] = [
            Var::relu,
            Var::abs,
            Var::sign,
            Var::floor,
            Var::ceil,
            Var::trunc,
            Var::round,
            |x| x.gt(0.1).select(x, x * 0.5),
            |x| x.lt(0.0).or(x.gt(0.5)).not().select(1.0, x.erf()),
        ];
        if !self.flavour.smooth && self.rng.below(3) == 0 {
            self.rng.pick(&rough)(x)
        } else {
            self.rng.pick(&smooth)(x)
        }
    }

    fn binary(&mut self, x: Var<'t>, y: Var<'t>) -> Var<'t> {
        let smooth: [fn(Var<'t>, Var<'t>) -> Var<'t>; 5] = [
            |x, y| (x + y) * 0.5,
            |x, y| x - y * 0.5,
            |x, y| x.tanh() * y,
            |x, y| x / (y.square() + 1),
            |x, y| (x.square() + 0.5).pow(y.tanh()),
        ];
        let rough: [fn(Var<'t>, Var<'t>) -> Var<'t>; 3] =
            [Var::maximum, Var::minimum, |x, y| x.le(y).and(y.ne(0.0)).select(x, y)];
        if !self.flavour.smooth && self.rng.below(3) == 0 {
            self.rng.pick(&rough)(x, y)
        } else {
            self.rng.pick(&smooth)(x, y)
        }
    }

    /// Another value that broadcasts with `x`.
    fn partner(&mut self, x: Var<'t>, pool: &[Var<'t>]) -> Var<'t> {
        let start = self.rng.below(pool.len());
        let fits = |y: &&Var<'t>| shape(x).broadcast(&shape(**y)).is_some_and(|s| s.numel() <= 4 * LARGEST);
        *pool[start..].iter().chain(&pool[..start]).find(fits).unwrap_or(&x)
    }

    fn product(&mut self, x: Var<'t>, pool: &[Var<'t>]) -> Var<'t> {
        let dims = shape(x);
        let columns = dims[dims.rank() - 1];
        let start = self.rng.below(pool.len());
        let fits = |y: &&Var<'t>| {
            let other = shape(**y);
            let lead = |s: &Shape| Shape::from(&s[..s.rank() - 2]);
            other.rank() >= 2 && other[other.rank() - 2] == columns && lead(&dims).broadcast(&lead(&other)).is_some()
        };
        let found = pool[start..].iter().chain(&pool[..start]).find(fits).copied();
        match (found, self.rng.below(3)) {
            (Some(y), 0 | 1) => x.matmul(y) * 0.5,
            (_, 2) => x.t().matmul(x.tanh()) * 0.5,
            _ => x.matmul(x.t()) * 0.5,
        }
    }

    fn join(&mut self, x: Var<'t>, pool: &[Var<'t>]) -> Var<'t> {
        let dims = shape(x);
        let axis = self.rng.below(dims.rank());
        let fits = |y: &&Var<'t>| {
            let other = shape(**y);
            other.rank() == dims.rank() && (0..dims.rank()).all(|a| a == axis || other[a] == dims[a])
        };
        let others: Vec<Var<'t>> = pool.iter().filter(fits).copied().collect();
        let mut parts = vec![x];
        for _ in 0..1 + self.rng.below(3) {
            let y = *self.rng.pick(&others);
            parts.push(match self.rng.below(3) {
                0 => y,
                1 => y.tanh(),
                _ => y * x.mean(),
            });
        }
        if self.rng.below(4) == 0 {
            parts.swap(0, 1);
        }
        self.tape.concat(&parts, axis as isize)
    }

    /// Entries by index: gathered, selected, or scattered back.
    fn pick_entries(&mut self, x: Var<'t>) -> Var<'t> {
        let dims = shape(x);
        let axis = self.rng.below(dims.rank());
        let count = 1 + self.rng.below(4);
        let extent = dims[axis];
        let indices = |n: usize, rng: &mut Rng| -> Vec<i64> { (0..n).map(|_| rng.below(extent) as i64).collect() };
        if self.rng.below(2) == 0 {
            let list = Tensor::from_vec(indices(count, &mut self.rng), [count]).expect("counted");
            return x.index_select(axis as isize, &list);
        }
        let picked = dims.with_axis(axis, count);
        let index = Tensor::from_vec(indices(picked.numel(), &mut self.rng), &picked).expect("counted");
        let y = x.gather(axis as isize, &index);
        match self.rng.below(3) {
            0 => x.scatter_add(axis as isize, &index, y.sin()),
            _ => y,
        }
    }

    /// A loop over the leading axis of `x`, with one to three carries.
    fn time(&mut self, x: Var<'t>, pool: &[Var<'t>]) -> Var<'t> {
        let dims = shape(x);
        let scanned = dims.rank() > 0 && dims[0] <= 5 && self.rng.below(6) > 0;
        let length = if scanned { dims[0] } else { 1 + self.rng.below(3) };
        let carries: Vec<Var<'t>> = (0..1 + self.rng.below(3)).map(|_| *self.rng.pick(pool)).collect();
        let captured: Vec<Var<'t>> = (0..self.rng.below(3)).map(|_| *self.rng.pick(pool)).collect();
        let items = if scanned { vec![x] } else { Vec::new() };
        let options = ScanOptions { reverse: self.rng.below(2) == 1, length: Some(length) };
        let (seed, tape) = (self.rng.bits(), self.tape);
        let flavour = self.flavour;
        let depth = self.depth + 1;
        let body = |state: Vec<Var<'t>>, items: Vec<Var<'t>>| {
            let mut inside = Generator { tape, rng: Rng::new(seed), flavour, depth };
            inside.body(state, &items, &captured)
        };
        let (last, ys) = if flavour.unroll && length > 0 {
            let mut state = carries.clone();
            let mut rows: Vec<Vec<Var<'t>>> = vec![Vec::new(); length];
            for step in 0..length {
                let t = if options.reverse { length - 1 - step } else { step };
                (state, rows[t]) = body(state, items.iter().map(|x| x.get(0, t)).collect());
            }
            let count = rows[0].len();
            let column = |i: usize| rows.iter().map(|row| row[i]).collect::<Vec<_>>();
            (state, (0..count).map(|i| tape.stack(&column(i), 0)).collect::<Vec<_>>())
        } else {
            tape.scan_with(options, carries, items, body)
        };
        let all: Vec<Var<'t>> = last.into_iter().chain(ys).collect();
        let picked = *self.rng.pick(&all);
        // Sometimes two results, so that several outputs of one loop are alive.
        let second = *self.rng.pick(&all);
        match shape(picked).broadcast(&shape(second)) {
            Some(s) if s.numel() <= LARGEST => picked * 0.5 + second.tanh(),
            _ => picked,
        }
    }

    fn body(&mut self, state: Vec<Var<'t>>, items: &[Var<'t>], captured: &[Var<'t>]) -> (Vec<Var<'t>>, Vec<Var<'t>>) {
        let mut pool: Vec<Var<'t>> = captured.iter().chain(items).chain(&state).copied().collect();
        let steps = 1 + self.rng.below(6);
        self.grow(&mut pool, steps);
        let mut next: Vec<Var<'t>> = Vec::new();
        for carry in &state {
            let v = *self.rng.pick(&pool[state.len() + items.len() + captured.len() - 1..]);
            let dims = shape(*carry);
            let same = pool.iter().filter(|v| shape(**v) == dims).copied().collect::<Vec<_>>();
            next.push(match self.rng.below(6) {
                // The carry itself, another carry, an item, a captured value.
                0 => *self.rng.pick(&same),
                1 => *carry,
                _ if shape(v).broadcast(&dims) == Some(dims.clone()) => *carry * 0.5 + v.tanh(),
                _ if shape(v).numel() > 0 => *carry * 0.5 + v.tanh().mean(),
                _ => carry.sin(),
            });
        }
        let mut outputs = vec![*pool.last().expect("the state is in the pool")];
        for _ in 0..self.rng.below(3) {
            outputs.push(*self.rng.pick(&pool));
        }
        (next, outputs)
    }
}
