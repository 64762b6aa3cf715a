//! Standardisation.

use super::refused;
use crate::checkpoint::{Checkpointed, Parts};
use crate::error::Result;
use std::ops::Range;
use wengert_autograd::{DType, Tensor};

/// Columns brought to mean 0 and deviation 1, with the means and deviations of the training part:
///
/// ```text
/// x ← (x − mean) / std        std = √(Σ (x − mean)² / n) over the training rows, 1 for a constant column
/// ```
///
/// ```
/// use wengert_autograd::Tensor;
/// use wengert_train::Standard;
/// let data = Tensor::from_slice(&[1.0f64, 3.0, 100.0], [3, 1])?;
/// let train = 0..2;
/// let standard = Standard::fit(&data, train)?;                // has never seen the 100
/// assert_eq!(standard.apply(&data)?.to_vec::<f64>()?, [-1.0, 1.0, 98.0]);
/// assert_eq!(standard.invert(&standard.apply(&data)?)?.to_vec::<f64>()?, [1.0, 3.0, 100.0]);
/// # Ok::<(), wengert_train::Error>(())
/// ```
///
/// The rows to fit on are an argument, so that they are decided on: what is fitted on all rows tells the training something of the test.
#[derive(Clone, Debug, PartialEq)]
pub struct Standard {
    /// The mean of each column.
    pub mean: Vec<f64>,
    /// The deviation of each column; 1 for a constant one.
    pub std: Vec<f64>,
}

impl Standard {
    /// The means and deviations of columns of `data` `[N, F]`, over the rows of a range.
    ///
    /// # Errors
    /// If the data are no matrix of floats, the range is empty or leaves it, or it holds an infinity or NaN.
    #[track_caller]
    pub fn fit(data: &Tensor, rows: Range<usize>) -> Result<Standard> {
        let [n, columns] = match data.shape()[..] {
            [n, columns] if data.dtype().is_float() => [n, columns],
            _ => {
                let found = format!("the data are {} {}", data.dtype(), data.shape());
                return Err(refused("Standard::fit", found, "give floats [N, F]").into());
            }
        };
        if rows.is_empty() || rows.end > n {
            let found = format!("rows {}..{} of {n} are to be fitted on", rows.start, rows.end);
            return Err(refused("Standard::fit", found, "give a range of the rows that are trained on").into());
        }
        let values = data.narrow(0, rows.start, rows.len())?.to_f64_vec();
        let column = |column: usize| values.iter().skip(column).step_by(columns);
        let count = rows.len() as f64;
        let mean: Vec<f64> = (0..columns).map(|c| column(c).sum::<f64>() / count).collect();
        let deviation = |c: usize| (column(c).map(|x| (x - mean[c]).powi(2)).sum::<f64>() / count).sqrt();
        let std: Vec<f64> = (0..columns).map(deviation).collect();
        if let Some(c) = (0..columns).find(|c| !std[*c].is_finite()) {
            let found = format!("column {c} holds values that are not finite, or too large");
            return Err(refused("Standard::fit", found, "leave such rows out, or replace them").into());
        }
        // A constant column may have a deviation that is no more than the mean's rounding.
        let least = |c: usize| mean[c].abs() * f64::EPSILON;
        let std = (0..columns).map(|c| if std[c] > least(c) { std[c] } else { 1.0 }).collect();
        Ok(Standard { mean, std })
    }

    /// Brings the columns, the last axis of `data` `[.., F]`, to the scale of the fitted ones.
    ///
    /// # Errors
    /// If there are not as many columns, or they are no floats.
    #[track_caller]
    pub fn apply(&self, data: &Tensor) -> Result<Tensor> {
        self.each(data, |x, mean, std| (x - mean) / std)
    }

    /// Brings columns back to their own units: `x·std + mean`.
    ///
    /// # Errors
    /// As [`apply`](Standard::apply).
    #[track_caller]
    pub fn invert(&self, data: &Tensor) -> Result<Tensor> {
        self.each(data, |x, mean, std| x * std + mean)
    }

    #[track_caller]
    fn each(&self, data: &Tensor, f: impl Fn(f64, f64, f64) -> f64) -> Result<Tensor> {
        let columns = self.mean.len();
        if data.shape().last() != Some(&columns) || !data.dtype().is_float() {
            let found = format!("the data are {} {}", data.dtype(), data.shape());
            return Err(refused("Standard", found, &format!("give floats [.., {columns}]")).into());
        }
        let values = data.to_f64_vec().into_iter().enumerate();
        let values: Vec<f64> = values.map(|(i, x)| f(x, self.mean[i % columns], self.std[i % columns])).collect();
        let dtype: DType = data.dtype();
        Ok(Tensor::from_vec(values, data.shape().clone())?.cast(dtype))
    }
}

impl Checkpointed for Standard {
    fn parts(&mut self, parts: &mut Parts) -> Result<()> {
        parts.value("mean", &mut self.mean)?;
        parts.value("std", &mut self.std)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_given_rows_count() {
        let values = |far: f32| vec![far, 5.0, 1.0, 5.0, 2.0, 5.0, 3.0, 5.0, far, 5.0];
        let fit = |far: f32| Standard::fit(&Tensor::from_vec(values(far), [5, 2]).unwrap(), 1..4).unwrap();
        let found = fit(9.0);
        assert_eq!(found.mean, [2.0, 5.0]);
        assert_eq!(found.std, [(2.0f64 / 3.0).sqrt(), 1.0]);
        // Other rows may hold anything.
        assert_eq!(fit(f32::NAN), found);
        let scaled = found.apply(&Tensor::from_vec(values(2.0), [5, 1, 2]).unwrap()).unwrap();
        assert_eq!((scaled.dtype(), scaled.to_f64_vec()[0], scaled.to_f64_vec()[1]), (DType::F32, 0.0, 0.0));
    }

    #[test]
    fn what_cannot_be_fitted_is_an_error() {
        let data = Tensor::from_vec(vec![1.0f32, f32::NAN, 3.0, 4.0], [2, 2]).unwrap();
        let says = |found: Result<Standard>, part: &str| {
            let text = found.unwrap_err().to_string();
            assert!(text.contains(part), "{text}");
        };
        says(Standard::fit(&data, 0..2), "column 1 holds values that are not finite");
        says(Standard::fit(&data, 1..3), "rows 1..3 of 2");
        says(Standard::fit(&data, 1..1), "rows 1..1");
        says(Standard::fit(&data.cast(DType::I64), 0..1), "i64 [2, 2]");
        let standard = Standard::fit(&data, 1..2).unwrap();
        assert!(standard.apply(&data.reshape([4, 1]).unwrap()).unwrap_err().to_string().contains("floats [.., 2]"));
        // 0.1 summed ten times is not 1: the deviation of a constant column is a rounding error, not a scale.
        let constant = Standard::fit(&Tensor::full([10, 1], 0.1, DType::F64), 0..10).unwrap();
        assert_eq!(constant.std, [1.0]);
    }
}
