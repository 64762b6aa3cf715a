//! Losses that ask for a margin.

use super::Reduction;
use super::reduction::{elementwise, refused};
use wengert_autograd::{Operand, Var};

/// The mean hinge loss `max(0, 1 − y·x)` of scores `x` against targets `y`, −1 or 1, of one shape and element type.
#[track_caller]
pub fn hinge<'t>(scores: Var<'t>, targets: impl Operand<'t>) -> Var<'t> {
    hinge_with(scores, targets, Reduction::Mean)
}

/// [`hinge`] with a choice of [`Reduction`].
#[track_caller]
pub fn hinge_with<'t>(scores: Var<'t>, targets: impl Operand<'t>, reduction: Reduction<'t>) -> Var<'t> {
    let _named = scores.tape().composition("hinge");
    elementwise("hinge", scores, targets, reduction, |x, y| (1.0 - y * x).relu())
}

/// The mean of `max(0, margin − y·(a − b))`: `a` should be above `b` where `y` is 1, below where it is −1. All have one shape.
#[track_caller]
pub fn margin_ranking<'t>(a: Var<'t>, b: impl Operand<'t>, y: impl Operand<'t>, margin: f64) -> Var<'t> {
    margin_ranking_with(a, b, y, margin, Reduction::Mean)
}

/// [`margin_ranking`] with a choice of [`Reduction`].
#[track_caller]
pub fn margin_ranking_with<'t>(
    a: Var<'t>,
    b: impl Operand<'t>,
    y: impl Operand<'t>,
    margin: f64,
    reduction: Reduction<'t>,
) -> Var<'t> {
    let name = "margin_ranking";
    let _named = a.tape().composition(name);
    let difference = elementwise(name, a, b, guarded(reduction), |a, b| a - b);
    elementwise(name, difference, y, reduction, |d, y| (margin - y * d).relu())
}

/// The mean cosine embedding loss, as PyTorch's: `1 − cos(a, b)` where `y` is 1, `max(0, cos(a, b) − margin)` where it is −1. `a` and
/// `b` are `[.., D]`, `y` is `[..]`.
#[track_caller]
pub fn cosine_embedding<'t>(a: Var<'t>, b: impl Operand<'t>, y: impl Operand<'t>, margin: f64) -> Var<'t> {
    cosine_embedding_with(a, b, y, margin, Reduction::Mean)
}

/// [`cosine_embedding`] with a choice of [`Reduction`].
#[track_caller]
pub fn cosine_embedding_with<'t>(
    a: Var<'t>,
    b: impl Operand<'t>,
    y: impl Operand<'t>,
    margin: f64,
    reduction: Reduction<'t>,
) -> Var<'t> {
    let name = "cosine_embedding";
    let _named = a.tape().composition(name);
    if let Some(broken) = refused(a, name, "margin", margin, (-1.0..=1.0).contains(&margin), "a number from -1 to 1") {
        return broken;
    }
    let mut lengths = None;
    // PyTorch's constant keeps the length of a zero vector from zero.
    let products = elementwise(name, a, b, guarded(reduction), |a, b| {
        let length = |v: Var<'t>| v.square().sum_axes(-1) + 1e-12;
        lengths = Some((length(a) * length(b)).sqrt());
        (a * b).sum_axes(-1)
    });
    let Some(lengths) = lengths else { return products };
    elementwise(name, products / lengths, y, reduction, |cosine, y| {
        y.eq(1.0).select(1.0 - cosine, y.eq(-1.0).select((cosine - margin).relu(), 0.0))
    })
}

/// The triplet margin loss, as PyTorch's `TripletMarginLoss`: an anchor should be closer to the positive than to the negative, by a margin.
///
/// ```text
/// loss = max(0, ‖anchor − positive + ε‖_p − ‖anchor − negative + ε‖_p + margin)
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Triplet<'t> {
    /// The reduction.
    pub reduction: Reduction<'t>,
    /// 1 by default.
    pub margin: f64,
    /// The order of the norm, 2 by default.
    pub p: f64,
    /// Keeps the norm from its kink, 1e-6 by default.
    pub eps: f64,
    /// Whether the distance of positive and negative counts where it is the smaller one (Balntas et al. 2016).
    pub swap: bool,
}

impl Default for Triplet<'_> {
    fn default() -> Self {
        Triplet { reduction: Reduction::Mean, margin: 1.0, p: 2.0, eps: 1e-6, swap: false }
    }
}

impl<'t> Triplet<'t> {
    /// The loss of vectors `[.., D]` of one shape; without reduction it is `[..]`.
    #[track_caller]
    pub fn loss(&self, anchor: Var<'t>, positive: impl Operand<'t>, negative: impl Operand<'t>) -> Var<'t> {
        let (name, tape) = ("triplet_margin", anchor.tape());
        let _named = tape.composition(name);
        let dtype = anchor.dtype().ok();
        let (positive, negative) = (positive.resolve(tape, dtype), negative.resolve(tape, dtype));
        let distance = |a: Var<'t>, b: Var<'t>| {
            elementwise(name, a, b, guarded(self.reduction), |a, b| (a - b + self.eps).vector_norm(self.p, -1))
        };
        let (near, mut far) = (distance(anchor, positive), distance(anchor, negative));
        if self.swap {
            far = far.minimum(distance(positive, negative));
        }
        elementwise(name, near, far, self.reduction, |near, far| (near - far + self.margin).relu())
    }
}

/// The mean triplet margin loss; see [`Triplet`].
#[track_caller]
pub fn triplet_margin<'t>(anchor: Var<'t>, positive: impl Operand<'t>, negative: impl Operand<'t>) -> Var<'t> {
    Triplet::default().loss(anchor, positive, negative)
}

/// What makes the operands of a later loss harmless where they take no part, and reduces nothing.
fn guarded(reduction: Reduction<'_>) -> Reduction<'_> {
    match reduction.mask() {
        Some(mask) => Reduction::NoneOver(mask),
        None => Reduction::None,
    }
}
