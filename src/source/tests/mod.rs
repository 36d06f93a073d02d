//! What the room promises, on real files.

mod array;
mod csv;
mod jsonl;
mod marks;
mod packed;
#[cfg(feature = "parquet")]
mod parquet;
mod paths;
mod text;
mod whole;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use super::{Format, Input, InputPath, InputSettings, Record, SourceError};

/// A folder of files, and the settings that read it.
struct Bench {
    folder: TempDir,
    settings: InputSettings,
}

impl Bench {
    fn new() -> Self {
        let settings = InputSettings { paths: Vec::new(), format: Format::Auto, delimiter: None, max_row: 16_000_000 };
        Self { folder: tempfile::tempdir().unwrap(), settings }
    }

    /// One file, read by its extension.
    fn with(name: &str, content: impl AsRef<[u8]>) -> Self {
        Self::new().file(name, content).path(name)
    }

    fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Adds an entry to `input.path`, relative to the folder.
    fn path(mut self, shown: &str) -> Self {
        self.settings.paths.push(InputPath::Path { path: self.at(shown), shown: shown.to_owned() });
        self
    }

    fn set(mut self, change: impl FnOnce(&mut InputSettings)) -> Self {
        change(&mut self.settings);
        self
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&self) -> Result<Input, SourceError> {
        self.open_with_stdin(b"")
    }

    fn open_with_stdin(&self, mut stdin: &[u8]) -> Result<Input, SourceError> {
        Input::open_with(&self.settings, &self.at("state"), &mut stdin)
    }

    fn records(&self) -> Vec<Record> {
        all(&self.open().unwrap())
    }

    /// Each record as `place row` or `place ! message`.
    fn shown(&self) -> Vec<String> {
        self.records().iter().map(shown).collect()
    }

    fn error(&self) -> String {
        self.open().unwrap_err().to_string()
    }
}

/// All records of a pass; a pass, a count and a leap to the last record agree, whatever the file.
fn all(input: &Input) -> Vec<Record> {
    let records: Vec<Record> = input.records().unwrap().map(Result::unwrap).collect();
    assert_eq!(input.count().unwrap(), records.len() as u64);
    let last = input.records().unwrap().at(records.len() as u64).unwrap();
    assert_eq!(last.as_ref().map(shown), records.last().map(shown));
    records
}

fn shown(record: &Record) -> String {
    match record.row() {
        Ok(row) => format!("{} {}", record.place, Value::Object(row.fields().clone())),
        Err(bad) => format!("{} ! {bad}", record.place),
    }
}
