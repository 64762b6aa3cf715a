//! Settings that are not in their range.

use wengert_autograd::{Error, ErrorKind, Result};

#[track_caller]
fn refuse(op: &str, name: &str, value: f64, remedy: &str) -> Error {
    Error::new(ErrorKind::Value, op, format!("the {name} is {value}"), remedy)
}

/// Checks that each setting is finite and not negative.
#[track_caller]
pub(crate) fn from_zero(op: &str, settings: &[(&str, f64)]) -> Result<()> {
    match settings.iter().find(|(_, value)| !value.is_finite() || *value < 0.0) {
        Some((name, value)) => Err(refuse(op, name, *value, "give a finite number from 0")),
        None => Ok(()),
    }
}

/// Checks that each setting is in `[0, 1)`: the rate of a running average.
#[track_caller]
pub(crate) fn rates(op: &str, settings: &[(&str, f64)]) -> Result<()> {
    match settings.iter().find(|(_, value)| !(0.0..1.0).contains(value)) {
        Some((name, value)) => Err(refuse(op, name, *value, "give a number from 0 and below 1")),
        None => Ok(()),
    }
}
