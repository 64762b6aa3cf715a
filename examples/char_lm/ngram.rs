//! The baseline: how often which character followed the last few.

use crate::corpus::Corpus;
use std::collections::HashMap;

/// The longest n-grams.
const LONGEST: usize = 8;
/// What is taken from every count, to be spread over what was not seen.
const DISCOUNT: f64 = 0.8;

/// A table of n-grams with n up to `order`, by interpolated absolute discounting (Ney, Essen & Kneser 1994). `N` counts what followed
/// a context `s`, `s'` is the context without its first character, and the shortest one is followed by all characters alike:
///
/// ```text
/// p(c | s) = (max(N(s, c) − d, 0) + d · |{c: N(s, c) > 0}| · p(c | s')) / N(s)
/// ```
pub struct NGrams {
    pub order: usize,
    /// Counts that the table holds.
    pub size: usize,
    /// Bits for each character of what is held out.
    pub bits: f64,
}

/// How often a context occurred, and how many characters followed it.
#[derive(Default)]
struct Context {
    total: u32,
    distinct: u32,
}

impl NGrams {
    /// Tables of several orders.
    pub fn all(corpus: &Corpus) -> Vec<NGrams> {
        let mut contexts: HashMap<u64, Context> = HashMap::new();
        let mut counts: HashMap<(u64, i64), u32> = HashMap::new();
        let mut sizes = [0; LONGEST];
        for at in LONGEST..corpus.train.len() {
            let next = corpus.train[at];
            for (shorter, key) in keys(&corpus.train, at).enumerate() {
                let count = counts.entry((key, next)).or_default();
                let context = contexts.entry(key).or_default();
                *count += 1;
                context.total += 1;
                if *count == 1 {
                    context.distinct += 1;
                    sizes[shorter] += 1;
                }
            }
        }
        let mut bits = [0.0; LONGEST];
        for at in LONGEST..corpus.held_out.len() {
            let next = corpus.held_out[at];
            let mut p = 1.0 / corpus.vocabulary.len() as f64;
            for (shorter, key) in keys(&corpus.held_out, at).enumerate() {
                if let Some(Context { total, distinct }) = contexts.get(&key) {
                    let count = counts.get(&(key, next)).copied().unwrap_or(0);
                    let seen = (f64::from(count) - DISCOUNT).max(0.0);
                    p = (seen + DISCOUNT * f64::from(*distinct) * p) / f64::from(*total);
                }
                bits[shorter] -= p.log2();
            }
        }
        let n = (corpus.held_out.len() - LONGEST) as f64;
        let table = |order: usize| NGrams { order, size: sizes[..order].iter().sum(), bits: bits[order - 1] / n };
        [1, 2, 3, 4, 5, 6, 8].map(table).into()
    }
}

/// Numbers for the contexts of 0, 1, .. characters before a place, different ones in all likelihood.
fn keys(text: &[i64], at: usize) -> impl Iterator<Item = u64> {
    let longer = (1..LONGEST).scan(0x9e37_79b9_7f4a_7c15u64, move |key, back| {
        *key = (*key ^ (text[at - back] as u64 + 1)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        *key ^= *key >> 29;
        Some(*key)
    });
    std::iter::once(0).chain(longer)
}
