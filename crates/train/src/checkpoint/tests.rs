//! Checkpoints that are damaged, missing, or of another run.

use super::*;
use crate::{Batches, Seeds};
use wengert_autograd::{Gradients, Tape, Tensor, Var};
use wengert_nn::{Carried, Cx, LstmCell, Rnn};
use wengert_optim::schedule::Plateau;
use wengert_optim::{Accumulate, Adam, Average};

/// Something of everything that is kept.
struct Run {
    seeds: Seeds,
    net: Rnn<LstmCell>,
    adam: Adam,
    accumulate: Accumulate,
    plateau: Plateau,
    average: Average,
    batches: Batches,
    carried: Option<Carried>,
    losses: Vec<f64>,
}

impl Checkpointed for Run {
    fn parts(&mut self, parts: &mut Parts) -> Result<()> {
        parts.part("seeds", &mut self.seeds)?;
        parts.params("net", &self.net)?;
        parts.optimizer("adam", &mut self.adam, &self.net)?;
        parts.accumulate("accumulate", &mut self.accumulate, &self.net)?;
        parts.part("plateau", &mut self.plateau)?;
        parts.average("average", &mut self.average, &self.net)?;
        parts.part("batches", &mut self.batches)?;
        parts.carried("carried", &mut self.carried)?;
        parts.value("losses", &mut self.losses)
    }
}

impl Run {
    fn new(hidden: usize) -> Run {
        let seeds = Seeds::new(1);
        Run {
            seeds,
            net: Rnn::new(LstmCell::new(1, hidden, &mut seeds.rng("weights"))),
            adam: Adam::new(0.02),
            accumulate: Accumulate::every(2),
            plateau: Plateau::new(0.5).patience(0),
            average: Average::exponential(0.9),
            batches: Batches::new(8, 3).expect("a size").shuffled(seeds.key("order")),
            carried: None,
            losses: Vec::new(),
        }
    }

    fn gradients(&self, batch: &[usize]) -> wengert_autograd::Result<(Gradients, Carried)> {
        let tape = Tape::new();
        let key = self.seeds.key_at("noise", self.losses.len() as u64);
        let cx = Cx::train(&tape).with_seed(key);
        let x: Vec<f32> = batch.iter().flat_map(|i| [*i as f32 / 8.0; 4]).collect();
        let x = tape.constant(Tensor::from_vec(x, [4, batch.len(), 1])?);
        let noise: Var<'_> = tape.uniform(tape.constant(key), [4, batch.len(), 1], x.dtype()?);
        // The state of three sequences goes on; the smaller batch starts anew.
        let state = match &self.carried {
            Some(carried) if batch.len() == 3 => self.net.resume(&cx, 3, carried)?,
            _ => self.net.init(&cx, batch.len()),
        };
        let (y, state) = self.net.forward_from(&cx, x + noise, state);
        let state = wengert_autograd::Tree::keep(&state);
        Ok(((y - 0.5).square().mean().backward()?, Carried::of(&state)?))
    }

    fn step(&mut self) -> Result<()> {
        let batch = match self.batches.next() {
            Some(batch) => batch,
            None => self.batches.next().expect("an epoch has batches"),
        };
        let (gradients, carried) = self.gradients(&batch)?;
        self.carried = Some(carried).filter(|_| batch.len() == 3);
        let loss = gradients.loss().item()?;
        if let Some(gradients) = self.accumulate.add_weighted(&self.net, gradients, batch.len() as f64)? {
            self.adam.step(&self.net, &gradients)?;
        }
        self.average.update(&self.net)?;
        self.adam.lr = self.plateau.next(self.adam.lr, loss);
        self.losses.push(loss);
        Ok(())
    }

    /// All that a run is, as text.
    fn bits(&mut self) -> String {
        let contents = Parts::write(self).expect("it can be written");
        let tensors = contents
            .tensors
            .iter()
            .map(|(name, t)| format!("{name} {:?} ", t.to_f64_vec().iter().map(|v| v.to_bits()).collect::<Vec<_>>()));
        tensors.collect::<String>() + &format!("{:?}", contents.texts)
    }
}

fn trained(steps: usize) -> Run {
    let mut run = Run::new(4);
    (0..steps).try_for_each(|_| run.step()).expect("it trains");
    run
}

#[test]
fn a_run_goes_on_to_the_bit_from_any_step() {
    let undisturbed = trained(12).bits();
    for stop in 0..12 {
        let folder = tempfile::tempdir().unwrap();
        let mut checkpoints = Checkpoints::new(folder.path()).unwrap();
        checkpoints.save(stop as u64, &mut trained(stop)).unwrap();
        let mut run = trained(3);
        run.adam.lr = 77.0;
        assert_eq!(checkpoints.resume(&mut run).unwrap().step, Some(stop as u64));
        assert_eq!(run.losses.len(), stop);
        (stop..12).for_each(|_| run.step().unwrap());
        assert_eq!(run.bits(), undisturbed, "stopped after {stop}");
    }
}

#[test]
fn the_last_few_and_the_best_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpoints::new(folder.path()).unwrap().keep(2);
    let mut run = trained(0);
    assert_eq!(checkpoints.resume(&mut run).unwrap().to_string(), "starts anew: there is no checkpoint yet");
    assert_eq!(checkpoints.load_best(&mut run).unwrap(), None);
    let mut written = Vec::new();
    for (step, loss) in [0.5, 0.3, f64::NAN, 0.4, 0.3].into_iter().enumerate() {
        run.step().unwrap();
        checkpoints.save(step as u64, &mut run).unwrap();
        written.push(checkpoints.save_best(step as u64, loss, &mut run).unwrap());
    }
    assert_eq!(written, [true, true, false, false, false]);
    assert_eq!(checkpoints.steps().unwrap(), [3, 4]);
    let mut best = Run::new(4);
    assert_eq!(checkpoints.load_best(&mut best).unwrap(), Some((1, 0.3)));
    assert_eq!(best.losses.len(), 2);
    let mut one = Run::new(4);
    assert_eq!(Checkpoints::load(checkpoints.path(3), &mut one).unwrap(), 3);
    assert_eq!(one.losses.len(), 4);
    assert!(Checkpoints::load(folder.path().join("lock"), &mut one).unwrap_err().to_string().contains("no checkpoint"));
    // No file is left over.
    assert_eq!(list(folder.path()).unwrap().len(), 4);
}

#[test]
fn damaged_checkpoints_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpoints::new(folder.path()).unwrap().keep(3);
    let mut run = trained(0);
    for step in 1..=3 {
        run.step().unwrap();
        checkpoints.save(step, &mut run).unwrap();
    }
    // A bit in the weights of the last, and the one before cut off.
    let (last, before) = (checkpoints.path(3), checkpoints.path(2));
    let mut bytes = fs::read(&last).unwrap();
    let at = bytes.len() - 5;
    bytes[at] ^= 1;
    fs::write(&last, &bytes).unwrap();
    let bytes = fs::read(&before).unwrap();
    fs::write(&before, &bytes[..bytes.len() / 2]).unwrap();

    let mut resumed = Run::new(4);
    let found = checkpoints.resume(&mut resumed).unwrap();
    assert_eq!((found.step, found.passed_over.len(), resumed.losses.len()), (Some(1), 2, 1));
    let text = found.to_string();
    assert!(text.starts_with(&format!("goes on at step 1 of {}", checkpoints.path(1).display())), "{text}");
    assert!(text.contains("step-00000003.safetensors: damaged: its checksum is "), "{text}");
    assert!(text.contains("step-00000002.safetensors: damaged"), "{text}");

    // The run goes on: new checkpoints are not taken for older than the damaged ones.
    let mut checkpoints = checkpoints.keep(1);
    resumed.step().unwrap();
    checkpoints.save(2, &mut resumed).unwrap();
    assert_eq!(checkpoints.resume(&mut Run::new(4)).unwrap().step, Some(2));

    fs::write(checkpoints.path(2), b"").unwrap();
    let error = checkpoints.resume(&mut Run::new(4)).unwrap_err().to_string();
    assert!(error.contains("none of its checkpoints can be read; move them away to start anew"), "{error}");
    assert!(error.contains("no checkpoint: 0 bytes"), "{error}");
}

#[test]
fn a_checkpoint_of_another_run_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpoints::new(folder.path()).unwrap();
    checkpoints.save(2, &mut trained(2)).unwrap();
    let says = |error: Error, parts: &[&str]| {
        let text = error.to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    };
    let error = checkpoints.resume(&mut Run::new(5)).unwrap_err();
    says(
        error,
        &["does not fit the run", "in 'net' 'layers.0.w' is f32 [1, 16], expected f32 [1, 20]", "another folder"],
    );
    let mut other = Run::new(4);
    other.seeds = Seeds::new(2);
    says(checkpoints.resume(&mut other).unwrap_err(), &["'seeds/seed' was 1, and is 2 now"]);

    struct Less(f64);
    impl Checkpointed for Less {
        fn parts(&mut self, parts: &mut Parts) -> Result<()> {
            parts.value("number", &mut self.0)
        }
    }
    says(checkpoints.resume(&mut Less(0.0)).unwrap_err(), &["'number' is missing"]);
    checkpoints.save(3, &mut Less(0.1)).unwrap();
    says(checkpoints.resume(&mut Run::new(4)).unwrap_err(), &["'seeds/seed' is missing"]);

    struct More(f64, bool);
    impl Checkpointed for More {
        fn parts(&mut self, parts: &mut Parts) -> Result<()> {
            parts.value("number", &mut self.0)?;
            if parts.saving() || self.1 { parts.value("other", &mut self.0) } else { Ok(()) }
        }
    }
    checkpoints.save(4, &mut More(0.1, false)).unwrap();
    says(checkpoints.resume(&mut More(0.0, false)).unwrap_err(), &["it holds 'other', which the run does not name"]);

    struct Twice(f64);
    impl Checkpointed for Twice {
        fn parts(&mut self, parts: &mut Parts) -> Result<()> {
            parts.value("number", &mut self.0)?;
            parts.value("number", &mut self.0)
        }
    }
    says(checkpoints.save(5, &mut Twice(0.1)).unwrap_err(), &["two parts are named 'number'"]);
}

#[test]
fn a_setting_that_has_changed_is_named_and_can_be_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpoints::new(folder.path()).unwrap();
    checkpoints.save(2, &mut trained(2)).unwrap();
    type Change = fn(&mut Run);
    let changes: [(&str, &str, &str, Change); 13] = [
        ("adam/settings/betas", "(0.9, 0.999)", "(0.8, 0.999)", |run| run.adam = Adam::new(0.02).betas(0.8, 0.999)),
        ("adam/settings/l2", "0", "0.1", |run| run.adam = Adam::new(0.02).l2(0.1)),
        ("adam/settings/decay", "0", "0.1", |run| run.adam = Adam::new(0.02).decoupled_decay(0.1)),
        ("adam/settings/groups", "none", "'*.b' frozen", |run| run.adam = Adam::new(0.02).freeze("*.b")),
        ("adam/settings/non-finite", "Allow", "Skip", |run| run.adam = Adam::new(0.02).skip_non_finite()),
        ("plateau/settings/patience", "0", "1", |run| run.plateau = Plateau::new(0.5).patience(1)),
        ("plateau/settings/absolute", "false", "true", |run| {
            run.plateau = Plateau::new(0.5).patience(0).absolute_threshold(1e-4);
        }),
        ("plateau/settings/rising", "false", "true", |run| run.plateau = Plateau::new(0.5).patience(0).rising()),
        ("accumulate/settings/every", "2", "3", |run| run.accumulate = Accumulate::every(3)),
        ("average/decay", "0.9", "none", |run| run.average = Average::equal()),
        ("batches/drop last", "false", "true", |run| run.batches = run.batches.clone().drop_last()),
        ("batches/batch", "3", "4", |run| {
            run.batches = Batches::new(8, 4).unwrap().shuffled(run.seeds.key("order"));
        }),
        ("batches/buckets", "none", "2 batches of lengths with the checksum ", |run| {
            run.batches = run.batches.clone().by_length((0..8).collect(), 2).unwrap()
        }),
    ];
    for (name, before, now, change) in changes {
        let changed = || {
            let mut run = Run::new(4);
            change(&mut run);
            run
        };
        let error = checkpoints.resume(&mut changed()).unwrap_err().to_string();
        let wanted = format!("'{name}' was {before}, and is {now}");
        assert!(error.contains(&wanted), "{error}");
        assert!(
            error.contains(&format!("to change it on purpose: Checkpoints::allow_changed([\"{name}\"])")),
            "{error}"
        );
        let part = name.split('/').next().unwrap();
        for allowed in [name, part] {
            let checkpoints = Checkpoints::read_only(folder.path()).unwrap().allow_changed(["seeds", allowed]);
            let resumed = checkpoints.resume(&mut changed()).unwrap();
            assert!(resumed.changed.len() == 1 && resumed.changed[0].starts_with(&wanted), "{resumed}");
            assert!(resumed.to_string().contains(&wanted), "{resumed}");
        }
        // Half a name is no name.
        let checkpoints = Checkpoints::read_only(folder.path()).unwrap().allow_changed([&name[..name.len() - 1]]);
        assert!(checkpoints.resume(&mut changed()).is_err());
    }

    // Rules of other kinds have other settings.
    struct Settings(Vec<(String, String)>);
    impl Checkpointed for Settings {
        fn parts(&mut self, parts: &mut Parts) -> Result<()> {
            parts.settings("settings", &self.0)
        }
    }
    checkpoints.save(3, &mut Settings(Run::new(4).adam.settings())).unwrap();
    let mut other = Settings(wengert_optim::Sgd::new(0.1).settings());
    let error = checkpoints.resume(&mut other).unwrap_err().to_string();
    assert!(error.contains("'settings/amsgrad' was false, and is not set now"), "{error}");
    let resumed = checkpoints.allow_changed(["settings"]).resume(&mut other).unwrap();
    assert!(resumed.changed.contains(&"'settings/momentum' was not set, and is 0.0 now".into()), "{resumed}");
}

#[test]
fn a_damaged_best_is_an_error_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(BEST);
    let mut run = trained(1);
    let mut checkpoints = Checkpoints::new(folder.path()).unwrap();
    assert!(checkpoints.save_best(1, 0.5, &mut run).unwrap());
    drop(checkpoints);
    let whole = fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let mut checkpoints = Checkpoints::new(folder.path()).unwrap();
    for bytes in [&damaged[..], &whole[..whole.len() / 2], b""] {
        fs::write(&path, bytes).unwrap();
        let error = checkpoints.save_best(2, 0.1, &mut run).unwrap_err().to_string();
        assert!(error.contains("best.safetensors: ") && error.ends_with("not written over: move it away"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
        let error = checkpoints.load_best(&mut Run::new(4)).unwrap_err().to_string();
        assert!(error.contains("best.safetensors: damaged: ") || error.contains("no checkpoint: 0 bytes"), "{error}");
    }
    // A file of a step has no loss.
    checkpoints.save(2, &mut run).unwrap();
    fs::copy(checkpoints.path(2), &path).unwrap();
    let error = checkpoints.save_best(2, 0.1, &mut run).unwrap_err().to_string();
    assert!(error.contains("it does not say its loss"), "{error}");
    // After it was repaired, or moved away, the run goes on.
    fs::write(&path, &whole).unwrap();
    assert!(!checkpoints.save_best(3, 0.5, &mut run).unwrap());
    assert!(checkpoints.save_best(3, 0.4, &mut run).unwrap());
    // The loss is known now; the file is not read again.
    fs::write(&path, b"").unwrap();
    assert!(!checkpoints.save_best(4, 0.4, &mut run).unwrap());
    fs::remove_file(&path).unwrap();
    assert!(checkpoints.save_best(4, 0.9, &mut run).unwrap());
    assert_eq!(checkpoints.load_best(&mut Run::new(4)).unwrap(), Some((4, 0.9)));
}

/// The file that is being written is a device or a folder: each call on the way to a checkpoint fails once.
#[cfg(target_os = "linux")]
#[test]
fn whichever_call_fails_the_last_checkpoint_stays() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpoints::new(folder.path()).unwrap();
    let mut run = trained(1);
    checkpoints.save(1, &mut run).unwrap();
    let part = checkpoints.path(2).with_extension(PART);
    let before = run.bits();
    type Obstacle<'a> = (&'a dyn Fn(), &'a str);
    let obstacles: [Obstacle<'_>; 4] = [
        (&|| fs::create_dir(&part).unwrap(), "Is a directory"),
        // A device without space, and one that cannot be flushed.
        (&|| symlink("/dev/full", &part).unwrap(), "No space left on device"),
        (&|| symlink("/dev/null", &part).unwrap(), "Invalid argument"),
        (&|| fs::create_dir_all(checkpoints_in(folder.path(), 2)).unwrap(), "directory"),
    ];
    for (place, wanted) in obstacles {
        place();
        let error = checkpoints.save(2, &mut run).unwrap_err().to_string();
        assert!(error.contains("step-00000002.safetensors: ") && error.contains(wanted), "{error}");
        let _ = fs::remove_dir(&part);
        assert!(!part.exists() && !part.is_symlink(), "{wanted}");
        let mut resumed = Run::new(4);
        assert_eq!(Checkpoints::load(checkpoints.path(1), &mut resumed).unwrap(), 1);
        assert_eq!(resumed.bits(), before);
    }
    fs::remove_dir_all(checkpoints.path(2)).unwrap();
    checkpoints.save(2, &mut run).unwrap();
    assert_eq!(checkpoints.steps().unwrap(), [1, 2]);
}

/// A folder, with something in it, where the file of a step should be.
#[cfg(target_os = "linux")]
fn checkpoints_in(folder: &Path, step: u64) -> PathBuf {
    folder.join(format!("step-{step:08}.safetensors/inner"))
}

#[test]
fn a_folder_is_of_one_run_and_must_be_writable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b");
    let held = Checkpoints::new(&path).unwrap();
    let error = Checkpoints::new(&path).unwrap_err().to_string();
    assert!(error.contains("another run writes its checkpoints here"), "{error}");
    // Who only reads may look meanwhile.
    let mut looking = Checkpoints::read_only(&path).unwrap();
    assert_eq!(looking.resume(&mut Run::new(4)).unwrap().step, None);
    for error in [looking.save(1, &mut Run::new(4)).err(), looking.save_best(1, 0.0, &mut Run::new(4)).err()] {
        assert!(error.unwrap().to_string().contains("it was opened to be read; to write to it: Checkpoints::new"));
    }
    assert!(Checkpoints::read_only(folder.path().join("nowhere")).unwrap_err().to_string().contains("No such file"));
    drop(held);
    // What a killed run has left goes.
    fs::write(path.join("step-00000001.part"), b"half").unwrap();
    Checkpoints::new(&path).unwrap();
    assert!(!path.join("step-00000001.part").exists());

    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = Checkpoints::new(&file).unwrap_err().to_string();
    assert!(error.contains("file: "), "{error}");
}

#[test]
fn values_are_given_back_to_the_bit() {
    fn again<T: Value + PartialEq + fmt::Debug>(value: T) {
        assert_eq!(T::read(&value.write()).as_ref(), Some(&value));
    }
    for number in [0.1, -1e300, f64::MIN_POSITIVE, 5e-324, f64::INFINITY, 1.0 / 3.0] {
        again(number);
        again(Some(number));
    }
    assert_eq!(f64::read(&(-0.0f64).write()).map(f64::to_bits), Some((-0.0f64).to_bits()));
    assert!(f64::read(&f64::NAN.write()).unwrap().is_nan());
    again(None::<f64>);
    again(vec!["".to_string(), "a 1:b ".into(), "∂".into()]);
    again(Vec::<String>::new());
    assert_eq!(Vec::<String>::read("3:ab"), None);
    assert_eq!(u64::read("-1"), None);
}
