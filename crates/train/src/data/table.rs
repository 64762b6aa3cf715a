//! Tables from CSV files.

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use wengert_autograd::Tensor;

/// A table with named columns, read from a CSV file (comma separated, quoted as RFC 4180 has it, the first line a header; or as
/// [`TableOptions`] say).
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
    missing: Missing,
    na_values: Vec<String>,
}

/// How a CSV file is written, and what becomes of missing numbers.
///
/// ```
/// use wengert_train::{Missing, Table, TableOptions};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("weather.csv");
/// std::fs::write(&path, "2024-01-01;3.5\n2024-01-02;\n2024-01-03;4\n").unwrap();
/// let options = TableOptions { delimiter: b';', header: false, missing: Missing::ForwardFill, ..Default::default() };
/// let table = Table::read_with(&path, &options)?;
/// assert_eq!(table.names(), ["0", "1"]);
/// assert_eq!(table.numbers(&["1"])?.to_vec::<f64>()?, [3.5, 3.5, 4.0]);
/// # Ok::<(), wengert_train::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableOptions {
    /// What stands between cells; a comma by default, `b'\t'` for a tab.
    pub delimiter: u8,
    /// Whether the first line has the names of the columns, as by default. Without it they are numbered from `0`.
    pub header: bool,
    /// What [`Table::numbers`] makes of a missing number.
    pub missing: Missing,
    /// The texts of a missing number; by default nothing, `NA`, `N/A`, `n/a`, `NaN`, `nan`, `null` and `?`. Any other text that is no number is an error.
    pub na_values: Vec<String>,
}

impl Default for TableOptions {
    fn default() -> TableOptions {
        let na_values = ["", "NA", "N/A", "n/a", "NaN", "nan", "null", "?"].map(String::from).into();
        TableOptions { delimiter: b',', header: true, missing: Missing::Error, na_values }
    }
}

/// What becomes of a missing number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// An error with the line and the column.
    #[default]
    Error,
    /// NaN: the program decides, by a mask or another value.
    Nan,
    /// The number of the column in the row before. An error if there is none.
    ForwardFill,
}

impl Table {
    /// Reads a file. White space around cells does not count.
    ///
    /// # Errors
    /// If it cannot be read, is empty, is not UTF-8, or a row has not as many cells as the header.
    pub fn read(path: impl AsRef<Path>) -> Result<Table> {
        Table::read_with(path, &TableOptions::default())
    }

    /// Reads a file that is written in another way.
    ///
    /// # Errors
    /// As [`read`](Table::read).
    pub fn read_with(path: impl AsRef<Path>, options: &TableOptions) -> Result<Table> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|e| Error::file(path, e))?;
        let mut builder = csv::ReaderBuilder::new();
        builder.trim(csv::Trim::All).delimiter(options.delimiter).has_headers(options.header);
        let mut reader = builder.from_reader(&bytes[..]);
        // Without a header it is the first row, which comes again below.
        let header = reader.headers().map_err(|e| problem(path, &bytes, &e))?.clone();
        if header.is_empty() {
            let expected = if options.header { "a line with the names of the columns" } else { "at least one row" };
            return Err(Error::format(path, format!("the file is empty, expected {expected}")));
        }
        let name = |(i, text): (usize, &str)| if options.header { text.to_string() } else { i.to_string() };
        let names: Vec<String> = header.iter().enumerate().map(name).collect();
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|e| problem(path, &bytes, &e))?;
            let line = record.position().map_or(0, |position| line_at(&bytes, position));
            rows.push((line, record));
        }
        let TableOptions { missing, na_values, .. } = options.clone();
        Ok(Table { path: path.into(), names, rows, missing, na_values })
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

    /// Columns of numbers, F64 `[N, columns]`. Of missing ones becomes what the [options](TableOptions::missing) say.
    ///
    /// # Errors
    /// If there is no such column, or a cell in it is neither a finite number nor missing.
    pub fn numbers(&self, columns: &[&str]) -> Result<Tensor> {
        let places: Vec<usize> = columns.iter().map(|name| self.column(name)).collect::<Result<_>>()?;
        let mut values: Vec<f64> = Vec::with_capacity(self.len() * columns.len());
        for (line, row) in &self.rows {
            for (name, place) in columns.iter().zip(&places) {
                let text = &row[*place];
                // A number such as -9999 may stand for a missing one.
                let is_missing = self.na_values.iter().any(|missing| missing == text);
                let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && !is_missing);
                // The row before ends where this one has come to.
                let before = values.len().checked_sub(columns.len());
                let value = match (number, self.missing) {
                    (Some(number), _) => Some(number),
                    (None, Missing::Nan) if is_missing => Some(f64::NAN),
                    (None, Missing::ForwardFill) if is_missing => before.map(|at| values[at]),
                    (None, _) => None,
                };
                let Some(value) = value else {
                    let first = self.missing == Missing::ForwardFill && is_missing;
                    return Err(Error::Cell {
                        path: self.path.clone(),
                        line: *line,
                        column: name.to_string(),
                        found: text.to_string(),
                        expected: if first {
                            "a finite number, and there is none before it"
                        } else {
                            "a finite number"
                        }
                        .into(),
                    });
                };
                values.push(value);
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
            at(position, format!("{len} cell{}, the first line has {expected_len}", if *len == 1 { "" } else { "s" }))
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

    fn table_with(text: &str, options: &TableOptions) -> Result<Table> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.csv");
        std::fs::write(&path, text).unwrap();
        Table::read_with(path, options)
    }

    #[test]
    fn other_files_are_read() {
        for (delimiter, sign) in [(b';', ";"), (b'\t', "\t"), (b'|', "|")] {
            let text = "a,b\"c\n1,\"2\"\n".replace(',', sign);
            let options = TableOptions { delimiter, ..Default::default() };
            let table = table_with(&text, &options).unwrap();
            assert_eq!(table.names(), ["a", "b\"c"]);
            assert_eq!(table.numbers(&["b\"c"]).unwrap().to_f64_vec(), [2.0]);
        }
        let options = TableOptions { header: false, ..Default::default() };
        let table = table_with("1,x\n\n2,y\n", &options).unwrap();
        assert_eq!((table.len(), table.names().join(" ")), (2, "0 1".into()));
        assert_eq!(table.numbers(&["0"]).unwrap().to_f64_vec(), [1.0, 2.0]);
        assert_eq!(table.texts("1").unwrap(), ["x", "y"]);
        let error = table_with("1,x\n2\n", &options).unwrap_err().to_string();
        assert!(error.ends_with("data.csv: line 2: 1 cell, the first line has 2"), "{error}");
        let error = table_with("", &options).unwrap_err().to_string();
        assert!(error.ends_with("data.csv: the file is empty, expected at least one row"), "{error}");
        let error = table.numbers(&["0", "1"]).unwrap_err().to_string();
        assert!(error.ends_with("data.csv, line 1, column '1': 'x' is not a finite number"), "{error}");
    }

    #[test]
    fn missing_numbers_become_what_is_asked() {
        let text = "a,b\n1,2\n,3\nNA,?\n4,nan\n";
        let numbers = |text: &str, missing: Missing, columns: &[&str]| {
            let table = table_with(text, &TableOptions { missing, ..Default::default() })?;
            table.numbers(columns).map(|numbers| numbers.to_f64_vec())
        };
        let filled = numbers(text, Missing::ForwardFill, &["a", "b"]).unwrap();
        assert_eq!(filled, [1.0, 2.0, 1.0, 3.0, 1.0, 3.0, 4.0, 3.0]);
        assert_eq!(numbers(text, Missing::ForwardFill, &["b", "a", "b"]).unwrap()[6..9], [3.0, 1.0, 3.0]);
        let nan = numbers(text, Missing::Nan, &["a"]).unwrap();
        assert!(nan[0] == 1.0 && nan[1].is_nan() && nan[2].is_nan() && nan[3] == 4.0, "{nan:?}");
        let says = |text: &str, missing: Missing, part: &str| {
            let error = numbers(text, missing, &["a"]).unwrap_err().to_string();
            assert!(error.ends_with(part), "{error}");
        };
        says(text, Missing::Error, "data.csv, line 3, column 'a': '' is not a finite number");
        // What is neither a number nor missing is a mistake under every policy.
        for missing in [Missing::Error, Missing::Nan, Missing::ForwardFill] {
            says("a,b\n1,2\n1..5,3\n", missing, "data.csv, line 3, column 'a': '1..5' is not a finite number");
        }
        let part = "data.csv, line 2, column 'a': '' is not a finite number, and there is none before it";
        says("a,b\n,2\n1,3\n", Missing::ForwardFill, part);
        // Other texts of missing numbers.
        let options =
            TableOptions { missing: Missing::Nan, na_values: vec!["-9999".into(), "x".into()], ..Default::default() };
        let found = table_with("a\nx\n-9999\n0\n", &options).unwrap().numbers(&["a"]).unwrap().to_f64_vec();
        assert!(found[0].is_nan() && found[1].is_nan() && found[2] == 0.0, "{found:?}");
        assert!(table_with("a\nNA\n", &options).unwrap().numbers(&["a"]).is_err());
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
        says(b"a,b\n1,2\n3\n", "data.csv: line 3: 1 cell, the first line has 2");
        says(b"a,b\n1,2\n\xff,3\n", "data.csv: line 3: not UTF-8 text");
        says(b"c,b\n1,2\n", "data.csv: no column 'a'; it has: c, b");
        says(b"", "data.csv: the file is empty, expected a line with the names of the columns");
        assert!(Table::read("/nowhere.csv").unwrap_err().to_string().starts_with("/nowhere.csv: No such file"));
    }
}
