//! One training step: forward, loss = mean of squared outputs, backward; recording included.

use crate::Outcome;
use crate::cells::{Attention, Custom, Gru, LayerNormLstm, Multiplicative, Peephole};
use crate::known::{self, wave};
use crate::options::Options;
use crate::report::{Report, Row};
use crate::shapes::Shape;
use crate::timing::timed;
use rand::{SeedableRng, rngs::StdRng};
use wengert::prelude::*;

/// The first two are what is timed if nothing is asked for.
const SYSTEMS: [&str; 8] = [
    "wengert_lstm",
    "wengert_custom",
    "wengert_nn_gru",
    "wengert_gru",
    "wengert_layer_norm",
    "wengert_peephole",
    "wengert_multiplicative",
    "wengert_attention",
];

/// A network with its input, ready for training steps.
pub(crate) struct Trainee {
    params: Vec<Param>,
    gradients: Box<dyn FnMut() -> Result<Gradients>>,
}

impl Trainee {
    pub(crate) fn step(&mut self) -> Result<()> {
        (self.gradients)().map(drop)
    }

    /// The loss, and the 2-norm of all gradients, with known weights: what a peer that does the same work must find too.
    fn checked(&mut self) -> Result<(f64, f64)> {
        known::set(&self.params)?;
        let mut gradients = (self.gradients)()?;
        let norm = clip_grad_norm(&self.params, &mut gradients, f64::MAX)?;
        Ok((gradients.loss().item()?, norm))
    }
}

pub(crate) fn run(options: &Options, report: &mut Report) -> Outcome {
    for shape in options.shapes("all")? {
        for system in options.systems(&SYSTEMS, 2)? {
            let mut trainee = make(system, &shape, options.dtype.dtype())?;
            let row = row(system, &shape, options);
            if options.check {
                let (loss, norm) = trainee.checked()?;
                report.row(&row.exact("loss", loss).exact("gradient_norm", norm));
            } else {
                report.row(&row.timing(&timed(options.budget, options.runs, || trainee.step())?));
            }
        }
    }
    Ok(())
}

/// The start of a row.
pub(crate) fn row(system: &str, shape: &Shape, options: &Options) -> Row {
    let dtype = options.dtype.dtype().to_string();
    Row::new(system).shape(shape).count("threads", options.threads.into()).text("dtype", &dtype)
}

/// A system by its name.
pub(crate) fn make(system: &str, shape: &Shape, dtype: DType) -> Result<Trainee> {
    let Shape { b, h, .. } = *shape;
    match system {
        "wengert_lstm" => trainee(shape, dtype, |input, rng| LstmCell::new(input, h, rng)),
        "wengert_custom" => trainee(shape, dtype, |input, rng| Custom::new(input, h, rng)),
        "wengert_nn_gru" => trainee(shape, dtype, |input, rng| GruCell::new(input, h, rng)),
        "wengert_gru" => trainee(shape, dtype, |input, rng| Gru::new(input, h, rng)),
        "wengert_layer_norm" => trainee(shape, dtype, |input, rng| LayerNormLstm::new(input, h, rng)),
        "wengert_peephole" => trainee(shape, dtype, |input, rng| Peephole::new(input, h, rng)),
        "wengert_multiplicative" => trainee(shape, dtype, |input, rng| Multiplicative::new(input, h, rng)),
        "wengert_attention" => {
            let memory = wave(&[b, 16, h], 1.0, dtype)?;
            trainee(shape, dtype, |input, rng| Attention::new(input, h, memory.clone(), rng))
        }
        _ => unreachable!("the names are those of SYSTEMS"),
    }
}

/// A network of a cell and an input, equal for equal arguments.
pub(crate) fn net<C: Cell>(
    shape: &Shape,
    dtype: DType,
    mut cell: impl FnMut(usize, &mut StdRng) -> C,
) -> Result<(Rnn<C>, Tensor)> {
    let mut rng = StdRng::seed_from_u64(0);
    // Not `stack`, which tries a cell before it has its element type: one that holds a tensor is made for one only.
    let layers: Vec<_> = (0..shape.l).map(|n| cell(if n == 0 { shape.i } else { shape.h }, &mut rng)).collect();
    let net = Rnn::from(layers);
    net.set_dtype(dtype)?;
    Ok((net, wave(&[shape.t, shape.b, shape.i], 1.0, dtype)?))
}

fn trainee<C: Cell + 'static>(
    shape: &Shape,
    dtype: DType,
    cell: impl FnMut(usize, &mut StdRng) -> C,
) -> Result<Trainee> {
    let (net, x) = net(shape, dtype, cell)?;
    let params = net.params().into_iter().map(|(_, param)| param).collect();
    let gradients = Box::new(move || {
        let tape = Tape::new();
        let (y, _) = net.forward(&Cx::train(&tape), tape.constant(&x));
        y.square().mean().backward()
    });
    Ok(Trainee { params, gradients })
}
