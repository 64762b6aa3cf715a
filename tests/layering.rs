//! The order of the crates is the order of understanding: no import runs back up. Read from manifests and sources.

use std::path::{Path, PathBuf};

/// A crate, its folder, and the crates of wengert it may depend on.
struct Layer {
    name: &'static str,
    folder: &'static str,
    below: &'static [&'static str],
}

const LAYERS: [Layer; 8] = [
    Layer { name: "wengert-kernels", folder: "crates/kernels", below: &[] },
    Layer { name: "wengert-autograd", folder: "crates/autograd", below: &["wengert-kernels"] },
    Layer { name: "wengert-derive", folder: "crates/derive", below: &[] },
    Layer { name: "wengert-nn", folder: "crates/nn", below: &["wengert-autograd", "wengert-derive"] },
    // Optimizers know parameter trees, not networks.
    Layer { name: "wengert-optim", folder: "crates/optim", below: &["wengert-autograd", "wengert-derive"] },
    Layer {
        name: "wengert-train",
        folder: "crates/train",
        below: &["wengert-kernels", "wengert-autograd", "wengert-nn", "wengert-optim"],
    },
    Layer { name: "wengert", folder: "", below: &["wengert-autograd", "wengert-nn", "wengert-optim", "wengert-train"] },
    Layer { name: "wengert-bench", folder: "crates/bench", below: &["wengert", "wengert-kernels"] },
];

/// The greatest number of lines of a source file.
const LINES: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// All Rust files below a folder, which may be absent.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut all = Vec::new();
    for path in entries.map(|entry| entry.expect("a readable entry").path()) {
        if path.is_dir() {
            all.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            all.push(path);
        }
    }
    all
}

/// The crates of wengert that a manifest depends on, for building or for tests.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut section = "";
    for line in manifest.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
            // `[dependencies.wengert-nn]`
            if let Some((_, name)) = section.split_once("dependencies.") {
                all.push(name.to_string());
            }
        } else if section.ends_with("dependencies") && section != "workspace.dependencies" {
            all.extend(line.split_once(['=', '.', ' ']).map(|(name, _)| name.to_string()));
        }
    }
    all.retain(|name| name == "wengert" || name.starts_with("wengert-"));
    all
}

/// The crates of wengert whose paths (`wengert_nn::`) the code names, comments and strings aside. The item
/// `extern crate self as wengert` makes a crate's own name, and is not an import.
fn imports(source: &str) -> Vec<String> {
    let mut all = Vec::new();
    for line in source.lines() {
        let code = line.split("//").next().unwrap_or_default();
        for (start, _) in code.match_indices("wengert") {
            let name = code[start..].split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
            let bounded = !code[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '"');
            let path = code[start + name.len()..].starts_with("::");
            let whole = code.trim_start().starts_with("pub use") || code.trim_start().starts_with("use");
            let external = code[..start].trim_end().ends_with("extern crate");
            if bounded && (path || whole || external) {
                all.push(name.replace('_', "-"));
            }
        }
    }
    all
}

#[test]
fn every_crate_of_the_workspace_has_its_layer() {
    let entries = std::fs::read_dir(root().join("crates")).expect("the workspace has crates");
    for entry in entries.map(|entry| entry.expect("a readable entry")) {
        let folder = format!("crates/{}", entry.file_name().to_string_lossy());
        if entry.path().join("Cargo.toml").exists() {
            let known = LAYERS.iter().find(|layer| layer.folder == folder);
            let layer = known.unwrap_or_else(|| panic!("{folder} is not in the table of layers"));
            assert!(read(&entry.path().join("Cargo.toml")).contains(&format!("name = \"{}\"", layer.name)));
        }
    }
}

#[test]
fn manifests_depend_downwards() {
    for layer in &LAYERS {
        for found in dependencies(&read(&root().join(layer.folder).join("Cargo.toml"))) {
            assert!(layer.below.contains(&found.as_str()), "{} must not depend on {found}", layer.name);
        }
    }
}

#[test]
fn sources_import_downwards() {
    for layer in &LAYERS {
        for path in sources(&root().join(layer.folder).join("src")) {
            // The derives write paths of the facade, and nn calls itself by its facade's name for them.
            let own = [layer.name, if layer.name == "wengert-derive" { "wengert" } else { layer.name }];
            for found in imports(&read(&path)) {
                let allowed = layer.below.contains(&found.as_str()) || own.contains(&found.as_str());
                assert!(allowed, "{} imports {found}", path.display());
            }
        }
    }
}

#[test]
fn unsafe_code_is_forbidden_outside_of_the_kernels() {
    for layer in LAYERS.iter().filter(|layer| layer.name != "wengert-kernels") {
        let source = root().join(layer.folder).join("src");
        let tops = ["lib.rs", "main.rs"].map(|name| source.join(name)).into_iter().filter(|path| path.exists());
        let bins = std::fs::read_dir(source.join("bin")).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in tops.chain(bins.filter(|path| path.extension().is_some_and(|e| e == "rs"))) {
            assert!(read(&path).contains("#![forbid(unsafe_code)]"), "{} does not forbid unsafe code", path.display());
        }
    }
}

#[test]
fn files_fit_the_line_budget() {
    let mut long = Vec::new();
    for layer in &LAYERS {
        for path in sources(&root().join(layer.folder).join("src")) {
            let lines = read(&path).lines().count();
            if lines > LINES {
                long.push(format!("{} has {lines} lines", path.strip_prefix(root()).unwrap_or(&path).display()));
            }
        }
    }
    assert!(long.is_empty(), "at most {LINES} lines, please: {}", long.join(", "));
}

/// A cell reads in one sitting.
#[test]
fn cells_are_short() {
    for path in sources(&root().join("crates/nn/src/cells")) {
        let lines = read(&path).lines().count();
        assert!(lines <= 120, "{} has {lines} lines, at most 120 please", path.display());
    }
}

#[test]
fn planted_violations_are_seen() {
    for line in [
        "use wengert_nn::Rnn;",
        "    pub use wengert_nn;",
        "let cell = wengert_nn::LstmCell::new(1, 2, rng);",
        "extern crate wengert_nn as wengert;",
        "use {std::fmt, wengert_nn::Cell};",
        "fn f(x: ::wengert_nn::Cx) {}",
    ] {
        assert_eq!(imports(line), ["wengert-nn"], "{line}");
    }
    for line in [
        "// use wengert_nn::Rnn;",
        "/// [`Rnn`](wengert_nn::Rnn)",
        "extern crate self as wengert;",
        "let s = \"wengert_nn::\";",
    ] {
        assert_eq!(imports(line), [""; 0], "{line}");
    }
    let manifest = "[package]\nname = \"wengert-optim\"\n[dependencies]\nwengert-nn = { workspace = true }\nrand = \"0.9\"\n\
                    [dev-dependencies]\nwengert = { path = \"../..\" }\n[dependencies.wengert-derive]\nversion = \"1\"";
    assert_eq!(dependencies(manifest), ["wengert-nn", "wengert", "wengert-derive"]);
}
