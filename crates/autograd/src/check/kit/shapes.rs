//! Shapes with extents in common.

use crate::shape::Shape;
use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use std::ops::RangeInclusive;

/// Shapes of one or more tensors, as a strategy: the value is a shape for each.
///
/// Written as text, one list of axes for each tensor. A number is an extent; a name stands for the same extent wherever
/// it occurs, from 1 to 4 unless [`extent`](Shapes::extent) says otherwise; a name with a question mark is that extent
/// or 1; `()` is a scalar. So `"B I, I H"` are the operands of a product, `"B I, B? I?"` two that broadcast, and
/// `"T 2 I, I, ()"` a sequence, a vector and a number.
#[derive(Clone, Debug)]
pub struct Shapes {
    tensors: Vec<Vec<Axis>>,
    names: Vec<(String, RangeInclusive<usize>)>,
    /// Leading axes may be missing.
    any_rank: bool,
}

#[derive(Clone, Copy, Debug)]
enum Axis {
    Fixed(usize),
    Named(usize),
    NamedOrOne(usize),
}

/// What an extent is without further notice.
const EXTENTS: RangeInclusive<usize> = 1..=4;

/// Shapes of `n` tensors that broadcast together: up to three axes, of which any may be 1 or, from the front, missing.
pub fn broadcastable(n: usize) -> Shapes {
    let names = ["A", "B", "C"].map(|name| (name.to_string(), EXTENTS)).to_vec();
    Shapes { tensors: vec![(0..3).map(Axis::NamedOrOne).collect(); n], names, any_rank: true }
}

impl Shapes {
    /// Other extents for a name; `0..=3` tries empty axes, too.
    ///
    /// # Panics
    /// If no axis has the name, or the range is empty.
    pub fn extent(mut self, name: &str, extents: RangeInclusive<usize>) -> Shapes {
        assert!(!extents.is_empty(), "the range {extents:?} of the extent {name} is empty");
        let Some((_, range)) = self.names.iter_mut().find(|(known, _)| known == name) else {
            panic!("no axis is called {name}, only {:?}", self.names.iter().map(|(name, _)| name).collect::<Vec<_>>())
        };
        *range = extents;
        self
    }

    /// The number of tensors.
    pub(super) fn count(&self) -> usize {
        self.tensors.len()
    }

    /// Numbers that choose the shapes, each to be made small: extents, then flags of axes of extent 1, then ranks.
    pub(super) fn knobs(&self) -> Vec<RangeInclusive<usize>> {
        let mut knobs: Vec<_> = self.names.iter().map(|(_, range)| range.clone()).collect();
        knobs.extend(self.tensors.iter().flatten().filter(|a| matches!(a, Axis::NamedOrOne(_))).map(|_| 0..=1));
        if self.any_rank {
            knobs.extend(self.tensors.iter().map(|axes| 0..=axes.len()));
        }
        knobs
    }

    pub(super) fn resolve(&self, knobs: &[usize]) -> Vec<Shape> {
        let (extents, rest) = knobs.split_at(self.names.len());
        let flags = self.tensors.iter().flatten().filter(|a| matches!(a, Axis::NamedOrOne(_))).count();
        let (ones, ranks) = rest.split_at(flags);
        let mut ones = ones.iter();
        let mut extent = |axis: &Axis| match *axis {
            Axis::Fixed(n) => n,
            Axis::Named(i) => extents[i],
            // One flag was counted for each of these.
            Axis::NamedOrOne(i) => {
                if ones.next() == Some(&1) {
                    1
                } else {
                    extents[i]
                }
            }
        };
        let whole: Vec<Vec<usize>> = self.tensors.iter().map(|axes| axes.iter().map(&mut extent).collect()).collect();
        let kept = |(i, dims): (usize, &Vec<usize>)| match ranks.get(i) {
            Some(rank) => Shape::from(&dims[dims.len() - rank..]),
            None => Shape::from(&dims[..]),
        };
        whole.iter().enumerate().map(kept).collect()
    }
}

impl From<&str> for Shapes {
    /// # Panics
    /// If the text is not of the form described at [`Shapes`].
    fn from(text: &str) -> Shapes {
        let mut shapes = Shapes { tensors: Vec::new(), names: Vec::new(), any_rank: false };
        for tensor in text.split(',') {
            let mut axes = Vec::new();
            for word in tensor.split_whitespace().filter(|word| *word != "()") {
                if let Ok(extent) = word.parse() {
                    axes.push(Axis::Fixed(extent));
                    continue;
                }
                let (name, may_be_one) = word.strip_suffix('?').map_or((word, false), |name| (name, true));
                let proper = name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.is_empty();
                assert!(
                    proper,
                    "{word:?} in {text:?} is not an axis: expected an extent, a name, a name with ?, or ()"
                );
                let known = shapes.names.iter().position(|(known, _)| known == name);
                let index = known.unwrap_or_else(|| {
                    shapes.names.push((name.to_string(), EXTENTS));
                    shapes.names.len() - 1
                });
                axes.push(if may_be_one { Axis::NamedOrOne(index) } else { Axis::Named(index) });
            }
            shapes.tensors.push(axes);
        }
        shapes
    }
}

impl<const N: usize> From<[usize; N]> for Shapes {
    /// The shape of one tensor.
    fn from(dims: [usize; N]) -> Shapes {
        Shapes::from(&Shape::from(dims))
    }
}

impl From<&Shape> for Shapes {
    /// The shape of one tensor.
    fn from(shape: &Shape) -> Shapes {
        Shapes { tensors: vec![shape.iter().map(|n| Axis::Fixed(*n)).collect()], names: Vec::new(), any_rank: false }
    }
}

impl Strategy for Shapes {
    type Tree = Box<dyn ValueTree<Value = Vec<Shape>>>;
    type Value = Vec<Shape>;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let shapes = self.clone();
        Ok(Box::new(self.knobs().prop_map(move |knobs| shapes.resolve(&knobs)).new_tree(runner)?))
    }
}
