//! A training in a process of its own that is killed at random moments.
//!
//! `WENGERT_KILLS=200 cargo test -p wengert-train --test kill` kills more often; `WENGERT_KILL_SEED` gives other moments.
#![cfg(unix)]

mod training;

use rand::Rng;
use std::io::Write;
use std::process::Child;
use training::{assert_same, child_of, end, undisturbed};
use wengert_train::Random;

/// A child that is killed when the test fails.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_killed_run_ends_as_an_undisturbed_one() {
    let number = |name: &str, usual: usize| std::env::var(name).map_or(usual, |n| n.parse().expect("a number"));
    let (kills, seed) = (number("WENGERT_KILLS", 8), number("WENGERT_KILL_SEED", 1));
    let epochs = 10;
    let (wanted, time) = undisturbed(epochs);
    println!("WENGERT_KILLS={kills} WENGERT_KILL_SEED={seed}; an undisturbed run takes {time:?}");
    let mut random = Random::new(seed as i64);
    let (mut killed, mut ended, mut resumed, mut passed_over, mut writing) = (0, 0, 0, 0, 0);
    while killed < kills {
        let folder = tempfile::tempdir().expect("a folder");
        loop {
            let mut child = Guard(child_of(folder.path(), epochs).spawn().expect("it starts"));
            if killed < kills {
                // From before the first checkpoint to after the last.
                let moment = time.mul_f64(random.random_range(0.0..0.6));
                // Captured, and shown if the test fails: the last is the one that matters.
                println!("kill {killed} after {moment:?}");
                std::thread::sleep(moment);
                child.0.kill().expect("it can be killed");
            }
            let status = child.0.wait().expect("it ends");
            let mut output = String::new();
            let mut pipe = child.0.stdout.take().expect("it is piped");
            std::io::Read::read_to_string(&mut pipe, &mut output).expect("text");
            resumed += usize::from(output.contains("goes on at step"));
            passed_over += usize::from(output.contains("passed over"));
            if status.success() {
                break;
            }
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{output}");
            killed += 1;
            let mut entries = std::fs::read_dir(folder.path()).expect("a folder").flatten();
            writing += usize::from(entries.any(|entry| entry.path().extension().is_some_and(|e| e == "part")));
        }
        assert_same(&end(folder.path()), &wanted);
        ended += 1;
    }
    let found = format!(
        "{killed} kills, {writing} of them in a write; {resumed} times resumed, {ended} runs ended as the undisturbed one"
    );
    // Past the capture of the test's output.
    let _ = writeln!(std::io::stderr(), "{found}");
    // A rename never leaves half a file.
    assert_eq!(passed_over, 0);
}
