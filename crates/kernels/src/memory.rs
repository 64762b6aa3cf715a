//! The memory of a running program: a few byte regions, addressed by spans, handed out as typed
//! slices after bounds and overlap checks.
//!
//! A program's instructions read and write many parts of few buffers (one arena, the leaves, the
//! outputs). Rust's borrow rules cannot see that two parts of one arena are disjoint, so this
//! module checks it when an instruction opens its operands: a write overlaps no other operand.

use std::marker::PhantomData;

mod sealed {
    pub trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for i64 {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// A plain element type, of which every bit pattern is a value: `u8`, `i64`, `f32`, `f64`.
pub trait Pod: sealed::Sealed + Copy + Default + PartialEq + Send + Sync + std::fmt::Debug + 'static {}
impl Pod for u8 {}
impl Pod for i64 {}
impl Pod for f32 {}
impl Pod for f64 {}

/// A range of bytes in one region of a [`Memory`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The region's number.
    pub region: u32,
    /// First byte.
    pub start: usize,
    /// Number of bytes.
    pub bytes: usize,
}

impl Span {
    /// Whether they have a byte in common.
    pub fn overlaps(&self, other: &Span) -> bool {
        self.region == other.region && self.start < other.start + other.bytes && other.start < self.start + self.bytes
    }
}

struct Region {
    base: *mut u8,
    bytes: usize,
    writable: bool,
}

/// The regions of one run. It borrows every buffer it was given for `'a`.
#[derive(Default)]
pub struct Memory<'a> {
    regions: Vec<Region>,
    borrowed: PhantomData<&'a mut [u8]>,
}

impl<'a> Memory<'a> {
    /// A memory without regions.
    pub fn new() -> Self {
        Memory { regions: Vec::new(), borrowed: PhantomData }
    }

    /// Adds a region that is only read; returns its number.
    pub fn share<T: Pod>(&mut self, data: &'a [T]) -> u32 {
        self.push(data.as_ptr() as *mut u8, size_of_val(data), false)
    }

    /// Adds a region that is read and written; returns its number.
    pub fn lend<T: Pod>(&mut self, data: &'a mut [T]) -> u32 {
        self.push(data.as_mut_ptr().cast(), size_of_val(data), true)
    }

    /// The address of a region's first byte.
    pub(crate) fn base(&self, region: u32) -> *mut u8 {
        self.regions[region as usize].base
    }

    pub(crate) fn is_writable(&self, region: u32) -> bool {
        self.regions[region as usize].writable
    }

    /// # Panics
    /// If the span leaves its region.
    pub(crate) fn check_span(&self, span: Span) {
        assert!(inside(&span, &self.regions[span.region as usize]), "span outside its region");
    }

    fn push(&mut self, base: *mut u8, bytes: usize, writable: bool) -> u32 {
        self.regions.push(Region { base, bytes, writable });
        (self.regions.len() - 1) as u32
    }

    /// Opens the operands of one instruction: `writes` may be taken mutably, everything that does
    /// not overlap them may be read.
    ///
    /// # Panics
    /// If a write leaves its region, hits a read-only one, or overlaps another write: a planner's bug.
    #[inline]
    pub fn open<'m>(&'m mut self, writes: &'m [Span]) -> Access<'m> {
        assert!(writes.len() <= 64, "at most 64 outputs an instruction");
        for (i, span) in writes.iter().enumerate() {
            let region = &self.regions[span.region as usize];
            assert!(region.writable, "write to a read-only region");
            assert!(inside(span, region), "write outside its region");
            assert!(writes[..i].iter().all(|other| !span.overlaps(other)), "overlapping writes");
        }
        Access { regions: &self.regions, writes, taken: 0 }
    }

    /// The elements of `span`.
    ///
    /// # Panics
    /// If the span leaves its region or is misaligned for `T`.
    #[inline]
    pub fn read<T: Pod>(&self, span: Span) -> &[T] {
        // SAFETY: `checked` proves that the span lies in a buffer borrowed for 'a; `&self` means
        // that no `Access` (the only source of `&mut` slices) is alive.
        unsafe { std::slice::from_raw_parts(checked::<T>(&self.regions, &span), span.bytes / size_of::<T>()) }
    }
}

/// The opened operands of one instruction.
pub struct Access<'m> {
    regions: &'m [Region],
    writes: &'m [Span],
    taken: u64,
}

impl<'m> Access<'m> {
    /// The spans that are written.
    pub fn writes(&self) -> &'m [Span] {
        self.writes
    }

    /// The elements of write number `index`; each can be taken once.
    ///
    /// # Panics
    /// On a second take, or if the span is misaligned for `T`.
    #[inline]
    pub fn take<T: Pod>(&mut self, index: usize) -> &'m mut [T] {
        assert!(self.taken & (1 << index) == 0, "a write is taken once");
        self.taken |= 1 << index;
        let span = self.writes[index];
        // SAFETY: `open` held the memory mutably for 'm and proved that this span is inside a
        // writable region and disjoint from every other write; `read` refuses spans that overlap
        // a write; the bit above makes the slice unique.
        unsafe { std::slice::from_raw_parts_mut(checked::<T>(self.regions, &span), span.bytes / size_of::<T>()) }
    }

    /// The elements of `span`.
    ///
    /// # Panics
    /// If the span leaves its region, is misaligned for `T` or overlaps a write.
    #[inline]
    pub fn read<T: Pod>(&self, span: Span) -> &'m [T] {
        assert!(self.writes.iter().all(|w| !w.overlaps(&span)), "read overlaps a write");
        // SAFETY: as in `Memory::read`; no live `&mut` slice overlaps the span by the assertion.
        unsafe { std::slice::from_raw_parts(checked::<T>(self.regions, &span), span.bytes / size_of::<T>()) }
    }
}

fn inside(span: &Span, region: &Region) -> bool {
    span.start.checked_add(span.bytes).is_some_and(|end| end <= region.bytes)
}

/// The span's address, after checking bounds and alignment.
#[inline]
fn checked<T: Pod>(regions: &[Region], span: &Span) -> *mut T {
    let region = &regions[span.region as usize];
    assert!(inside(span, region), "span outside its region");
    // SAFETY: the offset is within the region, as just checked.
    let at = unsafe { region.base.add(span.start) };
    assert!((at as usize).is_multiple_of(align_of::<T>()), "misaligned span");
    at.cast()
}

/// Asks the system for large pages, where memory is long: fewer addresses have to be looked up. It helps what has not been touched
/// yet, and has no effect on values.
pub fn large_pages<T>(memory: &mut [T]) {
    /// Bytes of a large page.
    const PAGE: usize = 2 << 20;
    #[cfg(all(target_os = "linux", not(miri)))]
    if size_of_val(memory) >= PAGE {
        use std::ffi::{c_int, c_void};
        unsafe extern "C" {
            fn madvise(address: *mut c_void, length: usize, advice: c_int) -> c_int;
        }
        const MADV_HUGEPAGE: c_int = 14;
        // Whole pages, which are this memory's alone.
        let before = memory.as_ptr().cast::<u8>().align_offset(PAGE);
        let bytes = size_of_val(memory).saturating_sub(before) / PAGE * PAGE;
        if bytes == 0 {
            return;
        }
        // SAFETY: the advice changes how the system maps these bytes, not what they hold. That it may be refused is of no
        // consequence.
        unsafe { madvise(memory.as_mut_ptr().wrapping_byte_add(before).cast(), bytes, MADV_HUGEPAGE) };
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = (memory, PAGE);
}

/// A growable buffer of bytes aligned to cache lines, zeroed when it grows.
#[derive(Default)]
pub struct Arena {
    lines: Vec<Line>,
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

impl Arena {
    /// The first `bytes` bytes, growing the arena if needed. The contents are unspecified
    /// (zeros, or what an earlier run left).
    pub fn bytes(&mut self, bytes: usize) -> &mut [u8] {
        let lines = bytes.div_ceil(64);
        if self.lines.len() < lines {
            self.lines = Vec::with_capacity(lines);
            large_pages(self.lines.spare_capacity_mut());
            self.lines.resize(lines, Line([0; 64]));
        }
        // SAFETY: `Line` is 64 initialised bytes without padding, and the slice stays inside the vector.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), bytes) }
    }

    /// As [`bytes`](Arena::bytes), as elements of one type.
    pub fn lanes<T: Pod>(&mut self, len: usize) -> &mut [T] {
        let bytes = self.bytes(len * size_of::<T>());
        // SAFETY: a line's alignment is a multiple of any element's, and every bit pattern is a value of `T`.
        unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), len) }
    }

    /// Bytes held.
    pub fn capacity(&self) -> usize {
        self.lines.len() * 64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: usize, bytes: usize) -> Span {
        Span { region: 0, start, bytes }
    }

    #[test]
    fn disjoint_parts_of_one_region_are_readable_and_writable_together() {
        let mut data = vec![1.0f32, 2.0, 3.0, 4.0];
        let mut memory = Memory::new();
        memory.lend(&mut data);
        let writes = [span(0, 8)];
        let mut access = memory.open(&writes);
        let out = access.take::<f32>(0);
        out.copy_from_slice(access.read::<f32>(span(8, 8)));
        assert_eq!(memory.read::<f32>(span(0, 16)), [3.0, 4.0, 3.0, 4.0]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "megabytes, byte by byte; no advice is given there")]
    fn advice_on_pages_changes_nothing() {
        for len in [0, 100, (4 << 20) + 1, 9 << 20] {
            let mut bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            large_pages(&mut bytes);
            assert!(bytes.iter().enumerate().all(|(i, byte)| *byte == (i % 251) as u8));
        }
    }

    #[test]
    #[should_panic(expected = "read overlaps a write")]
    fn a_read_that_overlaps_a_write_is_refused() {
        let mut data = vec![0.0f32; 4];
        let mut memory = Memory::new();
        memory.lend(&mut data);
        memory.open(&[span(0, 8)]).read::<f32>(span(4, 8));
    }

    #[test]
    #[should_panic(expected = "taken once")]
    fn a_write_is_taken_once() {
        let mut data = vec![0.0f32; 4];
        let mut memory = Memory::new();
        memory.lend(&mut data);
        let writes = [span(0, 8)];
        let mut access = memory.open(&writes);
        access.take::<f32>(0);
        access.take::<f32>(0);
    }

    #[test]
    #[should_panic(expected = "read-only")]
    fn a_shared_region_is_not_written() {
        let data = [0.0f32; 4];
        let mut memory = Memory::new();
        memory.share(&data);
        memory.open(&[span(0, 8)]);
    }

    #[test]
    #[should_panic(expected = "outside")]
    fn spans_stay_inside() {
        let data = [0.0f32; 4];
        let mut memory = Memory::new();
        memory.share(&data);
        memory.read::<f32>(span(8, 12));
    }

    #[test]
    #[should_panic(expected = "misaligned")]
    fn spans_are_aligned() {
        let data = [0.0f32; 4];
        let mut memory = Memory::new();
        memory.share(&data);
        memory.read::<f32>(span(2, 4));
    }
}
