//! Gradient clipping: by value, by norm, and relative to the parameters.

use crate::fitting;
use crate::settings;
use crate::transform::{At, Transform};
use std::collections::HashMap;
use wengert_autograd::{
    DType, Error, ErrorKind, Gradients, Last, ParamId, ParamTree, Place, Result, Tape, Tensor, Var,
};

/// Scales all gradients of a module so that their common 2-norm is at most `max_norm`; returns the norm before.
///
/// ```text
/// norm = √(Σ_i g_i²)          g ← g · min(1, max_norm / (norm + 1e-6))
/// ```
///
/// as PyTorch's `clip_grad_norm_` (Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural
/// networks"). Gradients that are not finite make the norm not finite: see what it returns. [`ClipNorm`] does so within an
/// optimizer's step.
///
/// # Errors
/// If `max_norm` is negative or not a number, or a gradient does not fit its parameter.
#[track_caller]
pub fn clip_grad_norm(module: &impl ParamTree, gradients: &mut Gradients, max_norm: f64) -> Result<f64> {
    bound("clip_grad_norm", "greatest norm", max_norm)?;
    let params = fitting("clip_grad_norm", module, gradients)?;
    let tape = Tape::inference();
    let clipped: Vec<ParamId> = params.iter().map(|(_, param, _)| param.id()).collect();
    let all: Vec<Var<'_>> = params.into_iter().map(|(.., gradient)| tape.constant(gradient)).collect();
    let Some(norm) = common_norm(&all) else { return Ok(0.0) };
    let mut asked = vec![norm];
    asked.extend(scaled_to(&all, norm, max_norm));
    let last = tape.last(&asked)?;
    let mut norm = Tensor::scalar(0.0f64);
    replace(tape, &last, &clipped, gradients, Some(&mut norm))?;
    norm.item()
}

/// Replaces gradients by values, behind the `first` if there is one.
#[track_caller]
fn replace(
    tape: Tape,
    last: &Last,
    params: &[ParamId],
    gradients: &mut Gradients,
    first: Option<&mut Tensor>,
) -> Result<()> {
    let mut all: HashMap<ParamId, &mut Tensor> = gradients.iter_mut().collect();
    let gradients = params.iter().filter_map(|param| all.remove(param));
    let mut places: Vec<Place<'_>> = first.into_iter().chain(gradients).map(Place::Tensor).collect();
    tape.replace(last, &mut places)
}

/// Clips every element of the gradients of a module to `[−greatest, greatest]`, as PyTorch's `clip_grad_value_`. NaN stays.
///
/// # Errors
/// If `greatest` is negative or not a number, or a gradient does not fit its parameter.
#[track_caller]
pub fn clip_grad_value(module: &impl ParamTree, gradients: &mut Gradients, greatest: f64) -> Result<()> {
    bound("clip_grad_value", "greatest value", greatest)?;
    let params = fitting("clip_grad_value", module, gradients)?;
    let tape = Tape::inference();
    let clipped: Vec<ParamId> = params.iter().map(|(_, param, _)| param.id()).collect();
    let values = params.into_iter().map(|(.., gradient)| tape.constant(gradient).clamp(-greatest, greatest));
    let last = tape.last(&values.collect::<Vec<_>>())?;
    replace(tape, &last, &clipped, gradients, None)
}

#[track_caller]
fn bound(op: &str, name: &str, value: f64) -> Result<()> {
    if value >= 0.0 {
        return Ok(());
    }
    let found = format!("the {name} is {value}, expected a number from 0");
    Err(Error::new(ErrorKind::Value, op, found, "1 is usual"))
}

/// The 2-norm of all elements of all gradients, F64; `None` if there are none.
fn common_norm<'t>(gradients: &[Var<'t>]) -> Option<Var<'t>> {
    let squares = gradients.iter().map(|g| g.square().sum().cast(DType::F64));
    Some(squares.reduce(|a, b| a + b)?.sqrt())
}

/// The gradients times `min(1, greatest / (norm + 1e-6))`.
fn scaled_to<'t>(gradients: &[Var<'t>], norm: Var<'t>, greatest: f64) -> Vec<Var<'t>> {
    let factor = (greatest / (norm + 1e-6)).minimum(1.0);
    // An invalid gradient keeps its error.
    gradients.iter().map(|g| g.dtype().map_or(*g, |dtype| *g * factor.cast(dtype))).collect()
}

/// Scales all gradients so that their common 2-norm is at most this; see [`clip_grad_norm`].
#[derive(Clone, Copy, Debug)]
pub struct ClipNorm(pub f64);

impl Transform for ClipNorm {
    type State<'t> = ();

    fn settings(&self) -> Vec<(String, String)> {
        vec![("greatest norm".into(), self.0.to_string())]
    }

    #[track_caller]
    fn check(&self) -> Result<()> {
        bound("ClipNorm", "greatest norm", self.0)
    }

    fn init<'t>(&self, _: &At<'t>) {}

    fn update<'t>(&self, at: &At<'t>, g: Var<'t>, _: ()) -> (Var<'t>, ()) {
        let (g, _) = self.update_all(&[*at], vec![g], vec![()]);
        (g[0], ())
    }

    fn update_all<'t>(&self, _: &[At<'t>], gradients: Vec<Var<'t>>, states: Vec<()>) -> (Vec<Var<'t>>, Vec<()>) {
        match common_norm(&gradients) {
            Some(norm) => (scaled_to(&gradients, norm, self.0), states),
            None => (gradients, states),
        }
    }
}

/// Clips every element to `[−c, c]`; see [`clip_grad_value`].
#[derive(Clone, Copy, Debug)]
pub struct ClipValue(pub f64);

impl Transform for ClipValue {
    type State<'t> = ();

    fn settings(&self) -> Vec<(String, String)> {
        vec![("greatest value".into(), self.0.to_string())]
    }

    #[track_caller]
    fn check(&self) -> Result<()> {
        bound("ClipValue", "greatest value", self.0)
    }

    fn init<'t>(&self, _: &At<'t>) {}

    fn update<'t>(&self, _: &At<'t>, g: Var<'t>, _: ()) -> (Var<'t>, ()) {
        (g.clamp(-self.0, self.0), ())
    }
}

/// Adaptive clipping (Brock, De, Smith & Simonyan 2021, "High-performance large-scale image recognition without
/// normalization", equation 3): the gradient of a unit is at most so large, relative to the unit's weights:
///
/// ```text
/// g_j ← g_j · min(1, clip·max(‖p_j‖, eps) / max(‖g_j‖, 1e-6))
/// ```
///
/// where `p_j` are the weights of output `j`: a column of a matrix `[in, out]`, and in general what belongs to one place of the last
/// axis; of a vector or a scalar, all of it.
#[derive(Clone, Copy, Debug)]
pub struct ClipAdaptive {
    /// The greatest ratio of the norms; 0.01 is usual.
    pub clip: f64,
    /// The least norm that weights count with, so that zeros can learn.
    pub eps: f64,
}

impl ClipAdaptive {
    /// With eps = 1e-3.
    pub fn new(clip: f64) -> ClipAdaptive {
        ClipAdaptive { clip, eps: 1e-3 }
    }
}

impl Transform for ClipAdaptive {
    type State<'t> = ();

    settings::of_fields!(ClipAdaptive { clip, eps });

    #[track_caller]
    fn check(&self) -> Result<()> {
        bound("ClipAdaptive", "greatest ratio", self.clip)?;
        bound("ClipAdaptive", "least norm", self.eps)
    }

    fn init<'t>(&self, _: &At<'t>) {}

    fn update<'t>(&self, at: &At<'t>, g: Var<'t>, _: ()) -> (Var<'t>, ()) {
        let rank = g.shape().map_or(0, |shape| shape.rank());
        let unit_norm = |x: Var<'t>| match rank {
            0 | 1 => x.square().sum().sqrt(),
            _ => x.square().sum_keep(&(0..rank as isize - 1).collect::<Vec<_>>()[..]).sqrt(),
        };
        let greatest = unit_norm(at.param).maximum(self.eps) * self.clip;
        (g * (greatest / unit_norm(g).maximum(1e-6)).minimum(1.0), ())
    }
}
