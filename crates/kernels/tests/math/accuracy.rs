//! Errors in units in the last place, sampled and (ignored by default) over all of `f32`.

use crate::ops::{binary, call, functions};
use crate::oracle::{oracle, ulps32, ulps64};
use wengert_kernels::{Isa, available};

/// Whether the function's accuracy is promised at x.
fn promised(name: &str, isa: Isa, x: f32) -> bool {
    let range = if isa == Isa::Portable { 20 } else { 40 };
    !matches!(name, "sin" | "cos") || x.is_nan() || x.abs() < 2f32.powi(range) || x.is_infinite()
}

/// The largest error of function number `at` over the bit patterns, and where, per instruction set.
fn worst32(at: usize, patterns: impl Iterator<Item = u32>) -> Vec<(f64, f32)> {
    let isas = available();
    let tables: Vec<_> = isas.iter().map(|&i| functions::kernels::<f32>(i)).collect();
    let name = tables[0][at].0;
    let want = oracle(name);
    let mut worst = vec![(0f64, 0f32); isas.len()];
    let mut patterns = patterns.map(f32::from_bits);
    loop {
        let x: Vec<f32> = patterns.by_ref().take(4096).collect();
        if x.is_empty() {
            return worst;
        }
        let w: Vec<f64> = x.iter().map(|&x| want(x as f64)).collect();
        let mut y = vec![0f32; x.len()];
        for ((&isa, table), max) in isas.iter().zip(&tables).zip(&mut worst) {
            table[at].1.run(&mut y, &[&x]);
            for ((&x, &y), &w) in x.iter().zip(&y).zip(&w) {
                let e = ulps32(y, w);
                if e > max.0 && promised(name, isa, x) {
                    *max = (e, x);
                }
            }
        }
    }
}

/// Prints and checks the largest errors of function number `at`.
fn check32(at: usize, worst: &[(f64, f32)]) {
    for (&isa, &(e, x)) in available().iter().zip(worst) {
        let name = functions::kernels::<f32>(isa)[at].0;
        println!("f32 {name:8} {isa:?}: {e:.3} ulp at {x:e}");
        assert!(e <= 4.0, "{name} on {isa:?}: {e} ulp at {x:e}");
    }
}

#[test]
fn f32_functions_are_within_4_ulp_on_a_sample() {
    for at in 0..functions::scalars::<f32>().len() {
        // An odd stride visits every exponent and varies all mantissa bits.
        check32(at, &worst32(at, (0..u32::MAX / 20_011).map(|i| i * 20_011)));
    }
}

/// All bit patterns; run with `--release -- --ignored --nocapture`, about twenty minutes, most of it the series of `erf`.
#[test]
#[ignore = "all 2^32 arguments of every function"]
fn f32_functions_are_within_4_ulp_everywhere() {
    for at in 0..functions::scalars::<f32>().len() {
        // Odd and even patterns side by side: every exponent costs both the same.
        let (mut worst, other) = std::thread::scope(|s| {
            let odd = s.spawn(move || worst32(at, (0..1 << 31).map(|i| 2 * i + 1)));
            (worst32(at, (0..1 << 31).map(|i| 2 * i)), odd.join().unwrap())
        });
        for (w, o) in worst.iter_mut().zip(other) {
            if o.0 > w.0 {
                *w = o;
            }
        }
        check32(at, &worst);
    }
}

#[test]
fn f64_functions_are_within_4_ulp_of_a_table() {
    for isa in available() {
        let (unary, pow) = (functions::kernels::<f64>(isa), binary::kernels::<f64>(isa)[0].1);
        let mut worst = std::collections::BTreeMap::new();
        for line in include_str!("math64.txt").lines().filter(|l| !l.starts_with('#')) {
            let mut fields = line.split(' ');
            let name = fields.next().unwrap();
            let mut value = || f64::from_bits(u64::from_str_radix(fields.next().unwrap(), 16).unwrap());
            let (x, e, want) = (value(), value(), value());
            let (error, limit) = if name == "pow" {
                let mut y = [0.0];
                pow.run(&mut y, &[&[x], &[e]]);
                assert!((y[0] / want - 1.0).abs() < 1e-13, "{x}^{e} = {want}, not {}", y[0]);
                (ulps64(y[0], want), 400)
            } else {
                let k = unary.iter().find(|f| f.0 == name).unwrap().1;
                (ulps64(call(k, x), want), 4)
            };
            assert!(error <= limit, "{name}({x:e}) on {isa:?}: {error} ulp");
            let w = worst.entry(name).or_insert((0, 0.0));
            if error > w.0 {
                *w = (error, x);
            }
        }
        println!("f64 {isa:?}: {worst:?}");
    }
}

/// Against the C library, denser than the table; its own error, up to 2 ulp, counts too.
#[test]
fn f64_functions_agree_with_std() {
    for isa in available() {
        for (name, k) in functions::kernels::<f64>(isa) {
            if matches!(name, "erf" | "sigmoid") {
                continue; // std has none
            }
            let want = oracle(name);
            let mut worst = (0, 0.0);
            let mut x: Vec<f64> =
                (0..200_000u64).map(|i| f64::from_bits(i.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
            x.extend((0..300_000).map(|i| (i as f64 - 149_999.7) * 2.3e-4));
            x.extend((0..100_000).map(|i| (i as f64 - 49_999.7) * 1.7e-2));
            let mut y = vec![0.0; x.len()];
            k.run(&mut y, &[&x]);
            for (&x, &y) in x.iter().zip(&y) {
                if matches!(name, "sin" | "cos") && x.abs() > 2f64.powi(20) && x.is_finite() {
                    assert!(y.abs() <= 1.0);
                    continue;
                }
                let e = ulps64(y, want(x));
                if e > worst.0 {
                    worst = (e, x);
                }
            }
            println!("f64 {name:8} {isa:?}: {} ulp at {:e}", worst.0, worst.1);
            assert!(worst.0 <= 6, "{name} on {isa:?}: {worst:?}");
        }
    }
}
