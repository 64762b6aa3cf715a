//! The options of the driver: directions, lengths, resets, states, dropout, truncated backpropagation.
// A loop over units reads like the formula.
#![allow(clippy::needless_range_loop)]

#[path = "../support/mod.rs"]
mod support;

mod dropout;
mod errors;
mod sequences;
mod truncated;

use support::data;
use wengert::prelude::*;

const I: usize = 2;
const H: usize = 3;

/// Gives all parameters F64 values of order one.
fn randomise(module: &impl ParamTree, seed: u64) {
    module.set_dtype(DType::F64).expect("a float type");
    for (i, (_, param)) in module.params().into_iter().enumerate() {
        param.set(data(param.value().shape(), 100 * seed + i as u64)).expect("the parameter's shape");
    }
}

/// A leaky unit whose rate decays with the number of steps, which it counts in integers.
#[derive(Clone, Debug, Module)]
struct Counting {
    w: Param,
}

impl Counting {
    fn new(input: usize) -> Counting {
        Counting { w: Param::new(Tensor::zeros([input, H], DType::F64)) }
    }
}

impl Cell for Counting {
    type State<'t> = (Var<'t>, Var<'t>);

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        (cx.tape().zeros([batch, 1], DType::I64), cx.zeros([batch, H]))
    }

    fn step<'t>(&self, x: Var<'t>, (count, h): Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        let count = count + 1;
        let h = h + (x.matmul(&self.w).tanh() - h) / count.cast(DType::F64);
        (h, (count, h))
    }
}

/// Gives what it gets, and remembers nothing.
#[derive(Clone, Debug, Module)]
struct Through;

impl Cell for Through {
    type State<'t> = ();
    fn init<'t>(&self, _: &Cx<'t>, _: usize) {}
    fn step<'t>(&self, x: Var<'t>, (): ()) -> (Var<'t>, ()) {
        (x, ())
    }
}
