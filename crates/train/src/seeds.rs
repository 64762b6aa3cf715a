//! Random numbers of a run, all from one seed.

use crate::checkpoint::{Checkpointed, Parts};
use crate::error::Result;
use rand::RngCore;
use wengert_kernels::fold_in;

/// The seed of a run, from which every random number of it follows: by the name of its use, and the step.
///
/// ```
/// use wengert_train::Seeds;
/// let seeds = Seeds::new(42);
/// let mut rng = seeds.rng("weights");                 // for initial values
/// let key = seeds.key_at("dropout", 17);              // for step 17: Cx::train(&tape).with_seed(key)
/// assert_ne!(key, seeds.key_at("dropout", 18));
/// # let _ = wengert_nn::init::uniform(&[2], 1.0, &mut rng);
/// ```
///
/// A key is a pure function of seed, name and step, so nothing of it needs to be saved, and a new use of random numbers changes no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeds(u64);

impl Seeds {
    /// The seeds of a run.
    pub fn new(seed: u64) -> Seeds {
        Seeds(seed)
    }

    /// The key of a use.
    pub fn key(&self, name: &str) -> i64 {
        // FNV-1a, 64 bits.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ b as u64).wrapping_mul(0x0100_0000_01b3));
        fold_in(self.0 as i64, hash as i64)
    }

    /// The key of a use at a step: what [`Var::fold_in`](wengert_autograd::Var::fold_in) makes of [`key`](Seeds::key) and the step.
    pub fn key_at(&self, name: &str, step: u64) -> i64 {
        fold_in(self.key(name), step as i64)
    }

    /// A generator for a use.
    pub fn rng(&self, name: &str) -> Random {
        Random::new(self.key(name))
    }
}

impl Checkpointed for Seeds {
    fn parts(&mut self, parts: &mut Parts) -> Result<()> {
        parts.same("seed", &self.0)
    }
}

/// A generator whose state is a key and a count, so that it can be part of a checkpoint: number `i` is `fold_in(key, i)`,
/// Philox4x32-10 on every machine and in every version.
///
/// ```
/// use rand::Rng;
/// use wengert_train::Random;
/// let mut rng = Random::new(7);
/// let first: f64 = rng.random();
/// assert_eq!(Random::new(7).random::<f64>(), first);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Random {
    key: i64,
    drawn: u64,
}

impl Random {
    /// A generator of a key.
    pub fn new(key: i64) -> Random {
        Random { key, drawn: 0 }
    }

    /// A whole number below `n`, each as likely as any other; 0 if `n` is 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        let n = n as u64;
        loop {
            let product = self.next_u64() as u128 * n as u128;
            // Lemire 2019: of the products with one high word, those in excess are drawn again.
            if product as u64 >= n.wrapping_neg().checked_rem(n).unwrap_or(0) {
                return (product >> 64) as usize;
            }
        }
    }
}

impl RngCore for Random {
    fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    fn next_u64(&mut self) -> u64 {
        self.drawn += 1;
        fold_in(self.key, self.drawn as i64 - 1) as u64
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
    }
}

impl Checkpointed for Random {
    fn parts(&mut self, parts: &mut Parts) -> Result<()> {
        parts.value("key", &mut self.key)?;
        parts.value("drawn", &mut self.drawn)
    }
}

/// The numbers from 0 to `n - 1` in random order, a pure function of the key.
///
/// ```
/// let order = wengert_train::permutation(1, 5);
/// assert_eq!(order, wengert_train::permutation(1, 5));
/// # let mut order = order;
/// # order.sort();
/// # assert_eq!(order, [0, 1, 2, 3, 4]);
/// ```
pub fn permutation(key: i64, n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    let mut random = Random::new(key);
    // Fisher and Yates, as Durstenfeld 1964 wrote it.
    for i in (1..n).rev() {
        order.swap(i, random.below(i + 1));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use wengert_autograd::Tape;

    #[test]
    fn keys_are_those_of_the_tape() {
        let seeds = Seeds::new(3);
        let tape = Tape::inference();
        let key = tape.constant(seeds.key("dropout")).fold_in(9);
        assert_eq!(key.value().unwrap().to_vec::<i64>().unwrap(), [seeds.key_at("dropout", 9)]);
        assert_ne!(seeds.key("a"), seeds.key("b"));
        assert_ne!(seeds.key("a"), Seeds::new(4).key("a"));
    }

    #[test]
    fn permutations_are_equally_likely() {
        let mut counts = std::collections::BTreeMap::new();
        for key in 0..24_000 {
            *counts.entry(permutation(key, 4)).or_insert(0usize) += 1;
        }
        assert_eq!(counts.len(), 24);
        // 1000 expected, deviation 31: six of them.
        assert!(counts.values().all(|count| count.abs_diff(1000) < 186), "{counts:?}");
        assert_eq!([permutation(0, 0).len(), permutation(0, 1).len()], [0, 1]);
    }

    #[test]
    fn bytes_are_those_of_the_words() {
        let (mut a, mut b) = (Random::new(1), Random::new(1));
        let mut bytes = [0; 12];
        a.fill_bytes(&mut bytes);
        let words = [b.next_u64().to_le_bytes(), b.next_u64().to_le_bytes()].concat();
        assert_eq!(bytes, words[..12]);
    }
}
