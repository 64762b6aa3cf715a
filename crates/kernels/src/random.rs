//! Counter-based random numbers: element `i` of a draw is a pure function of the key and `i`.
//!
//! The generator is Philox4x32-10 (Salmon, Moraes, Dror & Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011),
//! with the element's index as counter. No state, no order: any element can be drawn again, anywhere.

const ROUNDS: usize = 10;
const MULTIPLIERS: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// The four words of Philox4x32-10 for a 128-bit counter and a 64-bit key.
#[inline(always)]
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..ROUNDS {
        let a = MULTIPLIERS[0] * counter[0] as u64;
        let b = MULTIPLIERS[1] * counter[2] as u64;
        counter = [(b >> 32) as u32 ^ counter[1] ^ key[0], b as u32, (a >> 32) as u32 ^ counter[3] ^ key[1], a as u32];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

#[inline(always)]
fn words(key: i64, index: u64, stream: u32) -> u64 {
    let key = key as u64;
    let [a, b, ..] = philox([index as u32, (index >> 32) as u32, stream, 0], [key as u32, (key >> 32) as u32]);
    (a as u64) << 32 | b as u64
}

/// Uniform in `[0, 1)`, multiples of 2⁻²⁴.
pub fn uniform_f32(key: i64, out: &mut [f32]) {
    for (i, slot) in out.iter_mut().enumerate() {
        *slot = (words(key, i as u64, 0) >> 40) as f32 * (1.0 / (1u32 << 24) as f32);
    }
}

/// Uniform in `[0, 1)`, multiples of 2⁻⁵³.
pub fn uniform_f64(key: i64, out: &mut [f64]) {
    for (i, slot) in out.iter_mut().enumerate() {
        *slot = (words(key, i as u64, 0) >> 11) as f64 * (1.0 / (1u64 << 53) as f64);
    }
}

/// A new key from a key and a number: different numbers give unrelated keys.
pub fn fold_in(key: i64, data: i64) -> i64 {
    words(key, data as u64, 1) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers published with the Random123 library.
    #[test]
    fn philox_known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
    }

    #[test]
    fn draws_are_uniform_and_independent_of_length() {
        let mut long = vec![0.0f64; 100_000];
        uniform_f64(7, &mut long);
        let mut short = [0.0f64; 10];
        uniform_f64(7, &mut short);
        assert_eq!(short, long[..10]);
        let mean = long.iter().sum::<f64>() / 1e5;
        let variance = long.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 1e5;
        assert!((mean - 0.5).abs() < 0.005 && (variance - 1.0 / 12.0).abs() < 0.002, "{mean} {variance}");
        let mut other = vec![0.0f64; 100_000];
        uniform_f64(fold_in(7, 1), &mut other);
        let covariance = long.iter().zip(&other).map(|(a, b)| (a - 0.5) * (b - 0.5)).sum::<f64>() / 1e5;
        assert!(covariance.abs() < 0.002, "{covariance}");
        assert!(long.iter().all(|v| (0.0..1.0).contains(v)));
    }
}
