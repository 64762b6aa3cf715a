//! Element types and the Rust types that hold them.

use std::fmt;

/// The type of a tensor's elements, known at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
// Not a byte: nodes are copied in words.
#[repr(u32)]
pub enum DType {
    /// Truth values.
    Bool,
    /// 64-bit signed integers: indices, counts, random keys.
    I64,
    /// IEEE 754 single precision, the default of training.
    F32,
    /// IEEE 754 double precision, the default of gradient checks.
    F64,
}

impl DType {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            DType::Bool => 1,
            DType::F32 => 4,
            DType::I64 | DType::F64 => 8,
        }
    }

    /// Whether derivatives flow through values of this type.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::Bool => "bool",
            DType::I64 => "i64",
            DType::F32 => "f32",
            DType::F64 => "f64",
        })
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
    impl Sealed for i64 {}
    impl Sealed for bool {}
}

/// A Rust type that a [`Tensor`](crate::Tensor) can be made from and read as: `f32`, `f64`, `i64`, `bool`.
pub trait Element: sealed::Sealed + Copy + PartialEq + fmt::Debug + Send + Sync + 'static {
    /// The matching run-time type.
    const DTYPE: DType;
    /// What the element is stored as: itself, except that `bool` is stored as a byte, 0 or 1.
    type Stored: wengert_kernels::Pod;
    /// To the stored form.
    fn store(self) -> Self::Stored;
    /// From the stored form.
    fn load(stored: Self::Stored) -> Self;
    /// The value as `f64`.
    fn to_f64(self) -> f64;
}

macro_rules! element {
    ($type:ty, $dtype:ident) => {
        impl Element for $type {
            const DTYPE: DType = DType::$dtype;
            type Stored = $type;
            fn store(self) -> $type {
                self
            }
            fn load(stored: $type) -> $type {
                stored
            }
            #[allow(clippy::unnecessary_cast)]
            fn to_f64(self) -> f64 {
                self as f64
            }
        }
    };
}
element!(f32, F32);
element!(f64, F64);
element!(i64, I64);

impl Element for bool {
    const DTYPE: DType = DType::Bool;
    type Stored = u8;
    fn store(self) -> u8 {
        self as u8
    }
    fn load(stored: u8) -> bool {
        stored != 0
    }
    fn to_f64(self) -> f64 {
        self as u8 as f64
    }
}
