//! What a strategy may give as the inputs of a function.

use crate::tensor::Tensor;
use proptest::strategy::{Just, NewTree, Strategy};
use proptest::test_runner::TestRunner;

/// A list of tensors: one, or arrays, vectors and tuples of such lists.
pub trait Inputs: std::fmt::Debug {
    /// The tensors, in order.
    fn tensors(&self) -> Vec<Tensor>;
}

impl Inputs for Tensor {
    fn tensors(&self) -> Vec<Tensor> {
        vec![self.clone()]
    }
}

impl<I: Inputs> Inputs for Vec<I> {
    fn tensors(&self) -> Vec<Tensor> {
        self.iter().flat_map(I::tensors).collect()
    }
}

impl<I: Inputs, const N: usize> Inputs for [I; N] {
    fn tensors(&self) -> Vec<Tensor> {
        self.iter().flat_map(I::tensors).collect()
    }
}

macro_rules! tuple {
    ($($name:ident $index:tt),*) => {
        impl<$($name: Inputs),*> Inputs for ($($name,)*) {
            fn tensors(&self) -> Vec<Tensor> {
                let mut all = Vec::new();
                $(all.extend(self.$index.tensors());)*
                all
            }
        }
    };
}
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);

/// A tensor is a strategy that gives that tensor: a given case, or a fixed input beside random ones.
impl Strategy for Tensor {
    type Tree = Just<Tensor>;
    type Value = Tensor;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        Just(self.clone()).new_tree(runner)
    }
}
