//! Rows of results: a table for people, or JSON lines for programs.

use crate::shapes::Shape;
use crate::timing::Timing;
use std::fmt::Write;

/// What a field holds.
pub(crate) enum Value {
    Text(String),
    Count(usize),
    Real(f64),
    /// With all its digits.
    Exact(f64),
}

/// The fields of a row, in order.
#[derive(Default)]
pub(crate) struct Row(Vec<(&'static str, Value)>);

impl Row {
    pub(crate) fn new(system: &str) -> Row {
        Row::default().text("system", system)
    }

    pub(crate) fn text(mut self, name: &'static str, value: &str) -> Row {
        self.0.push((name, Value::Text(value.to_string())));
        self
    }

    pub(crate) fn count(mut self, name: &'static str, value: usize) -> Row {
        self.0.push((name, Value::Count(value)));
        self
    }

    pub(crate) fn real(mut self, name: &'static str, value: f64) -> Row {
        self.0.push((name, Value::Real(value)));
        self
    }

    pub(crate) fn exact(mut self, name: &'static str, value: f64) -> Row {
        self.0.push((name, Value::Exact(value)));
        self
    }

    pub(crate) fn shape(self, shape: &Shape) -> Row {
        let Shape { name, t, b, i, h, l } = shape;
        self.text("shape", name).count("T", *t).count("B", *b).count("I", *i).count("H", *h).count("L", *l)
    }

    /// The median and least time in milliseconds, and the number of runs.
    pub(crate) fn timing(self, timing: &Timing) -> Row {
        self.real("ms", timing.median).real("min_ms", timing.min).count("runs", timing.runs)
    }

    fn json(&self) -> String {
        let mut line = String::from("{");
        for (i, (name, value)) in self.0.iter().enumerate() {
            // Writing to a string cannot fail. Names are plain words, which Rust quotes as JSON does.
            let _ = write!(line, "{}\"{name}\": ", if i > 0 { ", " } else { "" });
            let _ = match value {
                Value::Text(text) => write!(line, "{text:?}"),
                Value::Count(count) => write!(line, "{count}"),
                Value::Real(real) if real.is_finite() => write!(line, "{}", significant(*real)),
                Value::Exact(real) if real.is_finite() => write!(line, "{real:?}"),
                Value::Real(_) | Value::Exact(_) => write!(line, "null"),
            };
        }
        line + "}"
    }

    fn head(&self) -> String {
        self.line(|name, _| name.to_string())
    }

    fn cells(&self) -> String {
        self.line(|_, value| match value {
            Value::Text(text) => text.clone(),
            Value::Count(count) => count.to_string(),
            Value::Real(real) => significant(*real),
            Value::Exact(real) => format!("{real:?}"),
        })
    }

    fn line(&self, of: impl Fn(&str, &Value) -> String) -> String {
        let mut line = String::new();
        for (name, value) in &self.0 {
            let text = of(name, value);
            let _ = match (*name, value) {
                ("system", _) => write!(line, "{text:24}"),
                (_, Value::Text(_)) => write!(line, "  {text:16}"),
                (_, Value::Count(_)) => write!(line, "  {text:>0$}", name.len().max(4)),
                (_, Value::Real(_)) => write!(line, "  {text:>0$}", name.len().max(9)),
                (_, Value::Exact(_)) => write!(line, "  {text:>24}"),
            };
        }
        line.trim_end().to_string()
    }
}

/// A number with five significant digits, without an exponent: the least time here is some nanoseconds in milliseconds.
fn significant(real: f64) -> String {
    let digits =
        if real == 0.0 || !real.is_finite() { 0.0 } else { (4.0 - real.abs().log10().floor()).clamp(0.0, 9.0) };
    format!("{real:.0$}", digits as usize)
}

/// Prints rows as they come.
pub(crate) struct Report {
    json: bool,
    head: String,
}

impl Report {
    pub(crate) fn new(json: bool) -> Report {
        Report { json, head: String::new() }
    }

    pub(crate) fn row(&mut self, row: &Row) {
        if self.json {
            return say(&row.json());
        }
        let head = row.head();
        if head != self.head {
            say(&format!("{}{head}", if self.head.is_empty() { "" } else { "\n" }));
            self.head = head;
        }
        say(&row.cells());
    }
}

/// Prints a line; ends the program where nobody reads it, as behind `| head`.
fn say(line: &str) {
    use std::io::Write;
    if let Err(error) = writeln!(std::io::stdout(), "{line}") {
        let unread = error.kind() == std::io::ErrorKind::BrokenPipe;
        if !unread {
            eprintln!("{error}");
        }
        std::process::exit(!unread as i32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_json() {
        let shape = Shape { name: "seed".into(), t: 5, b: 3, i: 10, h: 20, l: 2 };
        let timing = Timing { median: 0.0123456, min: 0.01, runs: 7, times: vec![] };
        let row = Row::new("a \"b\"").shape(&shape).timing(&timing).real("gain", f64::NAN).exact("loss", 1.0 / 3.0);
        let expected = r#"{"system": "a \"b\"", "shape": "seed", "T": 5, "B": 3, "I": 10, "H": 20, "L": 2, "ms": 0.012346, "min_ms": 0.010000, "runs": 7, "gain": null, "loss": 0.3333333333333333}"#;
        assert_eq!(row.json(), expected);
        assert!(row.head().starts_with("system                    shape                T"), "{}", row.head());
    }

    #[test]
    fn numbers_keep_five_digits() {
        let cases = [(1234567.0, "1234567"), (12.3456789, "12.346"), (0.000123456, "0.00012346"), (0.0, "0")];
        for (real, text) in cases {
            assert_eq!(significant(real), text);
        }
    }
}
