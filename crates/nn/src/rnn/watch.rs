//! A network looked at step by step: how derivatives flow back through time, and what its gates do.

use super::Rnn;
use crate::cell::Cell;
use crate::cx::Cx;
use wengert_autograd::{Error, ErrorKind, Result, Tensor, Tree, Var};

/// What [`watch`] has seen.
#[derive(Clone, Debug)]
pub struct Watched {
    /// For each component of the state and each layer its name and the norms `‖∂L/∂s_t‖`, t = 1..T: the 2-norm over all sequences and units.
    pub flow: Vec<(String, Vec<f64>)>,
    /// For each gate and layer its name and values, `[T, B, ..]`.
    pub gates: Vec<(String, Tensor)>,
}

/// Runs a network over `x` `[T, B, I]` step by step, and differentiates a loss of its outputs `[T, B, O]` with respect to the state after each step.
///
/// ```
/// use rand::{SeedableRng, rngs::StdRng};
/// use wengert_autograd::{DType, Tape};
/// use wengert_nn::{Cx, LstmCell, Rnn, loss, watch};
/// let net = Rnn::new(LstmCell::new(1, 8, &mut StdRng::seed_from_u64(0)));
/// let tape = Tape::new();
/// let x = tape.ones([20, 4, 1], DType::F32);
/// let watched = watch(&net, &Cx::eval(&tape), x, &["f"], |y| loss::mse(y.last(0), 0.5))?;
/// let [(h, _), (c, norms)] = &watched.flow[..] else { panic!() };
/// assert!(h == "h" && c == "c" && norms[0] < norms[19]);
/// assert_eq!(watched.gates[0].1.shape()[..], [20, 4, 8]);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
///
/// The derivatives are total: that of `c_t` counts the way through `h_t` as well. Components have the names of the state's fields; in a tuple the
/// one that is the output is `h`, the other `c`, further ones are numbered. `gates` are names that the cell's step gives to values
/// ([`Var::named`]; `LstmCell` has i, f, o, `GruCell` r, z).
///
/// The run is an evaluation without options: no dropout, no lengths. All steps are recorded one by one, which takes more time and memory than
/// [`forward`](Rnn::forward): look at a batch now and then.
///
/// # Errors
/// If a step or the loss cannot be recorded, or the cell names no value so.
#[track_caller]
pub fn watch<'t, C: Cell>(
    net: &Rnn<C>,
    cx: &Cx<'t>,
    x: Var<'t>,
    gates: &[&str],
    loss: impl FnOnce(Var<'t>) -> Var<'t>,
) -> Result<Watched> {
    let tape = cx.tape();
    let shape = x.shape()?;
    let batch = shape.get(if net.batch_first { 0 } else { 1 }).copied().unwrap_or(0);
    let dtype = x.dtype().ok().filter(|dtype| dtype.is_float()).unwrap_or(cx.dtype());
    let mut states = net.init(&cx.with_dtype(dtype), batch);
    let axes = if net.batch_first { ["B", "T", "I"] } else { ["T", "B", "I"] };
    let x = match net.check(x, &axes, &states) {
        Ok(x) if net.batch_first => x.transpose(0, 1),
        Ok(x) => x,
        Err(broken) => broken,
    };
    let steps = x.shape()?[0];
    let (mut outputs, mut flow, mut seen) = (Vec::with_capacity(steps), Series::default(), Series::default());
    for t in 0..steps {
        let first = x.narrow(0, t, 1).squeeze(0);
        let mut y = first;
        for (number, (cell, state)) in net.layers.iter().zip(&mut states).enumerate() {
            let of = |name: &str| if net.layers.len() > 1 { format!("{name} of layer {number}") } else { name.into() };
            let below = net.joined(number, y, first);
            let before = tape.len();
            let (output, next) = cell.step(below, state.with_leaves(&state.leaves()));
            for (name, value) in tape.named_values(before) {
                if gates.contains(&name.as_str()) {
                    seen.push(t, of(&name), value);
                }
            }
            components(&next, output).into_iter().for_each(|(name, value)| flow.push(t, of(&name), value));
            *state = next;
            y = net.connected(below, output);
        }
        outputs.push(y);
    }
    let missing = |gate: &&&str| !seen.0.iter().any(|(name, _)| name.split(" of layer ").next() == Some(**gate));
    if let Some(gate) = gates.iter().find(missing) {
        let found = format!("no value of the cell's step is named '{gate}'");
        return Err(Error::new(ErrorKind::Value, "watch", found, "name it in the step: z.sigmoid().named(\"f\")"));
    }
    let y = tape.stack(&outputs, 0);
    let loss = loss(if net.batch_first { y.transpose(0, 1) } else { y });

    let states: Vec<Var<'t>> = flow.0.iter().flat_map(|(_, values)| values.iter().copied()).collect();
    let gradients = loss.grad_or_none(&states[..]).into_iter();
    let zero = tape.constant(0.0f64);
    let norm = |g: Option<Var<'t>>| g.map_or(zero, |g| g.square().sum().sqrt());
    // The loss as well: if it is invalid, that is the error.
    let mut asked: Vec<Var<'t>> = std::iter::once(loss).chain(gradients.map(norm)).collect();
    asked.extend(seen.0.iter().map(|(_, values)| tape.stack(values, 0)));
    let mut values = tape.eval_all(&asked)?.into_iter().skip(1);
    let mut norms = values.by_ref().take(states.len()).map(|norm| norm.item());
    let norms_of = |(name, values): (String, Vec<Var<'t>>)| {
        Ok((name, norms.by_ref().take(values.len()).collect::<Result<Vec<f64>>>()?))
    };
    let flow = flow.0.into_iter().map(norms_of).collect::<Result<_>>()?;
    Ok(Watched { flow, gates: seen.0.into_iter().map(|(name, _)| name).zip(values).collect() })
}

/// Values under names, one a step.
#[derive(Default)]
struct Series<'t>(Vec<(String, Vec<Var<'t>>)>);

impl<'t> Series<'t> {
    /// The value of a step; the first, if the step has several of the name.
    fn push(&mut self, step: usize, name: String, value: Var<'t>) {
        let at = self.0.iter().position(|(known, _)| *known == name).unwrap_or(self.0.len());
        if at == self.0.len() {
            self.0.push((name, Vec::new()));
        }
        let values = &mut self.0[at].1;
        if values.len() == step {
            values.push(value);
        }
    }
}

/// The components of a state that derivatives flow through, with names: of `(h, c)`, h is the output.
fn components<'t>(state: &impl Tree<'t>, output: Var<'t>) -> Vec<(String, Var<'t>)> {
    let all = state.named_leaves();
    let unnamed = |name: &str| name.is_empty() || name.ends_with(|c: char| c.is_ascii_digit());
    let others = all.iter().filter(|(name, value)| unnamed(name) && !value.is(output)).count();
    let called = |(name, value): (String, Var<'t>)| match unnamed(&name) {
        true if value.is(output) => ("h".to_string(), value),
        true if others == 1 => ("c".to_string(), value),
        true => (format!("s{name}"), value),
        false => (name, value),
    };
    let flows = |(_, value): &(String, Var<'t>)| value.dtype().is_ok_and(|dtype| dtype.is_float());
    all.into_iter().filter(flows).map(called).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Gate, GruCell, LstmCell, loss};
    use rand::{SeedableRng, rngs::StdRng};
    use wengert_autograd::{DType, Tape};

    /// An LSTM of one unit in plain numbers, from step 0, with `push` added to `(h, c)` at one step: the loss is `h_T² + Σ h_t`.
    fn plain(cell: &LstmCell, xs: &[f64], at: usize, push: (f64, f64)) -> f64 {
        let [w, u, b] = [&cell.w, &cell.u, &cell.b].map(|p| p.value().to_f64_vec());
        let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
        let (mut h, mut c, mut sum) = (0.0, 0.0, 0.0);
        for (t, x) in xs.iter().enumerate() {
            let z: Vec<f64> = (0..4).map(|k| x * w[k] + h * u[k] + b[k]).collect();
            c = sigmoid(z[1]) * c + sigmoid(z[0]) * z[2].tanh() + if t == at { push.1 } else { 0.0 };
            h = sigmoid(z[3]) * c.tanh() + if t == at { push.0 } else { 0.0 };
            sum += h;
        }
        h * h + sum
    }

    #[test]
    fn derivatives_are_total() {
        let cell = LstmCell::new(1, 1, &mut StdRng::seed_from_u64(3));
        let cell = LstmCell::from_tensors(
            cell.w.value().cast(DType::F64),
            cell.u.value().cast(DType::F64),
            cell.b.value().cast(DType::F64),
        )
        .unwrap();
        let xs = [0.5, -1.0, 2.0, 0.3, 0.9];
        let tape = Tape::new();
        let x = tape.constant(Tensor::from_slice(&xs, [5, 1, 1]).unwrap());
        let net = Rnn::new(cell);
        let found = watch(&net, &Cx::eval(&tape), x, &["f"], |y| y.last(0).square().sum() + y.sum()).unwrap();
        let e = 1e-6;
        for t in 0..5 {
            let of = |push: (f64, f64)| plain(&net.layers[0], &xs, t, push);
            let wanted = [(of((e, 0.0)) - of((-e, 0.0))) / (2.0 * e), (of((0.0, e)) - of((0.0, -e))) / (2.0 * e)];
            for ((name, norms), wanted) in found.flow.iter().zip(wanted) {
                assert!((norms[t] - wanted.abs()).abs() < 1e-8, "∂L/∂{name} at {t}: {} {wanted}", norms[t]);
            }
        }
        assert!(found.gates[0].1.to_f64_vec().iter().all(|f| 0.0 < *f && *f < 1.0));
    }

    #[test]
    fn layers_and_batches() {
        let mut rng = StdRng::seed_from_u64(0);
        let net = Rnn::stack(2, 3, |_, input| GruCell::new(input, 4, &mut rng)).residual().batch_first();
        let tape = Tape::new();
        let x = tape.ones([2, 6, 3], DType::F32);
        let (y, _) = net.forward(&Cx::eval(&tape), x);
        let wanted = y.value().unwrap();
        let watched = watch(&net, &Cx::eval(&tape), x, &["r", "z"], |y| {
            assert_eq!(y.shape().unwrap()[..], [2, 6, 4]);
            let worst = (y - &wanted).abs().sum().item().unwrap();
            assert!(worst < 1e-5, "{worst}");
            loss::mse(y, 0.5)
        })
        .unwrap();
        let names: Vec<&str> = watched.flow.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["h of layer 0", "h of layer 1"]);
        let names: Vec<&str> = watched.gates.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["r of layer 0", "z of layer 0", "r of layer 1", "z of layer 1"]);
        assert!(watched.flow.iter().all(|(_, norms)| norms.len() == 6 && norms.iter().all(|norm| *norm > 0.0)));
    }

    #[test]
    fn mistakes_are_errors() {
        let net = Rnn::new(LstmCell::new(3, 4, &mut StdRng::seed_from_u64(0)).with_gate(Gate::HardSigmoid));
        let tape = Tape::new();
        let cx = Cx::eval(&tape);
        let error = watch(&net, &cx, tape.ones([6, 2, 3], DType::F32), &["i", "k"], |y| y.sum()).unwrap_err();
        assert!(error.to_string().contains("no value of the cell's step is named 'k'"), "{error}");
        let error = watch(&net, &cx, tape.ones([2, 3], DType::F32), &[], |y| y.sum()).unwrap_err();
        assert!(error.to_string().contains("expected [T, B, I]"), "{error}");
        let error = watch(&net, &cx, tape.ones([6, 2, 5], DType::F32), &[], |y| y.sum()).unwrap_err();
        assert!(error.to_string().contains("matmul"), "{error}");
    }
}
