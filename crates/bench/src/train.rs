//! One training step of an LSTM: the library's cell, a user's own, and a hand-written loop over time.

use crate::Options;
use crate::shapes::Shape;
use crate::timing::timed;
use rand::{SeedableRng, rngs::StdRng};
use wengert::prelude::*;

/// A cell as a user writes it.
#[derive(Module)]
struct Custom {
    w: Param,
    u: Param,
    b: Param,
    hidden: usize,
}

impl Custom {
    fn new(input: usize, hidden: usize, rng: &mut StdRng) -> Custom {
        let k = (hidden as f64).powf(-0.5);
        let mut draw = |shape: &[usize]| Param::new(init::uniform(shape, k, rng));
        Custom { w: draw(&[input, 4 * hidden]), u: draw(&[hidden, 4 * hidden]), b: draw(&[4 * hidden]), hidden }
    }
}

impl Cell for Custom {
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

/// The outputs of a forward pass over `x`, recorded.
type Forward<'a, C> = for<'t> fn(&'a Rnn<C>, &Cx<'t>, Var<'t>) -> Var<'t>;

fn scanned<'t, C: Cell>(net: &Rnn<C>, cx: &Cx<'t>, x: Var<'t>) -> Var<'t> {
    net.forward(cx, x).0
}

/// A loop over time in Rust.
fn unrolled<'t, C: Cell>(net: &Rnn<C>, cx: &Cx<'t>, x: Var<'t>) -> Var<'t> {
    let Ok([steps, batch, _]) = x.dims::<3>() else { return x };
    let mut states = net.init(cx, batch);
    let mut outputs = Vec::with_capacity(steps);
    for t in 0..steps {
        let (y, next) = net.step(x.get(0, t), states);
        states = next;
        outputs.push(y);
    }
    cx.tape().stack(&outputs, 0)
}

pub(crate) fn run(shapes: &[Shape], options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let wanted = |name: &str| options.systems == "all" || options.systems.split(',').any(|s| s == name);
    for shape in shapes {
        let mut rng = StdRng::seed_from_u64(0);
        let lstm = Rnn::stack(shape.l, shape.i, |_, input| LstmCell::new(input, shape.h, &mut rng));
        let custom = Rnn::stack(shape.l, shape.i, |_, input| Custom::new(input, shape.h, &mut rng));
        let x = init::uniform(&[shape.t, shape.b, shape.i], 1.0, &mut rng);
        if wanted("wengert_lstm") {
            time("wengert_lstm", shape, options, &lstm, &x, scanned)?;
        }
        if wanted("wengert_custom") {
            time("wengert_custom", shape, options, &custom, &x, scanned)?;
        }
        if wanted("wengert_unrolled") {
            time("wengert_unrolled", shape, options, &custom, &x, unrolled)?;
        }
    }
    Ok(())
}

fn time<'a, C: Cell>(
    system: &str,
    shape: &Shape,
    options: &Options,
    net: &'a Rnn<C>,
    x: &Tensor,
    forward: Forward<'a, C>,
) -> Result<()> {
    let timing = timed(options.budget, options.runs, || {
        let tape = Tape::new();
        let y = forward(net, &Cx::train(&tape), tape.constant(x));
        y.square().mean().backward().map(drop)
    })?;
    let Shape { name, t, b, i, h, l } = shape;
    println!(
        "{{\"system\": \"{system}\", \"shape\": \"{name}\", \"T\": {t}, \"B\": {b}, \"I\": {i}, \"H\": {h}, \"L\": {l}, \
         \"threads\": {threads}, \"ms\": {:.4}, \"min_ms\": {:.4}, \"runs\": {}}}",
        timing.median,
        timing.min,
        timing.runs,
        threads = options.threads
    );
    Ok(())
}
