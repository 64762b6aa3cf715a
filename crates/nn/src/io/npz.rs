//! NumPy's format of several arrays: a zip archive of `.npy` files, as `np.savez` and `np.savez_compressed` write it.

use super::npy;
use std::io::{Cursor, Read, Write};
use wengert_autograd::Tensor;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// More than deflate can shrink anything: an entry that claims to be longer than so many times its compressed bytes lies.
const GREATEST_RATIO: u64 = 1032;

/// The archive's bytes, the arrays uncompressed: weights hardly shrink.
pub(super) fn write(tensors: Vec<(String, Tensor)>) -> Result<Vec<u8>, String> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, tensor) in tensors {
        let array = npy::write(&tensor);
        // Without a time, so that equal weights are equal files.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(zip::DateTime::default())
            .large_file(array.len() >= u32::MAX as usize);
        archive.start_file(format!("{name}.npy"), options).map_err(|e| format!("'{name}': {e}"))?;
        archive.write_all(&array).map_err(|e| format!("'{name}': {e}"))?;
    }
    archive.finish().map(Cursor::into_inner).map_err(|e| e.to_string())
}

/// The arrays, in the order of their names, which are without `.npy`.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<(String, Tensor)>, String> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|e| e.to_string())?;
    let mut all = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|e| format!("entry {index}: {e}"))?;
        let name = entry.name().map_err(|e| format!("entry {index}: {e}"))?.to_string();
        let within = |reason: String| format!("'{name}': {reason}");
        let short = name.strip_suffix(".npy").ok_or_else(|| within("it is no .npy array".into()))?.to_string();
        let (size, compressed) = (entry.size(), entry.compressed_size());
        if size > compressed.saturating_mul(GREATEST_RATIO) || compressed > bytes.len() as u64 {
            return Err(within(format!("{compressed} bytes are said to hold {size}")));
        }
        // Memory grows with what there is, not with what was said.
        let mut array = Vec::new();
        entry.take(size.saturating_add(1)).read_to_end(&mut array).map_err(|e| within(e.to_string()))?;
        if array.len() as u64 != size {
            return Err(within(format!("it is said to hold {size} bytes, and has others")));
        }
        all.push((short, npy::read(&array).map_err(within)?));
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(name: &str, method: CompressionMethod, content: &[u8]) -> Vec<u8> {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        archive.start_file(name, SimpleFileOptions::default().compression_method(method)).expect("a new entry");
        archive.write_all(content).expect("room in memory");
        archive.finish().expect("room in memory").into_inner()
    }

    #[test]
    fn entries_that_lie_are_refused() {
        let array = npy::write(&Tensor::full([4000], 1.0, wengert_autograd::DType::F64));
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            let whole = archive("x.npy", method, &array);
            assert_eq!(read(&whole).expect("a whole archive")[0].1.numel(), 4000);
            // The sizes in the central directory: compressed at 20, uncompressed at 24 behind its signature.
            let directory = whole.windows(4).rposition(|w| w == b"PK\x01\x02").expect("there is a directory");
            for (at, size) in
                [(20, 1u32 << 31), (24, 1 << 31), (24, array.len() as u32 - 1), (24, array.len() as u32 + 1)]
            {
                let mut bytes = whole.clone();
                bytes[directory + at..][..4].copy_from_slice(&size.to_le_bytes());
                assert!(read(&bytes).is_err(), "{method}, {size} at {at}");
            }
            // The contents do not have their checksum.
            let mut bytes = whole.clone();
            bytes[directory + 16] ^= 1;
            assert!(read(&bytes).is_err(), "{method}, checksum");
        }
        let other = archive("notes.txt", CompressionMethod::Stored, b"hello");
        assert_eq!(read(&other).unwrap_err(), "'notes.txt': it is no .npy array");
        let wrong = archive("x.npy", CompressionMethod::Stored, b"hello");
        assert_eq!(read(&wrong).unwrap_err(), "'x.npy': it does not begin as an .npy array");
    }
}
