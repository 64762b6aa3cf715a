//! The ops under test, as maps.

use wengert_kernels::{Isa, Kernel, Lane, LaneMap, Num, NumMap, lane_kernel_for, num_kernel_for};

/// Declares maps, one per op, and a module with tables of them by name: their kernels for an
/// instruction set, and the code itself as a function of one element, the scalar reference.
macro_rules! maps {
    ($kind:ident, $bound:ident, $n:literal, $table:ident, $kernel:ident: $($name:ident $x:pat => $e:expr;)*) => {
        #[allow(non_camel_case_types)]
        pub(crate) mod $table {
            use super::*;
            $(struct $name;
            impl $kind<$n> for $name {
                #[inline(always)]
                fn eval<L: $bound>($x: [L; $n]) -> L {
                    $e
                }
            })*
            pub(crate) fn kernels<E: $bound>(isa: Isa) -> Vec<(&'static str, Kernel<E>)> {
                vec![$((stringify!($name), $kernel::<$name, E, $n>(isa))),*]
            }
            pub(crate) fn scalars<E: $bound>() -> Vec<fn([E; $n]) -> E> {
                vec![$(<$name as $kind<$n>>::eval::<E>),*]
            }
        }
    };
}

maps! { LaneMap, Lane, 1, functions, lane_kernel_for:
    exp [x] => x.exp();
    expm1 [x] => x.expm1();
    tanh [x] => x.tanh();
    sigmoid [x] => x.sigmoid();
    ln [x] => x.ln();
    ln_1p [x] => x.ln_1p();
    log2 [x] => x.log2();
    sin [x] => x.sin();
    cos [x] => x.cos();
    atan [x] => x.atan();
    erf [x] => x.erf();
}
maps! { LaneMap, Lane, 1, exact, lane_kernel_for:
    sqrt [x] => x.sqrt();
    floor [x] => x.floor();
    ceil [x] => x.ceil();
    trunc [x] => x.trunc();
    round [x] => x.round();
}
maps! { LaneMap, Lane, 2, binary, lane_kernel_for:
    pow [x, e] => x.pow(e);
    div [x, o] => x.div(o);
}
maps! { LaneMap, Lane, 3, ternary, lane_kernel_for:
    fma [x, b, c] => x.fma(b, c);
}
maps! { NumMap, Num, 2, numeric, num_kernel_for:
    add [x, o] => x.add(o);
    sub [x, o] => x.sub(o);
    mul [x, o] => x.mul(o);
    min [x, o] => x.min(o);
    max [x, o] => x.max(o);
    lt [x, o] => x.lt(o);
    le [x, o] => x.le(o);
    eq [x, o] => x.eq(o);
}
maps! { NumMap, Num, 1, signs, num_kernel_for:
    neg [x] => x.neg();
    abs [x] => x.abs();
    sign [x] => x.sign();
}
maps! { NumMap, Num, 3, choice, num_kernel_for:
    select [x, a, b] => L::select(x, a, b);
}

pub(crate) fn call<E: Num>(k: Kernel<E>, x: E) -> E {
    let mut y = [E::ZERO];
    k.run(&mut y, &[&[x]]);
    y[0]
}

pub(crate) fn named<E: Copy>(table: &[(&'static str, Kernel<E>)], name: &str) -> Kernel<E> {
    table.iter().find(|f| f.0 == name).unwrap().1
}
