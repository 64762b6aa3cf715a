//! Reproducible random numbers for directions and cotangents.

use crate::shape::Shape;
use crate::tensor::Tensor;

/// The generator SplitMix64 (Steele, Lea, Flood 2014).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    #[cfg(feature = "proptest")]
    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in [-1, 1), but never near zero, so that nothing is hidden by a small factor.
    pub(super) fn sign_and_size(&mut self) -> f64 {
        let z = self.bits();
        let size = 0.25 + 0.75 * (z >> 11) as f64 / (1u64 << 53) as f64;
        if z & 1 == 0 { size } else { -size }
    }

    pub(super) fn tensor(&mut self, shape: &Shape) -> Tensor {
        let values: Vec<f64> = (0..shape.numel()).map(|_| self.sign_and_size()).collect();
        Tensor::from_vec(values, shape).expect("as many values as the shape holds")
    }
}
