//! Repeated timing of steps.

use std::time::Instant;

/// Median and minimum in milliseconds, and the number of runs.
#[derive(Clone, Debug)]
pub(crate) struct Timing {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) runs: usize,
    /// The time of each run, in the order in which they ran.
    pub(crate) times: Vec<f64>,
}

impl Timing {
    /// Of times in milliseconds, at least one.
    pub(crate) fn of(times: Vec<f64>) -> Timing {
        let min = times.iter().copied().fold(f64::INFINITY, f64::min);
        Timing { median: median(&times), min, runs: times.len(), times }
    }

    /// The times of one of several parts of equal work that every run did.
    pub(crate) fn per(&self, parts: usize) -> Timing {
        Timing::of(self.times.iter().map(|time| time / parts as f64).collect())
    }

    /// The median over the runs of the ratio to another timing, run for run.
    pub(crate) fn ratio(&self, other: &Timing) -> f64 {
        median(&self.times.iter().zip(&other.times).map(|(own, other)| own / other).collect::<Vec<_>>())
    }
}

/// The median; NaN of nothing. Of an even number the mean of the middle two.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// Runs `step` three times, then for `budget` seconds: at least 5 times, at most `most` times.
pub(crate) fn timed<E>(budget: f64, most: usize, mut step: impl FnMut() -> Result<(), E>) -> Result<Timing, E> {
    interleaved(budget, most, &mut [&mut step]).map(|mut all| all.remove(0))
}

/// As [`timed`], of a step that says how many of its milliseconds count.
pub(crate) fn timed_part<E>(budget: f64, most: usize, step: impl Fn() -> Result<f64, E>) -> Result<Timing, E> {
    rounds(budget, most, &mut [&mut || step()]).map(|mut all| all.remove(0))
}

/// As [`timed`], for several steps that take turns, so that a change of the machine's speed meets all of them. The budget is
/// that of all together.
pub(crate) fn interleaved<E>(
    budget: f64,
    most: usize,
    steps: &mut [&mut dyn FnMut() -> Result<(), E>],
) -> Result<Vec<Timing>, E> {
    let mut whole: Vec<_> = steps
        .iter_mut()
        .map(|step| {
            || {
                let began = Instant::now();
                step().map(|()| since(began))
            }
        })
        .collect();
    let mut turns: Vec<&mut dyn FnMut() -> Result<f64, E>> = Vec::new();
    turns.extend(whole.iter_mut().map(|step| step as &mut dyn FnMut() -> _));
    rounds(budget, most, &mut turns)
}

/// Milliseconds since then.
pub(crate) fn since(then: Instant) -> f64 {
    then.elapsed().as_secs_f64() * 1e3
}

/// Three rounds of the steps that do not count, and those that do.
fn rounds<E>(budget: f64, most: usize, steps: &mut [&mut dyn FnMut() -> Result<f64, E>]) -> Result<Vec<Timing>, E> {
    for step in steps.iter_mut() {
        (0..3).try_for_each(|_| step().map(drop))?;
    }
    let mut times = vec![Vec::new(); steps.len()];
    let start = Instant::now();
    let mut rounds = 0;
    while rounds < 5 || (rounds < most && start.elapsed().as_secs_f64() < budget) {
        for (step, times) in steps.iter_mut().zip(&mut times) {
            times.push(step()?);
        }
        rounds += 1;
    }
    Ok(times.into_iter().map(Timing::of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert!(median(&[]).is_nan());
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn ratios_are_taken_run_for_run() {
        // The machine runs at half its speed in the last round: the ratio does not notice.
        let [own, other] = [[2.0, 2.0, 4.0], [1.0, 1.0, 2.0]].map(|times| Timing::of(times.to_vec()));
        assert_eq!(own.ratio(&other), 2.0);
        assert_eq!((own.per(2).median, own.min, own.runs), (1.0, 2.0, 3));
    }

    #[test]
    fn steps_take_turns_and_an_error_ends_them() {
        let order = std::cell::RefCell::new(String::new());
        let run = |name| {
            order.borrow_mut().push(name);
            Ok::<(), ()>(())
        };
        let (mut a, mut b) = (|| run('a'), || run('b'));
        let all = interleaved(0.0, 1, &mut [&mut a, &mut b]).unwrap_or_default();
        assert_eq!(all.iter().map(|timing| timing.runs).collect::<Vec<_>>(), [5, 5]);
        assert_eq!(order.into_inner(), "aaabbbababababab");
        assert_eq!(timed(1.0, 9, || Err("stop")).map(|timing| timing.runs), Err("stop"));
    }
}
