//! Mistakes as data: one operation each.

use super::tensor;
use wengert_autograd::{DType, Error, ErrorKind, Tape, Var};

/// What the mistakes are made with. Recorded on a tape, or derived from the items of a loop.
pub(crate) struct In<'t> {
    pub tape: &'t Tape,
    /// F32 `[2, 3]`.
    pub x: Var<'t>,
    /// F64 `[2, 3]`.
    pub d: Var<'t>,
    /// I64 `[2, 3]`.
    pub n: Var<'t>,
    /// Bool `[2, 3]`.
    pub b: Var<'t>,
    /// F32 `[]`.
    pub s: Var<'t>,
    /// F32 `[2, 4]`.
    pub w: Var<'t>,
    /// F32 `[1, 1]`.
    pub q: Var<'t>,
    /// I64 `[2]`.
    pub k: Var<'t>,
    /// I64 `[]`.
    pub key: Var<'t>,
}

impl<'t> In<'t> {
    /// Leaves of a tape.
    pub(crate) fn of(tape: &'t Tape) -> In<'t> {
        let leaf = |shape: &[usize], dtype| tape.var(tensor(shape, dtype));
        In::from(leaf(&[2, 3], DType::F32), leaf(&[2, 4], DType::F32))
    }

    /// Everything from `x` `[2, 3]` and `w` `[2, 4]`.
    pub(crate) fn from(x: Var<'t>, w: Var<'t>) -> In<'t> {
        let n = x.cast(DType::I64);
        let k = n.get(1, 0);
        let (d, b, s, q) = (x.cast(DType::F64), x.gt(0.0), x.sum(), x.narrow(0, 0, 1).narrow(1, 0, 1));
        In { tape: x.tape(), x, d, n, b, s, w, q, k, key: k.get(0, 0) }
    }

    /// The same invalid value everywhere.
    pub(crate) fn broken(v: Var<'t>) -> In<'t> {
        In { tape: v.tape(), x: v, d: v, n: v, b: v, s: v, w: v, q: v, k: v, key: v }
    }
}

/// One mistake.
pub(crate) struct Case {
    pub file: &'static str,
    pub line: u32,
    pub kind: ErrorKind,
    pub make: for<'a, 't> fn(&'a In<'t>) -> Error,
    /// Operation, what was found, remedy.
    pub text: &'static str,
}

/// What answers with an error.
pub(crate) trait Answer {
    fn error(self) -> Option<Error>;
}

impl Answer for Var<'_> {
    fn error(self) -> Option<Error> {
        self.shape().err().or_else(|| self.value().err())
    }
}

impl<'t> Answer for Vec<Var<'t>> {
    fn error(self) -> Option<Error> {
        self.last().and_then(|part| part.error())
    }
}

impl<'t, const N: usize> Answer for [Var<'t>; N] {
    fn error(self) -> Option<Error> {
        self.last().and_then(|part| part.error())
    }
}

impl<'t, const N: usize> Answer for [Option<Var<'t>>; N] {
    fn error(self) -> Option<Error> {
        self.last().and_then(|part| part.and_then(Answer::error))
    }
}

impl<'t> Answer for (Var<'t>, Var<'t>) {
    fn error(self) -> Option<Error> {
        self.1.error()
    }
}

impl<T> Answer for Result<T, Error> {
    fn error(self) -> Option<Error> {
        self.err()
    }
}

/// `case!(kind, |input| formula, text)`.
macro_rules! case {
    ($kind:ident, |$i:pat_param| $formula:expr, $text:expr $(,)?) => {
        crate::registry::Case {
            file: file!(),
            line: line!(),
            kind: wengert_autograd::ErrorKind::$kind,
            make: |$i| crate::registry::Answer::error($formula).expect(stringify!($formula)),
            text: $text,
        }
    };
}
pub(crate) use case;

/// Every mistake.
pub(crate) fn cases() -> impl Iterator<Item = &'static Case> {
    use super::*;
    let all = [
        elementwise::CASES,
        elementwise::FLOATS,
        elementwise::NUMBERS,
        elementwise::PAIRS,
        products::AXES,
        products::CASES,
        arrange::CASES,
        joined::CASES,
        selections::CASES,
        derivatives::CASES,
        tapes::CASES,
    ];
    all.into_iter().flatten()
}
