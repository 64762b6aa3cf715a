//! What losses and optimizers say of wrong arguments; their values are compared with PyTorch's in `pytorch.rs`.

mod support;

use support::{close, data, says};
use wengert::nn::loss::{CrossEntropy, Reduction};
use wengert::prelude::*;

fn indices(values: &[i64]) -> Tensor {
    Tensor::from_slice(values, [values.len()]).expect("as many values as the shape holds")
}

#[test]
fn mse_takes_equal_shapes_or_a_number() -> Result<()> {
    let tape = Tape::new();
    let x = tape.var(data(&[4, 3], 1));
    let by_number = loss::mse(x, 0.5).item()?;
    let by_tensor = loss::mse(x, &Tensor::full([4, 3], 0.5, DType::F64)).item()?;
    assert_eq!(by_number, by_tensor);
    assert_eq!(loss::mse_with(x, 0.5, Reduction::None).shape()?[..], [4, 3]);

    for (shape, text) in [(&[3][..], "[3]"), (&[4, 1], "[4, 1]"), (&[1, 4, 3], "[1, 4, 3]"), (&[3, 4], "[3, 4]")] {
        let line = line!() + 1;
        let error = loss::mse(x, &data(shape, 2)).item().unwrap_err();
        says(&error, &["mse: the prediction is [4, 3], the target", text, &format!("losses.rs:{line}")]);
    }
    Ok(())
}

#[test]
fn mse_refuses_other_types_and_tapes() {
    let tape = Tape::new();
    let x = tape.var(data(&[4], 1));
    let single = data(&[4], 2).cast(DType::F32);
    says(&loss::mse(x, &single).item().unwrap_err(), &["f64", "f32", "cast", "losses.rs"]);
    let other = Tape::new();
    let far = other.constant(data(&[4], 2));
    says(&loss::mse(x, far).item().unwrap_err(), &["different tapes"]);
    says(&loss::cross_entropy(x.unsqueeze(0), far).item().unwrap_err(), &["different tapes"]);
    let broken = x.matmul(&data(&[5, 5], 1));
    says(&loss::mse(broken, 0.0).item().unwrap_err(), &["matmul"]);
    says(&loss::mse(x, broken).item().unwrap_err(), &["matmul"]);
    let integers = tape.constant(indices(&[1, 2, 4]));
    says(&loss::mse(integers, 1).backward().unwrap_err(), &["i64"]);
}

#[test]
fn cross_entropy_says_what_it_expects() {
    let tape = Tape::new();
    let logits = tape.var(data(&[3, 5], 1));
    for targets in [indices(&[0, 1]), indices(&[0]), data(&[3], 1), data(&[3, 5], 1), Tensor::scalar(1i64)] {
        let found = format!("the targets {} {}", targets.dtype(), targets.shape());
        let line = line!() + 1;
        let error = loss::cross_entropy(logits, &targets).item().unwrap_err();
        let address = format!("losses.rs:{line}");
        says(&error, &["cross_entropy", "the logits are [3, 5]", &found, "i64 class indices [..]", &address]);
    }
    says(&loss::cross_entropy(tape.var(1.0f64), 0).item().unwrap_err(), &["cross_entropy: the logits are []"]);
    let broken = logits.matmul(&data(&[4, 4], 1));
    says(&loss::cross_entropy(broken, &indices(&[0, 0, 0])).item().unwrap_err(), &["matmul"]);
}

#[test]
fn a_target_outside_of_the_classes_is_found_when_the_program_runs() {
    for target in [5, -1, i64::MAX, i64::MIN] {
        let tape = Tape::new();
        let loss = loss::cross_entropy(tape.var(data(&[3, 5], 1)), &indices(&[0, target, 4]));
        let found = format!(
            "cross_entropy: index {target} at position [1] is out of range: axis 1 of [3, 5] has entries 0 to 4"
        );
        says(&loss.item().unwrap_err(), &[&found, "losses.rs"]);
        says(&loss.backward().unwrap_err(), &[&target.to_string()]);
    }
}

#[test]
fn ignored_targets_take_no_part() -> Result<()> {
    let logits = data(&[4, 5], 1);
    let run = |logits: &Tensor, targets: &[i64], loss: CrossEntropy| -> Result<(Tensor, Tensor)> {
        let tape = Tape::new();
        let x = tape.var(logits);
        let gradients = loss.loss(x, &indices(targets)).backward()?;
        Ok((gradients.loss().clone(), gradients.wrt(x).unwrap().clone()))
    };
    let (some, gradient) = run(&logits, &[3, -100, 1, -100], CrossEntropy::default())?;
    let tape = Tape::inference();
    let kept = tape.constant(&logits).index_select(0, &indices(&[0, 2])).value()?;
    let (alone, _) = run(&kept, &[3, 1], CrossEntropy::default())?;
    close(&some, &alone, 1e-15, "loss");
    assert_eq!(gradient.narrow(0, 1, 1)?.to_f64_vec(), [0.0; 5]);
    // Another index to ignore; −100 is then outside of the classes.
    let padded = CrossEntropy { ignore_index: 0, ..Default::default() };
    close(&run(&logits, &[3, 0, 1, 0], padded)?.0, &alone, 1e-15, "loss");
    says(&run(&logits, &[3, -100, 1, 0], padded).unwrap_err(), &["-100"]);
    // No target counts: the mean of nothing is NaN, the sum is 0, and no gradient is invented.
    assert!(run(&logits, &[-100; 4], CrossEntropy::default())?.0.item()?.is_nan());
    let sum = CrossEntropy { reduction: Reduction::Sum, ..Default::default() };
    let (loss, gradient) = run(&logits, &[-100; 4], sum)?;
    assert_eq!((loss.item()?, gradient.to_f64_vec()), (0.0, vec![0.0; 20]));
    Ok(())
}

/// Gradients of a two-parameter module, with that of the second replaced.
fn with_second(module: &(Param, Param), second: Tensor) -> Result<Gradients> {
    let tape = Tape::new();
    let mut gradients = (tape.param(&module.0).square().sum() + tape.param(&module.1).sum()).backward()?;
    gradients.insert(&module.1, second);
    Ok(gradients)
}

#[test]
fn a_gradient_that_does_not_fit_updates_nothing() -> Result<()> {
    let module = (Param::new(data(&[2], 1)), Param::new(data(&[3, 4], 2)));
    let before = [module.0.value(), module.1.value()];
    // [4] would broadcast; [2, 3, 4] would broadcast the parameter.
    for shape in [&[4][..], &[2, 3, 4], &[4, 3], &[]] {
        let mut gradients = with_second(&module, data(shape, 3))?;
        let line = line!() + 1;
        let error = Sgd::new(0.1).momentum(0.9).step(&module, &gradients).unwrap_err();
        let found = format!("the gradient of '1' is f64 {:?}, the parameter f64 [3, 4]", shape);
        says(&error, &["Sgd", &found, &format!("losses.rs:{line}")]);
        says(&clip_grad_norm(&module, &mut gradients, 1.0).unwrap_err(), &["clip_grad_norm", &found]);
    }
    let gradients = with_second(&module, data(&[3, 4], 3).cast(DType::F32))?;
    says(&Sgd::new(0.1).step(&module, &gradients).unwrap_err(), &["f32 [3, 4]"]);
    // A velocity from before the element type changed.
    let mut sgd = Sgd::new(0.1).momentum(0.9);
    let other = (module.0.fork(), module.1.fork());
    sgd.step(&other, &with_second(&other, data(&[3, 4], 3))?)?;
    other.set_dtype(DType::F32)?;
    let held = other.0.value();
    says(&sgd.step(&other, &with_second(&other, held.narrow(0, 0, 0)?)?).unwrap_err(), &["[0]"]);
    let gradients = with_second(&other, data(&[3, 4], 3).cast(DType::F32))?;
    says(&sgd.step(&other, &gradients).unwrap_err(), &["f64", "f32"]);
    assert!(other.0.value().bit_eq(&held));
    assert!(module.0.value().bit_eq(&before[0]) && module.1.value().bit_eq(&before[1]));
    Ok(())
}

#[test]
fn settings_out_of_range_are_refused() -> Result<()> {
    let module = (Param::new(data(&[2], 1)), Param::new(data(&[2], 2)));
    let gradients = with_second(&module, data(&[2], 3))?;
    let refuses = |mut sgd: Sgd, parts: &[&str]| says(&sgd.step(&module, &gradients).unwrap_err(), parts);
    refuses(Sgd::new(f64::NAN), &["the learning rate is NaN", "finite", "losses.rs"]);
    refuses(Sgd::new(-1.0), &["the learning rate is -1"]);
    refuses(Sgd::new(0.1).momentum(f64::INFINITY), &["the momentum is inf"]);
    refuses(Sgd::new(0.1).l2(-0.5), &["the L2 penalty is -0.5"]);
    refuses(Sgd::new(0.1).momentum(0.9).dampening(f64::NAN), &["the dampening is NaN"]);
    refuses(Sgd::new(0.1).nesterov(), &["Nesterov with momentum 0"]);
    refuses(Sgd::new(0.1).momentum(0.9).dampening(0.1).nesterov(), &["dampening 0.1"]);
    for bound in [f64::NAN, -1.0] {
        says(&clip_grad_norm(&module, &mut gradients.clone(), bound).unwrap_err(), &["the greatest norm is"]);
    }
    assert!(module.0.value().bit_eq(&data(&[2], 1)));
    Ok(())
}

#[test]
fn clipping_spans_both_element_types() -> Result<()> {
    let module = (Param::new(data(&[3], 1)), Param::new(data(&[4], 2).cast(DType::F32)));
    let tape = Tape::new();
    let (a, b) = (tape.param(&module.0), tape.param(&module.1));
    let loss = (a * &data(&[3], 5)).sum() + (b * &data(&[4], 6).cast(DType::F32)).sum().cast(DType::F64);
    let mut gradients = loss.backward()?;
    let squares: f64 = data(&[3], 5).to_f64_vec().iter().chain(&data(&[4], 6).to_f64_vec()).map(|v| v * v).sum();
    let norm = clip_grad_norm(&module, &mut gradients, 0.1)?;
    assert!((norm - squares.sqrt()).abs() < 1e-7);
    assert_eq!(gradients.get(&module.1).unwrap().dtype(), DType::F32);
    let again = clip_grad_norm(&module, &mut gradients, f64::INFINITY)?;
    assert!((again - 0.1).abs() < 1e-6, "{again}");
    // Nothing to clip; and what is not finite is reported.
    assert_eq!(clip_grad_norm(&(), &mut gradients, 1.0)?, 0.0);
    gradients.insert(&module.0, Tensor::full([3], f64::INFINITY, DType::F64));
    assert_eq!(clip_grad_norm(&module, &mut gradients, 1.0)?, f64::INFINITY);
    Ok(())
}
