//! Metrics against counts by hand.

mod support;

use support::says;
use wengert::nn::metrics::{Accuracy, F1, LogLoss};
use wengert::prelude::*;

fn classes(values: &[i64]) -> Tensor {
    Tensor::from_slice(values, [values.len()]).unwrap()
}

#[test]
fn accuracy_counts_what_was_predicted() -> Result<()> {
    let mut accuracy = Accuracy::new();
    assert!(accuracy.value().is_nan() && accuracy == Accuracy::default());
    accuracy.add(&classes(&[0, 1, 2, 2]), &classes(&[0, 1, 1, -100]))?;
    assert_eq!(accuracy.value(), 2.0 / 3.0);
    let scores =
        Tensor::from_slice(&[0.5f32, 0.5, 0.1, 0.2, 0.3, 0.9, 0.4, f32::NAN, 0.1, f32::NAN, 0.4, 0.1], [2, 2, 3])?;
    let targets = Tensor::from_slice(&[0i64, 2, 0, 0], [2, 2])?;
    // A tie goes to the first, NaN is above all numbers and is never right.
    let mut of_scores = Accuracy::new();
    of_scores.add(&scores, &targets)?;
    assert_eq!(of_scores.value(), 0.5);
    accuracy.merge(&of_scores);
    assert_eq!(accuracy.value(), 4.0 / 7.0);
    let mut top = Accuracy::top(2);
    top.add(&scores, &targets)?;
    assert_eq!(top.value(), 0.75);
    let mut second = Accuracy::top(2);
    second.add(&scores, &Tensor::from_slice(&[2i64, 1, 2, 0], [2, 2])?)?;
    assert_eq!(second.value(), 0.25);

    let mut refuses = |predictions: &Tensor, targets: &Tensor, parts: &[&str]| {
        let error = accuracy.add(predictions, targets).unwrap_err();
        says(&error, parts);
        says(&error, &["Accuracy: ", "metrics.rs"]);
    };
    refuses(&scores, &classes(&[0]), &["the predictions are f32 [2, 2, 3], the targets i64 [1]", "[.., C]"]);
    refuses(&classes(&[0, 1]), &classes(&[0]), &["i64 [2], the targets i64 [1]"]);
    refuses(&classes(&[0]), &classes(&[0]).cast(DType::F32), &["the targets f32 [1]"]);
    refuses(&scores, &Tensor::from_slice(&[0i64, 3, 0, 0], [2, 2])?, &["target 1 is 3, no class"]);
    refuses(&classes(&[0]), &classes(&[-1]), &["target 0 is -1, no class"]);
    says(&top.add(&classes(&[0]), &classes(&[0])).unwrap_err(), &["the 2 greatest scores are asked of class indices"]);
    Ok(())
}

#[test]
fn f1_weighs_precision_and_recall() -> Result<()> {
    let mut f1 = F1::new(4);
    assert_eq!((f1.micro(), f1.macro_mean(), f1.of(1), f1.precision(9)), (0.0, 0.0, 0.0, 0.0));
    // scikit-learn: f1_score([0, 1, 2, 2, 2], [0, 0, 2, 1, 2]) by class 2/3, 0, 4/5; micro 3/5; macro 22/45.
    f1.add(&classes(&[0, 0, 2, 3]), &classes(&[0, 1, 2, -100]))?;
    let scores = Tensor::from_slice(&[0.1f64, 0.7, 0.2, 0.0, 0.1, 0.2, 0.4, 0.4], [2, 4])?;
    let mut more = F1::new(4);
    more.add(&scores, &classes(&[2, 2]))?;
    f1.merge(&more);
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-15, "{a} against {b}");
    near(f1.of(0), 2.0 / 3.0);
    near(f1.of(1), 0.0);
    near(f1.of(2), 0.8);
    near(f1.precision(0), 0.5);
    near(f1.recall(2), 2.0 / 3.0);
    near(f1.micro(), 0.6);
    near(f1.macro_mean(), 22.0 / 45.0);
    let before = f1.clone();
    for (predicted, target) in [
        (classes(&[0, 4]), classes(&[0, 1])),
        (classes(&[0, -1]), classes(&[0, 1])),
        (classes(&[0, 1]), classes(&[0, 4])),
    ] {
        says(&f1.add(&predicted, &target).unwrap_err(), &["F1: entry 1 is", "of 4 classes", "metrics.rs"]);
    }
    assert_eq!(f1, before, "nothing of a refused batch is counted");
    Ok(())
}

#[test]
fn log_loss_is_weighted_by_targets() {
    let mut loss = LogLoss::new();
    assert!(loss.mean().is_nan());
    loss.add(2.0, 3);
    loss.add(f64::NAN, 0);
    let mut more = LogLoss::new();
    more.add(4.0, 1);
    loss.merge(&more);
    assert_eq!(loss.mean(), 2.5);
    assert_eq!((loss.perplexity(), loss.bits_per_character()), (2.5f64.exp(), 2.5 / 2f64.ln()));
    let mut uniform = LogLoss::new();
    uniform.add(8f64.ln(), 10);
    assert!((uniform.perplexity() - 8.0).abs() < 1e-14 && (uniform.bits_per_character() - 3.0).abs() < 1e-15);
}
