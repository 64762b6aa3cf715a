//! The long short-term memory cell with forget gate.

use crate::cell::Cell;
use crate::cx::Cx;
use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Error, ErrorKind, Param, Result, Tensor, Var};

/// Long short-term memory (Hochreiter & Schmidhuber 1997) with forget gate (Gers, Schmidhuber & Cummins 2000):
///
/// ```text
/// i = σ(x·W_i + h·U_i + b_i)      f = σ(x·W_f + h·U_f + b_f)
/// g = tanh(x·W_g + h·U_g + b_g)   o = σ(x·W_o + h·U_o + b_o)
/// c' = f·c + i·g                  h' = o·tanh(c')
/// ```
///
/// The gates are columns of one matrix, in PyTorch's order i, f, g, o: `w = [W_i W_f W_g W_o]`. A clone shares the parameters.
#[derive(Clone, Debug, Module)]
pub struct LstmCell {
    /// Input weights `[I, 4H]`.
    pub w: Param,
    /// Recurrent weights `[H, 4H]`.
    pub u: Param,
    /// Biases `[4H]`.
    pub b: Param,
    hidden: usize,
}

impl LstmCell {
    /// A cell with all weights drawn from `uniform(±1/√hidden)`, as PyTorch draws them.
    pub fn new(input: usize, hidden: usize, rng: &mut impl Rng) -> LstmCell {
        let bound = 1.0 / (hidden.max(1) as f64).sqrt();
        let mut draw = |shape: &[usize]| Param::new(init::uniform(shape, bound, rng));
        LstmCell { w: draw(&[input, 4 * hidden]), u: draw(&[hidden, 4 * hidden]), b: draw(&[4 * hidden]), hidden }
    }

    /// The cell with `bias` added to the biases of its forget gate. 1 is usual: the cell starts by remembering
    /// (Jozefowicz, Zaremba & Sutskever 2015).
    pub fn with_forget_bias(self, bias: f64) -> LstmCell {
        let value = self.b.value();
        let mut values = value.to_f64_vec();
        values[self.hidden..2 * self.hidden].iter_mut().for_each(|b| *b += bias);
        let raised = Tensor::from_vec(values, value.shape()).map(|t| t.cast(value.dtype()));
        // The shape and type are those that the parameter has.
        let set = raised.and_then(|raised| self.b.set(raised));
        debug_assert!(set.is_ok());
        self
    }

    /// A cell with given weights: `w` `[I, 4H]`, `u` `[H, 4H]`, `b` `[4H]`, all F32 or all F64.
    ///
    /// Of PyTorch's tensors `w` is `weight_ih` transposed, `u` is `weight_hh` transposed, and `b` is `bias_ih + bias_hh`.
    ///
    /// ```
    /// use wengert_autograd::{DType, Tensor};
    /// use wengert_nn::LstmCell;
    /// let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F64);
    /// let cell = LstmCell::from_tensors(zeros(&[3, 8]), zeros(&[2, 8]), zeros(&[8]))?;
    /// assert_eq!(cell.hidden(), 2);
    /// let error = LstmCell::from_tensors(zeros(&[3, 8]), zeros(&[2, 8]), zeros(&[6])).unwrap_err();
    /// assert!(error.to_string().contains("b f64 [6]"));
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// If shapes or element types do not fit.
    #[track_caller]
    pub fn from_tensors(w: Tensor, u: Tensor, b: Tensor) -> Result<LstmCell> {
        let hidden = u.shape().first().copied().unwrap_or(0);
        let gates = 4 * hidden;
        let shapes =
            w.shape().rank() == 2 && w.shape()[1] == gates && *u.shape() == [hidden, gates] && *b.shape() == [gates];
        if !shapes || !u.dtype().is_float() || w.dtype() != u.dtype() || b.dtype() != u.dtype() {
            let list = [("w", &w), ("u", &u), ("b", &b)].map(|(name, t)| format!("{name} {} {}", t.dtype(), t.shape()));
            let remedy = "expected w [I, 4H], u [H, 4H], b [4H], all f32 or all f64";
            return Err(Error::new(
                ErrorKind::Shape,
                "LstmCell::from_tensors",
                format!("found {}", list.join(", ")),
                remedy,
            ));
        }
        Ok(LstmCell { w: Param::new(w), u: Param::new(u), b: Param::new(b), hidden })
    }

    /// The number of units, H.
    pub fn hidden(&self) -> usize {
        self.hidden
    }
}

impl Cell for LstmCell {
    /// `(h, c)`, each `[B, H]`.
    type State<'t> = (Var<'t>, Var<'t>);

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        (cx.zeros([batch, self.hidden]), cx.zeros([batch, self.hidden]))
    }

    fn step<'t>(&self, x: Var<'t>, (h, c): Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        let z = x.matmul(&self.w) + h.matmul(&self.u) + &self.b;
        let [i, f, g, o] = z.chunk();
        let c = f.sigmoid() * c + i.sigmoid() * g.tanh();
        let h = o.sigmoid() * c.tanh();
        (h, (h, c))
    }
}
