use rand::rngs::StdRng;
use wengert::prelude::*;

/// A leaky memory: what comes in is gated, and every unit forgets at a pace of its own, which it learns.
///
/// ```text
/// i = σ(x·W_i + h·U_i + b_i)      n = tanh(x·W_n + h·U_n + b_n)
/// c' = σ(a)·c + i·n               h' = tanh(c')
/// ```
#[derive(Module)]
pub struct LeakyCell {
    w: Param,
    u: Param,
    b: Param,
    a: Param,
}

impl Cell for LeakyCell {
    type State<'t> = (Var<'t>, Var<'t>);
    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        [(); 2].map(|()| cx.zeros([batch, self.a.value().numel()])).into()
    }
    fn step<'t>(&self, x: Var<'t>, (h, c): Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        let [i, n] = (x.matmul(&self.w) + h.matmul(&self.u) + &self.b).chunk();
        let c = x.tape().param(&self.a).sigmoid() * c + i.sigmoid() * n.tanh();
        (c.tanh(), (c.tanh(), c))
    }
}

impl LeakyCell {
    /// With memories of 1 to `longest` steps, so that some unit has about the right one from the start, and gates that let in as much
    /// as is forgotten (Tallec & Ollivier 2018).
    pub fn new(input: usize, hidden: usize, longest: f64, rng: &mut StdRng) -> LeakyCell {
        let a = init::chrono(hidden, longest, rng);
        let pace = a.to_f64_vec();
        let mut draw = init::recurrent(hidden, rng);
        let (w, u, b) = (draw(&[input, 2 * hidden]), draw(&[hidden, 2 * hidden]), draw(&[2 * hidden]));
        init::change(&b, 0..hidden, |i, _| -pace[i]);
        LeakyCell { w, u, b, a: Param::new(a) }
    }
}
