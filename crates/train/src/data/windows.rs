//! Windows of a series: what is seen, and what follows.

use super::{refused, take};
use std::ops::Range;
use wengert_autograd::{Result, Tensor};

/// The windows of a series `[N, ..]`: `past` rows to look at and the `ahead` rows that follow them.
///
/// ```
/// use wengert_autograd::Tensor;
/// use wengert_train::Windows;
/// let series = Tensor::from_vec((0..10).map(|i| i as f32).collect(), [10, 1])?;
/// // Only windows that lie in the first 8 rows: the training part.
/// let windows = Windows::new(&series, 3, 2)?.within(0..8);
/// assert_eq!(windows.len(), 4);
/// let (x, y) = windows.batch(&[0, 3])?;                     // [past, B, 1], [ahead, B, 1]
/// assert_eq!(x.to_vec::<f32>()?, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
/// assert_eq!(y.to_vec::<f32>()?, [3.0, 6.0, 4.0, 7.0]);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
///
/// What is forecast may be another series, or some columns of this one, and may begin later:
///
/// ```
/// # use wengert_autograd::Tensor;
/// # use wengert_train::Windows;
/// // Of weather and price, the price in two and three rows' time.
/// let series = Tensor::from_vec((0..20).map(|i| i as f32).collect(), [10, 2])?;
/// let price = series.narrow(1, 1, 1)?;
/// let windows = Windows::new(&series, 3, 2)?.targets(&price)?.gap(1);
/// let (x, y) = windows.batch(&[0])?;                        // [past, B, 2], [ahead, B, 1]
/// assert_eq!(x.to_vec::<f32>()?, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
/// assert_eq!(y.to_vec::<f32>()?, [9.0, 11.0]);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Windows {
    series: Tensor,
    targets: Tensor,
    past: usize,
    gap: usize,
    ahead: usize,
    stride: usize,
    rows: Range<usize>,
}

impl Windows {
    /// All windows of a series.
    ///
    /// # Errors
    /// If the series has no axes, or the past is empty.
    #[track_caller]
    pub fn new(series: &Tensor, past: usize, ahead: usize) -> Result<Windows> {
        let Some(len) = series.shape().first().copied() else {
            return Err(refused("Windows", "the series has no axes", "give a tensor [N, ..]"));
        };
        if past == 0 {
            return Err(refused("Windows", "windows without a past are asked for", "give at least 1 row to look at"));
        }
        let (series, targets) = (series.clone(), series.clone());
        Ok(Windows { series, targets, past, gap: 0, ahead, stride: 1, rows: 0..len })
    }

    /// With another series `[N, ..]` as what is forecast: its row `i` is of the same time as row `i` of the series that is looked at. Some
    /// columns of that are `series.narrow(1, first, columns)?`.
    ///
    /// # Errors
    /// If it has not as many rows.
    #[track_caller]
    pub fn targets(self, targets: &Tensor) -> Result<Windows> {
        let len = self.series.shape()[0];
        if targets.shape().first() != Some(&len) {
            let found = format!("the targets are {}, the series {}", targets.shape(), self.series.shape());
            return Err(refused("Windows", found, "give a target for each row of the series"));
        }
        Ok(Windows { targets: targets.clone(), ..self })
    }

    /// Leaves out `gap` rows between the past and what is forecast: with a horizon of h rows, `gap(h - 1)` and an `ahead` of 1.
    pub fn gap(self, gap: usize) -> Windows {
        Windows { gap, ..self }
    }

    /// Every `stride`-th window only (at least 1).
    pub fn stride(self, stride: usize) -> Windows {
        Windows { stride: stride.max(1), ..self }
    }

    /// The windows of a part of the series: all their rows, past, gap and ahead, lie in it. So no window of one part sees a target of
    /// another.
    pub fn within(self, rows: Range<usize>) -> Windows {
        let len = self.series.shape()[0];
        Windows { rows: rows.start.min(len)..rows.end.min(len), ..self }
    }

    /// How many windows there are.
    pub fn len(&self) -> usize {
        let window = self.past.saturating_add(self.gap).saturating_add(self.ahead);
        match self.rows.len().checked_sub(window) {
            Some(more) => more / self.stride + 1,
            None => 0,
        }
    }

    /// Whether there are none: the part is shorter than a window.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row of the series that is the first to be forecast in a window.
    pub fn origin(&self, window: usize) -> usize {
        self.start(window) + self.past + self.gap
    }

    /// The row that is the first to be looked at.
    fn start(&self, window: usize) -> usize {
        self.rows.start + window * self.stride
    }

    /// The past of windows, `[past, B, ..]`, and what follows, `[ahead, B, ..]`.
    ///
    /// # Errors
    /// If a window does not exist.
    #[track_caller]
    pub fn batch(&self, windows: &[usize]) -> Result<(Tensor, Tensor)> {
        if let Some(window) = windows.iter().find(|window| **window >= self.len()) {
            let found = format!("window {window} of {} is asked for", self.len());
            return Err(refused("Windows", found, "windows are counted from 0"));
        }
        let part = |series: &Tensor, from: usize, steps: usize| {
            let row = |t: usize| windows.iter().map(move |window| self.start(*window) + from + t);
            let rows: Vec<usize> = (0..steps).flat_map(row).collect();
            let shape = [&[steps, windows.len()], &series.shape()[1..]].concat();
            take(series, &rows)?.reshape(shape)
        };
        Ok((part(&self.series, 0, self.past)?, part(&self.targets, self.past + self.gap, self.ahead)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_those_of_the_definition() {
        let series = Tensor::from_vec((0..60).map(|i| i as f64).collect(), [20, 3]).unwrap();
        let others = Tensor::from_vec((0..20).map(|i| -i).collect(), [20]).unwrap();
        let cases =
            [(4, 2, 0, 1, 0..20), (4, 2, 1, 3, 5..18), (1, 0, 0, 2, 3..9), (6, 1, 0, 1, 13..20), (2, 2, 3, 2, 0..11)];
        for (past, ahead, gap, stride, rows) in cases {
            let windows = Windows::new(&series, past, ahead).unwrap().gap(gap).stride(stride).within(rows.clone());
            for targets in [&series, &others, &series.narrow(1, 2, 1).unwrap()] {
                let windows = windows.clone().targets(targets).unwrap();
                let fits = |start: &usize| start + past + gap + ahead <= rows.end;
                let wanted: Vec<usize> = rows.clone().step_by(stride).filter(fits).collect();
                assert_eq!(windows.len(), wanted.len());
                let all: Vec<usize> = (0..windows.len()).collect();
                let (x, y) = windows.batch(&all).unwrap();
                assert_eq!(y.dtype(), targets.dtype());
                for (b, start) in wanted.iter().enumerate() {
                    let at = |t: &Tensor, i: usize| t.narrow(0, i, 1).unwrap().narrow(1, b, 1).unwrap().to_f64_vec();
                    let row = |t: &Tensor, i: usize| t.narrow(0, i, 1).unwrap().to_f64_vec();
                    (0..past).for_each(|t| assert_eq!(at(&x, t), row(&series, start + t)));
                    (0..ahead).for_each(|t| assert_eq!(at(&y, t), row(targets, start + past + gap + t)));
                    assert_eq!(windows.origin(b), start + past + gap);
                }
            }
        }
        for short in [Windows::new(&series, 18, 3).unwrap(), Windows::new(&series, 9, 9).unwrap().gap(usize::MAX)] {
            assert!(short.is_empty());
            let error = short.batch(&[0]).unwrap_err().to_string();
            assert!(error.contains("window 0 of 0"), "{error}");
        }
        for other in [others.narrow(0, 1, 19).unwrap(), Tensor::scalar(1.0f64)] {
            let error = Windows::new(&series, 1, 1).unwrap().targets(&other).unwrap_err().to_string();
            assert!(error.contains(&format!("the targets are {}, the series [20, 3]", other.shape())), "{error}");
        }
    }
}
