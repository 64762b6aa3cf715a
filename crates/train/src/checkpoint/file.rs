//! One checkpoint as a file: bytes with a checksum, written so that it appears whole or not at all.

use super::parts::Contents;
use crate::error::{Error, Result};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use wengert_nn::io;

/// The metadata that are not parts of the run.
const FORMAT: &str = "format";
const VERSION: &str = "wengert checkpoint 1";
const STEP: &str = "step";
const LOSS: &str = "loss";
const SUM: &str = "crc32c";
/// In place of the checksum while it is computed.
const BLANK: &str = "00000000";
/// Before the names of a run's texts.
const TEXT: &str = "/";

/// A checkpoint's contents, and what it says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoint {
    pub step: u64,
    pub loss: Option<f64>,
    pub contents: Contents,
}

impl Checkpoint {
    /// A safetensors file. Its metadata hold a CRC-32C of the whole file, with zeros in the checksum's place.
    fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let texts = self.contents.texts.iter().map(|(name, text)| (format!("{TEXT}{name}"), text.clone()));
        let mut metadata: std::collections::HashMap<String, String> = texts.collect();
        metadata.insert(FORMAT.into(), VERSION.into());
        metadata.insert(STEP.into(), self.step.to_string());
        metadata.extend(self.loss.map(|loss| (LOSS.into(), loss.to_string())));
        metadata.insert(SUM.into(), BLANK.into());
        let mut bytes = io::to_bytes(self.contents.tensors.clone(), metadata)?;
        let at = sum_at(&bytes).ok_or("the checksum has no place")?;
        let sum = format!("{:08x}", crc32c::crc32c(&bytes));
        bytes[at..at + BLANK.len()].copy_from_slice(sum.as_bytes());
        Ok(bytes)
    }

    fn from_bytes(mut bytes: Vec<u8>) -> Result<Checkpoint, String> {
        let at = sum_at(&bytes).ok_or_else(|| format!("no checkpoint: {} bytes without a checksum", bytes.len()))?;
        let found = bytes[at..at + BLANK.len()].to_vec();
        bytes[at..at + BLANK.len()].copy_from_slice(BLANK.as_bytes());
        let sum = format!("{:08x}", crc32c::crc32c(&bytes));
        if sum.as_bytes() != found {
            let found = String::from_utf8_lossy(&found);
            return Err(format!("damaged: its checksum is {sum}, but {found} is written in it"));
        }
        let (tensors, mut metadata) = io::from_bytes(&bytes)?;
        let version = metadata.remove(FORMAT).unwrap_or_default();
        if version != VERSION {
            return Err(format!("its format is '{version}', expected '{VERSION}'"));
        }
        let step = metadata.get(STEP).and_then(|text| text.parse().ok()).ok_or("it does not say its step")?;
        let loss = metadata.get(LOSS).and_then(|text| text.parse().ok());
        let texts = metadata.into_iter().filter_map(|(name, text)| Some((name.strip_prefix(TEXT)?.to_string(), text)));
        let contents = Contents { tensors: tensors.into_iter().collect(), texts: texts.collect() };
        Ok(Checkpoint { step, loss, contents })
    }

    /// Reads a file and verifies its checksum.
    pub(crate) fn read(path: &Path) -> Result<Checkpoint> {
        let bytes = fs::read(path).map_err(|e| Error::file(path, e))?;
        Checkpoint::from_bytes(bytes).map_err(|reason| Error::format(path, reason))
    }

    /// Writes beside the place, flushes to disk, renames, and flushes the folder: after a crash at any moment, the place holds
    /// what was there or all that is new.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let bytes = self.to_bytes().map_err(|reason| Error::format(path, reason))?;
        let part = path.with_extension(PART);
        let write = || {
            let mut file = File::create(&part)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&part, path)?;
            sync_folder(path.parent().unwrap_or(Path::new(".")))
        };
        write().map_err(|e| {
            // What is left of it is of no use, and may fill the disk.
            let _ = fs::remove_file(&part);
            Error::file(path, e)
        })
    }
}

/// The extension of a file that is being written.
pub(crate) const PART: &str = "part";

/// Makes the names in a folder durable.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    // Elsewhere a folder cannot be opened as a file.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Where the header of a file holds its checksum. Quotes in names and texts are escaped, so they cannot hold this pattern.
fn sum_at(bytes: &[u8]) -> Option<usize> {
    let pattern = format!("\"{SUM}\":\"");
    let length = u64::from_le_bytes(*bytes.first_chunk()?);
    let end = usize::try_from(length).ok()?.checked_add(8)?.min(bytes.len());
    let at = bytes[..end].windows(pattern.len()).position(|part| part == pattern.as_bytes())? + pattern.len();
    (at + BLANK.len() <= end).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wengert_autograd::Tensor;

    fn sample() -> Checkpoint {
        let mut contents = Contents::default();
        contents.tensors.insert("net/w".into(), Tensor::from_slice(&[1.5f32, -0.0, f32::NAN], [3]).unwrap());
        contents.tensors.insert("crc32c".into(), Tensor::from_slice(&[true, false], [2]).unwrap());
        contents.texts.insert("crc32c".into(), "\"crc32c\":\"ffffffff\" \n∂".into());
        contents.texts.insert("inf".into(), f64::INFINITY.to_string());
        Checkpoint { step: 7, loss: Some(0.25), contents }
    }

    #[test]
    fn bytes_are_read_back() {
        let (given, found) = (sample(), Checkpoint::from_bytes(sample().to_bytes().unwrap()).unwrap());
        assert_eq!((found.step, found.loss), (7, Some(0.25)));
        assert_eq!(found.contents.texts, given.contents.texts);
        assert_eq!(found.contents.tensors.len(), 2);
        assert!(found.contents.tensors.iter().all(|(name, tensor)| tensor.bit_eq(&given.contents.tensors[name])));
    }

    #[test]
    fn every_changed_byte_and_every_truncation_is_found() {
        let bytes = sample().to_bytes().unwrap();
        for at in 0..bytes.len() {
            for bit in [0, 7] {
                let mut broken = bytes.clone();
                broken[at] ^= 1 << bit;
                assert!(Checkpoint::from_bytes(broken).is_err(), "byte {at}");
            }
            assert!(Checkpoint::from_bytes(bytes[..at].to_vec()).is_err(), "{at} bytes");
        }
        assert!(Checkpoint::from_bytes([&bytes[..], b"x"].concat()).is_err());
        // The file is one of weights for everybody else.
        assert_eq!(io::from_bytes(&bytes).unwrap().0.len(), 2);
    }
}
