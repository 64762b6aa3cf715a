//! Dropout.

use crate::Module;
use crate::cx::Cx;
use wengert_autograd::Var;

/// Sets elements to zero with probability `p` and scales the others by `1 / (1 − p)`, in training; changes nothing in evaluation
/// (Srivastava et al. 2014).
///
/// The elements are chosen by the key of the pass ([`Cx::with_seed`]), others at every call.
///
/// ```
/// use wengert_autograd::{DType, Tape};
/// use wengert_nn::{Cx, Dropout};
/// let (tape, dropout) = (Tape::new(), Dropout::new(0.5));
/// let x = tape.ones([4, 3], DType::F32);
/// let cx = Cx::train(&tape).with_seed(7);
/// let (a, b) = (dropout.forward(&cx, x), dropout.forward(&cx, x));
/// assert!(!a.value()?.bit_eq(&b.value()?));
/// assert!(dropout.forward(&Cx::eval(&tape), x).value()?.bit_eq(&x.value()?));
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Module)]
pub struct Dropout {
    /// The probability of a zero.
    pub p: f64,
}

impl Dropout {
    /// Zeros with probability `p`, from 0 to 1.
    pub fn new(p: f64) -> Dropout {
        Dropout { p }
    }

    /// Applies the layer to `x`. A pass that trains without a key is an error.
    #[track_caller]
    pub fn forward<'t>(&self, cx: &Cx<'t>, x: Var<'t>) -> Var<'t> {
        let _named = x.tape().composition("dropout");
        let Ok(shape) = x.shape() else { return x };
        // If nothing is kept, nothing is scaled.
        let kept = if self.p < 1.0 { 1.0 - self.p } else { 1.0 };
        match cx.chosen(self.p, shape) {
            Some(dropped) => dropped.select(0.0, x / kept),
            None => x,
        }
    }
}
