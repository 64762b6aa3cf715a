//! NumPy's format of one array: a line of text that describes it, then the elements
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).

use super::element::{Element, encode};
use wengert_autograd::{DType, Tensor};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// The elements begin at a multiple of this.
const ALIGNMENT: usize = 64;

/// What the line of text says.
#[derive(Debug, PartialEq)]
struct Header {
    element: Element,
    big_endian: bool,
    /// Column-major: the first axis varies fastest.
    fortran: bool,
    shape: Vec<usize>,
}

/// An array in version 1.0 of the format.
pub(super) fn write(tensor: &Tensor) -> Vec<u8> {
    let descr = match tensor.dtype() {
        DType::Bool => "|b1",
        DType::I64 => "<i8",
        DType::F32 => "<f4",
        DType::F64 => "<f8",
    };
    let extents: String = tensor.shape().iter().map(|extent| format!("{extent}, ")).collect();
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}", extents.trim_end());
    let start = MAGIC.len() + 4;
    let padding = (start + text.len() + 1).next_multiple_of(ALIGNMENT) - (start + text.len() + 1);
    text.extend(std::iter::repeat_n(' ', padding));
    text.push('\n');
    // A tensor of so many axes that its header takes 64 kB cannot have been made: their extents are at least 2 or irrelevant.
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    [&MAGIC[..], &[1, 0], &length.to_le_bytes(), text.as_bytes(), &encode(tensor)].concat()
}

/// Reads an array; the error says what is wrong with it.
pub(super) fn read(bytes: &[u8]) -> Result<Tensor, String> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("it does not begin as an .npy array")?;
    let (&[major, _minor], rest) = rest.split_first_chunk::<2>().ok_or("it ends within the header")?;
    let cut = "it ends within the header";
    let (length, rest) = match major {
        1 => {
            let (length, rest) = rest.split_first_chunk::<2>().ok_or(cut)?;
            (u16::from_le_bytes(*length) as usize, rest)
        }
        2 | 3 => {
            let (length, rest) = rest.split_first_chunk::<4>().ok_or(cut)?;
            (u32::from_le_bytes(*length) as usize, rest)
        }
        other => return Err(format!("version {other} of the .npy format is not supported")),
    };
    let (text, data) = rest.split_at_checked(length).ok_or("its header is longer than the file")?;
    let text = std::str::from_utf8(text).map_err(|_| "its header is not text")?;
    let Header { element, big_endian, fortran, mut shape } = header(text)?;
    let wrong = format!("its header says {element} {shape:?}, and {} bytes follow", data.len());
    if fortran {
        shape.reverse();
    }
    let tensor = element.decode(big_endian, &shape, data).ok_or(wrong)?;
    if !fortran {
        return Ok(tensor);
    }
    let backwards: Vec<usize> = (0..shape.len()).rev().collect();
    tensor.permute(&backwards).map(|tensor| tensor.contiguous()).map_err(|e| e.to_string())
}

/// `{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }`: a literal of Python, of which only these three keys occur.
fn header(text: &str) -> Result<Header, String> {
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    let mut rest =
        text.trim().strip_prefix('{').and_then(|t| t.strip_suffix('}')).ok_or("its header is no dictionary")?;
    while !rest.trim().is_empty() {
        let (key, after) = rest.split_once(':').ok_or("its header has a key without a value")?;
        let after = after.trim_start();
        let end = match after.chars().next() {
            Some('(') => after.find(')').map(|at| at + 1),
            Some('[') => return Err("it has several fields in each element".into()),
            _ => Some(after.find(',').unwrap_or(after.len())),
        };
        let (value, after) = after.split_at(end.ok_or("its shape has no end")?);
        match unquoted(key).unwrap_or_default() {
            "descr" => descr = Some(element(value)?),
            "fortran_order" => fortran = Some(flag(value)?),
            "shape" => shape = Some(extents(value)?),
            _ => return Err(format!("its header has an unknown key {}", key.trim())),
        }
        rest = after.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    let missing = |key: &str| format!("its header has no '{key}'");
    let (element, big_endian) = descr.ok_or_else(|| missing("descr"))?;
    let fortran = fortran.ok_or_else(|| missing("fortran_order"))?;
    Ok(Header { element, big_endian, fortran, shape: shape.ok_or_else(|| missing("shape"))? })
}

fn unquoted(text: &str) -> Option<&str> {
    let text = text.trim();
    ['\'', '"'].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))
}

fn element(value: &str) -> Result<(Element, bool), String> {
    let refused = || format!("it has element type {}, which is not supported", value.trim());
    let descr = unquoted(value).ok_or_else(refused)?;
    let (order, kind) = descr.split_at_checked(1).ok_or_else(refused)?;
    let element = match kind {
        "b1" | "?" => Element::Bool,
        "u1" => Element::U8,
        "i1" => Element::I8,
        "u2" => Element::U16,
        "i2" => Element::I16,
        "u4" => Element::U32,
        "i4" => Element::I32,
        "i8" => Element::I64,
        "f2" => Element::F16,
        "f4" => Element::F32,
        "f8" => Element::F64,
        _ => return Err(refused()),
    };
    match order {
        "<" | "|" => Ok((element, false)),
        ">" => Ok((element, true)),
        _ => Err(refused()),
    }
}

fn flag(value: &str) -> Result<bool, String> {
    match value.trim() {
        "True" => Ok(true),
        "False" => Ok(false),
        other => Err(format!("its header says fortran_order {other}")),
    }
}

fn extents(value: &str) -> Result<Vec<usize>, String> {
    let inner = value.strip_prefix('(').and_then(|v| v.strip_suffix(')'));
    let inner = inner.ok_or_else(|| format!("its shape is {value}"))?;
    let parts = inner.split(',').map(str::trim).filter(|part| !part.is_empty());
    // Python 2 wrote long integers with an L.
    parts.map(|part| part.trim_end_matches('L').parse().map_err(|_| format!("its shape is {value}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(major: u8, text: &str, data: &[u8]) -> Vec<u8> {
        let length = text.len() as u32;
        let length = if major == 1 { length.to_le_bytes()[..2].to_vec() } else { length.to_le_bytes().to_vec() };
        [&MAGIC[..], &[major, 0], &length, text.as_bytes(), data].concat()
    }

    #[test]
    fn headers_that_lie_are_refused() {
        let fine = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
        let data = [0u8; 8];
        for major in 1..=3 {
            let bytes = array(major, fine, &data);
            assert_eq!(read(&bytes).expect("it is whole").shape()[..], [2]);
            for len in 0..bytes.len() {
                assert!(read(&bytes[..len]).is_err(), "version {major}, {len} bytes");
            }
        }
        let header = |descr: &str, order: &str, shape: &str| {
            format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}")
        };
        let f4 = |shape: &str| header("'<f4'", "False", shape);
        let cases = [
            (f4("(3,)"), "its header says f32 [3], and 8 bytes follow"),
            (f4("()"), "its header says f32 [], and 8 bytes follow"),
            (f4("(1000000000000, 1000000000000)"), "its header says f32 [1000000000000, 1000000000000]"),
            (f4("(0, 18446744073709551615, 2)"), "its header says f32 [0, 18446744073709551615, 2]"),
            (f4("(18446744073709551616,)"), "its shape is (18446744073709551616,)"),
            (f4("(-2,)"), "its shape is (-2,)"),
            (f4("(2,"), "its shape has no end"),
            (f4("2"), "its shape is 2"),
            (header("'<c8'", "False", "(1,)"), "it has element type '<c8', which is not supported"),
            (header("'|O'", "False", "(1,)"), "it has element type '|O'"),
            (header("'='", "False", "(1,)"), "it has element type"),
            (header("'\u{e9}4'", "False", "(1,)"), "it has element type"),
            (header("[('a', '<f4')]", "False", "(2,)"), "it has several fields in each element"),
            (header("'<f4'", "0", "(2,)"), "its header says fortran_order 0"),
            ("{'descr': '<f4', 'shape': (2,), }".into(), "its header has no 'fortran_order'"),
            ("{'descr': '<f4', 'fortran_order': True, 'shape': (2,), 'x': 1}".into(), "an unknown key 'x'"),
            ("{'descr'}".into(), "a key without a value"),
            ("[]".into(), "its header is no dictionary"),
        ];
        for (text, wanted) in cases {
            let error = read(&array(2, &text, &data)).expect_err(&text);
            assert!(error.contains(wanted), "{text}: {error}");
        }
        assert!(read(&array(4, fine, &data)).unwrap_err().contains("version 4"));
        // The order and the quotes of a dictionary are free.
        let other = r#"{"shape":(2, ),"fortran_order":True,"descr":">f4"}"#;
        assert!(read(&array(1, other, &data)).is_ok());
    }
}
