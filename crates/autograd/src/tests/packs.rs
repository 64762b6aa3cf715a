//! Packed weights between runs: packed once for each value, never used for another.

use crate::program::{PACKED, spare_bytes};
use crate::{Checkpoint, DType, Param, Place, ScanOptions, Tape, Tensor, Var};

/// Sixty steps of `h ← tanh(h·w + x)` on rows of 24, with the gradient of `w`: every value that is computed.
fn run(w: &Param, checkpoint: Checkpoint) -> Vec<f64> {
    let tape = Tape::new();
    let w = tape.param(w);
    let x = tape.constant(Tensor::full([60, 3, 24], 0.01, DType::F64));
    let start = tape.constant(Tensor::full([3, 24], 0.3, DType::F64));
    let options = ScanOptions::default().checkpoint(checkpoint);
    let (last, ()) = tape.scan_with(options, start, x, |h, x| ((h.matmul(w) + x).tanh(), ()));
    let [dw] = last.sum().grad([w]);
    let all = tape.eval([last, dw]).unwrap();
    all.iter().flat_map(|value| value.to_vec::<f64>().unwrap()).collect()
}

fn weights(seed: usize) -> Tensor {
    let values: Vec<f64> = (0..24 * 24).map(|i| ((i * 7 + seed * 13) as f64 * 0.37).sin() * 0.2).collect();
    Tensor::from_vec(values, [24, 24]).unwrap()
}

/// On a thread that has kept nothing.
fn fresh<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(f).join().unwrap())
}

fn packed() -> usize {
    PACKED.with(|packed| packed.get())
}

#[test]
fn weights_are_packed_once_until_they_change() {
    fresh(|| {
        let w = Param::new(weights(0));
        let first = run(&w, Checkpoint::None);
        // As they are for the forward pass, transposed for the backward pass.
        assert_eq!(packed(), 2);
        assert_eq!(run(&w, Checkpoint::None), first);
        assert_eq!(packed(), 2);
        let kept = spare_bytes();
        for seed in 1..5 {
            w.set(weights(seed)).unwrap();
            assert_eq!(run(&w, Checkpoint::None), fresh(|| run(&Param::new(weights(seed)), Checkpoint::None)));
            assert_eq!((packed(), spare_bytes()), (2 + 2 * seed, kept), "old weights leave their memory to new ones");
        }
    });
}

#[test]
fn weights_are_packed_once_for_all_segments() {
    fresh(|| {
        let w = Param::new(weights(0));
        let segments = run(&w, Checkpoint::Every(10));
        assert_eq!(packed(), 2);
        assert_eq!(segments, run(&w, Checkpoint::None));
    });
}

#[test]
fn updates_in_place_are_seen() {
    fresh(|| {
        let w = Param::new(weights(0));
        run(&w, Checkpoint::None);
        for _ in 0..3 {
            let tape = Tape::inference();
            let next = tape.constant(w.value()) * 0.9;
            let last = tape.last(&[next]).unwrap();
            tape.replace(&last, &mut [Place::Param(&w)]).unwrap();
            let copy = w.value().to_vec::<f64>().unwrap();
            let found = run(&w, Checkpoint::None);
            let elsewhere = fresh(|| run(&Param::new(Tensor::from_vec(copy, [24, 24]).unwrap()), Checkpoint::None));
            assert_eq!(found, elsewhere);
        }
    });
}

#[test]
fn parts_of_one_tensor_are_told_apart() {
    fresh(|| {
        let both: Vec<f64> = [weights(1), weights(2)].iter().flat_map(|w| w.to_vec::<f64>().unwrap()).collect();
        let both = Tensor::from_vec(both, [48, 24]).unwrap();
        let tape = Tape::new();
        let leaf = tape.constant(&both);
        let start = tape.constant(Tensor::full([3, 24], 0.3, DType::F64));
        let after = |w: Var<'_>| {
            let none = tape.constant(Tensor::zeros([60, 1], DType::F64));
            let (last, ()) = tape.scan(start, none, |h, x| ((h.matmul(w) + x).tanh(), ()));
            last.value().unwrap().to_vec::<f64>().unwrap()
        };
        for (part, seed) in [(0, 1), (1, 2), (0, 1)] {
            let alone = tape.constant(weights(seed));
            let found = after(leaf.slice(0, part * 24..part * 24 + 24, 1));
            assert_eq!(found, after(alone));
            assert_eq!(found, after(leaf.slice(0, part * 24..part * 24 + 24, 1)));
            // Transposed, the same elements are another matrix.
            assert_eq!(after(leaf.slice(0, part * 24..part * 24 + 24, 1).t()), after(alone.t()));
        }
    });
}
