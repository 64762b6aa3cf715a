//! Where temporary buffers lie in the arena: two buffers share bytes if they are never live together.

use super::code::{Buf, Instr};

/// Bytes between the starts of buffers: a cache line.
const ALIGN: usize = 64;

/// Gives each temporary buffer a byte offset; returns the offsets and the bytes needed.
///
/// `bytes[b]` is the size of buffer `b`, `None` if it is not temporary.
pub(super) fn layout(code: &[Instr], bytes: &[Option<usize>]) -> (Vec<usize>, usize) {
    let mut first = vec![usize::MAX; bytes.len()];
    let mut last = vec![0; bytes.len()];
    for (at, instr) in code.iter().enumerate() {
        instr.visit_buffers(&mut |buf: Buf| {
            first[buf] = first[buf].min(at);
            last[buf] = at;
        });
    }
    let mut starting: Vec<Buf> = (0..bytes.len()).filter(|b| bytes[*b].is_some() && first[*b] != usize::MAX).collect();
    starting.sort_by_key(|b| first[*b]);
    let mut ending: Vec<Buf> = starting.clone();
    ending.sort_by_key(|b| last[*b]);

    let mut offsets = vec![0; bytes.len()];
    let mut arena = Free::default();
    let mut ended = 0;
    for buf in starting {
        while ended < ending.len() && last[ending[ended]] < first[buf] {
            let gone = ending[ended];
            arena.give_back(offsets[gone], size(bytes, gone));
            ended += 1;
        }
        offsets[buf] = arena.take(size(bytes, buf));
    }
    (offsets, arena.top)
}

fn size(bytes: &[Option<usize>], buf: Buf) -> usize {
    bytes[buf].unwrap_or(0).div_ceil(ALIGN).max(1) * ALIGN
}

/// The free ranges below `top`, by start.
#[derive(Default)]
struct Free {
    ranges: std::collections::BTreeMap<usize, usize>,
    by_size: std::collections::BTreeSet<(usize, usize)>,
    top: usize,
}

impl Free {
    /// The smallest range that fits, or fresh bytes at the top.
    fn take(&mut self, bytes: usize) -> usize {
        let best = self.by_size.range((bytes, 0)..).next().copied();
        match best {
            Some((len, start)) => {
                self.remove(start, len);
                if len > bytes {
                    self.insert(start + bytes, len - bytes);
                }
                start
            }
            None => {
                // The last free range may touch the top: extend it.
                let tail = self.ranges.last_key_value().map(|(start, len)| (*start, *len));
                match tail {
                    Some((start, len)) if start + len == self.top => {
                        self.remove(start, len);
                        self.top = start + bytes;
                        start
                    }
                    _ => {
                        let start = self.top;
                        self.top += bytes;
                        start
                    }
                }
            }
        }
    }

    fn give_back(&mut self, start: usize, bytes: usize) {
        let (mut start, mut bytes) = (start, bytes);
        if let Some((before, len)) = self.ranges.range(..start).next_back().map(|(s, l)| (*s, *l))
            && before + len == start
        {
            self.remove(before, len);
            (start, bytes) = (before, bytes + len);
        }
        if let Some(len) = self.ranges.get(&(start + bytes)).copied() {
            self.remove(start + bytes, len);
            bytes += len;
        }
        self.insert(start, bytes);
    }

    fn insert(&mut self, start: usize, bytes: usize) {
        self.ranges.insert(start, bytes);
        self.by_size.insert((bytes, start));
    }

    fn remove(&mut self, start: usize, bytes: usize) {
        self.ranges.remove(&start);
        self.by_size.remove(&(bytes, start));
    }
}
