//! A training whose disk is full, or whose folder cannot be written to.
#![cfg(unix)]

mod training;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use training::*;
use wengert_train::{CsvLog, JsonLog, Log, TensorBoard};

/// Says, past the capture of the test's output, what was not tested.
fn skipped(what: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {what}");
}

/// The entries of a folder, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut all: Vec<_> = entries.map(|e| e.expect("an entry").path()).collect();
    all.sort();
    all
}

/// Runs a child by a script of the shell, which starts it as `"$0" "$@"`.
fn script(shell: &[&str], script: &str, child: &Command) -> std::io::Result<Output> {
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).args(["-c", script]).arg(child.get_program()).args(child.get_args());
    command.envs(child.get_envs().filter_map(|(name, value)| Some((name, value?)))).output()
}

/// Runs a child by a script in which `$FOLDER` is a disk of `size`; `None`, said aloud, where no disk can be mounted.
fn on_a_small_disk(size: &str, steps: &str, folder: &Path, child: &mut Command) -> Option<Output> {
    let mount = format!("mount -t tmpfs -o size={size} none \"$FOLDER\" && echo mounted || exit 1\nset -e\n{steps}");
    child.env("FOLDER", folder);
    let output = script(&["unshare", "--user", "--map-root-user", "--mount", "sh"], &mount, child).ok();
    let output = output.filter(|output| text(output).contains("mounted"));
    if output.is_none() {
        skipped("a full disk; mounting one is not allowed here");
    }
    output
}

#[test]
fn a_full_disk_loses_nothing() {
    let (wanted, _) = undisturbed(4);
    let (folder, outside) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    // One epoch; the rest of the disk is filled up, and the run goes on; there is space again.
    let steps = "
        WENGERT_RUN_EPOCHS=1 \"$0\" \"$@\"
        rm $FOLDER/end
        ls $FOLDER > $OUTSIDE/before
        cat /dev/zero > $FOLDER/filler 2>/dev/null || true
        \"$0\" \"$@\" > $OUTSIDE/full
        rm $FOLDER/filler
        ls $FOLDER > $OUTSIDE/after
        \"$0\" \"$@\"
        cp $FOLDER/end $OUTSIDE";
    let mut child = child_of(folder.path(), 4);
    child.env("OUTSIDE", outside.path());
    let Some(output) = on_a_small_disk("256k", steps, folder.path(), &mut child) else { return };
    assert!(output.status.success(), "{}", text(&output));
    let read = |name: &str| std::fs::read_to_string(outside.path().join(name)).expect("it is written");
    let said = read("full");
    assert!(said.contains("not saved: ") && said.contains("No space left on device"), "{said}");
    assert!(said.contains("no end: "), "{said}");
    // The old checkpoints are there, and no half of a new one.
    assert_eq!(read("after"), read("before"));
    assert!(text(&output).contains("goes on at step 6 "), "{}", text(&output));
    assert_same(&end(outside.path()), &wanted);
}

#[test]
fn files_that_must_not_grow_lose_nothing() {
    let epochs = 4;
    let (wanted, _) = undisturbed(epochs);
    let folder = tempfile::tempdir().expect("a folder");
    let first = child_of(folder.path(), 1).output().expect("it starts");
    assert!(first.status.success(), "{}", text(&first));
    std::fs::remove_file(folder.path().join("end")).expect("the first epoch has ended");
    let before = files(folder.path());
    // No file may grow beyond 8 blocks of 512 bytes (1 KiB in some shells); the program gets an error, not a signal.
    let limit = "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"";
    let output = script(&["sh"], limit, &child_of(folder.path(), epochs)).expect("it starts");
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("not saved: ") && said.contains("File too large") && said.contains("no end: "), "{said}");
    assert_eq!(files(folder.path()), before);
    let output = child_of(folder.path(), epochs).output().expect("it starts");
    assert!(text(&output).contains("goes on at step 6 "), "{}", text(&output));
    assert_same(&end(folder.path()), &wanted);
}

/// The steps at which the child's disk is full.
const FULL: std::ops::Range<u64> = 10..600;

/// The child: logs some steps, many on a disk that is full, and some when there is space again.
#[test]
#[ignore = "the process that another test starts"]
fn logs() {
    let Some(folder) = std::env::var_os("FOLDER").map(PathBuf::from) else { return };
    let filler = folder.join("filler");
    let mut csv = CsvLog::new(folder.join("m.csv"), &["loss"], 0).expect("it can be made");
    let mut json = JsonLog::new(folder.join("m.jsonl"), 0).expect("it can be made");
    let mut board = TensorBoard::new(folder.join("events"), 0).expect("it can be made");
    let mut failed = [0; 3];
    for step in 0..FULL.end + 20 {
        if step == FULL.start {
            assert_eq!(failed, [0; 3]);
            let mut zeros = std::fs::File::create(&filler).expect("it can be made");
            while zeros.write_all(&[0; 4096]).is_ok() {}
        }
        if step == FULL.end {
            assert!(failed.iter().all(|failed| *failed > 10), "{failed:?}");
            std::fs::remove_file(&filler).expect("it is there");
            failed = [0; 3];
        }
        let logs: [&mut dyn Log; 3] = [&mut csv, &mut json, &mut board];
        for (log, failed) in logs.into_iter().zip(&mut failed) {
            if let Err(error) = log.log(step, &[("loss", 0.125)]) {
                assert!(error.to_string().contains("No space left on device"), "{error}");
                *failed += 1;
            }
        }
    }
    assert_eq!(failed, [0; 3]);
}

#[test]
fn logs_are_whole_after_a_full_disk() {
    let (folder, outside) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let mut child = Command::new(std::env::current_exe().expect("a test is a program"));
    child.args(["logs", "--exact", "--ignored", "--nocapture"]).env("OUTSIDE", outside.path());
    let steps = "\"$0\" \"$@\"\ncp $FOLDER/m.csv $FOLDER/m.jsonl $OUTSIDE\ncp $FOLDER/events/* $OUTSIDE/events";
    let Some(output) = on_a_small_disk("64k", steps, folder.path(), &mut child) else { return };
    assert!(output.status.success(), "{}", text(&output));
    let read = |name: &str| std::fs::read(outside.path().join(name)).expect("it is copied");
    // The steps until a file could not grow, and all after there was space.
    let fits = |steps: &[u64]| {
        let before = steps.len() - 20;
        let wanted: Vec<u64> = (0..before as u64).chain(FULL.end..FULL.end + 20).collect();
        assert!(before as u64 > FULL.start && steps == wanted, "{steps:?}");
    };
    let lines = |name: &str, begins: &str, ends: &str| -> Vec<u64> {
        let text = String::from_utf8(read(name)).expect("text");
        let step = |line: &str| line.strip_prefix(begins)?.strip_suffix(ends)?.parse().ok();
        text.lines().filter(|line| *line != "step,loss").map(|line| step(line).expect("a whole line")).collect()
    };
    fits(&lines("m.csv", "", ",0.125"));
    fits(&lines("m.jsonl", "{\"step\":", ",\"loss\":0.125}"));
    // Records with their lengths and checksums; behind the tag of an event's step is the step.
    let (bytes, mut steps) = (read("events"), Vec::new());
    let mut rest = &bytes[..];
    while let Some(length) = rest.first_chunk::<8>() {
        let data = &rest[12..12 + u64::from_le_bytes(*length) as usize];
        let sum = crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8);
        assert_eq!(rest[12 + data.len()..][..4], sum.to_le_bytes());
        let digits = data[10..].iter().take_while(|byte| **byte >= 0x80).count() + 1;
        steps.push((0..digits).map(|i| u64::from(data[10 + i] & 0x7f) << (7 * i)).sum::<u64>());
        rest = &rest[16 + data.len()..];
    }
    assert!(rest.is_empty());
    // The first names the version.
    fits(&steps[1..]);
}

/// A child in a folder of its own whose permissions hold for it: the superuser, for whom none hold, starts it as nobody. `None`, said aloud,
/// where that is not possible.
fn without_privileges(folder: &Path, set: impl Fn(&mut Command)) -> Option<Output> {
    use std::os::unix::fs::{MetadataExt, chown};
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65534;
    let mut command = child_of(folder, 4);
    set(&mut command);
    if std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
        chown(folder, Some(NOBODY), Some(NOBODY)).expect("the superuser may");
        for file in files(folder) {
            chown(file, Some(NOBODY), Some(NOBODY)).expect("the superuser may");
        }
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().ok();
    if output.is_none() {
        skipped("a read-only folder; nobody cannot start this program");
    }
    output
}

#[test]
fn a_folder_that_turns_read_only_keeps_its_checkpoints() {
    let (wanted, _) = undisturbed(4);
    let folder = tempfile::tempdir().expect("a folder");
    let Some(output) = without_privileges(folder.path(), |child| {
        child.env(READ_ONLY, "");
    }) else {
        return;
    };
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    for step in REFUSED {
        let wanted = format!("step-{step:08}.safetensors: Permission denied");
        assert!(said.lines().any(|line| line.starts_with("not saved: ") && line.contains(&wanted)), "{said}");
    }
    assert!(said.contains("there are [6, 7]"), "{said}");
    // The run has gone on, and saves again.
    assert_eq!(said.lines().filter(|line| line.starts_with("not saved: ")).count(), 9, "{said}");
    assert_same(&end(folder.path()), &wanted);
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_at_once_and_can_be_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = child_of(folder.path(), 1).output().expect("it starts");
    assert!(first.status.success(), "{}", text(&first));
    set_mode(folder.path(), 0o555).expect("it is ours");
    let run = |look: bool| {
        without_privileges(folder.path(), |child| {
            if look {
                child.env(LOOK, "");
            }
        })
    };
    let (refused, looked) = (run(false), run(true));
    set_mode(folder.path(), 0o755).expect("it is ours");
    let (Some(refused), Some(looked)) = (refused, looked) else { return };
    let said = text(&refused);
    assert!(!refused.status.success() && said.contains("Permission denied"), "{said}");
    assert!(said.contains("Checkpoints::read_only"), "{said}");
    let said = text(&looked);
    assert!(looked.status.success() && said.contains("goes on at step 6 "), "{said}");
    assert!(said.contains("6 losses, the best at step 6, not saved: ") && said.contains("opened to be read"), "{said}");
}
