//! Standard input, kept in a file so that it can be read more than once.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::error::SourceError;

/// A file of ours with what standard input held.
pub(super) struct Spool {
    pub(super) path: PathBuf,
    /// Of the content: a spool is written anew each time, so its times say nothing.
    pub(super) hash: [u8; 32],
}

/// Copies all of `input` to `<folder>/stdin`.
pub(super) fn spool(input: &mut dyn Read, folder: &Path) -> Result<Spool, SourceError> {
    let path = folder.join("stdin");
    match copy(input, folder, &path) {
        Ok(spool) => Ok(spool),
        Err(source) => Err(SourceError::Spool { path, source }),
    }
}

fn copy(input: &mut dyn Read, folder: &Path, path: &Path) -> io::Result<Spool> {
    fs::create_dir_all(folder)?;
    // Renamed when whole: what stands under the name is never half of an input.
    let part = path.with_extension("part");
    let mut file = File::create(&part)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                hasher.update(&buffer[..count]);
                file.write_all(&buffer[..count])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    fs::rename(&part, path)?;
    Ok(Spool { path: path.canonicalize()?, hash: *hasher.finalize().as_bytes() })
}
