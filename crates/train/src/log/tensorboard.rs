//! Event files of TensorBoard.
//!
//! A file is a sequence of records, each `length u64 | masked crc32c of length | data | masked crc32c of data`, little-endian, whose
//! data are an `Event` in protocol buffers (tensorflow/core/lib/io/record_writer.cc, tensorflow/core/util/event.proto). Of these
//! the fields used here are few, so they are written by hand:
//!
//! ```text
//! Event    1 wall_time: double   2 step: int64   3 file_version: string   5 summary: Summary   7 session_log: SessionLog
//! Summary  1 value: repeated Value        Value  1 tag: string   2 simple_value: float   5 histo: HistogramProto
//! HistogramProto  1 min  2 max  3 num  4 sum  5 sum_squares: double   6 bucket_limit  7 bucket: packed doubles
//! SessionLog      1 status: enum (1 = START)
//! ```

use super::{Appended, Log};
use crate::error::{Error, Result};
use std::fs::OpenOptions;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use wengert_autograd::Tensor;

/// Scalars and histograms for TensorBoard: `tensorboard --logdir FOLDER`.
#[derive(Debug)]
pub struct TensorBoard {
    file: Appended,
}

/// The number of buckets of a histogram.
const BUCKETS: usize = 30;

impl TensorBoard {
    /// A new event file in a folder, which is made if it is missing. What other files in it say of step `start` and later is void: TensorBoard
    /// leaves out what a run has written that was stopped after the checkpoint from which this one goes on.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn new(folder: impl AsRef<Path>, start: u64) -> Result<TensorBoard> {
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder).map_err(|e| Error::file(folder, e))?;
        let seconds = now() as u64;
        // TensorBoard reads the files of a folder in the order of their names.
        let mut number = 0;
        let (path, file) = loop {
            let path = folder.join(format!("events.out.tfevents.{seconds:010}.{number:03}.wengert"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => break (path, file),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(e) => return Err(Error::file(&path, e)),
            }
        };
        let mut board = TensorBoard { file: Appended { path, file, length: 0, torn: false } };
        let mut version = Message::default();
        version.bytes(3, b"brain.Event:2");
        board.event(0, version)?;
        if start > 0 {
            let (mut session, mut event) = (Message::default(), Message::default());
            session.integer(1, 1);
            event.bytes(7, &session.0);
            board.event(start, event)?;
        }
        Ok(board)
    }

    /// Writes a histogram of a tensor's values: gates, gradients, weights. Values that are not finite are left out.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn histogram(&mut self, step: u64, name: &str, tensor: &Tensor) -> Result<()> {
        let values: Vec<f64> = tensor.to_f64_vec().into_iter().filter(|v| v.is_finite()).collect();
        let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
        if values.is_empty() {
            return Ok(());
        }
        let width = if high > low { (high - low) / BUCKETS as f64 } else { 1.0 };
        let limits: Vec<f64> = (1..=BUCKETS).map(|i| low + width * i as f64).collect();
        let mut counts = vec![0.0; BUCKETS];
        // The quotient is 30 for the highest value.
        values.iter().for_each(|v| counts[(((v - low) / width) as usize).min(BUCKETS - 1)] += 1.0);
        let mut histogram = Message::default();
        let moments = [low, high, values.len() as f64, values.iter().sum(), values.iter().map(|v| v * v).sum()];
        for (field, value) in (1..).zip(moments) {
            histogram.double(field, value);
        }
        histogram.doubles(6, &limits);
        histogram.doubles(7, &counts);
        self.summary(step, &[(name, histogram)], |value, histogram| value.bytes(5, &histogram.0))
    }

    fn summary<V>(&mut self, step: u64, values: &[(&str, V)], write: impl Fn(&mut Message, &V)) -> Result<()> {
        let mut summary = Message::default();
        for (name, content) in values {
            let mut value = Message::default();
            value.bytes(1, name.as_bytes());
            write(&mut value, content);
            summary.bytes(1, &value.0);
        }
        let mut event = Message::default();
        event.bytes(5, &summary.0);
        self.event(step, event)
    }

    /// Appends an event in one call.
    fn event(&mut self, step: u64, content: Message) -> Result<()> {
        let mut event = Message::default();
        event.double(1, now());
        event.integer(2, step);
        event.0.extend(content.0);
        self.file.write(&record(&event.0))
    }
}

impl Log for TensorBoard {
    fn log(&mut self, step: u64, values: &[(&str, f64)]) -> Result<()> {
        self.summary(step, values, |value, number| value.float(2, *number as f32))
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked(&length).to_le_bytes(), data, &masked(data).to_le_bytes()].concat()
}

/// A checksum that is not one of data which hold checksums (tensorflow/tsl/lib/hash/crc32c.h).
fn masked(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A message in protocol buffers' wire format.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn integer(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.varint(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
    }

    fn float(&mut self, field: u64, value: f32) {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn doubles(&mut self, field: u64, values: &[f64]) {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.bytes(field, &bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As TensorFlow's own tests have them (crc32c_test.cc), and a record that `tf.io.TFRecordWriter` writes.
    #[test]
    fn checksums_and_records_are_those_of_the_format() {
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c::crc32c(&[0xff; 32]), 0x62a8_ab43);
        let found = record(b"abc");
        assert_eq!((found.len(), &found[..8], &found[12..15]), (19, &[3, 0, 0, 0, 0, 0, 0, 0][..], &b"abc"[..]));
        // crc32c("abc") is 364b3fb7.
        let wanted = 0x364b_3fb7u32.rotate_right(15).wrapping_add(0xa282_ead8);
        assert_eq!(found[15..], wanted.to_le_bytes());
    }

    #[test]
    fn events_are_protocol_buffers() {
        let folder = tempfile::tempdir().unwrap();
        let mut board = TensorBoard::new(folder.path(), 300).unwrap();
        board.log(300, &[("a", 0.5)]).unwrap();
        let bytes = std::fs::read(&board.file.path).unwrap();
        let mut rest = &bytes[..];
        let mut events = Vec::new();
        while let Some(length) = rest.first_chunk::<8>() {
            let length = u64::from_le_bytes(*length) as usize;
            events.push(&rest[12..12 + length]);
            rest = &rest[16 + length..];
        }
        assert_eq!(events.len(), 3);
        // wall_time (9 bytes), step 0, file_version.
        assert_eq!(events[0][9..], [&[0x10, 0, 0x1a, 13][..], b"brain.Event:2"].concat());
        // step 300, session_log { status: START }.
        assert_eq!(events[1][9..], [0x10, 0xac, 0x02, 0x3a, 2, 0x08, 1]);
        // step 300, summary { value { tag: "a", simple_value: 0.5 } }.
        assert_eq!(events[2][9..], [0x10, 0xac, 0x02, 0x2a, 10, 0x0a, 8, 0x0a, 1, b'a', 0x15, 0, 0, 0, 0x3f]);
        // A second run at the same second has a file of its own, which comes later.
        let other = TensorBoard::new(folder.path(), 0).unwrap();
        assert!(other.file.path > board.file.path);
    }
}
