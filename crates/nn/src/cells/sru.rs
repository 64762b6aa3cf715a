//! The simple recurrent unit.

use crate::cell::Cell;
use crate::cx::Cx;
use crate::{Module, init};
use rand::Rng;
use wengert_autograd::{Param, Var};

/// The simple recurrent unit (Lei et al. 2018, arXiv 1709.02755): no matrix product reads the state.
///
/// ```text
/// f = σ(x·W_f + v_f·c + b_f)      r = σ(x·W_r + v_r·c + b_r)
/// c' = f·c + (1 − f)·(x·W)
/// h' = r·c' + (1 − r)·α·x̂        α = √3
/// ```
///
/// `x̂` is x where input and hidden size are equal, else `x·W_x`; α keeps its variance while `r` is near ½. The sums over x are one product ahead of the
/// loop. A clone shares the parameters.
#[derive(Clone, Debug, Module)]
pub struct SruCell {
    /// Input weights `[I, 3H]`, for the content, f, r; `[I, 4H]` with those of x̂ where I is not H.
    pub w: Param,
    /// Weights of f on the cell `[H]`.
    pub v_f: Param,
    /// Weights of r on the cell `[H]`.
    pub v_r: Param,
    /// Biases of f `[H]`.
    pub b_f: Param,
    /// Biases of r `[H]`.
    pub b_r: Param,
    same_size: bool,
    hidden: usize,
}

impl SruCell {
    /// A cell with input weights from `uniform(±√(3/I))`, of variance 1/I as in the paper, the others from `uniform(±1/√hidden)`, and biases 0.
    pub fn new(input: usize, hidden: usize, rng: &mut impl Rng) -> SruCell {
        let blocks = if input == hidden { 3 } else { 4 };
        let bound = (3.0 / input.max(1) as f64).sqrt();
        let w = Param::new(init::uniform(&[input, blocks * hidden], bound, rng));
        let mut draw = init::recurrent(hidden, rng);
        let [b_f, b_r] = [(); 2].map(|()| Param::new(init::zeros(&[hidden])));
        SruCell { w, v_f: draw(&[hidden]), v_r: draw(&[hidden]), b_f, b_r, same_size: input == hidden, hidden }
    }
}

impl Cell for SruCell {
    /// `c` `[B, H]`.
    type State<'t> = Var<'t>;

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Var<'t> {
        cx.zeros([batch, self.hidden])
    }

    fn step<'t>(&self, x: Var<'t>, c: Var<'t>) -> (Var<'t>, Var<'t>) {
        let sums = x.matmul(&self.w);
        let ([content, f, r], skip) = if self.same_size {
            (sums.chunk(), x)
        } else {
            let [content, f, r, skip] = sums.chunk();
            ([content, f, r], skip)
        };
        let f = (f + c * &self.v_f + &self.b_f).sigmoid();
        let r = (r + c * &self.v_r + &self.b_r).sigmoid();
        let c = f * c + (1 - f) * content;
        let h = r * c + (1 - r) * skip * 3f64.sqrt();
        (h, c)
    }
}
