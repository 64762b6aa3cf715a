//! What the program leaves behind: lines on standard output, and files that appear whole or not at all.

use crate::failure::{Failure, Result};
use std::fs;
use std::path::Path;

/// Prints a line. Whoever closes the pipe early (`| head`) has seen enough: that is no error.
macro_rules! say {
    ($($line:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stdout(), $($line)*);
    }};
}
pub(crate) use say;

/// Makes the folder and sees that files can be written there, so that nobody waits for a training in vain.
pub fn prepare(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|e| Failure::file(folder, format!("cannot make the folder: {e}")))?;
    tempfile::tempfile_in(folder).map_err(|e| Failure::file(folder, format!("cannot write here: {e}")))?;
    Ok(())
}

/// Writes a file beside its place, then renames it.
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    let part = path.with_extension("part");
    fs::write(&part, content).and_then(|()| fs::rename(&part, path)).map_err(|e| {
        let _ = fs::remove_file(&part);
        Failure::file(path, format!("cannot write: {e}"))
    })
}
