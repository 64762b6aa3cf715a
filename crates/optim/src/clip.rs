//! Gradient clipping.

use crate::fitting;
use wengert_autograd::{DType, Error, ErrorKind, Gradients, ParamTree, Result, Tape, Var};

/// Scales all gradients of a module so that their common 2-norm is at most `max_norm`; returns the norm before.
///
/// ```text
/// norm = √(Σ_i g_i²)          g ← g · min(1, max_norm / (norm + 1e-6))
/// ```
///
/// as PyTorch's `clip_grad_norm_` (Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural
/// networks"). Gradients that are not finite make the norm not finite: see what it returns.
///
/// # Errors
/// If `max_norm` is negative or not a number, or a gradient does not fit its parameter.
#[track_caller]
pub fn clip_grad_norm(module: &impl ParamTree, gradients: &mut Gradients, max_norm: f64) -> Result<f64> {
    if max_norm.is_nan() || max_norm < 0.0 {
        let found = format!("the greatest norm is {max_norm}, expected a number from 0");
        return Err(Error::new(ErrorKind::Value, "clip_grad_norm", found, "1 is usual"));
    }
    let params = fitting("clip_grad_norm", module, gradients)?;
    let tape = Tape::inference();
    let all: Vec<Var<'_>> = params.iter().map(|(_, gradient)| tape.constant(gradient)).collect();
    let Some(total) = all.iter().map(|g| g.square().sum().cast(DType::F64)).reduce(|a, b| a + b) else {
        return Ok(0.0);
    };
    let norm = total.sqrt();
    let factor = (max_norm / (norm + 1e-6)).minimum(1.0);
    let mut asked = vec![norm];
    for g in &all {
        asked.push(*g * factor.cast(g.dtype()?));
    }
    let mut values = tape.eval_all(&asked)?.into_iter();
    let norm = values.next().map_or(Ok(0.0), |norm| norm.item())?;
    for ((param, _), clipped) in params.iter().zip(values) {
        gradients.insert(param, clipped);
    }
    Ok(norm)
}
