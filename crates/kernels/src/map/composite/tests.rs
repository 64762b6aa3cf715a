//! Joined operations have the bits of their parts.

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
                assert_eq!(value.to_bits(), expected.to_bits(), "{rows} rows of {n} in source {place}, element {i}");
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
