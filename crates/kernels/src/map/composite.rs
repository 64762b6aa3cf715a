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
mod tests;
