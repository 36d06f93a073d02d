//! Writes new files, all or none.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A file to be written.
pub struct NewFile {
    pub path: PathBuf,
    pub content: String,
}

/// Writes all files, in new folders where needed. A file that stands there with the same content is left alone.
///
/// # Errors
/// Where one would be overwritten, before any is written; or where writing fails.
pub fn create_all(files: &[NewFile]) -> Result<(), String> {
    let missing: Vec<&NewFile> = files.iter().filter(|file| !is_same(file)).collect();
    for file in &missing {
        if file.path.symlink_metadata().is_ok() {
            return Err(there(&file.path));
        }
    }
    missing.into_iter().try_for_each(create)
}

fn is_same(file: &NewFile) -> bool {
    fs::read(&file.path).is_ok_and(|content| content == file.content.as_bytes())
}

fn there(path: &Path) -> String {
    format!("{}: is there already, and nothing is overwritten\n  hint: -o names another file", path.display())
}

fn create(file: &NewFile) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: cannot be written: {error}", file.path.display());
    if let Some(folder) = file.path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut out = File::create_new(&file.path).map_err(failed)?;
    out.write_all(file.content.as_bytes()).map_err(failed)
}
