//! Formulas that start with a number.

use wengert_autograd::Tape;

#[test]
fn a_method_can_follow_an_expression_that_starts_with_a_number() {
    let tape = Tape::new();
    let x = tape.var(0.25f32);
    let y = (1.0 - x).tanh() + (2 * x).exp() / (1.0 + x).sqrt();
    let expected = (0.75f64).tanh() + (0.5f64).exp() / (1.25f64).sqrt();
    assert!((y.item().unwrap() - expected).abs() < 1e-6);
}
