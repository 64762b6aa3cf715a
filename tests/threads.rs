//! Losses and gradients have the same bits for any number of threads.

use rand::{SeedableRng, rngs::StdRng};
use wengert::prelude::*;

const H: usize = 32;

/// Reads a memory of its batch entry by attention: batched products, a softmax, captured batch tensors.
#[derive(Module)]
struct Attentive {
    w: Param,
    u: Param,
    q: Param,
}

impl Attentive {
    fn new(input: usize, rng: &mut StdRng) -> Attentive {
        let mut draw = |shape: &[usize]| Param::new(init::uniform(shape, 0.3, rng));
        Attentive { w: draw(&[input, 2 * H]), u: draw(&[H, 2 * H]), q: draw(&[H, H]) }
    }

    fn step<'t>(&self, memory: Var<'t>, x: Var<'t>, h: Var<'t>) -> Var<'t> {
        let [batch, _, _] = memory.dims::<3>().unwrap();
        let query = h.matmul(&self.q).reshape([batch, 1, H]);
        let scores = query.matmul(memory.transpose(1, 2)).softmax(-1);
        let read = scores.matmul(memory).reshape([batch, H]);
        let [z, g] = (x.matmul(&self.w) + h.matmul(&self.u)).chunk();
        let z = z.sigmoid();
        (1.0 - z) * h + z * (g + read).layer_norm(1e-5).tanh()
    }
}

/// The bits of a loss and of the gradients of all parameters.
fn bits(loss: Var<'_>, params: &impl ParamTree) -> Vec<u64> {
    let gradients = loss.backward().unwrap();
    let mut all = vec![gradients.loss().item().unwrap().to_bits()];
    for (_, param) in params.params() {
        all.extend(gradients.get(&param).unwrap().to_f64_vec().iter().map(|v| v.to_bits()));
    }
    all
}

/// The bits with 1 thread, after comparing them with those of other numbers.
fn compare(what: &str, run: impl Fn() -> Vec<u64>) {
    wengert::set_threads(1);
    let alone = run();
    for threads in [2, 3, 8] {
        wengert::set_threads(threads);
        assert_eq!(wengert::threads(), threads);
        assert!(run() == alone, "{what}: {threads} threads give other bits");
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let mut rng = StdRng::seed_from_u64(3);
    for dtype in [DType::F32, DType::F64] {
        // Uneven parts, and fewer rows than threads.
        for batch in [13, 2] {
            let x = init::uniform(&[150, batch, 24], 1.0, &mut rng).cast(dtype);
            let net = Rnn::stack(2, 24, |_, input| LstmCell::new(input, H, &mut rng));
            net.set_dtype(dtype).unwrap();
            compare(&format!("LSTM, {dtype}, batch {batch}"), || {
                let tape = Tape::new();
                let (y, _) = net.forward(&Cx::train(&tape), tape.constant(&x));
                bits(y.square().mean(), &net)
            });
            let cell = Attentive::new(24, &mut rng);
            cell.set_dtype(dtype).unwrap();
            let memory = init::uniform(&[batch, 7, H], 1.0, &mut rng).cast(dtype);
            compare(&format!("attention, {dtype}, batch {batch}"), || {
                let tape = Tape::new();
                let memory = tape.constant(&memory);
                let start = tape.zeros([batch, H], dtype);
                let (last, every) = tape.scan(start, tape.constant(&x), |h, x| {
                    let h = cell.step(memory, x, h);
                    (h, h)
                });
                bits(every.square().mean() + last.sum(), &cell)
            });
        }
    }
    // Products and reductions that are large enough to be shared outside of loops.
    let (a, b) = (init::uniform(&[300, 200], 1.0, &mut rng), Param::new(init::uniform(&[200, 260], 1.0, &mut rng)));
    compare("a product", || {
        let tape = Tape::new();
        bits((tape.constant(&a).matmul(&b)).tanh().sum_axes(0).square().sum(), &b)
    });
}
