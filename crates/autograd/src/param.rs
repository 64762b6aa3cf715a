//! Trainable parameters: identity, value, and named trees of them.

use crate::dtype::DType;
use crate::error::{Error, ErrorKind, Result};
use crate::shape::Shape;
use crate::tensor::Tensor;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

/// The identity of a parameter, unique in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParamId(u64);

/// A trainable tensor with an identity.
///
/// Cloning shares the identity *and* the value (tied weights); [`fork`](Param::fork) makes an independent copy.
/// A tape takes a snapshot of the value at first use, so a later [`set`](Param::set) is
/// never seen by an older recording.
#[derive(Clone)]
pub struct Param {
    id: ParamId,
    value: Arc<RwLock<Tensor>>,
}

impl Param {
    /// A new parameter.
    pub fn new(value: Tensor) -> Param {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = ParamId(NEXT.fetch_add(1, Ordering::Relaxed));
        Param { id, value: Arc::new(RwLock::new(value.aligned())) }
    }

    /// The parameter's identity.
    pub fn id(&self) -> ParamId {
        self.id
    }

    /// The current value (shares the buffer).
    pub fn value(&self) -> Tensor {
        // A poisoned lock still holds a whole tensor: `set` replaces it in one assignment.
        self.value.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the value.
    ///
    /// # Errors
    /// If shape or element type differ from the present value's.
    #[track_caller]
    pub fn set(&self, value: Tensor) -> Result<()> {
        let mut slot = self.lock();
        check(&slot, value.shape(), value.dtype())?;
        *slot = value.aligned();
        Ok(())
    }

    /// The value, seen by nobody else.
    pub(crate) fn lock(&self) -> RwLockWriteGuard<'_, Tensor> {
        self.value.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Converts a float value to another float type; other element types stay.
    fn convert(&self, dtype: DType) {
        let mut slot = self.value.write().unwrap_or_else(PoisonError::into_inner);
        if slot.dtype().is_float() {
            *slot = slot.cast(dtype);
        }
    }

    /// A parameter of its own with the same value.
    pub fn fork(&self) -> Param {
        Param::new(self.value())
    }
}

impl fmt::Debug for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Param#{} {:?}", self.id.0, self.value())
    }
}

/// Whether a parameter's value can become one of this shape and element type.
#[track_caller]
pub(crate) fn check(value: &Tensor, shape: &Shape, dtype: DType) -> Result<()> {
    if value.shape() == shape && value.dtype() == dtype {
        return Ok(());
    }
    let found = format!("the parameter is {} {}, the new value {dtype} {shape}", value.dtype(), value.shape());
    Err(Error::new(ErrorKind::Shape, "Param::set", found, "give it the parameter's shape and element type"))
}

/// The dotted path of a parameter or a leaf in a tree: `layers.0.w`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path {
    text: String,
    /// How long the path was where a module of a kind began, outermost first.
    kinds: Vec<(usize, &'static str)>,
    /// Whether names are left out.
    unnamed: bool,
}

impl Path {
    /// The empty path, of the tree itself.
    pub fn root() -> Path {
        Path::default()
    }

    /// A path that stays empty, for visits that do not look at it: names need not be written.
    pub fn unnamed() -> Path {
        Path { unnamed: true, ..Path::default() }
    }

    /// Calls `f` with `name` appended to the path.
    pub fn within<R>(&mut self, name: impl fmt::Display, f: impl FnOnce(&mut Path) -> R) -> R {
        use std::fmt::Write;
        if self.unnamed {
            return f(self);
        }
        let len = self.text.len();
        if len > 0 {
            self.text.push('.');
        }
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{name}");
        let result = f(self);
        self.text.truncate(len);
        result
    }

    /// Calls `f` with a note that the module at this path is of a kind. `#[module(kind = "..")]` of the derive does.
    pub fn of_kind<R>(&mut self, kind: &'static str, f: impl FnOnce(&mut Path) -> R) -> R {
        self.kinds.push((self.text.len(), kind));
        let result = f(self);
        self.kinds.pop();
        result
    }

    /// The modules of known kind that the path leads through, outermost first, each as its path and kind.
    pub fn kinds(&self) -> impl DoubleEndedIterator<Item = (&str, &'static str)> {
        self.kinds.iter().map(|(len, kind)| (&self.text[..*len], *kind))
    }

    /// The path as text; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.text.is_empty() { "." } else { &self.text })
    }
}

/// A value that holds named parameters: a module, a vector of modules, a parameter.
///
/// `#[derive(Module)]` of the nn crate writes it for structs. Plain values (numbers, strings, flags) hold none.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a module: it holds no parameters that a tree could visit",
    label = "not a parameter, a module or a plain value",
    note = "derive `Module` for your own structs and enums; vectors, options, arrays, tuples and boxes of modules are modules",
    note = "a field that holds no parameters is left out by `#[module(skip)]`"
)]
pub trait ParamTree {
    /// Calls `visit` for every parameter below this value, in a fixed order. A shared parameter is
    /// visited at each of its places; [`params`](ParamTree::params) names it once.
    fn visit_params(&self, path: &mut Path, visit: &mut dyn FnMut(&Path, &Param));

    /// The parameters with their names, each identity once, under the first of its names.
    fn params(&self) -> Vec<(String, Param)> {
        let mut seen = std::collections::HashSet::new();
        let mut all = Vec::new();
        self.visit_params(&mut Path::root(), &mut |path, param| {
            if seen.insert(param.id()) {
                all.push((path.as_str().to_string(), param.clone()));
            }
        });
        all
    }

    /// The present values, in the order of [`params`](ParamTree::params); shares their buffers.
    fn snapshot(&self) -> Vec<Tensor> {
        self.params().iter().map(|(_, param)| param.value()).collect()
    }

    /// Sets every parameter to its value in a [`snapshot`](ParamTree::snapshot).
    ///
    /// # Errors
    /// If the snapshot is of a tree with other parameters; nothing is set then.
    #[track_caller]
    fn restore(&self, snapshot: &[Tensor]) -> Result<()> {
        let params = self.params();
        let fits = |(_, param): &(String, Param), value: &Tensor| {
            let present = param.value();
            present.shape() == value.shape() && present.dtype() == value.dtype()
        };
        if params.len() != snapshot.len() || !params.iter().zip(snapshot).all(|(param, value)| fits(param, value)) {
            let found = format!(
                "the snapshot's {} values do not have the shapes and types of the {} parameters",
                snapshot.len(),
                params.len()
            );
            return Err(Error::new(ErrorKind::Shape, "restore", found, "restore what snapshot of the same tree gave"));
        }
        params.iter().zip(snapshot).try_for_each(|((_, param), value)| param.set(value.clone()))
    }

    /// The number of trainable elements; shared ones count once.
    fn num_params(&self) -> usize {
        self.params().iter().map(|(_, p)| p.value().numel()).sum()
    }

    /// Converts every float parameter to `dtype`, F32 or F64, in place: a net in double precision for gradient checks.
    /// Integers and truth values stay. Older recordings keep their snapshots.
    ///
    /// ```
    /// use wengert_autograd::{DType, Param, ParamTree, Tensor};
    /// let w = Param::new(Tensor::zeros([2, 3], DType::F32));
    /// w.set_dtype(DType::F64)?;
    /// assert_eq!(w.value().dtype(), DType::F64);
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// If `dtype` is not a float type.
    #[track_caller]
    fn set_dtype(&self, dtype: DType) -> Result<()> {
        if !dtype.is_float() {
            let found = format!("parameters cannot be trained as {dtype}");
            return Err(Error::new(ErrorKind::DType, "set_dtype", found, "expected F32 or F64"));
        }
        self.visit_params(&mut Path::root(), &mut |_, param| param.convert(dtype));
        Ok(())
    }
}

impl ParamTree for Param {
    fn visit_params(&self, path: &mut Path, visit: &mut dyn FnMut(&Path, &Param)) {
        visit(path, self);
    }
}

impl<T: ParamTree + ?Sized> ParamTree for &T {
    fn visit_params(&self, path: &mut Path, visit: &mut dyn FnMut(&Path, &Param)) {
        (**self).visit_params(path, visit);
    }
}

impl<T: ParamTree + ?Sized> ParamTree for Box<T> {
    fn visit_params(&self, path: &mut Path, visit: &mut dyn FnMut(&Path, &Param)) {
        (**self).visit_params(path, visit);
    }
}

impl<T: ParamTree> ParamTree for Option<T> {
    fn visit_params(&self, path: &mut Path, visit: &mut dyn FnMut(&Path, &Param)) {
        if let Some(inner) = self {
            inner.visit_params(path, visit);
        }
    }
}

impl<T: ParamTree> ParamTree for [T] {
    fn visit_params(&self, path: &mut Path, visit: &mut dyn FnMut(&Path, &Param)) {
        for (i, item) in self.iter().enumerate() {
            path.within(i, |path| item.visit_params(path, visit));
        }
    }
}

impl<T: ParamTree> ParamTree for Vec<T> {
    fn visit_params(&self, path: &mut Path, visit: &mut dyn FnMut(&Path, &Param)) {
        self.as_slice().visit_params(path, visit);
    }
}

impl<T: ParamTree, const N: usize> ParamTree for [T; N] {
    fn visit_params(&self, path: &mut Path, visit: &mut dyn FnMut(&Path, &Param)) {
        self.as_slice().visit_params(path, visit);
    }
}

macro_rules! tuple {
    ($($name:ident $index:tt),*) => {
        impl<$($name: ParamTree),*> ParamTree for ($($name,)*) {
            fn visit_params(&self, _path: &mut Path, _visit: &mut dyn FnMut(&Path, &Param)) {
                $(_path.within($index, |path| self.$index.visit_params(path, _visit));)*
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

macro_rules! plain {
    ($($type:ty),*) => {$(
        impl ParamTree for $type {
            fn visit_params(&self, _: &mut Path, _: &mut dyn FnMut(&Path, &Param)) {}
        }
    )*};
}
plain!(bool, char, u8, u16, u32, u64, usize, i8, i16, i32, i64, isize, f32, f64, String, &'static str);

impl<T> ParamTree for std::marker::PhantomData<T> {
    fn visit_params(&self, _: &mut Path, _: &mut dyn FnMut(&Path, &Param)) {}
}
