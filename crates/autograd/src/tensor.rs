//! Values: run-time typed, strided, reference-counted arrays.

use crate::dtype::{DType, Element};
use crate::error::{Error, ErrorKind, Result};
use crate::pool::Pooled;
use crate::shape::{Shape, Strides, for_each_offset};
use crate::storage::{Storage, Version};
use std::sync::Arc;

/// An n-dimensional array with a run-time element type.
///
/// Cloning shares the buffer; [`transpose`](Tensor::transpose), [`permute`](Tensor::permute),
/// [`narrow`](Tensor::narrow) and (where the layout allows) [`reshape`](Tensor::reshape) are views of it. A
/// tensor never changes while somebody else can see it.
///
/// ```
/// use wengert_autograd::Tensor;
/// let t = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3])?;
/// assert_eq!(t.transpose(0, 1)?.to_vec::<f32>()?, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[derive(Clone)]
pub struct Tensor {
    buffer: Buffer,
    shape: Shape,
    strides: Strides,
    offset: usize,
}

/// The storage of a tensor, one a type; `Bool` is stored as bytes 0 and 1.
#[derive(Clone)]
pub(crate) enum Buffer {
    Bool(Arc<Storage<u8>>),
    I64(Arc<Storage<i64>>),
    F32(Arc<Storage<f32>>),
    F64(Arc<Storage<f64>>),
}

/// Runs `$body` with `$v` bound to the typed vector of `$buffer`.
macro_rules! with_buffer {
    ($buffer:expr, $v:ident => $body:expr) => {
        match $buffer {
            $crate::tensor::Buffer::Bool($v) => $body,
            $crate::tensor::Buffer::I64($v) => $body,
            $crate::tensor::Buffer::F32($v) => $body,
            $crate::tensor::Buffer::F64($v) => $body,
        }
    };
}
pub(crate) use with_buffer;

impl Buffer {
    pub(crate) fn zeros(dtype: DType, len: usize) -> Buffer {
        match dtype {
            DType::Bool => Buffer::Bool(Arc::new(Storage::zeros(len))),
            DType::I64 => Buffer::I64(Arc::new(Storage::zeros(len))),
            DType::F32 => Buffer::F32(Arc::new(Storage::zeros(len))),
            DType::F64 => Buffer::F64(Arc::new(Storage::zeros(len))),
        }
    }

    /// A buffer of unspecified contents, for a program that writes all of it.
    pub(crate) fn spare(dtype: DType, len: usize) -> Buffer {
        match dtype {
            DType::Bool => Buffer::Bool(Arc::new(u8::take(len))),
            DType::I64 => Buffer::I64(Arc::new(i64::take(len))),
            DType::F32 => Buffer::F32(Arc::new(f32::take(len))),
            DType::F64 => Buffer::F64(Arc::new(f64::take(len))),
        }
    }

    /// Tells buffers apart.
    pub(crate) fn address(&self) -> usize {
        with_buffer!(self, v => Arc::as_ptr(v).addr())
    }

    /// The version of its elements.
    pub(crate) fn version(&self) -> Version {
        with_buffer!(self, v => v.version())
    }

    /// How many tensors share the buffer.
    pub(crate) fn holders(&self) -> usize {
        with_buffer!(self, v => Arc::strong_count(v))
    }

    pub(crate) fn len(&self) -> usize {
        with_buffer!(self, v => v.len())
    }

    fn dtype(&self) -> DType {
        match self {
            Buffer::Bool(_) => DType::Bool,
            Buffer::I64(_) => DType::I64,
            Buffer::F32(_) => DType::F32,
            Buffer::F64(_) => DType::F64,
        }
    }
}

impl Drop for Buffer {
    /// The last owner leaves the memory to the next program.
    fn drop(&mut self) {
        fn leave<T: Pooled>(shared: &mut Arc<Storage<T>>) {
            if let Some(own) = Arc::get_mut(shared) {
                T::give(std::mem::take(own));
            }
        }
        with_buffer!(self, v => leave(v));
    }
}

/// Typed access to a buffer for an [`Element`].
fn typed<T: Element>(buffer: &Buffer) -> Option<&[T::Stored]> {
    use std::any::Any;
    let any: &dyn Any = with_buffer!(buffer, v => v as &dyn Any);
    any.downcast_ref::<Arc<Storage<T::Stored>>>().map(|v| &v[..])
}

fn make<T: Element>(data: Vec<T::Stored>) -> Buffer {
    use std::any::Any;
    let mut slot = Some(data);
    let any: &mut dyn Any = &mut slot;
    // `T::Stored` is one of four types, and `T::DTYPE` says which; the downcast cannot miss.
    macro_rules! take {
        ($type:ty, $variant:ident) => {
            any.downcast_mut::<Option<Vec<$type>>>().and_then(Option::take).map(|v| Buffer::from(v))
        };
    }
    match T::DTYPE {
        DType::Bool => take!(u8, Bool),
        DType::I64 => take!(i64, I64),
        DType::F32 => take!(f32, F32),
        DType::F64 => take!(f64, F64),
    }
    .expect("an element type's storage matches its dtype")
}

impl Tensor {
    /// A tensor over `data` in row-major order.
    ///
    /// # Errors
    /// If `shape` does not hold exactly `data.len()` elements.
    #[track_caller]
    pub fn from_vec<T: Element>(data: Vec<T>, shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into();
        check_count(data.len(), &shape)?;
        let stored = data.into_iter().map(T::store).collect();
        Ok(Tensor::whole(make::<T>(stored), shape))
    }

    /// A tensor with a copy of `data` in row-major order.
    ///
    /// # Errors
    /// If `shape` does not hold exactly `data.len()` elements.
    #[track_caller]
    pub fn from_slice<T: Element>(data: &[T], shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into();
        check_count(data.len(), &shape)?;
        Ok(Tensor::whole(make::<T>(data.iter().map(|v| v.store()).collect()), shape))
    }

    /// A tensor without axes.
    pub fn scalar<T: Element>(value: T) -> Tensor {
        Tensor::whole(make::<T>(vec![value.store()]), Shape::scalar())
    }

    /// A tensor of zeros (`false` for `Bool`).
    ///
    /// # Panics
    /// If memory cannot hold it. [`Tape::zeros`](crate::Tape::zeros) is an error then.
    #[track_caller]
    pub fn zeros(shape: impl Into<Shape>, dtype: DType) -> Tensor {
        let shape = shape.into();
        Tensor::whole(Buffer::zeros(dtype, room("zeros", &shape, dtype)), shape)
    }

    /// A tensor with `value` in every element, rounded to `dtype`.
    ///
    /// # Panics
    /// If memory cannot hold it. [`Tape::full`](crate::Tape::full) is an error then.
    #[track_caller]
    pub fn full(shape: impl Into<Shape>, value: f64, dtype: DType) -> Tensor {
        let shape = shape.into();
        let n = room("full", &shape, dtype);
        let buffer = match dtype {
            DType::Bool => make::<bool>(vec![(value != 0.0) as u8; n]),
            DType::I64 => make::<i64>(vec![value as i64; n]),
            DType::F32 => make::<f32>(vec![value as f32; n]),
            DType::F64 => make::<f64>(vec![value; n]),
        };
        Tensor::whole(buffer, shape)
    }

    pub(crate) fn whole(buffer: Buffer, shape: Shape) -> Tensor {
        let strides = shape.contiguous_strides();
        Tensor { buffer, shape, strides, offset: 0 }
    }

    pub(crate) fn view(buffer: Buffer, shape: Shape, strides: Strides, offset: usize) -> Tensor {
        Tensor { buffer, shape, strides, offset }
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.buffer.dtype()
    }

    /// The extents, outermost first.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The element strides, one an axis.
    pub fn strides(&self) -> &[usize] {
        &self.strides
    }

    /// The number of elements.
    pub fn numel(&self) -> usize {
        self.shape.numel()
    }

    /// Whether the elements lie in one row-major run.
    pub fn is_contiguous(&self) -> bool {
        self.shape.is_contiguous(&self.strides)
    }

    /// This tensor with its elements in one row-major run; copies only if they are not.
    pub fn contiguous(&self) -> Tensor {
        if self.is_contiguous() {
            return self.clone();
        }
        let buffer = with_buffer!(&self.buffer, v => self.gathered(v, |x| x).into());
        Tensor::whole(buffer, self.shape.clone())
    }

    /// What becomes of the elements, which lie in `all`, in row-major order.
    fn gathered<A: Copy, B: Copy + Default>(&self, all: &[A], convert: impl Fn(A) -> B) -> Storage<B> {
        let mut gathered = Storage::zeros(self.numel());
        let mut places = gathered.iter_mut();
        for_each_offset(&self.shape, &self.strides, |at| {
            if let Some(place) = places.next() {
                *place = convert(all[self.offset + at]);
            }
        });
        gathered
    }

    /// This tensor contiguous in a buffer that is all its own and begins where it is best computed with; copies only if it is not.
    pub(crate) fn aligned(&self) -> Tensor {
        let tensor = self.contiguous();
        let n = tensor.numel();
        let buffer = with_buffer!(&tensor.buffer, v => {
            if v.len() == n && !v.misaligned() {
                return tensor;
            }
            Buffer::from(Storage::copy_of(&v[tensor.offset..][..n]))
        });
        Tensor::whole(buffer, tensor.shape.clone())
    }

    /// The buffer and the index of the first element in it.
    pub(crate) fn parts(&self) -> (&Buffer, usize) {
        (&self.buffer, self.offset)
    }

    /// The elements in row-major order, if they lie in one run.
    ///
    /// # Errors
    /// If the element type is not `T`, or the tensor is a non-contiguous view.
    #[track_caller]
    pub fn as_slice<T: Element<Stored = T> + wengert_kernels::Pod>(&self) -> Result<&[T]> {
        let data = self.typed::<T>("as_slice")?;
        if !self.is_contiguous() {
            return Err(Error::new(
                ErrorKind::Shape,
                "as_slice",
                format!("the tensor {} is a view with strides {:?}", self.shape, &self.strides[..]),
                "call .contiguous() first",
            ));
        }
        Ok(&data[self.offset..self.offset + self.numel()])
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    /// If the element type is not `T`.
    #[track_caller]
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        let data = self.typed::<T>("to_vec")?;
        let mut out = Vec::with_capacity(self.numel());
        for_each_offset(&self.shape, &self.strides, |at| out.push(T::load(data[self.offset + at])));
        Ok(out)
    }

    /// The elements in row-major order as `f64`, whatever the element type.
    pub fn to_f64_vec(&self) -> Vec<f64> {
        let mut out = Vec::with_capacity(self.numel());
        macro_rules! read {
            ($v:expr, $type:ty) => {
                for_each_offset(&self.shape, &self.strides, |at| out.push($v[self.offset + at] as f64))
            };
        }
        match &self.buffer {
            Buffer::Bool(v) => read!(v, u8),
            Buffer::I64(v) => read!(v, i64),
            Buffer::F32(v) => read!(v, f32),
            Buffer::F64(v) => read!(v, f64),
        }
        out
    }

    /// The only element, as `f64`.
    ///
    /// # Errors
    /// If there is not exactly one element.
    #[track_caller]
    pub fn item(&self) -> Result<f64> {
        match self.to_first() {
            Some(value) if self.numel() == 1 => Ok(value),
            _ => Err(Error::new(
                ErrorKind::Shape,
                "item",
                format!("the tensor {} has {} elements, expected one", self.shape, self.numel()),
                "reduce it first, or use to_vec",
            )),
        }
    }

    fn to_first(&self) -> Option<f64> {
        match &self.buffer {
            Buffer::Bool(v) => v.get(self.offset).map(|v| *v as f64),
            Buffer::I64(v) => v.get(self.offset).map(|v| *v as f64),
            Buffer::F32(v) => v.get(self.offset).map(|v| *v as f64),
            Buffer::F64(v) => v.get(self.offset).copied(),
        }
    }

    /// The tensor converted to another element type (`as` semantics; non-zero is `true`).
    pub fn cast(&self, dtype: DType) -> Tensor {
        if dtype == self.dtype() {
            return self.clone();
        }
        macro_rules! convert {
            ($v:expr) => {
                match dtype {
                    DType::Bool => self.gathered($v, |x| (x != Default::default()) as u8).into(),
                    DType::I64 => self.gathered($v, |x| x as i64).into(),
                    DType::F32 => self.gathered($v, |x| x as f32).into(),
                    DType::F64 => self.gathered($v, |x| x as f64).into(),
                }
            };
        }
        let buffer = with_buffer!(&self.buffer, v => convert!(v));
        Tensor::whole(buffer, self.shape.clone())
    }

    /// The same elements under another shape; a view where the tensor is contiguous.
    ///
    /// # Errors
    /// If the element counts differ.
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into();
        check_count(self.numel(), &shape)?;
        let base = self.contiguous();
        let strides = shape.contiguous_strides();
        Ok(Tensor { buffer: base.buffer, shape, strides, offset: base.offset })
    }

    /// Whether both tensors have the same type, shape and element bits (so NaN equals the same NaN, and -0 differs from 0).
    pub fn bit_eq(&self, other: &Tensor) -> bool {
        if self.dtype() != other.dtype() || self.shape != other.shape {
            return false;
        }
        let (a, b) = (self.contiguous(), other.contiguous());
        let n = a.numel();
        match (&a.buffer, &b.buffer) {
            (Buffer::Bool(x), Buffer::Bool(y)) => x[a.offset..][..n] == y[b.offset..][..n],
            (Buffer::I64(x), Buffer::I64(y)) => x[a.offset..][..n] == y[b.offset..][..n],
            (Buffer::F32(x), Buffer::F32(y)) => {
                x[a.offset..][..n].iter().zip(&y[b.offset..][..n]).all(|(x, y)| x.to_bits() == y.to_bits())
            }
            (Buffer::F64(x), Buffer::F64(y)) => {
                x[a.offset..][..n].iter().zip(&y[b.offset..][..n]).all(|(x, y)| x.to_bits() == y.to_bits())
            }
            _ => false,
        }
    }

    #[track_caller]
    fn typed<T: Element>(&self, op: &str) -> Result<&[T::Stored]> {
        match typed::<T>(&self.buffer) {
            Some(data) if T::DTYPE == self.dtype() => Ok(data),
            _ => Err(Error::new(
                ErrorKind::DType,
                op,
                format!("the tensor {} holds {}, asked for {}", self.shape, self.dtype(), T::DTYPE),
                format!("read it as {}, or .cast() it", self.dtype()),
            )),
        }
    }
}

macro_rules! buffers {
    ($($type:ty => $variant:ident),*) => {$(
        impl From<Storage<$type>> for Buffer {
            fn from(v: Storage<$type>) -> Self {
                Buffer::$variant(Arc::new(v))
            }
        }

        impl From<Vec<$type>> for Buffer {
            fn from(v: Vec<$type>) -> Self {
                Storage::from(v).into()
            }
        }
    )*};
}
buffers!(u8 => Bool, i64 => I64, f32 => F32, f64 => F64);

/// The number of elements of a tensor to be made.
///
/// # Panics
/// If memory cannot hold them: allocating would end the process.
#[track_caller]
fn room(name: &str, shape: &Shape, dtype: DType) -> usize {
    /// Asking the system whether it has less than this would cost more than it saves.
    const PLENTY: usize = 1 << 30;
    let count = shape.iter().try_fold(1usize, |n, extent| n.checked_mul(*extent));
    let bytes = count.and_then(|n| n.checked_mul(dtype.size()));
    let fits = bytes.is_some_and(|bytes| bytes <= PLENTY || Vec::<u8>::new().try_reserve_exact(bytes).is_ok());
    match count {
        Some(count) if fits => count,
        _ => panic!("{name}: memory cannot hold a tensor {dtype} {shape}"),
    }
}

#[track_caller]
fn check_count(found: usize, shape: &Shape) -> Result<()> {
    let wanted = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
    if wanted == Some(found) {
        return Ok(());
    }
    let wanted = wanted.map_or("more than memory can hold".to_string(), |n| n.to_string());
    Err(Error::new(
        ErrorKind::Shape,
        "tensor",
        format!("{found} elements given, the shape {shape} holds {wanted}"),
        "give as many elements as the shape holds",
    ))
}
