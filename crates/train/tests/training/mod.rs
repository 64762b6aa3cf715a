//! A training in a process of its own, for the tests that disturb it.

use rand::Rng;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use wengert_autograd::{ParamTree, Tape, Tensor};
use wengert_nn::{Cx, Linear, LstmCell, Rnn, io, loss};
use wengert_optim::schedule::Plateau;
use wengert_optim::{Adam, Average};
use wengert_train::{Batches, Checkpointed, Checkpoints, Parts, Random, Result, Seeds};

/// The variable with the folder of the child's run.
const FOLDER: &str = "WENGERT_RUN_FOLDER";
/// The variable with the number of epochs.
const EPOCHS: &str = "WENGERT_RUN_EPOCHS";
/// The variable that, if it is set, makes the folder read-only for some steps.
pub(crate) const READ_ONLY: &str = "WENGERT_RUN_READ_ONLY";
/// The variable that, if it is set, makes the child look at its checkpoints instead of training.
pub(crate) const LOOK: &str = "WENGERT_RUN_LOOK";
/// The steps whose checkpoints find the folder so.
pub(crate) const REFUSED: std::ops::Range<u64> = 8..16;

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
    let read_only = std::env::var_os(READ_ONLY).is_some();
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
    if std::env::var_os(LOOK).is_some() {
        let mut checkpoints = Checkpoints::read_only(folder)?;
        println!("{}", checkpoints.resume(&mut run)?);
        let losses = run.losses.len();
        let best = checkpoints.load_best(&mut run)?.ok_or("an epoch has ended")?;
        let refused = checkpoints.save(7, &mut run).expect_err("it cannot be saved");
        println!("{losses} losses, the best at step {}, not saved: {refused}", best.0);
        return Ok(());
    }
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
            if read_only && step == REFUSED.start {
                set_mode(folder, 0o555)?;
            }
            if read_only && step == REFUSED.end {
                println!("there are {:?}", checkpoints.steps()?);
                set_mode(folder, 0o755)?;
            }
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

/// Sets the permissions of a file or folder of ours.
pub(crate) fn set_mode(path: &Path, mode: u32) -> std::io::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

/// The command of a child.
pub(crate) fn child_of(folder: &Path, epochs: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a test is a program"));
    command.args(["training::child", "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, folder).env(EPOCHS, epochs.to_string()).env("WENGERT_THREADS", "1");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

pub(crate) fn end(folder: &Path) -> Vec<(String, Tensor)> {
    io::load_tensors(folder.join("end")).expect("the run has ended")
}

pub(crate) fn assert_same(a: &[(String, Tensor)], b: &[(String, Tensor)]) {
    assert_eq!(a.len(), b.len());
    for ((name, a), (_, b)) in a.iter().zip(b) {
        assert!(a.bit_eq(b), "{name}: {a:?} against {b:?}");
    }
}

pub(crate) fn undisturbed(epochs: u64) -> (Vec<(String, Tensor)>, Duration) {
    let folder = tempfile::tempdir().expect("a folder");
    let start = Instant::now();
    let output = child_of(folder.path(), epochs).output().expect("it starts");
    assert!(output.status.success(), "{}", text(&output));
    (end(folder.path()), start.elapsed())
}
