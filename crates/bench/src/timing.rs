//! Repeated timing of a step.

use std::time::Instant;

/// Median and minimum in milliseconds, and the number of runs.
pub(crate) struct Timing {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) runs: usize,
}

/// Runs `step` three times, then for `budget` seconds: at least 5 times, at most `most` times.
pub(crate) fn timed<E>(budget: f64, most: usize, mut step: impl FnMut() -> Result<(), E>) -> Result<Timing, E> {
    for _ in 0..3 {
        step()?;
    }
    let (mut times, start) = (Vec::new(), Instant::now());
    while (times.len() < 5 || start.elapsed().as_secs_f64() < budget) && times.len() < most {
        let began = Instant::now();
        step()?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(Timing { median: times[times.len() / 2], min: times[0], runs: times.len() })
}
