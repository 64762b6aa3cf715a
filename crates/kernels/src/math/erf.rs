//! The error function.
//!
//! Near 0, erf x = x + x P(x²). Further out erf x = 1 - erfc x, where erfc is below 0.24 and its
//! relative error counts for little; it is an exponential.

use super::poly;

/// For this type.
pub(crate) mod f32 {
    use super::super::exp::f32::exp_normal;
    use super::super::f32::{at_most, fma};
    use super::poly;

    #[inline(always)]
    pub(crate) fn erf<const FMA: bool>(x: f32) -> f32 {
        // erf 4.1 rounds to 1.
        let a = at_most(x.abs(), 4.1);
        // erf(a)/a - 1 on [0, 0.92], error 2^-30.
        let p = poly!(a * a; 0.128_379_17, -0.376_126_3, 0.112_836_26, -0.026_855_73,
            0.005_192_393_4, -0.000_804_954_44, 7.995_277e-5);
        let near = fma::<FMA>(a, p, a);
        // ln erfc a on [0.92, 4.1], error 2^-34 of erf a.
        let l = poly!(a; 0.000_174_686_84, -1.129_515, -0.633_346_4, -0.108_281_06, 0.025_120_37,
            -0.004_171_567, 0.000_434_602_84, -2.111_087_5e-5);
        let far = 1.0 - exp_normal::<FMA>(l);
        (if a > 0.92 { far } else { near }).copysign(x)
    }
}

/// For this type.
pub(crate) mod f64 {
    use super::super::exp::f64::exp_normal;
    use super::super::f64::{at_most, fma};
    use super::poly;

    #[inline(always)]
    pub(crate) fn erf<const FMA: bool>(x: f64) -> f64 {
        // erf 6 rounds to 1.
        let a = at_most(x.abs(), 6.0);
        let z = a * a;
        // erf(a)/a - 1 on [0, 0.85], error 2^-56.
        let p = poly!(z; 0.128_379_167_095_512_56, -0.376_126_389_031_832_9,
            0.112_837_916_709_314_4, -0.026_866_170_640_257_6, 0.005_223_977_572_439_624,
            -0.000_854_832_360_310_694_6, 0.000_120_551_940_597_760_6, -1.492_200_238_896_549_4e-5,
            1.640_013_306_669_610_8e-6, -1.570_393_146_295_256_1e-7, 1.069_495_256_700_153e-8);
        let near = fma::<FMA>(a, p, a);
        // e^(a²) erfc a in u = (a - 2)/(a + 2), for a in [0.84, 6], error 2^-59 of erf a.
        let u = (a - 2.0) / (a + 2.0);
        let q = poly!(u; 0.255_395_676_310_505_75, -0.427_185_847_413_958_9,
            0.241_658_194_242_460_07, -0.078_978_581_015_449_84, 0.003_732_892_408_666_260_4,
            0.006_997_461_732_552_056, -0.000_847_143_644_166_373_9, -0.000_981_978_685_702_629_5,
            4.356_225_322_509_814e-5, 0.000_174_430_404_040_801_76, 2.767_551_167_825_695_7e-5,
            -2.786_401_592_265_657_8e-5, -1.598_688_747_010_419_6e-5, -2.704_448_751_587_538e-6);
        let far = fma::<FMA>(-q, exp_normal::<FMA>(-z), 1.0);
        (if a > 0.85 { far } else { near }).copysign(x)
    }
}
