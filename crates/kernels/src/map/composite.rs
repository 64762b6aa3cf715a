//! Operations joined to one kernel: fewer calls, and no register between. They run in place as well, since updates
//! of parameters consist of them, and read a factor that is one number once.

use super::in_place::in_place;
use super::{AsLane, AsNum, Kernel, LaneMap, NumMap, Ways, lane_kernel, lane_raw, num_raw};
use crate::isa::isa;
use crate::lane::{Lane, Num};

/// The kernel of a numeric op, which can run in place; `U`: sources that may have one value, as bits.
fn numeric<F: NumMap<N>, E: Num, const N: usize, const U: u8>() -> Kernel<E> {
    fn ways<F: NumMap<N>, E: Num, const N: usize, const U: u8>() -> Ways<E> {
        Ways { raw: num_raw::<F, E, N, U>(isa()), in_place: Some(in_place::<AsNum<F>, E, N, U>()) }
    }
    Kernel { ways: ways::<F, E, N, 0>(), uniform: Some((U, ways::<F, E, N, U>())), sources: N }
}

/// The same for an op on floats without multiply-add, whose bits are the same on every instruction set.
fn float<F: LaneMap<N>, E: Lane, const N: usize, const U: u8>() -> Kernel<E> {
    fn ways<F: LaneMap<N>, E: Lane, const N: usize, const U: u8>() -> Ways<E> {
        Ways { raw: lane_raw::<F, E, N, U>(isa()), in_place: Some(in_place::<AsLane<F>, E, N, U>()) }
    }
    Kernel { ways: ways::<F, E, N, 0>(), uniform: Some((U, ways::<F, E, N, U>())), sources: N }
}

/// The sources that may be one number, as bits: the second; the second and fourth; the second and third; the third; the fourth.
const SECOND: u8 = 0b10;
const SECOND_AND_FOURTH: u8 = 0b1010;
const SECOND_AND_THIRD: u8 = 0b110;
const THIRD: u8 = 0b100;
const FOURTH: u8 = 0b1000;

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
        Arith::Add => numeric::<Alone<Add>, E, 2, SECOND>(),
        Arith::Sub => numeric::<Alone<Sub>, E, 2, SECOND>(),
        Arith::Mul => numeric::<Alone<Mul>, E, 2, SECOND>(),
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
            (Arith::Add, 0) => numeric::<Left<F, Add>, E, 3, SECOND>(),
            (Arith::Sub, 0) => numeric::<Left<F, Sub>, E, 3, SECOND>(),
            (Arith::Mul, 0) => numeric::<Left<F, Mul>, E, 3, SECOND>(),
            (Arith::Add, _) => numeric::<Right<F, Add>, E, 3, SECOND>(),
            (Arith::Sub, _) => numeric::<Right<F, Sub>, E, 3, SECOND>(),
            (Arith::Mul, _) => numeric::<Right<F, Mul>, E, 3, SECOND>(),
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
        Arith::Add => numeric::<Products<Add>, E, 4, SECOND_AND_FOURTH>(),
        Arith::Sub => numeric::<Products<Sub>, E, 4, SECOND_AND_FOURTH>(),
        Arith::Mul => numeric::<Products<Mul>, E, 4, SECOND_AND_FOURTH>(),
    }
}

/// `x·y + (z·w)·z`.
struct Square;

impl NumMap<4> for Square {
    #[inline(always)]
    fn eval<L: Num>([x, y, z, w]: [L; 4]) -> L {
        x.mul(y).add(z.mul(w).mul(z))
    }
}

/// The kernel of `x·y + (z·w)·z` for sources `x`, `y`, `z`, `w`.
pub fn square_kernel<E: Num>() -> Kernel<E> {
    numeric::<Square, E, 4, SECOND_AND_FOURTH>()
}

/// `√x·y + z`.
struct Root;

impl LaneMap<3> for Root {
    #[inline(always)]
    fn eval<L: Lane>([x, y, z]: [L; 3]) -> L {
        x.sqrt().mul(y).add(z)
    }
}

/// The kernel of `√x·y + z` for sources `x`, `y`, `z`.
pub fn root_kernel<E: Lane>() -> Kernel<E> {
    float::<Root, E, 3, SECOND_AND_THIRD>()
}

/// `z - (x / y)·w`.
struct Quotient;

impl LaneMap<4> for Quotient {
    #[inline(always)]
    fn eval<L: Lane>([x, y, w, z]: [L; 4]) -> L {
        z.sub(x.div(y).mul(w))
    }
}

/// The kernel of `z - (x / y)·w` for sources `x`, `y`, `w`, `z`.
pub fn quotient_kernel<E: Lane>() -> Kernel<E> {
    float::<Quotient, E, 4, THIRD>()
}

/// What the derivative of a squashing function is made of, where z is the function's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slope {
    /// `z·(w - z)`; with w = 1, of `sigmoid`.
    Sigmoid,
    /// `w - z·z`; with w = 1, of `tanh`.
    Tanh,
}

trait SlopeOf: 'static {
    fn eval<L: Num>(z: L, w: L) -> L;
}

struct SigmoidSlope;
struct TanhSlope;

impl SlopeOf for SigmoidSlope {
    #[inline(always)]
    fn eval<L: Num>(z: L, w: L) -> L {
        z.mul(w.sub(z))
    }
}

impl SlopeOf for TanhSlope {
    #[inline(always)]
    fn eval<L: Num>(z: L, w: L) -> L {
        w.sub(z.mul(z))
    }
}

/// `x·slope(z, w)`.
struct Scaled<F>(std::marker::PhantomData<F>);

impl<F: SlopeOf> NumMap<3> for Scaled<F> {
    #[inline(always)]
    fn eval<L: Num>([x, z, w]: [L; 3]) -> L {
        x.mul(F::eval(z, w))
    }
}

/// `(x·y)·slope(z, w)`.
struct ScaledTwice<F>(std::marker::PhantomData<F>);

impl<F: SlopeOf> NumMap<4> for ScaledTwice<F> {
    #[inline(always)]
    fn eval<L: Num>([x, y, z, w]: [L; 4]) -> L {
        x.mul(y).mul(F::eval(z, w))
    }
}

/// The kernel of `x·slope(z, w)` for sources `x`, `z`, `w`.
pub fn slope_kernel<E: Num>(slope: Slope) -> Kernel<E> {
    match slope {
        Slope::Sigmoid => numeric::<Scaled<SigmoidSlope>, E, 3, THIRD>(),
        Slope::Tanh => numeric::<Scaled<TanhSlope>, E, 3, THIRD>(),
    }
}

/// The kernel of `(x·y)·slope(z, w)` for sources `x`, `y`, `z`, `w`.
pub fn slope_of_product_kernel<E: Num>(slope: Slope) -> Kernel<E> {
    match slope {
        Slope::Sigmoid => numeric::<ScaledTwice<SigmoidSlope>, E, 4, FOURTH>(),
        Slope::Tanh => numeric::<ScaledTwice<TanhSlope>, E, 4, FOURTH>(),
    }
}

trait Squash: 'static {
    fn eval<L: Lane>(x: L) -> L;
}

struct Sigmoid;
struct Tanh;

impl Squash for Sigmoid {
    #[inline(always)]
    fn eval<L: Lane>(x: L) -> L {
        x.sigmoid()
    }
}

impl Squash for Tanh {
    #[inline(always)]
    fn eval<L: Lane>(x: L) -> L {
        x.tanh()
    }
}

/// A squashing function of `x + y` or of `(x + y) + z`.
struct OfSum<F>(std::marker::PhantomData<F>);

impl<F: Squash> LaneMap<2> for OfSum<F> {
    #[inline(always)]
    fn eval<L: Lane>([x, y]: [L; 2]) -> L {
        F::eval(x.add(y))
    }
}

impl<F: Squash> LaneMap<3> for OfSum<F> {
    #[inline(always)]
    fn eval<L: Lane>([x, y, z]: [L; 3]) -> L {
        F::eval(x.add(y).add(z))
    }
}

/// The kernel of `sigmoid(x + y)`.
pub fn sigmoid_of_sum_kernel<E: Lane>() -> Kernel<E> {
    lane_kernel::<OfSum<Sigmoid>, E, 2>()
}

/// The kernel of `sigmoid((x + y) + z)`.
pub fn sigmoid_of_sums_kernel<E: Lane>() -> Kernel<E> {
    lane_kernel::<OfSum<Sigmoid>, E, 3>()
}

/// The kernel of `tanh(x + y)`.
pub fn tanh_of_sum_kernel<E: Lane>() -> Kernel<E> {
    lane_kernel::<OfSum<Tanh>, E, 2>()
}

/// The kernel of `tanh((x + y) + z)`.
pub fn tanh_of_sums_kernel<E: Lane>() -> Kernel<E> {
    lane_kernel::<OfSum<Tanh>, E, 3>()
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
    fn joined_operations_have_the_bits_of_their_parts() {
        let [x, y, z, w] = [0, 100, 200, 300].map(|from| (from..from + 83).map(value).collect::<Vec<f32>>());
        let sources = [&x[..], &y, &z, &w];
        let check = |kernel: Kernel<f32>, expected: fn(f32, f32, f32, f32) -> f32| {
            let mut out = vec![0.0; 83];
            kernel.run(&mut out, &sources);
            for i in 0..83 {
                assert_eq!(out[i].to_bits(), expected(x[i], y[i], z[i], w[i]).to_bits(), "element {i}");
            }
        };
        check(square_kernel(), |x, y, z, w| x * y + (z * w) * z);
        check(root_kernel(), |x, y, z, _| x.sqrt() * y + z);
        check(quotient_kernel(), |x, y, w, z| z - (x / y) * w);
        check(slope_kernel(Slope::Sigmoid), |x, z, w, _| x * (z * (w - z)));
        check(slope_kernel(Slope::Tanh), |x, z, w, _| x * (w - z * z));
        check(slope_of_product_kernel(Slope::Sigmoid), |x, y, z, w| (x * y) * (z * (w - z)));
        check(slope_of_product_kernel(Slope::Tanh), |x, y, z, w| (x * y) * (w - z * z));
    }

    impl<F: Squash> LaneMap<1> for OfSum<F> {
        #[inline(always)]
        fn eval<L: Lane>([x]: [L; 1]) -> L {
            F::eval(x)
        }
    }

    #[test]
    fn functions_of_sums_have_the_bits_of_their_parts() {
        fn check<E: Lane>(alone: Kernel<E>, two: Kernel<E>, three: Kernel<E>) {
            let sources: [Vec<E>; 3] =
                [0, 100, 200].map(|from| (from..from + 83).map(|i| E::from_f64(value(i) as f64)).collect());
            let [x, y, z] = &sources;
            let sum: Vec<E> = x.iter().zip(y).map(|(x, y)| x.add(*y)).collect();
            let sums: Vec<E> = sum.iter().zip(z).map(|(x, z)| x.add(*z)).collect();
            for (kernel, argument) in [(two, &sum), (three, &sums)] {
                let (mut found, mut expected) = (vec![E::ZERO; 83], vec![E::ZERO; 83]);
                kernel.run(&mut found, &[x, y, z]);
                alone.run(&mut expected, &[argument]);
                assert!(found.iter().zip(&expected).all(|(a, b)| a.to_f64().to_bits() == b.to_f64().to_bits()));
            }
        }
        fn both<E: Lane>() {
            let alone = lane_kernel::<OfSum<Sigmoid>, E, 1>();
            check(alone, sigmoid_of_sum_kernel(), sigmoid_of_sums_kernel());
            let alone = lane_kernel::<OfSum<Tanh>, E, 1>();
            check(alone, tanh_of_sum_kernel(), tanh_of_sums_kernel());
        }
        both::<f32>();
        both::<f64>();
    }

    #[test]
    fn one_value_for_all_elements_has_the_bits_of_as_many_values() {
        fn check<E: Num>(kernel: Kernel<E>, label: &str) {
            let (same, _) = kernel.uniform.unwrap();
            for n in [1, 7, 16, 64, 83] {
                let sources: [Vec<E>; 4] = std::array::from_fn(|s| {
                    let element =
                        |i: usize| E::from_f64(value(if same & 1 << s != 0 { 1000 * s } else { i + 1000 * s }) as f64);
                    (0..n).map(element).collect()
                });
                let mut expected = vec![E::ZERO; n];
                kernel.run(&mut expected, &sources.each_ref().map(|source| &source[..]));
                let ways = kernel.ways(same | 0b1000);
                // Apart from the sources, and in place of each that has many values.
                for place in [None, Some(0), Some(1), Some(2), Some(3)] {
                    if place.is_some_and(|place| same & 1 << place != 0 || place >= kernel.sources) {
                        continue;
                    }
                    let (mut sources, mut out) = (sources.clone(), vec![E::ZERO; n]);
                    let mut at = [out.as_mut_ptr(); OPERANDS];
                    for (at, source) in at[1..].iter_mut().zip(&mut sources) {
                        *at = source.as_mut_ptr();
                    }
                    let call = match place {
                        None => ways.raw,
                        Some(place) => {
                            at[0] = at[1 + place];
                            ways.in_place.unwrap()
                        }
                    };
                    // SAFETY: every operand has `n` elements; the result is apart from the sources, or one of them for a
                    // kernel in place.
                    unsafe { call(&at, &[0; OPERANDS], n, 1) };
                    let found = place.map_or(&out, |place| &sources[place]);
                    let bits = |x: &[E]| x.iter().map(|x| x.to_f64().to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(found), bits(&expected), "{label}, {n} elements, in place of {place:?}");
                }
            }
        }
        for op in [Arith::Add, Arith::Sub, Arith::Mul] {
            check::<f32>(arith_kernel(op), "one operation");
            check::<f64>(products_kernel(op), "products");
            check::<i64>(pair_kernel(Arith::Mul, op, 1), "pair");
        }
        check::<f32>(square_kernel(), "square");
        check::<f32>(root_kernel(), "root");
        check::<f64>(quotient_kernel(), "quotient");
        for slope in [Slope::Sigmoid, Slope::Tanh] {
            check::<f32>(slope_kernel(slope), "slope");
            check::<f64>(slope_of_product_kernel(slope), "slope of a product");
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
                unsafe { kernel.ways(0).in_place.unwrap()(&at, &[step; OPERANDS], n, rows) };
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
