//! The event files, read by TensorBoard itself where Python has it (`PYTHON` names the interpreter; python3 if not set).

use std::io::Write;
use std::process::Command;
use wengert_autograd::Tensor;
use wengert_train::{Log, TensorBoard};

/// Prints what the reader of TensorBoard has found, and whether it reads to the end without an error.
const SCRIPT: &str = "
import sys, logging
logging.raiseExceptions = True
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
import glob
for path in sorted(glob.glob(sys.argv[1] + '/*')):
    print('file', len(list(EventFileLoader(path).Load())))
events = EventAccumulator(sys.argv[1], purge_orphaned_data=True)
events.Reload()
tags = events.Tags()
for tag in sorted(tags['scalars']):
    print(tag, *[f'{e.step}:{e.value:.9g}' for e in events.Scalars(tag)])
for tag in tags['histograms']:
    for e in events.Histograms(tag):
        h = e.histogram_value
        print(tag, e.step, h.min, h.max, h.num, h.sum, h.sum_squares, len(h.bucket_limit), sum(h.bucket))
";

#[test]
fn tensorboard_reads_what_was_written() {
    let python = std::env::var("PYTHON").unwrap_or("python3".into());
    let folder = tempfile::tempdir().expect("a folder");
    let mut board = TensorBoard::new(folder.path(), 0).expect("it can be made");
    for step in 0..5 {
        board.log(step, &[("loss/train", 1.0 / (step + 1) as f64), ("lr", 0.1)]).expect("it is written");
    }
    drop(board);
    // The run was killed, and goes on from step 3.
    let mut board = TensorBoard::new(folder.path(), 3).expect("it can be made");
    for step in 3..6 {
        board.log(step, &[("loss/train", 100.0 + step as f64)]).expect("it is written");
    }
    let values = Tensor::from_slice(&[-1.0f32, 0.5, f32::NAN, 3.0, 3.0], [5]).expect("five values");
    board.histogram(1 << 40, "gate", &values).expect("it is written");
    drop(board);

    let output = Command::new(&python).args(["-c", SCRIPT]).arg(folder.path()).output();
    let Some(output) = output.ok().filter(|o| !String::from_utf8_lossy(&o.stderr).contains("No module named")) else {
        // Past the capture of the test's output.
        let _ = writeln!(std::io::stderr(), "skipped: the event files in TensorBoard, which {python} does not have");
        return;
    };
    let (found, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    let wanted = "file 6\nfile 6\n\
                  loss/train 0:1 1:0.5 2:0.333333343 3:103 4:104 5:105\n\
                  lr 0:0.100000001 1:0.100000001 2:0.100000001\n\
                  gate 1099511627776 -1.0 3.0 4.0 5.5 19.25 30 4.0\n";
    assert_eq!(found, wanted, "{said}");
}
