//! Metrics as lines of JSON.

use super::{Lines, Log};
use crate::error::Result;
use std::fmt::Write;
use std::path::Path;

/// A file with one JSON object a call: `{"step":3,"loss":0.25}`. Infinities and NaN, which JSON has not, are `null`.
#[derive(Debug)]
pub struct JsonLog {
    lines: Lines,
}

/// How every line begins.
const STEP: &str = "{\"step\":";

impl JsonLog {
    /// Opens a file, or makes it. Lines of step `start` and later go; see [`CsvLog::new`](super::CsvLog::new).
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn new(path: impl AsRef<Path>, start: u64) -> Result<JsonLog> {
        let step = |line: &str| line.strip_prefix(STEP)?.split([',', '}']).next()?.parse::<u64>().ok();
        let lines = Lines::open(path.as_ref(), |line| step(line).is_some_and(|step| step < start))?;
        Ok(JsonLog { lines })
    }
}

impl Log for JsonLog {
    fn log(&mut self, step: u64, values: &[(&str, f64)]) -> Result<()> {
        let mut line = format!("{STEP}{step}");
        for (name, value) in values {
            let number = if value.is_finite() { value.to_string() } else { "null".into() };
            // Writing to a string cannot fail.
            let _ = write!(line, ",\"{}\":{number}", escaped(name));
        }
        self.lines.write(&(line + "}"))
    }
}

/// A name inside of quotes (RFC 8259, section 7).
pub(crate) fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '\t' => text.push_str("\\t"),
            '\n' => text.push_str("\\n"),
            c if c < ' ' => text.push_str(&format!("\\u{:04x}", c as u32)),
            c => text.push(c),
        }
    }
    text
}
