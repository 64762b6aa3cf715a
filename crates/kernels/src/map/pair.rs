//! Arithmetic operations joined to one kernel: fewer calls, and no register between. They run in place as well, since updates
//! of parameters consist of them.

use super::in_place::in_place_kernel;
use super::{Kernel, NumMap};
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

/// `op(x, y)`.
struct Alone<F>(std::marker::PhantomData<F>);

impl<F: Binary> NumMap<2> for Alone<F> {
    #[inline(always)]
    fn eval<L: Num>([x, y]: [L; 2]) -> L {
        F::eval(x, y)
    }
}

/// The kernel of one operation.
pub fn arith_kernel<E: Num>(op: Arith) -> Kernel<E> {
    match op {
        Arith::Add => in_place_kernel::<Alone<Add>, E, 2>(),
        Arith::Sub => in_place_kernel::<Alone<Sub>, E, 2>(),
        Arith::Mul => in_place_kernel::<Alone<Mul>, E, 2>(),
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
            (Arith::Add, 0) => in_place_kernel::<Left<F, Add>, E, 3>(),
            (Arith::Sub, 0) => in_place_kernel::<Left<F, Sub>, E, 3>(),
            (Arith::Mul, 0) => in_place_kernel::<Left<F, Mul>, E, 3>(),
            (Arith::Add, _) => in_place_kernel::<Right<F, Add>, E, 3>(),
            (Arith::Sub, _) => in_place_kernel::<Right<F, Sub>, E, 3>(),
            (Arith::Mul, _) => in_place_kernel::<Right<F, Mul>, E, 3>(),
        }
    }
    match first {
        Arith::Add => with::<Add, E>(second, place),
        Arith::Sub => with::<Sub, E>(second, place),
        Arith::Mul => with::<Mul, E>(second, place),
    }
}

/// `last(x·y, z·w)`; each operation rounds as it does alone.
struct Products<F>(std::marker::PhantomData<F>);

impl<F: Binary> NumMap<4> for Products<F> {
    #[inline(always)]
    fn eval<L: Num>([x, y, z, w]: [L; 4]) -> L {
        F::eval(x.mul(y), z.mul(w))
    }
}

/// The kernel of `last(x·y, z·w)` for sources `x`, `y`, `z`, `w`.
pub fn products_kernel<E: Num>(last: Arith) -> Kernel<E> {
    match last {
        Arith::Add => in_place_kernel::<Products<Add>, E, 4>(),
        Arith::Sub => in_place_kernel::<Products<Sub>, E, 4>(),
        Arith::Mul => in_place_kernel::<Products<Mul>, E, 4>(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::OPERANDS;
    use super::*;

    fn value(i: usize) -> f32 {
        (i as f32 * 0.731).sin() * 10f32.powi(i as i32 % 7 - 3)
    }

    fn alone(op: Arith, x: f32, y: f32) -> f32 {
        match op {
            Arith::Add => x + y,
            Arith::Sub => x - y,
            Arith::Mul => x * y,
        }
    }

    #[test]
    fn two_products_and_what_joins_them_have_the_bits_of_their_parts() {
        let [x, y, z, w] = [0, 100, 200, 300].map(|from| (from..from + 37).map(value).collect::<Vec<f32>>());
        for last in [Arith::Add, Arith::Sub, Arith::Mul] {
            let mut out = vec![0.0; 37];
            products_kernel::<f32>(last).run(&mut out, &[&x, &y, &z, &w]);
            for i in 0..37 {
                assert_eq!(out[i].to_bits(), alone(last, x[i] * y[i], z[i] * w[i]).to_bits(), "{last:?}");
            }
        }
    }

    #[test]
    fn results_in_place_of_any_source_have_the_bits_of_results_apart() {
        let kernel = products_kernel::<f64>(Arith::Sub);
        // Shorter than a block, whole blocks, and with rests; one row and several with gaps.
        for (n, rows) in [(3, 1), (3, 4), (8, 2), (32, 3), (33, 2), (100, 1), (151, 3)] {
            let step = n + 2;
            let sources: [Vec<f64>; 4] =
                std::array::from_fn(|s| (0..rows * step).map(|i| value(i + 1000 * s) as f64).collect());
            let mut apart = vec![7.0; rows * step];
            for row in 0..rows {
                let at = row * step..row * step + n;
                kernel.run(&mut apart[at.clone()], &[0, 1, 2, 3].map(|s| &sources[s][at.clone()]));
            }
            for place in 0..4 {
                let mut sources = sources.clone();
                let mut at = [std::ptr::null_mut(); OPERANDS];
                for (at, source) in at[1..].iter_mut().zip(&mut sources) {
                    *at = source.as_mut_ptr();
                }
                at[0] = at[1 + place];
                let before = sources[place].clone();
                // SAFETY: rows of `n` elements a step apart lie in each source; the result is one of them.
                unsafe { kernel.in_place().unwrap()(&at, &[step; OPERANDS], n, rows) };
                for (i, value) in sources[place].iter().enumerate() {
                    let expected = if i % step < n { apart[i] } else { before[i] };
                    assert_eq!(
                        value.to_bits(),
                        expected.to_bits(),
                        "{rows} rows of {n} in source {place}, element {i}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_pair_has_the_bits_of_its_parts() {
        let [x, y, z] = [0, 100, 200].map(|from| (from..from + 37).map(value).collect::<Vec<f32>>());
        let all = [Arith::Add, Arith::Sub, Arith::Mul];
        for (first, second) in all.into_iter().flat_map(|f| all.map(|s| (f, s))) {
            for place in [0, 1] {
                let mut out = vec![0.0; 37];
                pair_kernel::<f32>(first, second, place).run(&mut out, &[&x, &y, &z]);
                for i in 0..37 {
                    let inner = alone(first, x[i], y[i]);
                    let whole = if place == 0 { alone(second, inner, z[i]) } else { alone(second, z[i], inner) };
                    assert_eq!(out[i].to_bits(), whole.to_bits(), "{first:?} then {second:?} at {place}");
                }
            }
        }
    }
}
