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
#[derive(Clone, Debug)]
pub struct Windows {
    series: Tensor,
    past: usize,
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
        Ok(Windows { series: series.clone(), past, ahead, stride: 1, rows: 0..len })
    }

    /// Every `stride`-th window only (at least 1).
    pub fn stride(self, stride: usize) -> Windows {
        Windows { stride: stride.max(1), ..self }
    }

    /// The windows of a part of the series: all their rows, past and ahead, lie in it. So no window of one part sees a target of
    /// another.
    pub fn within(self, rows: Range<usize>) -> Windows {
        let len = self.series.shape()[0];
        Windows { rows: rows.start.min(len)..rows.end.min(len), ..self }
    }

    /// How many windows there are.
    pub fn len(&self) -> usize {
        match self.rows.len().checked_sub(self.past.saturating_add(self.ahead)) {
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
        self.rows.start + window * self.stride + self.past
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
        let part = |from: usize, steps: usize| {
            let row = |t: usize| windows.iter().map(move |window| self.origin(*window) - self.past + from + t);
            let rows: Vec<usize> = (0..steps).flat_map(row).collect();
            let shape = [&[steps, windows.len()], &self.series.shape()[1..]].concat();
            take(&self.series, &rows)?.reshape(shape)
        };
        Ok((part(0, self.past)?, part(self.past, self.ahead)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_those_of_the_definition() {
        let series = Tensor::from_vec((0..60).map(|i| i as f64).collect(), [20, 3]).unwrap();
        for (past, ahead, stride, rows) in [(4, 2, 1, 0..20), (4, 2, 3, 5..18), (1, 0, 2, 3..9), (6, 1, 1, 13..20)] {
            let windows = Windows::new(&series, past, ahead).unwrap().stride(stride).within(rows.clone());
            let wanted: Vec<usize> =
                rows.clone().step_by(stride).filter(|start| start + past + ahead <= rows.end).collect();
            assert_eq!(windows.len(), wanted.len());
            let all: Vec<usize> = (0..windows.len()).collect();
            let (x, y) = windows.batch(&all).unwrap();
            for (b, start) in wanted.iter().enumerate() {
                let at = |t: &Tensor, step: usize| t.narrow(0, step, 1).unwrap().narrow(1, b, 1).unwrap().to_f64_vec();
                let row = |i: usize| series.narrow(0, i, 1).unwrap().to_f64_vec();
                (0..past).for_each(|t| assert_eq!(at(&x, t), row(start + t)));
                (0..ahead).for_each(|t| assert_eq!(at(&y, t), row(start + past + t)));
            }
        }
        let short = Windows::new(&series, 18, 3).unwrap();
        assert!(short.is_empty());
        let error = short.batch(&[0]).unwrap_err().to_string();
        assert!(error.contains("window 0 of 0"), "{error}");
    }
}
