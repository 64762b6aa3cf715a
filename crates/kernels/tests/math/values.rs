//! Special values, symmetries, and the ops that are exact.

use crate::ops::{binary, call, choice, exact, functions, named, numeric, signs};
use crate::oracle::{oracle, same, ulps32};
use wengert_kernels::available;

#[test]
fn special_values() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let cases: &[(&str, &[(f64, f64)])] = &[
        ("exp", &[(0.0, 1.0), (-0.0, 1.0), (inf, inf), (-inf, 0.0), (1e6, inf), (-1e6, 0.0)]),
        ("expm1", &[(0.0, 0.0), (-0.0, -0.0), (inf, inf), (-inf, -1.0), (1e6, inf), (-1e6, -1.0)]),
        ("tanh", &[(0.0, 0.0), (-0.0, -0.0), (inf, 1.0), (-inf, -1.0), (50.0, 1.0), (-1e30, -1.0)]),
        ("sigmoid", &[(0.0, 0.5), (-0.0, 0.5), (inf, 1.0), (-inf, 0.0), (1e30, 1.0), (-1e30, 0.0)]),
        ("ln", &[(1.0, 0.0), (0.0, -inf), (-0.0, -inf), (-1.0, nan), (inf, inf), (-inf, nan)]),
        ("ln_1p", &[(0.0, 0.0), (-0.0, -0.0), (-1.0, -inf), (-2.0, nan), (inf, inf), (-inf, nan)]),
        ("log2", &[(1.0, 0.0), (8.0, 3.0), (0.0, -inf), (-1.0, nan), (inf, inf), (0.25, -2.0)]),
        ("sin", &[(0.0, 0.0), (-0.0, -0.0), (inf, nan), (-inf, nan)]),
        ("cos", &[(0.0, 1.0), (-0.0, 1.0), (inf, nan), (-inf, nan)]),
        ("atan", &[(0.0, 0.0), (-0.0, -0.0), (inf, std::f64::consts::FRAC_PI_2)]),
        ("erf", &[(0.0, 0.0), (-0.0, -0.0), (inf, 1.0), (-inf, -1.0), (9.0, 1.0), (-9.0, -1.0)]),
        ("sqrt", &[(-0.0, -0.0), (-1.0, nan), (inf, inf), (4.0, 2.0)]),
        ("floor", &[(-0.0, -0.0), (-0.5, -1.0), (0.5, 0.0), (1.0, 1.0), (-inf, -inf), (2.5, 2.0)]),
        ("ceil", &[(-0.0, -0.0), (-0.5, -0.0), (0.5, 1.0), (1.0, 1.0), (-inf, -inf), (2.5, 3.0)]),
        ("trunc", &[(-0.0, -0.0), (-0.7, -0.0), (0.7, 0.0), (-1.5, -1.0), (inf, inf)]),
        ("round", &[(-0.0, -0.0), (0.5, 0.0), (1.5, 2.0), (2.5, 2.0), (-0.5, -0.0), (-inf, -inf)]),
    ];
    for isa in available() {
        let mut f = functions::kernels::<f32>(isa);
        f.extend(exact::kernels::<f32>(isa));
        let mut d = functions::kernels::<f64>(isa);
        d.extend(exact::kernels::<f64>(isa));
        for &(name, pairs) in cases {
            let (f, d) = (named(&f, name), named(&d, name));
            for &(x, y) in pairs.iter().chain(&[(nan, nan)]) {
                let (yf, yd) = (call(f, x as f32), call(d, x));
                assert!(same(yf as f64, y as f32 as f64), "f32 {name}({x}) on {isa:?} is {yf}");
                assert!(same(yd, y), "f64 {name}({x}) on {isa:?} is {yd}");
            }
        }
    }
}

#[test]
fn functions_keep_their_symmetries_and_limits() {
    for isa in available() {
        let table = functions::kernels::<f32>(isa);
        for i in 0..100_000u32 {
            let x = f32::from_bits(i.wrapping_mul(0x9e37_79b9) & 0x7fff_ffff);
            for name in ["tanh", "erf", "sin", "atan", "expm1", "ln_1p"] {
                let k = named(&table, name);
                let (y, z) = (call(k, x), call(k, -x));
                if x.abs() < 1e-30 && name != "erf" {
                    assert_eq!(y, x, "{name} of a tiny {x:e} is itself");
                }
                if !matches!(name, "expm1" | "ln_1p") {
                    assert!(same(y as f64, -z as f64), "{name} is odd at {x:e}");
                }
            }
        }
        let (tanh, sigmoid) = (named(&table, "tanh"), named(&table, "sigmoid"));
        let s = call(sigmoid, -80.0);
        assert!((s as f64 / (-80f64).exp() - 1.0).abs() < 3e-7, "{s:e}");
        for i in 0..200_000 {
            let x = (i - 100_000) as f32 * 1.1e-3;
            assert!(call(tanh, x).abs() <= 1.0 && (0.0..=1.0).contains(&call(sigmoid, x)));
        }
    }
}

#[test]
fn rounding_is_exact() {
    for isa in available() {
        for (name, k) in exact::kernels::<f32>(isa) {
            let want = oracle(name);
            for i in 0..200_000u32 {
                let x = f32::from_bits(i.wrapping_mul(0x9e37_79b9));
                let y = call(k, x);
                assert!(same(y as f64, want(x as f64) as f32 as f64), "{name}({x:e}) on {isa:?} is {y:e}");
            }
        }
        for (name, k) in exact::kernels::<f64>(isa) {
            let want = oracle(name);
            for i in 0..200_000u64 {
                let x = f64::from_bits(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                // Half of them where rounding matters.
                let x = if i % 2 == 0 { x } else { (i as f64 - 1e5) * 0.125 };
                let y = call(k, x);
                assert!(same(y, want(x)), "{name}({x:e}) on {isa:?} is {y:e}");
            }
        }
    }
}

#[test]
fn pow_follows_ieee_754_and_is_accurate() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let values = [
        0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 1.5, -2.5, 1e-30, 1e30, -1e30, inf, -inf, nan, 5e-324,
        16777217.0, 1e300, 0.9999999,
    ];
    for isa in available() {
        let (f, d) = (binary::kernels::<f32>(isa)[0].1, binary::kernels::<f64>(isa)[0].1);
        let pow32 = |x, e| {
            let mut y = [0f32];
            f.run(&mut y, &[&[x], &[e]]);
            y[0]
        };
        let pow64 = |x, e| {
            let mut y = [0f64];
            d.run(&mut y, &[&[x], &[e]]);
            y[0]
        };
        for x in values {
            for e in values {
                let (want, got) = (x.powf(e), pow64(x, e));
                let close = (got / want - 1.0).abs() < 1e-13 && want.abs() > 1e-300;
                assert!(
                    same(want, got) || close || (got - want).abs() < 1e-313,
                    "{x}^{e} on {isa:?} is {got}, not {want}"
                );
                let (x, e) = (x as f32, e as f32);
                let (want, got) = ((x as f64).powf(e as f64), pow32(x, e));
                assert!(
                    same((want as f32) as f64, got as f64) || ulps32(got, want) <= 4.0,
                    "{x}^{e} on {isa:?} is {got}, not {want}"
                );
            }
        }
        let mut worst = 0f64;
        for i in 0..300_000u32 {
            let x = f32::from_bits(i.wrapping_mul(0x9e37_79b9) & 0x7fff_ffff);
            let x = if i % 3 == 0 { x } else { (x.to_bits() % 30_000) as f32 * 1e-4 };
            let e = (i.wrapping_mul(0x85eb_ca6b) as f32 / u32::MAX as f32 - 0.5) * 200.0;
            worst = worst.max(ulps32(pow32(x, e), (x as f64).powf(e as f64)));
        }
        println!("f32 pow {isa:?}: {worst:.3} ulp");
        assert!(worst <= 4.0);
    }
}

#[test]
fn numeric_ops_on_every_type() {
    let nan = f64::NAN;
    // op, a, b, a op b
    let floats: &[(&str, f64, f64, f64)] = &[
        ("add", 1.5, 2.0, 3.5),
        ("sub", 1.5, 2.0, -0.5),
        ("mul", 1.5, 2.0, 3.0),
        ("min", 1.0, 2.0, 1.0),
        ("max", 1.0, 2.0, 2.0),
        ("min", nan, 2.0, nan),
        ("min", 2.0, nan, nan),
        ("max", nan, 2.0, nan),
        ("max", 2.0, nan, nan),
        ("lt", 1.0, 2.0, 1.0),
        ("lt", 2.0, 2.0, 0.0),
        ("lt", nan, 2.0, 0.0),
        ("le", 2.0, 2.0, 1.0),
        ("le", 2.0, nan, 0.0),
        ("eq", 2.0, 2.0, 1.0),
        ("eq", nan, nan, 0.0),
        ("eq", 0.0, -0.0, 1.0),
    ];
    let ints: &[(&str, i64, i64, i64)] = &[
        ("add", i64::MAX, 1, i64::MIN),
        ("sub", i64::MIN, 1, i64::MAX),
        ("mul", i64::MAX, 2, -2),
        ("min", -3, 2, -3),
        ("max", -3, 2, 2),
        ("lt", -3, 2, 1),
        ("le", 2, 2, 1),
        ("eq", 2, 3, 0),
    ];
    for isa in available() {
        let (f, d, l) = (numeric::kernels::<f32>(isa), numeric::kernels::<f64>(isa), numeric::kernels::<i64>(isa));
        for &(name, a, b, want) in floats {
            let mut y = [0f32];
            named(&f, name).run(&mut y, &[&[a as f32], &[b as f32]]);
            let mut z = [0f64];
            named(&d, name).run(&mut z, &[&[a], &[b]]);
            assert!(same(y[0] as f64, want) && same(z[0], want), "{a} {name} {b} on {isa:?}");
        }
        for &(name, a, b, want) in ints {
            let mut y = [0];
            named(&l, name).run(&mut y, &[&[a], &[b]]);
            assert_eq!(y[0], want, "{a} {name} {b} on {isa:?}");
        }
        let signs = |x: f64| signs::kernels::<f64>(isa).iter().map(|k| call(k.1, x)).collect::<Vec<_>>();
        assert_eq!(signs(-2.0), [2.0, 2.0, -1.0]);
        assert!(same(signs(-0.0)[2], 0.0) && same(signs(0.0)[0], -0.0) && signs(nan)[2].is_nan());
        let signs = |x: i64| signs::kernels::<i64>(isa).iter().map(|k| call(k.1, x)).collect::<Vec<_>>();
        assert_eq!((signs(-7), signs(i64::MIN)[1]), (vec![7, 7, -1], i64::MIN));
        let mut y = [0.0; 4];
        let sources = [[1.0, 0.0, -0.0, nan], [1.0, nan, nan, 2.0], [nan, 3.0, 4.0, nan]];
        choice::kernels::<f64>(isa)[0].1.run(&mut y, &sources.each_ref().map(|source| &source[..]));
        assert_eq!(y, [1.0, 3.0, 4.0, 2.0]);
    }
}
