//! Trees of recorded values: states, scan inputs, scan outputs.

use crate::param::Path;
use crate::var::Var;

/// A value made of [`Var`]s: one, a tuple, an array, a vector, an option, or a struct with `#[derive(Tree)]`.
///
/// `scan` carries trees through time; a cell's state is a tree.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a tree of recorded values",
    label = "not a `Var`, nor made of them",
    note = "derive `Tree` for your own structs (of one lifetime, the tape's); tuples, arrays, vectors and options of trees are trees",
    note = "a field that holds no recorded values is carried along by `#[tree(skip)]`, which needs `Clone`"
)]
pub trait Tree<'t>: Sized {
    /// The same tree with every leaf replaced by `f` of it; visits the leaves in a fixed order.
    fn map_vars(&self, path: &mut Path, f: &mut dyn FnMut(&Path, Var<'t>) -> Var<'t>) -> Self;

    /// The leaves, in the order of [`map_vars`](Tree::map_vars).
    fn leaves(&self) -> Vec<Var<'t>> {
        let mut all = Vec::new();
        self.map_vars(&mut Path::unnamed(), &mut |_, var| {
            all.push(var);
            var
        });
        all
    }

    /// The leaves with their paths.
    fn named_leaves(&self) -> Vec<(String, Var<'t>)> {
        let mut all = Vec::new();
        self.map_vars(&mut Path::root(), &mut |path, var| {
            all.push((path.as_str().to_string(), var));
            var
        });
        all
    }

    /// The same tree with every leaf marked by [`Var::keep`].
    #[track_caller]
    fn keep(&self) -> Self {
        self.map_vars(&mut Path::unnamed(), &mut |_, var| var.keep())
    }

    /// The same tree with other leaves, given in order.
    ///
    /// # Panics
    /// If `leaves` has another number of leaves than the tree.
    fn with_leaves(&self, leaves: &[Var<'t>]) -> Self {
        let mut next = leaves.iter();
        let tree =
            self.map_vars(&mut Path::unnamed(), &mut |_, _| *next.next().expect("one leaf for each of the tree's"));
        assert!(next.next().is_none(), "one leaf for each of the tree's");
        tree
    }
}

impl<'t> Tree<'t> for Var<'t> {
    fn map_vars(&self, path: &mut Path, f: &mut dyn FnMut(&Path, Var<'t>) -> Var<'t>) -> Self {
        f(path, *self)
    }
}

impl<'t, T: Tree<'t>> Tree<'t> for Option<T> {
    fn map_vars(&self, path: &mut Path, f: &mut dyn FnMut(&Path, Var<'t>) -> Var<'t>) -> Self {
        self.as_ref().map(|inner| inner.map_vars(path, f))
    }
}

impl<'t, T: Tree<'t>> Tree<'t> for Vec<T> {
    fn map_vars(&self, path: &mut Path, f: &mut dyn FnMut(&Path, Var<'t>) -> Var<'t>) -> Self {
        self.iter().enumerate().map(|(i, item)| path.within(i, |path| item.map_vars(path, f))).collect()
    }
}

impl<'t, T: Tree<'t>, const N: usize> Tree<'t> for [T; N] {
    fn map_vars(&self, path: &mut Path, f: &mut dyn FnMut(&Path, Var<'t>) -> Var<'t>) -> Self {
        std::array::from_fn(|i| path.within(i, |path| self[i].map_vars(path, f)))
    }
}

macro_rules! tuple {
    ($($name:ident $index:tt),*) => {
        impl<'t, $($name: Tree<'t>),*> Tree<'t> for ($($name,)*) {
            #[allow(clippy::unused_unit)]
            fn map_vars(&self, _path: &mut Path, _f: &mut dyn FnMut(&Path, Var<'t>) -> Var<'t>) -> Self {
                ($(_path.within($index, |path| self.$index.map_vars(path, _f)),)*)
            }
        }
    };
}
tuple!();
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
