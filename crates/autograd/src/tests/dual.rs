//! Hyper-dual numbers: values with their derivatives along two directions and the mixed second one (Fike and Alonso 2011).
//!
//! An evaluator over them knows derivatives from calculus on scalars alone. It shares nothing with what it judges: neither
//! the tape, nor the rules, nor the planner, nor the kernels.

use super::support::Rng;
use std::cell::Cell;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// `x + a·ε₁ + b·ε₂ + ab·ε₁ε₂` with `ε₁² = ε₂² = 0`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Dual {
    pub x: f64,
    pub a: f64,
    pub b: f64,
    pub ab: f64,
}

thread_local! {
    /// The smallest distance of a decision from its jump since the last [`watched`], zero distances apart.
    static CLOSEST: Cell<f64> = const { Cell::new(f64::INFINITY) };
    static TIED: Cell<bool> = const { Cell::new(false) };
}

/// How near the decisions of an evaluation were to their jumps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Margin {
    pub closest: f64,
    /// Whether a decision was at its jump, where a difference is of no use.
    pub tied: bool,
}

/// Runs an evaluation and says how near its decisions were.
pub(super) fn watched<R>(f: impl FnOnce() -> R) -> (R, Margin) {
    CLOSEST.set(f64::INFINITY);
    TIED.set(false);
    let value = f();
    (value, Margin { closest: CLOSEST.get(), tied: TIED.get() })
}

/// Notes a decision on the sign of a number.
fn decide(distance: f64) {
    if distance == 0.0 {
        TIED.set(true);
    } else {
        CLOSEST.set(CLOSEST.get().min(distance.abs()));
    }
}

/// Notes that an evaluation is of no use.
pub(super) fn unfit() {
    CLOSEST.set(0.0);
}

impl From<f64> for Dual {
    fn from(x: f64) -> Dual {
        Dual { x, ..Dual::default() }
    }
}

impl Dual {
    /// `f(self)`, given the value of `f` and its first two derivatives.
    pub(super) fn chain(self, f: f64, d: f64, dd: f64) -> Dual {
        Dual { x: f, a: d * self.a, b: d * self.b, ab: d * self.ab + dd * self.a * self.b }
    }

    /// A step function: a value without derivatives, at some distance from the next jump.
    fn step(value: f64, distance: f64) -> Dual {
        decide(distance);
        value.into()
    }

    pub(super) fn exp(self) -> Dual {
        let e = self.x.exp();
        self.chain(e, e, e)
    }

    pub(super) fn ln(self) -> Dual {
        let x = self.x;
        self.chain(x.ln(), 1.0 / x, -1.0 / (x * x))
    }

    pub(super) fn sqrt(self) -> Dual {
        let s = self.x.sqrt();
        self.chain(s, 0.5 / s, -0.25 / (s * self.x))
    }

    pub(super) fn tanh(self) -> Dual {
        let t = self.x.tanh();
        let slope = 1.0 / (self.x.cosh() * self.x.cosh());
        self.chain(t, slope, -2.0 * t * slope)
    }

    pub(super) fn sigmoid(self) -> Dual {
        let s = 1.0 / (1.0 + (-self.x).exp());
        let slope = s / (1.0 + self.x.exp());
        self.chain(s, slope, slope * (1.0 - 2.0 * s))
    }

    pub(super) fn softplus(self) -> Dual {
        let s = 1.0 / (1.0 + (-self.x).exp());
        self.chain(self.x.exp().ln_1p(), s, s / (1.0 + self.x.exp()))
    }

    pub(super) fn exp_m1(self) -> Dual {
        let e = self.x.exp();
        self.chain(self.x.exp_m1(), e, e)
    }

    pub(super) fn sin(self) -> Dual {
        let (s, c) = self.x.sin_cos();
        self.chain(s, c, -s)
    }

    pub(super) fn cos(self) -> Dual {
        let (s, c) = self.x.sin_cos();
        self.chain(c, -s, -c)
    }

    pub(super) fn erf(self) -> Dual {
        let slope = std::f64::consts::FRAC_2_SQRT_PI * (-self.x * self.x).exp();
        self.chain(super::special::erf(self.x), slope, -2.0 * self.x * slope)
    }

    pub(super) fn abs(self) -> Dual {
        decide(self.x);
        self.chain(self.x.abs(), if self.x == 0.0 { 0.0 } else { self.x.signum() }, 0.0)
    }

    pub(super) fn above(self, bound: f64) -> bool {
        decide(self.x - bound);
        self.x > bound
    }

    /// The larger, or with `sign` -1 the smaller, of two: half of each where they tie.
    pub(super) fn extremum(self, other: Dual, sign: f64) -> Dual {
        decide(self.x - other.x);
        match (sign * self.x).partial_cmp(&(sign * other.x)) {
            Some(std::cmp::Ordering::Equal) => (self + other) * 0.5.into(),
            Some(std::cmp::Ordering::Less) => other,
            None if other.x.is_nan() => other,
            _ => self,
        }
    }

    pub(super) fn is_tame(self, value: f64, slope: f64) -> bool {
        self.x.abs() <= value && self.a.abs() <= slope && self.b.abs() <= slope && self.ab.abs() <= slope * slope
    }
}

impl Add for Dual {
    type Output = Dual;
    fn add(self, o: Dual) -> Dual {
        Dual { x: self.x + o.x, a: self.a + o.a, b: self.b + o.b, ab: self.ab + o.ab }
    }
}

impl Neg for Dual {
    type Output = Dual;
    fn neg(self) -> Dual {
        Dual { x: -self.x, a: -self.a, b: -self.b, ab: -self.ab }
    }
}

impl Sub for Dual {
    type Output = Dual;
    fn sub(self, o: Dual) -> Dual {
        self + -o
    }
}

impl Mul for Dual {
    type Output = Dual;
    fn mul(self, o: Dual) -> Dual {
        Dual {
            x: self.x * o.x,
            a: self.a * o.x + self.x * o.a,
            b: self.b * o.x + self.x * o.b,
            ab: self.ab * o.x + self.a * o.b + self.b * o.a + self.x * o.ab,
        }
    }
}

impl Div for Dual {
    type Output = Dual;
    fn div(self, o: Dual) -> Dual {
        let r = 1.0 / o.x;
        let quotient = self * o.chain(r, -r * r, 2.0 * r * r * r);
        Dual { x: self.x / o.x, ..quotient }
    }
}

/// The scalar function of a row of the elementwise table; truth is 1 and 0. A row without a formula here fails the tests.
pub(super) fn scalar(name: &str, v: &[Dual]) -> Dual {
    let p = v[0];
    let x = p.x;
    let one = Dual::from(1.0);
    let truth = |holds: bool, distance: f64| Dual::step(holds as u8 as f64, distance);
    // Distances to the next integer, and to the next odd half.
    let whole = (x - x.round()).abs();
    match name {
        "add" => p + v[1],
        "sub" => p - v[1],
        "mul" => p * v[1],
        "div" => p / v[1],
        "pow" => Dual { x: x.powf(v[1].x), ..(v[1] * p.ln()).exp() },
        "maximum" => p.extremum(v[1], 1.0),
        "minimum" => p.extremum(v[1], -1.0),
        "neg" => -p,
        "abs" => p.abs(),
        "sign" => Dual::step(if x == 0.0 { 0.0 } else { x.signum() }, x),
        "square" => p * p,
        "recip" => one / p,
        "sqrt" => p.sqrt(),
        "rsqrt" => one / p.sqrt(),
        "exp" => p.exp(),
        "expm1" => p.exp_m1(),
        "log" => p.ln(),
        "log2" => p.ln() / Dual::from(2f64.ln()),
        "log1p" => (one + p).ln(),
        "sin" => p.sin(),
        "cos" => p.cos(),
        "atan" => {
            let d = 1.0 / (1.0 + x * x);
            p.chain(x.atan(), d, -2.0 * x * d * d)
        }
        "tanh" => p.tanh(),
        "sigmoid" => p.sigmoid(),
        "log_sigmoid" => -(-p).softplus(),
        "softplus" => p.softplus(),
        "erf" => p.erf(),
        "relu" => {
            if p.above(0.0) {
                p
            } else {
                0.0.into()
            }
        }
        "floor" => Dual::step(x.floor(), whole),
        "ceil" => Dual::step(x.ceil(), whole),
        "trunc" => Dual::step(x.trunc(), whole),
        "round" => Dual::step(x.round_ties_even(), 0.5 - whole),
        "select" => {
            if x != 0.0 {
                v[1]
            } else {
                v[2]
            }
        }
        "lt" => truth(x < v[1].x, x - v[1].x),
        "le" => truth(x <= v[1].x, x - v[1].x),
        "gt" => truth(x > v[1].x, x - v[1].x),
        "ge" => truth(x >= v[1].x, x - v[1].x),
        "eq" => truth(x == v[1].x, x - v[1].x),
        "ne" => truth(x != v[1].x, x - v[1].x),
        "and" => Dual::from((x != 0.0 && v[1].x != 0.0) as u8 as f64),
        "or" => Dual::from((x != 0.0 || v[1].x != 0.0) as u8 as f64),
        "not" => Dual::from((x == 0.0) as u8 as f64),
        _ => panic!("no formula for '{name}': add what calculus says"),
    }
}

/// Dual numbers under a shape, in row-major order.
#[derive(Clone, Debug)]
pub(super) struct Duals {
    pub shape: Vec<usize>,
    pub data: Vec<Dual>,
}

impl Duals {
    pub(super) fn build(shape: &[usize], f: impl Fn(&[usize]) -> Dual) -> Duals {
        let n: usize = shape.iter().product();
        let mut index = vec![0; shape.len()];
        let mut data = Vec::with_capacity(n);
        for _ in 0..n {
            data.push(f(&index));
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                if index[axis] < shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        Duals { shape: shape.to_vec(), data }
    }

    /// Constants.
    pub(super) fn of(shape: &[usize], values: &[f64]) -> Duals {
        Duals { shape: shape.to_vec(), data: values.iter().map(|x| (*x).into()).collect() }
    }

    /// Values with random derivatives along both directions.
    pub(super) fn seeded(shape: &[usize], values: &[f64], rng: &mut Rng) -> Duals {
        let mut one = || 2.0 * rng.unit() - 1.0;
        let data = values.iter().map(|x| Dual { x: *x, a: one(), b: one(), ab: 0.0 }).collect();
        Duals { shape: shape.to_vec(), data }
    }

    pub(super) fn at(&self, index: &[usize]) -> Dual {
        self.data[index.iter().zip(&self.shape).fold(0, |at, (i, n)| at * n + i)]
    }

    /// The element that is read at an index of a shape that this value broadcasts to.
    pub(super) fn cast_at(&self, index: &[usize]) -> Dual {
        let own = &index[index.len() - self.shape.len()..];
        self.data[own.iter().zip(&self.shape).fold(0, |at, (i, n)| at * n + if *n == 1 { 0 } else { *i })]
    }

    pub(super) fn map(&self, f: impl Fn(Dual) -> Dual) -> Duals {
        Duals { shape: self.shape.clone(), data: self.data.iter().map(|v| f(*v)).collect() }
    }

    pub(super) fn reshaped(&self, shape: &[usize]) -> Duals {
        assert_eq!(self.data.len(), shape.iter().product::<usize>());
        Duals { shape: shape.to_vec(), data: self.data.clone() }
    }

    pub(super) fn values(&self) -> Vec<f64> {
        self.data.iter().map(|v| v.x).collect()
    }

    /// Entry `t` of the leading axis.
    pub(super) fn row(&self, t: usize) -> Duals {
        let shape = self.shape[1..].to_vec();
        let n: usize = shape.iter().product();
        Duals { shape, data: self.data[t * n..][..n].to_vec() }
    }

    /// Gathers the lines that run over some axes: `f` of the elements of each, at the index of the others.
    pub(super) fn over(&self, axes: &[usize], f: impl Fn(&[Dual]) -> Dual) -> Duals {
        let kept: Vec<usize> = (0..self.shape.len()).filter(|axis| !axes.contains(axis)).collect();
        let shape: Vec<usize> = kept.iter().map(|axis| self.shape[*axis]).collect();
        let inner: Vec<usize> = axes.iter().map(|axis| self.shape[*axis]).collect();
        Duals::build(&shape, |i| {
            let line = Duals::build(&inner, |j| {
                let mut index = vec![0; self.shape.len()];
                kept.iter().zip(i).for_each(|(axis, at)| index[*axis] = *at);
                axes.iter().zip(j).for_each(|(axis, at)| index[*axis] = *at);
                self.at(&index)
            });
            f(&line.data)
        })
    }
}

pub(super) fn total(line: &[Dual]) -> Dual {
    line.iter().fold(0.0.into(), |sum, x| sum + *x)
}

/// The shape that some shapes broadcast to.
pub(super) fn broadcast(shapes: &[&[usize]]) -> Option<Vec<usize>> {
    let rank = shapes.iter().map(|s| s.len()).max()?;
    let mut all = vec![1; rank];
    for shape in shapes {
        for (own, n) in all[rank - shape.len()..].iter_mut().zip(*shape) {
            *own = match (*own, *n) {
                (a, b) if a == b => a,
                (1, b) => b,
                (a, 1) => a,
                _ => return None,
            };
        }
    }
    Some(all)
}

/// The chain rule of the formulas above against differences of their values: the judge is judged too.
#[test]
fn formulas_have_the_derivatives_they_claim() {
    let rng = &mut Rng::new(1);
    for row in crate::ops::TABLE {
        for _ in 0..20 {
            let at: Vec<f64> = row.samples.iter().map(|sample| super::support::draw(sample, rng)).collect();
            let truth = |x: f64, i: usize| match row.result {
                crate::ops::Type::Logic => (x > 0.0) as u8 as f64,
                crate::ops::Type::Select if i == 0 => (x > 0.0) as u8 as f64,
                _ => x,
            };
            let value = |s: f64, t: f64, u: &[f64], w: &[f64]| {
                let moved: Vec<Dual> =
                    at.iter().enumerate().map(|(i, x)| Dual::from(truth(x + s * u[i] + t * w[i], i))).collect();
                scalar(row.name, &moved).x
            };
            let (u, w): (Vec<f64>, Vec<f64>) = at.iter().map(|_| (rng.unit() - 0.5, rng.unit() - 0.5)).unzip();
            let dual: Vec<Dual> =
                (0..at.len()).map(|i| Dual { x: truth(at[i], i), a: u[i], b: w[i], ab: 0.0 }).collect();
            let found = scalar(row.name, &dual);
            // Comparisons of two numbers may jump.
            if row.result == crate::ops::Type::Truth {
                assert_eq!((found.a, found.b, found.ab), (0.0, 0.0, 0.0));
                continue;
            }
            let (h, k) = (1e-5, 1e-4);
            let a = (value(h, 0.0, &u, &w) - value(-h, 0.0, &u, &w)) / (2.0 * h);
            let ab = (value(k, k, &u, &w) - value(k, -k, &u, &w) - value(-k, k, &u, &w) + value(-k, -k, &u, &w))
                / (4.0 * k * k);
            assert!((found.a - a).abs() <= 1e-7 * a.abs().max(1.0), "{}{at:?}: {} and {a}", row.name, found.a);
            assert!((found.ab - ab).abs() <= 1e-4 * ab.abs().max(1.0), "{}{at:?}: {} and {ab}", row.name, found.ab);
        }
    }
}
