//! Files that appear whole or not at all.

use crate::failure::{Failure, Result};
use std::io::Write;
use std::path::Path;

/// Makes the folder and sees that files can be written there, so that nobody waits for a training in vain.
pub fn prepare(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| Failure::file(folder, format!("cannot make the folder: {e}")))?;
    tempfile::tempfile_in(folder).map_err(|e| Failure::file(folder, format!("cannot write here: {e}")))?;
    Ok(())
}

/// Writes a file beside its place and renames it.
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let failed = |e: std::io::Error| Failure::file(path, format!("cannot write: {e}"));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(content).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}
