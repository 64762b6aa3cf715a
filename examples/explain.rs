//! A cell written from its equations, looked at from all sides: what its backward pass is, what a training step runs,
//! where the time goes, and where a NaN comes from.
//!
//! ```text
//! cargo run --release --example explain [-- --smoke]
//! ```

use rand::{SeedableRng, rngs::StdRng};
use wengert::nn::explain;
use wengert::prelude::*;

/// The LSTM with a matrix and a bias for each gate, over `[h, x]`.
#[derive(Module)]
#[allow(non_snake_case)]
struct Lstm {
    W_f: Param,
    b_f: Param,
    W_i: Param,
    b_i: Param,
    W_C: Param,
    b_C: Param,
    W_o: Param,
    b_o: Param,
    hidden: usize,
}

impl Lstm {
    #[allow(non_snake_case)]
    fn new(input: usize, hidden: usize, rng: &mut StdRng) -> Lstm {
        let bound = 1.0 / (hidden as f64).sqrt();
        let [W_f, W_i, W_C, W_o] = [(); 4].map(|()| Param::new(init::uniform(&[hidden + input, hidden], bound, rng)));
        let [b_f, b_i, b_C, b_o] = [(); 4].map(|()| Param::new(Tensor::zeros([hidden], DType::F32)));
        Lstm { W_f, b_f, W_i, b_i, W_C, b_C, W_o, b_o, hidden }
    }
}

impl Cell for Lstm {
    type State<'t> = (Var<'t>, Var<'t>);

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        (cx.zeros([batch, self.hidden]), cx.zeros([batch, self.hidden]))
    }

    /// The names are for the listings; the cell works as well without.
    #[allow(non_snake_case)]
    fn step<'t>(&self, x: Var<'t>, (h, C): Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        let hx = x.tape().concat(&[h, x], -1);
        let f = (hx.matmul(&self.W_f) + &self.b_f).named("z_f").sigmoid().named("f");
        let i = (hx.matmul(&self.W_i) + &self.b_i).named("z_i").sigmoid().named("i");
        let new = (hx.matmul(&self.W_C) + &self.b_C).named("z_C").tanh().named("C̃");
        let C = (f * C + i * new).named("C");
        let o = (hx.matmul(&self.W_o) + &self.b_o).named("z_o").sigmoid().named("o");
        let h = o * C.tanh();
        (h, (h, C))
    }
}

fn main() -> Result<()> {
    let smoke = std::env::args().any(|arg| arg == "--smoke");
    let (steps, batch) = if smoke { (4, 2) } else { (100, 16) };
    let mut rng = StdRng::seed_from_u64(0);
    let (input, hidden) = (8, 32);
    let cell = Lstm::new(input, hidden, &mut rng);

    println!("== The equations, forward and backward, read off the recording\n");
    let equations = explain(&cell, input)?;
    print!("{equations}");
    let has = |left: &str, right: &str| {
        let mut all = equations.backward.iter().chain(&equations.gradients);
        assert!(all.any(|e| e.left == left && e.right == right), "{left} = {right}");
    };
    has("∂L/∂W_f", "Σₜ [hₜ₋₁, xₜ]ᵀ·∂L/∂z_f");
    has("∂L/∂z_f", "∂L/∂Cₜ ∘ Cₜ₋₁ ∘ f ∘ (1 − f)");

    println!("\n== What a training step runs\n");
    let net = Rnn::new(cell);
    let x = init::normal(&[steps, batch, input], 1.0, &mut rng);
    let tape = Tape::new();
    tape.name_params(&net);
    let (y, _) = net.forward(&Cx::train(&tape), tape.constant(&x).named("x"));
    let loss = loss::mse(y, 0.5).named("loss");
    let gradients = loss.grad([&net.layers[0].W_f, &net.layers[0].W_o]);
    print!("{}", tape.program(&[loss, gradients[0], gradients[1]])?);

    println!("\n== Where the time of ten steps goes\n");
    let mut profile = wengert::autograd::Profile::default();
    for _ in 0..if smoke { 2 } else { 10 } {
        let tape = Tape::new().profiled();
        let (y, _) = net.forward(&Cx::train(&tape), tape.constant(&x));
        loss::mse(y, 0.5).backward()?;
        profile.add(&tape.profile());
    }
    print!("{profile}");

    println!("\n== Where an infinity comes from\n");
    let tape = Tape::new().detect_anomaly();
    let (y, _) = net.forward(&Cx::train(&tape), tape.constant(&x));
    // The slope of a square root is infinite at zero.
    let found = (y * 0.0).abs().sqrt().mean().backward();
    match found {
        Ok(_) => unreachable!("the derivative of √ at 0 is infinite"),
        Err(error) => println!("{error}"),
    }
    Ok(())
}
