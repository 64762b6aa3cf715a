//! The forecast example as its user meets it: what it leaves behind, and what it says about bad input.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

/// The example, built in the profile of this test. Plain `cargo test` has built it already and this costs nothing;
/// with `--test` or `--all-targets` it has not, and an old one may lie there.
static EXAMPLE: LazyLock<PathBuf> = LazyLock::new(|| {
    let test = std::env::current_exe().expect("the test's own path");
    let folder = test.ancestors().nth(2).expect("target/<profile>/deps/test");
    let profile = match folder.file_name().and_then(|name| name.to_str()).expect("a profile's folder") {
        "debug" => "test",
        other => other,
    };
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "wengert", "--example", "forecast", "--profile", profile]);
    cargo.arg("--target-dir").arg(folder.parent().expect("the target folder")).current_dir(env!("CARGO_MANIFEST_DIR"));
    assert!(cargo.status().expect("cargo starts").success(), "the example does not build");
    folder.join("examples").join(format!("forecast{}", std::env::consts::EXE_SUFFIX))
});

/// Runs it in a folder of its own.
fn run(folder: &Path, args: &[&str]) -> Output {
    Command::new(&*EXAMPLE).args(args).current_dir(folder).output().expect("the example starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// One line on standard error that holds `expected`, status 2, and no file beside those that were there.
#[track_caller]
fn refused(folder: &Path, args: &[&str], expected: &str) {
    let before = files(folder);
    let output = run(folder, args);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?} said {said}");
    assert_eq!(said.lines().count(), 1, "{args:?} said {said}");
    assert!(said.starts_with("error: ") && said.contains(expected), "{args:?} said {said}, expected {expected}");
    assert_eq!(text(&output.stdout), "", "{args:?}");
    assert_eq!(files(folder), before, "{args:?}");
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

/// A slow wave with a fast one on it, without a column of times.
fn waves(rows: usize) -> String {
    let mut csv = String::from("n,wave\n");
    for n in 0..rows {
        let t = n as f64;
        writeln!(csv, "{n},{:.4}", 10.0 + (t / 40.0).sin() + 0.3 * (t / 4.0).sin()).expect("writing to a string");
    }
    csv
}

#[test]
fn bad_files_are_refused_in_one_line() {
    let dir = folder();
    let cases = [
        ("", "x.csv: the file is empty"),
        ("time,temperature\n", "x.csv: 0 values are too few"),
        ("time,temperature\n2016-02-15T00:00:00Z,4.9\n2016-02-15T00:30:00Z,4.8\n", "x.csv: 2 values are too few"),
        ("time,salinity\n2016-02-15T00:00:00Z,30\n", "no column 'temperature'; it has: time, salinity"),
        ("n,temperature\n1,4.9\n2,4.8,0\n", "x.csv: line 3: 3 cells, the first line has 2"),
        ("n,temperature\n1,4.9\n\n2\n", "x.csv: line 4: 1 cell, the first line has 2"),
        ("\u{feff}n,temperature\r\n1,4.9\r\n\r\n2\r\n", "x.csv: line 4: 1 cell, the first line has 2"),
        ("n,temperature\n1,4.9\n2,NaN\n", "x.csv, line 3, column 'temperature': 'NaN' is not a finite number"),
        ("n,temperature\n1,4.9\n2,-inf\n", "line 3, column 'temperature': '-inf'"),
        ("n,temperature\n1,4.9\n2,\n", "line 3, column 'temperature': ''"),
        ("n,temperature\n1,4.9\n2,warm\n", "line 3, column 'temperature': 'warm'"),
        ("time,temperature\n2016-02-15,4.9\n2016-02-30,5\n", "x.csv: row 2: '2016-02-30' is not a time"),
        (
            "time,temperature\n2016-02-15,4.9\n2016-02-14,5\n",
            "x.csv: row 2: '2016-02-14' is before the time of the row above",
        ),
    ];
    for (content, expected) in cases {
        fs::write(dir.path().join("x.csv"), content).expect("writing the test's file");
        refused(dir.path(), &["--csv", "x.csv"], expected);
    }
    fs::write(dir.path().join("x.csv"), b"n,temperature\n1,4.9\n2,\xff\n").expect("writing the test's file");
    refused(dir.path(), &["--csv", "x.csv"], "x.csv: line 3: not UTF-8 text");
    let flat =
        waves(2000).lines().map(|line| line.split(',').next().unwrap_or("").to_owned() + ",5\n").collect::<String>();
    fs::write(dir.path().join("x.csv"), flat.replacen("n,5", "n,wave", 1)).expect("writing the test's file");
    refused(dir.path(), &["--csv", "x.csv", "--column", "wave"], "the training part of 'wave' is constant");
    refused(dir.path(), &["--csv", "missing.csv"], "missing.csv: No such file or directory");
    refused(dir.path(), &["--csv", "."], ".: Is a directory");
}

#[test]
fn output_that_cannot_be_written_is_refused_before_training() {
    let dir = folder();
    fs::write(dir.path().join("file"), "").expect("writing the test's file");
    refused(dir.path(), &["--out", "file"], "file: cannot make the folder: ");
    refused(dir.path(), &["--out", "file/below"], "file/below: cannot make the folder: ");
}

#[test]
fn a_picture_that_cannot_be_replaced_leaves_nothing_half_written() {
    let dir = folder();
    fs::create_dir_all(dir.path().join("out/forecast.png")).expect("a folder in the way");
    let output = run(dir.path(), &["--smoke"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("forecast.png: cannot write: "), "{}", text(&output.stderr));
    assert!(files(dir.path()).iter().all(|path| path.extension().is_some_and(|e| e != "part" && e != "tmp")));
}

#[test]
fn senseless_options_are_refused() {
    let dir = folder();
    for (option, value) in
        [("--horizon", "0"), ("--hidden", "0"), ("--layers", "x"), ("--epochs", "0"), ("--cell", "gru"), ("--no", "1")]
    {
        let output = run(dir.path(), &[option, value]);
        assert_eq!(output.status.code(), Some(2), "{option} {value}");
        assert!(text(&output.stderr).contains(option), "{}", text(&output.stderr));
    }
    assert!(files(dir.path()).is_empty());
}

#[test]
fn a_smoke_run_leaves_pictures_and_weights() {
    let dir = folder();
    for cell in ["lstm", "custom"] {
        let output = run(dir.path(), &["--smoke", "--cell", cell, "--out", cell]);
        let said = text(&output.stdout);
        assert!(output.status.success(), "{}", text(&output.stderr));
        for row in ["persistence", "seasonal-naive (24 h)", "the same 169 forecasts to the bit"] {
            assert!(said.contains(row), "{said}");
        }
        let out = dir.path().join(cell);
        for name in ["forecast", "loss"] {
            let svg = fs::read_to_string(out.join(name).with_extension("svg")).expect("the SVG");
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
            let png = fs::read(out.join(name).with_extension("png")).expect("the PNG");
            assert!(png.starts_with(b"\x89PNG\r\n\x1a\n") && png.len() > 50_000, "{} bytes", png.len());
        }
        let weights = wengert::nn::io::load_tensors(out.join("forecast.safetensors")).expect("readable weights");
        assert_eq!(weights.len(), 8, "two layers of three, and a head of two");
        assert_eq!(files(&out).len(), 5);
    }
}

#[test]
fn the_same_seed_gives_the_same_weights() {
    let dir = folder();
    let weights = |seed: &str, out: &str| {
        assert!(run(dir.path(), &["--smoke", "--seed", seed, "--out", out]).status.success());
        fs::read(dir.path().join(out).join("forecast.safetensors")).expect("the weights")
    };
    let first = weights("3", "a");
    assert!(first == weights("3", "b"));
    assert!(first != weights("4", "c"));
}

#[test]
fn a_series_without_times_is_split_in_order() {
    let dir = folder();
    fs::write(dir.path().join("waves.csv"), waves(1500)).expect("writing the test's file");
    let args =
        ["--csv", "waves.csv", "--column", "wave", "--horizon", "5", "--layers", "1", "--hidden", "8", "--smoke"];
    let output = run(dir.path(), &args);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(said.contains("in order of time: 70 % train") && said.contains("seasonal-naive (5 steps)"), "{said}");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "trains in full: cargo test --release")]
fn the_defaults_beat_both_baselines() {
    let dir = folder();
    let output = run(dir.path(), &[]);
    let said = text(&output.stdout);
    let verdict = said.lines().find(|line| line.starts_with("RMSE of LSTM")).unwrap_or_default();
    assert_eq!(verdict.matches("% below").count(), 2, "{said}");
}
