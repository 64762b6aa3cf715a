//! Metrics as a table.

use super::{Lines, Log};
use crate::error::{Error, Result};
use std::path::Path;

/// A CSV file with a column `step` and one for each metric. A metric that a call does not give leaves its cell empty.
#[derive(Debug)]
pub struct CsvLog {
    lines: Lines,
    columns: Vec<String>,
}

impl CsvLog {
    /// Opens a table, or makes it. Rows of step `start` and later go: they are of a run that was stopped after the checkpoint from which this one
    /// goes on. 0 begins anew.
    ///
    /// # Errors
    /// If it cannot be written, or has other columns.
    pub fn new(path: impl AsRef<Path>, columns: &[&str], start: u64) -> Result<CsvLog> {
        let path = path.as_ref();
        let names: Vec<String> = std::iter::once(&"step").chain(columns).map(|name| quoted(name)).collect();
        let header = names.join(",");
        if start > 0
            && let Ok(text) = std::fs::read_to_string(path)
            && let Some(found) = text.lines().next().filter(|found| *found != header)
        {
            return Err(Error::format(path, format!("its columns are '{found}', expected '{header}'")));
        }
        let before = |line: &str| {
            line == header || line.split(',').next().and_then(|s| s.parse().ok()).is_some_and(|step: u64| step < start)
        };
        let mut lines = Lines::open(path, |line| start > 0 && before(line))?;
        if lines.is_empty() {
            lines.write(&header)?;
        }
        Ok(CsvLog { lines, columns: columns.iter().map(|name| name.to_string()).collect() })
    }
}

/// A name as a cell.
fn quoted(name: &str) -> String {
    if name.contains([',', '"', '\n', '\r']) { format!("\"{}\"", name.replace('"', "\"\"")) } else { name.into() }
}

impl Log for CsvLog {
    fn log(&mut self, step: u64, values: &[(&str, f64)]) -> Result<()> {
        if let Some((name, _)) = values.iter().find(|(name, _)| !self.columns.iter().any(|column| column == name)) {
            let problem = format!("no column '{name}'; it has: {}", self.columns.join(", "));
            return Err(Error::format(self.lines.path(), problem));
        }
        let cell =
            |column: &String| values.iter().find(|(name, _)| name == column).map_or(String::new(), |v| v.1.to_string());
        let cells: Vec<String> = std::iter::once(step.to_string()).chain(self.columns.iter().map(cell)).collect();
        self.lines.write(&cells.join(","))
    }
}
