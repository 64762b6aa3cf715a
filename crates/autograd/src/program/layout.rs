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
    let lives = Lives { first: &first, last: &last, bytes };
    let in_time = lives.in_order_of_time(&starting);
    if in_time.1 >= LARGE && starting.len() <= FEW {
        let by_size = lives.in_order_of_size(starting);
        if by_size.1 < in_time.1 {
            return by_size;
        }
    }
    in_time
}

/// Bytes of an arena from which it is worth looking for a smaller one.
const LARGE: usize = 64 << 10;
/// Buffers of which each can be compared with each.
const FEW: usize = 256;

/// When buffers are live: from an instruction to another, both included.
struct Lives<'a> {
    first: &'a [usize],
    last: &'a [usize],
    bytes: &'a [Option<usize>],
}

impl Lives<'_> {
    /// Each buffer in the smallest range that is free when it begins to live.
    fn in_order_of_time(&self, starting: &[Buf]) -> (Vec<usize>, usize) {
        let Lives { first, last, bytes } = *self;
        let mut ending: Vec<Buf> = starting.to_vec();
        ending.sort_by_key(|b| last[*b]);
        let mut offsets = vec![0; bytes.len()];
        let mut arena = Free::default();
        let mut ended = 0;
        for buf in starting.iter().copied() {
            while ended < ending.len() && last[ending[ended]] < first[buf] {
                let gone = ending[ended];
                arena.give_back(offsets[gone], size(bytes, gone));
                ended += 1;
            }
            offsets[buf] = arena.take(size(bytes, buf));
        }
        (offsets, arena.top)
    }

    /// The largest buffers first, each as low as those allow that are live together with it: no small buffer that lives on
    /// can stand where a large one, which begins later, would have to make a detour.
    fn in_order_of_size(&self, mut buffers: Vec<Buf>) -> (Vec<usize>, usize) {
        let Lives { first, last, bytes } = *self;
        buffers.sort_by_key(|buf| std::cmp::Reverse(size(bytes, *buf)));
        let mut offsets = vec![0; bytes.len()];
        // Buffers that have a place, by offset.
        let mut placed: Vec<Buf> = Vec::new();
        let mut top = 0;
        for buf in buffers {
            let together = |other: &&Buf| first[**other] <= last[buf] && first[buf] <= last[**other];
            let mut offset = 0;
            for other in placed.iter().filter(together) {
                if offset + size(bytes, buf) <= offsets[*other] {
                    break;
                }
                offset = offset.max(offsets[*other] + size(bytes, *other));
            }
            offsets[buf] = offset;
            top = top.max(offset + size(bytes, buf));
            placed.insert(placed.partition_point(|other| offsets[*other] <= offset), buf);
        }
        (offsets, top)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_that_live_together_lie_apart() {
        let mut state = 7u64;
        let mut draw = |below: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % below
        };
        for count in [1, 2, 5, 40, 100] {
            let first: Vec<usize> = (0..count).map(|_| draw(50)).collect();
            let last: Vec<usize> = first.iter().map(|first| first + draw(20)).collect();
            let bytes: Vec<Option<usize>> = (0..count).map(|_| Some(draw(3) * draw(1000))).collect();
            let lives = Lives { first: &first, last: &last, bytes: &bytes };
            let mut starting: Vec<Buf> = (0..count).collect();
            starting.sort_by_key(|buf| first[*buf]);
            let most = (0..70).map(|at| {
                let live = (0..count).filter(|buf| first[*buf] <= at && at <= last[*buf]);
                live.map(|buf| size(&bytes, buf)).sum::<usize>()
            });
            let most = most.max().unwrap_or(0);
            for (offsets, top) in [lives.in_order_of_time(&starting), lives.in_order_of_size(starting.clone())] {
                assert!(top >= most && top < 2 * most, "{top} bytes for {most}");
                for (a, b) in (0..count).flat_map(|a| (0..a).map(move |b| (a, b))) {
                    let together = first[a] <= last[b] && first[b] <= last[a];
                    let apart =
                        offsets[a] + size(&bytes, a) <= offsets[b] || offsets[b] + size(&bytes, b) <= offsets[a];
                    assert!(!together || apart, "buffers {a} and {b} of {count}");
                    assert!(offsets[a] + size(&bytes, a) <= top);
                }
            }
        }
    }

    #[test]
    fn a_small_buffer_that_lives_on_does_not_stand_in_the_way() {
        // Two segments one after the other, the second larger; a sum goes from the first to its end.
        let (first, last, bytes) = ([0, 1, 2], [1, 2, 3], [Some(64 << 10), Some(64), Some(128 << 10)]);
        let lives = Lives { first: &first, last: &last, bytes: &bytes };
        assert_eq!(lives.in_order_of_time(&[0, 1, 2]).1, (64 << 10) + 64 + (128 << 10));
        assert_eq!(lives.in_order_of_size(vec![0, 1, 2]).1, (128 << 10) + 64);
    }
}
