//! A training step on one thread, two, .. `--threads`, beside what as many independent loops of multiply-adds gain in the same
//! run; and what recording and planning cost.

use crate::Outcome;
use crate::options::Options;
use crate::overhead;
use crate::report::Report;
use crate::timing::interleaved;
use crate::train;
use std::thread;
use wengert_kernels::gemm::peak_fma;

pub(crate) fn run(options: &Options, report: &mut Report) -> Outcome {
    let most = usize::from(options.threads);
    for shape in options.shapes("small64,mid128,ptb200,wide512,ptb650")? {
        for system in options.systems(&["wengert_lstm", "wengert_custom"], 1)? {
            let mut steps = Vec::new();
            for threads in 1..=most {
                let mut trainee = train::make(system, &shape, options.dtype.dtype())?;
                steps.push(move || {
                    wengert::set_threads(threads);
                    trainee.step()
                });
            }
            // All numbers of threads take turns.
            let mut turns: Vec<&mut dyn FnMut() -> wengert::prelude::Result<()>> = Vec::new();
            turns.extend(steps.iter_mut().map(|step| step as &mut dyn FnMut() -> _));
            let timings = interleaved(options.budget * most as f64, options.runs, &mut turns)?;
            for (timing, threads) in timings.iter().zip(1..) {
                let (gain, possible) = (timings[0].ratio(timing), gain_of_loops(threads));
                let row = train::row(system, &shape, options).count("on", threads).timing(timing);
                report.row(&row.real("gain", gain).real("fma_gain", possible).real("share", gain / possible));
            }
            wengert::set_threads(most);
        }
    }
    overhead::run(options, report)
}

/// How many times the rate of one loop of multiply-adds `n` of them reach together, on a thread each.
fn gain_of_loops(n: usize) -> f64 {
    const SECONDS: f64 = 0.05;
    if n == 1 {
        return 1.0;
    }
    let one = peak_fma::<f32>(SECONDS);
    let together: f64 = thread::scope(|scope| {
        let all: Vec<_> = (0..n).map(|_| scope.spawn(|| peak_fma::<f32>(SECONDS))).collect();
        // A loop of multiply-adds cannot panic.
        all.into_iter().map(|thread| thread.join().unwrap_or(0.0)).sum()
    });
    together / one
}
