//! Gradient clipping.

use wengert_autograd::{Gradients, ParamTree, Result, Tape, Var};

/// Scales all gradients of a module so that their common 2-norm is at most `max_norm`; returns the norm before.
///
/// The factor is `min(1, max_norm / (norm + 1e-6))`, as in PyTorch's `clip_grad_norm_`. Gradients that are not finite make the
/// norm, and then all gradients, not finite.
///
/// # Errors
/// If a gradient does not fit its parameter's element type.
pub fn clip_grad_norm(module: &impl ParamTree, gradients: &mut Gradients, max_norm: f64) -> Result<f64> {
    let params = module.params();
    let tape = Tape::inference();
    let with: Vec<_> = params
        .iter()
        .filter_map(|(_, param)| gradients.get(param).map(|gradient| (param, tape.constant(gradient))))
        .collect();
    let squares = with.iter().map(|(_, g)| g.square().sum());
    let Some(total) = squares.reduce(|a: Var<'_>, b| a + b) else { return Ok(0.0) };
    let norm = total.sqrt();
    let factor = (max_norm / (norm + 1e-6)).minimum(1.0);
    let mut asked = vec![norm];
    asked.extend(with.iter().map(|(_, g)| *g * factor));
    let mut values = tape.eval_all(&asked)?.into_iter();
    let norm = values.next().map_or(Ok(0.0), |norm| norm.item())?;
    for ((param, _), clipped) in with.iter().zip(values) {
        gradients.insert(param, clipped);
    }
    Ok(norm)
}
