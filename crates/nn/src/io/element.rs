//! Element types of files, and their bytes.

use std::fmt;
use wengert_autograd::{DType, Shape, Tensor};

/// An element type that files hold. One that tensors do not have is read as the smallest that holds all its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    I64,
    F16,
    BF16,
    F32,
    F64,
}

impl Element {
    /// Bytes of one element.
    pub(super) fn size(self) -> usize {
        match self {
            Element::Bool | Element::U8 | Element::I8 => 1,
            Element::U16 | Element::I16 | Element::F16 | Element::BF16 => 2,
            Element::U32 | Element::I32 | Element::F32 => 4,
            Element::I64 | Element::F64 => 8,
        }
    }

    /// How many bytes a tensor of `shape` has; nothing if a number of 64 bits cannot say.
    pub(super) fn bytes(self, shape: &[usize]) -> Option<usize> {
        let count = shape.iter().try_fold(1usize, |n, extent| n.checked_mul(*extent))?;
        // Extents behind a zero could still overflow the strides.
        let strides = shape.iter().try_fold(1usize, |n, extent| n.checked_mul((*extent).max(1)));
        strides.and(count.checked_mul(self.size()))
    }

    /// The tensor of row-major `data`. Nothing if `shape` needs another number of bytes.
    pub(super) fn decode(self, big_endian: bool, shape: &[usize], data: &[u8]) -> Option<Tensor> {
        if self.bytes(shape)? != data.len() {
            return None;
        }
        macro_rules! read {
            ($type:ty, $size:literal, $v:ident => $value:expr) => {{
                let (elements, _) = data.as_chunks::<$size>();
                let one = |bytes: &[u8; $size]| {
                    let $v = if big_endian { <$type>::from_be_bytes(*bytes) } else { <$type>::from_le_bytes(*bytes) };
                    $value
                };
                Tensor::from_vec(elements.iter().map(one).collect(), Shape::from(shape)).ok()
            }};
        }
        match self {
            Element::Bool => read!(u8, 1, v => v != 0),
            Element::U8 => read!(u8, 1, v => i64::from(v)),
            Element::I8 => read!(i8, 1, v => i64::from(v)),
            Element::U16 => read!(u16, 2, v => i64::from(v)),
            Element::I16 => read!(i16, 2, v => i64::from(v)),
            Element::U32 => read!(u32, 4, v => i64::from(v)),
            Element::I32 => read!(i32, 4, v => i64::from(v)),
            Element::I64 => read!(i64, 8, v => v),
            Element::F16 => read!(u16, 2, v => half(v)),
            Element::BF16 => read!(u16, 2, v => f32::from_bits(u32::from(v) << 16)),
            Element::F32 => read!(f32, 4, v => v),
            Element::F64 => read!(f64, 8, v => v),
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

impl From<DType> for Element {
    fn from(dtype: DType) -> Element {
        match dtype {
            DType::Bool => Element::Bool,
            DType::I64 => Element::I64,
            DType::F32 => Element::F32,
            DType::F64 => Element::F64,
        }
    }
}

/// IEEE 754 half precision: 1 bit of sign, 5 of exponent, 10 of fraction.
fn half(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let (exponent, fraction) = (u32::from(bits >> 10) & 0x1f, u32::from(bits) & 0x3ff);
    match exponent {
        0 => {
            let value = fraction as f32 / (1 << 24) as f32;
            f32::from_bits(value.to_bits() | sign)
        }
        31 => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

/// The elements in row-major order, little-endian.
pub(super) fn encode(tensor: &Tensor) -> Vec<u8> {
    // `to_vec` of the tensor's own type cannot fail.
    macro_rules! bytes {
        ($type:ty, $v:ident => $bytes:expr) => {
            tensor.to_vec::<$type>().unwrap_or_default().into_iter().flat_map(|$v| $bytes).collect()
        };
    }
    match tensor.dtype() {
        DType::F32 => bytes!(f32, v => v.to_le_bytes()),
        DType::F64 => bytes!(f64, v => v.to_le_bytes()),
        DType::I64 => bytes!(i64, v => v.to_le_bytes()),
        DType::Bool => bytes!(bool, v => [u8::from(v)]),
    }
}

#[cfg(test)]
mod tests {
    use super::{Element, half};

    #[test]
    fn half_precision() {
        let cases = [
            (0x0000, 0.0),
            (0x0001, 2f32.powi(-24)),
            (0x03ff, 1023.0 * 2f32.powi(-24)),
            (0x0400, 2f32.powi(-14)),
            (0x3555, 0.333_251_95),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ];
        for (bits, value) in cases {
            assert_eq!(half(bits), value, "{bits:#x}");
        }
        assert!(half(0x8000).to_bits() == (-0.0f32).to_bits() && half(0x7e00).is_nan());
    }

    #[test]
    fn other_types_are_widened() {
        let read = |element: Element, big: bool, data: &[u8]| {
            let shape = [data.len() / element.size()];
            element.decode(big, &shape, data).expect("the bytes fit").to_f64_vec()
        };
        assert_eq!(read(Element::I8, false, &[0xff, 3]), [-1.0, 3.0]);
        assert_eq!(read(Element::U8, false, &[0xff, 3]), [255.0, 3.0]);
        assert_eq!(read(Element::I16, true, &[0xff, 0xfe, 1, 0]), [-2.0, 256.0]);
        assert_eq!(read(Element::U16, false, &[0xff, 0xff]), [65535.0]);
        assert_eq!(read(Element::I32, false, &[0, 0, 0, 0x80]), [-2147483648.0]);
        assert_eq!(read(Element::U32, false, &[0, 0, 0, 0x80]), [2147483648.0]);
        assert_eq!(read(Element::BF16, false, &[0xc0, 0x3f]), [1.5]);
        assert_eq!(read(Element::F32, true, &1.25f32.to_be_bytes()), [1.25]);
        assert!(Element::F64.decode(false, &[2], &[0; 15]).is_none());
        assert!(Element::F64.decode(false, &[0, usize::MAX, usize::MAX], &[]).is_none());
    }
}
