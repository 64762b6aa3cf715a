//! How much resident memory a training step adds at its peak. Each row is measured in a process of its own.

use crate::Outcome;
use crate::options::Options;
use crate::report::Report;
use crate::shapes::Shape;
use crate::timing::{Timing, timed};
use crate::train;
use std::process::Command;

/// The last two differ in their length only: time and memory should grow with it, not faster.
const SHAPES: &str = "wide512,ptb650,long1k,10000x8x64x128x1";

pub(crate) fn run(options: &Options, report: &mut Report) -> Outcome {
    for shape in options.shapes(SHAPES)? {
        for system in options.systems(&["wengert_lstm", "wengert_custom"], 1)? {
            if options.child {
                let mut trainee = train::make(system, &shape, options.dtype.dtype())?;
                tell(options, || trainee.step())?;
                continue;
            }
            let (timing, peak) = in_a_process("memory", system, &shape, options)?;
            let row = train::row(system, &shape, options).timing(&timing).real("peak_mib", peak);
            let step = |of_all: f64| of_all / shape.t as f64;
            report.row(&row.real("us_per_t", step(timing.median * 1e3)).real("kib_per_t", step(peak * 1024.0)));
        }
    }
    Ok(())
}

/// Calls this program for one row: the time of a step, and the MiB by which its process grew.
pub(crate) fn in_a_process(
    mode: &str,
    system: &str,
    shape: &Shape,
    options: &Options,
) -> Result<(Timing, f64), Box<dyn std::error::Error>> {
    let [threads, budget, runs] = [options.threads.to_string(), options.budget.to_string(), options.runs.to_string()];
    let mut child = Command::new(std::env::current_exe()?);
    child.args([mode, "--child", "--systems", system, "--shapes", &shape.name]);
    child.args(["--checkpoint-mib", &options.checkpoint_mib.to_string()]);
    child.args(["--threads", &threads, "--budget", &budget, "--runs", &runs]);
    child.args(["--dtype", &options.dtype.dtype().to_string()]);
    let output = child.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [median, min, runs, peak] = numbers[..] else { return Err(format!("expected 4 numbers: {text}").into()) };
    Ok((Timing { median, min, runs: runs as usize, times: Vec::new() }, peak))
}

/// Prints what [`in_a_process`] reads. The process has made network and input: from here on it counts how it grows.
pub(crate) fn tell(options: &Options, step: impl FnMut() -> wengert::prelude::Result<()>) -> Outcome {
    // The greatest size counts anew, where the system lets a process say so.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let before = kib("VmRSS")?;
    let timing = timed(options.budget, options.runs, step)?;
    let peak = (kib("VmHWM")? - before) / 1024.0;
    println!("{} {} {} {peak}", timing.median, timing.min, timing.runs);
    Ok(())
}

/// A size of this process in KiB, as Linux tells it.
fn kib(field: &str) -> Result<f64, String> {
    let status =
        std::fs::read_to_string("/proc/self/status").map_err(|e| format!("memory needs Linux's /proc: {e}"))?;
    size_in(&status, field).ok_or(format!("/proc/self/status does not say {field}"))
}

fn size_in(status: &str, field: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_the_status() {
        let status = "VmHWMs:\t 1 kB\nVmHWM:\t   20480 kB\nVmRSS:\t   10240 kB\n";
        assert_eq!((size_in(status, "VmHWM"), size_in(status, "VmRSS")), (Some(20480.0), Some(10240.0)));
        assert_eq!((size_in(status, "VmSwap"), size_in("", "VmRSS")), (None, None));
    }
}
