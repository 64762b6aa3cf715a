//! Checkpointed scans: the memory of segments, and what a budget is spent on.

use crate::program::{Taken, arena_bytes, spare_bytes, taken};
use crate::{Checkpoint, DType, ScanOptions, Tape, Tensor, Var};

/// What the gradients of a recurrent layer take: `[steps, rows, inputs, width]`.
fn layer([steps, rows, inputs, width]: [usize; 4], options: ScanOptions) -> Taken {
    let tape = Tape::new();
    let shapes = [vec![rows, width], vec![steps, rows, inputs], vec![inputs, width], vec![width, width], vec![width]];
    let [h, xs, w, u, b] = shapes.map(|shape| tape.var(Tensor::full(shape, 0.1, DType::F32)));
    let start = (h, tape.zeros([rows], DType::F32));
    let ((h, sum), ()) = tape.scan_with(options, start, xs, |(h, sum), x| {
        let z = x.matmul(w) + h.matmul(u) + b;
        let h = z.tanh() * 0.9 + h * 0.1;
        ((h, sum + (h.square() * x.sum_keep(-1)).sum_axes(-1)), ())
    });
    let loss = sum.sum() + h.sin().sum();
    let gradients = loss.grad([w, u, b]);
    let all: Vec<_> = std::iter::once(loss).chain(gradients).map(|v| v.id).collect();
    taken(&tape, &all)
}

fn checkpointed(shape: [usize; 4], checkpoint: Checkpoint) -> Taken {
    layer(shape, ScanOptions::default().checkpoint(checkpoint))
}

#[test]
fn a_budget_bounds_the_memory_of_a_program() {
    for (shape, kib) in [
        // One sequence, long: without checkpoints some 100 MB.
        ([50_000, 1, 2, 32], &[4096, 2048, 1024, 512][..]),
        // Levels: the carries of one level of segments would not fit.
        ([20_000, 64, 2, 32], &[24_000, 8000, 4000, 2000, 1000]),
        // Few rows, whose products with the input are computed ahead of a loop, in the forward pass as well.
        ([40_000, 8, 2, 64], &[16_000, 5000, 3000, 2000, 1000]),
        // A matrix that does not stay in the cache, with which they are as well.
        ([8192, 1, 512, 512], &[16_000, 12_000]),
    ] {
        let plain = checkpointed(shape, Checkpoint::None).beside_outputs;
        assert!(plain > 2048 * kib[0], "{plain}");
        for kib in kib {
            let found = checkpointed(shape, Checkpoint::Budget(kib << 10)).beside_outputs;
            assert!(found <= kib << 10, "{shape:?}: {found} bytes of {kib} KiB");
        }
    }
    let [short, long] = [14, 15].map(|log| checkpointed([1 << log, 1, 2, 32], Checkpoint::Every(512)).arena);
    // Twice the states, the same segment.
    assert!(long < short + (1 << 14) / 512 * 33 * 4 + 4096, "{short} {long}");
}

#[test]
fn every_budget_that_can_be_held_is_held() {
    for shape in [
        [50_000, 1, 2, 32],
        [20_000, 64, 2, 32],
        [5000, 64, 8, 128],
        // What does not depend on the length is most: packed matrices and gradients of weights.
        [4096, 8, 256, 256],
        [8192, 1, 512, 512],
        [30_000, 1, 2, 384],
    ] {
        for reverse in [false, true] {
            let taken = |checkpoint| layer(shape, ScanOptions { reverse, checkpoint, ..Default::default() });
            let least = taken(Checkpoint::Budget(0)).beside_outputs;
            let plain = taken(Checkpoint::None).beside_outputs;
            let mut budget = least;
            while budget < plain {
                let found = taken(Checkpoint::Budget(budget));
                assert!(found.beside_outputs <= budget, "{shape:?}: {} of {budget}", found.beside_outputs);
                budget += budget / 4;
            }
        }
    }
}

#[test]
fn a_budget_is_spent_on_less_work() {
    for (shape, length) in [
        ([50_000, 1, 2, 32], 512),
        ([20_000, 64, 2, 32], 160),
        ([5000, 64, 8, 128], 64),
        ([4096, 8, 256, 256], 128),
        ([8192, 1, 512, 512], 512),
        ([30_000, 1, 2, 384], 1024),
    ] {
        let every = checkpointed(shape, Checkpoint::Every(length));
        let budget = every.beside_outputs + every.beside_outputs / 8;
        let found = checkpointed(shape, Checkpoint::Budget(budget));
        assert!(found.work <= every.work + every.work / 50, "{shape:?}: {} for {}", found.work, every.work);
    }
}

#[test]
fn sums_are_in_one_place_at_all_levels() {
    // Segments of 512 steps, and of 2, 4, 8 and 16 times as many: the gradient of `u`, 1 MiB, is not there once more for each.
    let shape = [1 << 14, 1, 2, 512];
    let [one, more] = [40 << 20, 0].map(|budget| checkpointed(shape, Checkpoint::Budget(budget)));
    assert!(more.beside_outputs <= one.beside_outputs, "{} {}", more.beside_outputs, one.beside_outputs);
}

#[test]
fn what_is_computed_late_for_a_sum_leaves_the_rest_in_segments() {
    let taken_with = |steps: usize, checkpoint: Checkpoint, late: bool| {
        let tape = Tape::new();
        let shapes = [vec![8, 32], vec![steps, 8, 32], vec![steps * 8, 2], vec![32, 32]];
        let [h, xs, zs, w] = shapes.map(|shape| tape.var(Tensor::full(shape, 0.1, DType::F32)));
        // The derivative runs forwards, as a product that is recorded here adds.
        let options = ScanOptions::default().checkpoint(checkpoint).reversed();
        let (last, ys) = tape.scan_with(options, h, xs, |h, x| {
            let h = (x + h.matmul(w)).tanh();
            (h, h)
        });
        let [dw] = last.sum().grad([w]);
        let mut all = vec![dw.id];
        // A sum of the loop's values with others, which nothing asks for before the derivative is recorded.
        if late {
            all.push(ys.reshape([steps * 8, 32]).transpose(0, 1).matmul(zs.sin()).id);
        }
        taken(&tape, &all).beside_outputs
    };
    let steps = 8192;
    let [without, with] = [false, true].map(|late| taken_with(steps, Checkpoint::Every(64), late));
    // The values themselves, of 2 columns, and not those of 32.
    assert!(with < without + 2 * steps * 8 * 2 * 4, "{without} {with}");
    assert!(with < taken_with(steps, Checkpoint::None, true) / 4);
}

#[test]
fn products_that_leave_a_loop_are_computed_by_segment() {
    let taken_with = |steps: usize, checkpoint: Checkpoint| {
        let tape = Tape::new();
        let shapes = [vec![8, 16], vec![steps, 8, 4], vec![4, 64], vec![64, 16], vec![16, 16]];
        let [h, xs, w, v, u] = shapes.map(|shape| tape.var(Tensor::full(shape, 0.1, DType::F32)));
        let options = ScanOptions::default().checkpoint(checkpoint);
        // Ahead of the loop `x·w`, which the gradient of `v` reads; after it the cotangents of `x·w`, which that of `w` reads.
        let (last, ()) = tape.scan_with(options, h, xs, |h, x| ((x.matmul(w).matmul(v) + h.matmul(u)).tanh(), ()));
        let all: Vec<_> = last.sum().grad([w, v, u]).iter().map(|v| v.id).collect();
        taken(&tape, &all).beside_outputs
    };
    let [short, long] = [1 << 13, 1 << 15].map(|steps| taken_with(steps, Checkpoint::Every(64)));
    // States at the starts of segments are all that grows.
    assert!(long < short + (3 << 13) / 64 * 8 * 16 * 4 + 4096, "{short} {long}");
    assert!(long < taken_with(1 << 15, Checkpoint::None) / 50, "{long}");
    let found = taken_with(1 << 15, Checkpoint::Budget(600 << 10));
    assert!(found <= 600 << 10, "{found}");
}

#[test]
fn packed_matrices_take_what_was_counted() {
    let run = || {
        let tape = Tape::new();
        let shapes = [vec![1, 96], vec![2048, 1, 40], vec![40, 96], vec![96, 96]];
        let [h, xs, w, u] = shapes.map(|shape| tape.var(Tensor::full(shape, 0.01, DType::F32)));
        let options = ScanOptions::default().checkpoint(Checkpoint::Every(512));
        let (last, ()) = tape.scan_with(options, h, xs, |h, x| ((x.matmul(w) + h.matmul(u)).tanh(), ()));
        let all: Vec<Var<'_>> = last.sum().grad([w, u]).into();
        tape.eval_all(&all).unwrap();
        let counted = taken(&tape, &all.iter().map(|v| v.id).collect::<Vec<_>>()).packed;
        (counted, spare_bytes())
    };
    // On a thread that has run nothing before, and again.
    std::thread::spawn(move || {
        for _ in 0..2 {
            let (counted, kept) = run();
            assert!(counted > 96 * 96 * 4, "{counted}");
            assert_eq!(counted, kept);
        }
    })
    .join()
    .unwrap();
}

#[test]
fn only_loops_in_opposite_directions_are_a_pair() {
    let bytes = |checkpoint: Checkpoint| {
        let tape = Tape::new();
        let [w, xs] = [vec![8, 8], vec![600, 1, 8]].map(|shape| tape.var(Tensor::full(shape, 0.1, DType::F32)));
        let options = ScanOptions::default().checkpoint(checkpoint);
        let start = tape.zeros([1, 8], DType::F32);
        let (_, ys) = tape.scan_with(options, start, xs, |h, x| {
            let h = (x + h.matmul(w)).tanh();
            (h, h)
        });
        let (last, ()) = tape.scan_with(options, start, ys, |h, y| ((y + h.matmul(w)).sin(), ()));
        arena_bytes(&tape, &[last.id])
    };
    assert_eq!(bytes(Checkpoint::Every(1)), bytes(Checkpoint::None));
}
