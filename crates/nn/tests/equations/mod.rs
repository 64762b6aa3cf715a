//! A reader of equations: the grammar of explanations, over matrices. It knows nothing of tapes.

use std::collections::HashMap;
use wengert_autograd::Explanation;

/// Rows of numbers.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    columns: usize,
    data: Vec<f64>,
}

impl Matrix {
    pub(crate) fn of(columns: usize, data: Vec<f64>) -> Matrix {
        Matrix { columns, data }
    }

    fn rows(&self) -> usize {
        self.data.len() / self.columns
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        // A row, a column or a number stands for every row or column.
        let row = if self.rows() == 1 { 0 } else { row };
        self.data[row * self.columns + if self.columns == 1 { 0 } else { column }]
    }

    fn build(rows: usize, columns: usize, f: impl Fn(usize, usize) -> f64) -> Matrix {
        Matrix { columns, data: (0..rows * columns).map(|i| f(i / columns, i % columns)).collect() }
    }

    fn map(&self, f: impl Fn(f64) -> f64) -> Matrix {
        Matrix { columns: self.columns, data: self.data.iter().map(|v| f(*v)).collect() }
    }

    fn zip(&self, other: &Matrix, f: impl Fn(f64, f64) -> f64) -> Matrix {
        let (rows, columns) = (self.rows().max(other.rows()), self.columns.max(other.columns));
        Matrix::build(rows, columns, |r, c| f(self.at(r, c), other.at(r, c)))
    }

    fn product(&self, other: &Matrix) -> Matrix {
        if self.data.len() == 1 || other.data.len() == 1 {
            return self.zip(other, |a, b| a * b);
        }
        assert_eq!(self.columns, other.rows(), "matrices fit");
        let sum = |r: usize, c: usize| (0..self.columns).map(|k| self.at(r, k) * other.at(k, c)).sum();
        Matrix::build(self.rows(), other.columns, sum)
    }

    fn columns(&self, start: usize, end: usize) -> Matrix {
        Matrix::build(self.rows(), end - start, |r, c| self.at(r, start + c))
    }

    fn joined(parts: &[Matrix]) -> Matrix {
        let rows = parts[0].rows();
        let line = |r: usize| parts.iter().flat_map(move |p| (0..p.columns).map(move |c| p.at(r, c)));
        Matrix { columns: parts.iter().map(|p| p.columns).sum(), data: (0..rows).flat_map(line).collect() }
    }

    /// The largest difference; infinite between different shapes.
    pub(crate) fn distance(&self, other: &Matrix) -> f64 {
        if (self.columns, self.data.len()) != (other.columns, other.data.len()) {
            return f64::INFINITY;
        }
        self.data.iter().zip(&other.data).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }
}

/// Computes all lines in their order, for one step, from `given` values.
pub(crate) fn evaluate(explanation: &Explanation, given: HashMap<String, Matrix>) -> HashMap<String, Matrix> {
    let mut known = given;
    let lines = explanation.forward.iter().chain(&explanation.backward).chain(&explanation.gradients);
    for line in lines {
        let right = line.right.strip_prefix("Σₜ ").unwrap_or(&line.right);
        let mut reader = Reader { rest: right, known: &known };
        let value = reader.sum();
        assert_eq!(reader.rest, "", "all of {right} is read");
        for note in &explanation.notes {
            // "z₁ … z₄: the 4 equal parts of z"
            if let Some(whole) = note.split_once("equal parts of ").map(|(_, whole)| whole)
                && whole == line.left
            {
                let parts = note.split_once(": the ").unwrap().1.split(' ').next().unwrap().parse::<usize>().unwrap();
                let width = value.columns / parts;
                for part in 0..parts {
                    let digit = char::from_u32('₁' as u32 + part as u32).unwrap();
                    known.insert(format!("{whole}{digit}"), value.columns(part * width, (part + 1) * width));
                }
            }
        }
        known.insert(line.left.clone(), value);
    }
    known
}

/// A function by the text in front of its argument.
type Function = (&'static str, fn(f64) -> f64);

struct Reader<'a> {
    rest: &'a str,
    known: &'a HashMap<String, Matrix>,
}

impl Reader<'_> {
    fn take(&mut self, sign: &str) -> bool {
        match self.rest.strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, sign: &str) {
        assert!(self.take(sign), "expected '{sign}' at '{}'", self.rest);
    }

    fn sum(&mut self) -> Matrix {
        let mut value = self.factors();
        loop {
            if self.take(" + ") {
                value = value.zip(&self.factors(), |a, b| a + b);
            } else if self.take(" − ") {
                value = value.zip(&self.factors(), |a, b| a - b);
            } else {
                return value;
            }
        }
    }

    fn factors(&mut self) -> Matrix {
        if self.take("Σ_rows ") {
            let value = self.factors();
            return Matrix::build(1, value.columns, |_, c| (0..value.rows()).map(|r| value.at(r, c)).sum());
        }
        let mut value = self.matrices();
        loop {
            if self.take(" ∘ ") {
                value = value.zip(&self.matrices(), |a, b| a * b);
            } else if self.take(" / ") {
                value = value.zip(&self.matrices(), |a, b| a / b);
            } else {
                return value;
            }
        }
    }

    fn matrices(&mut self) -> Matrix {
        let mut value = self.prefix();
        while self.take("·") {
            value = value.product(&self.prefix());
        }
        value
    }

    fn prefix(&mut self) -> Matrix {
        if self.take("−") { self.prefix().map(|v| -v) } else { self.postfix() }
    }

    fn postfix(&mut self) -> Matrix {
        let mut value = self.atom();
        loop {
            if self.take("ᵀ") {
                value = Matrix::build(value.columns, value.rows(), |r, c| value.at(c, r));
            } else if self.take("²") {
                value = value.map(|v| v * v);
            } else if self.take("[.., ") {
                let (range, rest) = self.rest.split_once(']').unwrap();
                let (start, end) = range.split_once("..").unwrap();
                value = value.columns(start.parse().unwrap(), end.parse().unwrap());
                self.rest = rest;
            } else {
                return value;
            }
        }
    }

    fn atom(&mut self) -> Matrix {
        let names = self.known.keys().filter(|name| self.rest.starts_with(name.as_str()));
        // A name that goes on is another one, or a function.
        let whole = |name: &&String| {
            !self.rest[name.len()..].starts_with(|c: char| c == '(' || (c.is_alphabetic() && c != 'ᵀ'))
        };
        if let Some(name) = names.filter(whole).max_by_key(|name| name.len()) {
            self.rest = &self.rest[name.len()..];
            return self.known[name].clone();
        }
        if self.take("(") {
            let value = self.sum();
            self.expect(")");
            return value;
        }
        if self.take("|") {
            let value = self.sum().map(f64::abs);
            self.expect("|");
            return value;
        }
        if self.take("[") {
            let mut parts = vec![self.sum()];
            while self.take(", ") {
                parts.push(self.sum());
            }
            self.expect("]");
            return Matrix::joined(&parts);
        }
        let functions: [Function; 7] = [
            ("σ(", |v| 1.0 / (1.0 + (-v).exp())),
            ("tanh(", f64::tanh),
            ("exp(", f64::exp),
            ("sin(", f64::sin),
            ("cos(", f64::cos),
            ("softplus(", |v| v.exp().ln_1p()),
            ("sign(", f64::signum),
        ];
        for (name, f) in functions {
            if self.take(name) {
                let value = self.sum().map(f);
                self.expect(")");
                return value;
            }
        }
        let end = self.rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        let value = number.parse().unwrap_or_else(|_| panic!("what is '{}'?", self.rest));
        self.rest = rest;
        Matrix::of(1, vec![value])
    }
}
