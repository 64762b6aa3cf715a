//! Progress on a terminal, and lines in a log.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::Write;
use std::time::{Duration, Instant};

/// How far a training is, on standard error: on a terminal a bar with the loss, the rate and the time that is left; elsewhere, in a log, a line
/// every 30 seconds and one at the end.
///
/// ```
/// use wengert_train::Progress;
/// let mut progress = Progress::new(100);
/// for step in 0..100 {
///     progress.step(1, &format!("loss {:.4}", 1.0 / (step + 1) as f64));
/// }
/// progress.finish();
/// ```
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    total: u64,
    done: u64,
    /// Steps of an earlier run do not count for the rate.
    first: u64,
    start: Instant,
    every: Duration,
    /// When the last line was written to a log.
    written: Instant,
    message: String,
}

impl Progress {
    /// Progress over `total` steps.
    pub fn new(total: u64) -> Progress {
        Progress::on(ProgressDrawTarget::stderr(), total)
    }

    fn on(target: ProgressDrawTarget, total: u64) -> Progress {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {per_sec}  {eta} left  {msg}");
        let bar = ProgressBar::with_draw_target(Some(total), target)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let (start, every) = (Instant::now(), Duration::from_secs(30));
        Progress { bar, total, done: 0, first: 0, start, every, written: start, message: String::new() }
    }

    /// From a step on: a run that goes on from a checkpoint.
    pub fn from(mut self, step: u64) -> Progress {
        (self.done, self.first) = (step, step);
        self.bar.set_position(step);
        self.bar.reset_eta();
        self
    }

    /// With another time between the lines of a log.
    pub fn every(self, every: Duration) -> Progress {
        Progress { every, ..self }
    }

    /// Has made `steps` steps; `message` says what there is to say, such as the loss.
    pub fn step(&mut self, steps: u64, message: &str) {
        self.done += steps;
        self.bar.set_message(message.to_string());
        self.bar.inc(steps);
        self.message = message.into();
        if self.bar.is_hidden() && self.written.elapsed() >= self.every {
            self.written = Instant::now();
            self.write();
        }
    }

    /// Prints a line above the bar, or into the log.
    pub fn say(&self, line: &str) {
        if self.bar.is_hidden() {
            // Who closes standard error has seen enough.
            let _ = writeln!(std::io::stderr(), "{line}");
        } else {
            self.bar.println(line);
        }
    }

    /// Takes the bar away, or writes the last line of the log.
    pub fn finish(self) {
        if self.bar.is_hidden() {
            self.write();
        }
        self.bar.finish_and_clear();
    }

    fn write(&self) {
        let _ = writeln!(std::io::stderr(), "{}", self.line(self.start.elapsed()));
    }

    /// A line of a log after some time.
    fn line(&self, elapsed: Duration) -> String {
        let rate = (self.done - self.first) as f64 / elapsed.as_secs_f64().max(1e-9);
        let left = self.total.saturating_sub(self.done) as f64 / rate;
        let left = if left.is_finite() { format!("{left:.0} s left") } else { "time left unknown".into() };
        format!("{}/{}  {rate:.1}/s  {left}  {}", self.done, self.total, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::InMemoryTerm;

    #[test]
    fn a_terminal_has_a_bar_below_its_lines() {
        let screen = InMemoryTerm::new(10, 100);
        let mut progress = Progress::on(ProgressDrawTarget::term_like(Box::new(screen.clone())), 100).from(40);
        progress.step(10, "loss 0.75");
        progress.step(10, "loss 0.5");
        // A line is drawn at once, and the bar anew below it.
        progress.say("saved");
        let lines: Vec<String> = screen.contents().lines().map(String::from).collect();
        let (line, bar) = (&lines[0], &lines[1]);
        assert_eq!((lines.len(), &**line), (2, "saved"), "{lines:?}");
        // 60 of 100 steps fill 18 of 30 places, and the next is begun.
        assert_eq!(bar.chars().take_while(|c| *c == '█').count(), 18, "{bar}");
        assert!(bar.contains(" 60/100  ") && bar.contains("/s  ") && bar.ends_with(" left  loss 0.5"), "{bar}");
        progress.say("stopped");
        assert!(screen.contents().starts_with("saved\nstopped\n"), "{}", screen.contents());
        // At the end the bar is gone, the lines stay.
        progress.finish();
        assert_eq!(screen.contents(), "saved\nstopped");
    }

    #[test]
    fn where_there_is_no_terminal_there_is_no_bar() {
        let mut progress = Progress::on(ProgressDrawTarget::hidden(), 10).every(Duration::from_secs(3600));
        assert!(progress.bar.is_hidden());
        (0..10).for_each(|_| progress.step(1, "loss"));
        assert_eq!(progress.line(Duration::from_secs(2)), "10/10  5.0/s  0 s left  loss");
        progress.finish();
    }

    #[test]
    fn a_log_has_steps_rate_and_time_left() {
        let mut progress = Progress::new(100).from(40);
        assert_eq!(progress.line(Duration::from_secs(1)), "40/100  0.0/s  time left unknown  ");
        progress.step(20, "loss 0.5");
        // 20 steps of this run in 4 seconds.
        assert_eq!(progress.line(Duration::from_secs(4)), "60/100  5.0/s  8 s left  loss 0.5");
    }
}
