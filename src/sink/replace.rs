//! A file that is replaced whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::SinkError;
use super::packed::Packed;
use crate::types::{Packing, extensions, stem};

/// Ends the names of our temporary files, so that what a kill left behind is known as ours.
const TEMP_SUFFIX: &str = ".overnight.tmp";

/// Large enough that a result line seldom spans two writes.
const BUFFER: usize = 128 * 1024;

/// `<stem>.partial.<ext>` beside `path`: where a subset of the rows goes.
pub(super) fn partial_path(path: &Path) -> PathBuf {
    let mut name = stem(path).to_owned();
    name.push(".partial");
    for extension in extensions(path) {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// The file itself where `path` is a link to it, so that a link stays one.
///
/// # Errors
/// Where something other than a regular file is there.
pub(super) fn target(path: &Path) -> Result<PathBuf, SinkError> {
    let path = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path.to_owned()),
        Err(error) => return Err(SinkError::io("find", path, error)),
    };
    let found = fs::metadata(&path).map_err(|error| SinkError::io("find", &path, error))?;
    if found.is_file() { Ok(path) } else { Err(SinkError::NotAFile(path)) }
}

/// A new file that takes its target's place when it is whole, packed as the target's name says. Dropped before that, it is
/// gone.
pub(super) struct Replacement {
    target: PathBuf,
    temp: Packed<BufWriter<NamedTempFile>>,
}

impl Replacement {
    /// Begins a new file beside the target; parents are created.
    pub(super) fn create(path: &Path) -> Result<Self, SinkError> {
        let target = target(path)?;
        let folder = folder(&target);
        fs::create_dir_all(folder).map_err(|error| SinkError::io("create the folder", folder, error))?;
        let mut prefix = OsString::from(".");
        prefix.push(target.file_name().unwrap_or_default());
        prefix.push(".");
        remove_leftovers(folder, &prefix);
        let failed = |error| SinkError::io("create a file in", folder, error);
        let temp = BufWriter::with_capacity(BUFFER, new_temp(folder, &prefix).map_err(failed)?);
        // By the name as given: a link may be called otherwise than what it leads to.
        let (packing, _) = Packing::of(path);
        Ok(Self { temp: Packed::new(temp, packing).map_err(failed)?, target })
    }

    /// Where the file will stand.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Writes these bytes behind what is there.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        self.temp.write_all(bytes).map_err(|error| SinkError::io("write", &self.target, error))
    }

    /// Ends writing: what is there is whole, and on disk where it differs from the target.
    pub(super) fn ready(self) -> Result<Ready, SinkError> {
        let Self { target, temp } = self;
        let wrap = |error| SinkError::io("write", &target, error);
        let temp = temp.finish().map_err(wrap)?.into_inner().map_err(|error| wrap(error.into_error()))?;
        let changed = !same_bytes(temp.path(), &target).map_err(wrap)?;
        if changed {
            keep_permissions(&temp, &target);
            temp.as_file().sync_all().map_err(wrap)?;
        }
        Ok(Ready { target, temp, changed })
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.temp.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temp.flush()
    }
}

/// A whole new file, one rename away from its target.
pub(super) struct Ready {
    target: PathBuf,
    temp: NamedTempFile,
    changed: bool,
}

impl Ready {
    /// Takes the target's place, unless that holds the same bytes already. Tells whether it did.
    pub(super) fn replace(self) -> Result<bool, SinkError> {
        let Self { target, temp, changed } = self;
        if changed {
            temp.persist(&target).map_err(|error| SinkError::io("replace", &target, error.error))?;
            sync_folder(folder(&target)).map_err(|error| SinkError::io("replace", &target, error))?;
        }
        Ok(changed)
    }
}

fn folder(target: &Path) -> &Path {
    // The parent of a bare name is empty, which the system does not take for the working directory.
    target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn new_temp(folder: &Path, prefix: &OsString) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).suffix(TEMP_SUFFIX);
    // A temporary file is private by default; this one becomes the user's results, readable as the umask says.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// Removes what a killed process left behind. A failure here harms nothing: they are only dead weight.
fn remove_leftovers(folder: &Path, prefix: &OsString) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if is_leftover(entry.file_name().as_encoded_bytes(), prefix.as_encoded_bytes()) {
            drop(fs::remove_file(entry.path()));
        }
    }
}

/// A dot in the random part would make it the file of a longer name: `.out.errors.jsonl.` begins with `.out.`.
fn is_leftover(name: &[u8], prefix: &[u8]) -> bool {
    let random = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(TEMP_SUFFIX.as_bytes()));
    random.is_some_and(|random| !random.contains(&b'.'))
}

/// A target that was made private, or shared, stays so. Where it is not there, the umask has its way.
fn keep_permissions(temp: &NamedTempFile, target: &Path) {
    if let Ok(found) = fs::metadata(target) {
        drop(temp.as_file().set_permissions(found.permissions()));
    }
}

fn same_bytes(new: &Path, old: &Path) -> io::Result<bool> {
    let old = match File::open(old) {
        Ok(old) => old,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let new = File::open(new)?;
    if old.metadata()?.len() != new.metadata()?.len() {
        return Ok(false);
    }
    equal(BufReader::with_capacity(BUFFER, new), BufReader::with_capacity(BUFFER, old))
}

fn equal(mut one: impl BufRead, mut other: impl BufRead) -> io::Result<bool> {
    loop {
        let (some, others) = (one.fill_buf()?, other.fill_buf()?);
        let shared = some.len().min(others.len());
        if shared == 0 || some[..shared] != others[..shared] {
            return Ok(some.is_empty() && others.is_empty());
        }
        one.consume(shared);
        other.consume(shared);
    }
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}
