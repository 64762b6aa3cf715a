//! Numbers of a run, step by step, in files.

mod csv;
mod jsonl;
mod tensorboard;

pub use csv::CsvLog;
pub use jsonl::JsonLog;
pub(crate) use jsonl::escaped;
pub use tensorboard::TensorBoard;

use crate::error::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A place for the numbers of a run; a tuple of logs is a log.
///
/// ```
/// use wengert_train::{CsvLog, JsonLog, Log, TensorBoard};
/// # let temporary = tempfile::tempdir().unwrap();
/// # let folder = temporary.path();
/// // The step at which the run goes on: what a killed run has written from there on goes.
/// let start = 0;
/// let mut log = (
///     CsvLog::new(folder.join("metrics.csv"), &["loss", "lr"], start)?,
///     JsonLog::new(folder.join("metrics.jsonl"), start)?,
///     TensorBoard::new(folder.join("events"), start)?,
/// );
/// for step in 0..3 {
///     log.log(step, &[("loss", 1.0 / (step + 1) as f64), ("lr", 0.1)])?;
/// }
/// assert_eq!(std::fs::read_to_string(folder.join("metrics.csv")).unwrap(), "step,loss,lr\n0,1,0.1\n1,0.5,0.1\n2,0.3333333333333333,0.1\n");
/// # Ok::<(), wengert_train::Error>(())
/// ```
///
/// Every call reaches the system, so a killed process loses no line. A call that fails leaves nothing behind: the run may go on, and its log is
/// whole again when the disk is.
pub trait Log {
    /// Writes the numbers of a step. Steps do not go down.
    ///
    /// # Errors
    /// If the file cannot be written.
    fn log(&mut self, step: u64, values: &[(&str, f64)]) -> Result<()>;
}

macro_rules! tuple {
    ($($name:ident $index:tt),*) => {
        impl<$($name: Log),*> Log for ($($name,)*) {
            fn log(&mut self, step: u64, values: &[(&str, f64)]) -> Result<()> {
                $(self.$index.log(step, values)?;)*
                Ok(())
            }
        }
    };
}
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);

/// A file that grows by whole pieces: what a call that failed has left of its own goes, so that the next piece does not follow half a one.
#[derive(Debug)]
struct Appended {
    path: PathBuf,
    file: File,
    /// How long it is with all its whole pieces.
    length: u64,
    /// Whether there may be half a piece behind them.
    torn: bool,
}

impl Appended {
    /// Appends a piece in one call.
    fn write(&mut self, piece: &[u8]) -> Result<()> {
        match self.cut().and_then(|()| self.file.write_all(piece)) {
            Ok(()) => {
                self.length += piece.len() as u64;
                Ok(())
            }
            Err(e) => {
                self.torn = true;
                // If it does not succeed now, the next call tries again first.
                let _ = self.cut();
                Err(Error::file(&self.path, e))
            }
        }
    }

    fn cut(&mut self) -> std::io::Result<()> {
        if self.torn {
            self.file.set_len(self.length)?;
            self.file.seek(SeekFrom::Start(self.length))?;
            self.torn = false;
        }
        Ok(())
    }
}

/// A file of lines, appended to.
#[derive(Debug)]
struct Lines(Appended);

impl Lines {
    /// Opens a file, or makes it with its folder. Lines stay up to the first for which `stays` is not true, and the last if it has no end: a run was
    /// killed in it.
    fn open(path: &Path, stays: impl Fn(&str) -> bool) -> Result<Lines> {
        let open = || {
            std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
            let text = match std::fs::read(path) {
                Ok(bytes) => bytes,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                Err(e) => return Err(e),
            };
            let mut length = 0;
            for line in text.split_inclusive(|byte| *byte == b'\n') {
                let whole = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
                if !whole.is_some_and(&stays) {
                    break;
                }
                length += line.len() as u64;
            }
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
            let mut lines = Lines(Appended { path: path.into(), file, length, torn: true });
            lines.0.cut()?;
            Ok(lines)
        };
        open().map_err(|e| Error::file(path, e))
    }

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.0.length == 0
    }

    fn path(&self) -> &Path {
        &self.0.path
    }

    fn write(&mut self, line: &str) -> Result<()> {
        self.0.write(format!("{line}\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes steps as a run that is killed after some, and goes on from `resumed`.
    fn twice<L: Log>(make: impl Fn(u64) -> L, killed: u64, resumed: u64, end: u64) {
        let values = |step: u64| [("loss", 1.0 / (step + 1) as f64), ("a \"b\"", step as f64)];
        let mut log = make(0);
        (0..killed).for_each(|step| log.log(step, &values(step)).unwrap());
        drop(log);
        let mut log = make(resumed);
        (resumed..end).for_each(|step| log.log(step, &values(step)).unwrap());
    }

    #[test]
    fn a_resumed_log_is_that_of_an_undisturbed_run() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        for (name, killed, resumed) in [("a", 0, 0), ("b", 7, 4), ("c", 7, 7), ("d", 7, 0)] {
            let path = |kind: &str| folder.path().join(format!("deep/{name}.{kind}"));
            twice(|step| CsvLog::new(path("csv"), &["loss", "a \"b\""], step).unwrap(), killed, resumed, 10);
            twice(|step| JsonLog::new(path("jsonl"), step).unwrap(), killed, resumed, 10);
            for kind in ["csv", "jsonl"] {
                assert_eq!(read(&format!("deep/{name}.{kind}")), read(&format!("deep/a.{kind}")), "{name}");
            }
        }
        assert!(read("deep/a.csv").starts_with("step,loss,\"a \"\"b\"\"\"\n0,1,0\n1,0.5,1\n"));
        assert!(
            read("deep/a.jsonl").starts_with("{\"step\":0,\"loss\":1,\"a \\\"b\\\"\":0}\n{\"step\":1,\"loss\":0.5,")
        );
    }

    #[test]
    fn half_a_line_goes_and_another_table_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.csv");
        std::fs::write(&path, "step,loss\n0,1\n1,0.").unwrap();
        drop(CsvLog::new(&path, &["loss"], 5).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "step,loss\n0,1\n");
        let error = CsvLog::new(&path, &["loss", "lr"], 5).unwrap_err().to_string();
        assert!(error.contains("its columns are 'step,loss', expected 'step,loss,lr'"), "{error}");
        let error = CsvLog::new(&path, &["loss"], 5).unwrap().log(5, &[("lr", 1.0)]).unwrap_err().to_string();
        assert!(error.contains("no column 'lr'"), "{error}");

        let path = folder.path().join("m.jsonl");
        let mut log = JsonLog::new(&path, 0).unwrap();
        log.log(0, &[("x", f64::NAN), ("y", f64::NEG_INFINITY), ("tab\t∂", 1e300)]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{{\"step\":0,\"x\":null,\"y\":null,\"tab\\t∂\":{}}}\n", 1e300));
    }
}
