//! Every element has the bits of the scalar reference, at any position and length.

use crate::ops::{binary, choice, exact, functions, numeric, signs, ternary};
use wengert_kernels::{Isa, Kernel, Num, Unfused, available};

/// Runs `kernel` on every length and some offsets; each element must have the bits of `scalar`.
fn check_positions<E: Num, const N: usize>(kernel: Kernel<E>, scalar: impl Fn([E; N]) -> E, what: &str) {
    // Values of every kind: the source walks over bit patterns, ordinary numbers and special ones.
    let source = |salt: u64| -> Vec<E> {
        (0..80u64)
            .map(|i| {
                let r = (i + 97 * salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                E::from_f64(match i % 7 {
                    0 => f64::from_bits(r),
                    1 => [0.0, -0.0, f64::INFINITY, f64::NAN, -1.0][(r % 5) as usize],
                    _ => (r >> 40) as f64 / 1e6 - 8.0,
                })
            })
            .collect()
    };
    let src = [source(1), source(2), source(3)];
    let bits = |v: E| {
        if v.partial_cmp(&v).is_some() { v.to_f64().to_bits() } else { u64::MAX }
    };
    for n in 0..=70 {
        for offset in [0, 1, 3, 10] {
            let at = |k: usize| {
                if k < N { &src[k][offset..offset + n] } else { &[] }
            };
            let mut y = vec![E::ONE; n + 2];
            kernel.run(&mut y[1..=n], &[at(0), at(1), at(2)]);
            assert!(y[0] == E::ONE && y[n + 1] == E::ONE, "{what} writes outside");
            for i in 0..n {
                let x = std::array::from_fn(|k| src[k][offset + i]);
                assert_eq!(bits(y[i + 1]), bits(scalar(x)), "{what} of {x:?} at {i} of {n}");
            }
        }
    }
}

macro_rules! positions {
    ($isa:ident, $t:ty: $($table:ident)*) => {$(
        for (i, (name, kernel)) in $table::kernels::<$t>($isa).into_iter().enumerate() {
            let what = format!("{name} on {:?}", $isa);
            if $isa == Isa::Portable {
                let scalar = $table::scalars::<Unfused<$t>>()[i];
                check_positions(kernel, |x| scalar(x.map(Unfused)).0, &what);
            } else {
                check_positions(kernel, $table::scalars::<$t>()[i], &what);
            }
        }
    )*};
}

#[test]
fn bits_do_not_depend_on_position_or_length() {
    for isa in available() {
        positions!(isa, f32: functions exact binary ternary numeric signs choice);
        positions!(isa, f64: functions exact binary ternary numeric signs choice);
        for (i, (name, kernel)) in numeric::kernels::<i64>(isa).into_iter().enumerate() {
            check_positions(kernel, numeric::scalars::<i64>()[i], name);
        }
    }
}

#[test]
#[should_panic]
fn a_short_source_is_refused() {
    numeric::kernels::<f32>(available()[0])[0].1.run(&mut [0.0; 3], &[&[1.0; 3], &[1.0; 2]]);
}
