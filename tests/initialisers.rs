//! Initial values: their moments and structure.

use rand::{SeedableRng, rngs::StdRng};
use wengert::prelude::*;

fn rng() -> StdRng {
    StdRng::seed_from_u64(3)
}

/// Mean, standard deviation and largest magnitude.
fn moments(t: &Tensor) -> [f64; 3] {
    let v = t.to_f64_vec();
    let mean = v.iter().sum::<f64>() / v.len() as f64;
    let var = v.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / v.len() as f64;
    [mean, var.sqrt(), v.iter().fold(0.0, |a, v| a.max(v.abs()))]
}

#[test]
fn spreads() {
    let shape = [200, 300];
    let (xavier, he) = (2.0 * (2f64 / 500.0).sqrt(), 0.1);
    let rng = &mut rng();
    let cases = [
        ("xavier_uniform", init::xavier_uniform(&shape, 2.0, rng), xavier, true),
        ("xavier_normal", init::xavier_normal(&shape, 2.0, rng), xavier, false),
        ("he_uniform", init::he_uniform(&shape, rng), he, true),
        ("he_normal", init::he_normal(&shape, rng), he, false),
        ("uniform", init::uniform(&shape, 3f64.sqrt(), rng), 1.0, true),
        ("normal", init::normal(&shape, 1.5, rng), 1.5, false),
        ("recurrent", init::recurrent(300, rng)(&shape).value(), 1.0 / 900f64.sqrt(), true),
    ];
    for (name, t, std, bounded) in cases {
        assert_eq!((t.dtype(), &t.shape()[..]), (DType::F32, &shape[..]));
        let [mean, found, largest] = moments(&t);
        assert!(mean.abs() < 0.02 * std, "{name}: mean {mean}");
        assert!((found / std - 1.0).abs() < 0.02, "{name}: deviation {found}, not {std}");
        // A uniform draw ends at √3 deviations, 60000 normal ones go to about 4.
        let reach = largest / std;
        let wanted = if bounded { 1.7..1.733 } else { 3.5..6.0 };
        assert!(wanted.contains(&reach), "{name}: the largest is {reach} deviations");
    }
    let [mean, std, _] = moments(&init::between(&shape, 1.0, 4.0, rng));
    assert!((mean - 2.5).abs() < 0.02 && (std - 3.0 / 12f64.sqrt()).abs() < 0.02);
}

#[test]
fn orthogonal_matrices() -> Result<()> {
    for (rows, columns) in [(6, 6), (7, 3), (3, 7), (1, 1), (0, 4), (4, 0)] {
        let tape = Tape::new();
        let q = tape.constant(init::orthogonal([rows, columns], 2.0, &mut rng()));
        assert_eq!(q.shape()?[..], [rows, columns]);
        let gram = if rows >= columns { q.t().matmul(q) } else { q.matmul(q.t()) };
        let n = rows.min(columns);
        let wanted = init::identity(n, 4.0).to_f64_vec();
        for (a, b) in gram.value()?.to_f64_vec().iter().zip(wanted) {
            assert!((a - b).abs() < 1e-5, "{rows}×{columns}: {a} against {b}");
        }
    }
    Ok(())
}

#[test]
fn identity_and_sparse() {
    assert_eq!(init::identity(2, 0.5).to_f64_vec(), [0.5, 0.0, 0.0, 0.5]);
    let (rows, columns) = (40, 50);
    let sparse = init::sparse([rows, columns], 15, 0.1, &mut rng()).to_f64_vec();
    for j in 0..columns {
        let nonzero = (0..rows).filter(|i| sparse[i * columns + j] != 0.0).count();
        assert_eq!(nonzero, 15, "column {j}");
    }
    let drawn: Vec<f64> = sparse.into_iter().filter(|v| *v != 0.0).collect();
    let drawn = Tensor::from_slice(&drawn, [drawn.len()]).unwrap();
    assert!((moments(&drawn)[1] - 0.1).abs() < 0.01);
    assert!(init::sparse([3, 2], 15, 0.1, &mut rng()).to_f64_vec().iter().all(|v| *v != 0.0));
}

/// The times that chrono biases stand for are uniform.
#[test]
fn chrono_biases() {
    let times = init::chrono(4000, 101.0, &mut rng()).to_f64_vec().into_iter().map(f64::exp);
    let times = Tensor::from_vec(times.collect::<Vec<f64>>(), [4000]).unwrap();
    let [mean, std, largest] = moments(&times);
    assert!((mean - 50.5).abs() < 1.5 && (std - 99.0 / 12f64.sqrt()).abs() < 1.0, "{mean}, {std}");
    assert!(times.to_f64_vec().iter().all(|t| *t > 0.999) && (99.0..100.01).contains(&largest));
    assert_eq!(init::chrono(3, 1.0, &mut rng()).to_f64_vec(), [0.0; 3]);
}

#[test]
fn blocks_stand_side_by_side() -> Result<()> {
    let mut n = 0.0;
    let both = init::blocks(2, || {
        n += 1.0;
        init::identity(2, n)
    })?;
    assert_eq!(both.to_f64_vec(), [1.0, 0.0, 2.0, 0.0, 0.0, 1.0, 0.0, 2.0]);
    let mut rows = 1;
    let error = init::blocks(2, || {
        rows += 1;
        init::zeros(&[rows, 2])
    });
    assert!(error.unwrap_err().to_string().starts_with("concat: "));
    // Entries that are not there are not changed.
    let b = Param::new(init::zeros(&[3]));
    init::forget_bias(&b, 2..9, 1.0);
    assert_eq!(b.value().to_f64_vec(), [0.0, 0.0, 1.0]);
    Ok(())
}
