//! A training in a process of its own that is killed at random moments, and one whose disk fails.
//!
//! `WENGERT_KILLS=200 cargo test --release -p wengert-train --test kill` kills more often.
#![cfg(unix)]

use rand::Rng;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use wengert_autograd::{ParamTree, Tape, Tensor};
use wengert_nn::{Cx, Linear, LstmCell, Rnn, io, loss};
use wengert_optim::schedule::Plateau;
use wengert_optim::{Adam, Average};
use wengert_train::{Batches, Checkpointed, Checkpoints, Parts, Random, Result, Seeds};

/// The variable with the folder of the child's run.
const FOLDER: &str = "WENGERT_KILL_FOLDER";
/// The variable with the number of epochs.
const EPOCHS: &str = "WENGERT_KILL_EPOCHS";

struct Run {
    seeds: Seeds,
    net: (Rnn<LstmCell>, Linear),
    adam: Adam,
    plateau: Plateau,
    average: Average,
    batches: Batches,
    random: Random,
    losses: Vec<f64>,
}

impl Checkpointed for Run {
    fn parts(&mut self, parts: &mut Parts) -> Result<()> {
        parts.part("seeds", &mut self.seeds)?;
        parts.params("net", &self.net)?;
        parts.optimizer("adam", &mut self.adam, &self.net)?;
        parts.part("plateau", &mut self.plateau)?;
        parts.average("average", &mut self.average, &self.net)?;
        parts.part("batches", &mut self.batches)?;
        parts.part("random", &mut self.random)?;
        parts.value("losses", &mut self.losses)
    }
}

/// The child: trains, with a checkpoint after every step, and leaves its losses and weights when it is done.
#[test]
#[ignore = "the process that the other tests start"]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let epochs = std::env::var(EPOCHS).expect("the parent sets both").parse().expect("a number");
    if let Err(error) = train(Path::new(&folder), epochs) {
        panic!("{error}");
    }
}

fn train(folder: &Path, epochs: u64) -> Result<(), Box<dyn std::error::Error>> {
    let seeds = Seeds::new(9);
    let mut rng = seeds.rng("weights");
    let mut run = Run {
        seeds,
        net: (Rnn::new(LstmCell::new(2, 24, &mut rng)), Linear::new(24, 1, &mut rng)),
        adam: Adam::new(0.01),
        plateau: Plateau::new(0.7).patience(1),
        average: Average::exponential(0.9),
        batches: Batches::new(22, 4)?.shuffled(seeds.key("order")),
        random: seeds.rng("noise"),
        losses: Vec::new(),
    };
    let mut checkpoints = Checkpoints::new(folder)?.keep(2);
    println!("resumed: {}", checkpoints.resume(&mut run)?);
    while run.batches.epoch() < epochs {
        while let Some(batch) = run.batches.next() {
            let noise = run.random.random_range(0.0..0.1f32);
            let value = |i: &usize, t: usize| ((i * 7 + t) % 11) as f32 / 11.0 + noise;
            let x = (0..6).flat_map(|t| batch.iter().flat_map(move |i| [value(i, t), 1.0])).collect();
            let y: Vec<f32> = batch.iter().map(|i| value(i, 6)).collect();
            let tape = Tape::new();
            let step = run.losses.len() as u64;
            let cx = Cx::train(&tape).with_seed(run.seeds.key_at("drop", step));
            let (h, _) = run.net.0.forward(&cx, tape.constant(Tensor::from_vec(x, [6, batch.len(), 2])?));
            let h = h.last(0);
            let key = cx.key().ok_or("the pass has a key")?;
            let kept = tape.bernoulli(key, 0.9, h.shape()?, h.dtype()?) / 0.9;
            let loss = loss::mse(run.net.1.forward(h * kept), &Tensor::from_vec(y, [batch.len(), 1])?);
            let gradients = loss.backward()?;
            drop(tape);
            run.adam.step(&run.net, &gradients)?;
            run.average.update(&run.net)?;
            run.losses.push(gradients.loss().item()?);
            let step = run.losses.len() as u64;
            // A run whose disk is full goes on.
            if let Err(error) = checkpoints.save(step, &mut run) {
                println!("not saved: {error}");
            }
        }
        let last: f64 = run.losses[run.losses.len() - run.batches.per_epoch()..].iter().sum();
        run.adam.lr = run.plateau.next(run.adam.lr, last);
        let step = run.losses.len() as u64;
        if let Err(error) = checkpoints.save_best(step, last, &mut run) {
            println!("not saved: {error}");
        }
    }
    let mut all: Vec<(String, Tensor)> = run.net.params().into_iter().map(|(name, p)| (name, p.value())).collect();
    all.push(("losses".into(), Tensor::from_slice(&run.losses, [run.losses.len()])?));
    if let Err(error) = io::save_tensors(all, folder.join("end")) {
        println!("no end: {error}");
    }
    Ok(())
}

/// The command of a child.
fn child_of(folder: &Path, epochs: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a test is a program"));
    command.args(["child", "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, folder).env(EPOCHS, epochs.to_string()).env("WENGERT_THREADS", "1");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn end(folder: &Path) -> Vec<(String, Tensor)> {
    io::load_tensors(folder.join("end")).expect("the run has ended")
}

fn assert_same(a: &[(String, Tensor)], b: &[(String, Tensor)]) {
    assert_eq!(a.len(), b.len());
    for ((name, a), (_, b)) in a.iter().zip(b) {
        assert!(a.bit_eq(b), "{name}: {a:?} against {b:?}");
    }
}

fn undisturbed(epochs: u64) -> (Vec<(String, Tensor)>, Duration) {
    let folder = tempfile::tempdir().expect("a folder");
    let start = Instant::now();
    let output = child_of(folder.path(), epochs).output().expect("it starts");
    assert!(output.status.success(), "{}", text(&output));
    (end(folder.path()), start.elapsed())
}

/// A child that is killed when the test fails.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_killed_run_ends_as_an_undisturbed_one() {
    let kills: usize = std::env::var("WENGERT_KILLS").map_or(8, |n| n.parse().expect("a number"));
    let epochs = 10;
    let (wanted, time) = undisturbed(epochs);
    let mut random = Random::new(std::process::id() as i64);
    let (mut killed, mut ended, mut resumed, mut passed_over, mut writing) = (0, 0, 0, 0, 0);
    while killed < kills {
        let folder = tempfile::tempdir().expect("a folder");
        loop {
            let mut child = Guard(child_of(folder.path(), epochs).spawn().expect("it starts"));
            if killed < kills {
                // From before the first checkpoint to after the last.
                std::thread::sleep(time.mul_f64(random.random_range(0.0..0.6)));
                child.0.kill().expect("it can be killed");
            }
            let status = child.0.wait().expect("it ends");
            let mut output = String::new();
            let mut pipe = child.0.stdout.take().expect("it is piped");
            std::io::Read::read_to_string(&mut pipe, &mut output).expect("text");
            resumed += usize::from(output.contains("goes on at step"));
            passed_over += usize::from(output.contains("passed over"));
            if status.success() {
                break;
            }
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{output}");
            killed += 1;
            let mut entries = std::fs::read_dir(folder.path()).expect("a folder").flatten();
            writing += usize::from(entries.any(|entry| entry.path().extension().is_some_and(|e| e == "part")));
        }
        assert_same(&end(folder.path()), &wanted);
        ended += 1;
    }
    println!(
        "{killed} kills, {writing} of them in a write; {resumed} times resumed, {ended} runs ended as the undisturbed one"
    );
    // A rename never leaves half a file.
    assert_eq!(passed_over, 0);
}

#[test]
fn a_full_disk_loses_nothing() {
    let epochs = 4;
    let (wanted, _) = undisturbed(epochs);
    let folder = tempfile::tempdir().expect("a folder");
    let first = child_of(folder.path(), 1).output().expect("it starts");
    assert!(first.status.success(), "{}", text(&first));
    std::fs::remove_file(folder.path().join("end")).expect("the first epoch has ended");
    let files = || {
        let entries = std::fs::read_dir(folder.path()).expect("a folder");
        let mut all: Vec<_> = entries.map(|e| e.expect("an entry").path()).collect();
        all.sort();
        all
    };
    let before = files();
    // No file may grow beyond 8 blocks of 512 bytes (1 KiB in some shells); the program gets an error, not a signal.
    let child = child_of(folder.path(), epochs);
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\""])
        .arg(child.get_program())
        .args(child.get_args());
    limited.envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = limited.output().expect("it starts");
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("not saved: ") && said.contains("File too large") && said.contains("no end: "), "{said}");
    // The old checkpoints are there, and no half of a new one.
    assert_eq!(files(), before);
    let output = child_of(folder.path(), epochs).output().expect("it starts");
    assert!(text(&output).contains("goes on at step 6 "), "{}", text(&output));
    assert_same(&end(folder.path()), &wanted);
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_at_once() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let folder = tempfile::tempdir().expect("a folder");
    let inner = folder.path().join("run");
    std::fs::create_dir(&inner).expect("a folder in it");
    for (path, mode) in [(folder.path(), 0o755), (&inner, 0o555)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
    }
    let mut command = child_of(&inner, 1);
    // Permissions do not hold for the superuser: be nobody.
    let superuser = std::fs::File::create(inner.join("probe")).is_ok();
    if superuser {
        command.uid(65534).gid(65534);
    }
    let Ok(output) = command.output() else {
        println!("skipped: this program cannot be started by nobody");
        return;
    };
    let said = text(&output);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("run/lock: Permission denied"), "{said}");
}
