//! Gradient clipping: by value, by norm, and relative to the parameters.

use crate::fitting;
use crate::settings;
use crate::transform::{At, Transform};
use std::collections::HashMap;
use wengert_autograd::{
    DType, Error, ErrorKind, Gradients, Last, ParamId, ParamTree, Place, Result, Tape, Tensor, Var,
};

/// What a norm of gradients is, for [`clip_grad_norm_with`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormOptions {
    /// The order p of the norm `(Σ_i |g_i|^p)^(1/p)`: a number above 0. Infinity stands for the largest absolute value.
    pub norm_type: f64,
    /// Whether a norm that is infinite or NaN is an error.
    pub error_if_non_finite: bool,
}

impl Default for NormOptions {
    /// The 2-norm, whatever it is.
    fn default() -> NormOptions {
        NormOptions { norm_type: 2.0, error_if_non_finite: false }
    }
}

/// Scales all gradients of a module so that their common 2-norm is at most `max_norm`; returns the norm before.
///
/// ```text
/// norm = √(Σ_i g_i²)          g ← g · min(1, max_norm / (norm + 1e-6))
/// ```
///
/// as PyTorch's `clip_grad_norm_` (Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural
/// networks"). Gradients that are not finite make the norm not finite: see what it returns, or let
/// [`clip_grad_norm_with`] refuse it.
///
/// All parameters of the module that have a gradient count, those that an optimizer has
/// [frozen](crate::Optimizer::freeze) as well: this function knows of no optimizer. [`ClipNorm`], within an optimizer's step, sees
/// what the step updates, and so does PyTorch, where a frozen parameter has no gradient.
///
/// # Errors
/// If `max_norm` is negative or not a number, or a gradient does not fit its parameter.
#[track_caller]
pub fn clip_grad_norm(module: &impl ParamTree, gradients: &mut Gradients, max_norm: f64) -> Result<f64> {
    clip_grad_norm_with(module, gradients, max_norm, NormOptions::default())
}

/// [`clip_grad_norm`] with another norm, or one that must be finite; as PyTorch's `norm_type` and `error_if_nonfinite`.
///
/// ```
/// use wengert_autograd::{Param, Tape, Tensor};
/// use wengert_optim::{NormOptions, clip_grad_norm_with};
/// let p = Param::new(Tensor::from_slice(&[3.0f64, -4.0], [2])?);
/// let mut gradients = { Tape::new().param(&p).square().sum().backward()? };
/// let largest = NormOptions { norm_type: f64::INFINITY, error_if_non_finite: true };
/// assert_eq!(clip_grad_norm_with(&p, &mut gradients, 1.0, largest)?, 8.0);
/// assert!((gradients.get(&p).unwrap().to_f64_vec()[0] - 0.75).abs() < 1e-6);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
///
/// # Errors
/// Those of [`clip_grad_norm`]; if the order is not above 0, or the norm is not finite and must be. The gradients stay then.
#[track_caller]
pub fn clip_grad_norm_with(
    module: &impl ParamTree,
    gradients: &mut Gradients,
    max_norm: f64,
    options: NormOptions,
) -> Result<f64> {
    const OP: &str = "clip_grad_norm";
    bound(OP, "greatest norm", max_norm)?;
    let order = options.norm_type;
    if order.is_nan() || order <= 0.0 {
        let found = format!("the order of the norm is {order}, expected a number above 0");
        return Err(Error::new(ErrorKind::Value, OP, found, "2 is usual"));
    }
    let params = fitting(OP, module, gradients)?;
    let tape = Tape::inference();
    let clipped: Vec<ParamId> = params.iter().map(|(_, param, _)| param.id()).collect();
    let all: Vec<Var<'_>> = params.into_iter().map(|(.., gradient)| tape.constant(gradient)).collect();
    let Some(norm) = common_norm(&all, order) else { return Ok(0.0) };
    if options.error_if_non_finite {
        let norm = norm.item()?;
        if !norm.is_finite() {
            let found = format!("the norm of the gradients is {norm}");
            let remedy = "look for its origin with Tape::detect_anomaly, or leave such steps out";
            return Err(Error::new(ErrorKind::NonFinite, OP, found, remedy));
        }
    }
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

/// The norm of all elements of all gradients, F64; `None` if there are none.
fn common_norm<'t>(gradients: &[Var<'t>], order: f64) -> Option<Var<'t>> {
    if order == f64::INFINITY {
        // Of no elements there is no largest.
        let all = gradients.iter().filter(|g| !g.shape().is_ok_and(|shape| shape.numel() == 0));
        let largest = all.map(|g| g.abs().max_axes(()).cast(DType::F64));
        return largest.reduce(|a, b| a.maximum(b));
    }
    let powers = gradients.iter().map(|g| {
        let power = match order {
            1.0 => g.abs(),
            2.0 => g.square(),
            _ => g.abs().powf(order),
        };
        power.sum().cast(DType::F64)
    });
    let sum = powers.reduce(|a, b| a + b)?;
    Some(match order {
        1.0 => sum,
        2.0 => sum.sqrt(),
        _ => sum.powf(1.0 / order),
    })
}

/// The gradients times `min(1, greatest / (norm + 1e-6))`.
fn scaled_to<'t>(gradients: &[Var<'t>], norm: Var<'t>, greatest: f64) -> Vec<Var<'t>> {
    let factor = (greatest / (norm + 1e-6)).minimum(1.0);
    // An invalid gradient keeps its error.
    gradients.iter().map(|g| g.dtype().map_or(*g, |dtype| *g * factor.cast(dtype))).collect()
}

/// Scales all gradients of a step so that their common 2-norm is at most this; see [`clip_grad_norm`]. Parameters that are frozen, or have no
/// gradient, do not count.
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
        match common_norm(&gradients, 2.0) {
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
