//! `results.log`: appended lines, written whole or not at all.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::StoreError;
use super::error::io_error;
use crate::types::LogLine;

/// The log's name in the state directory.
pub(super) const LOG: &str = "results.log";
/// The log's first line.
pub(super) const HEADER: &[u8] = b"{\"overnight_log\":1}\n";
/// The first line of a log with `carried` lines, which earlier versions cannot count. As long as the other one.
pub(super) const PRUNED_HEADER: &[u8; HEADER.len()] = b"{\"overnight_log\":2}\n";
const VERSION: u64 = 2;

#[derive(Deserialize)]
struct Header {
    overnight_log: u64,
}

/// What the log needs of a file: so that a full disk can be had in tests.
pub(super) trait LogFile: Send + Sync {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    fn sync_data(&self) -> io::Result<()>;
}

impl LogFile for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The log, open for appending.
pub(super) struct Log {
    path: PathBuf,
    file: Arc<dyn LogFile>,
    /// The length up to which whole lines are in the file.
    written: u64,
    /// Lines behind that.
    buffer: Vec<u8>,
    unsynced: bool,
}

impl Log {
    /// Opens the log, or begins one. The caller cuts a torn tail.
    pub(super) fn open(path: PathBuf) -> Result<Self, StoreError> {
        let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(io_error("open", &path))?;
        let len = file.metadata().map_err(io_error("look at", &path))?.len();
        if check_header(&file, len, &path)? {
            return Ok(Self::over(Arc::new(file), path, len));
        }
        begin(&file, &path).map_err(io_error("write to", &path))?;
        Ok(Self::over(Arc::new(file), path, HEADER.len() as u64))
    }

    /// A log over any file that holds `len` bytes.
    pub(super) fn over(file: Arc<dyn LogFile>, path: PathBuf, len: u64) -> Self {
        // What an earlier process wrote may not have reached the disk yet.
        Self { path, file, written: len, buffer: Vec::new(), unsynced: true }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The length with all that was appended, in bytes.
    pub(super) fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// The bytes of what was appended and not yet written.
    pub(super) fn unwritten(&self) -> usize {
        self.buffer.len()
    }

    /// Cuts the log here.
    pub(super) fn cut(&mut self, len: u64) -> Result<(), StoreError> {
        self.file.set_len(len).map_err(io_error("cut", &self.path))?;
        self.written = len;
        self.unsynced = true;
        Ok(())
    }

    /// Puts a line into the buffer and returns where it begins, in bytes.
    pub(super) fn append(&mut self, line: &LogLine) -> Result<u64, StoreError> {
        let (offset, start) = (self.len(), self.buffer.len());
        if let Err(error) = serde_json::to_writer(&mut self.buffer, line) {
            self.buffer.truncate(start);
            return Err(error.into());
        }
        // A reply's own line breaks stand between its tokens, where a blank means the same; in the log they would tear.
        let breaks: Vec<usize> = memchr::memchr_iter(b'\n', &self.buffer[start..]).collect();
        for at in breaks {
            self.buffer[start + at] = b' ';
        }
        self.buffer.push(b'\n');
        Ok(offset)
    }

    /// Writes what was appended. After an error only whole lines of it are in the file; the others wait in the buffer.
    pub(super) fn write(&mut self) -> Result<(), StoreError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let (done, result) = self.write_buffer();
        self.unsynced = true;
        let Err(source) = result else {
            self.written += done as u64;
            self.buffer.clear();
            return Ok(());
        };
        let whole = memchr::memrchr(b'\n', &self.buffer[..done]).map_or(0, |at| at + 1);
        self.buffer.drain(..whole);
        self.written += whole as u64;
        // Where even this fails, the next write starts at the same place, and the next process cuts the tail.
        let _ = self.file.set_len(self.written);
        Err(io_error("write to", &self.path)(source))
    }

    fn write_buffer(&self) -> (usize, io::Result<()>) {
        let mut done = 0;
        while done < self.buffer.len() {
            match self.file.write_at(&self.buffer[done..], self.written + done as u64) {
                Ok(0) => return (done, Err(ErrorKind::WriteZero.into())),
                Ok(bytes) => done += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return (done, Err(error)),
            }
        }
        (done, Ok(()))
    }

    /// Makes what was written last through a power loss.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        if self.unsynced {
            self.file.sync_data().map_err(io_error("sync", &self.path))?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// The same for another thread. It counts as done; where it is not, [`Log::mark_unsynced`] says so.
    pub(super) fn sync_apart(&mut self) -> impl FnOnce() -> Result<(), StoreError> + Send + use<> {
        self.unsynced = false;
        let (file, path) = (Arc::clone(&self.file), self.path.clone());
        move || file.sync_data().map_err(io_error("sync", &path))
    }

    pub(super) fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    pub(super) fn mark_unsynced(&mut self) {
        self.unsynced = true;
    }
}

/// Whether it begins as a log that we know; `false` where not even its first line is whole.
pub(super) fn check_header(file: &File, len: u64, path: &Path) -> Result<bool, StoreError> {
    let mut head = [0; 64];
    let read = FileExt::read_at(file, &mut head, 0).map_err(io_error("read", path))?;
    let Some(end) = memchr::memchr(b'\n', &head[..read]) else {
        // The very first write was torn: nothing can stand behind it.
        let torn = len < HEADER.len() as u64;
        return if torn { Ok(false) } else { Err(StoreError::NotALog { path: path.to_owned() }) };
    };
    match serde_json::from_slice::<Header>(&head[..end]) {
        Ok(header) if header.overnight_log <= VERSION => Ok(true),
        Ok(header) => Err(StoreError::Version { path: path.to_owned(), found: header.overnight_log, known: VERSION }),
        Err(_) => Err(StoreError::NotALog { path: path.to_owned() }),
    }
}

fn begin(file: &File, path: &Path) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all_at(HEADER, 0)?;
    file.sync_data()?;
    // The file's name must last, too.
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}
