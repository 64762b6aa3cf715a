//! Settings: which a rule has, and those that are not in their range.

use wengert_autograd::{Error, ErrorKind, Result};

/// [`Transform::settings`](crate::Transform::settings) of a rule whose settings are its fields. One that is left out does not compile.
macro_rules! of_fields {
    ($rule:ident { $($field:ident),* }) => {
        fn settings(&self) -> Vec<(String, String)> {
            let $rule { $($field),* } = self;
            vec![$((stringify!($field).into(), format!("{:?}", $field))),*]
        }
    };
}
pub(crate) use of_fields;

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
