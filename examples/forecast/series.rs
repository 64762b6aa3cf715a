//! A series of numbers from a CSV file.

use crate::failure::{Failure, Result};
use std::path::Path;
use wengert::train::Table;

/// One column of a CSV file, in the order of the rows.
pub struct Series {
    pub name: String,
    pub values: Vec<f64>,
    /// Seconds since 1970-01-01T00:00:00Z, if the file has a readable `time` column.
    pub times: Option<Vec<i64>>,
}

impl Series {
    /// Reads `column` of `path`. Every row must hold a finite number there.
    pub fn read(path: &Path, column: &str) -> Result<Series> {
        let table = Table::read(path)?;
        let values = table.numbers(&[column])?.to_f64_vec();
        let time = table.names().iter().find(|name| name.eq_ignore_ascii_case("time") && *name != column);
        let times = match time {
            Some(name) => times(path, &table.texts(name)?)?,
            None => None,
        };
        Ok(Series { name: column.to_string(), values, times })
    }

    /// The usual step of time in seconds, if times are known: the median of all steps.
    pub fn step(&self) -> Option<i64> {
        let mut steps: Vec<i64> = self.times.as_ref()?.windows(2).map(|pair| pair[1] - pair[0]).collect();
        steps.sort_unstable();
        steps.get(steps.len() / 2).copied().filter(|step| *step > 0)
    }
}

/// Times in ascending order; none if the first text is no time, which decides whether this is a column of dates.
fn times(path: &Path, texts: &[&str]) -> Result<Option<Vec<i64>>> {
    let mut times = Vec::with_capacity(texts.len());
    for (row, text) in (1..).zip(texts) {
        let problem = match parse_time(text) {
            Some(time) if times.last().is_none_or(|before| *before <= time) => {
                times.push(time);
                continue;
            }
            Some(_) => "is before the time of the row above",
            None if row == 1 => {
                eprintln!("'{text}' is not a time as 2016-02-15T00:30:00Z: the rows are taken as undated");
                return Ok(None);
            }
            None => "is not a time as 2016-02-15T00:30:00Z",
        };
        return Err(Failure::file(path, format!("row {row}: '{text}' {problem}")));
    }
    Ok(Some(times))
}

/// `YYYY-MM-DD`, or `YYYY-MM-DDThh:mm[:ss][Z]` with `T` or a space, in UTC.
fn parse_time(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (date, clock) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
    let number = |part: &str, digits: usize| {
        (part.len() == digits && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse::<i64>().ok())?
    };
    let [year, month, day] = date.split('-').collect::<Vec<_>>().try_into().ok()?;
    let (year, month, day) = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
    let mut clock = clock.split(':');
    let (hour, minute) = (number(clock.next()?, 2)?, number(clock.next()?, 2)?);
    let second = clock.next().map_or(Some(0), |part| number(part, 2))?;
    let days = days_since_1970(year, month, day);
    let valid =
        clock.next().is_none() && hour < 24 && minute < 60 && second < 60 && date_of(days) == (year, month, day);
    valid.then_some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days from 1970-01-01 in the Gregorian calendar; years begin in March, so that leap days come last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day
        - 719_469
}

/// Year, month and day of a number of days since 1970-01-01.
pub fn date_of(days: i64) -> (i64, i64, i64) {
    let mut year = 1970 + days.div_euclid(366);
    while days_since_1970(year + 1, 1, 1) <= days {
        year += 1;
    }
    let month = (2..=12).rev().find(|month| days_since_1970(year, *month, 1) <= days).unwrap_or(1);
    (year, month, days - days_since_1970(year, month, 1) + 1)
}

/// `YYYY-MM-DD hh:mm` of seconds since 1970-01-01T00:00:00Z.
pub fn format_time(seconds: i64) -> String {
    let (year, month, day) = date_of(seconds.div_euclid(86_400));
    let minutes = seconds.rem_euclid(86_400) / 60;
    format!("{year}-{month:02}-{day:02} {:02}:{:02}", minutes / 60, minutes % 60)
}
