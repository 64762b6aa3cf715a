//! What losses and optimizers say of wrong arguments; their values are compared with PyTorch's in `pytorch.rs`.

mod support;

use rand::SeedableRng;
use support::{close, data, says};
use wengert::nn::loss::{BceWithLogits, Crf, CrossEntropy, Ctc, GaussianNll, Nll, Reduction, Triplet};
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
    let run = |logits: &Tensor, targets: &[i64], loss: CrossEntropy<'_>| -> Result<(Tensor, Tensor)> {
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

/// Asserts that a loss is invalid, with an address in the statement that asked for it.
#[track_caller]
fn refuses(loss: Var<'_>, parts: &[&str]) {
    let line = std::panic::Location::caller().line();
    let error = loss.item().unwrap_err();
    says(&error, parts);
    let found = error.location().expect("the caller's line");
    assert!(found.file().ends_with("losses.rs") && found.line().abs_diff(line) < 4, "{error}");
}

#[test]
fn losses_say_what_they_expect() {
    let tape = Tape::new();
    let x = tape.var(data(&[3, 5], 1));
    let short = data(&[5], 2);
    let shapes = ["the prediction is [3, 5], the target [5]", "same shape"];
    refuses(loss::l1(x, &short), &["l1: ", shapes[0], shapes[1]]);
    refuses(loss::huber(x, &short, 1.0), &["huber: ", shapes[0]]);
    refuses(loss::smooth_l1(x, &short, 1.0), &["smooth_l1: ", shapes[0]]);
    refuses(loss::pinball(x, &short, 0.5), &["pinball: ", shapes[0]]);
    refuses(loss::bce_with_logits(x, &short), &["bce_with_logits: ", shapes[0]]);
    refuses(loss::kl_div(x, &short), &["kl_div: ", shapes[0]]);
    refuses(loss::hinge(x, &short), &["hinge: ", shapes[0]]);
    refuses(loss::margin_ranking(x, 0.0, &short, 1.0), &["margin_ranking: ", shapes[0]]);
    refuses(loss::cosine_embedding(x, &short, 1.0, 0.0), &["cosine_embedding: ", shapes[0]]);
    refuses(loss::cosine_embedding(x, &data(&[3, 5], 2), &short, 0.0), &["the prediction is [3], the target [5]"]);
    refuses(loss::triplet_margin(x, x, &short), &["triplet_margin: ", shapes[0]]);
    refuses(loss::gaussian_nll(x, &short, 1.0), &["gaussian_nll: ", shapes[0]]);
    refuses(loss::gaussian_nll(x, 0.0, &short), &["gaussian_nll: the mean is [3, 5], the variance [5]", "expand"]);

    refuses(loss::huber(x, 0.0, 0.0), &["huber: the delta is 0, expected a positive number"]);
    refuses(loss::smooth_l1(x, 0.0, f64::NAN), &["smooth_l1: the beta is NaN"]);
    refuses(loss::pinball(x, 0.0, 1.0), &["pinball: the quantile is 1, expected a number between 0 and 1"]);
    refuses(loss::quantiles(x, &data(&[3], 2), &[0.1, 0.2, 0.5, 0.9, -1.0]), &["quantiles: the quantile is -1"]);
    refuses(loss::quantiles(x, &data(&[3], 2), &[0.1, 0.5]), &["[3, 5], the target [3], for 2 quantiles", "[.., Q]"]);
    refuses(
        loss::cosine_embedding(x, 0.0, 1.0, 2.0),
        &["cosine_embedding: the margin is 2, expected a number from -1"],
    );
    refuses(GaussianNll { eps: 0.0, ..Default::default() }.loss(x, 0.0, 1.0), &["gaussian_nll: the eps is 0"]);
    let weight = Some(tape.constant(data(&[4], 1)));
    refuses(BceWithLogits { pos_weight: weight, ..Default::default() }.loss(x, 1.0), &["bce_with_logits: ", "[4]"]);
    let targets = indices(&[0, 1, 2]);
    let smoothed = CrossEntropy { label_smoothing: 1.5, ..Default::default() };
    refuses(smoothed.loss(x, &targets), &["cross_entropy: the label smoothing is 1.5, expected a number from 0 to 1"]);
    let weighted = CrossEntropy { weight, ..Default::default() };
    refuses(weighted.loss(x, &targets), &["cross_entropy: the class weights are [4], the logits [3, 5]", "each class"]);
    refuses(loss::nll(x, &indices(&[0])), &["nll: the log-probabilities are [3, 5], the targets i64 [1]"]);
    refuses(Nll::default().loss(x, &indices(&[0, 5, 1])), &["nll: index 5 at position [1] is out of range"]);
    let mixed = loss::mixture_nll(x, tape.constant(data(&[3, 4, 2], 1)), x, &short);
    refuses(mixed, &["mixture_nll: the logits are [3, 5], the means [3, 4, 2]", "[.., K, D]"]);
    refuses(loss::temporal_activation_regularization(tape.var(1.0f64)), &["the outputs are []", "[T, ..]"]);

    // Masks of other axes or types. What was broken before is not reported anew.
    let mask = |shape: &[usize], dtype: DType| tape.zeros(shape, dtype);
    let masked = |mask: Var<'_>| loss::mse_with(x, 0.0, Reduction::MeanOver(mask)).item().unwrap_err();
    for (shape, dtype) in [(&[5][..], DType::Bool), (&[3, 5, 1], DType::Bool), (&[3], DType::F64)] {
        let found = format!("mse: the mask is {dtype} {shape:?}, the losses are [3, 5]");
        says(&masked(mask(shape, dtype)), &[&found, "leading axes", "losses.rs"]);
    }
    says(&masked(x.matmul(x).cast(DType::Bool)), &["matmul"]);
    let triplet = Triplet { reduction: Reduction::SumOver(mask(&[3, 5], DType::Bool)), ..Default::default() };
    refuses(triplet.loss(x, 0.0, x), &["triplet_margin"]);
    let reduction = Reduction::MeanOver(mask(&[5], DType::Bool));
    refuses(
        CrossEntropy { reduction, ..Default::default() }.loss(x, &targets),
        &["cross_entropy: the mask is bool [5]"],
    );
    let reduction = Reduction::MeanOver(mask(&[3, 1], DType::Bool));
    refuses(
        loss::mixture_nll_with(x, x.unsqueeze(-1), x.unsqueeze(-1), &data(&[3, 1], 1), reduction),
        &["mixture_nll: the mask"],
    );
    let broken = x.matmul(x);
    for loss in [loss::l1(broken, 0.0), loss::l1(x, broken), loss::mixture_nll(x, broken, x, x)] {
        refuses_as(loss, "matmul");
    }
    // Nothing counts: as without a mask, the mean of nothing is NaN, and the sum is 0.
    let tape = Tape::new();
    let (x, none) = (tape.var(data(&[3, 5], 1)), tape.zeros([3], DType::Bool));
    assert!(loss::mse_with(x, 0.0, Reduction::MeanOver(none)).item().is_ok_and(f64::is_nan));
    let sum = loss::mse_with(x, 0.0, Reduction::SumOver(none)).backward().unwrap();
    assert_eq!((sum.loss().item().unwrap(), sum.wrt(x).unwrap().to_f64_vec()), (0.0, vec![0.0; 15]));
}

fn refuses_as(loss: Var<'_>, operation: &str) {
    assert_eq!(loss.item().unwrap_err().op(), operation);
}

#[test]
fn ctc_says_what_it_expects() {
    let tape = Tape::new();
    let x = tape.var(data(&[4, 2, 3], 1));
    let lists = |a: &[i64], b: &[i64]| [a.to_vec(), b.to_vec()];
    let fine = lists(&[1], &[2]);
    refuses(
        loss::ctc(x.get(1, 0), &fine, &[4, 4]),
        &["ctc: the log-probabilities are f64 [4, 3]", "[T, B, C]", "unsqueeze"],
    );
    refuses(loss::ctc(x, &fine[..1], &[4, 4]), &["ctc: 1 lists of labels and 2 lengths for 2 sequences"]);
    refuses(loss::ctc(x, &fine, &[4]), &["2 lists of labels and 1 lengths"]);
    refuses(loss::ctc(x, &fine, &[4, 5]), &["ctc: sequence 1 has length 5, but there are 4 steps"]);
    let range = "none of the 3 classes";
    refuses(loss::ctc(x, &lists(&[1], &[2, 3]), &[4, 4]), &["label 1 of sequence 1 is 3", range, "without padding"]);
    refuses(loss::ctc(x, &lists(&[-1], &[2]), &[4, 4]), &["label 0 of sequence 0 is -1", range]);
    refuses(loss::ctc(x, &lists(&[1, 0], &[2]), &[4, 4]), &["label 1 of sequence 0 is 0, the blank"]);
    refuses(Ctc { blank: 3, ..Default::default() }.loss(x, &fine, &[4, 4]), &["ctc: the blank is 3, but there are 3"]);
    let reduction = Reduction::MeanOver(tape.zeros([3], DType::Bool));
    refuses(
        Ctc { reduction, ..Default::default() }.loss(x, &fine, &[4, 4]),
        &["ctc: the mask is bool [3], the losses are [2]"],
    );
    refuses_as(loss::ctc(x.matmul(x), &fine, &[4, 4]), "matmul");
    refuses(
        loss::ctc(tape.zeros([4, 2, 3], DType::I64), &fine, &[4, 4]),
        &["ctc: the log-probabilities are i64 [4, 2, 3]"],
    );
}

#[test]
fn the_field_says_what_it_expects() {
    let crf = Crf::new(3, &mut rand::rngs::StdRng::seed_from_u64(0));
    crf.set_dtype(DType::F64).unwrap();
    let tape = Tape::new();
    let e = tape.var(data(&[4, 2, 3], 1));
    let tags = Tensor::zeros([4, 2], DType::I64);
    refuses(crf.log_likelihood(e, &tags, &[4]), &["crf: the emissions are [4, 2, 3], for 3 tags and 1 lengths"]);
    refuses(crf.log_partition(e.narrow(-1, 0, 2), &[4, 4]), &["crf: the emissions are [4, 2, 2], for 3 tags"]);
    refuses(crf.viterbi(e, &[4, 0]).1, &["crf: sequence 1 has length 0, expected 1 to 4", "leave out"]);
    refuses(crf.viterbi(e, &[5, 1]).0, &["sequence 0 has length 5"]);
    says(&crf.decode(e, &[5, 1]).unwrap_err(), &["sequence 0 has length 5"]);
    let turned = Tensor::zeros([2, 4], DType::I64);
    refuses(crf.log_likelihood(e, &turned, &[4, 4]), &["crf: the tags are [2, 4], the emissions [4, 2, 3]"]);
    let wrong = Tensor::full([4, 2], 3.0, DType::I64);
    let outside = crf.log_likelihood(e, &wrong, &[4, 1]).sum();
    refuses(outside, &["crf: index 3 at position [0, 0] is out of range"]);
    refuses(crf.log_likelihood(e, &data(&[4, 2], 1), &[4, 4]), &["crf", "f64"]);
    refuses(crf.log_partition(tape.zeros([0, 0, 3], DType::F64), &[]), &["have no steps"]);
    refuses_as(crf.log_partition(e.matmul(e), &[4, 4]), "matmul");
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
