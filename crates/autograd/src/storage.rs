//! The memory of a tensor's elements.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock, Weak};

/// Elements in a vector: long ones that are made here begin at a cache line, so that no vector of lanes lies across two.
#[derive(Debug, Default)]
pub(crate) struct Storage<T> {
    all: Vec<T>,
    start: usize,
    len: usize,
    version: OnceLock<Arc<()>>,
}

/// Stands for what some storage holds now: alive as long as that does, and equal to no other.
#[derive(Clone, Debug)]
pub(crate) struct Version(Weak<()>);

impl Version {
    /// Whether the storage that gave it still holds the same.
    pub(crate) fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Version) -> bool {
        // The address is not taken by another as long as one of them is there.
        Weak::ptr_eq(&self.0, &other.0)
    }
}

/// Bytes of a cache line, and from which on storage begins at one; small storage is left as the allocator gives it.
const LINE: usize = 64;
const LONG: usize = 4096;

impl<T: Copy + Default> Storage<T> {
    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Storage<T> {
        let bytes = size_of::<T>();
        let slack = if len * bytes < LONG { 0 } else { LINE / bytes - 1 };
        let mut all = vec![T::default(); len + slack];
        wengert_kernels::large_pages(&mut all);
        let start = all.as_ptr().align_offset(LINE);
        Storage { start: if start <= slack { start } else { 0 }, all, len, version: OnceLock::new() }
    }

    /// The same elements.
    pub(crate) fn copy_of(elements: &[T]) -> Storage<T> {
        let mut copy = Storage::zeros(elements.len());
        copy.copy_from_slice(elements);
        copy
    }

    /// The version of the elements: another one as soon as they may be written.
    pub(crate) fn version(&self) -> Version {
        Version(Arc::downgrade(self.version.get_or_init(Arc::default)))
    }

    /// Ends the version: nobody reads these elements again.
    pub(crate) fn outdate(&mut self) {
        self.version.take();
    }

    /// Whether a copy would be better to compute with.
    pub(crate) fn misaligned(&self) -> bool {
        self.len * size_of::<T>() >= LONG && self.as_ptr().align_offset(LINE) != 0
    }
}

impl<T: Copy + Default> Clone for Storage<T> {
    fn clone(&self) -> Storage<T> {
        Storage::copy_of(self)
    }
}

impl<T> Deref for Storage<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.all[self.start..][..self.len]
    }
}

impl<T> DerefMut for Storage<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.version.take();
        &mut self.all[self.start..][..self.len]
    }
}

/// As it lies.
impl<T> From<Vec<T>> for Storage<T> {
    fn from(all: Vec<T>) -> Storage<T> {
        Storage { start: 0, len: all.len(), all, version: OnceLock::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_ends_where_elements_may_change() {
        let mut storage = Storage::from(vec![1.0f32, 2.0]);
        let first = storage.version();
        assert!(first.is_alive() && first == storage.version() && first != storage.clone().version());
        storage[0] = 3.0;
        assert!(!first.is_alive() && first != storage.version());
        let second = storage.version();
        drop(storage);
        assert!(!second.is_alive());
    }

    #[test]
    fn long_storage_begins_at_a_cache_line() {
        for len in [0, 1, 511, 512, 513, 100_003] {
            let mut zeros = Storage::<f64>::zeros(len);
            assert!(zeros.len() == len && zeros.iter().all(|x| *x == 0.0) && !zeros.misaligned());
            zeros.iter_mut().enumerate().for_each(|(i, x)| *x = i as f64);
            let copy = zeros.clone();
            assert!(copy[..] == zeros[..] && !copy.misaligned());
        }
        let given: Vec<f32> = (0..5000).map(|i| i as f32).collect();
        let address = given.as_ptr();
        let kept = Storage::from(given.clone());
        assert_eq!(kept[..], given[..]);
        let kept = Storage::from(given);
        assert_eq!(kept.as_ptr(), address, "a vector is not copied");
        assert_eq!(kept.clone()[..], kept[..]);
    }
}
