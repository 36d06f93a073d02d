//! The lock of a state directory: one writer at a time, and a word about who it is.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::StoreError;
use super::error::io_error;

/// Who has a lock, as the lock file tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Holder {
    /// The process; 0 where it is not known.
    pub pid: u32,
    /// The machine's name.
    pub host: String,
    /// Since when, in milliseconds since 1970.
    pub since: u64,
}

impl Holder {
    pub(super) fn me() -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::env::var("HOSTNAME"));
        Self { pid: std::process::id(), host: host.unwrap_or_default().trim().to_owned(), since: now_ms() }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pid == 0 {
            return f.write_str("another process");
        }
        write!(f, "process {}", self.pid)?;
        if !self.host.is_empty() {
            write!(f, " on {}", self.host)?;
        }
        match i64::try_from(self.since).map(jiff::Timestamp::from_millisecond) {
            Ok(Ok(since)) => write!(f, " since {}", since.strftime("%Y-%m-%d %H:%M:%S UTC")),
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    }
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The lock, held until it is dropped. The system lets go of it when the process dies, however that happens.
#[derive(Debug)]
pub struct StateLock {
    file: File,
}

impl StateLock {
    pub(super) fn take(state: &Path) -> Result<Self, StoreError> {
        let path = state.join("lock");
        let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(io_error("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { path: state.to_owned(), holder: read_holder(file) });
            }
            Err(TryLockError::Error(source)) => return Err(io_error("lock", &path)(source)),
        }
        let mut lock = Self { file };
        lock.sign().map_err(io_error("write to", &path))?;
        Ok(lock)
    }

    fn sign(&mut self) -> std::io::Result<()> {
        let text = serde_json::to_string(&Holder::me())?;
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(text.as_bytes())
    }
}

impl Drop for StateLock {
    fn drop(&mut self) {
        // A name that stays does no harm: the lock itself goes with the file handle.
        let _ = self.file.set_len(0);
    }
}

/// Best effort: the holder may just be writing its name.
pub(super) fn read_holder(mut file: File) -> Holder {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) => serde_json::from_str(&text).unwrap_or_default(),
        Err(_) => Holder::default(),
    }
}
