//! Clipping of gradients: PyTorch's meaning, its place in a chain, and which parameters count.

use crate::support::{Fixture, close, data, says};
use crate::{Pair, given, gradients, pair};
use wengert::optim::*;
use wengert::prelude::*;

#[test]
fn clipped_gradients_are_those_of_pytorch() -> Result<()> {
    let fixture = Fixture::open("optim_f64");
    let net = Pair::start(&fixture);
    let clipped = |case: &str, gradients: &Gradients| {
        for (name, param) in net.params() {
            let wanted = fixture.get(&format!("{case}.{name}"));
            close(gradients.get(&param).expect("a gradient"), wanted, 1e-14, &format!("{case}, {name}"));
        }
    };
    let orders = [("1", 1.0), ("2", 2.0), ("3", 3.0), ("half", 0.5), ("inf", f64::INFINITY), ("large", 2.0)];
    for (case, norm_type) in orders {
        let mut gradients = gradients(&fixture, &net, 0)?;
        let most = if case == "large" { 100.0 } else { 0.7 };
        let options = NormOptions { norm_type, error_if_non_finite: true };
        let norm = clip_grad_norm_with(&net, &mut gradients, most, options)?;
        let case = format!("clip_norm.{case}");
        let wanted = fixture.number(&format!("{case}.norm"));
        assert!((norm - wanted).abs() <= 1e-14 * wanted, "{case}: {norm} against {wanted}");
        clipped(&case, &gradients);
        if norm_type == 2.0 {
            let mut gradients = self::gradients(&fixture, &net, 0)?;
            assert_eq!(clip_grad_norm(&net, &mut gradients, most)?, norm);
            clipped(&case, &gradients);
        }
    }
    let mut gradients = self::gradients(&fixture, &net, 0)?;
    clip_grad_value(&net, &mut gradients, 0.5)?;
    let (found, wanted) = (gradients.get(&net.a).expect("a gradient"), fixture.get("clip_value.a"));
    assert!(found.bit_eq(wanted) && wanted.to_f64_vec().contains(&0.5));
    Ok(())
}

#[test]
fn a_norm_that_is_not_finite() -> Result<()> {
    let (net, a, b) = (pair(), data(&[3, 2], 5), data(&[4], 6));
    for norm_type in [0.5, 1.0, 2.0, 3.0, f64::INFINITY] {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut values = b.to_f64_vec();
            values[2] = bad;
            let mut gradients = given(&net, &a, &b)?;
            gradients.insert(&net.1, Tensor::from_vec(values, [4])?);
            let strict = NormOptions { norm_type, error_if_non_finite: true };
            let line = line!() + 1;
            let error = clip_grad_norm_with(&net, &mut gradients, 1.0, strict).unwrap_err();
            let place = format!("clipping.rs:{line}");
            says(&error, &["clip_grad_norm: the norm of the gradients is", "detect_anomaly", &place]);
            assert!(gradients.get(&net.0).unwrap().bit_eq(&a), "the gradients stay");
            // Without it, PyTorch's meaning: all of them times NaN, or times 1/∞.
            let norm = clip_grad_norm_with(&net, &mut gradients, 1.0, NormOptions { norm_type, ..Default::default() })?;
            let found = gradients.get(&net.0).unwrap().to_f64_vec();
            match bad.is_nan() {
                true => assert!(norm.is_nan() && found.iter().all(|g| g.is_nan())),
                false => assert!(norm == f64::INFINITY && found.iter().all(|g| *g == 0.0)),
            }
        }
    }
    let mut gradients = given(&net, &a, &b)?;
    for norm_type in [0.0, -1.0, f64::NAN, f64::NEG_INFINITY] {
        let options = NormOptions { norm_type, ..Default::default() };
        let error = clip_grad_norm_with(&net, &mut gradients, 1.0, options).unwrap_err();
        says(&error, &[&format!("the order of the norm is {norm_type}, expected a number above 0")]);
    }
    // Nothing has the norm 0, and no elements have no largest.
    let empty = Param::new(Tensor::zeros([0], DType::F64));
    let mut gradients = (Tape::new().param(&empty).sum() * 2.0).backward()?;
    for norm_type in [1.0, 2.0, f64::INFINITY] {
        let options = NormOptions { norm_type, error_if_non_finite: true };
        assert_eq!(clip_grad_norm_with(&empty, &mut gradients, 1.0, options)?, 0.0);
    }
    Ok(())
}

#[test]
fn frozen_parameters_count_for_the_function_but_not_in_a_chain() -> Result<()> {
    let (net, a, b) = (pair(), data(&[3, 2], 5), data(&[4], 6));
    let norm = |tensors: &[&Tensor]| tensors.iter().flat_map(|t| t.to_f64_vec()).map(|g| g * g).sum::<f64>().sqrt();
    let before = net.0.value().to_f64_vec();
    let moved = || {
        let after = net.0.value().to_f64_vec();
        let norm = before.iter().zip(after).map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt();
        net.0.set(Tensor::from_slice(&before, [3, 2])?)?;
        Ok::<f64, Error>(norm)
    };
    // In the chain the norm is that of what moves: the step is as long as it may be.
    let frozen = net.1.value();
    Optimizer::chain(1.0, ClipNorm(0.1)).freeze("1").step(&net, &given(&net, &a, &b)?)?;
    assert!((moved()? - 0.1).abs() < 1e-6 && net.1.value().bit_eq(&frozen));
    // The function sees all gradients it is given.
    let mut gradients = given(&net, &a, &b)?;
    let found = clip_grad_norm(&net, &mut gradients, 0.1)?;
    assert!((found - norm(&[&a, &b])).abs() < 1e-14);
    Sgd::new(1.0).freeze("1").step(&net, &gradients)?;
    assert!((moved()? - 0.1 * norm(&[&a]) / norm(&[&a, &b])).abs() < 1e-6);
    // Of a part of the module, only that part's.
    let mut gradients = given(&net, &a, &b)?;
    assert!((clip_grad_norm(&net.0, &mut gradients, 0.1)? - norm(&[&a])).abs() < 1e-14);
    assert!(gradients.get(&net.1).unwrap().bit_eq(&b));
    Ok(())
}

/// A step on two parameters.
type Step<'a> = &'a dyn Fn(&(Param, Param), Gradients) -> Result<()>;

#[test]
fn clipping_in_a_chain_is_clipping_before() -> Result<()> {
    let (a, b) = (data(&[3, 2], 5), data(&[4], 6));
    let run = |step: Step<'_>| -> Result<Vec<Tensor>> {
        let net = pair();
        step(&net, given(&net, &a, &b)?)?;
        Ok(net.snapshot())
    };
    let same = |x: Vec<Tensor>, y: Vec<Tensor>| x.iter().zip(&y).for_each(|(x, y)| assert!(x.bit_eq(y)));
    same(
        run(&|net, gradients| Optimizer::chain(0.1, (ClipNorm(0.3), SgdRule::default())).step(net, &gradients))?,
        run(&|net, mut gradients| {
            assert!(clip_grad_norm(net, &mut gradients, 0.3)? > 0.3);
            Sgd::new(0.1).step(net, &gradients)
        })?,
    );
    same(
        run(&|net, gradients| Optimizer::chain(0.1, ClipValue(0.2)).step(net, &gradients))?,
        run(&|net, mut gradients| {
            clip_grad_value(net, &mut gradients, 0.2)?;
            assert!(gradients.get(&net.0).unwrap().to_f64_vec().iter().all(|g| g.abs() <= 0.2));
            Sgd::new(0.1).step(net, &gradients)
        })?,
    );
    // Adaptive clipping by its formula: units are columns of a matrix, and a whole vector.
    let found = run(&|net, gradients| Optimizer::chain(1.0, ClipAdaptive::new(0.3)).step(net, &gradients))?;
    let start = pair();
    let norm = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>().sqrt();
    let columns = |t: &Tensor, j: usize| t.to_f64_vec().into_iter().skip(j).step_by(2).collect::<Vec<_>>();
    let unit = |p: Vec<f64>, g: Vec<f64>, found: Vec<f64>| {
        let factor = (0.3 * norm(&p).max(1e-3) / norm(&g).max(1e-6)).min(1.0);
        assert!(factor < 1.0);
        for ((p, g), found) in p.iter().zip(&g).zip(found) {
            assert!((p - g * factor - found).abs() < 1e-15);
        }
    };
    unit(columns(&start.0.value(), 0), columns(&a, 0), columns(&found[0], 0));
    unit(columns(&start.0.value(), 1), columns(&a, 1), columns(&found[0], 1));
    unit(start.1.value().to_f64_vec(), b.to_f64_vec(), found[1].to_f64_vec());
    for error in [
        run(&|net, gradients| Optimizer::chain(0.1, ClipNorm(f64::NAN)).step(net, &gradients)).unwrap_err(),
        run(&|net, gradients| Optimizer::chain(0.1, (ClipValue(-1.0),)).step(net, &gradients)).unwrap_err(),
        run(&|net, mut gradients| clip_grad_value(net, &mut gradients, -1.0)).unwrap_err(),
    ] {
        says(&error, &["the greatest", "from 0"]);
    }
    Ok(())
}
