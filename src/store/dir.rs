//! The state directory itself: whose it is, and how it is put aside.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::error::io_error;
use super::{StateLock, StoreError};

/// What `archive` leaves where it is.
const STAYS: [&str; 6] = [".gitignore", "archive", "batch.toml", "job", "lock", "spool"];

/// The state directory of one job, such as `.overnight/tag/`.
#[derive(Clone, Debug)]
pub struct StateDir {
    path: PathBuf,
}

impl StateDir {
    /// The state directory at `path` for this job file, made where it is not there yet.
    ///
    /// # Errors
    /// [`StoreError::OtherJob`] where it belongs to another job file that still exists; I/O.
    pub fn create(path: &Path, job_file: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(path).map_err(io_error("make the folder", path))?;
        let path = path.canonicalize().map_err(io_error("find", path))?;
        let dir = Self { path };
        dir.claim(job_file)?;
        dir.put_if_missing(".gitignore", b"*\n")?;
        Ok(dir)
    }

    /// The state directory at `path`; `None` where no job has one there.
    ///
    /// # Errors
    /// I/O.
    pub fn open_existing(path: &Path) -> Result<Option<Self>, StoreError> {
        if !path.join("job").try_exists().map_err(io_error("look into", path))? {
            return Ok(None);
        }
        let path = path.canonicalize().map_err(io_error("find", path))?;
        Ok(Some(Self { path }))
    }

    /// Its absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The whole of a small file in it; `None` where it is not there.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.file(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("read", &path)(error)),
        }
    }

    /// Writes such a file, in place of what it was.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let (path, beside) = (self.file(name), self.file(&format!("{name}.new")));
        fs::write(&beside, bytes).map_err(io_error("write to", &beside))?;
        fs::rename(&beside, &path).map_err(io_error("replace", &path))
    }

    /// Makes the names in it last through a power loss.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        File::open(&self.path).and_then(|dir| dir.sync_all()).map_err(io_error("sync", &self.path))
    }

    /// Takes the lock that every writer must hold. A dead holder is no obstacle.
    ///
    /// # Errors
    /// [`StoreError::Locked`] with the holder's name; I/O.
    pub fn lock(&self) -> Result<StateLock, StoreError> {
        StateLock::take(&self.path)
    }

    /// Moves all that is kept into `archive/<time>/`, and returns that folder; `None` where nothing is kept yet. Nothing
    /// is deleted. The caller holds the lock, and has no store open.
    ///
    /// # Errors
    /// I/O.
    pub fn archive(&self, at_ms: u64) -> Result<Option<PathBuf>, StoreError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(io_error("list", &self.path))? {
            names.push(entry.map_err(io_error("list", &self.path))?.file_name());
        }
        names.retain(|name| !STAYS.iter().any(|stays| OsStr::new(stays) == name));
        if names.is_empty() {
            return Ok(None);
        }
        let into = free_name(&self.file("archive"), &stamp(at_ms));
        fs::create_dir_all(&into).map_err(io_error("make the folder", &into))?;
        for name in names {
            let from = self.path.join(&name);
            fs::rename(&from, into.join(&name)).map_err(io_error("move", &from))?;
        }
        Ok(Some(into))
    }

    /// Writes a job file that was made and that no user keeps, unless it stands there as it is.
    ///
    /// # Errors
    /// I/O.
    pub fn keep_job_file(&self, path: &Path, text: &str) -> Result<(), StoreError> {
        if fs::read(path).is_ok_and(|known| known == text.as_bytes()) {
            return Ok(());
        }
        let beside = self.file("job.new");
        fs::write(&beside, text).map_err(io_error("write to", &beside))?;
        fs::rename(&beside, path).map_err(io_error("replace", path))
    }

    /// Moves an input that nothing says again to its place in here. The caller holds the lock.
    ///
    /// # Errors
    /// I/O.
    pub fn keep_input(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(io_error("make the folder", folder))?;
        }
        if fs::rename(from, to).is_ok() {
            return Ok(());
        }
        // It is on another disk. Renamed when whole: what stands under the name is never half of an input.
        let part = to.with_extension("part");
        fs::copy(from, &part).map_err(io_error("write to", &part))?;
        fs::rename(&part, to).map_err(io_error("replace", to))
    }

    /// Records whose state this is, or checks it.
    fn claim(&self, job_file: &Path) -> Result<(), StoreError> {
        let job_file = std::path::absolute(job_file).map_err(io_error("find", job_file))?;
        let job_file = one_name(job_file);
        if self.is_claimed_by(&job_file)? {
            return Ok(());
        }
        let record = self.file("job");
        let mut line = job_file.as_os_str().as_bytes().to_vec();
        line.push(b'\n');
        fs::write(&record, line).map_err(io_error("write to", &record))
    }

    /// Whether this job file is on record here; `false` where none is, or one that is gone.
    ///
    /// # Errors
    /// [`StoreError::OtherJob`] where another one is, that still exists; I/O.
    pub(super) fn is_claimed_by(&self, job_file: &Path) -> Result<bool, StoreError> {
        let record = self.file("job");
        let known = match fs::read(&record) {
            Ok(bytes) => PathBuf::from(std::ffi::OsString::from_vec(bytes.trim_ascii_end().to_vec())),
            Err(error) if error.kind() == ErrorKind::NotFound => PathBuf::new(),
            Err(error) => return Err(io_error("read", &record)(error)),
        };
        // A job file that is no longer there was moved or renamed, most likely to the one that asks now.
        if known != job_file && known.exists() {
            return Err(StoreError::OtherJob { state: self.path.clone(), job: known });
        }
        Ok(known == job_file)
    }

    fn put_if_missing(&self, name: &str, content: &[u8]) -> Result<(), StoreError> {
        let path = self.file(name);
        if path.try_exists().map_err(io_error("look for", &path))? {
            return Ok(());
        }
        fs::write(&path, content).map_err(io_error("write to", &path))
    }
}

/// The file by its one true name; where it is not there yet, in its folder's.
fn one_name(file: PathBuf) -> PathBuf {
    let in_folder = || Some(file.parent()?.canonicalize().ok()?.join(file.file_name()?));
    file.canonicalize().ok().or_else(in_folder).unwrap_or(file)
}

/// A time as part of a file name: UTC, sortable.
pub(super) fn stamp(at_ms: u64) -> String {
    let time = i64::try_from(at_ms).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    time.unwrap_or_default().strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// `name` in `parent`, with a number behind it where that is taken.
pub(super) fn free_name(parent: &Path, name: &str) -> PathBuf {
    let mut path = parent.join(name);
    let mut number = 1;
    while path.exists() {
        number += 1;
        path = parent.join(format!("{name}-{number}"));
    }
    path
}
