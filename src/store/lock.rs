//! The lock of a state directory: one writer at a time, and a word about who it is.

use std::fmt;
use std::fs::{self, File, TryLockError};
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
    /// When the process started, in ticks since its machine did: another one may have its number later. 0 where no system tells.
    pub started: u64,
}

impl Holder {
    pub(super) fn me() -> Self {
        let pid = std::process::id();
        Self { pid, host: this_host(), since: now_ms(), started: started(pid).unwrap_or_default() }
    }

    /// Whether it is at work. Of a process of another machine, over a shared disk, nobody here knows: then it is.
    pub(super) fn lives(&self) -> bool {
        if self.host != this_host() {
            return true;
        }
        if !Path::new("/proc/self").exists() {
            let asked = std::process::Command::new("kill").args(["-0", &self.pid.to_string()]).output();
            return asked.is_ok_and(|asked| asked.status.success());
        }
        // Its name says nothing: who asks may have another, by a link or as another version.
        started(self.pid) == Some(self.started)
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

fn this_host() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::env::var("HOSTNAME"));
    host.unwrap_or_default().trim().to_owned()
}

/// When a process started; `None` where there is none of this number, or one that is dead and not yet waited for.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name in brackets, which may hold blanks: fields 3 and on, of which 22 is it.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
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
