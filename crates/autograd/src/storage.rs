//! The memory of a tensor's elements.

use std::ops::{Deref, DerefMut};

/// Elements in a vector: long ones that are made here begin at a cache line, so that no vector of lanes lies across two.
#[derive(Debug, Default)]
pub(crate) struct Storage<T> {
    all: Vec<T>,
    start: usize,
    len: usize,
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
        Storage { start: if start <= slack { start } else { 0 }, all, len }
    }

    /// The same elements.
    pub(crate) fn copy_of(elements: &[T]) -> Storage<T> {
        let mut copy = Storage::zeros(elements.len());
        copy.copy_from_slice(elements);
        copy
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
        &mut self.all[self.start..][..self.len]
    }
}

/// As it lies.
impl<T> From<Vec<T>> for Storage<T> {
    fn from(all: Vec<T>) -> Storage<T> {
        Storage { start: 0, len: all.len(), all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
