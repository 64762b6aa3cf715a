//! Weights on disk: round trips to the bit, and everything that can be wrong with a file.

mod support;

use std::path::{Path, PathBuf};
use support::{data, lstm_net, says};
use wengert::check::proptest::prelude::*;
use wengert::nn::io::{Error, load, load_tensors, save, save_tensors};
use wengert::prelude::*;

/// A fresh, empty folder for one test.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("io-{test}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the target folder is writable");
    folder
}

/// The names of the files in a folder.
fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder exists");
    entries.map(|entry| entry.expect("a readable entry").file_name().to_string_lossy().into_owned()).collect()
}

/// One parameter of each element type, with awkward values.
#[derive(Module)]
struct All {
    single: Param,
    double: Param,
    integer: Param,
    truth: Param,
    scalar: Param,
    empty: Param,
}

impl All {
    fn new() -> All {
        let single = [0.0f32, -0.0, f32::NAN, f32::INFINITY, f32::MIN_POSITIVE / 2.0, f32::from_bits(0x7fc0_1234)];
        let double = [f64::MAX, -0.0, f64::NEG_INFINITY, 5e-324, f64::from_bits(0x7ff8_0000_dead_beef), 0.1];
        let param = |tensor: Result<Tensor>| Param::new(tensor.expect("the shapes fit"));
        All {
            single: param(Tensor::from_slice(&single, [2, 3])),
            double: param(Tensor::from_slice(&double, [3, 1, 2])),
            integer: param(Tensor::from_slice(&[i64::MIN, i64::MAX, -1, 0], [4])),
            truth: param(Tensor::from_slice(&[true, false, true], [3])),
            scalar: Param::new(Tensor::scalar(2.5f64)),
            empty: Param::new(Tensor::zeros([0, 7], DType::F32)),
        }
    }

    fn blank() -> All {
        let blank = |p: Param| Param::new(Tensor::zeros(p.value().shape(), p.value().dtype()));
        let All { single, double, integer, truth, scalar, empty } = All::new();
        All {
            single: blank(single),
            double: blank(double),
            integer: blank(integer),
            truth: blank(truth),
            scalar: blank(scalar),
            empty: blank(empty),
        }
    }
}

/// Whether two modules hold the same bits.
fn same(a: &impl ParamTree, b: &impl ParamTree) -> bool {
    let (a, b) = (a.params(), b.params());
    a.len() == b.len() && a.iter().zip(&b).all(|((n, a), (m, b))| n == m && a.value().bit_eq(&b.value()))
}

#[test]
fn every_element_type_survives_to_the_bit() -> Result<(), Box<dyn std::error::Error>> {
    let folder = folder("round-trip");
    for (path, _) in both(&folder) {
        let (original, copy) = (All::new(), All::blank());
        assert!(!same(&original, &copy));
        save(&original, &path)?;
        load(&copy, &path)?;
        assert!(same(&original, &copy));
        // Saving what was loaded gives the same bytes, over an existing file.
        let bytes = std::fs::read(&path)?;
        save(&copy, &path)?;
        assert_eq!(std::fs::read(&path)?, bytes);
        assert_eq!(files(&folder), [path.file_name().unwrap_or_default().to_string_lossy()]);
        std::fs::remove_file(path)?;
    }
    // The layout of the file itself: length of the header, header, then the values, little-endian.
    let one = folder.join("one.safetensors");
    save_tensors([("x".to_string(), Tensor::from_slice(&[1.0f32, -2.0], [2])?)], &one)?;
    let bytes = std::fs::read(&one)?;
    let header = u64::from_le_bytes(bytes[..8].try_into()?) as usize;
    let text = std::str::from_utf8(&bytes[8..8 + header])?;
    says(&text, &[r#""x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#]);
    assert_eq!(bytes[8 + header..], [1.0f32.to_le_bytes(), (-2.0f32).to_le_bytes()].concat());
    Ok(())
}

#[test]
fn views_are_saved_in_their_own_order() -> Result<(), Box<dyn std::error::Error>> {
    let path = folder("views").join("t.safetensors");
    let tensor = data(&[3, 4, 2], 1).permute(&[2, 0, 1])?.narrow(1, 1, 2)?;
    save_tensors([("t".to_string(), tensor.clone())], &path)?;
    assert!(load_tensors(&path)?[0].1.bit_eq(&tensor));
    Ok(())
}

#[test]
#[cfg(unix)]
fn a_saved_file_has_the_permissions_of_any_new_file() -> Result<(), Box<dyn std::error::Error>> {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder("permissions");
    std::fs::write(folder.join("plain"), "")?;
    save(&lstm_net(2, 2, 1), folder.join("net"))?;
    let mode = |name: &str| std::fs::metadata(folder.join(name)).map(|m| m.permissions().mode());
    assert_eq!(mode("net")?, mode("plain")?);
    Ok(())
}

#[test]
fn names_that_do_not_fit_are_listed_and_nothing_is_loaded() -> Result<(), Box<dyn std::error::Error>> {
    let path = folder("names").join("net.safetensors");
    let net = lstm_net(3, 4, 1);
    let cell = &net.layers[0];
    let stored = [
        ("layers.0.w".to_string(), data(&[3, 16], 99)),
        ("layers.0.u".to_string(), data(&[16, 4], 99)),
        ("layers.0.b".to_string(), data(&[16], 99).cast(DType::F32)),
        ("layers.1.w".to_string(), data(&[4, 16], 99)),
        ("layers.1.b".to_string(), data(&[16], 99)),
        ("head.w".to_string(), data(&[2], 99)),
    ];
    save_tensors(stored, &path)?;
    let before = [cell.w.value(), cell.u.value(), net.layers[1].b.value()];
    let error = load(&net, &path).unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }));
    says(
        &error,
        &[
            "net.safetensors",
            "'layers.0.u' is f64 [16, 4], expected f64 [4, 16]",
            "'layers.0.b' is f32 [16], expected f64 [16]",
            "'layers.1.u' is missing",
            "'head.w' is not a parameter of the module",
        ],
    );
    let after = [cell.w.value(), cell.u.value(), net.layers[1].b.value()];
    assert!(before.iter().zip(&after).all(|(a, b)| a.bit_eq(b)));
    Ok(())
}

#[test]
fn tied_weights_are_saved_under_each_name() -> Result<(), Box<dyn std::error::Error>> {
    let path = folder("tied").join("tied.safetensors");
    let shared = Param::new(data(&[2, 3], 1));
    save(&(shared.clone(), shared.clone()), &path)?;
    let names: Vec<String> = load_tensors(&path)?.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["0", "1"]);
    // Into parameters that are tied, and into some that are not.
    let other = Param::new(data(&[2, 3], 2));
    load(&(other.clone(), other.clone()), &path)?;
    assert!(other.value().bit_eq(&shared.value()));
    let apart = (Param::new(data(&[2, 3], 3)), Param::new(data(&[2, 3], 4)));
    load(&apart, &path)?;
    assert!(apart.0.value().bit_eq(&shared.value()) && apart.1.value().bit_eq(&shared.value()));
    // Two values for one parameter: neither wins silently.
    save(&(Param::new(data(&[2, 3], 5)), Param::new(data(&[2, 3], 6))), &path)?;
    let error = load(&(other.clone(), other.clone()), &path).unwrap_err();
    says(&error, &["'0' and '1' are one parameter, but differ in the file"]);
    assert!(other.value().bit_eq(&shared.value()));
    Ok(())
}

/// A file of each format with the parameters of [`All`].
fn both(folder: &Path) -> [(PathBuf, &'static str); 2] {
    [("all.safetensors", "not a safetensors file: "), ("all.npz", "not an npz file: ")]
        .map(|(name, error)| (folder.join(name), error))
}

#[test]
fn a_file_cut_anywhere_is_an_error() -> Result<(), Box<dyn std::error::Error>> {
    for (path, wanted) in both(&folder("truncated")) {
        save(&All::new(), &path)?;
        let bytes = std::fs::read(&path)?;
        let target = All::blank();
        for len in 0..bytes.len() {
            std::fs::write(&path, &bytes[..len])?;
            let error = load(&target, &path).unwrap_err();
            assert!(matches!(error, Error::Format { .. }), "{len} bytes: {error}");
            says(&error, &[wanted]);
        }
        assert!(same(&target, &All::blank()));
    }
    Ok(())
}

/// The greatest size of the process so far, in kB, of memory that was only reserved as well.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmPeak:"))?.trim().strip_suffix(" kB")?.parse().ok()
}

/// Any bytes changed: an error or other values, never a panic, and nothing is half loaded or takes memory that is not there.
#[test]
fn a_changed_file_is_an_error_or_another_file() -> Result<(), Box<dyn std::error::Error>> {
    let before = peak();
    for (path, _) in both(&folder("changed")) {
        save(&All::new(), &path)?;
        let bytes = std::fs::read(&path)?;
        let target = All::blank();
        let mut refused = 0;
        for at in 0..bytes.len() {
            for flip in [0x01, 0x20, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] ^= flip;
                std::fs::write(&path, bytes)?;
                let before = target.snapshot();
                if load(&target, &path).is_err() {
                    refused += 1;
                    let after = target.snapshot();
                    assert!(before.iter().zip(&after).all(|(a, b)| a.bit_eq(b)), "half loaded, byte {at}");
                }
            }
        }
        assert!(refused > 1000, "{}: {refused}", path.display());
        // Several changes at once, and pieces that were exchanged.
        proptest!(ProptestConfig::with_cases(2000), |(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in any::<prop::sample::Index>(),
            swap in any::<bool>(),
        )| {
            let mut bytes = bytes.clone();
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if swap {
                let at = cut.index(bytes.len());
                bytes.rotate_left(at);
            }
            std::fs::write(&path, bytes).expect("the folder is writable");
            let before = target.snapshot();
            if load(&target, &path).is_err() {
                let after = target.snapshot();
                prop_assert!(before.iter().zip(&after).all(|(a, b)| a.bit_eq(b)), "half loaded");
            }
        });
    }
    if let (Some(before), Some(after)) = (before, peak()) {
        assert!(after - before < 1 << 20, "{} kB were asked for", after - before);
    }
    Ok(())
}

#[test]
fn a_lying_header_is_an_error() -> Result<(), Box<dyn std::error::Error>> {
    let path = folder("header").join("file");
    let target = Param::new(Tensor::zeros([2], DType::F32));
    let values = [0u8; 8];
    let headers = [
        // More elements than bytes, fewer, offsets that run backwards or beyond the file, overflowing extents.
        r#"{"":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#,
        r#"{"":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}"#,
        r#"{"":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#,
        r#"{"":{"dtype":"F32","shape":[2],"data_offsets":[0,80]}}"#,
        r#"{"":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
        r#"{"":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#,
        r#"{"":{"dtype":"F32","shape":[18446744073709551615,2],"data_offsets":[0,8]}}"#,
        r#"{"":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#,
        r#"{"":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}}"#,
        r#"{"":{"dtype":"F8_E5M2","shape":[8],"data_offsets":[0,8]}}"#,
        r#"{"":{"shape":[2],"data_offsets":[0,8]}}"#,
        r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#,
        r#"[1, 2]"#,
        "not json",
    ];
    let write =
        |length: u64, header: &[u8]| std::fs::write(&path, [&length.to_le_bytes(), header, &values[..]].concat());
    for header in headers {
        write(header.len() as u64, header.as_bytes())?;
        let error = load(&target, &path).unwrap_err();
        assert!(matches!(error, Error::Format { .. }), "{header}: {error}");
    }
    let fine = r#"{"":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    for length in [0, 1, fine.len() as u64 - 1, fine.len() as u64 + 1, u64::MAX, 1 << 40] {
        write(length, fine.as_bytes())?;
        assert!(matches!(load(&target, &path).unwrap_err(), Error::Format { .. }), "length {length}");
    }
    write(fine.len() as u64, fine.as_bytes())?;
    load(&target, &path)?;
    Ok(())
}

#[test]
fn places_that_cannot_be_read_or_written() -> Result<(), Box<dyn std::error::Error>> {
    let folder = folder("places");
    let net = lstm_net(2, 2, 1);
    let missing = folder.join("no/such/folder/net");
    let error = save(&net, &missing).unwrap_err();
    assert!(matches!(error, Error::File { .. }));
    says(&error, &["no/such/folder/net"]);
    assert!(matches!(load(&net, folder.join("absent")).unwrap_err(), Error::File { .. }));
    assert!(matches!(load(&net, &folder).unwrap_err(), Error::File { .. }));
    // A file where the folder should be, and a folder where the file should be: nothing is left behind.
    std::fs::write(folder.join("file"), "precious")?;
    assert!(matches!(save(&net, folder.join("file/net")).unwrap_err(), Error::File { .. }));
    std::fs::create_dir(folder.join("taken"))?;
    std::fs::write(folder.join("taken/inside"), "")?;
    assert!(matches!(save(&net, folder.join("taken")).unwrap_err(), Error::File { .. }));
    let mut left = files(&folder);
    left.sort();
    assert_eq!(left, ["file", "taken"]);
    assert_eq!(std::fs::read_to_string(folder.join("file"))?, "precious");
    Ok(())
}

#[test]
#[cfg(target_os = "linux")]
fn a_folder_that_refuses_files_is_an_error() -> Result<(), Box<dyn std::error::Error>> {
    // `/proc` refuses them even to root, who may write anywhere else.
    let error = save(&lstm_net(2, 2, 1), "/proc/net.safetensors").unwrap_err();
    assert!(matches!(error, Error::File { .. }));
    says(&error, &["/proc/net.safetensors"]);
    Ok(())
}
