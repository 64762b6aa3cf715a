//! Where a run took place.

use super::revision::revision;
use std::time::{SystemTime, UNIX_EPOCH};

/// Names and values, of the process and the machine.
pub(super) fn environment() -> Vec<(String, String)> {
    let command: Vec<String> = std::env::args_os().map(|argument| quoted(&argument.to_string_lossy())).collect();
    let mut all = vec![
        ("command line", command.join(" ")),
        ("wengert", env!("CARGO_PKG_VERSION").into()),
        ("compiler", env!("WENGERT_RUSTC").into()),
        ("build", if cfg!(debug_assertions) { "with debug assertions" } else { "without debug assertions" }.into()),
        ("instruction set", format!("{:?}", wengert_kernels::isa())),
        ("threads", wengert_kernels::threads().to_string()),
        ("system", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
    ];
    let folder = std::env::current_dir().ok();
    all.extend(folder.and_then(|folder| revision(&folder)).map(|hash| ("git revision", hash)));
    all.extend(processor().map(|name| ("processor", name)));
    all.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
}

/// An argument as a shell takes it.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,@%+".contains(c);
    match !argument.is_empty() && argument.chars().all(plain) {
        true => argument.into(),
        false => format!("'{}'", argument.replace('\'', "'\\''")),
    }
}

/// The processor's name, where Linux tells it.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

/// Now, in UTC.
pub(super) fn now() -> String {
    date(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()))
}

/// Seconds since 1970 as a date of the Gregorian calendar (Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days).
fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `date -u -d @SECONDS` has them.
    #[test]
    fn dates_and_arguments() {
        assert_eq!(date(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(date(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(date(1_735_689_599), "2024-12-31 23:59:59 UTC");
        assert_eq!(quoted("--lr=1e-3"), "--lr=1e-3");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
        assert!(environment().iter().any(|(name, value)| name == "threads" && value.parse::<usize>().is_ok()));
    }
}
