//! Tells the crate which compiler builds it, for reports.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let output = Command::new(rustc).arg("--version").output().ok();
    let version = output.and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or("rustc".into());
    println!("cargo::rustc-env=WENGERT_RUSTC={}", version.trim());
}
