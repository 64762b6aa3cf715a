//! Buffers between uses: what a tensor gives up, the next program's outputs take.
//!
//! A training step makes the same gradients and parameters again and again. Without a pool each of them would be fresh
//! memory, which the system maps and clears page by page; with it, an optimizer's update goes to a buffer that
//! earlier values have left.

use crate::storage::Storage;
use std::cell::RefCell;

/// Bytes from which on a buffer is kept; smaller ones are left to the allocator.
const SMALLEST: usize = 4096;
/// Bytes kept by a thread.
const MOST: usize = 256 << 20;

/// The buffers that one thread keeps of one element type, least recently given first.
struct Shelf<T> {
    buffers: Vec<Storage<T>>,
    bytes: usize,
}

impl<T: Copy + Default> Shelf<T> {
    const fn new() -> Self {
        Shelf { buffers: Vec::new(), bytes: 0 }
    }

    fn take(&mut self, len: usize) -> Option<Storage<T>> {
        let found = self.buffers.iter().rposition(|buffer| buffer.len() == len)?;
        self.bytes -= len * size_of::<T>();
        Some(self.buffers.remove(found))
    }

    fn give(&mut self, mut buffer: Storage<T>) {
        buffer.outdate();
        let bytes = buffer.len() * size_of::<T>();
        // What came from elsewhere may lie where computing with it is slow.
        if !(SMALLEST..=MOST).contains(&bytes) || buffer.misaligned() {
            return;
        }
        self.bytes += bytes;
        self.buffers.push(buffer);
        while self.bytes > MOST {
            self.bytes -= self.buffers.remove(0).len() * size_of::<T>();
        }
    }
}

/// An element type, with the shelf of the present thread.
pub(crate) trait Pooled: Copy + Default + 'static {
    /// `len` elements of unspecified value.
    fn take(len: usize) -> Storage<Self>;
    /// Keeps a buffer for later.
    fn give(buffer: Storage<Self>);
}

macro_rules! pooled {
    ($($type:ty),*) => {$(
        impl Pooled for $type {
            fn take(len: usize) -> Storage<$type> {
                let kept = if len * size_of::<$type>() < SMALLEST { None } else { SHELF.with(|s| s.borrow_mut().take(len)) };
                kept.unwrap_or_else(|| Storage::zeros(len))
            }
            fn give(buffer: Storage<$type>) {
                // While the thread ends there is no shelf: the buffer goes back to the system.
                let _ = SHELF.try_with(|s| s.borrow_mut().give(buffer));
            }
        }
    )*};
}

macro_rules! shelves {
    ($($module:ident: $type:ty),*) => {$(
        mod $module {
            use super::*;
            thread_local! {
                static SHELF: RefCell<Shelf<$type>> = const { RefCell::new(Shelf::new()) };
            }
            pooled!($type);
        }
    )*};
}
shelves!(of_u8: u8, of_i64: i64, of_f32: f32, of_f64: f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_kept_by_length_and_within_bounds() {
        let mut shelf = Shelf::<f64>::new();
        let of = |value: f64, len: usize| Storage::copy_of(&vec![value; len]);
        shelf.give(of(1.0, 1000));
        shelf.give(of(2.0, 2000));
        shelf.give(of(3.0, 10));
        assert_eq!(shelf.buffers.len(), 2, "small ones are not kept");
        assert!(shelf.take(1500).is_none());
        assert_eq!(shelf.take(1000).map(|b| b[0]), Some(1.0));
        assert_eq!(shelf.bytes, 16_000);
        for _ in 0..20 {
            shelf.give(of(0.0, MOST / 8 / 4));
        }
        assert!(shelf.bytes <= MOST && shelf.take(2000).is_none(), "the oldest go first");
    }

    #[test]
    fn what_does_not_begin_at_a_cache_line_is_not_kept() {
        let mut shelf = Shelf::<f64>::new();
        let given: Vec<Storage<f64>> = (0..8).map(|_| vec![4.0; 4000].into()).collect();
        let aligned = given.iter().filter(|buffer| !buffer.misaligned()).count();
        given.into_iter().for_each(|buffer| shelf.give(buffer));
        assert_eq!(shelf.buffers.len(), aligned);
    }
}
