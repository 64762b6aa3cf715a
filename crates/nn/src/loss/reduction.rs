//! From the losses of single elements to a loss.

use wengert_autograd::{DType, Operand, Shape, Var};

/// How a loss is made of the losses of single elements.
///
/// A mask (Bool) has the leading axes of the losses: `[T, B]` masks losses `[T, B]` as well as `[T, B, H]`. It is true where an element
/// counts. Elsewhere predictions and targets may be anything, NaN too: they change neither the loss nor a gradient.
#[derive(Clone, Copy, Debug, Default)]
pub enum Reduction<'t> {
    /// Their mean; NaN if there are none.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// None: one loss for each element.
    None,
    /// The mean of those where a mask holds; NaN if there are none.
    MeanOver(Var<'t>),
    /// The sum of those where a mask holds.
    SumOver(Var<'t>),
    /// One loss for each element, 0 where a mask does not hold.
    NoneOver(Var<'t>),
}

impl<'t> Reduction<'t> {
    pub(super) fn mask(self) -> Option<Var<'t>> {
        match self {
            Reduction::Mean | Reduction::Sum | Reduction::None => None,
            Reduction::MeanOver(mask) | Reduction::SumOver(mask) | Reduction::NoneOver(mask) => Some(mask),
        }
    }

    pub(super) fn is_mean(self) -> bool {
        matches!(self, Reduction::Mean | Reduction::MeanOver(_))
    }

    /// An invalid value if the mask is none for losses of a shape.
    #[track_caller]
    pub(super) fn misfit(self, name: &str, losses: &Shape) -> Option<Var<'t>> {
        let mask = self.mask()?;
        let (Ok(shape), Ok(dtype)) = (mask.shape(), mask.dtype()) else { return Some(mask) };
        if dtype == DType::Bool && losses.starts_with(&shape) {
            return None;
        }
        let found = format!("the mask is {dtype} {shape}, the losses are {losses}");
        Some(mask.invalid(name, found, "give a bool mask of the leading axes, true where a loss counts"))
    }

    /// What goes into the losses, with a harmless value where it takes no part. `x` has the axes of the mask in front, or none.
    #[track_caller]
    pub(super) fn guard(self, x: Var<'t>, harmless: f64) -> Var<'t> {
        match (self.mask(), x.shape()) {
            (Some(mask), Ok(shape)) if shape.rank() > 0 => widened(mask, shape.rank()).select(x, harmless),
            _ => x,
        }
    }

    /// The loss of the losses of single elements.
    #[track_caller]
    pub(super) fn of(self, losses: Var<'t>) -> Var<'t> {
        let (Ok(shape), Ok(dtype)) = (losses.shape(), losses.dtype()) else { return losses };
        let kept = self.mask().map(|mask| widened(mask, shape.rank()).expand(shape.clone()));
        let counted = kept.map_or(losses, |kept| kept.select(losses, 0.0));
        match (self, kept) {
            (Reduction::MeanOver(_), Some(kept)) => counted.sum() / kept.cast(dtype).sum(),
            (Reduction::Mean, _) => counted.mean(),
            (Reduction::None | Reduction::NoneOver(_), _) => counted,
            _ => counted.sum(),
        }
    }
}

/// A mask with axes of extent 1 behind its own.
#[track_caller]
fn widened(mask: Var<'_>, rank: usize) -> Var<'_> {
    let own = mask.shape().map_or(rank, |shape| shape.rank());
    (own..rank).fold(mask, |mask, _| mask.unsqueeze(-1))
}

/// The loss of every element of a prediction and a target of one shape (or a number), reduced.
#[track_caller]
pub(super) fn elementwise<'t>(
    name: &str,
    prediction: Var<'t>,
    target: impl Operand<'t>,
    reduction: Reduction<'t>,
    loss: impl FnOnce(Var<'t>, Var<'t>) -> Var<'t>,
) -> Var<'t> {
    let target = target.resolve(prediction.tape(), prediction.dtype().ok());
    let (Ok(p), Ok(t)) = (prediction.shape(), target.shape()) else {
        return if prediction.shape().is_err() { prediction } else { target };
    };
    if p != t && t.rank() > 0 {
        let found = format!("the prediction is {p}, the target {t}");
        return prediction.invalid(name, found, "give both the same shape (reshape, squeeze)");
    }
    if let Some(broken) = reduction.misfit(name, &p) {
        return broken;
    }
    reduction.of(loss(reduction.guard(prediction, 0.0), reduction.guard(target, 0.0)))
}

/// An invalid value if a setting is not within its bounds.
#[track_caller]
pub(super) fn refused<'t>(
    like: Var<'t>,
    name: &str,
    what: &str,
    value: f64,
    fine: bool,
    wanted: &str,
) -> Option<Var<'t>> {
    let found = || format!("the {what} is {value}, expected {wanted}");
    (!fine && like.dtype().is_ok()).then(|| like.invalid(name, found(), ""))
}
