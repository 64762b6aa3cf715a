//! A derivative of one's own, and what `check` says about it.
//!
//! ```text
//! cargo run --example check_my_op
//! ```
//!
//! The op is a gate with a learned width, `y = x·σ(x/w)`, for rows `x` `[B, N]` and one width for each column, `w` `[N]`. Its
//! derivative is written by hand, and is subtly wrong at first. `docs/checking-gradients.md` is the guide.

use std::panic::{self, catch_unwind};
use wengert::check::{Floats, GradientOptions, assert_gradients, floats};
use wengert::prelude::*;

/// `y = x·s` with `s = σ(x/w)`.
fn gate<'t>(x: Var<'t>, w: Var<'t>) -> Var<'t> {
    x * (x / w).sigmoid()
}

/// With `dy/dx = s + x·s·(1-s)/w` and `dy/dw = -x²·s·(1-s)/w²`. A width serves a whole column, so its cotangent is reduced over
/// the rows. By their mean: for a batch of one, or a loss that is a mean anyway, nothing looks wrong.
fn first_try<'t>(x: Var<'t>, w: Var<'t>) -> Var<'t> {
    x.tape().custom_vjp(
        [x, w],
        |[x, w]| gate(x, w),
        |inputs, _y, ct| {
            let (x, w) = (inputs[0], inputs[1]);
            let s = (x / w).sigmoid();
            let bend = x * s * (1.0 - s) / w;
            [Some(ct * (s + bend)), Some((-ct * bend * x / w).mean_axes(0))]
        },
    )
}

/// The same with the sum.
fn mended<'t>(x: Var<'t>, w: Var<'t>) -> Var<'t> {
    x.tape().custom_vjp(
        [x, w],
        |[x, w]| gate(x, w),
        |inputs, _y, ct| {
            let (x, w) = (inputs[0], inputs[1]);
            let s = (x / w).sigmoid();
            let bend = x * s * (1.0 - s) / w;
            [Some(ct * (s + bend)), Some((-ct * bend * x / w).sum_axes(0))]
        },
    )
}

/// The inputs: any rows, with widths away from zero.
fn inputs() -> Floats {
    floats("B N, N").input(1, |w| w.within(0.5..2.0))
}

fn main() {
    let smoke = std::env::args().any(|arg| arg == "--smoke");
    let options = GradientOptions::default().cases(if smoke { 8 } else { 64 });

    // In a test this is one line, and a panic. Here the panic's message is printed.
    let quiet = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let result = catch_unwind(|| assert_gradients!(|x, w| first_try(x, w), inputs(), options: options));
    panic::set_hook(quiet);
    let panic = result.expect_err("the derivative is wrong");
    println!("{}", panic.downcast_ref::<String>().expect("a panic with arguments carries a string"));

    assert_gradients!(|x, w| mended(x, w), inputs(), options: options);
    println!("the mended derivative passes");
}
