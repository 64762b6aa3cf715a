//! Compiled programs, loop bodies and training steps, kept by structure, least recently used dropped.

use super::code::Block;
use super::{Program, Step};
use crate::error::Result;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Entries kept of each kind.
const CAPACITY: usize = 512;

struct Lru<T> {
    entries: Option<HashMap<u128, (Arc<T>, u64)>>,
    clock: u64,
}

impl<T> Lru<T> {
    const fn new() -> Self {
        Lru { entries: None, clock: 0 }
    }

    fn get(&mut self, key: u128) -> Option<Arc<T>> {
        self.clock += 1;
        let entry = self.entries.as_mut()?.get_mut(&key)?;
        entry.1 = self.clock;
        Some(entry.0.clone())
    }

    fn insert(&mut self, key: u128, value: Arc<T>) {
        self.clock += 1;
        let entries = self.entries.get_or_insert_default();
        if entries.len() >= CAPACITY
            && let Some(oldest) = entries.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key)
        {
            entries.remove(&oldest);
        }
        entries.insert(key, (value, self.clock));
    }
}

static PROGRAMS: Mutex<Lru<Program>> = Mutex::new(Lru::new());
static BLOCKS: Mutex<Lru<Block>> = Mutex::new(Lru::new());
static STEPS: Mutex<Lru<Step>> = Mutex::new(Lru::new());

#[cfg(test)]
thread_local! {
    /// Programs and loop bodies that this thread has compiled.
    static COMPILED: std::cell::Cell<(usize, usize)> = const { std::cell::Cell::new((0, 0)) };
}

/// How many programs and loop bodies this thread has compiled.
#[cfg(test)]
pub(crate) fn compiled() -> (usize, usize) {
    COMPILED.get()
}

/// The program of a structure, compiled if it is not known.
pub(super) fn program(key: u128, compile: impl FnOnce() -> Result<Program>) -> Result<Arc<Program>> {
    // A poisoned cache is whole: entries are inserted in one call.
    if let Some(known) = PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner).get(key) {
        return Ok(known);
    }
    let made = Arc::new(compile()?);
    #[cfg(test)]
    COMPILED.with(|counts| counts.set((counts.get().0 + 1, counts.get().1)));
    PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner).insert(key, made.clone());
    Ok(made)
}

/// The block of a loop body, compiled if it is not known. Its key holds no length: it serves any number of steps.
pub(super) fn block(key: u128, compile: impl FnOnce() -> Block) -> Arc<Block> {
    if let Some(known) = BLOCKS.lock().unwrap_or_else(PoisonError::into_inner).get(key) {
        return known;
    }
    let made = Arc::new(compile());
    #[cfg(test)]
    COMPILED.with(|counts| counts.set((counts.get().0, counts.get().1 + 1)));
    BLOCKS.lock().unwrap_or_else(PoisonError::into_inner).insert(key, made.clone());
    made
}

/// The training step remembered under a key.
pub(super) fn step(key: u128) -> Option<Arc<Step>> {
    STEPS.lock().unwrap_or_else(PoisonError::into_inner).get(key)
}

/// Remembers a training step.
pub(super) fn remember(key: u128, step: Step) -> Arc<Step> {
    let step = Arc::new(step);
    STEPS.lock().unwrap_or_else(PoisonError::into_inner).insert(key, step.clone());
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_bounded_and_drops_the_least_recently_used() {
        let mut lru = Lru::new();
        for key in 0..CAPACITY as u128 {
            lru.insert(key, Arc::new(key));
        }
        assert!(lru.get(0).is_some());
        lru.insert(9999, Arc::new(9999));
        assert!(lru.get(0).is_some(), "used a moment ago");
        assert!(lru.get(1).is_none(), "the oldest is dropped");
        assert_eq!(lru.entries.as_ref().map(HashMap::len), Some(CAPACITY));
    }
}
