//! `totals.json`: the sums for other processes, which cannot open the checkpoint while a run has it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use super::error::io_error;
use super::{StateDir, StoreError};
use crate::types::Ledger;

const NAME: &str = "totals.json";
const VERSION: u64 = 1;

/// What `totals.json` says.
#[derive(Clone, Debug, PartialEq)]
pub struct TotalsFile {
    /// When it was written, in milliseconds since 1970.
    pub at: u64,
    /// How much of the log is counted in it, in bytes.
    pub log_len: u64,
    /// The sums of all runs.
    pub ledger: Ledger,
    /// What the writer had to say besides.
    pub extra: Map<String, Value>,
}

/// Replaces the file, so that a reader sees the old or the new one whole.
pub(super) fn save(dir: &StateDir, at: u64, log_len: u64, ledger: &Ledger, extra: &Value) -> Result<(), StoreError> {
    let mut content = BTreeMap::from([
        ("version", to_raw_value(&VERSION)?),
        ("at", to_raw_value(&at)?),
        ("log_len", to_raw_value(&log_len)?),
        ("ledger", to_raw_value(ledger)?),
    ]);
    for (name, value) in extra.as_object().into_iter().flatten() {
        content.entry(name.as_str()).or_insert(to_raw_value(value)?);
    }
    let (path, beside) = (dir.file(NAME), dir.file("totals.json.new"));
    let bytes = serde_json::to_vec(&content)?;
    File::create(&beside).and_then(|mut file| file.write_all(&bytes)).map_err(io_error("write to", &beside))?;
    fs::rename(&beside, &path).map_err(io_error("replace", &path))
}

/// Makes totals fit a log that is shorter than the one that they counted: from its new end on nothing would be counted.
pub(super) fn mend(dir: &StateDir, log_len: u64, ledger: &Ledger) -> Result<(), StoreError> {
    // Those that cannot be read are written anew by the run.
    let Ok(Some(totals)) = read_totals(dir) else { return Ok(()) };
    if totals.log_len <= log_len {
        return Ok(());
    }
    save(dir, totals.at, log_len, ledger, &Value::Object(totals.extra))
}

/// Reads the totals of a job; `None` where none were written yet.
///
/// # Errors
/// [`StoreError::Version`] where a later version wrote them, [`StoreError::Totals`] where they are damaged; I/O.
pub fn read_totals(dir: &StateDir) -> Result<Option<TotalsFile>, StoreError> {
    let path = dir.file(NAME);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("read", &path)(error)),
    };
    read(&bytes).map_err(|reason| match reason {
        Refused::Version(found) => StoreError::Version { path: path.clone(), found, known: VERSION },
        Refused::Damaged(reason) => StoreError::Totals { path: path.clone(), reason },
    })
}

enum Refused {
    Version(u64),
    Damaged(String),
}

impl From<serde_json::Error> for Refused {
    fn from(error: serde_json::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// Member by member from the text: a JSON value in between would turn money into floats.
fn read(bytes: &[u8]) -> Result<Option<TotalsFile>, Refused> {
    let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(bytes)?;
    let mut member = |name: &str| members.remove(name).ok_or_else(|| Refused::Damaged(format!("`{name}` is missing")));
    let version: u64 = serde_json::from_str(member("version")?.get())?;
    if version > VERSION {
        return Err(Refused::Version(version));
    }
    let at = serde_json::from_str(member("at")?.get())?;
    let log_len = serde_json::from_str(member("log_len")?.get())?;
    let ledger = serde_json::from_str(member("ledger")?.get())?;
    let mut extra = Map::new();
    for (name, value) in members {
        extra.insert(name, serde_json::from_str(value.get())?);
    }
    Ok(Some(TotalsFile { at, log_len, ledger, extra }))
}
