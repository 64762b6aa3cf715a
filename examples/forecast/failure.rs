//! What can go wrong, as one line for the person who started the program.

use std::fmt;
use std::path::Path;

/// Why there is no forecast. The program prints it and ends with status 2.
#[derive(Debug)]
pub struct Failure(String);

pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub fn new(what: impl Into<String>) -> Failure {
        Failure(what.into())
    }

    /// A problem with a file.
    pub fn file(path: &Path, what: impl fmt::Display) -> Failure {
        Failure(format!("{}: {what}", path.display()))
    }
}

impl fmt::Display for Failure {
    /// One line, whatever the parts hold.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.replace(['\n', '\r'], " "))
    }
}

impl From<wengert::prelude::Error> for Failure {
    fn from(error: wengert::prelude::Error) -> Failure {
        Failure(error.to_string())
    }
}

impl From<wengert::nn::io::Error> for Failure {
    fn from(error: wengert::nn::io::Error) -> Failure {
        Failure(error.to_string())
    }
}

impl From<wengert::train::Error> for Failure {
    fn from(error: wengert::train::Error) -> Failure {
        Failure(error.to_string())
    }
}
