//! Every mistake a formula can contain: its text, and that it names what its author wrote, and where.
//!
//! [`CASES`](registry::cases) are mistakes of one operation each; `everywhere` makes them at the top of a tape, in loops and in
//! closures, and `complete` fails for a public operation that has none. The other files are about what is larger than one operation.

mod arrange;
mod derivatives;
mod elementwise;
mod everywhere;
mod joined;
mod products;
mod registry;
mod running;
mod scans;
mod selections;
mod sticky;
mod tapes;

use wengert_autograd::{DType, Error, Tensor};

fn tensor(shape: &[usize], dtype: DType) -> Tensor {
    Tensor::zeros(shape, dtype)
}

/// Checks text and address; `text` is everything but the address.
#[track_caller]
fn check(error: Error, line: u32, text: &str) {
    let full = error.to_string();
    let (found, address) = full.rsplit_once(" (at ").expect("an address stands at the end");
    assert_eq!(found, text);
    let file = std::panic::Location::caller().file();
    assert!(address.starts_with(&format!("{file}:{line}:")), "recorded at {file}:{line}, reported as {address}");
    assert_eq!(error.location().map(|at| at.line()), Some(line));
}

/// `fails!(formula, kind, text)`: the formula is invalid with this error.
macro_rules! fails {
    ($formula:expr, $kind:ident, $text:expr $(,)?) => {{
        let error = $formula.value().expect_err(stringify!($formula));
        assert_eq!(error.kind(), wengert_autograd::ErrorKind::$kind, "{error}");
        // rustfmt puts a formula that belongs to a long call on the line below.
        let line = error.location().map_or(0, |at| at.line());
        assert!([line!(), line!() + 1].contains(&line), "recorded at {}, reported as {error}", line!());
        crate::check(error, line, $text)
    }};
}
pub(crate) use fails;
