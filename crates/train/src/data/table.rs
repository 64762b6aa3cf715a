//! Tables from CSV files.

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use wengert_autograd::Tensor;

/// A table with named columns, read from a CSV file (comma separated, quoted as RFC 4180 has it, the first line a header).
///
/// ```
/// use wengert_train::Table;
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("iris.csv");
/// std::fs::write(&path, "length,width,species\n5.1,3.5,setosa\n7.0,3.2,versicolor\n").unwrap();
/// let table = Table::read(&path)?;
/// let x = table.numbers(&["length", "width"])?;               // F64 [N, 2]
/// let (y, names) = table.classes("species")?;                 // I64 [N]
/// assert_eq!((x.shape().to_vec(), names.join(" ")), (vec![2, 2], "setosa versicolor".to_string()));
/// # assert_eq!(y.to_vec::<i64>().unwrap(), [0, 1]);
/// # std::fs::write(&path, "length,width,species\n5.1,n/a,setosa\n").unwrap();
/// # let error = Table::read(&path)?.numbers(&["width"]).unwrap_err().to_string();
/// # assert!(error.ends_with("iris.csv, line 2, column 'width': 'n/a' is not a finite number"), "{error}");
/// # Ok::<(), wengert_train::Error>(())
/// ```
///
/// A cell that does not hold a number is an error with its address: `iris.csv, line 2, column 'width': 'n/a' is not a finite number`.
#[derive(Clone, Debug)]
pub struct Table {
    path: PathBuf,
    names: Vec<String>,
    /// The cells of each row, and its line.
    rows: Vec<(u64, csv::StringRecord)>,
}

impl Table {
    /// Reads a file. White space around cells does not count.
    ///
    /// # Errors
    /// If it cannot be read, is empty, is not UTF-8, or a row has not as many cells as the header.
    pub fn read(path: impl AsRef<Path>) -> Result<Table> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|e| Error::file(path, e))?;
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(&bytes[..]);
        let header = reader.headers().map_err(|e| problem(path, &bytes, &e))?.clone();
        if header.is_empty() {
            return Err(Error::format(path, "the file is empty, expected a line with the names of the columns"));
        }
        let names: Vec<String> = header.iter().map(String::from).collect();
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|e| problem(path, &bytes, &e))?;
            let line = record.position().map_or(0, |position| line_at(&bytes, position));
            rows.push((line, record));
        }
        Ok(Table { path: path.into(), names, rows })
    }

    /// The names of the columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How many rows there are, without the header.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Columns of numbers, F64 `[N, columns]`.
    ///
    /// # Errors
    /// If there is no such column, or a cell in it is not a finite number.
    pub fn numbers(&self, columns: &[&str]) -> Result<Tensor> {
        let places: Vec<usize> = columns.iter().map(|name| self.column(name)).collect::<Result<_>>()?;
        let mut values = Vec::with_capacity(self.len() * columns.len());
        for (line, row) in &self.rows {
            for (name, place) in columns.iter().zip(&places) {
                let text = &row[*place];
                match text.parse::<f64>() {
                    Ok(value) if value.is_finite() => values.push(value),
                    _ => {
                        return Err(Error::Cell {
                            path: self.path.clone(),
                            line: *line,
                            column: name.to_string(),
                            found: text.to_string(),
                            expected: "a finite number".into(),
                        });
                    }
                }
            }
        }
        Ok(Tensor::from_vec(values, [self.len(), columns.len()])?)
    }

    /// A column of texts.
    ///
    /// # Errors
    /// If there is no such column.
    pub fn texts(&self, column: &str) -> Result<Vec<&str>> {
        let place = self.column(column)?;
        Ok(self.rows.iter().map(|(_, row)| &row[place]).collect())
    }

    /// A column of names as classes: a number for each row, I64 `[N]`, and the names in alphabetical order.
    ///
    /// # Errors
    /// If there is no such column.
    pub fn classes(&self, column: &str) -> Result<(Tensor, Vec<String>)> {
        let texts = self.texts(column)?;
        let names: Vec<&str> = std::collections::BTreeSet::from_iter(texts.iter().copied()).into_iter().collect();
        // Each text is one of the names, which are in order.
        let numbers = texts.iter().map(|text| names.partition_point(|name| name < text) as i64).collect();
        Ok((Tensor::from_vec(numbers, [self.len()])?, names.into_iter().map(String::from).collect()))
    }

    fn column(&self, name: &str) -> Result<usize> {
        let found = self.names.iter().position(|known| known == name);
        let problem = || format!("no column '{name}'; it has: {}", self.names.join(", "));
        found.ok_or_else(|| Error::format(&self.path, problem()))
    }
}

/// The reader's errors, with the line.
fn problem(path: &Path, bytes: &[u8], error: &csv::Error) -> Error {
    let at = |position: &csv::Position, what: String| {
        Error::format(path, format!("line {}: {what}", line_at(bytes, position)))
    };
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos: Some(position), expected_len, len } => {
            at(position, format!("{len} cell{}, the header has {expected_len}", if *len == 1 { "" } else { "s" }))
        }
        csv::ErrorKind::Utf8 { pos: Some(position), .. } => at(position, "not UTF-8 text".into()),
        _ => Error::format(path, error.to_string()),
    }
}

/// The line of a record. The reader's position is that before the line ends and empty lines in front of it.
fn line_at(bytes: &[u8], position: &csv::Position) -> u64 {
    let rest = &bytes[(position.byte() as usize).min(bytes.len())..];
    let ends = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    position.line() + ends.filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &[u8]) -> Result<Table> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.csv");
        std::fs::write(&path, text).unwrap();
        Table::read(path)
    }

    #[test]
    fn numbers_and_classes_are_read() {
        let table = table("\u{feff}time,\"a, b\",kind\r\n1, -2.5e3 ,y\r\n\r\n2,0,x\n3,.5,y".as_bytes()).unwrap();
        assert_eq!((table.len(), table.names().join("|")), (3, "time|a, b|kind".into()));
        assert_eq!(table.numbers(&["a, b", "time"]).unwrap().to_f64_vec(), [-2500.0, 1.0, 0.0, 2.0, 0.5, 3.0]);
        let (classes, names) = table.classes("kind").unwrap();
        assert_eq!((classes.to_f64_vec(), names.join(" ")), (vec![1.0, 0.0, 1.0], "x y".into()));
    }

    #[test]
    fn errors_have_an_address() {
        let says = |text: &[u8], part: &str| {
            let error = table(text).and_then(|table| table.numbers(&["a"])).unwrap_err().to_string();
            assert!(error.ends_with(part), "{error}");
        };
        says(b"a,b\n1,2\n\nx,3\n", "data.csv, line 4, column 'a': 'x' is not a finite number");
        says(b"a,b\n1,2\n,3\n", "data.csv, line 3, column 'a': '' is not a finite number");
        says(b"a,b\n1,2\nnan,3\n", "data.csv, line 3, column 'a': 'nan' is not a finite number");
        says(b"a,b\n1e999,2\n", "data.csv, line 2, column 'a': '1e999' is not a finite number");
        says(b"a,b\n1,2\n3\n", "data.csv: line 3: 1 cell, the header has 2");
        says(b"a,b\n1,2\n\xff,3\n", "data.csv: line 3: not UTF-8 text");
        says(b"c,b\n1,2\n", "data.csv: no column 'a'; it has: c, b");
        says(b"", "data.csv: the file is empty, expected a line with the names of the columns");
        assert!(Table::read("/nowhere.csv").unwrap_err().to_string().starts_with("/nowhere.csv: No such file"));
    }
}
