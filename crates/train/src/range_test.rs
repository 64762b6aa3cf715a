//! The learning-rate range test.

use crate::data::refused;
use wengert_autograd::{Error, ParamTree};

/// Tries learning rates from small to large, one training step each, and watches the loss (Smith 2017, "Cyclical learning rates for training
/// neural networks"):
///
/// ```text
/// lr_i = from · (to / from)^(i / (steps − 1))
/// a_i  = β·a_(i−1) + (1 − β)·loss_i          s_i = a_i / (1 − β^(i+1))          β = smoothing
/// ```
///
/// It stops when the smoothed loss `s` is more than 4 times its lowest value, or not finite. The weights are what they were before, however it ends.
///
/// ```
/// use wengert_autograd::{Error, Param, Tape, Tensor};
/// use wengert_optim::Sgd;
/// use wengert_train::RangeTest;
/// let net = Param::new(Tensor::from_slice(&[1.0f64, 2.0], [2])?);
/// let mut sgd = Sgd::new(0.0);
/// let found = RangeTest { from: 1e-5, to: 10.0, ..Default::default() }.run(&net, |lr| {
///     let gradients = { Tape::new().param(&net).square().sum().backward()? };
///     sgd.lr = lr;
///     sgd.step(&net, &gradients)?;
///     gradients.loss().item()
/// })?;
/// let lr = found.suggestion().expect("the loss has fallen");
/// assert!(lr > 0.01 && lr < 1.0);
/// assert_eq!(net.value().to_vec::<f64>()?, [1.0, 2.0]);
/// # Ok::<(), Error>(())
/// ```
///
/// The optimizer of the test is not to be trained with afterwards: its state is that of other weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RangeTest {
    /// The first rate.
    pub from: f64,
    /// The last rate.
    pub to: f64,
    /// How many steps.
    pub steps: usize,
    /// How much of the smoothed loss stays from step to step; 0 smooths nothing.
    pub smoothing: f64,
}

impl Default for RangeTest {
    /// From 1e-7 to 10 in 100 steps, smoothed with 0.9.
    fn default() -> RangeTest {
        RangeTest { from: 1e-7, to: 10.0, steps: 100, smoothing: 0.9 }
    }
}

/// What a [`RangeTest`] has seen.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeFound {
    /// The rates, ascending.
    pub rates: Vec<f64>,
    /// The loss before the step with each rate.
    pub losses: Vec<f64>,
    /// The smoothed losses.
    pub smoothed: Vec<f64>,
    /// How they were smoothed.
    pub smoothing: f64,
}

/// The test ends when the smoothed loss has grown by this factor.
const DIVERGED: f64 = 4.0;

impl RangeTest {
    /// Calls `step` with each rate: one training step that gives the loss on its batch.
    ///
    /// # Errors
    /// The first error of a step; a setting out of its range.
    #[track_caller]
    pub fn run<E: From<Error>>(
        &self,
        module: &impl ParamTree,
        mut step: impl FnMut(f64) -> Result<f64, E>,
    ) -> Result<RangeFound, E> {
        let RangeTest { from, to, steps, smoothing } = *self;
        let valid = from > 0.0 && from < to && to.is_finite() && steps > 1 && (0.0..1.0).contains(&smoothing);
        if !valid {
            let found = format!("{steps} rates from {from} to {to}, smoothed with {smoothing}");
            return Err(refused("RangeTest", found, "give 0 < from < to, 2 steps or more, 0 ≤ smoothing < 1").into());
        }
        let weights = module.snapshot();
        let mut found = RangeFound { rates: Vec::new(), losses: Vec::new(), smoothed: Vec::new(), smoothing };
        let (mut average, mut lowest) = (0.0, f64::INFINITY);
        let mut failed = None;
        for i in 0..steps {
            let lr = from * (to / from).powf(i as f64 / (steps - 1) as f64);
            let loss = match step(lr) {
                Ok(loss) => loss,
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            };
            average = smoothing * average + (1.0 - smoothing) * loss;
            let smoothed = average / (1.0 - smoothing.powi(i as i32 + 1));
            if !smoothed.is_finite() {
                break;
            }
            found.rates.push(lr);
            found.losses.push(loss);
            found.smoothed.push(smoothed);
            lowest = lowest.min(smoothed);
            if smoothed > DIVERGED * lowest.abs() {
                break;
            }
        }
        module.restore(&weights)?;
        match failed {
            Some(error) => Err(error),
            None => Ok(found),
        }
    }
}

impl RangeFound {
    /// The rate at which the smoothed loss falls most steeply over the logarithm of the rate, before its lowest value, taken back by the β/(1 − β)
    /// steps by which the average is late; `None` if it does not fall. Without that a range of few steps suggests a rate that diverges.
    pub fn suggestion(&self) -> Option<f64> {
        let end = self.lowest_at()?;
        // By central differences; the rates are evenly spaced in their logarithm.
        let slope = |i: usize| self.smoothed[i + 1] - self.smoothed[i - 1];
        let steepest = (1..end).min_by(|a, b| slope(*a).total_cmp(&slope(*b)))?;
        let late = (self.smoothing / (1.0 - self.smoothing)).round() as usize;
        (slope(steepest) < 0.0).then(|| self.rates[steepest.saturating_sub(late)])
    }

    /// The rate at which the smoothed loss is lowest: too large already, since the loss there was reached by smaller ones. A tenth of it
    /// is another usual choice.
    pub fn lowest(&self) -> Option<f64> {
        Some(self.rates[self.lowest_at()?])
    }

    fn lowest_at(&self) -> Option<usize> {
        (0..self.smoothed.len()).min_by(|a, b| self.smoothed[*a].total_cmp(&self.smoothed[*b]))
    }

    /// The losses over the rates, with the suggestion, as a picture.
    ///
    /// # Errors
    /// If there is nothing to be seen.
    #[cfg(feature = "plot")]
    #[track_caller]
    pub fn svg(&self) -> wengert_autograd::Result<String> {
        use crate::plot::{Line, Plot};
        let line = |name: &str, values: &[f64]| {
            Line::new(name, self.rates.iter().copied().zip(values.iter().copied()).collect::<Vec<_>>())
        };
        let mut plot = Plot::new("Learning-rate range test", "learning rate", "loss").log_x();
        plot.lines = vec![line("loss", &self.losses), line("smoothed", &self.smoothed)];
        plot.mark = self.suggestion().map(|lr| (lr, format!("suggestion {lr:.2e}")));
        plot.svg()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wengert_autograd::{Param, ParamTree, Tensor};

    #[test]
    fn smoothing_and_suggestion_are_those_of_the_formula() {
        let net = Param::new(Tensor::scalar(1.0f64));
        // A fall that is steepest at a rate of 1e-2, and divergence from 1 on.
        let loss = |lr: f64| 2.0 - (lr.log10() + 2.0).tanh() + if lr > 1.0 { lr * lr } else { 0.0 };
        let test = RangeTest { from: 1e-5, to: 100.0, steps: 141, smoothing: 0.0 };
        let found = test
            .run::<Error>(&net, |lr| {
                net.set(Tensor::scalar(lr))?;
                Ok(loss(lr))
            })
            .unwrap();
        assert_eq!(net.snapshot()[0].item().unwrap(), 1.0);
        assert_eq!(found.smoothed, found.losses);
        assert!((found.rates[20] - 1e-4).abs() < 1e-16 && found.rates.len() < 141);
        assert!((found.suggestion().unwrap() / 1e-2).log10().abs() < 0.06, "{:?}", found.suggestion());
        assert!(found.lowest().unwrap() > 0.1);

        let mut losses = [4.0, 2.0, 3.0].into_iter().cycle();
        let test = RangeTest { from: 1.0, to: 4.0, steps: 3, smoothing: 0.5 };
        let found = test.run::<Error>(&net, |_| Ok(losses.next().unwrap())).unwrap();
        // a = 2, 2, 2.5 over 1 − ½, ¼, ⅛ of them.
        assert_eq!((found.smoothing, found.suggestion()), (0.5, None));
        assert_eq!(found.smoothed, [4.0, 2.0 / 0.75, 2.5 / 0.875]);
        assert_eq!(found.rates, [1.0, 2.0, 4.0]);
    }

    /// An LSTM that is to add up its inputs: the loss falls in the middle of the range, and the suggestion trains it.
    #[test]
    fn the_suggestion_trains_an_lstm() {
        use wengert_autograd::Tape;
        use wengert_nn::{Cx, Linear, LstmCell, Rnn, loss};
        use wengert_optim::Sgd;
        let mut rng = crate::Seeds::new(5).rng("weights");
        let net = (Rnn::new(LstmCell::new(1, 8, &mut rng)), Linear::new(8, 1, &mut rng));
        let (steps, batch) = (6, 16);
        let values: Vec<f32> = (0..steps * batch).map(|i| ((i * i * 7 + i * 3) % 13) as f32 / 6.0 - 1.0).collect();
        let sums: Vec<f32> = (0..batch).map(|b| values.iter().skip(b).step_by(batch).sum()).collect();
        let x = Tensor::from_vec(values, [steps, batch, 1]).unwrap();
        let y = Tensor::from_vec(sums, [batch, 1]).unwrap();
        let train = |sgd: &mut Sgd, lr: f64| {
            let tape = Tape::new();
            let (h, _) = net.0.forward(&Cx::train(&tape), tape.constant(&x));
            let gradients = loss::mse(net.1.forward(h.last(0)), &y).backward()?;
            drop(tape);
            sgd.lr = lr;
            sgd.step(&net, &gradients)?;
            gradients.loss().item()
        };
        let before = net.snapshot();
        let test = RangeTest::default();
        let mut sgd = Sgd::new(0.0);
        let found = test.run::<Error>(&net, |lr| train(&mut sgd, lr)).unwrap();
        assert!(net.snapshot().iter().zip(&before).all(|(a, b)| a.bit_eq(b)));
        // Nothing happens at first; rates that are too large end it.
        assert!((found.losses[10] / found.losses[0] - 1.0).abs() < 0.01 && found.rates.len() < 100, "{found:?}");
        let lr = found.suggestion().expect("the loss falls");
        assert!(lr > 1e-3 && lr < found.lowest().expect("there are losses"), "{found:?}");
        let mut sgd = Sgd::new(0.0);
        let losses: Vec<f64> = (0..60).map(|_| train(&mut sgd, lr).unwrap()).collect();
        assert!(losses[59] < 0.3 * losses[0], "{lr}: {losses:?}");
    }

    /// The average of a loss that falls at once falls most steeply in the step after, and stands for 1 step before that.
    #[test]
    fn the_delay_of_the_average_is_taken_off() {
        let net = Param::new(Tensor::scalar(1.0f64));
        let test = RangeTest { from: 1.0, to: 512.0, steps: 10, smoothing: 0.5 };
        let suggested = |smoothing: f64| {
            let loss = |lr: f64| if lr < 15.0 { 2.0 } else { 1.0 };
            let found = RangeTest { smoothing, ..test }.run::<Error>(&net, |lr| Ok(loss(lr))).unwrap();
            found.suggestion().unwrap().round()
        };
        // Central differences see the fall from 8 to 16 first at 8.
        assert_eq!((suggested(0.0), suggested(0.5)), (8.0, 8.0));
    }

    #[cfg(feature = "plot")]
    #[test]
    fn the_picture_shows_losses_and_suggestion() {
        let found = RangeFound {
            rates: vec![1e-4, 1e-3, 1e-2, 1e-1, 1.0],
            losses: vec![1.0, 0.9, 0.5, 0.4, 2.0],
            smoothed: vec![1.0, 0.95, 0.6, 0.45, 1.5],
            smoothing: 0.0,
        };
        let svg = found.svg().unwrap();
        for text in ["Learning-rate range test", "learning rate", "loss", "smoothed", "suggestion 1.00e-2"] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        // The two curves; the points of one are evenly spaced over the logarithm.
        let curves =
            svg.split("<polyline").skip(1).filter_map(|line| line.split("points=\"").nth(1)?.split('"').next());
        let points: Vec<Vec<&str>> = curves.map(|points| points.split_whitespace().collect()).collect();
        let xs: Vec<Vec<f64>> = points
            .iter()
            .filter(|points| points.len() == 5)
            .map(|points| points.iter().map(|point| point.split(',').next().unwrap().parse().unwrap()).collect())
            .collect();
        assert_eq!(xs.len(), 2, "{svg}");
        let gap = xs[0][1] - xs[0][0];
        assert!(gap > 50.0 && xs[0].windows(2).all(|pair| (pair[1] - pair[0] - gap).abs() <= 1.5), "{xs:?}");
        // A loss that does not fall has no suggestion; without losses there is nothing to be seen.
        let flat = RangeFound { smoothed: vec![1.0; 5], losses: vec![1.0; 5], ..found.clone() };
        assert!(!flat.svg().unwrap().contains("suggestion"));
        let nothing = RangeFound { rates: Vec::new(), losses: Vec::new(), smoothed: Vec::new(), smoothing: 0.0 };
        assert!(nothing.svg().is_err());
    }

    #[test]
    fn weights_return_however_it_ends() {
        let net = Param::new(Tensor::scalar(1.0f64));
        let test = RangeTest { steps: 5, ..Default::default() };
        let run = |value: f64, fails: bool| {
            let mut calls = 0;
            test.run(&net, |_| {
                calls += 1;
                net.set(Tensor::scalar(9.0f64))?;
                if fails && calls == 3 { Err(refused("step", "it fails", "")) } else { Ok(value) }
            })
        };
        assert!(run(1.0, true).unwrap_err().to_string().contains("it fails"));
        let found = run(f64::NAN, false).unwrap();
        assert_eq!((found.rates.len(), found.suggestion(), found.lowest()), (0, None, None));
        assert_eq!(run(1.0, false).unwrap().suggestion(), None);
        assert_eq!(net.value().item().unwrap(), 1.0);
        let error = RangeTest { from: 1.0, to: 1.0, ..test }.run::<Error>(&net, |_| Ok(1.0)).unwrap_err().to_string();
        assert!(error.contains("5 rates from 1 to 1"), "{error}");
    }
}
