//! Threads: a few workers that take part in one caller's work at a time.
//!
//! A region of parallel work lasts tens of microseconds to milliseconds and the next one follows soon, so an idle worker
//! looks for work for a while before it sleeps. The work is divided by the caller in a way that does not change a bit of
//! the results; a caller who finds the workers busy with another caller's work does all of its own.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Instant;

/// Rounds that an idle worker looks for work before it sleeps: some tens of microseconds.
const PATIENCE: u32 = 4000;

/// The number of threads that share the work of a program, the caller's included; 0: not chosen yet.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// The number of threads that share the work of one program, the caller's included.
///
/// It is what [`set_threads`] said last, else the environment variable `WENGERT_THREADS`, else the number of cores this
/// process may use. Results do not depend on it.
pub fn threads() -> usize {
    match THREADS.load(Ordering::Relaxed) {
        0 => {
            let asked = std::env::var("WENGERT_THREADS").ok().and_then(|v| v.parse().ok()).filter(|n| *n > 0);
            // Miri wants every thread to have ended when the program ends.
            let cores = || if cfg!(miri) { 1 } else { std::thread::available_parallelism().map_or(1, |n| n.get()) };
            let n = asked.unwrap_or_else(cores);
            THREADS.store(n, Ordering::Relaxed);
            n
        }
        n => n,
    }
}

/// Chooses the [number of threads](fn@threads) for programs that start from now on; at least 1.
pub fn set_threads(n: usize) {
    THREADS.store(n.max(1), Ordering::Relaxed);
}

/// Work that is being shared.
struct Job {
    /// Share `i` of the work; valid until `pending` is 0.
    share: *const (dyn Fn(usize) + Sync),
    /// Workers that have not finished.
    pending: AtomicUsize,
    panicked: AtomicBool,
}

struct Worker {
    /// The job that waits for this worker, or null.
    job: AtomicPtr<Job>,
    asleep: AtomicBool,
    thread: OnceLock<Thread>,
}

static WORKERS: Mutex<Vec<Arc<Worker>>> = Mutex::new(Vec::new());

/// Runs `f` on every item, each on a thread of its own as far as there are threads: the first on the caller's.
pub fn for_each<T: Send>(items: Vec<T>, f: impl Fn(T) + Sync) {
    if items.len() <= 1 {
        return items.into_iter().for_each(f);
    }
    let items: Vec<Mutex<Option<T>>> = items.into_iter().map(|item| Mutex::new(Some(item))).collect();
    share(items.len(), &|i| {
        let item = items[i].lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(item) = item {
            f(item);
        }
    });
}

/// How many threads of at most `most`, the caller's included, can take part in work of a few microseconds, which is less than a worker
/// needs to wake up: one if the others sleep or are busy. Sleepers are woken if this was asked a moment ago, since it is likely to be
/// asked again soon.
pub(crate) fn at_hand(most: usize) -> usize {
    let most = most.min(threads());
    if most < 2 {
        return 1;
    }
    let Ok(mut workers) = WORKERS.try_lock() else { return 1 };
    enlist(&mut workers, most);
    let helpers = &workers[..workers.len().min(most - 1)];
    if helpers.iter().any(|worker| worker.asleep.load(Ordering::Relaxed)) {
        if again_soon() {
            helpers.iter().filter_map(|worker| worker.thread.get()).for_each(Thread::unpark);
        }
        return 1;
    }
    1 + helpers.len()
}

/// Whether it is a moment ago that this was asked last.
fn again_soon() -> bool {
    static START: OnceLock<Instant> = OnceLock::new();
    /// Nanoseconds from the start.
    static LAST: AtomicU64 = AtomicU64::new(u64::MAX / 2);
    const MOMENT: u64 = 100_000;
    let now = START.get_or_init(Instant::now).elapsed().as_nanos() as u64;
    now.abs_diff(LAST.swap(now, Ordering::Relaxed)) < MOMENT
}

/// Starts workers until there are `n` threads with the caller's, as far as the system has them.
fn enlist(workers: &mut Vec<Arc<Worker>>, n: usize) {
    while workers.len() + 1 < n {
        match spawn(workers.len() + 1) {
            Some(worker) => workers.push(worker),
            None => break,
        }
    }
}

/// Calls `f(0)` on this thread and `f(1)`, `f(2)`, .. `f(n - 1)` on workers; returns when all have ended.
fn share(n: usize, f: &(dyn Fn(usize) + Sync)) {
    let workers = match WORKERS.try_lock() {
        Ok(mut workers) => {
            enlist(&mut workers, n.min(threads()));
            workers
        }
        Err(_) => return (0..n).for_each(f),
    };
    let helpers = (n - 1).min(workers.len()).min(threads() - 1);
    let pending = AtomicUsize::new(helpers);
    // SAFETY: only the lifetime changes; workers use the reference before they count themselves off, and this function
    // returns, or unwinds, after the last of them has.
    let f: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(f) };
    let job = Job { share: f, pending, panicked: AtomicBool::new(false) };
    for worker in &workers[..helpers] {
        worker.job.store((&raw const job).cast_mut(), Ordering::SeqCst);
        if worker.asleep.load(Ordering::SeqCst)
            && let Some(thread) = worker.thread.get()
        {
            thread.unpark();
        }
    }
    let own = catch_unwind(AssertUnwindSafe(|| {
        f(0);
        (helpers + 1..n).for_each(f);
    }));
    let mut rounds = 0u32;
    while job.pending.load(Ordering::Acquire) > 0 {
        rounds += 1;
        if rounds < PATIENCE { std::hint::spin_loop() } else { std::thread::yield_now() }
    }
    drop(workers);
    if let Err(panic) = own {
        resume_unwind(panic);
    }
    assert!(!job.panicked.load(Ordering::Relaxed), "a share of parallel work panicked");
}

/// Starts the worker that takes share `index`; none if the system has no thread left.
fn spawn(index: usize) -> Option<Arc<Worker>> {
    let worker = Arc::new(Worker {
        job: AtomicPtr::new(std::ptr::null_mut()),
        asleep: AtomicBool::new(false),
        thread: OnceLock::new(),
    });
    let own = worker.clone();
    let builder = std::thread::Builder::new().name(format!("wengert-{index}"));
    let handle = builder.spawn(move || work(&own, index)).ok()?;
    // Set before the first job is handed out.
    worker.thread.get_or_init(|| handle.thread().clone());
    Some(worker)
}

fn work(own: &Worker, index: usize) {
    loop {
        let mut rounds = 0;
        let job = loop {
            let job = own.job.swap(std::ptr::null_mut(), Ordering::Acquire);
            if !job.is_null() {
                break job;
            }
            rounds += 1;
            if rounds < PATIENCE {
                std::hint::spin_loop();
                continue;
            }
            own.asleep.store(true, Ordering::SeqCst);
            if own.job.load(Ordering::SeqCst).is_null() {
                std::thread::park();
            }
            own.asleep.store(false, Ordering::SeqCst);
            rounds = 0;
        };
        // SAFETY: the job lives until this worker has counted itself off, below.
        let job = unsafe { &*job };
        // SAFETY: as above.
        let share = unsafe { &*job.share };
        if catch_unwind(AssertUnwindSafe(|| share(index))).is_err() {
            job.panicked.store(true, Ordering::Relaxed);
        }
        job.pending.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_done_once_whatever_the_number_of_threads() {
        for n in [1, 2, 3, 8] {
            set_threads(n);
            for items in [0usize, 1, 2, 5, 20] {
                let done: Vec<AtomicUsize> = (0..items).map(|_| AtomicUsize::new(0)).collect();
                for_each((0..items).collect(), |i| {
                    done[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(done.iter().all(|d| d.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn sleepers_are_not_at_hand_but_woken() {
        let at_hand = || {
            // Other tests choose as well.
            set_threads(2);
            at_hand(2)
        };
        let asleep = (0..100).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            at_hand() == 1
        });
        assert!(asleep, "the worker does not sleep");
        // Asked again and again it wakes, once the system lets it run and no other test holds it.
        let woken = (0..10_000_000).any(|round| {
            if round % 1000 == 999 {
                std::thread::yield_now();
            }
            at_hand() == 2
        });
        assert!(woken, "the worker was not woken");
    }

    #[test]
    fn callers_on_several_threads_and_nested_calls_finish() {
        let count = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        for_each(vec![1usize, 2, 3], |i| {
                            for_each(vec![i, i], |i| {
                                count.fetch_add(i, Ordering::Relaxed);
                            });
                        });
                    }
                });
            }
        });
        assert_eq!(count.load(Ordering::Relaxed), 4 * 200 * 12);
    }

    #[test]
    fn a_panic_in_a_share_reaches_the_caller_after_all_have_ended() {
        let done = AtomicUsize::new(0);
        for bad in [0, 1] {
            let run = || {
                for_each(vec![0, 1], |i| {
                    assert!(i != bad, "planted");
                    done.fetch_add(1, Ordering::Relaxed);
                });
            };
            assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        }
        for_each(vec![0, 1], |_| {
            done.fetch_add(1, Ordering::Relaxed);
        });
        // Without workers, which another test may have, the item behind the bad one is not begun.
        assert!((3..=4).contains(&done.load(Ordering::Relaxed)));
    }
}
