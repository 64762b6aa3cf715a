//! Pairs of arithmetic operations as one kernel: half of the calls, and no register between.

use super::{Kernel, NumMap, num_kernel};
use crate::lane::Num;

/// An arithmetic operation of two arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arith {
    /// `x + y`.
    Add,
    /// `x - y`.
    Sub,
    /// `x · y`.
    Mul,
}

trait Binary: 'static {
    fn eval<L: Num>(x: L, y: L) -> L;
}

struct Add;
struct Sub;
struct Mul;

impl Binary for Add {
    #[inline(always)]
    fn eval<L: Num>(x: L, y: L) -> L {
        x.add(y)
    }
}

impl Binary for Sub {
    #[inline(always)]
    fn eval<L: Num>(x: L, y: L) -> L {
        x.sub(y)
    }
}

impl Binary for Mul {
    #[inline(always)]
    fn eval<L: Num>(x: L, y: L) -> L {
        x.mul(y)
    }
}

/// `second(first(x, y), z)`; each operation rounds as it does alone.
struct Left<F, G>(std::marker::PhantomData<(F, G)>);
/// `second(z, first(x, y))`.
struct Right<F, G>(std::marker::PhantomData<(F, G)>);

impl<F: Binary, G: Binary> NumMap<3> for Left<F, G> {
    #[inline(always)]
    fn eval<L: Num>([x, y, z]: [L; 3]) -> L {
        G::eval(F::eval(x, y), z)
    }
}

impl<F: Binary, G: Binary> NumMap<3> for Right<F, G> {
    #[inline(always)]
    fn eval<L: Num>([x, y, z]: [L; 3]) -> L {
        G::eval(z, F::eval(x, y))
    }
}

/// The kernel of `second` whose argument number `place` (0 or 1) is `first(x, y)` and whose other one is `z`, for sources
/// `x`, `y`, `z`.
pub fn pair_kernel<E: Num>(first: Arith, second: Arith, place: usize) -> Kernel<E> {
    fn with<F: Binary, E: Num>(second: Arith, place: usize) -> Kernel<E> {
        match (second, place) {
            (Arith::Add, 0) => num_kernel::<Left<F, Add>, E, 3>(),
            (Arith::Sub, 0) => num_kernel::<Left<F, Sub>, E, 3>(),
            (Arith::Mul, 0) => num_kernel::<Left<F, Mul>, E, 3>(),
            (Arith::Add, _) => num_kernel::<Right<F, Add>, E, 3>(),
            (Arith::Sub, _) => num_kernel::<Right<F, Sub>, E, 3>(),
            (Arith::Mul, _) => num_kernel::<Right<F, Mul>, E, 3>(),
        }
    }
    match first {
        Arith::Add => with::<Add, E>(second, place),
        Arith::Sub => with::<Sub, E>(second, place),
        Arith::Mul => with::<Mul, E>(second, place),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_the_bits_of_its_parts() {
        let alone = |op: Arith, x: f32, y: f32| match op {
            Arith::Add => x + y,
            Arith::Sub => x - y,
            Arith::Mul => x * y,
        };
        let value = |i: usize| (i as f32 * 0.731).sin() * 10f32.powi(i as i32 % 7 - 3);
        let [x, y, z] = [0, 100, 200].map(|from| (from..from + 37).map(value).collect::<Vec<f32>>());
        let all = [Arith::Add, Arith::Sub, Arith::Mul];
        for (first, second) in all.into_iter().flat_map(|f| all.map(|s| (f, s))) {
            for place in [0, 1] {
                let mut out = vec![0.0; 37];
                pair_kernel::<f32>(first, second, place).run(&mut out, &x, &y, &z);
                for i in 0..37 {
                    let inner = alone(first, x[i], y[i]);
                    let whole = if place == 0 { alone(second, inner, z[i]) } else { alone(second, z[i], inner) };
                    assert_eq!(out[i].to_bits(), whole.to_bits(), "{first:?} then {second:?} at {place}");
                }
            }
        }
    }
}
