//! A line search for the strong Wolfe conditions (Nocedal & Wright 2006, algorithms 3.5 and 3.6), step by step as PyTorch's.

use wengert_autograd::Result;

/// A point on the line.
#[derive(Clone)]
pub(super) struct Point {
    /// The length of the step.
    pub at: f64,
    pub loss: f64,
    /// The derivative of the loss along the line.
    pub slope: f64,
    /// The gradient.
    pub g: Vec<f64>,
}

/// The loss must fall by this part of what the slope at the start promises.
const FALL: f64 = 1e-4;
/// The slope must shrink to this part of that at the start.
const SLOPE: f64 = 0.9;

/// Looks for a step that fulfils both conditions, beginning at length `first`, with at most `most` steps after the first
/// evaluation; returns the best point found, and the number of evaluations.
///
/// A point whose loss is infinite, with a slope that is NaN, ends the interval and is never the one that is returned.
///
/// `reach` is the largest absolute value of the direction: an interval shorter than `least` there is not divided.
pub(super) fn search(
    mut along: impl FnMut(f64) -> Result<Point>,
    start: Point,
    first: f64,
    reach: f64,
    most: usize,
    least: f64,
) -> Result<(Point, usize)> {
    let falls = |point: &Point| point.loss <= start.loss + FALL * point.at * start.slope;
    let flat = |point: &Point| point.slope.abs() <= -SLOPE * start.slope;
    let mut before = start.clone();
    let mut point = along(first)?;
    let mut used = 0;

    // Makes the step longer until there must be a minimum between two lengths.
    let (mut low, mut high) = loop {
        if used == most {
            break (start.clone(), point);
        }
        if !falls(&point) || (used > 1 && point.loss >= before.loss) {
            break (before, point);
        }
        if flat(&point) {
            return Ok((point, used + 1));
        }
        if point.slope >= 0.0 {
            break (before, point);
        }
        let (shortest, longest) = (point.at + 0.01 * (point.at - before.at), point.at * 10.0);
        let next = along(cubic(&before, &point, shortest, longest))?;
        before = std::mem::replace(&mut point, next);
        used += 1;
    };

    // Divides that interval; `low` is the better end.
    if low.loss > high.loss {
        std::mem::swap(&mut low, &mut high);
    }
    let mut little = false;
    while used < most && (high.at - low.at).abs() * reach >= least {
        let (left, right) = (low.at.min(high.at), low.at.max(high.at));
        let mut t = cubic(&low, &high, left, right);
        // Near an end the interval would hardly shrink: twice in a row, or at the end itself, is too often.
        let margin = 0.1 * (right - left);
        if (right - t).min(t - left) < margin {
            if little || t >= right || t <= left {
                t = if (t - right).abs() < (t - left).abs() { right - margin } else { left + margin };
                little = false;
            } else {
                little = true;
            }
        } else {
            little = false;
        }
        let point = along(t)?;
        used += 1;
        if !falls(&point) || point.loss >= low.loss {
            high = point;
            if low.loss > high.loss {
                std::mem::swap(&mut low, &mut high);
            }
        } else {
            // Towards a loss that is infinite there may be no point where it is flat: that it falls must do.
            let done = flat(&point) || high.loss == f64::INFINITY;
            if !done && point.slope * (high.at - low.at) >= 0.0 {
                high = low;
            }
            low = point;
            if done {
                break;
            }
        }
    }
    Ok((low, used + 1))
}

/// The minimum of the cubic through two points with their slopes, within bounds (Nocedal & Wright 2006, equation 3.59).
fn cubic(a: &Point, b: &Point, least: f64, greatest: f64) -> f64 {
    let (a, b) = if a.at <= b.at { (a, b) } else { (b, a) };
    let d1 = a.slope + b.slope - 3.0 * (a.loss - b.loss) / (a.at - b.at);
    let square = d1 * d1 - a.slope * b.slope;
    if square.is_nan() || square < 0.0 {
        return (least + greatest) / 2.0;
    }
    let d2 = square.sqrt();
    let t = b.at - (b.at - a.at) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2));
    t.max(least).min(greatest)
}
